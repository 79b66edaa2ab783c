"""The first half of slow_decoder.py: the container, from bytes to header, metadata, alpha and tile streams (FORMAT 1 to
6).

Written from docs/FORMAT.md alone; imports nothing of pillow_lic. Functions stand in the order of the document's
sections.
"""

import io
import struct
import types
import zlib

import numpy as np


class Refused(Exception):
    """The one error: the file or the model is not as FORMAT.md says, and the message says how."""


def demand(condition, message):
    """FORMAT 1, "refuse"."""
    if not condition:
        raise Refused(message)


# ---- FORMAT 1: conventions ------------------------------------------------------------------------------------------


class Reader:
    """Bytes with a position; every read is bounded."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        """Number of bytes not yet read."""
        return len(self.data) - self.at

    def take(self, count):
        """The next `count` bytes."""
        demand(count <= self.left(), f"data ends: {count} bytes wanted at {self.at}, {self.left()} left")
        self.at += count
        return self.data[self.at - count : self.at]

    def rest(self):
        """All bytes not yet read."""
        return self.take(self.left())

    def u8(self):
        """One unsigned byte."""
        return self.take(1)[0]

    def u16(self):
        """Two bytes, little-endian."""
        return struct.unpack("<H", self.take(2))[0]

    def u32(self):
        """Four bytes, little-endian."""
        return struct.unpack("<I", self.take(4))[0]

    def varint(self):
        """Unsigned LEB128 of at most 5 bytes, below 2^31, shortest form."""
        value = 0
        for n in range(5):
            byte = self.u8()
            value |= (byte & 127) << (7 * n)
            if byte < 128:
                demand(byte or n == 0, f"varint before {self.at} is not the shortest")
                demand(value < 2**31, f"varint before {self.at} is not below 2^31")
                return value
        raise Refused(f"varint before {self.at} has more than 5 bytes")


def ceil_div(a, b):
    """Division rounded up (FORMAT 6.1)."""
    return -(-a // b)


# ---- FORMAT 2: the file from outside --------------------------------------------------------------------------------

SIGNATURE = bytes.fromhex("8D4C4944")
KNOWN = b"HcexAT"


def read_chunks(data):
    """[(type byte, payload)] of the whole file, every checksum verified. What follows `T` is no part of it."""
    demand(data[:4] == SIGNATURE, "not a LIC draft: wrong signature")
    reader = Reader(data)
    reader.take(4)
    demand(reader.u8() == 0, "unknown major version")
    reader.u8()  # every minor version is accepted
    chunks, seen = [], set()
    while reader.left() and not (chunks and chunks[-1][0] == "T"):
        start = reader.at if chunks else 0  # the first chunk's checksum includes signature and version
        kind = reader.u8()
        demand(bytes([kind]).isalpha(), f"chunk type {kind} at {reader.at - 1} is no ASCII letter")
        payload = reader.take(reader.varint())
        crc = zlib.crc32(data[start : reader.at])
        demand(reader.u32() == crc, f"chunk {chr(kind)}: wrong checksum")
        demand(kind in KNOWN or not bytes([kind]).isupper(), f"unknown critical chunk {chr(kind)}")
        demand(kind not in seen, f"chunk {chr(kind)} appears twice")
        if kind in KNOWN:
            seen.add(kind)
        chunks.append((chr(kind), payload))
    demand(chunks and chunks[0][0] == "H", "the first chunk is not H")
    demand(chunks[-1][0] == "T", "the last chunk is not T")
    return chunks


# ---- FORMAT 3: header -----------------------------------------------------------------------------------------------

L, LA, RGB, RGBA = 1, 2, 3, 4


def read_header(payload):
    """The fields of the `H` chunk."""
    reader = Reader(payload)
    width, height = reader.varint(), reader.varint()
    demand(width and height, "width or height is 0")
    covered = 4096 * ceil_div(ceil_div(height, 16), 4) * ceil_div(ceil_div(width, 16), 4)
    demand(covered <= 2**30, "more than 2^30 pixels under the hyper grid")
    byte = reader.u8()
    layout = byte & 7
    demand(layout in (L, LA, RGB, RGBA), f"reserved layout {layout}")
    demand(byte & 0b00111000 == 0, "reserved layout bits")
    model, model_hash = reader.varint(), reader.take(8)
    quality = reader.u16()
    demand(100 <= quality <= 10000, f"quality {quality} out of range")
    side = reader.varint()
    demand(1 <= side <= 64, f"tile side {side} out of range")
    demand(not reader.left(), "header chunk too long")
    return types.SimpleNamespace(
        width=width, height=height, layout=layout, model=model, model_hash=model_hash, quality=quality, side=side
    )


# ---- FORMAT 4: metadata ---------------------------------------------------------------------------------------------


def read_metadata(payload):
    """The bytes of an ICC, EXIF or XMP chunk."""
    reader = Reader(payload)
    method, size = reader.u8(), reader.varint()
    demand(size <= 2**24, "metadata over 2^24 bytes")
    data = reader.rest()
    demand(method in (0, 1), f"reserved metadata method {method}")
    if method == 1:
        unpacker = zlib.decompressobj()
        try:
            data = unpacker.decompress(data, size + 1)
        except zlib.error as error:
            raise Refused(f"metadata: {error}") from error
        demand(unpacker.eof and not unpacker.unused_data, "metadata: zlib stream too long or too short")
    demand(len(data) == size, "metadata: wrong size")
    return data


# ---- FORMAT 5: alpha ------------------------------------------------------------------------------------------------


def read_alpha(payload, header):
    """The alpha plane, uint8 (height, width)."""
    reader = Reader(payload)
    method = reader.u8()
    shape = header.height, header.width
    if method == 0:
        value = reader.u8()
        demand(not reader.left(), "alpha: trailing bytes")
        return np.full(shape, value, np.uint8)
    demand(method == 1, f"reserved alpha method {method}")
    data = reader.rest()
    fields = struct.pack(">II", header.width, header.height) + b"\x08\x00"  # IHDR: size, bit depth 8, colour type 0
    demand(data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:26] == b"IHDR" + fields, "alpha: not the PNG that it must be")
    from PIL import Image

    try:
        plane = np.asarray(Image.open(io.BytesIO(data), formats=["PNG"]))
    except (OSError, SyntaxError, ValueError) as error:
        raise Refused(f"alpha: {error}") from error
    demand(plane.shape == shape and plane.dtype == np.uint8, "alpha: wrong shape")
    return plane


# ---- FORMAT 6: tiles ------------------------------------------------------------------------------------------------


def tile_grid(header):
    """[(hyper rows, hyper columns, latent rows, latent columns)] of every tile in raster order, as ranges (FORMAT
    6.1).
    """
    side = header.side
    hy, wy = ceil_div(header.height, 16), ceil_div(header.width, 16)
    hz, wz = ceil_div(hy, 4), ceil_div(wy, 4)
    rows, columns = ceil_div(hz, side), ceil_div(wz, side)
    return [
        (
            range(side * i, min(side * (i + 1), hz)),
            range(side * j, min(side * (j + 1), wz)),
            range(4 * side * i, min(4 * side * (i + 1), hy)),
            range(4 * side * j, min(4 * side * (j + 1), wy)),
        )
        for i in range(rows)
        for j in range(columns)
    ]


def read_streams(payload, count):
    """The tiles' streams (FORMAT 6.2)."""
    reader = Reader(payload)
    lengths = [reader.varint() for _ in range(count)]
    demand(all(length >= 16 for length in lengths), "a tile stream under 16 bytes")
    streams = [reader.take(length) for length in lengths]
    demand(not reader.left(), "bytes after the last tile stream")
    return streams


def parse(data):
    """Everything before the entropy part: header, metadata {type: bytes}, alpha (array or None), tiles, streams."""
    data = bytes(data)
    chunks = read_chunks(data)
    payloads = dict(chunks)
    header = read_header(payloads["H"])
    tiles = tile_grid(header)
    demand(("A" in payloads) == (header.layout in (LA, RGBA)), "alpha chunk and layout disagree")
    metadata = {kind: read_metadata(payloads[kind]) for kind in "cex" if kind in payloads}
    alpha = read_alpha(payloads["A"], header) if "A" in payloads else None
    return types.SimpleNamespace(
        header=header, metadata=metadata, alpha=alpha, tiles=tiles, streams=read_streams(payloads["T"], len(tiles))
    )
