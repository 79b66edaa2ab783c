"""What of an EXIF's TIFF structure is looked at: whether it is one, what its values claim, resolution and comment.

Standard library only. Nothing of it is decoded that Pillow decodes anyway; all reads are bounded by its length.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

HEADS = (b"II*\0", b"MM\0*", b"MM*\0", b"II\0*")  # what Pillow's reader takes, the mixed ones of some cameras included
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}  # TIFF 6.0: bytes of a type
OVERLAP_MAX = 4  # times its own length that the values of an EXIF may claim: some share theirs, honestly

_X, _Y, _UNIT = 0x011A, 0x011B, 0x0128
_EXIF, _GPS, _INTEROPERABILITY, _COMMENT = 0x8769, 0x8825, 0xA005, 0x9286
_BYTES, _SHORT, _LONG, _RATIONAL = 7, 3, 4, 5
_ENTRY = 12
_INCH, _CENTIMETRE = 2, 3
_RAW = bytes(8)  # the character set of a comment that is bytes, whatever they mean (EXIF 2.32, UserComment)
_EMPTY = b"MM\0*\0\0\0\x08" + bytes(6)


class Entry(NamedTuple):
    """An entry of a directory: its type, the number of its values, and the four bytes that hold or point at them."""

    type: int
    values: int
    field: bytes

    @property
    def size(self) -> int:
        """Bytes of the values."""
        return SIZES.get(self.type, 0) * self.values


class Directory(NamedTuple):
    """Its entries by tag, where the next directory begins, and whether all of it is there."""

    entries: dict[int, Entry]
    next: int
    whole: bool
    claimed: int  # bytes of all its values, of repeated tags as well


def problem(exif: bytes) -> str | None:
    """Why no reader will take it, None if one will."""
    if any(head.startswith(exif[:4]) for head in HEADS):
        return None
    return f"exif is no TIFF structure: it begins with {exif[:8]!r}, want b'II*\\0' or b'MM\\0*'; hand in Image.Exif"


def states_anything(exif: bytes) -> bool:
    """Whether its first directory has an entry, or another follows it."""
    tiff = _Tiff(exif)
    first = tiff.directory(tiff.first)
    return bool(first.entries or first.next) or not first.whole


def overlaps(exif: bytes) -> bool:
    """Whether its values claim so much more than there is that reading them would cost far more than its size."""
    tiff = _Tiff(exif)
    first = tiff.directory(tiff.first)
    below = [tiff.directory(tiff.pointer(first, tag)) for tag in (_EXIF, _GPS)]
    below += [tiff.directory(first.next), tiff.directory(tiff.pointer(below[0], _INTEROPERABILITY))]
    most = OVERLAP_MAX * len(exif)
    return any(one.claimed > most for one in (first, *below))


def resolution(exif: bytes) -> tuple[float, float] | None:
    """Pixels an inch, horizontally and vertically, if they are stated."""
    tiff = _Tiff(exif)
    first = tiff.directory(tiff.first)
    unit = first.entries.get(_UNIT)
    scale = {_INCH: 1.0, _CENTIMETRE: 2.54}.get(tiff.short(unit.field) if unit else _INCH)
    x, y = (tiff.rational(first.entries.get(tag)) for tag in (_X, _Y))
    return (x * scale, (y or x) * scale) if x and scale else None


def comment(exif: bytes) -> bytes | None:
    """The user's comment, if it says anything: as it was given, of other writers as UTF-8."""
    tiff = _Tiff(exif)
    below = tiff.directory(tiff.pointer(tiff.directory(tiff.first), _EXIF))
    value = tiff.value(below.entries.get(_COMMENT))
    code, text = value[:8], value[8:]
    if code == b"UNICODE\0":
        text = text.decode("utf-16-le" if tiff.order == "<" else "utf-16-be", "replace").encode()
    elif code not in (_RAW, b"ASCII\0\0\0"):
        return None
    return text.rstrip(b"\0") if text.strip(b"\0 ") else None


def stating(exif: bytes | None, dpi: tuple[float, float] | None, comment: bytes | None) -> bytes | None:
    """The structure, or a new one, with resolution and comment stated. What is there stays where it is, because makers'
    notes point at places: changed directories are written again behind it.

    Raises ValueError where its directories are damaged.
    """
    if dpi is None and comment is None:
        return exif
    tiff = _Tiff(exif or _EMPTY)
    new = _read_whole(tiff, tiff.first)
    if dpi is not None:
        new |= {_UNIT: Entry(_SHORT, 1, tiff.pack("HH", _INCH, 0))}
        new |= {tag: Entry(_RATIONAL, 1, tiff.add(_rational(tiff, value))) for tag, value in zip((_X, _Y), dpi)}
    if comment is not None:
        place = tiff.pointer(Directory(new, 0, True, 0), _EXIF)
        below = _read_whole(tiff, place) if place else {}
        below[_COMMENT] = Entry(_BYTES, 8 + len(comment), tiff.add(_RAW + comment))
        new[_EXIF] = Entry(_LONG, 1, tiff.add(_directory(tiff, below, 0)))
    after = tiff.directory(tiff.first).next
    first = tiff.add(_directory(tiff, new, after))
    return bytes(tiff.data[:4]) + first + bytes(tiff.data[8:])


def _read_whole(tiff: _Tiff, place: int) -> dict[int, Entry]:
    found = tiff.directory(place)
    if not found.whole:
        msg = "the EXIF given is damaged: its directory ends beyond it; leave it out"
        raise ValueError(msg)
    return dict(found.entries)


def _rational(tiff: _Tiff, value: float) -> bytes:
    from fractions import Fraction  # imports decimal numbers: for who writes a resolution alone

    exact = Fraction(value).limit_denominator(10_000)
    return tiff.pack("II", exact.numerator, exact.denominator)


def _directory(tiff: _Tiff, entries: dict[int, Entry], after: int) -> bytes:
    rows = [tiff.pack("HHI", tag, one.type, one.values) + one.field for tag, one in sorted(entries.items())]
    return tiff.pack("H", len(rows)) + b"".join(rows) + tiff.pack("I", after)


class _Tiff:
    """Reads of the structure, and what is put behind it."""

    def __init__(self, exif: bytes):
        self.data = bytearray(exif)
        self.order = "<" if exif.startswith(b"II") else ">"
        self.first = self.unpack("I", exif[4:8])[0] if len(exif) >= 8 else 0

    def pack(self, format: str, *values: int) -> bytes:
        return struct.pack(self.order + format, *values)

    def unpack(self, format: str, data: bytes | bytearray) -> tuple[int, ...]:
        return struct.unpack(self.order + format, data)

    def directory(self, place: int) -> Directory:
        """The directory at a place, as far as it is there; 0: none."""
        if not 8 <= place <= len(self.data) - 2:
            return Directory({}, 0, not place, 0)
        (count,) = self.unpack("H", self.data[place : place + 2])
        rows = self.data[place + 2 : place + 2 + _ENTRY * count]
        entries: dict[int, Entry] = {}
        claimed = 0
        for at in range(0, len(rows) - _ENTRY + 1, _ENTRY):
            tag, type, number = self.unpack("HHI", rows[at : at + 8])
            one = Entry(type, number, bytes(rows[at + 8 : at + _ENTRY]))
            entries.setdefault(tag, one)
            claimed += one.size
        whole, stop = len(rows) == _ENTRY * count, place + 2 + len(rows)
        after = self.data[stop : stop + 4]
        return Directory(entries, self.unpack("I", after)[0] if whole and len(after) == 4 else 0, whole, claimed)

    def value(self, entry: Entry | None) -> bytes:
        """The bytes of an entry's values, nothing where they are not there."""
        if entry is None:
            return b""
        if entry.size <= 4:
            return entry.field[: entry.size]
        (place,) = self.unpack("I", entry.field)
        found = bytes(self.data[place : place + entry.size]) if place + entry.size <= len(self.data) else b""
        return found

    def pointer(self, directory: Directory, tag: int) -> int:
        """Where an entry points, 0 if it is not there."""
        entry = directory.entries.get(tag)
        return self.unpack("I", entry.field)[0] if entry and entry.size == 4 else 0

    def short(self, field: bytes) -> int:
        return self.unpack("H", field[:2])[0]

    def rational(self, entry: Entry | None) -> float | None:
        """A number above 0, if it is one."""
        value = self.value(entry)
        if entry is None or entry.type != _RATIONAL or len(value) < 8:
            return None
        above, below = self.unpack("II", value[:8])
        return above / below if above and below else None

    def add(self, data: bytes) -> bytes:
        """Puts data behind the rest, at an even place; returns the field that points at it."""
        self.data += bytes(len(self.data) % 2)
        place = len(self.data)
        self.data += data
        return self.pack("I", place)
