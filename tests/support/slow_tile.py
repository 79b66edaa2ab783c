"""One tile by the slow decoder: z, the scale indices that follow from it, and r (FORMAT 7.4 to 7.7). Imports nothing of
pillow_lic.
"""

from slow_reader import demand
from slow_residual import bank_row, flatten, mixture_stage, residual_stage
from slow_stream import TileStream, checksum
from slow_tables import lerp, rate_point


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


def unflatten(values, channels, rows, columns):
    """The inverse of `flatten`."""
    values = iter(values)
    return [[[next(values) for _ in range(columns)] for _ in range(rows)] for _ in range(channels)]


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
