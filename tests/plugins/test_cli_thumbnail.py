"""Small pictures of what Pillow cannot show or shrink as it is: more than 8 bits, palettes, transparent colours."""

from __future__ import annotations

import numpy as np
import pytest
from commands import lic
from PIL import Image, ImageChops

import pillow_lic
from pillow_lic.cli import DONE

pytestmark = pytest.mark.usefixtures("fake_engine")

RAMP = np.linspace(0, 1, 64 * 96).reshape(64, 96)
DEEP = {
    "ten.png": (RAMP * 1000).astype(np.uint16),
    "sixteen.png": (RAMP * 60000).astype(np.uint16),
    "sixteen.tif": (RAMP * 4095).astype(np.uint16),
    "negative.tif": (RAMP * 1100 - 100).astype(np.int32),
    "large.tif": (RAMP * 2e6).astype(np.int32),
    "float.tif": RAMP.astype(np.float32),
    "heights.tif": (RAMP * 8000 - 400).astype(np.float32),
}


def grey(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L")).astype(int)


@pytest.mark.parametrize("name", DEEP)
def test_more_than_8_bits_are_reduced(name, tmp_path, capsys):
    """Of the picture, and of its .lic files, exact and not: as `lic decode` shows them."""
    source, shown = tmp_path / name, tmp_path / "shown.png"
    Image.fromarray(DEEP[name]).save(source)
    assert lic("encode", "--lossless", source, "-o", tmp_path / "exact.lic") == DONE
    assert lic("encode", "-q", 95, source, "-o", tmp_path / "lossy.lic") == DONE
    for file in (source, tmp_path / "exact.lic", tmp_path / "lossy.lic"):
        origin = file if file.suffix == ".lic" else tmp_path / "exact.lic"
        assert lic("decode", origin, "-o", tmp_path / "wanted.bmp", "-f") == DONE
        assert lic("thumbnail", file, "-o", shown, "-s", 96, "-f") == DONE
        with Image.open(shown) as image:
            assert image.mode == "L"
        assert np.abs(grey(shown) - grey(tmp_path / "wanted.bmp")).max() <= 1
        assert len(np.unique(grey(shown))) > 50
        capsys.readouterr()
        assert lic("placeholder", file) == DONE
        text = capsys.readouterr().out.split()[0]
        assert lic("placeholder", tmp_path / "wanted.bmp") == DONE
        found, wanted = (_blurred(one) for one in (text, capsys.readouterr().out.split()[0]))
        assert np.abs(found - wanted).max() < 12


def _blurred(text: str) -> np.ndarray:
    import base64

    return np.asarray(pillow_lic.placeholder_image(base64.b64decode(text), (8, 8))).astype(int)


def test_a_transparent_grey(tmp_path):
    array = (RAMP * 60000).astype(np.uint16)
    array[:, :48] = 12345
    Image.fromarray(array).save(tmp_path / "a.png", transparency=12345)
    assert lic("thumbnail", tmp_path / "a.png", "-o", tmp_path / "b.png") == DONE
    with Image.open(tmp_path / "b.png") as image:
        assert image.mode == "LA"
        assert [image.getpixel(at)[1] for at in ((5, 5), (80, 5))] == [0, 255]


@pytest.fixture
def palette(make_picture, tmp_path):
    """Of a transparent colour, and without."""
    picture = Image.fromarray(make_picture(60, 120)).quantize(64)
    picture.save(tmp_path / "opaque.png")
    picture.paste(63, (0, 0, 60, 60))
    picture.save(tmp_path / "clear.png", transparency=63)
    return tmp_path


def test_palettes_are_colours(palette):
    with Image.open(palette / "opaque.png") as image:
        wanted = image.convert("RGB")
        wanted.thumbnail((30, 30))
    assert lic("thumbnail", palette / "opaque.png", "-o", palette / "a.png", "-s", 30) == DONE
    with Image.open(palette / "a.png") as small:
        assert ImageChops.difference(small, wanted).getbbox() is None
    assert lic("thumbnail", palette / "clear.png", "-o", palette / "b.png", "-s", 30) == DONE
    with Image.open(palette / "b.png") as small:
        assert small.mode == "RGBA"
        assert (small.getpixel((3, 3))[3], small.getpixel((25, 3))[3]) == (0, 255)


@pytest.mark.parametrize("suffix", ["jpg", "bmp", "ppm", "psd"])
def test_formats_without_alpha_get_white(palette, suffix):
    """And endings of formats that Pillow only reads are PNG, as unknown ones are."""
    target = palette / f"a.{suffix}"
    for source in ("clear.png", "opaque.png"):
        assert lic("thumbnail", palette / source, "-o", target, "-f") == DONE
    assert lic("thumbnail", palette / "clear.png", "-o", palette / "b.jpg") == DONE
    with Image.open(palette / "b.jpg") as small:
        assert min(small.getpixel((10, 10))) > 240


def test_a_transparent_colour_is_not_resized(tmp_path):
    """RGB with a transparent colour, between which and others there are none of it."""
    array = np.full((40, 40, 3), 200, np.uint8)
    array[:, ::2] = (1, 2, 3)
    Image.fromarray(array).save(tmp_path / "a.png", transparency=(1, 2, 3))
    assert lic("thumbnail", tmp_path / "a.png", "-o", tmp_path / "b.png", "-s", 10) == DONE
    with Image.open(tmp_path / "b.png") as small:
        assert small.mode == "RGBA"
        assert 100 < small.getpixel((5, 5))[3] < 156
