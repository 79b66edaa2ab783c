"""What stands inside the chunks of metadata, alpha, quality map, preview and tiles (FORMAT 4, 5, 6.2).

Standard library, constants and errors only.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

from ..constants import LIC_METADATA_MAX, LIC_PREVIEW_MAX, LIC_SHIFT_MAX, LIC_STATES
from ..errors import LicBadOption, LicCorruptChunk, LicLimitExceeded, LicUnsupportedVersion
from .fields import REFETCH, UPGRADE, VARINT_LIMIT, Cursor, refuse, varint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .header import Header

STREAM_MIN = 4 * LIC_STATES  # FORMAT 6.2: the states of the coder, u32 each

_STORED, _DEFLATED = 0, 1  # methods of metadata, FORMAT 4
ALPHA_CONSTANT, ALPHA_PNG, ALPHA_PAINTED = 0, 1, 2  # methods of alpha, FORMAT 5.1


# ---- Metadata (FORMAT 4) and alpha (FORMAT 5.1) -------------------------------------------------------------------


def pack_metadata(payload: bytes) -> bytes:
    """The payload of a metadata chunk, deflated where that is shorter. Raises LicLimitExceeded."""
    if len(payload) > LIC_METADATA_MAX:
        msg = f"metadata of {len(payload)} bytes is more than {LIC_METADATA_MAX}; leave it out or shorten it"
        raise LicLimitExceeded(msg)
    deflated = zlib.compress(payload, 9)
    method, data = (_DEFLATED, deflated) if len(deflated) < len(payload) else (_STORED, payload)
    return bytes([method]) + varint(len(payload)) + data


def unpack_metadata(data: bytes, start: int) -> bytes:
    """What pack_metadata packed; the chunk's payload begins at byte `start` of the file. Raises a LicError for anything
    else.
    """
    cursor = Cursor(data, start)
    method = cursor.u8()
    if method not in (_STORED, _DEFLATED):
        refuse(LicUnsupportedVersion, f"unknown metadata method {method}", start, UPGRADE)
    size = cursor.varint()
    if size > LIC_METADATA_MAX:
        refuse(LicLimitExceeded, f"metadata of {size} bytes, more than {LIC_METADATA_MAX},", start, "distrust the file")
    begin, body = cursor.offset, cursor.take(cursor.left)
    payload = body if method == _STORED else inflated(body, size, begin)
    if len(payload) != size:
        refuse(LicCorruptChunk, f"metadata of {len(payload)} bytes instead of {size}", begin, REFETCH)
    return payload


def inflated(body: bytes, size: int, start: int, what: str = "metadata") -> bytes:
    """What a zlib stream holds that must end with `body`, of which never more than size + 1 bytes are taken. Raises
    LicCorruptChunk.
    """
    stream = zlib.decompressobj()
    try:
        payload = stream.decompress(body, size + 1)
    except zlib.error as error:
        refuse(LicCorruptChunk, f"{what} cannot be unpacked ({error})", start, REFETCH)
    if len(payload) <= size and (not stream.eof or stream.unused_data):
        refuse(LicCorruptChunk, f"{what}: the stream does not end where it should", start, REFETCH)
    return payload


def alpha_png_start(payload: bytes, header: Header) -> int:
    """Where the PNG of an `A` payload of method 1 or 2 begins."""
    colours = 1 if header.layout == "LA" else 3
    return 1 + (colours * sample_bytes(header) if payload[0] == ALPHA_PAINTED else 0)


def sample_bytes(header: Header) -> int:
    """Of a sample where one stands by itself."""
    return 2 if header.deep else 1


def checked_alpha(payload: bytes, start: int, header: Header) -> bytes:
    """The payload, refused unless its first bytes are what FORMAT 5.1 allows."""
    if not payload:
        refuse(LicCorruptChunk, "alpha chunk too short", start, REFETCH)
    if payload[0] not in (ALPHA_CONSTANT, ALPHA_PNG, ALPHA_PAINTED):
        refuse(LicUnsupportedVersion, f"unknown alpha method {payload[0]}", start, UPGRADE)
    length, bits = 1 + sample_bytes(header), 16 if header.deep else 8
    if payload[0] == ALPHA_CONSTANT and len(payload) != length:
        refuse(LicCorruptChunk, f"constant alpha of {len(payload)} bytes instead of {length}", start, REFETCH)
    if payload[0] == ALPHA_CONSTANT and int.from_bytes(payload[1:], "little") > header.most:
        refuse(LicCorruptChunk, f"constant alpha of more than {header.depth} bits", start, REFETCH)
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBB", header.width, header.height, bits, 0)
    if payload[0] != ALPHA_CONSTANT and not payload.startswith(png, alpha_png_start(payload, header)):
        what = f"alpha is not a {bits}-bit grey PNG of {header.width} x {header.height} pixels"
        refuse(LicCorruptChunk, what, start, REFETCH)
    return payload


# ---- Colour coding points (FORMAT 4.1), what samples stand for (FORMAT 4.3) ------------------------------------------


class Cicp(NamedTuple):
    """Colour coding points as ITU-T H.273 numbers them, and whether samples are of full range: 0 or 1."""

    primaries: int
    transfer: int
    matrix: int
    full_range: int


def unpack_cicp(payload: bytes, start: int) -> Cicp:
    """Four bytes. Raises LicCorruptChunk for anything else."""
    if len(payload) != len(Cicp._fields) or payload[-1] > 1:
        refuse(LicCorruptChunk, f"no colour coding points: {payload[:8].hex()}", start, REFETCH)
    return Cicp(*payload)


def pack_cicp(cicp: Cicp) -> bytes:
    """The payload of `n`. Raises LicBadOption."""
    if not all(0 <= value <= 255 for value in cicp) or cicp.full_range > 1:
        msg = f"colour coding points are three numbers from 0 to 255 and 0 or 1, found {tuple(cicp)}"
        raise LicBadOption(msg)
    return bytes(cicp)


INTEGERS, FLOATS = 1, 2  # kinds of values


class Values(NamedTuple):
    """What samples stand for: numbers of a kind, from low to high."""

    kind: int
    low: float
    high: float

    def is_sound(self) -> bool:
        """Whether a file may state it."""
        if self.kind not in (INTEGERS, FLOATS) or not -math.inf < self.low <= self.high < math.inf:  # not of NaN
            return False
        whole = self.low == int(self.low) and self.high == int(self.high)
        return self.kind == FLOATS or (whole and self.low >= -(2**31) and self.high < 2**31)


_VALUES = struct.Struct("<Bdd")


def pack_values(values: Values) -> bytes:
    """The payload of `v`. Raises LicBadOption."""
    if not values.is_sound():
        msg = f"samples cannot stand for {values}: want finite numbers, the lower one first"
        raise LicBadOption(msg)
    return _VALUES.pack(*values)


def unpack_values(payload: bytes, start: int) -> Values | None:
    """What pack_values packed; None for a kind that this version does not know. Raises LicCorruptChunk."""
    if payload[:1] and payload[0] not in (INTEGERS, FLOATS):
        return None
    values = Values(*_VALUES.unpack(payload)) if len(payload) == _VALUES.size else None
    if values is None or not values.is_sound():
        refuse(LicCorruptChunk, "it is not stated what samples stand for", start, REFETCH)
    return values


# ---- Quality map (FORMAT 5.3) -------------------------------------------------------------------------------------


def pack_map(rows: bytes, header: Header) -> bytes:
    """The payload of `G`. rows: an i8 for each hyper position, in raster order. Raises LicBadOption."""
    cells = header.hyper_grid.rows * header.hyper_grid.columns
    if len(rows) != cells or not _within(rows):
        msg = f"a quality map of {len(rows)} bytes, want {cells} from -{LIC_SHIFT_MAX} to {LIC_SHIFT_MAX}"
        raise LicBadOption(msg)
    return zlib.compress(rows, 9)


def unpack_map(payload: bytes, start: int, header: Header) -> bytes:
    """What pack_map packed. Raises LicCorruptChunk for anything else."""
    cells = header.hyper_grid.rows * header.hyper_grid.columns
    rows = inflated(payload, cells, start, "a quality map")
    if len(rows) != cells or not _within(rows):
        refuse(LicCorruptChunk, f"no quality map for {cells} blocks", start, REFETCH)
    return rows


def _within(rows: bytes) -> bool:
    return all(-LIC_SHIFT_MAX <= by <= LIC_SHIFT_MAX for by in memoryview(rows).cast("b"))


# ---- Preview (FORMAT 4.2) -----------------------------------------------------------------------------------------


class Preview(NamedTuple):
    """A small picture of a file. kind: "JPEG" or "WEBP"; width, height: its pixels; data: its own file."""

    kind: str
    width: int
    height: int
    data: bytes


_PREVIEWS = {0: "JPEG", 1: "WEBP"}


def pack_preview(preview: Preview) -> bytes:
    """The payload of `p`. Raises LicBadOption."""
    kinds = {name: number for number, name in _PREVIEWS.items()}
    sides = (preview.width, preview.height)
    if preview.kind not in kinds or not all(1 <= side <= LIC_PREVIEW_MAX for side in sides):
        msg = f"a preview of {preview.kind} and {sides} pixels, want JPEG or WEBP and sides up to {LIC_PREVIEW_MAX}"
        raise LicBadOption(msg)
    return bytes([kinds[preview.kind]]) + varint(preview.width) + varint(preview.height) + preview.data


def unpack_preview(payload: bytes, start: int) -> Preview | None:
    """What pack_preview packed; None for a kind that this version does not know: a preview is ancillary."""
    cursor = Cursor(payload, start)
    kind = _PREVIEWS.get(cursor.u8())
    width = cursor.ranged("width of a preview", cursor.varint(), 1, LIC_PREVIEW_MAX)
    height = cursor.ranged("height of a preview", cursor.varint(), 1, LIC_PREVIEW_MAX)
    return None if kind is None else Preview(kind, width, height, cursor.take(cursor.left))


# ---- Preferred synthesis (FORMAT 5.4) -----------------------------------------------------------------------------


def pack_style(style: tuple[int, int]) -> bytes:
    """The payload of `s`: number and strength, u8 each."""
    return bytes(style)


def unpack_style(data: bytes, _start: int) -> tuple[int, int] | None:
    """Number and strength, None where they are not both there. What follows them is left alone."""
    return (data[0], data[1]) if len(data) >= 2 else None


# ---- Tiles (FORMAT 6.2) -------------------------------------------------------------------------------------------


CHECK_BYTES = 2  # behind each stage but the last


class TileStream(NamedTuple):
    """A tile's bytes. stages: those of each stage, as far as they are there; complete: whether all of them are.
    whole: how many stages are there of every tile and undamaged, as far as their checks tell.
    """

    stages: list[bytes]
    complete: bool
    whole: int


def missing_tiles(header: Header) -> list[TileStream]:
    """Tiles of which nothing is there."""
    return [TileStream([b""] * header.stage_count, False, 0)] * header.tile_count


def _check(segments: Iterable[bytes]) -> bytes:
    """What follows a stage, the last one excepted: the lower half of a CRC-32 of its bytes."""
    crc = 0
    for segment in segments:
        crc = zlib.crc32(segment, crc)
    return struct.pack("<H", crc & 0xFFFF)


def pack_tiles(header: Header, tiles: Sequence[Sequence[bytes]]) -> bytes:
    """The payload of `T`: lengths, then the stages of all tiles. Raises LicBadOption for streams that no decoder would
    take.
    """
    count = header.stage_count
    if len(tiles) != header.tile_count or any(len(stages) != count for stages in tiles):
        msg = f"{len(tiles)} tile streams for {header.tile_count} tiles of {count} stages"
        raise LicBadOption(msg)
    if any(len(stages[0]) < STREAM_MIN for stages in tiles):
        msg = f"a tile stream is shorter than {STREAM_MIN} bytes"
        raise LicBadOption(msg)
    parts = [varint(len(stages[k])) for k in range(count) for stages in tiles]
    for k in range(count):
        segments = [stages[k] for stages in tiles]
        parts += segments if k == count - 1 else [*segments, _check(segments)]
    return b"".join(parts)


def split_tiles(data: bytes, header: Header, start: int, truncated: bool) -> list[TileStream]:
    """The streams of a `T` payload; with truncated=True what there is of them."""
    count, stages = header.tile_count, header.stage_count
    checks = len(_check(())) * (stages - 1)
    if not truncated and len(data) < count * (stages + STREAM_MIN) + checks:
        refuse(LicCorruptChunk, f"tile chunk too short for {count} tiles", start, REFETCH)
    cursor = Cursor(data, start)
    try:
        lengths = tile_lengths(cursor, header)
    except LicCorruptChunk:
        if not truncated:
            raise
        return missing_tiles(header)
    if not truncated and sum(lengths) + checks != cursor.left:
        what = f"tiles of {sum(lengths) + checks} bytes where there are {cursor.left}"
        refuse(LicCorruptChunk, what, start, REFETCH)
    return _streams(cursor, lengths, header, truncated)


def tile_lengths(cursor: Cursor, header: Header) -> list[int]:
    """Those with which a `T` payload begins, stage by stage. Raises LicCorruptChunk."""
    return [_length(cursor, k) for k in range(header.stage_count) for _ in range(header.tile_count)]


def _length(cursor: Cursor, stage: int) -> int:
    return cursor.ranged("length of a tile", cursor.varint(), STREAM_MIN if stage == 0 else 0, VARINT_LIMIT)


def _streams(cursor: Cursor, lengths: list[int], header: Header, truncated: bool) -> list[TileStream]:
    """The streams behind the lengths (stages x tiles)."""
    count, last = header.tile_count, header.stage_count - 1
    parts: list[list[bytes]] = [[] for _ in range(count)]
    complete = [True] * count
    whole = 0  # stages from the first on
    for k in range(last + 1):
        wanted = lengths[k * count : (k + 1) * count]
        segments = [cursor.up_to(length) for length in wanted]
        for tile, segment in enumerate(segments):
            parts[tile].append(segment)
            complete[tile] &= len(segment) == wanted[tile]
        check = _check(segments)
        sound = all(complete) and (k == last or cursor.up_to(len(check)) == check)
        if not sound and not truncated:
            refuse(LicCorruptChunk, f"wrong check of stage {k + 1} of {last + 1}", cursor.offset, REFETCH)
        whole = k + 1 if sound and whole == k else whole
    return [TileStream(part, full, whole) for part, full in zip(parts, complete, strict=True)]
