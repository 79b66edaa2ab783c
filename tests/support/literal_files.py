"""Files of the container byte by byte: right checksums, whatever is wrong with the rest (FORMAT 2, 3)."""

from __future__ import annotations

import struct
import zlib

from pillow_lic import container

HASH = bytes(range(8))
STATES = bytes(16)  # the shortest stream
START = b"\x8dLID\x00\x03"


def chunk(type: bytes, payload: bytes, before: bytes = b"") -> bytes:
    """A chunk with a right checksum, however wrong the rest is; payloads below 128 bytes."""
    head = type + bytes([len(payload)])
    return head + payload + struct.pack("<I", zlib.crc32(before + head + payload))


def header_bytes(payload: bytes) -> bytes:
    return START + chunk(b"H", payload, START)


# width 3, height 2, layout L, model 1, hash, quality 75, tile side 16, one stage
GOOD_H = b"\x03\x02\x01\x01" + HASH + b"\x4c\x1d\x10\x00"
RGBA_H = b"\x03\x02\x04\x01" + HASH + b"\x4c\x1d\x10\x00"
STAGED_H = GOOD_H[:-1] + b"\x02\x09\x04"  # three stages, from 9 and from 4 on
CHECK = struct.pack("<H", zlib.crc32(STATES) & 65535)
STAGED_T = b"\x10\x02\x00" + STATES + CHECK + b"ab" + struct.pack("<H", zlib.crc32(b"ab") & 65535)
T = chunk(b"T", b"\x10" + STATES)
GOOD = header_bytes(GOOD_H) + T


def patched(offset: int, new: bytes) -> bytes:
    return GOOD_H[:offset] + new + GOOD_H[offset + 1 :]


def header(**changes) -> container.Header:
    fields = {
        "width": 3,
        "height": 2,
        "layout": "L",
        "model": 1,
        "model_hash": HASH,
        "quality_q": 7500,
        "tile_side": 16,
    }
    return container.Header(**(fields | changes))


def sample(**changes) -> bytes:
    """A file with every chunk and four tiles of three stages."""
    h = header(width=100, height=70, layout="LA", tile_side=1, thresholds=b"\x09\x04", **changes)
    tiles = [[bytes([n]) * (16 + n), bytes([n]) * n, b"e" * (4 - n)] for n in range(4)]
    extra = {"map": b"\x20\xe0\0\1", "preview": container.Preview("JPEG", 20, 14, b"small")}
    return container.write(h, tiles, alpha=b"\0\x80", icc=b"i" * 50, exif=b"MM\0*", xmp=b"", **extra)
