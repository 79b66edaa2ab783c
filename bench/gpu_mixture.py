"""Intervals of symbols under mixtures (FORMAT 7.8) on a GPU, for bench/gpu.py.

Imports torch and CuPy when it is called.
"""

import math
from functools import partial

import gpu_clock

SYMBOLS = 1 << 24
CHECKED = 200_000


def mixture_inputs(components, count):
    """planes (3 K, count) and symbols (count,) as arrays, the table of the normal and scales from 0.11 to 64."""
    import numpy as np

    rng = np.random.default_rng(components)
    planes = rng.integers(0, 256, (3 * components, count), np.uint8)
    planes[:components] %= 64
    planes[components : 2 * components] = 128 + planes[components : 2 * components] % 32 - 16
    symbols = np.round(rng.normal(0, 1, count) * np.exp(rng.uniform(-2, 3, count))).astype(np.int16)
    steps = np.linspace(0, 6, 257)  # standard deviations: the shape is what counts here, not the last bit
    normal = np.round([32768 * math.erf(x / 2**0.5) for x in steps]).astype(np.uint16)
    normal[-1] = 32768
    inverse = np.round((1 << 24) / (16 * 6 * np.geomspace(0.11, 64, 64))).clip(2048, 1 << 24).astype(np.uint32)
    return planes, symbols, normal, inverse


def mixture(options):
    """Intervals for each number of components."""
    import numpy as np
    import torch

    from pillow_lic import _core_test
    from pillow_lic.engines.torch.cuda import mixture as kernels
    from pillow_lic.engines.torch.cuda.compile import Where

    clock, rows = gpu_clock.Clock(options.repeats), []
    where = Where(0, torch.cuda.current_stream().cuda_stream, torch.version.cuda)
    for components in (1, 2, 3, 4):
        planes, symbols, normal, inverse = mixture_inputs(components, SYMBOLS)
        there = [
            torch.from_numpy(a.view(kind)).cuda()
            for a, kind in ((planes, np.uint8), (symbols, np.int16), (inverse, np.int32), (normal, np.int16))
        ]
        planes_at, symbols_at, inverse_at, normal_at = (tensor.data_ptr() for tensor in there)
        start, freq = (torch.empty(SYMBOLS, dtype=torch.int32, device="cuda") for _ in range(2))

        given = planes_at, symbols_at, inverse_at, normal_at, start.data_ptr(), freq.data_ptr()
        intervals = partial(kernels.intervals, given, SYMBOLS, components, len(inverse), where)
        intervals()
        core = _core_test.Mixture(normal, inverse, components)
        part = np.ascontiguousarray(planes[:, :CHECKED])
        _, _, below, radius = core.cumulative(part, symbols[:CHECKED])
        held = np.abs(symbols[:CHECKED].astype(int)) <= radius
        _, _, escape, _ = core.cumulative(part, (radius + 1).astype(np.int16))
        if not np.array_equal(start[:CHECKED].cpu().numpy(), np.where(held, below, escape)):
            msg = f"mixtures of {components}: not what the core computes"
            raise SystemExit(msg)
        ms, moved = clock.ms(intervals), 3 * components + 10
        row = {"components": components, "ms": ms, "symbols_s": SYMBOLS / ms * 1e3, "gb_s": SYMBOLS * moved / ms / 1e6}
        rows.append(row)
        print(f"mixture K={components} {ms:8.3f} ms  {SYMBOLS / ms / 1e6:7.2f} G symbols/s")
    gpu_clock.write("gpu-mixture.csv", ("components", "ms", "symbols_s", "gb_s"), gpu_clock.rounded(rows))
    return {"symbols": SYMBOLS}
