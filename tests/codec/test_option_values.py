"""What options may be: NumPy's scalars do as Python's; all else is refused by name, whatever it is."""

from __future__ import annotations

import io
import math
from fractions import Fraction

import numpy as np
import pytest
from pictures import picture
from PIL import Image

import pillow_lic
from pillow_lic import errors, values

pytestmark = pytest.mark.quick

ARRAY = picture(20, 24)
NAMES = ("quality", "target_size", "target_bpp", "ratio", "target_psnr", "tune", "effort", "lossless", "screen")
NAMES += ("exact", "progressive", "uniform", "preview", "background", "depth")
STRANGE = [10**400, -(10**400), np.array([1, 2]), float("nan"), "\ud800", object(), [], 1j]


def saved(**options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(ARRAY).save(file, "LIC", **options)
    return file.getvalue()


@pytest.mark.parametrize("name", ["lossless", "exact", "progressive", "preview", "uniform"])
def test_switches_of_numpy(name):
    options = {"lossless": True} if name in ("lossless", "exact") else {"model": "toy", "effort": 0}
    for value in (False, True):
        assert saved(**(options | {name: np.bool_(value)})) == saved(**(options | {name: value}))


@pytest.mark.parametrize("value", STRANGE, ids=lambda one: repr(one)[:12])
@pytest.mark.parametrize(
    "name",
    NAMES,
)
def test_strange_values_of_encode(name, value):
    with pytest.raises(errors.LicBadOption):
        pillow_lic.encode(ARRAY, **{name: value})


@pytest.mark.parametrize("value", [*STRANGE, True, "x"], ids=lambda one: repr(one)[:12])
@pytest.mark.parametrize("name", ["max_pixels", "truncated", "output", "scale", "order", "dtype"])
def test_strange_values_of_decode(name, value):
    if (name == "truncated" and value is True) or (name == "max_pixels" and type(value) in (int, float)):
        pytest.skip("means something")
    with pytest.raises(errors.LicBadOption):
        pillow_lic.decode(saved(lossless=True), **{name: value})


def test_numbers_of_numpy():
    assert saved(model="toy", quality=np.int8(40), effort=np.int64(0)) == saved(model="toy", quality=40, effort=0)
    data = saved(model="toy", quality=40)
    assert np.array_equal(pillow_lic.decode(data, scale=np.int64(4)), pillow_lic.decode(data, scale=4))
    small = Image.fromarray(picture(40, 40))
    assert pillow_lic.compact(small, quality=np.int64(30)) == pillow_lic.compact(small, quality=30)
    bands = np.arange(4 * 5 * 3, dtype=">u2").reshape(4, 5, 3)
    made = pillow_lic.encode_bands(bands, quality=90)
    assert made == pillow_lic.encode_bands(bands.astype(np.uint16), quality=90)
    with pytest.raises(errors.LicBadOption, match="max_pixels"):
        pillow_lic.decode_bands(made, max_pixels="x")


def test_what_is_of_another_kind_altogether():
    data = saved(lossless=True)
    for call in (
        lambda: saved(xmp="\ud800"),
        lambda: saved(append_images=5),
        lambda: pillow_lic.decode(io.StringIO("x")),
        lambda: pillow_lic.register_model(5),
    ):
        with pytest.raises(errors.LicBadOption):
            call()
    assert pillow_lic.decode(io.BytesIO(data)).shape == ARRAY.shape


def test_real():
    assert values.real(np.uint8(200)) == 200.0
    assert values.real(Fraction(1, 4)) == 0.25
    assert values.real(10**400) == math.inf
    assert values.real(-(10**400)) == -math.inf
    assert all(math.isnan(values.real(one)) for one in (True, "1", None, 1j))


# ---- Images of Pillow's where arrays are wanted ---------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["P", "1", "CMYK", "YCbCr", "LAB", "HSV", "La", "RGBa", "PA", "RGBX"])
def test_images_whose_numbers_are_no_grey_or_rgb_are_refused(mode):
    image = Image.new(mode, (20, 20))
    for encode in (pillow_lic.encode, lambda one, **options: pillow_lic.encode_batch([one], **options)):
        with pytest.raises(errors.LicBadOption, match=rf"mode '{mode}' is no array of grey or RGB: image\.save"):
            encode(image, lossless=True)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16", "I", "F"])
def test_images_that_are_arrays(mode):
    image = Image.linear_gradient("L").resize((20, 20)).convert("F" if mode == "F" else mode if mode != "I;16" else "I")
    image = image.convert(mode)
    assert np.array_equal(pillow_lic.decode(pillow_lic.encode(image, lossless=True)), np.asarray(image))


# ---- Masks ----------------------------------------------------------------------------------------------------------


def test_masks_of_floats_and_images():
    inside = np.zeros((20, 24), np.float32)
    inside[:, :12] = 1
    options = {"model": "toy", "quality": 60, "effort": 0}
    for name in ("roi", "importance"):
        wanted = saved(**options, **{name: inside})
        for mask in (Image.fromarray(inside), Image.fromarray((inside * 255).astype(np.uint8)), inside > 0.5):
            assert saved(**options, **{name: mask}) == wanted
        for wrong in (Image.new("RGBA", (24, 20)), Image.new("LA", (24, 20)), Image.new("I", (24, 20))):
            with pytest.raises(errors.LicBadOption, match=f"{name} must be a picture of 1, L or F"):
                saved(**options, **{name: wrong})
        with pytest.raises(errors.LicBadOption, match=f"{name} must hold booleans"):
            saved(**options, **{name: Image.new("F", (24, 20), 200.0)})


# ---- Files of others ------------------------------------------------------------------------------------------------


class Plain:
    """What Pillow asks of a file to read from, and nothing else."""

    def __init__(self, data: bytes):
        self.file = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self.file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()


def test_files_that_read_seek_and_tell():
    data = saved(model="toy")
    with Image.open(Plain(data)) as image:
        assert np.array_equal(np.asarray(image), pillow_lic.decode(data))
