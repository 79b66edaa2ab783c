"""Styles (FORMAT 5.4, 8.5): a second synthesis beside the second decoder's, and who says which one is shown."""

from __future__ import annotations

import struct
import warnings
import zlib

import numpy as np
import pytest
import slow_decoder
from model_copies import copied
from pictures import picture
from PIL import Image

import pillow_lic
from pillow_lic import container
from pillow_lic.cli import main
from pillow_lic.constants import LIC_NOISE_CHANNELS
from pillow_lic.errors import LicBadOption, LicCorruptChunk, LicLimitExceeded, LicModelMissing
from pillow_lic.models import registry
from pillow_lic.models.manifest import PERCEPTUAL

NAME = "toy-styled"


def second_synthesis() -> dict[str, np.ndarray]:
    """That of `toy`, its samples louder and moved."""
    arrays = registry.by_name("toy").arrays
    found = {name: array for name, array in arrays.items() if name.startswith(("synthesis.", "unit.synthesis."))}
    found["synthesis.out.scale"] = found["synthesis.out.scale"] * 2
    found["synthesis.direct.bias"] = found["synthesis.direct.bias"] + (300 << 32)
    return found | noise_layer(len(found["unit.synthesis.x8"]))


def noise_layer(width: int) -> dict[str, np.ndarray]:
    """Of so many outputs, loud enough to be seen."""
    rng = np.random.default_rng(5)
    return {
        "synthesis.noise.weight": rng.integers(-4000, 4001, (width, LIC_NOISE_CHANNELS)).astype(np.int16),
        "synthesis.noise.scale": np.full((1, width), 1 << 23, np.int32),
        "synthesis.noise.bias": np.zeros((1, width), np.int64),
    }


@pytest.fixture
def styled(tmp_path):
    """A model with a second synthesis, as `toy` is else."""
    folder = copied(tmp_path / NAME, NAME, perceptual=second_synthesis())
    registry.register(folder)
    yield folder
    registry.forget_registered()
    pillow_lic.set_style(None)


def encoded(bands=3, **options) -> bytes:
    return pillow_lic.encode(picture(90, 150, bands, seed=3), model=NAME, screen="off", **options)


@pytest.mark.parametrize("bands", [1, 3, 4])
@pytest.mark.parametrize("strength", [0, 0.3, 0.7, 1])
def test_beside_the_second_decoder(styled, bands, strength):
    data = encoded(bands, quality=30)
    found = pillow_lic.decode(data, style="perceptual", strength=strength)
    assert np.array_equal(found, slow_decoder.decode(data, styled, round(255 * strength)))
    changed = (found != pillow_lic.decode(data)).mean()
    assert changed == 0 if strength == 0 else changed > 0.5
    assert np.array_equal(pillow_lic.decode(data, style=f"perceptual:{strength}"), found)


@pytest.mark.parametrize("style", ["perceptual", "perceptual:0.5"])
def test_a_box_in_a_style(styled, style):
    """Noise too is that of the whole picture, in whatever part, strip or tile it is made."""
    data = pillow_lic.encode(picture(310, 700, seed=3), model=NAME, screen="off")
    whole = pillow_lic.decode(data, style=style)
    for box in ((30, 20, 97, 71), (300, 150, 700, 310), (0, 290, 1, 310)):
        left, top, right, bottom = box
        assert np.array_equal(pillow_lic.decode(data, style=style, box=box), whole[top:bottom, left:right])
    for count in (1, 3):
        pillow_lic.set_threads(count)
        try:
            assert np.array_equal(pillow_lic.decode(data, style=style), whole)
        finally:
            pillow_lic.set_threads(None)


def test_noise(styled, monkeypatch):
    """The default synthesis has none, a second one without the layer neither; pictures of other sizes have others."""
    flat = np.full((96, 96, 3), 90, np.uint8)
    loud = pillow_lic.decode(pillow_lic.encode(flat, model=NAME, screen="off"), style="perceptual").astype(int)
    taller = pillow_lic.encode(np.full((97, 96, 3), 90, np.uint8), model=NAME, screen="off")
    assert np.abs(pillow_lic.decode(taller, style="perceptual")[:64].astype(int) - loud[:64]).mean() > 1
    registry.forget_registered()  # the next one has the same identity
    second = {name: one for name, one in second_synthesis().items() if not name.startswith("synthesis.noise")}
    registry.register(copied(styled.parent / "silent", "silent", perceptual=second))
    data = pillow_lic.encode(flat, model="silent", screen="off")
    plain = pillow_lic.decode(data, style="perceptual")
    assert np.array_equal(plain, slow_decoder.decode(data, styled.parent / "silent", 255))
    assert loud.std() > 2 * plain.std() + 1
    pytest.importorskip("torch")
    monkeypatch.setenv("PILLOW_LIC_ENGINE", "torch")
    assert np.abs(pillow_lic.decode(data, style="perceptual").astype(int) - plain).mean() < 0.5


def test_noise_of_a_default_synthesis(tmp_path):
    """A layer of that name among a decoder's own is like any that is not known: passed over."""
    width = len(registry.by_name("toy").arrays["unit.synthesis.x8"])
    registry.register(copied(tmp_path / "odd", "odd", tensors=noise_layer(width)))
    try:
        files = [pillow_lic.encode(picture(50, 60), model=name, screen="off") for name in ("odd", "toy")]
        assert np.array_equal(*(pillow_lic.decode(file) for file in files))
    finally:
        registry.forget_registered()


def test_batches_mix_styles(styled):
    files = [encoded(quality=q, style=style) for q, style in ((20, None), (60, "perceptual"), (20, "perceptual:0.4"))]
    for one, found in zip(files, pillow_lic.decode_batch(files)):
        assert np.array_equal(found, pillow_lic.decode(one))
    assert not np.array_equal(pillow_lic.decode(files[1]), pillow_lic.decode(files[1], style="default"))


def test_who_is_asked(styled, monkeypatch):
    """The option, then the process, then the environment, then the file's writer."""
    plain, file = encoded(), encoded(style="perceptual", strength=0.5)
    shown = {
        s: pillow_lic.decode(plain, style=s) for s in ("default", "perceptual:0.5", "perceptual:0.8", "perceptual")
    }
    assert len({one.tobytes() for one in shown.values()}) == len(shown)
    assert np.array_equal(pillow_lic.decode(plain), shown["default"])
    assert np.array_equal(pillow_lic.decode(file), shown["perceptual:0.5"])
    monkeypatch.setenv("PILLOW_LIC_STYLE", "perceptual:0.8")
    assert np.array_equal(pillow_lic.decode(file), shown["perceptual:0.8"])
    assert pillow_lic.set_style("perceptual") is None
    assert np.array_equal(pillow_lic.decode(plain), shown["perceptual"])
    assert pillow_lic.set_style("default") == "perceptual"
    assert np.array_equal(pillow_lic.decode(file), shown["default"])
    assert np.array_equal(pillow_lic.decode(file, style="perceptual"), shown["perceptual"])


def test_the_writers_wish(styled, tmp_path):
    """A chunk of ten bytes at most; Pillow shows it, and `info` says so."""
    im = Image.fromarray(picture(64, 80, seed=4))
    plain, wished = tmp_path / "plain.lic", tmp_path / "wished.lic"
    im.save(plain, model=NAME, screen="off")
    im.save(wished, model=NAME, screen="off", style="perceptual", strength=0.5)
    assert wished.stat().st_size == plain.stat().st_size + 8
    with Image.open(wished) as opened:
        assert opened.info["style"] == "perceptual:0.502"
        assert np.array_equal(np.asarray(opened), pillow_lic.decode(plain, style="perceptual:0.5"))
    with Image.open(plain) as opened:
        assert "style" not in opened.info
    assert container.read_head(wished.read_bytes()).style == (1, 128)
    im.save(wished, model=NAME, screen="off", style="default")
    assert wished.read_bytes() == plain.read_bytes()


def test_the_tune():
    """tune="perceptual" is the default's file with a wish, which style and strength may say otherwise."""
    pixels = picture(70, 80, seed=4)
    plain = pillow_lic.encode(pixels, quality=20, tune="visual", effort=0)
    wishes = {
        strength: pillow_lic.encode(pixels, quality=20, tune="perceptual", effort=0, strength=strength)
        for strength in (None, 0.4)
    }
    assert container.read_head(wishes[None]).style == (1, 255)
    assert container.read_head(wishes[0.4]).style == (1, 102)
    assert len(wishes[None]) == len(plain) + 8
    other = pillow_lic.encode(pixels, quality=20, tune="perceptual", effort=0, style="default")
    assert other == plain
    lossless = pillow_lic.encode(pixels, tune="perceptual", lossless=True)
    assert np.array_equal(pillow_lic.decode(lossless), pixels)


def test_a_model_without_one():
    """The default picture; a warning where the call asked, none where a setting or the file did."""
    data = pillow_lic.encode(picture(40, 50), model="toy", style="perceptual")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = pillow_lic.decode(data)
    with pytest.warns(UserWarning, match="'toy' has no perceptual synthesis; its default picture is shown"):
        assert np.array_equal(pillow_lic.decode(data, style="perceptual"), plain)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"style": "pretty"}, "one of 'default', 'perceptual', found 'pretty'"),
        ({"style": 3}, "one of 'default', 'perceptual', found 3"),
        ({"style": "perceptual", "strength": 1.5}, "from 0 to 1, found 1.5"),
        ({"style": "perceptual", "strength": "much"}, "from 0 to 1, found 'much'"),
        ({"style": "perceptual", "strength": float("nan")}, "from 0 to 1, found nan"),
        ({"style": "perceptual:x"}, "from 0 to 1, found 'x'"),
        ({"style": "perceptual:0.5", "strength": 0.5}, "states its strength already"),
        ({"strength": 0.5}, "give style='perceptual' as well"),
    ],
)
def test_wrong_wishes(options, words):
    pixels = picture(20, 20)
    data = pillow_lic.encode(pixels, model="toy")
    for call in (lambda: pillow_lic.decode(data, **options), lambda: pillow_lic.encode(pixels, model="toy", **options)):
        with pytest.raises(LicBadOption, match=words):
            call()


def test_lossless_has_no_style():
    with pytest.raises(LicBadOption, match="does not go with style"):
        pillow_lic.encode(picture(20, 20), lossless=True, style="perceptual")


def test_the_environment_is_checked(monkeypatch):
    data = pillow_lic.encode(picture(20, 20), model="toy")
    monkeypatch.setenv("PILLOW_LIC_STYLE", "pretty")
    with pytest.raises(LicBadOption, match="PILLOW_LIC_STYLE must be one of"):
        pillow_lic.decode(data)


def with_chunk(data: bytes, payload: bytes) -> bytes:
    """The file with a chunk `s` behind its header."""
    chunk = b"s" + bytes([len(payload)]) + payload
    head = container.read_head(data).chunks[0].end
    return data[:head] + chunk + struct.pack("<I", zlib.crc32(chunk)) + data[head:]


def test_what_the_chunk_may_hold(styled):
    data = encoded()
    wanted = pillow_lic.decode(data, style="perceptual")
    assert np.array_equal(pillow_lic.decode(with_chunk(data, b"\x01\xff")), wanted)
    assert np.array_equal(pillow_lic.decode(with_chunk(data, b"\x01\xff, and more")), wanted)
    plain = pillow_lic.decode(data)
    assert np.array_equal(pillow_lic.decode(with_chunk(data, b"\x02\xff")), plain)  # a synthesis of later versions
    assert np.array_equal(pillow_lic.decode(with_chunk(data, b"\x01\x00")), plain)
    assert np.array_equal(pillow_lic.decode(with_chunk(data, b"\x01")), plain)
    with pytest.raises(LicCorruptChunk, match="second chunk 's'"):
        pillow_lic.decode(with_chunk(with_chunk(data, b"\x01\xff"), b"\x01\xff"))


def test_a_blend_costs_more(styled):
    """A file that wants two syntheses is counted as what it costs."""
    data = encoded(style="perceptual:0.5")
    pillow_lic.set_limits(pixels=8000, models="any")
    try:
        pillow_lic.decode(data, style="perceptual")
        with pytest.raises(LicLimitExceeded):
            pillow_lic.decode(data)
    finally:
        pillow_lic.set_limits()


def test_damaged_and_foreign_synthesis(tmp_path):
    second = second_synthesis()
    folder = copied(tmp_path / "damaged", "damaged", perceptual=second)
    data = bytearray((folder / PERCEPTUAL).read_bytes())
    data[-1] ^= 1
    (folder / PERCEPTUAL).write_bytes(data)
    with pytest.raises(LicModelMissing, match=r"perceptual\.safetensors is not the file that its manifest names"):
        registry.register(folder)
    gdn = copied(tmp_path / "gdn", "gdn", perceptual=second, network={"family": "hyperprior"})
    with pytest.raises(LicModelMissing, match="perceptual is for networks of the photo family"):
        registry.register(gdn)


def test_the_command_line(styled, tmp_path, capsys):
    source = tmp_path / "a.lic"
    source.write_bytes(encoded())
    assert (
        main(["decode", str(source), "--style", "perceptual", "--strength", "0.7", "-o", str(tmp_path / "a.png")]) == 0
    )
    with Image.open(tmp_path / "a.png") as im:
        assert np.array_equal(np.asarray(im), pillow_lic.decode(source, style="perceptual:0.7"))
    picture_file = tmp_path / "b.png"
    Image.fromarray(picture(40, 40)).save(picture_file)
    assert main(["encode", str(picture_file), "-m", NAME, "--screen", "off", "--style", "perceptual"]) == 0
    assert main(["info", str(tmp_path / "b.lic")]) == 0
    assert "synthesis 1, strength 255" in capsys.readouterr().out


def test_pytorchs_engine(styled, monkeypatch):
    """The same pictures but for rounding."""
    pytest.importorskip("torch")
    data = encoded(quality=40)
    native = [pillow_lic.decode(data, style=style).astype(int) for style in ("default", "perceptual:0.5", "perceptual")]
    monkeypatch.setenv("PILLOW_LIC_ENGINE", "torch")
    for style, wanted in zip(("default", "perceptual:0.5", "perceptual"), native):
        apart = np.abs(pillow_lic.decode(data, style=style).astype(int) - wanted)
        assert apart.mean() < 0.5, style
