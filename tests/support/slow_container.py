"""The slow decoder's container, from bytes to header, metadata, alpha and tile streams (FORMAT 1 to 6).

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

L, LA, RGB, RGBA, OTHER = 1, 2, 3, 4, 6
# FORMAT 3.1: the bands of each colour model
TWO_LEVELS = 1
MODELS = {1: 1, 2: 2, 3: 4, 4: 4, 5: 4, 6: 3, 7: 3, 8: 3}


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


# ---- FORMAT 5.2: overlay --------------------------------------------------------------------------------------------

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_KINDS = {1: {0: (1, 2, 4, 8)}, 2: {4: (8,)}, 3: {0: (1, 2, 4, 8), 3: (1, 2, 4, 8), 2: (8,)}, 4: {6: (8,)}}


def bands_of(header):
    """B: bands of a rectangle."""
    if header.layout == OTHER:
        return MODELS[header.model]
    return (1 if header.layout in (L, LA) else 3) + (header.alone and header.layout in (LA, RGBA))


def check_png(data, width, height, bands):
    """What a PNG states, and which chunks it has."""
    demand(data[:8] == PNG_SIGNATURE, "overlay: no PNG")
    reader, kinds = Reader(data), []
    reader.take(8)
    while reader.left():
        (length,) = struct.unpack(">I", reader.take(4))
        kinds.append(reader.take(4))
        body = reader.take(length)
        reader.take(4)
        if len(kinds) == 1:
            demand(kinds == [b"IHDR"] and length == 13, "overlay: PNG without IHDR")
            w, h, depth, colour, *rest = struct.unpack(">IIBBBBB", body)
            demand((w, h) == (width, height) and rest == [0, 0, 0], "overlay: PNG of another size or interlaced")
            demand(depth in PNG_KINDS[bands].get(colour, ()), "overlay: PNG of another kind")
    head = [b"IHDR", b"PLTE"] if kinds and colour == 3 else [b"IHDR"]
    middle = kinds[len(head) : -1]
    right = kinds[: len(head)] == head and kinds[-1:] == [b"IEND"] and middle and set(middle) == {b"IDAT"}
    demand(right, "overlay: PNG with other chunks")


def check_webp(data, width, height, bands):
    """What a lossless WebP states."""
    demand(len(data) >= 5 and data[0] == 0x2F, "overlay: no lossless WebP")
    (bits,) = struct.unpack("<I", data[1:5])
    demand((1 + bits % 2**14, 1 + (bits >> 14) % 2**14) == (width, height), "overlay: WebP of another size")
    demand(width * height <= 2**23, "overlay: WebP of too many pixels")
    demand(bits >> 29 == 0 and max(width, height) <= 16383, "overlay: unknown version of WebP")
    demand(bands in (2, 4) or not bits >> 28 & 1, "overlay: WebP with alpha")


def unpacked(data, method, width, height, bands):
    """The samples of a rectangle, uint8 (height, width, bands)."""
    if method == 0:
        demand(len(data) == bands, "overlay: a colour of another number of bands")
        return np.full((height, width, bands), list(data), np.uint8)
    demand(method in (1, 2), f"reserved overlay method {method}")
    if method == 1:
        check_png(data, width, height, bands)
    else:
        check_webp(data, width, height, bands)
        n = len(data)
        data = struct.pack("<4sI4s4sI", b"RIFF", 12 + n + (n & 1), b"WEBP", b"VP8L", n) + data + bytes(n & 1)
    from PIL import Image

    try:
        rgba = np.asarray(Image.open(io.BytesIO(data), formats=["PNG", "WEBP"]).convert("RGBA"))
    except (OSError, SyntaxError, ValueError) as error:
        raise Refused(f"overlay: {error}") from error
    return rgba[:, :, {1: [1], 2: [1, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[bands]]


def read_planes(payload, header):
    """The same of more than 8 bits: one rectangle, which is the picture."""
    reader = Reader(payload)
    demand(header.alone, "an overlay over samples of more than 8 bits")
    prediction = reader.u8()
    if prediction == 2 and header.depth == 32:
        return [(0, 0, looked_up(reader, header))]
    demand(prediction in (0, 1), "overlay: reserved prediction")
    numbers = 0
    for n in range(header.depth // 8 if header.depth == 32 else 2):
        last = n == (3 if header.depth == 32 else 1)
        numbers = numbers + 256**n * canvas(reader.rest() if last else reader.take(reader.varint()), header)
    shape = numbers.shape
    if prediction == 0:
        demand(numbers.max() < 2**header.depth, "overlay: samples beyond the depth")
        return [(0, 0, numbers)]
    samples = np.stack([restored(numbers[:, :, c].tolist(), header.depth) for c in range(shape[2])], axis=2)
    if shape[2] >= 3:
        for c in (0, 2):
            samples[:, :, c] = (samples[:, :, c] + samples[:, :, 1]) % 2**header.depth
    return [(0, 0, samples)]


def canvas(payload, header):
    """The samples (height, width, bands) of an overlay of 8 bits that is a picture."""
    found = np.zeros((header.height, header.width, bands_of(header)), np.int64)
    for left, top, exact in read_overlay(payload, header):
        found[top : top + exact.shape[0], left : left + exact.shape[1]] = exact
    return found


def looked_up(reader, header):
    """Numbers of 32 bits from a table and indices."""
    count = reader.varint()
    demand(1 <= count <= 65536, "overlay: a table of too many entries, or none")
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(reader.take(reader.varint()), 4 * count + 1)
    except zlib.error as error:
        raise Refused(f"overlay: {error}") from error
    demand(unpacker.eof and not unpacker.unused_data and len(data) == 4 * count, "overlay: a table of another length")
    table, total = [], 0
    for k in range(count):
        total += sum(data[k + n * count] << (8 * n) for n in range(4))
        table.append(total % 2**32)
    rest, own = reader.rest(), types.SimpleNamespace(**vars(header))
    own.depth = 8 if count <= 256 else 16
    indices = canvas(rest, own) if own.depth == 8 else read_planes(rest, own)[0][2]
    demand(indices.max() < count, "overlay: an index beyond the table")
    return np.array(table)[indices]


def restored(numbers, depth):
    """A band's samples from its predicted numbers, nested lists [row][column]."""
    s = [[0] * len(row) for row in numbers]
    for y, row in enumerate(numbers):
        for x, u in enumerate(row):
            e = u >> 1 if u % 2 == 0 else -(u >> 1) - 1
            left, a = (s[y][x - 1] if x else None), (s[y - 1][x] if y else None)
            if left is None or a is None:
                m = left if a is None else a
            else:
                d = s[y - 1][x - 1]
                low, high = sorted((left, a))
                m = low if d >= high else high if d <= low else left + a - d
            s[y][x] = ((m or 0) + e) % 2**depth
    return s


def read_overlay(payload, header):
    """[(left, top, samples)] of the rectangles, in their order."""
    reader, bands = Reader(payload), bands_of(header)
    count = reader.varint()
    demand(count <= 4096, "overlay: too many rectangles")
    places = []
    for _ in range(count):
        left, top, width, height = (reader.varint() for _ in range(4))
        demand(width and height, "overlay: empty rectangle")
        demand(left + width <= header.width and top + height <= header.height, "overlay: beyond the image")
        places.append((left, top, width, height, reader.u8(), reader.varint()))
    if not count:
        method = reader.u8()
        places = [(0, 0, header.width, header.height, method, reader.left())]
    demand(sum(place[2] * place[3] for place in places) <= header.width * header.height, "overlay: too many pixels")
    rectangles = []
    for left, top, width, height, method, length in places:
        demand(length, "overlay: no data")
        rectangles.append((left, top, unpacked(reader.take(length), method, width, height, bands)))
    demand(not reader.left(), "overlay: trailing bytes")
    return rectangles


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
