"""lossless=True through Pillow: every mode that can be kept exactly is, the others are refused by name."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pillow_lic.errors import LicBadOption

MODES = {"1": "L", "L": "L", "LA": "LA", "P": "RGB", "PA": "RGBA", "RGB": "RGB", "RGBA": "RGBA", "RGBX": "RGB"}


def noise(mode: str) -> Image.Image:
    array = np.random.default_rng(3).integers(0, 256, (31, 47, 4), np.uint8)
    image = Image.fromarray(array).convert("RGB") if mode not in ("LA", "RGBA", "PA") else Image.fromarray(array)
    if mode == "PA":
        palette = Image.fromarray(array[:, :, :3]).quantize(40)
        pair = Image.new("PA", palette.size)
        pair.putpalette(palette.getpalette())
        pair.paste(palette.convert("PA"))
        return pair
    return image.quantize(200) if mode == "P" else image.convert(mode)


def again(image: Image.Image, **options) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "LIC", lossless=True, **options)
    found = Image.open(io.BytesIO(buffer.getvalue()))
    found.load()
    return found


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_that_can_be_kept(mode):
    image = noise(mode)
    found = again(image)
    assert found.mode == MODES[mode]
    assert found.info["lossless"]
    assert np.array_equal(np.asarray(found), np.asarray(image.convert(MODES[mode])))


@pytest.mark.parametrize(("mode", "key"), [("L", 7), ("RGB", (1, 2, 3)), ("P", 5)])
def test_transparent_colours(mode, key):
    image = noise(mode)
    image.info["transparency"] = image.getpixel((0, 0)) if mode != "P" else key
    found = again(image)
    wanted = image.convert("LA" if mode == "L" else "RGBA")
    assert found.mode == wanted.mode
    assert np.array_equal(np.asarray(found), np.asarray(wanted))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "HSV", "F", "I", "RGBa", "La"])
def test_what_cannot_is_refused_by_name(mode):
    with pytest.raises(LicBadOption, match=rf"lossless: mode {mode} cannot be kept exactly.*convert"):
        again(Image.new(mode, (4, 5)))


EXIF = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x01\0\0\0\0\0\0"  # an orientation


def test_metadata_goes_along():
    found = again(noise("RGB"), xmp=b"<x/>", exif=EXIF)
    assert found.info["xmp"] == b"<x/>"
    assert "exif" in found.info
