"""EXIF that is checked, resolution and comment, and EXIF that costs much. A fake codec stands in for the networks."""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps
from saved_images import exif, opened, saved

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.container import exif as tiff

pytestmark = pytest.mark.usefixtures("fake_engine")

WRONG = [b"invalid", b"Exif\0\0invalid", b"\0", b"II\x2b\0\0\0\0\0", b"\xff\xe1", b"GIF89a"]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_exif_is_refused(image, wrong, tmp_path):
    for given in (wrong, bytearray(wrong), memoryview(wrong)):
        with pytest.raises(errors.LicBadOption, match="exif is no TIFF structure"):
            image().save(tmp_path / "a.lic", exif=given)
    assert not (tmp_path / "a.lic").exists()
    with pytest.raises(errors.LicBadOption, match="exif is no TIFF structure"):
        pillow_lic.encode(np.zeros((9, 9), np.uint8), exif=wrong)


@pytest.mark.parametrize("kind", [lambda e: e, lambda e: e.tobytes(), lambda e: e.tobytes()[6:]])
def test_exif_of_a_picture_without_any_writes_nothing(image, kind):
    im = image()
    assert saved(im, exif=kind(im.getexif())) == saved(im)
    assert saved(im, exif=kind(Image.Exif())) == saved(im)


# ---- Resolution and comment ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dpi", [(300, 300), (72.5, 96), (np.float64(150), np.int32(75)), [0.25, 100000]])
def test_resolution(image, dpi):
    im = opened(saved(image(), dpi=dpi))
    assert im.info["dpi"] == pytest.approx(tuple(map(float, dpi)), rel=1e-4)
    assert im.getexif()[ExifTags.Base.ResolutionUnit] == 2
    assert float(im.getexif()[ExifTags.Base.XResolution]) == pytest.approx(float(dpi[0]), rel=1e-4)


@pytest.mark.parametrize("dpi", [(0, 0), None])
def test_no_resolution(image, dpi):
    assert saved(image(), dpi=dpi) == saved(image())


@pytest.mark.parametrize("dpi", [300, (300,), (1, 2, 3), "ab", (-1, -1), (float("nan"), 1), (float("inf"), 1), (1, 0)])
def test_wrong_resolution(image, dpi):
    with pytest.raises(errors.LicBadOption, match="dpi must be two numbers"):
        saved(image(), dpi=dpi)


@pytest.mark.parametrize("comment", [b"words", "w\xf6rter", b"\xff\xfe\0raw", "x" * 70000])
def test_comment(image, comment):
    im = opened(saved(image(), comment=comment))
    assert im.info["comment"] == (comment.encode() if isinstance(comment, str) else comment)
    if len(comment) < 65000:
        buffer = io.BytesIO()
        im.save(buffer, "JPEG")
        assert Image.open(buffer).info["comment"] == im.info["comment"]


def test_comment_of_nothing_and_of_the_wrong_type(image):
    for nothing in ("", b"", None):
        assert saved(image(), comment=nothing) == saved(image())
    with pytest.raises(errors.LicBadOption, match="comment must be text or bytes"):
        saved(image(), comment=5)


@pytest.mark.parametrize("order", [b"II", b"MM"])
def test_resolution_and_comment_beside_exif(image, order):
    """What is there stays, and stays where it is: makers' notes point at places."""
    given = Image.Exif()
    given.endian = "<" if order == b"II" else ">"
    given[ExifTags.Base.ImageDescription] = "made up"
    given[ExifTags.Base.XResolution] = 50.0
    given.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.LensModel] = "a lens"
    raw = given.tobytes()[6:]
    assert raw.startswith(order)
    im = opened(saved(image(), exif=raw, dpi=(300, 200), comment=b"words"))
    assert im.info["exif"][6 + 8 :].startswith(raw[8:])
    assert (im.info["dpi"], im.info["comment"]) == ((300.0, 200.0), b"words")
    back = im.getexif()
    assert back[ExifTags.Base.ImageDescription] == "made up"
    assert back.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.LensModel] == "a lens"
    assert back.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] == bytes(8) + b"words"
    assert ImageOps.exif_transpose(im).size == im.size


def test_exif_of_others_is_read():
    given = Image.Exif()
    given[ExifTags.Base.XResolution] = given[ExifTags.Base.YResolution] = 100.0
    given[ExifTags.Base.ResolutionUnit] = 3
    given.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b"UNICODE\0" + "w\xf6rter".encode("utf-16-be")
    raw = given.tobytes()[6:]
    assert tiff.resolution(raw) == pytest.approx((254, 254))
    assert tiff.comment(raw) == "w\xf6rter".encode()
    for code, text in (
        (b"ASCII\0\0\0", b"words\0"),
        (bytes(8), bytes(40)),
        (b"JIS\0\0\0\0\0", b"?"),
        (b"ASCII\0\0\0", b"  "),
    ):
        given.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = code + text
        assert tiff.comment(given.tobytes()[6:]) == (b"words" if b"words" in text else None)


def test_damaged_exif_is_read_without_error():
    raw = exif().tobytes()[6:]
    stated = tiff.stating(raw, (300, 300), b"words")
    rng = np.random.default_rng(3)
    for size in range(len(stated)):
        for part in (stated[:size], bytes(rng.integers(0, 256, 40, np.uint8)) + stated[:size]):
            tiff.resolution(part), tiff.comment(part), tiff.overlaps(part), tiff.states_anything(part)
    for _ in range(500):
        damaged = bytearray(stated)
        damaged[rng.integers(4, len(damaged))] = rng.integers(0, 256)
        tiff.resolution(bytes(damaged)), tiff.comment(bytes(damaged)), tiff.overlaps(bytes(damaged))
    with pytest.raises(ValueError, match="damaged"):
        tiff.stating(b"II*\0\xff\0\0\0", (300, 300), None)


def test_damaged_exif_with_resolution_is_refused(image):
    with pytest.raises(errors.LicBadOption, match="leave it out"):
        saved(image(), exif=b"II*\0\xff\0\0\0", dpi=(300, 300))


# ---- EXIF that costs much -----------------------------------------------------------------------------------------


def bomb(tags: int, size: int, at: str) -> bytes:
    """All values of a directory are the same bytes, which is quadratic for a reader (Pillow before 13)."""
    body = bytearray(b"II*\0" + struct.pack("<I", 8))
    if at != "first":  # the directory hangs below the first
        pointer = {"exif": 0x8769, "gps": 0x8825}[at]
        body += struct.pack("<HHHIII", 1, pointer, 4, 1, 26, 0)
    place = len(body) + 14 + 12 * tags
    rows = b"".join(struct.pack("<HHII", 0x1000 + n % 50000, 7, size - place, place) for n in range(tags))
    return bytes(body + struct.pack("<H", tags) + rows).ljust(size, b"\0")


@pytest.mark.parametrize("at", ["first", "exif", "gps"])
def test_exif_whose_values_overlap_is_left_out(at):
    data = pillow_lic.encode(np.zeros((16, 16), np.uint8), exif=bomb(400, 1 << 22, at))
    with pytest.warns(UserWarning, match="EXIF is left out") as caught:
        im = opened(data)
    assert caught[0].filename == opened.__code__.co_filename
    assert "exif" not in im.info
    assert not im.getexif()
    im.load()


def test_honest_exif_is_kept():
    given = Image.Exif()
    for n in range(60):
        given[0xC000 + n] = b"x" * 5000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        im = opened(saved(Image.new("L", (9, 9)), exif=given))
    assert dict(im.getexif()) == dict(given)
    assert container.read(saved(Image.new("L", (9, 9)), exif=given)).exif == given.tobytes()[6:]


# ---- Colour coding points -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lossless", [False, True])
def test_colour_coding_points_there_and_back(image, lossless):
    """Given, or of the image; three numbers are of full range; None drops them; keep changes nothing else."""
    im = image()
    assert "cicp" not in opened(saved(im, lossless=lossless)).info
    first = opened(saved(im, lossless=lossless, cicp=(9, 16, 0)))
    assert first.info["cicp"] == (9, 16, 0, 1)
    assert opened(saved(first, lossless=lossless)).info["cicp"] == (9, 16, 0, 1)
    assert "cicp" not in opened(saved(first, lossless=lossless, cicp=None)).info
    kept = opened(saved(first, quality="keep", cicp=(1, 13, 6, False)))
    assert kept.info["cicp"] == (1, 13, 6, 0)
    assert opened(saved(first, quality="keep")).info["cicp"] == (9, 16, 0, 1)
    kept.load()
    assert kept.tobytes() == first.tobytes()


@pytest.mark.parametrize("cicp", [(1, 2), (1, 2, 300), "bt709", 5, (1, 2, 3, 2), (1.5, 2, 3)])
def test_wrong_colour_coding_points(image, cicp):
    with pytest.raises(errors.LicBadOption, match="cicp must be"):
        saved(image(), cicp=cicp)
