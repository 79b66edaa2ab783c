"""The seam of the engines: who keeps to it, how deep a picture goes, and what is imported on the way."""

from __future__ import annotations

import dataclasses
import inspect
import io
import os
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
from pillow_lic import _core, container, errors
from pillow_lic.codec import decode_options, options
from pillow_lic.codec import encode as encode_module
from pillow_lic.codec.decode import decode
from pillow_lic.codec.encode import EncodePicture, encode
from pillow_lic.codec.metadata import Metadata
from pillow_lic.engines import base, choice, native
from pillow_lic.engines.torch import engine as torch_engine
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
@pytest.mark.parametrize(
    "kind", [torch_engine.TorchEngine, native.NativeEngine, fake_engine.FakeEngine], ids=lambda kind: kind.__name__
)
def test_engines_and_their_stand_in_keep_to_the_protocol(kind, step):
    assert parameters(getattr(kind, step)) == parameters(getattr(base.Engine, step))
    assert isinstance(getattr(kind, "group", 0), int | property)


@pytest.mark.parametrize("step", ["encode", "decode", "clear"])
def test_symbols_of_the_stand_in(step):
    for kind in (fake_engine.FakeSymbols, native.NativeSymbols):
        assert parameters(getattr(kind, step)) == parameters(getattr(base.Symbols, step))


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
        (decode_options.DecodeOptions, decode_options.DecodeKeywords),
    ):
        assert {field.name for field in dataclasses.fields(kind)} == set(typed.__annotations__)
    fields = [field.name for field in dataclasses.fields(options.EncodeOptions)]
    wanted = [*fields, *Metadata._fields, "order"]
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


def own_frames(call, patch) -> dict[str, int]:
    """The most frames of ours above each of the core's methods that is called, by "Class.method"."""
    depths: dict[str, int] = {}

    def counted(label, real):
        def method(*arguments, **more):
            frames = traceback.extract_stack()
            depth = sum("/pillow_lic/" in frame.filename.replace("\\", "/") for frame in frames)
            depths[label] = max(depth, depths.get(label, 0))
            return real(*arguments, **more)

        return method

    with patch.context() as patched:
        for kind in (_core.Model, _core.Photo, _core.Analysis):
            for name, real in list(vars(kind).items()):
                if callable(real) and not name.startswith("_"):
                    patched.setattr(kind, name, counted(f"{kind.__name__}.{name}", real))
        call()
    return depths


@pytest.mark.parametrize("options", [{}, {"effort": 0}, {"progressive": True}, {"importance": "auto"}], ids=str)
def test_depth_of_save_and_load(options, monkeypatch, one_thread, engine):
    """Nine and six frames at most, into whatever of the core is called."""
    name = pillow_lic.register_model(TRELLIS)
    im = Image.fromarray(picture(70, 100, 4))
    buffer = io.BytesIO()

    def save():
        buffer.seek(0)
        im.save(buffer, "LIC", model=name, **options)

    def load():
        Image.open(buffer).load()

    native = engine == "auto"
    saved, loaded = own_frames(save, monkeypatch), own_frames(load, monkeypatch)
    found = "Model.quantise" if not native else "Photo.search" if "effort" not in options else "Photo.quantise"
    assert {found, "Model.write_tile"} <= saved.keys()
    assert {"Model.read_tile", "Photo.render"} <= loaded.keys() if native else "Model.read_tile" in loaded
    assert {name: depth for name, depth in saved.items() if depth > 9} == {}
    assert {name: depth for name, depth in loaded.items() if depth > 6} == {}


# ---- The seam -----------------------------------------------------------------------------------------------------


def test_torch_refuses_scales(on_torch):
    model = registry.by_name("toy")
    engine = choice.decoder(model, "cpu")
    symbols = engine.blank(container.Header(20, 30, "RGB", 1, bytes(8), 5000, 16), model)
    with pytest.raises(errors.LicBadOption, match="at full size"):
        engine.render([symbols], scale=2)


def test_the_native_engine_refuses_scales():
    model = registry.by_name("toy")
    engine = choice.decoder(model, "cpu")
    symbols = engine.blank(container.Header(20, 30, "RGB", 1, bytes(8), 5000, 16), model)
    with pytest.raises(errors.LicBadOption, match="at full size, found scale=2"):
        engine.render([symbols], scale=2)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("lost", [False, True])
def test_the_native_engine_renders_areas(channels, lost, monkeypatch):
    """As they are cut from the whole, grey tiles and all."""
    monkeypatch.setattr(encode_module, "TILE_SIDE", 1)
    chunks = container.read(pillow_lic.encode(picture(150, 200, channels), model="toy"))
    model = registry.by_name("toy")
    engine = choice.decoder(model, "cpu")
    symbols = engine.blank(chunks.header, model)
    for tile, stream in zip(chunks.header.tiles(), chunks.tiles):
        assert symbols.decode(tile, stream) is None
    if lost:
        symbols.missing += [chunks.header.tiles()[5], chunks.header.tiles()[-1]]
    whole = np.asarray(engine.render([symbols])[0].value)
    for rows, columns in (((0, 150), (0, 200)), ((3, 4), (199, 200)), ((70, 149), (60, 131)), ((100, 150), (0, 7))):
        area = container.Area(slice(*rows), slice(*columns))
        (arrival,) = engine.render([symbols], area=area)
        assert np.array_equal(np.asarray(arrival.value), whole[area.rows, area.columns])


def test_wishes_for_an_engine(monkeypatch):
    toy, mixture = registry.by_name("toy"), registry.by_name("gdn-mixture")
    kinds = {}
    for wish in (None, "auto", "torch"):
        if wish is None:
            monkeypatch.delenv(choice.ENGINE_VARIABLE, raising=False)
        else:
            monkeypatch.setenv(choice.ENGINE_VARIABLE, wish)
        for model, output in ((toy, "numpy"), (toy, "torch"), (mixture, "numpy")):
            kinds[wish, model.name, output] = type(choice.decoder(model, "cpu", output)).__name__
        kinds[wish, "encoder"] = type(choice.encoder(toy, "cpu")).__name__
    at_home = {key for key, kind in kinds.items() if kind == "NativeEngine"}
    assert at_home == {key for wish in (None, "auto") for key in ((wish, "toy", "numpy"), (wish, "encoder"))}
    assert set(kinds.values()) == {"NativeEngine", "TorchEngine"}
    for wrong in ("native", "", "Torch"):
        monkeypatch.setenv(choice.ENGINE_VARIABLE, wrong)
        with pytest.raises(errors.LicBadOption, match=r"PILLOW_LIC_ENGINE must be one of auto, torch, found"):
            pillow_lic.encode(picture(8, 8), model="toy")


# ---- Two engines, one picture -------------------------------------------------------------------------------------


@pytest.mark.parametrize("photograph", ["astronaut", "coffee", "chelsea", "rocket"])
@pytest.mark.parametrize(
    ("model", "quality"), [("photo-low", 20), ("photo-low", 50), ("photo", 75), ("photo", 95), ("photo-ms-ssim", 60)]
)
def test_both_engines_show_the_same(photograph, model, quality, monkeypatch):
    """Of one file: pixels within one level where PyTorch computes in float32, but for one in ten thousand, which may be
    two away (integers are rounded at every layer). And the files that either makes are as good.
    """
    data_of = pytest.importorskip("skimage.data")
    array = np.ascontiguousarray(getattr(data_of, photograph)()[:256, :320])
    monkeypatch.setenv("PILLOW_LIC_PRECISION", "float32")
    files, pixels = {}, {}
    for wish in ("auto", "torch"):
        monkeypatch.setenv(choice.ENGINE_VARIABLE, wish)
        files[wish] = pillow_lic.encode(array, model=model, quality=quality, effort=0)
        pixels[wish] = pillow_lic.decode(files["auto"]).astype(int)
    apart = np.abs(pixels["auto"] - pixels["torch"])
    assert apart.max() <= 2
    assert (apart > 1).mean() < 1e-4
    assert (apart > 0).mean() < 0.2
    assert len(files["auto"]) == pytest.approx(len(files["torch"]), rel=0.03)
    errors_of = [np.square(pillow_lic.decode(data).astype(float) - array).mean() for data in files.values()]
    assert errors_of[0] == pytest.approx(errors_of[1], rel=0.04)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_both_engines_read_what_either_wrote(channels, monkeypatch):
    array = picture(90, 135, channels, 4)
    monkeypatch.setenv("PILLOW_LIC_PRECISION", "float32")
    for writer in ("auto", "torch"):
        monkeypatch.setenv(choice.ENGINE_VARIABLE, writer)
        data = pillow_lic.encode(array, model="toy", quality=80)
        shown = []
        for reader in ("auto", "torch"):
            monkeypatch.setenv(choice.ENGINE_VARIABLE, reader)
            shown.append(pillow_lic.decode(data).astype(int))
        assert shown[0].shape == shown[1].shape
        assert np.abs(shown[0] - shown[1]).max() <= 1


def test_native_pixels_may_be_written_to():
    array = pillow_lic.decode(pillow_lic.encode(picture(20, 30), model="toy"))
    array += 1
    assert array.flags.writeable
    assert array.flags.c_contiguous


# ---- What is imported ---------------------------------------------------------------------------------------------


def run_without(tmp_path, program: str, *blocked: str) -> str:
    """What a program prints that cannot import some packages, as where they are not installed."""
    start = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PILLOW_LIC")}
    command = [sys.executable, "-c", start + program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def some_files(tmp_path):
    array = picture(70, 100, 4)
    (tmp_path / "a.lic").write_bytes(pillow_lic.encode(array, model="photo-low", quality=40))
    (tmp_path / "b.lic").write_bytes(pillow_lic.encode(array, model="gdn-mixture", quality=40))
    Image.fromarray(array).save(tmp_path / "a.png")
    return tmp_path


def test_without_pytorch_the_default_models_work(some_files):
    """Image.open, save at every effort, encode, decode and `lic info`, as after a plain `pip install pillow-lic`."""
    program = """
from PIL import Image
import io, pillow_lic
with Image.open("a.lic") as im:
    im.load()
    print(im.mode, im.size)
for options in ({"effort": 0}, {}, {"effort": 2, "quality": 90}, {"tune": "ms-ssim"}, {"model": "toy"}):
    out = io.BytesIO()
    Image.open("a.png").save(out, "LIC", **options)
    assert Image.open(out).convert("RGBA").size == (100, 70)
import numpy
array = pillow_lic.decode(open("a.lic", "rb").read())
print(array.shape, pillow_lic.decode(pillow_lic.encode(array)).shape)
print(len(pillow_lic.decode_batch(pillow_lic.encode_batch([array] * 3, device="auto"))))
from pillow_lic.cli import main
assert main(["info", "a.lic"]) == 0
assert main(["info", "b.lic"]) == 0
"""
    lines = run_without(some_files, program, "torch", "cupy").splitlines()
    assert lines[:3] == ["RGBA (100, 70)", "(70, 100, 4) (70, 100, 4)", "3"]
    assert any("photo-low" in line for line in lines[3:])
    assert any("gdn-mixture" in line for line in lines[3:])


def test_without_pytorch_all_else_says_what_to_install(some_files):
    program = """
import os
import numpy, pillow_lic
from PIL import Image
array = numpy.zeros((8, 8, 3), numpy.uint8)
data = {name: open(f"{name}.lic", "rb").read() for name in "ab"}
for call in (
    lambda: pillow_lic.encode(array, model="gdn-mixture"),
    lambda: pillow_lic.decode(data["b"]),
    lambda: Image.open("b.lic").load(),
    lambda: Image.fromarray(array).save("c.lic", model="gdn-mixture"),
    lambda: pillow_lic.encode(array, device="cuda"),
    lambda: pillow_lic.decode(data["a"], device="cuda:0"),
    lambda: pillow_lic.set_device("cuda"),
    lambda: pillow_lic.decode(data["a"], output="torch"),
    lambda: pillow_lic.decode_batch([data["a"]], output="torch"),
    lambda: os.environ.update(PILLOW_LIC_ENGINE="torch") or pillow_lic.decode(data["a"]),
):
    try:
        call()
        print("no error")
    except pillow_lic.LicError as error:
        print(type(error).__name__, error)
"""
    lines = run_without(some_files, program, "torch", "cupy").splitlines()
    assert len(lines) == 10
    for line in lines:
        assert line.startswith("LicEngineMissing ")
        assert line.endswith("needs PyTorch, which is not installed: pip install 'pillow-lic[torch]'")
    assert "the model 'gdn-mixture'" in lines[0]
    assert "device 'cuda'" in lines[4]
    assert "tensors as output" in lines[7]


def test_opening_needs_neither_torch_nor_numpy(some_files):
    """Not even where they cannot be imported at all."""
    program = """
from PIL import Image
with Image.open("a.lic") as im:
    im.load()
    print(im.mode, im.size, sorted({"torch", "numpy", "cupy"} & set(sys.modules)))
"""
    assert run_without(some_files, program) == "RGBA (100, 70) []"
    assert run_without(some_files, program, "torch", "numpy", "cupy") == "RGBA (100, 70) []"


def test_a_broken_pytorch_is_not_a_missing_one(some_files):
    """What its import lacks is said, not that it is to be installed."""
    (some_files / "torch.py").write_text("import nothing_of_that_name\n")
    program = """
sys.path.insert(0, "")
import pillow_lic
try:
    pillow_lic.decode(open("b.lic", "rb").read())
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert run_without(some_files, program) == "nothing_of_that_name"


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
        self.z[tile.number] = len(stream.stages[0])

class Engine:
    group = 0
    def blank(self, header, model, shift=None):
        return Symbols(header, model, {}, None, shift)
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
    with pytest.warns(UserWarning, match="coarsely") as caught:
        pillow_lic.decode(data, truncated=True)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="ignored") as caught:
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(io.BytesIO(), "LIC", qualty=5, model="toy")
    assert caught[0].filename == __file__
