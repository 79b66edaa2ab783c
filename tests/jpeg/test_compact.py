"""Compact files: plain JPEG, WebP and AVIF of half the size, which come back at the size of their original; what cannot
be one is refused by name.
"""

from __future__ import annotations

import io

import numpy as np
import pytest
from enhancers import broken, is_refused
from pictures import picture
from PIL import Image, features

import pillow_lic
from pillow_lic import errors
from pillow_lic.cli import main
from pillow_lic.jpeg import marker, tables
from pillow_lic.jpeg.compact import FORMATS

pytestmark = pytest.mark.network


def photograph(mode: str = "RGB", width: int = 320, height: int = 240) -> Image.Image:
    from skimage.data import chelsea

    return Image.fromarray(chelsea()[40 : 40 + height, 60 : 60 + width]).convert(mode)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def psnr(a, b) -> float:
    return 10 * np.log10(255**2 / (np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2) + 1e-6))


def missing(kind: str) -> bool:
    return kind != "JPEG" and not features.check(kind.lower())


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (16, 16), (33, 47), (320, 239)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_any_size_comes_back(kind, size, mode):
    if missing(kind):
        pytest.skip(f"this Pillow has no {kind}")
    image = Image.fromarray(picture(*size[::-1], seed=3)).convert(mode)
    data = pillow_lic.compact(image, quality=60, format=kind)
    small = opened(data)
    assert (small.format, small.size) == (kind, marker.half(size))
    large = pillow_lic.enhance(data)
    assert large.size == size
    assert large.mode == ("RGB" if kind == "WEBP" else mode)
    assert psnr(large, image.convert(large.mode)) > 10
    assert pillow_lic.enhance(small).size == size


@pytest.mark.parametrize("quality", [10, 20, 40])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_it_is_better_than_an_enlargement(quality, mode):
    image = photograph(mode)
    data = pillow_lic.compact(image, quality=quality)
    cubic = opened(data).resize(image.size, Image.Resampling.BICUBIC)
    assert psnr(pillow_lic.enhance(data), image) > psnr(cubic, image) + 0.15


def test_at_few_bits_it_is_better_than_a_jpeg():
    image = photograph()
    data = pillow_lic.compact(image, quality=20)
    file = io.BytesIO()
    for quality in range(1, 60):  # the first that is larger
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality, optimize=True)
        if len(file.getvalue()) > len(data):
            break
    assert psnr(pillow_lic.enhance(data), image) > psnr(opened(file.getvalue()), image) + 1


def test_files_are_plain_and_say_what_they_are():
    exif = Image.Exif()
    exif[0x010E] = "a cat"
    image = photograph()
    image.info |= {"icc_profile": b"some profile", "exif": exif.tobytes(), "dpi": (72, 72), "comment": b"of before"}
    data = pillow_lic.compact(image)
    small = opened(data)
    assert small.info["comment"] == b"pillow-lic compact 1: 320 x 240"
    assert data.index(b"pillow-lic compact 1") < 1024
    assert small.quantization == {0: tables.tables_of(30)[0], 1: tables.tables_of(30)[1]}
    better = pillow_lic.enhance(data)
    assert better.info["icc_profile"] == b"some profile"
    assert better.getexif()[0x010E] == "a cat"
    assert pillow_lic.compact(image) == data


def test_odd_sides_stay_in_place():
    """The last column counts twice: an odd picture's file is that of the even one which repeats it."""
    odd = photograph(width=39, height=25)
    even = np.pad(np.asarray(odd), ((0, 1), (0, 1), (0, 0)), mode="edge")
    a, b = (opened(pillow_lic.compact(image)) for image in (odd, Image.fromarray(even)))
    assert np.array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("mode", ["1", "P", "YCbCr"])
def test_other_modes_are_converted(mode):
    assert pillow_lic.enhance(pillow_lic.compact(photograph().convert(mode))).size == (320, 240)


def test_a_scale_can_be_asked_for():
    image = photograph()
    data = pillow_lic.compact(image.crop((0, 0, 321, 239)))
    assert pillow_lic.enhance(data).size == (321, 239)
    assert pillow_lic.enhance(data, scale=2).size == (322, 240)
    assert pillow_lic.enhance(data, scale=1).size == (161, 120)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=30)
    assert pillow_lic.enhance(file.getvalue()).size == image.size
    assert pillow_lic.enhance(file.getvalue(), scale=2).size == (640, 480)


@pytest.mark.parametrize(
    "comment",
    [
        b"pillow-lic compact 1: 324 x 240",
        b"pillow-lic compact 1: 319 x 238",
        b"pillow-lic compact 1: 0 x 240",
        b"pillow-lic compact 1: 3200 x 240",
        b"pillow-lic compact 1: 9999999999999999999999 x 240",
        b"pillow-lic compact 2: 320 x 240",
        b" " * 5000 + b"pillow-lic compact 1: 320 x 240",
        b"",
    ],
)
def test_what_a_comment_says_of_another_size_is_not_believed(comment):
    file = io.BytesIO()
    photograph(width=160, height=120).save(file, "JPEG", comment=comment)
    assert pillow_lic.enhance(file.getvalue()).size == (160, 120)


@pytest.mark.parametrize(
    ("image", "options", "match"),
    [
        (photograph("RGBA"), {}, "transparency"),
        (photograph("LA"), {}, "transparency"),
        (Image.new("I;16", (4, 4)), {}, "mode I;16"),
        (photograph("CMYK"), {}, "mode CMYK"),
        (Image.new("RGB", (0, 4)), {}, "no pixels"),
        (b"bytes", {}, "found bytes"),
        (photograph(), {"quality": 0}, "quality"),
        (photograph(), {"quality": 101}, "quality"),
        (photograph(), {"quality": 30.5}, "quality"),
        (photograph(), {"format": "PNG"}, "format"),
        (photograph(), {"format": None}, "format is None"),
        (Image.new("L", (40000, 2)), {"format": "WEBP"}, "WEBP"),
        (Image.new("L", (140000, 2)), {}, "JPEG"),
    ],
)
def test_what_cannot_be_compact_is_refused(image, options, match):
    with pytest.raises(errors.LicBadOption, match=match):
        pillow_lic.compact(image, **options)


def test_transparent_palettes_are_refused():
    image = photograph("P")
    image.info["transparency"] = 3
    with pytest.raises(errors.LicBadOption, match="flatten"):
        pillow_lic.compact(image)


@pytest.mark.parametrize("scale", [0, 3, "2", True])
def test_other_scales_are_refused(scale):
    with pytest.raises(errors.LicBadOption, match="scale"):
        pillow_lic.enhance(pillow_lic.compact(photograph()), scale=scale)


def test_large_results_are_refused(monkeypatch):
    data = pillow_lic.compact(photograph())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30000)
    with pytest.raises(errors.LicLimitExceeded, match="320 x 240"):
        pillow_lic.enhance(data)
    assert pillow_lic.enhance(data, scale=1).size == (160, 120)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("seed", range(8))
def test_broken_files_come_back_or_are_refused_by_name(seed, kind):
    if missing(kind):
        pytest.skip(f"this Pillow has no {kind}")
    data = pillow_lic.compact(photograph(), format=kind)
    refused = is_refused(broken(data, seed, len(data) // 2))
    assert refused or seed % 2 == 0, "what breaks off is refused"


def test_the_command(tmp_path, capsys):
    path = tmp_path / "a.png"
    photograph(width=301, height=201).save(path)
    assert main(["compact", str(path)]) == 0
    assert "bits a pixel of 301 x 201" in capsys.readouterr().out
    small = tmp_path / "a.compact.jpg"
    assert small.read_bytes() == pillow_lic.compact(Image.open(path))
    assert main(["enhance", str(small)]) == 0
    assert Image.open(tmp_path / "a.compact.enhanced.png").size == (301, 201)
    assert main(["enhance", str(small), "--scale", "1", "-o", str(tmp_path / "b.png")]) == 0
    assert Image.open(tmp_path / "b.png").size == (151, 101)
    assert main(["compact", str(path), "-q", "50", "-o", str(tmp_path / "b.webp")]) == 0
    assert Image.open(tmp_path / "b.webp").size == (151, 101)
    assert main(["compact", str(path)]) == 2  # it exists
    assert main(["compact", str(path), "-o", str(tmp_path / "b.gif")]) == 2
    assert main(["compact", str(path), "-q", "0", "-o", str(tmp_path / "c.jpg")]) == 2
    small.rename(tmp_path / "s.jpg")
    assert main(["compact", str(tmp_path / "s.jpg"), "-f", "-o", str(tmp_path / "s.jpg")]) == 2  # never in place
