"""What stands inside the overlay chunk: rectangles and what their PNG or WebP states; nothing is unpacked (FORMAT
5.2).

Standard library, constants and errors only.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from ..constants import LIC_DEPTH_MIN, LIC_OVERLAYS_MAX
from ..errors import LicBadOption, LicCorruptChunk, LicError, LicLimitExceeded, LicUnsupportedVersion
from .fields import REFETCH, UPGRADE, VARINT_LIMIT, Cursor, refuse, varint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .header import Header

CONSTANT, PNG, WEBP = 0, 1, 2  # methods
METHODS = {CONSTANT: "one colour", PNG: "PNG", WEBP: "lossless WebP"}  # in words
WEBP_SIDE_MAX = 16383  # pixels, what libwebp takes
WEBP_PIXELS_MAX = 1 << 23  # of a rectangle in WebP: readers take 16 bytes a pixel while they unpack it

PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_PNG_CHUNK = 12  # bytes besides a chunk's data
# bands -> colour types and bit depths of FORMAT 5.2
_PNG_KINDS = {
    1: {(0, 1), (0, 2), (0, 4), (0, 8)},
    2: {(4, 8)},
    3: {(0, 1), (0, 2), (0, 4), (0, 8), (3, 1), (3, 2), (3, 4), (3, 8), (2, 8)},
    4: {(6, 8)},
}
_WEBP_HEAD = 5  # bytes: a mark; width and height less one, 14 bits each, whether there is alpha, a version of 3 bits
_WEBP_MARK = 0x2F


class Rectangle(NamedTuple):
    """An exact rectangle: where it lies, in pixels, and its samples as FORMAT 5.2 packs them."""

    left: int
    top: int
    width: int
    height: int
    method: int
    data: bytes


def bands_of(header: Header) -> int:
    """Bands of a rectangle's samples."""
    return header.bands - (header.has_alpha and not header.alone)


def pack_overlay(rectangles: Sequence[Rectangle], header: Header) -> bytes:
    """The payload of `O`. Raises LicBadOption for rectangles that no decoder would take."""
    if len(rectangles) == 1 and rectangles[0][:4] == (0, 0, header.width, header.height):
        payload = bytes([0, rectangles[0].method]) + rectangles[0].data
    else:
        heads = [
            b"".join(varint(value) for value in one[:4]) + bytes([one.method]) + varint(len(one.data))
            for one in rectangles
        ]
        payload = b"".join([varint(len(rectangles)), *heads, *(one.data for one in rectangles)])
    return accepted(payload, parse_overlay, header)


def accepted(payload: bytes, parse: Callable[[bytes, int, Header], object], header: Header) -> bytes:
    """A payload of `O` that has been packed, as its reader takes it. Raises LicBadOption where that refuses it."""
    try:
        parse(payload, 0, header)
    except LicError as error:
        msg = f"overlay: {error}"
        raise LicBadOption(msg) from error
    return payload


def parse_overlay(payload: bytes, start: int, header: Header) -> tuple[Rectangle, ...]:
    """The rectangles of an `O` payload, which begins at byte `start` of the file; nothing is unpacked.

    Raises LicCorruptChunk, LicLimitExceeded, LicUnsupportedVersion.
    """
    cursor = Cursor(payload, start)
    count = cursor.varint()
    if count == 0:
        places = [(0, 0, header.width, header.height, cursor.u8(), cursor.left)]
    else:
        if count > LIC_OVERLAYS_MAX:
            refuse(LicLimitExceeded, f"{count} rectangles, more than {LIC_OVERLAYS_MAX},", start, "distrust the file")
        places = [_place(cursor, header) for _ in range(count)]
        if sum(place[2] * place[3] for place in places) > header.width * header.height:
            refuse(LicLimitExceeded, "rectangles of more pixels than the image has", start, "distrust the file")
    rectangles = []
    for left, top, width, height, method, length in places:
        offset = cursor.offset
        one = Rectangle(left, top, width, height, method, cursor.take(length))
        _check(one, bands_of(header), offset)
        rectangles.append(one)
    if cursor.left:
        refuse(LicCorruptChunk, f"overlay has {cursor.left} bytes too many", cursor.offset, REFETCH)
    return tuple(rectangles)


class Planes(NamedTuple):
    """An overlay of more than 8 bits, which stands alone: rectangles of low and of high bytes, and what they are of."""

    prediction: int
    low: tuple[Rectangle, ...]
    high: tuple[Rectangle, ...]


PLAIN, PREDICTED = 0, 1  # predictions


def pack_planes(planes: Planes, header: Header) -> bytes:
    """The payload of `O` where samples have more than 8 bits. Raises LicBadOption."""
    eight = replace(header, depth=LIC_DEPTH_MIN)
    low, high = (pack_overlay(rectangles, eight) for rectangles in (planes.low, planes.high))
    payload = bytes([planes.prediction]) + varint(len(low)) + low + high
    return accepted(payload, parse_planes, header)


def parse_planes(payload: bytes, start: int, header: Header) -> Planes:
    """The rectangles of such a payload. Raises as parse_overlay does."""
    if not header.alone:
        refuse(LicCorruptChunk, f"an overlay over samples of {header.depth} bits", start, REFETCH)
    eight, cursor = replace(header, depth=LIC_DEPTH_MIN), Cursor(payload, start)
    prediction = cursor.u8()
    if prediction not in (PLAIN, PREDICTED):
        refuse(LicUnsupportedVersion, f"unknown prediction {prediction} of an overlay", start, UPGRADE)
    length = cursor.ranged("length of an overlay", cursor.varint(), 1, VARINT_LIMIT)
    at = cursor.offset
    low = parse_overlay(cursor.take(length), at, eight)
    at = cursor.offset
    return Planes(prediction, low, parse_overlay(cursor.take(cursor.left), at, eight))


def _place(cursor: Cursor, header: Header) -> tuple[int, int, int, int, int, int]:
    """left, top, width, height, method and the length of the data of a rectangle."""
    left = cursor.ranged("left of a rectangle", cursor.varint(), 0, header.width - 1)
    top = cursor.ranged("top of a rectangle", cursor.varint(), 0, header.height - 1)
    width = cursor.ranged("width of a rectangle", cursor.varint(), 1, header.width - left)
    height = cursor.ranged("height of a rectangle", cursor.varint(), 1, header.height - top)
    method = cursor.u8()
    return left, top, width, height, method, cursor.ranged("length of data", cursor.varint(), 1, VARINT_LIMIT)


def _check(one: Rectangle, bands: int, offset: int) -> None:
    """Refuse data that do not state the rectangle's size and kind; they begin at byte `offset` of the file."""
    if one.method == CONSTANT:
        if len(one.data) != bands:
            refuse(LicCorruptChunk, f"a colour of {len(one.data)} bytes for {bands} bands", offset, REFETCH)
    elif one.method == PNG:
        _check_png(one, bands, offset)
    elif one.method == WEBP:
        _check_webp(one, bands, offset)
    else:
        refuse(LicUnsupportedVersion, f"unknown overlay method {one.method}", offset, UPGRADE)


def _check_png(one: Rectangle, bands: int, offset: int) -> None:
    data, at = one.data, len(PNG_START) - 8
    if not data.startswith(PNG_START) or len(data) < len(PNG_START) + 13:
        refuse(LicCorruptChunk, "an overlay is not a PNG file", offset, REFETCH)
    width, height, depth, kind, *zeros = struct.unpack_from(">IIBBBBB", data, len(PNG_START))
    if (width, height) != one[2:4] or (kind, depth) not in _PNG_KINDS[bands] or any(zeros):
        what = f"an overlay's PNG is not what a rectangle of {one.width} x {one.height} pixels, {bands} bands, holds"
        refuse(LicCorruptChunk, what, offset, REFETCH)
    order: list[bytes] = []
    while at + _PNG_CHUNK <= len(data):
        length, type = struct.unpack_from(">I4s", data, at)
        at += length + _PNG_CHUNK
        if order[-1:] != [b"IDAT"] or type != b"IDAT":
            order.append(type)
    if at != len(data) or order != [b"IHDR", *([b"PLTE"] if kind == 3 else []), b"IDAT", b"IEND"]:
        refuse(LicCorruptChunk, "an overlay's PNG has other chunks than it may", offset, REFETCH)


def _check_webp(one: Rectangle, bands: int, offset: int) -> None:
    if len(one.data) < _WEBP_HEAD or one.data[0] != _WEBP_MARK:
        refuse(LicCorruptChunk, "an overlay is not lossless WebP", offset, REFETCH)
    bits = int.from_bytes(one.data[1:_WEBP_HEAD], "little")
    size, alpha, version = ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1), bits >> 28 & 1, bits >> 29
    if size != one[2:4] or version or alpha > (bands in (2, 4)) or max(size) > WEBP_SIDE_MAX:
        what = f"an overlay's WebP is not what a rectangle of {one.width} x {one.height} pixels, {bands} bands, holds"
        refuse(LicCorruptChunk, what, offset, REFETCH)
    if one.width * one.height > WEBP_PIXELS_MAX:
        what = f"a rectangle in WebP of more than {WEBP_PIXELS_MAX} pixels"
        refuse(LicLimitExceeded, what, offset, "cut it into several, or distrust the file")


def webp_file(data: bytes) -> bytes:
    """A WebP file of the data of method 2."""
    padding = len(data) & 1
    head = struct.pack("<4sI4s4sI", b"RIFF", 12 + len(data) + padding, b"WEBP", b"VP8L", len(data))
    return head + data + bytes(padding)


def webp_data(file: bytes) -> bytes:
    """The data of method 2 of a simple lossless WebP file. Raises LicBadOption for another."""
    if file[:4] != b"RIFF" or file[8:16] != b"WEBPVP8L":
        _not_simple()
    (length,) = struct.unpack_from("<I", file, 16)
    return file[20 : 20 + length]


def _not_simple() -> NoReturn:
    msg = "the WebP is not a lossless one without metadata"
    raise LicBadOption(msg)
