"""Numbers and resolutions that files state: what other formats keep of them, and that it is said where they do not."""

from __future__ import annotations

import numpy as np
import pytest
from commands import lic
from PIL import Image

import pillow_lic
from pillow_lic.cli import DONE

RAMP = np.linspace(0, 1, 40 * 50).reshape(40, 50)
STATED = {  # an array, and how PNG keeps its values
    "negative": ((RAMP * 1100 - 100).astype(np.int32), "integers from -100 to 3995 become 0 to 4095"),
    "large": ((RAMP * 1e6).astype(np.int32), "integers from 0 to 1e+06 become 0 to 65535"),
    "small": ((RAMP * 3000).astype(np.int32), None),
    "floats": ((RAMP * 8 - 3).astype(np.float32), "floats from -3 to 5 become 0 to 65535"),
    "shares": (RAMP.astype(np.float32), "floats from 0 to 1 become 0 to 65535"),
    "colours": ((RAMP[:, :, None] * [1, 2, 3]).astype(np.float32), "floats from 0 to 3 become 0 to 65535"),
    "samples": ((RAMP * 3000).astype(np.uint16), None),
}


@pytest.fixture(params=STATED)
def stated(request, tmp_path):
    """A lossless file, its numbers, and what of them is lost in PNG."""
    array, lost = STATED[request.param]
    (tmp_path / "a.lic").write_bytes(pillow_lic.encode(array, lossless=True))
    return tmp_path, array, lost


def test_values_that_are_not_kept_are_said(stated, capsys):
    folder, array, lost = stated
    assert lic("decode", folder / "a.lic", "-o", folder / "a.png") == DONE
    said = capsys.readouterr().err
    if lost is None:
        assert said == ""
        assert (np.asarray(Image.open(folder / "a.png")) == array).all()
    else:
        assert f"its values are not kept: {lost}; TIFF keeps them" in said
    assert lic("decode", folder / "a.lic", "-o", folder / "a.tif") == DONE
    assert capsys.readouterr().err == ""


def test_formats_of_8_bits_name_those_that_keep_all(stated, capsys):
    folder, _, lost = stated
    assert lic("decode", folder / "a.lic", "-o", folder / "a.jpg") == DONE
    keeps = "PNG and TIFF keep" if lost is None else "TIFF keeps"
    assert f"bits are kept; {keeps} them all" in capsys.readouterr().err


def test_smaller_pictures_have_8_bits(stated, capsys):
    folder, _, _ = stated
    assert lic("decode", "--scale", "4", folder / "a.lic", "-o", folder / "a.png") == DONE
    assert "depth is lost: smaller pictures have 8 of its" in capsys.readouterr().err


# ---- Resolution -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["none", "stated", "EXIF alone"])
@pytest.mark.parametrize("suffix", ["tif", "jpg"])
def test_resolutions_that_nobody_stated(tmp_path, suffix, how):
    """Pillow tells 1 dot an inch of such a TIFF, and 72 of a JPEG with EXIF."""
    exif, options = Image.Exif(), {"dpi": (300, 150)} if how == "stated" else {}
    exif[0x010E] = "made up"
    if how == "EXIF alone":
        exif[0x011A], exif[0x011B], exif[0x0128] = 300.0, 150.0, 2
    Image.new("RGB", (20, 10)).save(tmp_path / f"a.{suffix}", exif=exif, **options)
    assert lic("encode", tmp_path / f"a.{suffix}", "--lossless") == DONE
    found = Image.open(tmp_path / "a.lic")
    assert found.getexif()[0x010E] == "made up"
    assert found.info.get("dpi") == (None if how == "none" else (300.0, 150.0))


@pytest.mark.parametrize("bands", [2, 4])
def test_transparency_that_a_format_has_not(bands, tmp_path, capsys):
    array = np.full((8, 9, bands), 40, np.uint8)
    array[:, :4, -1] = 0
    array[:, 4:, -1] = 255
    (tmp_path / "a.lic").write_bytes(pillow_lic.encode(array, lossless=True))
    assert lic("decode", tmp_path / "a.lic", "-o", tmp_path / "a.jpg") == DONE
    assert "has no transparency: what shows through is white" in capsys.readouterr().err
    shown = np.asarray(Image.open(tmp_path / "a.jpg").convert("L"), int)
    assert shown[:, 0].min() > 230
    assert abs(shown[:, -1] - 40).max() < 12
