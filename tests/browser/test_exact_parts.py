"""The container and the exact parts of files in browsers: JavaScript alone, so node will do."""

from __future__ import annotations

import io
from pathlib import Path

import fuzz_format
import node
import numpy as np
import pytest
from pictures import picture
from PIL import Image, ImageOps

import pillow_lic
from pillow_lic import container, entropy, errors
from pillow_lic.codec import overlay
from pillow_lic.container.overlay import CONSTANT, PLAIN, PNG, PREDICTED, WEBP, pack_planes, webp_data

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


# ---- More than 8 bits ---------------------------------------------------------------------------------------------


def as_pngs(prediction: int, numbers: np.ndarray) -> container.Planes:
    """Low and high bytes, each one rectangle."""
    low, high = ((numbers >> shift).astype(np.uint8) for shift in (0, 8))
    return container.Planes(prediction, *((png(overlay.image_of(one)),) for one in (low, high)))


@pytest.mark.parametrize("depth", [9, 16])
def test_exact_pictures_of_more_than_8_bits(tmp_path, depth):
    """Plain and predicted, by 8 bits and by all; those of 8 bits by 16 as well."""
    files, rng = [], np.random.default_rng(depth)
    for mode in ("L", "LA", "RGB", "RGBA"):
        for image in pictures(mode)[4::4]:  # a slope, noise, a column
            eight = np.asarray(image).reshape(*image.size[::-1], len(mode))
            samples = (eight.astype(int) * ((1 << depth) - 1) // 255).astype(np.uint16)
            samples[::3] = np.minimum(samples[::3] + rng.integers(0, 5, samples[::3].shape), (1 << depth) - 1)
            ways = (PLAIN, samples), (PREDICTED, entropy.predicted(samples, depth))
            header = container.Header.of_overlay(*image.size, mode, depth)
            files += [container.write(header, [], planes=as_pngs(*way)) for way in ways]
        files.append(alone(mode, image.size, png(image)))
    assert node.decoded(files, tmp_path) == [node.of_8(data) for data in files]
    assert node.decoded(files, tmp_path, depth=16) == [node.of_16(data) for data in files]


def test_orientation_of_16_bits(tmp_path):
    samples, exif = np.arange(6 * 4 * 3, dtype=np.uint16).reshape(6, 4, 3) * 900, Image.Exif()
    exif[0x112] = 6
    data = pillow_lic.encode(samples, lossless=True, exif=exif.tobytes())
    assert node.decoded([data], tmp_path, depth=16) == [node.shown(np.rot90(samples, -1), 16)]


def test_deep_files_that_are_refused(tmp_path):
    """By the names that the container gives, or the planes where it has unpacked them."""
    samples = np.full((9, 8, 3), 4095, np.uint16)
    header = container.Header.of_overlay(8, 9, "RGB", 12)
    parts = as_pngs(PLAIN, samples)
    good = container.write(header, [], planes=parts)
    high = container.write(header, [], planes=as_pngs(PLAIN, samples + np.uint16(1)))
    at = good.index(pack_planes(parts, header))
    edited = [bytearray(good) for _ in range(3)]
    edited[0][at] = 2  # an unknown prediction
    edited[1][at + 1] ^= 1  # another length of the low bytes
    edited[2][at + 1] ^= 0x7F
    files = [high, *map(fuzz_format.with_right_checksums, map(bytes, edited))]
    names = [name_of_error(one) or "LicCorruptChunk" for one in files]
    assert [one["error"] for one in node.decoded(files, tmp_path)] == names
    assert names[:2] == ["LicCorruptChunk", "LicUnsupportedVersion"]
    with pytest.raises(errors.LicCorruptChunk, match="more than 12 bits"):
        pillow_lic.decode(high)
    assert node.decoded([good], tmp_path, depth=12)[0]["error"] == "LicBadOption"


# ---- Other colour models and 32 bits ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "La", "RGBa", "RGBX", "CMYK"])
def test_other_colour_models(tmp_path, mode):
    rng, files = np.random.default_rng(4), []
    for size in ((1, 1), (37, 23)):
        bands = container.header.BANDS[mode]
        image = Image.fromarray(rng.integers(0, 256, (*size[::-1], bands), np.uint8).squeeze(2 if bands == 1 else ()))
        files.append(alone(mode, size, webp(image)))
    assert node.decoded(files, tmp_path) == [node.of_8(data) for data in files]
    assert node.decoded(files, tmp_path, depth=16) == [node.of_16(data) for data in files]


@pytest.mark.parametrize("mode", ["YCbCr", "LAB", "HSV"])
def test_what_is_not_shown_is_refused_by_name(tmp_path, mode):
    (found,) = node.decoded([alone(mode, (3, 2), container.Rectangle(0, 0, 3, 2, CONSTANT, bytes(3)))], tmp_path)
    assert found["error"] == "LicUnsupportedVersion"
    assert f"pictures of {mode} are not shown" in found["message"]


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_numbers_of_32_bits(tmp_path, bands):
    """In each way of packing, by what the file states; NaN and infinity too."""
    from pillow_lic.codec import numbers

    rng, files, names = np.random.default_rng(bands), [], {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
    floats = rng.normal(0, 1, (23, 37, bands)).astype(np.float32)
    floats[0, :5] = np.array([np.nan, np.inf, -np.inf, -0.0, 1.5], np.float32)[:, None]
    few = np.rint(floats[1:] * 9) / np.float32(3)
    integers = rng.integers(-(2**31), 2**31, (5, 4, bands)).astype(np.int32)
    for array, kind, ends in ((floats, 2, (-2.0, 3.0)), (few, 2, (0.0, 1.0)), (integers, 1, (-(2**31), 2**31 - 1))):
        header = container.Header.of_overlay(*array.shape[1::-1], names[bands], 32)
        values = container.Values(kind, *ends)
        ways = numbers.ways(array.view(np.uint32), kind, 0)
        assert len(ways) == 3
        files += [container.write(header, [], planes=way, values=values) for way in ways]
    assert node.decoded(files, tmp_path) == [node.of_8(data) for data in files]
    assert node.decoded(files, tmp_path, depth=16) == [node.of_16(data) for data in files]


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


@pytest.mark.parametrize(
    "name",
    [
        "one-pixel",
        "lossless-grey-alpha",
        "lossless-rgba",
        "lossless-deep-rgba",
        "deep-rgba",
        "exact-cmyk",
        "exact-noise",
        "exact-table",
    ],
)
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
