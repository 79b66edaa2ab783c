"""Exact rectangles: packed as lossless WebP, as PNG where Pillow has no WebP, and painted over a picture (FORMAT 5.2).

Imports Pillow, container and ground; numpy nowhere: samples are Pillow's images and buffers of rows.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from PIL import Image, features

from ..container import Rectangle
from ..container.overlay import CONSTANT, PNG, WEBP, WEBP_PIXELS_MAX, WEBP_SIDE_MAX, bands_of, webp_data, webp_file
from ..errors import LicCorruptChunk, LicError, LicWebpMissing
from .alpha import STRIP, packed
from .modes import BILEVEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..container import Area, Header

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # by the bands of a rectangle

_DEPTHS = ((2, 1), (4, 2), (16, 4), (256, 8))  # colours, bits that a palette's indices take
# Quality and method of WebP, lossless all of them, and pixels up to which they are tried. None is best everywhere:
# on a page of text (75, 4) took 3772 bytes, (80, 4) 3782, (80, 6) 4000, (100, 6) 3774; on a photograph of 512 x 512
# 332.3, 332.3, 328.5 and 328.5 kB in 0.18, 0.18, 0.65 and 8.3 s.
_WEBP_STEPS = ((80, 4, 1 << 40), (75, 4, 1 << 20), (80, 6, 1 << 20), (100, 6, 1 << 14))
_TWO_LEVELS = [0] * 128 + [255] * 128  # FORMAT 3.1
QUICK = -1  # effort: the first of them alone
THOROUGH = 5  # effort from which on more of them are tried
_THOROUGH_FACTOR = 16  # times as many pixels


# ---- Packing ------------------------------------------------------------------------------------------------------


def image_of(pixels: Any) -> Image.Image:
    """uint8 (H, W, 1 to 4) as an image of L, LA, RGB or RGBA."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def pack(image: Image.Image, left: int, top: int, effort: int = 0) -> list[Rectangle]:
    """An image of mode L, LA, RGB or RGBA as rectangles; its first pixel is at (left, top). One, unless it is larger
    than WebP takes. effort: 0 to 9, or QUICK.
    """
    return [_packed(part, left + x, top + y, effort) for part, x, y in _parts(image)]


def _parts(image: Image.Image) -> Iterator[tuple[Image.Image, int, int]]:
    width, height = image.size
    columns = min(width, WEBP_SIDE_MAX)
    rows = min(WEBP_PIXELS_MAX // columns, WEBP_SIDE_MAX)
    for y in range(0, height, rows):
        for x in range(0, width, columns):
            box = (x, y, min(x + columns, width), min(y + rows, height))
            yield (image if box == (0, 0, width, height) else image.crop(box)), x, y


def _packed(image: Image.Image, left: int, top: int, effort: int) -> Rectangle:
    extrema: Any = image.getextrema() if len(image.getbands()) > 1 else (image.getextrema(),)
    if all(low == high for low, high in extrema):
        return Rectangle(left, top, *image.size, CONSTANT, bytes(low for low, _ in extrema))
    if features.check("webp"):
        return Rectangle(left, top, *image.size, WEBP, _webp(image, effort))
    return Rectangle(left, top, *image.size, PNG, as_png(image))


def _webp(image: Image.Image, effort: int) -> bytes:
    """The smallest of what is tried."""
    pixels = image.width * image.height // (_THOROUGH_FACTOR if effort >= THOROUGH else 1)
    mode = "RGBA" if image.mode in ("LA", "RGBA") else "RGB"
    plain = Image.new(mode, image.size)  # without the metadata that Pillow would write
    plain.paste(image.convert(mode))
    steps = _WEBP_STEPS[:1] if effort == QUICK else _WEBP_STEPS
    found = (_as_webp(plain, *step) for *step, most in steps if pixels <= most)
    return min(found, key=len)


def _as_webp(image: Image.Image, quality: int, method: int) -> bytes:
    from PIL import WebPImagePlugin

    return webp_data(packed(image, WebPImagePlugin, lossless=True, quality=quality, method=method, exact=True))


def as_png(image: Image.Image) -> bytes:
    """With a palette where that will do."""
    plain = Image.new(image.mode, image.size)
    plain.paste(image)
    given: dict[str, Any] = {}
    colours = plain.getcolors(_DEPTHS[-1][0]) if image.mode == "RGB" else None
    if colours is not None:
        plain = plain.quantize(len(colours), Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        if plain.convert("RGB").tobytes() != image.tobytes():
            plain = image.copy()
        else:
            given["bits"] = next(bits for most, bits in _DEPTHS if len(colours) <= most)
    plain.info.clear()
    from PIL import PngImagePlugin

    return packed(plain, PngImagePlugin, optimize=True, **given)


# ---- Unpacking ----------------------------------------------------------------------------------------------------


def unpack(one: Rectangle, bands: int) -> Image.Image:
    """The samples of a rectangle that container has checked. Raises LicCorruptChunk, LicWebpMissing."""
    if one.method == CONSTANT:
        return Image.new(MODES[bands], one[2:4], tuple(one.data) if bands > 1 else one.data[0])
    return _in_mode(_stored(one), MODES[bands])


def _stored(one: Rectangle) -> Image.Image:
    """In the mode that its PNG or WebP has."""
    where = f"overlay of {one.width} x {one.height} pixels at ({one.left}, {one.top})"
    if one.method == WEBP and not features.check("webp"):
        msg = f"{where}: it is in WebP, and this Pillow was built without WebP; install one that has it"
        raise LicWebpMissing(msg)
    try:
        found = _read_png(one.data) if one.method == PNG else _read_webp(one.data)
    except (LicError, MemoryError):
        raise
    except Exception as error:  # whatever Pillow's readers make of damaged data
        msg = f"{where}: it cannot be unpacked ({error}); the file is damaged, fetch it again"
        raise LicCorruptChunk(msg) from error
    if found.size != one[2:4]:
        msg = f"{where}: it unpacks to {found.width} x {found.height} pixels; the file is damaged, fetch it again"
        raise LicCorruptChunk(msg)
    return found


def _read_png(data: bytes) -> Image.Image:
    from PIL import PngImagePlugin

    with PngImagePlugin.PngImageFile(io.BytesIO(data)) as image:
        image.load()
        return image


def _read_webp(data: bytes) -> Image.Image:
    from PIL import WebPImagePlugin

    with WebPImagePlugin.WebPImageFile(io.BytesIO(webp_file(data))) as image:
        image.load()
        return image


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """WebP has no grey: that is its green. PNG may have fewer bits, a palette or no alpha."""
    if image.mode == mode:
        return image
    if mode == "L" and image.mode == "RGB":
        return image.getchannel("G")
    if mode == "LA" and image.mode in ("RGB", "RGBA"):
        alpha = image.getchannel("A") if image.mode == "RGBA" else Image.new("L", image.size, 255)
        return Image.merge("LA", (image.getchannel("G"), alpha))
    return image.convert(mode)


def whole(rectangles: Sequence[Rectangle], header: Header) -> Image.Image:
    """The picture of an overlay that stands alone: its samples as an image of L, LA, RGB or RGBA."""
    bands = bands_of(header)
    if len(rectangles) == 1 and rectangles[0][:4] == (0, 0, header.width, header.height):
        found = unpack(rectangles[0], bands)
    else:
        found = Image.new(MODES[bands], (header.width, header.height))
        for one in rectangles:
            found.paste(unpack(one, bands), (one.left, one.top))
    return found.point(_TWO_LEVELS) if header.layout == BILEVEL else found


def paint(out: memoryview, rectangles: Sequence[Rectangle], bands: int, area: Area) -> None:
    """Paint over samples. out: flat and writable, rows of an area of the picture, bands side by side."""
    width = area.columns.stop - area.columns.start
    for one in rectangles:
        begin, end = max(one.left, area.columns.start), min(one.left + one.width, area.columns.stop)
        top, bottom = max(one.top, area.rows.start), min(one.top + one.height, area.rows.stop)
        if begin >= end or top >= bottom:
            continue
        parts = _strips(one, bands, (begin - one.left, top - one.top, end - one.left, bottom - one.top))
        row, length = top - area.rows.start, (end - begin) * bands
        for samples in parts:
            for part in range(0, len(samples), length):
                at = (row * width + begin - area.columns.start) * bands
                out[at : at + length] = samples[part : part + length]
                row += 1


def _strips(one: Rectangle, bands: int, box: tuple[int, int, int, int]) -> Iterator[bytes]:
    """The samples of a box of a rectangle, some of its rows at a time."""
    left, top, right, bottom = box
    if one.method == CONSTANT:
        row = one.data * (right - left)
        yield from (row for _ in range(top, bottom))
        return
    found, rows = _stored(one), max(1, STRIP // ((right - left) * bands))
    for begin in range(top, bottom, rows):
        part = found.crop((left, begin, right, min(begin + rows, bottom)))
        yield _in_mode(part, MODES[bands]).tobytes()
