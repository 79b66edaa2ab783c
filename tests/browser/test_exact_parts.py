"""The container and the exact parts of files in browsers: JavaScript alone, so node will do."""

from __future__ import annotations

import io
from pathlib import Path

import node
import numpy as np
import pytest
from pictures import picture
from PIL import Image, ImageOps

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.codec import overlay
from pillow_lic.container.overlay import CONSTANT, PNG, WEBP, webp_data

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(autouse=True)
def _here():
    node.need_node()


def alone(mode: str, size: tuple[int, int], *rectangles: container.Rectangle) -> bytes:
    """A file that is these rectangles."""
    return container.write(container.Header.of_overlay(*size, mode), [], overlay=rectangles)


def webp(image: Image.Image, **how) -> container.Rectangle:
    buffer = io.BytesIO()
    image.convert("RGBA" if "A" in image.mode else "RGB").save(buffer, "WEBP", lossless=True, exact=True, **how)
    return container.Rectangle(0, 0, *image.size, WEBP, webp_data(buffer.getvalue()))


def png(image: Image.Image, **how) -> container.Rectangle:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **how)
    return container.Rectangle(0, 0, *image.size, PNG, buffer.getvalue())


def pictures(mode: str) -> list[Image.Image]:
    """Of kinds that a packer treats each in its own way."""
    bands = len(mode)
    rng = np.random.default_rng(bands)
    shape = (60, 83, bands)
    smooth = picture(60, 83, bands).reshape(shape)
    few = rng.integers(0, 256, (5, bands), dtype=np.uint8)[rng.integers(0, 5, shape[:2])]
    two = rng.integers(0, 256, (2, bands), dtype=np.uint8)[rng.integers(0, 2, shape[:2])]
    four = rng.integers(0, 256, (4, bands), dtype=np.uint8)[rng.integers(0, 4, shape[:2])]
    rows, columns = np.mgrid[0:60, 0:83]
    slope = (rows * 2 + columns * 1.5)[:, :, None] + rng.integers(0, 4, shape[:2])[:, :, None] * np.arange(1, bands + 1)
    slope = slope.astype(np.uint8)
    many = rng.integers(0, 256, (100, bands), dtype=np.uint8)[rng.integers(0, 100, shape[:2])]
    tiles = np.tile(smooth[:9, :13], (7, 7, 1))[: shape[0], : shape[1]]
    both = np.where(np.arange(83)[None, :, None] < 40, smooth, few)
    noise = rng.integers(0, 256, shape, dtype=np.uint8)
    ramp = np.broadcast_to(np.arange(83, dtype=np.uint8)[None, :, None] * 3, shape)
    flat = np.full(shape, 77, np.uint8)
    arrays = [
        smooth,
        few,
        two,
        four,
        slope,
        many,
        tiles,
        both,
        noise,
        ramp,
        flat,
        smooth[:1, :1],
        smooth[:, :1],
        smooth[:1],
    ]
    return [Image.fromarray(np.ascontiguousarray(a if bands > 1 else a[:, :, 0])) for a in arrays]


def test_lossless_webp_of_every_kind(tmp_path):
    files = []
    for mode in ("L", "LA", "RGB", "RGBA"):
        for image in pictures(mode):
            hows = ({"method": 0, "quality": 0}, {"method": 4, "quality": 75}, {"method": 6, "quality": 80})
            files += [alone(mode, image.size, webp(image, **how)) for how in hows]
    large = Image.fromarray(picture(200, 300))  # of several groups of codes
    files.append(alone("RGB", large.size, webp(large, method=6, quality=80)))
    assert node.decoded(files, tmp_path) == [node.shown(pillow_lic.decode(data)) for data in files]


def test_png_of_every_kind(tmp_path):
    files = []
    for mode in ("L", "LA", "RGB", "RGBA"):
        for image in pictures(mode):
            files.append(alone(mode, image.size, png(image)))
            if mode == "RGB":
                packed = overlay.as_png(image)  # with a palette of fewer bits, where that will do
                files.append(alone(mode, image.size, container.Rectangle(0, 0, *image.size, PNG, packed)))
    grey = pictures("L")[0].convert("1")
    files += [alone(mode, grey.size, png(grey)) for mode in ("L", "RGB")]
    assert node.decoded(files, tmp_path) == [node.shown(pillow_lic.decode(data)) for data in files]


def test_rectangles_lie_over_each_other_in_their_order(tmp_path):
    image = Image.fromarray(picture(20, 30))
    first = webp(image)._replace(left=5, top=3)
    second = container.Rectangle(20, 10, 40, 30, CONSTANT, bytes([1, 2, 3]))
    third = png(image)._replace(left=50, top=35)
    files = [alone("RGB", (80, 55), *these) for these in ((first, second, third), (second, first), (third,))]
    assert node.decoded(files, tmp_path) == [node.shown(pillow_lic.decode(data)) for data in files]


@pytest.mark.parametrize("endian", ["II", "MM"])
def test_orientation_of_exif(tmp_path, endian):
    image = Image.fromarray(picture(20, 31))
    files, wanted = [], []
    for orientation in range(10):
        exif = Image.Exif()
        exif.endian = "<" if endian == "II" else ">"
        exif[0x10F], exif[0x112] = "maker", orientation
        files.append(pillow_lic.encode(np.asarray(image), lossless=True, exif=exif.tobytes().removeprefix(b"Exif\0\0")))
        image.getexif()[0x112] = orientation
        wanted.append(node.shown(np.asarray(ImageOps.exif_transpose(image))))
    assert node.decoded(files, tmp_path) == wanted
    as_stored = node.decoded(files, tmp_path, imageOrientation="none")
    assert as_stored == [node.shown(np.asarray(image))] * len(files)


# ---- Refusals -----------------------------------------------------------------------------------------------------


def name_of_error(data: bytes) -> str | None:
    """By the container's own reader."""
    try:
        container.read(data)
    except errors.LicError as error:
        return type(error).__name__
    return None


def test_refusals_have_the_same_names(tmp_path):
    paths = [path for path in sorted((GOLDEN / "errors").glob("*.lic")) if not path.stem.startswith("LicCorruptTile")]
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "index.json").write_text("{}")  # so that a file whose model is unknown says so
    found = node.decoded([path.read_bytes() for path in paths], tmp_path, assets=str(tmp_path))
    assert {path.stem: one["error"] for path, one in zip(paths, found, strict=True)} == {
        path.stem: path.stem.split("-")[0] for path in paths
    }


@pytest.mark.parametrize("name", ["one-pixel", "lossless-grey-alpha", "lossless-rgba"])
def test_cut_and_damaged_files_are_refused_alike(tmp_path, name):
    data = (GOLDEN / f"{name}.lic").read_bytes()
    files = [data[:length] for length in range(0, len(data), max(1, len(data) // 100))]
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(data), 100):
        files.append(data[:at] + bytes([data[at] ^ (1 << int(rng.integers(0, 8)))]) + data[at + 1 :])
    found = node.decoded(files, tmp_path)
    assert [one["error"] for one in found] == [name_of_error(one) for one in files]


def test_limits(tmp_path):
    small = alone("RGB", (100, 100), container.Rectangle(0, 0, 1, 1, CONSTANT, bytes(3)))
    assert node.decoded([small], tmp_path, maxPixels=9999)[0]["error"] == "LicLimitExceeded"
    assert node.decoded([small], tmp_path, maxPixels=10000)[0]["width"] == 100
    assert node.decoded([small], tmp_path, imageOrientation="left")[0]["error"] == "LicBadOption"


def test_damaged_rectangles_are_refused_or_shown(tmp_path):
    """Checksums are right: whoever made these files meant harm."""
    rng = np.random.default_rng(7)
    files = []
    for image in pictures("RGB")[:9]:
        for one in (webp(image, method=4, quality=80), png(image)):
            for _ in range(12):
                data = bytearray(one.data)
                for at in rng.integers(5 if one.method == WEBP else 41, len(data), 3):
                    data[at] = rng.integers(0, 256)
                try:
                    files.append(alone("RGB", image.size, one._replace(data=bytes(data))))
                except errors.LicBadOption:  # of what a PNG's chunks say
                    continue
    found = node.decoded(files, tmp_path)  # which fails where something else than a LicError is thrown
    assert {one.get("error", "shown") for one in found} <= {"LicCorruptChunk", "shown"}
    assert sum("error" in one for one in found) > len(files) // 3
