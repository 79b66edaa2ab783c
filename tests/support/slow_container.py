"""The slow decoder's container, from bytes to header, metadata, alpha and tile streams (FORMAT 1 to 6).

Written from docs/FORMAT.md alone; imports nothing of pillow_lic. Functions stand in the order of the document's
sections.
"""

import io
import struct
import types
import zlib

import numpy as np
from slow_overlay import LA, MODELS, OTHER, RGB, RGBA, L, bands_of, read_overlay, read_planes
from slow_reader import Reader, Refused, ceil_div, demand

# ---- FORMAT 2: the file from outside --------------------------------------------------------------------------------

SIGNATURE = bytes.fromhex("8D4C4944")
KNOWN = b"HxcenpvAOGsT"


def read_chunks(data):
    """[(type byte, payload)] of the whole file, every checksum verified. What follows the last is no part of it."""
    demand(data[:4] == SIGNATURE, "not a LIC draft: wrong signature")
    reader = Reader(data)
    reader.take(4)
    demand(reader.u8() == 0, "unknown major version")
    demand(reader.u8() >= 3, "a draft before 0.3")
    chunks, seen, last = [], set(), None
    while reader.left() and not (chunks and chunks[-1][0] == last):
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
        demand(chunks[0][0] == "H", "the first chunk is not H")
        last = last or ("O" if read_header(payload).alone else "T")
    demand(chunks and chunks[-1][0] == last, f"the last chunk is not {last}")
    return chunks


# ---- FORMAT 3: header -----------------------------------------------------------------------------------------------


def read_header(payload):
    """The fields of the `H` chunk."""
    reader = Reader(payload)
    width, height = reader.varint(), reader.varint()
    demand(width and height, "width or height is 0")
    covered = 4096 * ceil_div(ceil_div(height, 16), 4) * ceil_div(ceil_div(width, 16), 4)
    demand(covered <= 2**30, "more than 2^30 pixels under the hyper grid")
    byte = reader.u8()
    layout, alone = byte & 7, bool(byte & 128)
    demand(layout in (L, LA, RGB, RGBA) or (layout == OTHER and alone), f"reserved layout {layout}")
    depth = 8 + (byte >> 3 & 15)
    depth = 32 if depth == 23 and alone and layout != OTHER else depth
    demand(depth in (*range(8, 17), 32) and (depth == 8 or layout != OTHER), "reserved layout bits")
    if alone:
        model = reader.u8() if layout == OTHER else None
        demand(model is None or model in MODELS, f"reserved colour model {model}")
        demand(not reader.left(), "header chunk too long")
        stated = {"width": width, "height": height, "layout": layout, "depth": depth}
        return types.SimpleNamespace(**stated, alone=True, model=model)
    model, model_hash = reader.varint(), reader.take(8)
    quality = reader.u16()
    demand(100 <= quality <= 10000, f"quality {quality} out of range")
    side = reader.varint()
    demand(1 <= side <= 64, f"tile side {side} out of range")
    stages = reader.u8()
    demand(stages < 32, "reserved bits of stages")
    thresholds = list(reader.take(stages & 15))
    demand(all(a > b for a, b in zip(thresholds, [*thresholds[1:], 0])), "thresholds that do not fall")
    demand(not reader.left(), "header chunk too long")
    return types.SimpleNamespace(
        width=width,
        height=height,
        layout=layout,
        alone=False,
        depth=depth,
        model=model,
        model_hash=model_hash,
        quality=quality,
        side=side,
        thresholds=thresholds,
        cut=stages >= 16,
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


# ---- FORMAT 4.3: what samples stand for -----------------------------------------------------------------------------


def read_values(payload):
    """(kind, low, high), or None for a kind that is not known."""
    if payload[:1] not in (b"\1", b"\2"):
        demand(payload, "values: nothing")
        return None
    demand(len(payload) == 17, "values: wrong length")
    kind, low, high = struct.unpack("<Bdd", payload)
    demand(-np.inf < low <= high < np.inf, "values: not finite, or high below low")
    whole = low % 1 == 0 and high % 1 == 0 and low >= -(2**31) and high < 2**31
    demand(kind == 2 or whole, "values: no integers")
    return kind, low, high


# ---- FORMAT 5.1: alpha ----------------------------------------------------------------------------------------------


def read_alpha(payload, header):
    """The alpha plane (height, width), uint8 or, of more than 8 bits, uint16; and the colour of pixels where it is 0,
    or None.
    """
    reader = Reader(payload)
    method = reader.u8()
    shape, deep = (header.height, header.width), header.depth > 8
    dtype = np.uint16 if deep else np.uint8
    if method == 0:
        value = reader.u16() if deep else reader.u8()
        demand(not reader.left() and value < 2**header.depth, "alpha: trailing bytes, or beyond the depth")
        return np.full(shape, value, dtype), None
    demand(method in (1, 2), f"reserved alpha method {method}")
    hidden = [reader.u16() if deep else reader.u8() for _ in range(bands_of(header))] if method == 2 else None
    data = reader.rest()
    fields = struct.pack(">IIBB", header.width, header.height, 16 if deep else 8, 0)  # IHDR: size, bits, colour type
    demand(data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:26] == b"IHDR" + fields, "alpha: not the PNG that it must be")
    from PIL import Image

    try:
        plane = np.asarray(Image.open(io.BytesIO(data), formats=["PNG"]))
    except (OSError, SyntaxError, ValueError) as error:
        raise Refused(f"alpha: {error}") from error
    demand(plane.shape == shape and plane.dtype == dtype, "alpha: wrong shape")
    demand(max(int(plane.max()), *(hidden or [0])) < 2**header.depth, "alpha: beyond the depth")
    return plane, hidden


# ---- FORMAT 5.2: overlay, read by slow_overlay.py -------------------------------------------------------------------


def paint(samples, parsed):
    """Overlay and the colour of invisible pixels over samples (height, width, B), in place."""
    for left, top, exact in parsed.overlay:
        samples[top : top + exact.shape[0], left : left + exact.shape[1]] = exact
    if parsed.hidden is not None:
        samples[parsed.alpha == 0] = parsed.hidden


# ---- FORMAT 5.3: quality map ----------------------------------------------------------------------------------------


def read_map(payload, header):
    """The rows by which the index of each block is moved, nested lists [a][b]."""
    hz, wz = (ceil_div(ceil_div(side, 16), 4) for side in (header.height, header.width))
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(payload, hz * wz + 1)
    except zlib.error as error:
        raise Refused(f"quality map: {error}") from error
    demand(len(data) == hz * wz and unpacker.eof and not unpacker.unused_data, "quality map: wrong size")
    rows = np.frombuffer(data, np.int8).reshape(hz, wz).tolist()
    demand(all(abs(k) <= 32 for row in rows for k in row), "quality map: out of range")
    return rows


# ---- FORMAT 5.4: preferred synthesis ---------------------------------------------------------------------------------


def read_style(payload):
    """Its number and strength, None where they are not both there."""
    return tuple(payload[:2]) if len(payload) >= 2 else None


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


def read_streams(payload, count, stages):
    """Of each tile the segments of its stages (FORMAT 6.2)."""
    reader = Reader(payload)
    lengths = [[reader.varint() for _ in range(count)] for _ in range(stages)]
    demand(all(length >= 16 for length in lengths[0]), "a tile stream under 16 bytes")
    segments = []
    for k in range(stages):
        segments.append([reader.take(length) for length in lengths[k]])
        if k < stages - 1:
            demand(reader.u16() == zlib.crc32(b"".join(segments[k])) & 65535, f"the check of stage {k} is wrong")
    demand(not reader.left(), "bytes after the last tile stream")
    return [list(tile) for tile in zip(*segments)]


def parse(data):
    """Everything before the entropy part: header, metadata {type: bytes}, alpha (array or None), hidden (the colour of
    invisible pixels or None), overlay [(left, top, samples)], tiles, streams.
    """
    data = bytes(data)
    chunks = read_chunks(data)
    payloads = dict(chunks)
    header = read_header(payloads["H"])
    demand(not (header.alone and "T" in payloads), "tiles where the overlay stands alone")
    tiles = [] if header.alone else tile_grid(header)
    demand(("A" in payloads) == (header.layout in (LA, RGBA) and not header.alone), "alpha chunk and layout disagree")
    metadata = {kind: read_metadata(payloads[kind]) for kind in "cex" if kind in payloads}
    alpha, hidden = read_alpha(payloads["A"], header) if "A" in payloads else (None, None)
    overlay = []
    if "O" in payloads:
        overlay = read_overlay(payloads["O"], header) if header.depth == 8 else read_planes(payloads["O"], header)
    values = read_values(payloads["v"]) if "v" in payloads else None
    demand(values or header.depth != 32, "32 bits of which nobody says what they are")
    if "n" in payloads:
        demand(len(payloads["n"]) == 4 and payloads["n"][3] < 2, "colour coding points: wrong")
    return types.SimpleNamespace(
        header=header,
        metadata=metadata,
        alpha=alpha,
        hidden=hidden,
        overlay=overlay,
        values=values,
        map=read_map(payloads["G"], header) if "G" in payloads else None,
        style=read_style(payloads["s"]) if "s" in payloads else None,
        tiles=tiles,
        streams=[] if header.alone else read_streams(payloads["T"], len(tiles), len(header.thresholds) + 1),
    )
