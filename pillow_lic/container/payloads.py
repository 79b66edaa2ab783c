"""What stands inside the chunks of metadata, alpha and tiles (FORMAT 4, 5, 6.2). Standard library, constants and errors
only.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from ..constants import LIC_METADATA_MAX, LIC_STATES
from ..errors import LicBadOption, LicCorruptChunk, LicLimitExceeded, LicUnsupportedVersion
from .fields import REFETCH, UPGRADE, VARINT_LIMIT, Cursor, refuse, varint

if TYPE_CHECKING:
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
    payload = body if method == _STORED else _inflate(body, size, begin)
    if len(payload) != size:
        refuse(LicCorruptChunk, f"metadata of {len(payload)} bytes instead of {size}", begin, REFETCH)
    return payload


def _inflate(body: bytes, size: int, start: int) -> bytes:
    """Unpack a zlib stream that must end with `body`, never holding more than size + 1 bytes."""
    stream = zlib.decompressobj()
    try:
        payload = stream.decompress(body, size + 1)
    except zlib.error as error:
        refuse(LicCorruptChunk, f"metadata cannot be unpacked ({error})", start, REFETCH)
    if len(payload) <= size and (not stream.eof or stream.unused_data):
        refuse(LicCorruptChunk, "metadata stream does not end with its chunk", start, REFETCH)
    return payload


def alpha_png_start(payload: bytes, header: Header) -> int:
    """Where the PNG of an `A` payload of method 1 or 2 begins."""
    colours = 1 if header.layout == "LA" else 3
    return 1 + (colours if payload[0] == ALPHA_PAINTED else 0)


def checked_alpha(payload: bytes, start: int, header: Header) -> bytes:
    """The payload, refused unless its first bytes are what FORMAT 5.1 allows."""
    if not payload:
        refuse(LicCorruptChunk, "alpha chunk too short", start, REFETCH)
    if payload[0] not in (ALPHA_CONSTANT, ALPHA_PNG, ALPHA_PAINTED):
        refuse(LicUnsupportedVersion, f"unknown alpha method {payload[0]}", start, UPGRADE)
    if payload[0] == ALPHA_CONSTANT and len(payload) != 2:
        refuse(LicCorruptChunk, f"constant alpha of {len(payload)} bytes instead of 2", start, REFETCH)
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBB", header.width, header.height, 8, 0)
    if payload[0] != ALPHA_CONSTANT and not payload.startswith(png, alpha_png_start(payload, header)):
        what = f"alpha is not an 8-bit grey PNG of {header.width} x {header.height} pixels"
        refuse(LicCorruptChunk, what, start, REFETCH)
    return payload


# ---- Tile index (FORMAT 6.2) --------------------------------------------------------------------------------------


def pack_tiles(header: Header, tiles: list[bytes]) -> bytes:
    """The payload of `T`: lengths, then streams. Raises LicBadOption for streams that no decoder would take."""
    if len(tiles) != header.tile_count:
        msg = f"{len(tiles)} tile streams for {header.tile_count} tiles"
        raise LicBadOption(msg)
    if any(len(stream) < STREAM_MIN for stream in tiles):
        msg = f"a tile stream is shorter than {STREAM_MIN} bytes"
        raise LicBadOption(msg)
    return b"".join([varint(len(stream)) for stream in tiles] + tiles)


def split_tiles(data: bytes, header: Header, start: int, truncated: bool) -> list[bytes | None]:
    """The streams of a `T` payload; with truncated=True those that are not wholly there are None."""
    count = header.tile_count
    if not truncated and len(data) < count * (1 + STREAM_MIN):
        refuse(LicCorruptChunk, f"tile chunk too short for {count} tiles", start, REFETCH)
    cursor = Cursor(data, start)
    tiles: list[bytes | None] = []
    try:
        lengths = [cursor.ranged("length of a tile", cursor.varint(), STREAM_MIN, VARINT_LIMIT) for _ in range(count)]
        if not truncated and sum(lengths) != cursor.left:
            refuse(LicCorruptChunk, f"tiles of {sum(lengths)} bytes where there are {cursor.left}", start, REFETCH)
        for length in lengths:
            tiles.append(cursor.take(length))  # what precedes a cut stays
    except LicCorruptChunk:
        if not truncated:
            raise
    return tiles + [None] * (count - len(tiles))
