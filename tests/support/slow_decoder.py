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
        bank = self.scale_rows + p * c * self.levels
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


class TileStream:
    """The bytes of one tile with its four states."""

    def __init__(self, data):
        demand(len(data) >= 16, "stream under 16 bytes")
        self.data, self.front, self.back = data, 16, len(data)
        self.x = list(struct.unpack("<4I", data[:16]))
        demand(min(self.x) >= 65536, "an initial state is below 65536")

    def symbol(self, i, first, freq, cumulative):
        """Symbol number i of a run, from the row (first value, frequencies, cumulative frequencies)."""
        s = i % 4
        slot = self.x[s] & 65535
        j = bisect.bisect_right(cumulative, slot) - 1
        self.x[s] = freq[j] * (self.x[s] >> 16) + slot - cumulative[j]
        if self.x[s] < 65536:
            self.x[s] = self.x[s] << 16 | self.word()
        value = self.escape(first, len(freq)) if j == len(freq) - 1 else first + j
        demand(-32768 <= value <= 32767, f"symbol {value} outside i16")
        return value

    def word(self):
        """The next u16 at the front."""
        demand(self.front + 2 <= self.back, "words run into the escapes")
        self.front += 2
        return struct.unpack_from("<H", self.data, self.front - 2)[0]

    def escape(self, first, n):
        """A value outside the row, from the back."""
        v = 0
        for shift in (0, 7, 14):
            demand(self.back > self.front, "escapes run into the words")
            self.back -= 1
            byte = self.data[self.back]
            v |= (byte & 127) << shift
            if byte < 128:
                demand(byte or shift == 0, "escape is not the shortest")
                demand(v < 2**17, "escape over 17 bits")
                return first - 1 - (v >> 1) if v & 1 else first + n - 1 + (v >> 1)
        raise Refused("escape of more than 3 bytes")

    def finish(self, checksum):
        """What must hold after the last run."""
        demand(self.front == self.back, f"{self.back - self.front} bytes left over between words and escapes")
        end = [65536 + (checksum & 65535), 65536 + (checksum >> 16), 65536, 65536]
        demand(self.x == end, "the checksum in the states is not that of the symbols")


# ---- FORMAT 7.4 to 7.7: one tile ------------------------------------------------------------------------------------


def z_rows(tables, quality, earlier, positions):
    """Bank rows of the next channel of z, in coding order (FORMAT 7.4); `earlier`: flat lists of so many positions."""
    nearest, c = rate_point(quality, tables.points)[2], len(earlier)
    rows = []
    for at in range(positions):
        activity = sum(min(abs(plane[at]), 3) for plane in earlier)
        level = sum(activity >= reach for reach in tables.z_level[nearest][c])
        rows.append(tables.scale_rows + (nearest * tables.hyper + c) * tables.levels + level)
    return rows


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


def scale_indices(tables, quality, v, rows, columns):
    """index[m][row][column] of FORMAT 7.5 for a tile of `rows` x `columns` positions; bytes with mixtures (7.8)."""
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
                line.append(min(max(acc >> 11, 0), most))
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


def decode_run(stream, tables, rows):
    """One run of symbols (FORMAT 7.3); `rows` names the bank row of each."""
    return [stream.symbol(i, tables.first[k], tables.freq[k], tables.cumulative[k]) for i, k in enumerate(rows)]


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


def decode_mixed_run(stream, tables, grids):
    """The run of r under mixtures, every position coded."""
    bytes_of = [flatten([grid]) for grid in grids]
    positions = len(bytes_of[0])
    r = []
    for i in range(tables.latent * positions):
        m, at = divmod(i, positions)
        r.append(stream.symbol(i, *mixture_row(tables, [plane[at] for plane in bytes_of[m :: tables.latent]])))
    return r


def next_state(state, symbol):
    """The state of a position in the channel after a symbol of the trellis (FORMAT 7.9)."""
    return state >> 1 ^ (157 >> 1 if state & 1 else 0) ^ (86 >> 1 if symbol & 1 else 0)


def level_of(symbol, index, state, trellis):
    """What stands in r for a symbol (FORMAT 7.9)."""
    if index < trellis:
        return 3 * symbol
    sign = (symbol > 0) - (symbol < 0)
    return 4 * symbol - 2 * sign if state & 1 else 4 * symbol


def decode_dependent_runs(stream, tables, grids):
    """(symbols, levels) of r, a run for each channel; positions' states go from channel to channel (FORMAT 7.9)."""
    states = [0] * len(flatten(grids[:1]))
    symbols, levels = [], []
    for grid in grids:
        indices = flatten([grid])
        odd = [index >= tables.trellis and state & 1 for index, state in zip(indices, states)]
        rows = [index + tables.scales * one for index, one in zip(indices, odd)]
        coded = iter(decode_run(stream, tables, [row for index, row in zip(indices, rows) if index >= tables.skip]))
        for at, index in enumerate(indices):
            symbol = next(coded) if index >= tables.skip else 0
            level = level_of(symbol, index, states[at], tables.trellis)
            demand(-32768 <= level <= 32767, "a level is outside i16")
            symbols.append(symbol)
            levels.append(level)
            if index >= tables.trellis:
                states[at] = next_state(states[at], symbol)
    return symbols, levels


def decode_tile(data, tables, quality, hyper_shape, latent_shape):
    """(z, r), nested lists, of one tile with (rows, columns) hyper and latent positions."""
    stream = TileStream(data)
    channels = []
    for _ in range(tables.hyper):
        channels.append(decode_run(stream, tables, z_rows(tables, quality, channels, hyper_shape[0] * hyper_shape[1])))
    z = [value for plane in channels for value in plane]
    planes = unflatten(z, tables.hyper, *hyper_shape)
    grids = scale_indices(tables, quality, dequantise(tables, quality, planes), *latent_shape)
    if tables.components:
        r = decode_mixed_run(stream, tables, grids)  # FORMAT 7.8
        stream.finish(checksum(z + r))
        return planes, unflatten(r, tables.latent, *latent_shape)
    if tables.trellis is not None:
        symbols, r = decode_dependent_runs(stream, tables, grids)
        stream.finish(checksum(z + symbols))
        return planes, unflatten(r, tables.latent, *latent_shape)
    indices = flatten(grids)
    coded = iter(decode_run(stream, tables, [k for k in indices if k >= tables.skip]))  # FORMAT 7.6
    r = [next(coded) if k >= tables.skip else 0 for k in indices]
    stream.finish(checksum(z + r))
    return planes, unflatten(r, tables.latent, *latent_shape)


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
    result = []
    for stream, (zr, zc, yr, yc) in zip(parsed.streams, parsed.tiles):
        z, r = decode_tile(stream, tables, parsed.header.quality, (len(zr), len(zc)), (len(yr), len(yc)))
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
    network = slow_photo.SlowPhoto(arrays, header.quality)
    samples = network.samples(v, r, header.height, header.width, grey=header.layout in (L, LA))
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
