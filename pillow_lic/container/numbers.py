"""What stands inside the overlay chunk of exact numbers of 32 bits; no picture is unpacked (FORMAT 5.2).

Standard library, constants and errors only.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ..constants import LIC_DEPTH_MAX, LIC_DEPTH_MIN, LIC_TABLE_MAX
from ..errors import LicCorruptChunk, LicUnsupportedVersion
from .fields import REFETCH, UPGRADE, VARINT_LIMIT, Cursor, refuse, varint
from .overlay import (
    PLAIN,
    PREDICTED,
    Planes,
    Rectangle,
    accepted,
    pack_overlay,
    pack_planes,
    parse_overlay,
    parse_planes,
)
from .payloads import inflated

if TYPE_CHECKING:
    from .header import Header

TABLE = 2  # a prediction: numbers are indices into a table
BYTES = 4  # of a number


class Numbers(NamedTuple):
    """An overlay of 32 bits: rectangles of each of four bytes, the lowest first; or rectangles or planes of indices
    into a table, whose entries stand as differences, byte plane by byte plane.
    """

    prediction: int
    overlays: tuple[tuple[Rectangle, ...], ...] = ()
    table: bytes = b""
    indices: tuple[Rectangle, ...] | Planes = ()

    def parts(self) -> tuple[tuple[Rectangle, ...], ...]:
        """All rectangles, those of each overlay together."""
        if self.prediction != TABLE:
            return self.overlays
        return self.indices[1:] if isinstance(self.indices, Planes) else (self.indices,)


def header_of_indices(header: Header, count: int) -> Header:
    """That of a picture of indices into a table of so many entries."""
    return replace(header, depth=LIC_DEPTH_MIN if count <= 1 << LIC_DEPTH_MIN else LIC_DEPTH_MAX)


def pack_numbers(numbers: Numbers, header: Header) -> bytes:
    """The payload of `O` where samples have 32 bits. Raises LicBadOption."""
    eight = replace(header, depth=LIC_DEPTH_MIN)
    if numbers.prediction == TABLE:
        packed = zlib.compress(numbers.table, 9)
        payload = varint(len(numbers.table) // BYTES) + varint(len(packed)) + packed
        own = header_of_indices(header, len(numbers.table) // BYTES)
        indices = numbers.indices
        payload += pack_planes(indices, own) if isinstance(indices, Planes) else pack_overlay(indices, own)
    else:
        *others, last = (pack_overlay(rectangles, eight) for rectangles in numbers.overlays)
        payload = b"".join([*(varint(len(one)) + one for one in others), last])
    return accepted(bytes([numbers.prediction]) + payload, parse_numbers, header)


def parse_numbers(payload: bytes, start: int, header: Header) -> Numbers:
    """What stands in such a payload. Raises as parse_overlay does."""
    cursor = Cursor(payload, start)
    prediction = cursor.u8()
    if prediction == TABLE:
        return _parse_table(cursor, header)
    if prediction not in (PLAIN, PREDICTED):
        refuse(LicUnsupportedVersion, f"unknown prediction {prediction} of an overlay", start, UPGRADE)
    eight, parts = replace(header, depth=LIC_DEPTH_MIN), []
    for number in range(BYTES):
        length = cursor.left
        if number < BYTES - 1:
            length = cursor.ranged("length of an overlay", cursor.varint(), 1, VARINT_LIMIT)
        at = cursor.offset
        parts.append(parse_overlay(cursor.take(length), at, eight))
    return Numbers(prediction, tuple(parts))


def _parse_table(cursor: Cursor, header: Header) -> Numbers:
    """The table, and the overlay behind it."""
    count = cursor.ranged("entries of a table", cursor.varint(), 1, LIC_TABLE_MAX)
    length = cursor.ranged("length of a table", cursor.varint(), 1, VARINT_LIMIT)
    at = cursor.offset
    table = inflated(cursor.take(length), BYTES * count, at, "a table")
    if len(table) != BYTES * count:
        refuse(LicCorruptChunk, f"a table of {len(table)} bytes for {count} entries", at, REFETCH)
    at, own = cursor.offset, header_of_indices(header, count)
    rest = cursor.take(cursor.left)
    return Numbers(TABLE, (), table, parse_planes(rest, at, own) if own.deep else parse_overlay(rest, at, own))
