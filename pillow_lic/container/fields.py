"""Integers, bounded reads and refusals: the alphabet of the container (FORMAT 1). Standard library and errors only."""

from __future__ import annotations

from typing import NoReturn

from ..errors import LicCorruptChunk, LicError

VARINT_MAX = 5  # bytes
VARINT_LIMIT = 1 << 31

REFETCH = "the file is damaged, fetch it again"
UPGRADE = "install a newer pillow-lic"
ENDS = "the data ends too early, fetch the file again"


def refuse(kind: type[LicError], what: str, offset: int, advice: str) -> NoReturn:
    """Raises the error, with where in the file and what to do."""
    msg = f"{what} at byte {offset}; {advice}"
    raise kind(msg)


def varint(value: int) -> bytes:
    """FORMAT 1: seven bits a byte, the lowest first, in shortest form."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Cursor:
    """Bounded reads of a chunk's payload. `start` is where the payload begins in the file, for messages."""

    def __init__(self, data: bytes, start: int):
        self.data = data
        self.start = start
        self.position = 0

    @property
    def offset(self) -> int:
        """Where in the file the next byte stands."""
        return self.start + self.position

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return len(self.data) - self.position

    def take(self, count: int) -> bytes:
        """The next bytes. Raises LicCorruptChunk where there are fewer."""
        if count > self.left:
            refuse(LicCorruptChunk, "chunk too short", self.start + len(self.data), REFETCH)
        self.position += count
        return self.data[self.position - count : self.position]

    def up_to(self, count: int) -> bytes:
        """The next bytes, or as many as there are."""
        return self.take(min(count, self.left))

    def u8(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def varint(self) -> int:
        """FORMAT 1: at most 5 bytes, below 2^31, shortest form."""
        begin = self.offset
        value = 0
        for shift in range(0, 7 * VARINT_MAX, 7):
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >= VARINT_LIMIT or (byte == 0 and shift):
                    break
                return value
        refuse(LicCorruptChunk, "integer too large or not in its shortest form", begin, REFETCH)

    def ranged(self, name: str, value: int, low: int, high: int) -> int:
        """value, if it is within low to high. Raises LicCorruptChunk."""
        if not low <= value <= high:
            refuse(LicCorruptChunk, f"{name} {value} is not within {low} to {high}", self.offset, REFETCH)
        return value
