"""The seam of the engines: who keeps to it, how deep a picture goes, and what is imported on the way."""

from __future__ import annotations

import dataclasses
import inspect
import io
import subprocess
import sys
import traceback
from pathlib import Path

import fake_engine
import numpy as np
import pytest
from pictures import picture
from PIL import Image

import pillow_lic
from pillow_lic import container, entropy, errors
from pillow_lic.codec import options
from pillow_lic.codec.decode import decode
from pillow_lic.codec.encode import EncodePicture, encode
from pillow_lic.engines import base, choice
from pillow_lic.engines.torch import engine as torch_engine
from pillow_lic.engines.torch import search
from pillow_lic.models import registry

pytestmark = pytest.mark.network

TRELLIS = Path(__file__).parents[1] / "golden" / "models" / "toy-trellis"


@pytest.fixture
def one_thread():
    pillow_lic.set_threads(1)
    yield
    pillow_lic.set_threads(None)


# ---- Signatures ---------------------------------------------------------------------------------------------------


def parameters(function) -> list[tuple[str, object, object]]:
    return [(one.name, one.kind, one.default) for one in inspect.signature(function).parameters.values()]


STEPS = [name for name, part in vars(base.Engine).items() if inspect.isfunction(part) and not name.startswith("_")]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", [torch_engine.TorchEngine, fake_engine.FakeEngine], ids=lambda kind: kind.__name__)
def test_engines_and_their_stand_in_keep_to_the_protocol(kind, step):
    assert parameters(getattr(kind, step)) == parameters(getattr(base.Engine, step))
    assert isinstance(getattr(kind, "group", 0), int | property)


@pytest.mark.parametrize("step", ["encode", "decode", "clear"])
def test_symbols_of_the_stand_in(step):
    assert parameters(getattr(fake_engine.FakeSymbols, step)) == parameters(getattr(base.Symbols, step))


def test_fields_of_the_stand_ins_symbols():
    """All that the codec looks at."""
    names = {field.name for field in dataclasses.fields(fake_engine.FakeSymbols)}
    assert {"header", "model", "missing", "alpha", "notes"} <= names
    assert names - {"pixels"} <= {field.name for field in dataclasses.fields(base.Symbols)}


def test_the_stand_in_is_asked_as_an_engine_is():
    assert parameters(fake_engine.on) == parameters(torch_engine.on)


def test_options_are_stated_once():
    """Dataclasses hold them; what type checkers and help() see is the same."""
    for kind, typed in (
        (options.EncodeOptions, options.EncodeKeywords),
        (options.DecodeOptions, options.DecodeKeywords),
    ):
        assert {field.name for field in dataclasses.fields(kind)} == set(typed.__annotations__)
    wanted = [*(field.name for field in dataclasses.fields(options.EncodeOptions)), *options.Metadata._fields]
    assert list(inspect.signature(encode).parameters) == ["array", *wanted]
    assert set(wanted) == {name for one in (EncodePicture, options.EncodeKeywords) for name in one.__annotations__}
    assert "device" in inspect.signature(decode).parameters
    for function in (encode, decode):
        for name in inspect.signature(function).parameters:
            assert name in function.__doc__
        assert "{options}" not in function.__doc__


def test_efforts_are_the_searchs():
    assert len(base.PASSES) == len(options.EFFORTS)


def test_unknown_options_are_refused():
    with pytest.raises(TypeError, match="qualty"):
        pillow_lic.encode(picture(8, 8), qualty=3)
    with pytest.raises(TypeError, match="quality"):
        pillow_lic.decode(b"", quality=3)


# ---- Depth --------------------------------------------------------------------------------------------------------


def own_frames(call, patch, name: str) -> int:
    """The most frames of ours above calls of a core's function that entropy.Tables calls."""
    depths = []
    real = getattr(entropy._core, name)

    def counted(*arguments, **more):
        frames = traceback.extract_stack()
        depths.append(sum("/pillow_lic/" in frame.filename.replace("\\", "/") for frame in frames))
        return real(*arguments, **more)

    with patch.context() as patched:
        patched.setattr(entropy._core, name, counted)
        call()
    assert depths
    return max(depths)


def test_depth_of_save_and_load(monkeypatch, one_thread):
    name = pillow_lic.register_model(TRELLIS)
    im = Image.fromarray(picture(70, 100, 4))
    buffer = io.BytesIO()

    def save():
        buffer.seek(0)
        im.save(buffer, "LIC", model=name)

    assert own_frames(save, monkeypatch, "trellis_search") <= 9
    assert own_frames(save, monkeypatch, "encode_tile") <= 9
    assert own_frames(lambda: Image.open(buffer).load(), monkeypatch, "decode_tile") <= 6


# ---- The seam -----------------------------------------------------------------------------------------------------


def test_torch_refuses_scales_and_areas():
    model = registry.by_name("toy")
    engine = choice.decoder(model, "cpu")
    symbols = engine.blank(container.Header(20, 30, "RGB", 1, bytes(8), 5000, 16), model)
    for wrong in ({"scale": 2}, {"area": container.Area(slice(0, 8), slice(0, 8))}):
        with pytest.raises(errors.LicBadOption, match="whole pictures at full size"):
            engine.render([symbols], **wrong)


def test_another_engine_needs_neither_torch_nor_numpy(tmp_path):
    """Opening and loading through the plugin with an engine over plain buffers: the way of a native one."""
    array = picture(70, 100, 4)
    (tmp_path / "a.lic").write_bytes(pillow_lic.encode(array, model="toy"))
    program = """
import sys
from PIL import Image
import pillow_lic
from pillow_lic.engines import base, choice

class Colour(bytes):
    shape = (70, 100, 3)

class Symbols(base.Symbols):
    def decode(self, tile, stream):
        self.z[tile.number] = len(stream)

class Engine:
    group = 0
    def blank(self, header, model):
        return Symbols(header, model, {}, None)
    def render(self, symbols, *, scale=1, area=None):
        return [base.Arrival(Colour(bytes([7, 8, 9]) * 7000), base.at_once)]

choice.decoder = lambda model, device, output="numpy": Engine()
with Image.open("a.lic") as im:
    im.load()
    print(im.mode, im.size, im.getpixel((3, 4))[:3], {"torch", "numpy", "cupy"} & set(sys.modules))
    print(sum(im.getchannel("A").tobytes()))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["RGBA (100, 70) (7, 8, 9) set()", str(int(array[..., 3].sum()))], done.stderr


def test_codec_imports_neither_torch_nor_numpy():
    names = "codec.encode, codec.decode, codec.pipeline, codec.options, codec.alpha, engines.base, engines.choice"
    modules = ", ".join(f"pillow_lic.{name}" for name in names.split(", "))
    program = f"import sys, {modules}, pillow_lic.engines.pieces, pillow_lic.models.choice\n"
    program += "print({'torch', 'numpy', 'cupy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


# ---- Warnings -----------------------------------------------------------------------------------------------------


def test_warnings_name_the_callers_line():
    """Of the API and of Pillow's plugin, from this thread and from another."""
    data = pillow_lic.encode(picture(40, 40), model="toy")[:-9]
    with pytest.warns(UserWarning, match="grey") as caught:
        pillow_lic.decode(data, truncated=True)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="ignored") as caught:
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(io.BytesIO(), "LIC", qualty=5, model="toy")
    assert caught[0].filename == __file__
