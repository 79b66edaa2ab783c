"""PNG of 16 bits by the words of the standard, a byte at a time: the twin of pillow_lic.conversion.png and of what
Pillow reads. Whole files, filters 0 to 4, Adam7.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 3: 2, 2: 4, 4: 6}
PASSES = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """(name, data) of each. Fails where a checksum is wrong."""
    assert data[:8] == SIGNATURE
    at, found = 8, []
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        assert zlib.crc32(name + body) == int.from_bytes(data[at + 8 + size : at + 12 + size])
        found.append((name, body))
        at += size + 12
    return found


def file_of(parts: list[tuple[bytes, bytes]]) -> bytes:
    whole = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    ]
    return SIGNATURE + b"".join(whole)


def paeth(a: int, b: int, c: int) -> int:
    p = a + b - c
    return min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]


def predicted(kind: int, a: int, b: int, c: int) -> int:
    return (0, a, b, (a + b) // 2, paeth(a, b, c))[kind]


def neighbours(row: bytes, above: bytes, at: int, step: int) -> tuple[int, int, int]:
    before = at - step
    return (row[before] if before >= 0 else 0, above[at], above[before] if before >= 0 else 0)


def encode(samples: np.ndarray, kinds: list[int], interlaced: bool = False, beside: list = ()) -> bytes:
    """A file of uint16 (H, W, bands); kinds: filters of rows, in turn."""
    height, width, bands = samples.shape
    step, stream, count = 2 * bands, bytearray(), 0
    passes = [samples[y::dy, x::dx] for y, x, dy, dx in PASSES] if interlaced else [samples]
    for part in passes:
        if not part.size:
            continue
        above = bytes(part.shape[1] * step)
        for line in part:
            row, kind = line.astype(">u2").tobytes(), kinds[count % len(kinds)]
            stream.append(kind)
            stream += bytes(
                (byte - predicted(kind, *neighbours(row, above, at, step))) & 255 for at, byte in enumerate(row)
            )
            above, count = row, count + 1
    head = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[bands], 0, 0, interlaced)
    return file_of([(b"IHDR", head), *beside, (b"IDAT", zlib.compress(bytes(stream))), (b"IEND", b"")])


def decode(data: bytes) -> np.ndarray:
    """uint16 (H, W, bands) of a file that is not interlaced."""
    parts = chunks(data)
    width, height, depth, colour_type, *rest = struct.unpack(">IIBBBBB", parts[0][1])
    assert (depth, rest) == (16, [0, 0, 0])
    bands = {number: count for count, number in COLOUR_TYPES.items()}[colour_type]
    stream = zlib.decompress(b"".join(body for name, body in parts if name == b"IDAT"))
    step, size = 2 * bands, 2 * bands * width
    assert len(stream) == height * (size + 1)
    above, rows = bytes(size), []
    for number in range(height):
        kind, *coded = stream[number * (size + 1) : (number + 1) * (size + 1)]
        row = bytearray()
        for at, byte in enumerate(coded):
            row.append((byte + predicted(kind, *neighbours(row, above, at, step))) & 255)
        rows.append(np.frombuffer(bytes(row), ">u2"))
        above = bytes(row)
    return np.stack(rows).reshape(height, width, bands).astype(np.uint16)
