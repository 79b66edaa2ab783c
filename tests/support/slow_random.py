"""Random tiles and tables of small random models, as the second decoder has them. Imports nothing of pillow_lic."""

import itertools

import numpy as np
import slow_container as container
import slow_tables


def random_row(rng, sizes):
    """Frequencies of a random shape with sum 65536, each at least 1; their number one of `sizes`."""
    n = rng.choice(sizes)
    weights = [rng.random() ** rng.choice([1, 8, 40]) for _ in range(n)]
    spare, total = 65536 - n, sum(weights)
    g = [1 + int(spare * w / total) for w in weights]
    g[rng.randrange(n)] += 65536 - sum(g)
    return g


def random_arrays(rng, latent, hyper, points, scale_rows):
    """Arrays of FORMAT 9.2."""
    levels, near = rng.choice([(1, False), (2, False), (16, False), (1, True), (3, True)])
    sizes = [2, 3, 5, 17] if near else [2, 3, 5, 17, 64, 300, 4096]
    rows = [random_row(rng, sizes) for _ in range(scale_rows + points * hyper * levels * (10 if near else 1))]
    draw = np.random.default_rng(rng.randrange(2**32))
    return {
        **({"z_level": draw.integers(0, 9, (points, hyper, levels - 1)).astype(np.uint16)} if levels > 1 else {}),
        **({"z_near": np.array([10], np.int32)} if near else {}),
        "freq": np.array(list(itertools.chain.from_iterable(rows)), np.uint16),
        "count": np.array([len(g) for g in rows], np.int32),
        "first": np.array([rng.choice([-32768, -2000, -len(g) // 2, 0, 32767]) for g in rows], np.int16),
        "weight": draw.integers(-1023, 1024, (16 * latent, hyper)).astype(np.int16),
        "offset": draw.integers(-(2**15), 2**15, 16 * latent).astype(np.int32),
        "bias": draw.integers(-(2**16), 2**16, (points, latent)).astype(np.int32),
        "z_step": draw.integers(1, 256, (points, hyper)).astype(np.uint8),
    }


def random_tables(rng):
    """Tables of a small random model, and the arrays that they were made of."""
    latent, hyper, points, scale_rows = rng.randint(1, 5), rng.randint(1, 4), rng.randint(2, 4), rng.randint(1, 40)
    arrays = random_arrays(rng, latent, hyper, points, scale_rows)
    skip = rng.choice([0, scale_rows // 2, scale_rows])
    return slow_tables.Tables(arrays, latent, hyper, points, scale_rows, skip), arrays


def random_symbols(rng, channels, rows, columns):
    """Mostly small values, some at the ends of i16."""

    def one():
        return rng.choice(
            [rng.randint(-3, 3), rng.randint(-3, 3), rng.randint(-300, 300), rng.randint(-32768, 32767), -32768, 32767]
        )

    return [[[one() for _ in range(columns)] for _ in range(rows)] for _ in range(channels)]


def random_stages(rng, tables, z):
    """(thresholds, a tile's part of a quality map or None)."""
    thresholds = sorted(rng.sample(range(1, tables.scales + 3), rng.choice([0, 1, 2])), reverse=True)
    shift = [[rng.randint(-32, 32) for _ in row] for row in z[0]] if rng.random() < 0.5 else None
    return thresholds, shift


def random_tile(rng):
    """(tables, arrays, quality, z, r) with shapes as at the edge of a grid."""
    tables, arrays = random_tables(rng)
    ry, rx = rng.randint(1, 9), rng.randint(1, 9)
    z = random_symbols(rng, tables.hyper, container.ceil_div(ry, 4), container.ceil_div(rx, 4))
    return (
        tables,
        arrays,
        rng.choice([100, 10000, rng.randint(100, 10000)]),
        z,
        random_symbols(rng, tables.latent, ry, rx),
    )


def shapes(z, r):
    """(rows, columns) of both grids."""
    return np.shape(z)[1:], np.shape(r)[1:]
