"""A complete, slow, literal decoder of LIC files, written from docs/FORMAT.md alone.

Imports nothing of pillow_lic and needs no torch: it is the second opinion that the fast decoder is compared with. The
container is in slow_container.py, pixels of the `photo` family (FORMAT 8) are in slow_photo.py; here is what stands
between, FORMAT 7 and 9, in Python integers. Of the `gdn` family, whose pixels the document gives in floating point, it
yields symbols. Functions stand in the order of the document's sections.

    python tests/support/slow_decoder.py file.lic model_dir out.png
"""

import bisect
import hashlib
import itertools
import json
import math
import pathlib
import struct
import sys

import numpy as np
import slow_photo
from slow_container import LA, L, Refused, bands_of, ceil_div, demand, paint, parse

# ---- FORMAT 7.1: quality --------------------------------------------------------------------------------------------


def rate_point(quality, points):
    """(p, f, nearest) of Q between the model's trained rates."""
    position = (quality - 100) * (points - 1) * 256 // 9900
    p = min(position >> 8, points - 2)
    return p, position - 256 * p, (position + 128) >> 8


def lerp(a, b, f):
    """Between the values at two trained rates."""
    return (a * (256 - f) + b * f + 128) >> 8


# ---- FORMAT 7.2, 9.2: the model's tables ----------------------------------------------------------------------------


class Tables:
    """The bank and the integer map, as Python integers. `arrays` is a mapping with the names of FORMAT 9.2."""

    def __init__(self, arrays, latent, hyper, points, scale_rows, skip):
        self.latent, self.hyper, self.points, self.scales, self.skip = latent, hyper, points, scale_rows, skip
        self.components = 0
        if "normal" in arrays:
            self.components, rest = divmod(len(arrays["weight"]), 48 * latent)
            demand(rest == 0 and 1 <= self.components <= 4 and skip == 0, "a map of mixtures is not as 7.8 says")
        self.trellis = arrays["trellis"].tolist()[0] if "trellis" in arrays else None
        self.scale_rows = 0 if self.components else scale_rows if self.trellis is None else 2 * scale_rows
        self.channels = 3 * self.components * latent or latent
        self.levels = 1 + arrays["z_level"].shape[-1] if "z_level" in arrays else 1
        demand(self.levels <= 16, "too many levels of z")
        self.classes = arrays["z_near"].tolist()[0] if "z_near" in arrays else 1
        demand(self.classes == (10 if "z_near" in arrays else 1), "z_near is not as 9.2 says")
        self.check_shapes(arrays)
        self.first = arrays["first"].tolist()
        self.freq, self.cumulative, at = [], [], 0
        frequencies = arrays["freq"].tolist()
        for n in arrays["count"].tolist():
            g = frequencies[at : at + n]
            demand(2 <= n <= 4096 and len(g) == n and min(g) >= 1 and sum(g) == 65536, "a bank row is not as 7.2 says")
            self.freq.append(g)
            self.cumulative.append([0, *itertools.accumulate(g[:-1])])
            at += n
        demand(at == len(frequencies), "frequencies left over")
        self.weight, self.offset = arrays["weight"].tolist(), arrays["offset"].tolist()
        self.bias, self.z_step = arrays["bias"].tolist(), arrays["z_step"].tolist()
        self.z_level = arrays["z_level"].tolist() if self.levels > 1 else [[[]] * hyper] * points
        self.hidden = [
            (arrays[f"hidden{n}_weight"].tolist(), arrays[f"hidden{n}_offset"].tolist()) for n in self.layers
        ]
        if self.components:
            self.normal, self.inverse = arrays["normal"].tolist(), arrays["inverse"].tolist()
            demand(
                self.normal[0] == 0 and self.normal[256] == 32768 and self.normal == sorted(self.normal),
                "normal is not as 9.2 says",
            )

    def check_shapes(self, arrays):
        """Types, shapes and ranges of FORMAT 9.2 and 7.5."""
        m, c, p = self.channels, self.hyper, self.points
        bank = self.scale_rows + p * c * self.levels * self.classes
        demand(bank <= 65536, "too many rows")
        ranges = [
            ("weight", -1023, 1023),
            ("offset", 1 - 2**22, 2**22 - 1),
            ("bias", 1 - 2**22, 2**22 - 1),
            ("z_step", 1, 255),
        ]
        hidden, inputs = {}, c
        self.layers = list(itertools.takewhile(lambda n: f"hidden{n}_weight" in arrays, itertools.count(1)))
        for n in self.layers:
            outputs = len(arrays[f"hidden{n}_weight"])
            demand(1 <= outputs <= 256, "a hidden layer is too wide")
            hidden |= {f"hidden{n}_weight": ("i2", (outputs, inputs)), f"hidden{n}_offset": ("i4", (outputs,))}
            ranges += [(f"hidden{n}_weight", -1023, 1023), (f"hidden{n}_offset", 1 - 2**22, 2**22 - 1)]
            inputs = outputs
        wanted = {
            "freq": ("u2", None),
            "count": ("i4", (bank,)),
            "first": ("i2", (bank,)),
            "weight": ("i2", (16 * m, inputs)),
            "offset": ("i4", (16 * m,)),
            "bias": ("i4", (p, m)),
            "z_step": ("u1", (p, c)),
            **hidden,
        }
        if "z_level" in arrays:
            wanted["z_level"] = ("u2", (p, c, self.levels - 1))
            demand(self.levels > 1, "z_level is empty")
        if "z_near" in arrays:
            wanted["z_near"] = ("i4", (1,))
        if "trellis" in arrays:
            wanted["trellis"] = ("i4", (1,))
            demand(not self.components and self.skip <= self.trellis <= self.scales <= 128, "trellis: not as 7.9 says")
        if self.components:
            wanted |= {"normal": ("u2", (257,)), "inverse": ("u4", (self.scales,))}
            ranges.append(("inverse", 2048, 16777216))
        for name, (dtype, shape) in wanted.items():
            demand(name in arrays, f"no array {name}")
            demand(arrays[name].dtype == np.dtype(dtype), f"{name}: wrong type")
            demand(shape is None or arrays[name].shape == shape, f"{name}: wrong shape")
        for name, low, high in ranges:
            demand(arrays[name].min() >= low and arrays[name].max() <= high, f"{name}: out of range")


# ---- FORMAT 7.3: range-ANS ------------------------------------------------------------------------------------------


class Ended(Exception):
    """The words end before the symbols do (FORMAT 6.4)."""


class TileStream:
    """The segments of one tile, read as one stream with four states."""

    def __init__(self, segments):
        self.ends = list(itertools.accumulate(map(len, segments)))
        self.data, self.front, self.back = b"".join(segments), 16, self.ends[0]
        demand(self.back >= 16, "stream under 16 bytes")
        self.x = list(struct.unpack("<4I", self.data[:16]))
        demand(min(self.x) >= 65536, "an initial state is below 65536")

    def symbol(self, i, first, freq, cumulative):
        """Symbol number i of a run, from the row (first value, frequencies, cumulative frequencies); None for an
        escape.
        """
        s = i % 4
        slot = self.x[s] & 65535
        j = bisect.bisect_right(cumulative, slot) - 1
        state = freq[j] * (self.x[s] >> 16) + slot - cumulative[j]
        self.x[s] = state << 16 | self.word() if state < 65536 else state
        demand(j == len(freq) - 1 or first + j <= 32767, f"symbol {first + j} outside i16")
        return None if j == len(freq) - 1 else first + j

    def run(self, n, row):
        """The n symbols of a run; row(i, symbols) is the row of the next, given those before. Where words end, what
        they tell, the others being 0, and whether they ended.
        """
        symbols, escaped = [0] * n, []
        try:
            for i in range(n):
                first, freq, cumulative = row(i, symbols)
                value = self.symbol(i, first, freq, cumulative)
                if value is None:
                    escaped.append((i, first, len(freq)))
                else:
                    symbols[i] = value
            for i, first, count in escaped:
                symbols[i] = self.escape(first, count)
        except Ended:
            return symbols, True
        return symbols, False

    def word(self):
        """The next u16 at the front."""
        if self.front + 2 > self.back:
            raise Ended
        self.front += 2
        return struct.unpack_from("<H", self.data, self.front - 2)[0]

    def escape(self, first, n):
        """A value outside the row."""
        start, v = self.front, self.word()
        if v >= 32768:
            try:
                high = self.word()
            except Ended:
                self.front = start
                raise
            demand(1 <= high <= 3, "escape is not the shortest or too long")
            v += 32768 * high - 32768
        value = first - 1 - (v >> 1) if v & 1 else first + n - 1 + (v >> 1)
        demand(-32768 <= value <= 32767, f"symbol {value} outside i16")
        return value

    def finish(self, checksum):
        """What must hold after the last run."""
        demand(self.front == len(self.data), f"{len(self.data) - self.front} bytes left over")
        end = [65536 + (checksum & 65535), 65536 + (checksum >> 16), 65536, 65536]
        demand(self.x == end, "the checksum in the states is not that of the symbols")


# ---- FORMAT 7.4 to 7.7: one tile ------------------------------------------------------------------------------------


def z_base(tables, quality, earlier, positions):
    """Bank rows of the next channel of z but for the class, in coding order (FORMAT 7.4); `earlier`: flat lists of so
    many positions.
    """
    nearest, c = rate_point(quality, tables.points)[2], len(earlier)
    rows = []
    for at in range(positions):
        activity = sum(min(abs(plane[at]), 3) for plane in earlier)
        level = sum(activity >= reach for reach in tables.z_level[nearest][c])
        rows.append(tables.scale_rows + ((nearest * tables.hyper + c) * tables.levels + level) * tables.classes)
    return rows


def z_class(tables, i, seen, columns):
    """The class of position i of a channel, given the symbols before it, 0 where they were escaped (FORMAT 7.4)."""
    if tables.classes == 1 or i == 0:
        return 0
    left = seen[i - 1] if i % columns else seen[i - columns]
    above = seen[i - columns] if i >= columns else seen[i - 1]
    size, total = min(abs(left) + abs(above), 3), left + above
    return 3 * size - 1 + (total > 0) - (total < 0) if size else 0


def dequantise(tables, quality, z):
    """v of FORMAT 7.5, nested lists [c][a][b] as z is."""
    p, f, _ = rate_point(quality, tables.points)
    steps = [lerp(a, b, f) for a, b in zip(tables.z_step[p], tables.z_step[p + 1])]
    return [[[min(max(value * d, -4096), 4095) for value in row] for row in plane] for d, plane in zip(steps, z)]


def activate(a):
    """A hidden layer's value from its sum (FORMAT 7.5)."""
    return min(max(a if a >= 0 else a >> 3, -4096), 4095)


def hidden_layers(tables, v):
    """What stands for v behind the hidden layers, nested lists [c][a][b]."""
    for weights, offsets in tables.hidden:
        v = [
            [
                [
                    activate((sum(w * v[c][a][b] for c, w in enumerate(weight)) + offset) >> 11)
                    for b in range(len(v[0][0]))
                ]
                for a in range(len(v[0]))
            ]
            for weight, offset in zip(weights, offsets)
        ]
    return v


def scale_indices(tables, quality, v, rows, columns, shift=None):
    """index[m][row][column] of FORMAT 7.5 for a tile of `rows` x `columns` positions; bytes with mixtures (7.8). shift:
    the tile's part of the quality map, nested lists [a][b].
    """
    p, f, _ = rate_point(quality, tables.points)
    most = 255 if tables.components else tables.scales - 1
    v = hidden_layers(tables, v)
    result = []
    for m in range(tables.channels):
        bias = lerp(tables.bias[p][m], tables.bias[p + 1][m], f)
        plane = []
        for row in range(rows):
            a, u = divmod(row, 4)
            line = []
            for column in range(columns):
                b, w = divmod(column, 4)
                k = 16 * m + 4 * u + w
                acc = sum(weight * v[c][a][b] for c, weight in enumerate(tables.weight[k])) + tables.offset[k] + bias
                index = min(max(acc >> 11, 0), most)
                line.append(index if shift is None else min(max(index + shift[a][b], 0), most))
            plane.append(line)
        result.append(plane)
    return result


def flatten(planes):
    """[channel][row][column] in coding order."""
    return [value for plane in planes for row in plane for value in row]


def unflatten(values, channels, rows, columns):
    """The inverse of `flatten`."""
    values = iter(values)
    return [[[next(values) for _ in range(columns)] for _ in range(rows)] for _ in range(channels)]


def checksum(symbols):
    """K of FORMAT 7.7 over all integers of a tile, skipped ones included."""
    a = b = 0
    for n, s in enumerate(symbols, start=1):
        t = s % 65536
        a = (a + t) % 2**32
        b = (b + n * t) % 2**32
    return (a * 2654435761 + b) % 2**32


def bank_row(tables, k):
    """(first value, frequencies, cumulative frequencies)."""
    return tables.first[k], tables.freq[k], tables.cumulative[k]


def decode_z(stream, tables, quality, shape):
    """(channels, whether words ended): z as flat lists, as far as it is there."""
    channels, positions = [], shape[0] * shape[1]
    for _ in range(tables.hyper):
        base = z_base(tables, quality, channels, positions)

        def row(i, seen, base=base):
            return bank_row(tables, base[i] + z_class(tables, i, seen, shape[1]))

        symbols, ended = stream.run(positions, row)
        channels.append(symbols)
        if ended:
            return channels, True
    return channels, False


def mixture_row(tables, b):
    """(first value, frequencies, cumulative frequencies) from the 3 K bytes of a position (FORMAT 7.8)."""
    n = tables.components
    inverse = [tables.inverse[min(s, tables.scales - 1)] for s in b[:n]]
    offset, a = [o - 128 for o in b[n : 2 * n]], [max(value, 1) for value in b[2 * n :]]
    share = [value * 65535 // sum(a) for value in a]
    share[0] = 65535 - sum(share[1:])
    end = [ceil_div(2**24, i) for i in inverse]
    rho = max(4, *((d + 23) // 16 + (abs(o) + 15) // 16 for d, o in zip(end, offset)))

    def phi(k, d):
        t, v = abs(d) * inverse[k], 32768
        if abs(d) < end[k]:
            low, high = tables.normal[t >> 16], tables.normal[(t >> 16) + 1]
            v = low + ((high - low) * (t >> 8 & 255) >> 8)
        return 32768 - v if d < 0 else min(32768 + v, 65535)

    cumulative = []
    for x in range(-rho, rho + 2):
        total = sum(phi(k, 16 * x - 8 - offset[k]) * share[k] >> 16 for k in range(n))
        cumulative.append((total * (65534 - 2 * rho) >> 16) + x + rho)
    return -rho, [high - low for low, high in zip(cumulative, [*cumulative[1:], 65536])], cumulative


def mixture_stage(stream, tables, grids):
    """(symbols, r, whether words ended) of r under mixtures, every position coded: runs of 256."""
    bytes_of = [flatten([grid]) for grid in grids]
    positions, r = len(bytes_of[0]), []
    for start in range(0, tables.latent * positions, 256):

        def row(i, _, start=start):
            m, at = divmod(start + i, positions)
            return mixture_row(tables, [plane[at] for plane in bytes_of[m :: tables.latent]])

        symbols, ended = stream.run(min(256, tables.latent * positions - start), row)
        r += symbols
        if ended:
            break
    return r, r, ended


def next_state(state, symbol):
    """The state of a position in the channel after a symbol of the trellis (FORMAT 7.9)."""
    return state >> 1 ^ (157 >> 1 if state & 1 else 0) ^ (86 >> 1 if symbol & 1 else 0)


def level_of(symbol, index, state, trellis):
    """What stands in r for a symbol (FORMAT 7.9)."""
    if index < trellis:
        return 3 * symbol
    sign = (symbol > 0) - (symbol < 0)
    return 4 * symbol - 2 * sign if state & 1 else 4 * symbol


def plain_stage(stream, tables, indices, low, high):
    """({position: symbol}, whether words ended) of a stage (FORMAT 7.6): one run. indices: flat."""
    there = [at for at, index in enumerate(indices) if max(low, tables.skip) <= index < high]
    symbols, ended = stream.run(len(there), lambda i, _: bank_row(tables, indices[there[i]]))
    return dict(zip(there, symbols)), ended


def dependent_channel(stream, tables, indices, states, low, high):
    """The same of a channel of a stage (FORMAT 7.9), whose positions' states move on; with levels behind it."""
    there = [at for at, index in enumerate(indices) if max(low, tables.skip) <= index < high]
    inside = [indices[at] >= tables.trellis for at in there]
    rows = [indices[at] + (tables.scales if one and states[at] & 1 else 0) for at, one in zip(there, inside)]
    symbols, ended = stream.run(len(there), lambda i, _: bank_row(tables, rows[i]))
    levels = {}
    for at, one, symbol in zip(there, inside, symbols):
        levels[at] = level_of(symbol, indices[at], states[at], tables.trellis)
        demand(-32768 <= levels[at] <= 32767, "a level is outside i16")
        states[at] = next_state(states[at], symbol) if one else states[at]
    return symbols, levels, ended


def residual_stage(stream, tables, planes, states, low, high, r):
    """(symbols, whether words ended) of a stage, whose elements are written into r, flat lists of each channel."""
    if tables.trellis is None:
        found, ended = plain_stage(stream, tables, [index for plane in planes for index in plane], low, high)
        for at, value in found.items():
            r[at // len(planes[0])][at % len(planes[0])] = value
        return list(found.values()), ended
    coded = []
    for m, indices in enumerate(planes):
        symbols, levels, ended = dependent_channel(stream, tables, indices, states, low, high)
        coded += symbols
        for at, level in levels.items():
            r[m][at] = level
        if ended:
            return coded, True
    return coded, False


def decode_tile(segments, tables, coding, hyper_shape, latent_shape, shift=None):
    """(z, r), nested lists, of one tile with (rows, columns) hyper and latent positions.

    segments: of each stage. coding: Q, the thresholds of the stages, whether the stream may break off.
    """
    quality, thresholds, cut = coding
    stream = TileStream(segments)
    channels, ended = decode_z(stream, tables, quality, hyper_shape)
    channels += [[0] * (hyper_shape[0] * hyper_shape[1])] * (tables.hyper - len(channels))
    z, symbols = unflatten([v for plane in channels for v in plane], tables.hyper, *hyper_shape), []
    positions = latent_shape[0] * latent_shape[1]
    r, states = [[0] * positions for _ in range(tables.latent)], [0] * positions
    if not ended:
        grids = scale_indices(tables, quality, dequantise(tables, quality, z), *latent_shape, shift)
    for k, low in enumerate([*thresholds, 0]):
        stream.back = stream.ends[k]
        if not ended and tables.components:
            demand(not thresholds, "mixtures in several stages")
            found, values, ended = mixture_stage(stream, tables, grids)
            values += [0] * (tables.latent * positions - len(values))
            r = [values[m * positions : (m + 1) * positions] for m in range(tables.latent)]
            symbols += found
        elif not ended:
            high = thresholds[k - 1] if k else 256
            found, ended = residual_stage(stream, tables, [flatten([g]) for g in grids], states, low, high, r)
            symbols += found
        if ended:
            demand(cut and stream.ends[k] == len(stream.data), f"the words of stage {k} end too early")
            break
        demand(stream.front == stream.back, f"bytes are left over in stage {k}")
    if not ended:
        stream.finish(checksum([v for plane in channels for v in plane] + symbols))
    return z, unflatten([value for plane in r for value in plane], tables.latent, *latent_shape)


# ---- FORMAT 9: model directory --------------------------------------------------------------------------------------

TYPES = {
    "U8": "<u1",
    "I8": "<i1",
    "U16": "<u2",
    "U32": "<u4",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
    "F16": "<f2",
    "F32": "<f4",
}
INTEGERS = ("latent", "hyper", "points", "rows", "skip", "halo")


def read_tensors(data):
    """{name: (type, array)} of a safetensors file (FORMAT 9.2)."""
    demand(len(data) >= 8, "no safetensors: under 8 bytes")
    (length,) = struct.unpack("<Q", data[:8])
    demand(length <= 2**20 and 8 + length <= len(data), "the description is too long")
    described = json.loads(data[8 : 8 + length])
    layout = described.pop("__metadata__", {}).get("layout")
    demand(layout in (None, "planes"), "unknown layout")
    body, tensors, at = data[8 + length :], {}, 0
    entries = sorted(described.items(), key=lambda item: item[1]["data_offsets"])
    if layout:
        body = out_of_planes(body, [(entry["dtype"], math.prod(entry["shape"])) for _, entry in entries])
    for name, entry in entries:
        begin, end = entry["data_offsets"]
        demand(entry["dtype"] in TYPES, f"{name}: unknown type")
        dtype = np.dtype(TYPES[entry["dtype"]])
        demand(begin == at, f"{name}: a gap before it")
        demand(end <= len(body), f"{name}: ends beyond the file")
        demand(end - begin == dtype.itemsize * math.prod(entry["shape"]), f"{name}: wrong number of bytes")
        tensors[name] = entry["dtype"], np.frombuffer(body[begin:end], dtype).reshape(entry["shape"])
        at = end
    demand(at == len(body), "bytes after the last tensor")
    return tensors


def out_of_planes(body, types):
    """The bytes of tensors of these types and sizes whose bytes stand in planes."""
    width = np.concatenate([np.full(count, int(kind[1:]) // 8) for kind, count in types])
    demand(width.sum() == len(body), "the planes are not as long as the tensors")
    element, at = np.zeros(len(width), np.uint64), 0
    for k in range(8):
        has = width > k
        plane = np.frombuffer(body, np.uint8, has.sum(), at).astype(np.uint64)
        element[has] |= plane << np.uint64(8 * k)
        at += has.sum()
    plain, at = b"", 0
    for kind, count in types:
        u = element[at : at + count]
        if kind[0] == "I":
            half = (u >> np.uint64(1)).astype(np.int64)
            u = np.where(u & np.uint64(1), -half - 1, half)
        plain += u.astype(TYPES[kind] if kind[0] != "F" else f"<u{int(kind[1:]) // 8}").tobytes()
        at += count
    return plain


def identity(tensors, integers):
    """What a model is known by (FORMAT 9.1)."""
    text = b""
    for name in sorted(tensors, key=str.encode):
        if not name.startswith("unit."):
            kind, array = tensors[name]
            text += f"{name} {kind} {','.join(str(side) for side in array.shape)}\n".encode() + array.tobytes()
    return hashlib.sha256(text + b"".join(value.to_bytes(4, "little") for value in integers)).digest()


def load_model(model_dir):
    """(manifest, tables, {name: array}, 32-byte identity), the identity and all limits verified."""
    folder = pathlib.Path(model_dir)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    demand(manifest.get("format") == 3, "unknown manifest format")
    tensors = read_tensors((folder / "model.safetensors").read_bytes())
    digest = identity(tensors, [manifest[key] for key in INTEGERS])
    demand(digest.hex() == manifest["identity"], "model.safetensors: not the model that the manifest names")
    arrays = {name: array for name, (_, array) in tensors.items()}
    latent, hyper, points = manifest["latent"], manifest["hyper"], manifest["points"]
    tables = Tables(arrays, latent, hyper, points, manifest["rows"], manifest["skip"])
    if manifest["network"]["family"] == "photo":
        slow_photo.check(arrays, latent, hyper, points)
    return manifest, tables, arrays, digest


def load_for(header, model_dir):
    """(manifest, tables, {name: array}) of the model that the header asks for."""
    *model, digest = load_model(model_dir)
    demand(digest[:8] == header.model_hash, "the file was made with another model")
    return model


def symbols_of(parsed, tables):
    """[(z, r)] of all tiles as int32 arrays (channels, rows, columns)."""
    header, result = parsed.header, []
    demand(parsed.map is None or not tables.components, "a quality map with mixtures")
    coding = header.quality, header.thresholds, header.cut
    for stream, (zr, zc, yr, yc) in zip(parsed.streams, parsed.tiles):
        shift = parsed.map and [row[zc.start : zc.stop] for row in parsed.map[zr.start : zr.stop]]
        z, r = decode_tile(stream, tables, coding, (len(zr), len(zc)), (len(yr), len(yc)), shift)
        result.append((np.array(z, np.int32), np.array(r, np.int32)))
    return result


def decode_symbols(data, model_dir):
    """[(z, r)] of every tile of a file, int32 arrays (C, rows, columns) and (M, rows, columns)."""
    parsed = parse(data)
    return symbols_of(parsed, load_for(parsed.header, model_dir)[1])


# ---- FORMAT 8: from integers to pixels ------------------------------------------------------------------------------


def assemble(parsed, symbols, tables):
    """v (C, hz, wz) and r (M, hy, wy) of the whole image from its tiles."""
    zr, zc, yr, yc = parsed.tiles[-1]
    v = np.zeros((tables.hyper, zr.stop, zc.stop), np.int32)
    r = np.zeros((tables.latent, yr.stop, yc.stop), np.int32)
    for (zr, zc, yr, yc), (tile_z, tile_r) in zip(parsed.tiles, symbols):
        v[:, zr.start : zr.stop, zc.start : zc.stop] = dequantise(tables, parsed.header.quality, tile_z.tolist())
        r[:, yr.start : yr.stop, yc.start : yc.stop] = tile_r
    return v, r


def with_alpha(samples, alpha):
    """The layout's bands in its order, alpha last (FORMAT 8.3)."""
    return samples if alpha is None else np.dstack([samples, alpha])


def decode(data, model_dir):
    """The pixels of a file of the `photo` family: uint8, (height, width) for L, else (height, width, bands)."""
    parsed = parse(data)
    header = parsed.header
    if header.alone:
        return alone(parsed)
    manifest, tables, arrays = load_for(header, model_dir)
    demand(manifest["network"]["family"] == "photo", "pixels of this family are in floating point: not decoded here")
    v, r = assemble(parsed, symbols_of(parsed, tables), tables)
    network = slow_photo.SlowPhoto(arrays, header.quality, parsed.map)
    samples = network.samples(v, r, (header.height, header.width), header.layout in (L, LA), header.depth)
    samples = np.array(samples)
    paint(samples if samples.ndim == 3 else samples[:, :, None], parsed)
    return with_alpha(samples, parsed.alpha)


def alone(parsed):
    """The pixels of an overlay that stands alone (FORMAT 5.2)."""
    samples = np.zeros((parsed.header.height, parsed.header.width, bands_of(parsed.header)), np.uint8)
    paint(samples, parsed)
    return samples[:, :, 0] if samples.shape[2] == 1 else samples


def main(arguments):
    """python tests/support/slow_decoder.py file.lic model_dir out.png"""
    if len(arguments) != 3:
        sys.exit(main.__doc__)
    from PIL import Image

    source, model_dir, target = arguments
    try:
        pixels = decode(pathlib.Path(source).read_bytes(), model_dir)
    except Refused as error:
        sys.exit(f"{source}: {error}")
    Image.fromarray(pixels).save(target)


if __name__ == "__main__":
    main(sys.argv[1:])
