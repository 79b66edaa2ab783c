"""lossless=True through Pillow: every mode that can be kept exactly is, the others are refused by name."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

MODES = {"L": "L", "LA": "LA", "P": "RGB", "PA": "RGBA", "RGB": "RGB", "RGBA": "RGBA"}
DEEP = {"I;16": "I;16", "I;16B": "I;16", "I": "I"}


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


@pytest.mark.parametrize("mode", DEEP)
@pytest.mark.parametrize("size", [(1, 1), (37, 23), (300, 2)])
def test_every_mode_of_more_than_8_bits(mode, size):
    rng = np.random.default_rng(size)
    numbers = rng.integers(0, 70 if mode == "I" else 65536, size[::-1]) * (1 if mode == "I;16B" else 900 % 65536)
    if mode == "I":
        image = Image.fromarray((numbers - 31000).astype(np.int32))
    else:
        order = ">u2" if mode == "I;16B" else "<u2"
        image = Image.frombytes(mode, size, (numbers % 65536).astype(order).tobytes())
    found = again(image)
    assert found.mode == DEEP[mode]
    assert found.info["lossless"]
    assert np.array_equal(np.asarray(found), np.asarray(image))


EXIF = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x01\0\0\0\0\0\0"  # an orientation


def test_metadata_goes_along():
    found = again(noise("RGB"), xmp=b"<x/>", exif=EXIF)
    assert found.info["xmp"] == b"<x/>"
    assert "exif" in found.info
