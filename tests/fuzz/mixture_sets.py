"""Random mixtures by the hundred million: python mixture_sets.py [SETS] [SEED]. Exits 1 at the first difference.

Every set is one position's bytes and a symbol. For each: the cumulative frequency below the symbol by the definition (csrc/lic_cdf.h), by the
tables one at a time and by the window of eight agree, and the interval and window that the CUDA kernels' source (kernels/mixture_cdf.cu), compiled for the host, finds; and a stream of all the symbols decodes to them, which takes window,
search and gallop through every set. The bytes themselves are made by the integer map at random weights: on every code path of the
machine (scalar, SSE4.1, AVX2, AVX-512 as far as it has them) they are those of the map's definition.
"""

from __future__ import annotations

import ctypes
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pillow_lic import _core
from pillow_lic.constants import LIC_BIAS_MAX, LIC_INVERSE_MAX, LIC_INVERSE_MIN, LIC_NORMAL_STEPS, LIC_WEIGHT_MAX

sys.path.insert(0, str(Path(__file__).parent.parent))
from on_host import built, call, intervals  # noqa: E402

LEVELS = ("scalar", "sse4.1", "avx2", "avx512")
CHANNELS, SIDE = 24, 96  # of a round's z and of its latent grid
SCALES, HYPER = 64, 16


def normal() -> np.ndarray:
    """The table of train/export.py: the normal distribution up to 4.25 deviations, its upper half in 16 bits."""
    values = [round(65536 * 0.5 * math.erf(4.25 * i / LIC_NORMAL_STEPS / 2**0.5)) for i in range(LIC_NORMAL_STEPS)]
    return np.array([*values, 32768], np.uint16)


def levels() -> list[str]:
    """The code paths that this machine has."""
    found = []
    for level in LEVELS:
        try:
            _core.set_simd(level)
        except ValueError:
            continue
        found.append(level)
    _core.set_simd("auto")
    return found


def planes_of_the_map(rng: np.random.Generator, components: int, paths: list[str]) -> np.ndarray:
    """Bytes (3 K, n) from a random map, the same on all code paths."""
    rows = 3 * components * CHANNELS
    weight = rng.integers(-LIC_WEIGHT_MAX // 8, LIC_WEIGHT_MAX // 8 + 1, (16 * rows, HYPER)).astype(np.int16)
    offset = rng.integers(0, 256 << 11, 16 * rows).astype(np.int32)
    bias = rng.integers(-LIC_BIAS_MAX // 32, LIC_BIAS_MAX // 32 + 1, rows).astype(np.int32)
    hidden = [(rng.integers(-200, 201, (HYPER, HYPER)).astype(np.int16), rng.integers(-9999, 9999, HYPER).astype(np.int32))]
    scale_map = _core.ScaleMap(weight, offset, hidden)
    z = rng.integers(-40, 41, (HYPER, SIDE // 4, SIDE // 4)).astype(np.int16)
    steps = rng.integers(1, 256, HYPER).astype(np.int32)
    wanted = _core.scale_index_slow(scale_map, z, steps, bias, 256, SIDE, SIDE)
    for path in paths:
        _core.set_simd(path)
        found = scale_map.index(z, steps, bias, 256, SIDE, SIDE)
        if not np.array_equal(found, wanted):
            sys.exit(f"the map's {path} path differs from its definition in {(found != wanted).sum()} of {wanted.size} bytes")
    _core.set_simd("auto")
    return wanted.reshape(3 * components, -1)


def check_kernels(kernels: ctypes.CDLL, mixture: _core.Mixture, inverse: np.ndarray, planes: np.ndarray, x: np.ndarray) -> None:
    """Interval of each symbol, and the window's edge at 1, as kernels/mixture_cdf.cu finds them."""
    count, components = len(x), len(planes) // 3
    start, freq = np.empty(count, np.uint32), np.empty(count, np.uint32)
    tables = components, inverse, len(inverse), normal()
    call(kernels.mixture_intervals, planes, ctypes.c_longlong(count), x, *tables, start, freq)
    if not all(map(np.array_equal, (start, freq), intervals(mixture, planes, x))):
        sys.exit("the kernel of intervals differs")
    window = np.empty((count, 8), np.uint16)
    call(kernels.mixture_window, planes, ctypes.c_longlong(count), *tables, -3, 8, window)
    if not np.array_equal(window[:, 4], mixture.cumulative(planes, np.ones(count, np.int16))[2]):
        sys.exit("the kernel of windows differs")


def round_of(seed: int, paths: list[str], kernels: ctypes.CDLL | None) -> int:
    """One round: a map, a mixture model, CHANNELS * SIDE^2 sets. kernels: None without a compiler. Returns their number."""
    rng = np.random.default_rng(seed)
    components = 1 + seed % 4
    inverse = np.exp(rng.uniform(math.log(LIC_INVERSE_MIN), math.log(LIC_INVERSE_MAX), SCALES)).astype(np.uint32)
    inverse[:2] = LIC_INVERSE_MIN, LIC_INVERSE_MAX
    mixture = _core.Mixture(normal(), inverse, components)
    planes = planes_of_the_map(rng, components, paths)
    ends = rng.random(planes.shape) < 0.05
    planes[ends] = rng.choice(np.array([0, 1, 127, 128, 254, 255], np.uint8), ends.sum())
    count = planes.shape[1]
    x = np.round(rng.standard_t(1.5, count) * rng.choice([0.5, 3, 30, 300], count)).clip(-32768, 32767).astype(np.int16)
    fast, window, slow, _ = mixture.cumulative(planes, x)
    for name, found in (("table", fast), ("window", window)):
        if not np.array_equal(found, slow):
            place = int(np.argmax(found != slow))
            sys.exit(f"seed {seed}: the {name} differs at {place}: bytes {planes[:, place].tolist()}, x {x[place]}")
    if kernels:
        check_kernels(kernels, mixture, inverse, planes, x)
    for path in paths:
        _core.set_simd(path)
        if not np.array_equal(mixture.decode(mixture.encode(planes, x), planes), x):
            sys.exit(f"seed {seed}: other symbols came back on the path {path}")
    _core.set_simd("auto")
    return count


def main() -> None:
    wanted, seed = (int(float(a)) for a in (*sys.argv[1:], *("1e8", "1")[len(sys.argv) - 1 :]))
    paths, sets, start, shown = levels(), 0, time.monotonic(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        kernels = built("mixture_cdf", Path(folder))
    while sets < wanted:
        sets += round_of(seed, paths, kernels)
        seed += 1
        if time.monotonic() - shown > 10:
            shown = time.monotonic()
            print(f"{sets:,} sets", flush=True)
    print(f"{sets:,} sets of 1 to 4 components, {', '.join(paths)}, kernels: 0 differences, {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
