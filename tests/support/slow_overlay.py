"""The slow decoder's exact parts (FORMAT 3.1 and 5.2).

Written from docs/FORMAT.md alone; imports nothing of pillow_lic.
"""

import io
import struct
import types
import zlib

import numpy as np
from slow_reader import Reader, Refused, demand

# ---- FORMAT 3: layouts ----------------------------------------------------------------------------------------------

L, LA, RGB, RGBA, OTHER = 1, 2, 3, 4, 6
# FORMAT 3.1: the bands of each colour model
TWO_LEVELS = 1
MODELS = {1: 1, 2: 2, 3: 4, 4: 4, 5: 4, 6: 3, 7: 3, 8: 3}


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
