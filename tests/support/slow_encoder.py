"""The literal encoder: docs/FORMAT.md backwards, for the tests of slow_decoder.py. Imports nothing of pillow_lic."""

import itertools
import struct
import zlib

import numpy as np
import slow_residual
import slow_stream
import slow_tile

# ---- the container ---------------------------------------------------------------------------------------------------


def varint(value):
    """FORMAT 1."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def header_bytes(width, height, layout=3, quality=5000, side=1, stages=0, thresholds=b""):
    """FORMAT 3."""
    return (
        varint(width)
        + varint(height)
        + bytes([layout])
        + varint(0)
        + bytes(8)
        + struct.pack("<H", quality)
        + varint(side)
        + bytes([stages])
        + thresholds
    )


def chunk(kind, payload, before=b""):
    """FORMAT 2.1; `before` is what the first chunk's checksum includes in front."""
    body = kind + varint(len(payload)) + payload
    return before + body + struct.pack("<I", zlib.crc32(before + body))


# ---- a tile ----------------------------------------------------------------------------------------------------------


def escape_words(value, first, n):
    """FORMAT 7.3: the words of a value outside the row, in reading order."""
    above = first + n - 1
    v = 2 * (value - above) if value >= above else 2 * (first - 1 - value) + 1
    return [v] if v < 32768 else [32768 + v % 32768, v // 32768]


def encode_runs(stages, tables, checksum):
    """The segments of some stages of runs of (row, symbol): FORMAT 7.3 from the last symbol to the first."""
    x = [65536 + (checksum & 65535), 65536 + (checksum >> 16), 65536, 65536]
    segments = []
    for runs in reversed(stages):
        words = []  # from the last to the first
        for run in reversed(runs):
            for k, value in reversed(run):
                first, freq = tables.first[k], tables.freq[k]
                if not first <= value < first + len(freq) - 1:
                    words += reversed(escape_words(value, first, len(freq)))
            for i, (k, value) in reversed(list(enumerate(run))):
                freq, j = tables.freq[k], value - tables.first[k]
                j = j if 0 <= j < len(freq) - 1 else len(freq) - 1
                s = i % 4
                if x[s] >= freq[j] << 16:
                    words.append(x[s] & 65535)
                    x[s] >>= 16
                x[s] = (x[s] // freq[j] << 16) + tables.cumulative[k][j] + x[s] % freq[j]
        segments.append(struct.pack(f"<{len(words)}H", *words[::-1]))
    return [struct.pack("<4I", *x) + segments[-1], *segments[-2::-1]]


def z_run(tables, quality, earlier, plane, columns):
    """A channel's run, given those before it: the classes of neighbours as a decoder sees them (FORMAT 7.4)."""
    run, seen = [], []
    for i, (base, value) in enumerate(zip(slow_tile.z_base(tables, quality, earlier, len(plane)), plane)):
        k = base + slow_tile.z_class(tables, i, seen, columns)
        run.append((k, value))
        seen.append(value if 0 <= value - tables.first[k] < len(tables.freq[k]) - 1 else 0)
    return run


def encode_tile(z, r, tables, quality, checksum=None, thresholds=(), shift=None):
    """The stages of one tile; r is set to 0, in place, where it is skipped."""
    hyper, latent = np.shape(z)[1:], np.shape(r)[1:]
    v = slow_tile.dequantise(tables, quality, z)
    indices = slow_residual.flatten(slow_tile.scale_indices(tables, quality, v, *latent, shift))
    flat_z, flat_r = slow_residual.flatten(z), slow_residual.flatten(r)
    flat_r = [value if k >= tables.skip else 0 for k, value in zip(indices, flat_r)]
    r[:] = slow_tile.unflatten(flat_r, tables.latent, *latent)
    n = hyper[0] * hyper[1]
    planes = [flat_z[i : i + n] for i in range(0, len(flat_z), n)]
    stages = [[z_run(tables, quality, planes[:c], plane, hyper[1]) for c, plane in enumerate(planes)]]
    for stage, (high, low) in enumerate(itertools.pairwise([256, *thresholds, 0])):
        run = [(k, value) for k, value in zip(indices, flat_r) if max(low, tables.skip) <= k < high]
        stages[stage:] = [[*stages[stage], run] if stage == 0 else [run]]
    if checksum is None:
        coded = [value for runs in stages for run in runs for _, value in run]
        checksum = slow_stream.checksum(coded)
    return encode_runs(stages, tables, checksum)
