"""Random mixtures by the hundred million: python mixture_sets.py [SETS] [SEED]. Exits 1 at the first difference.

Every set is one position's bytes and a symbol. For each, the cumulative frequency below the symbol is the same by the
definition (csrc/lic_cdf.h), by the tables one at a time, by the window of eight, by the words of FORMAT 7.8 in NumPy
(mixture_twin.py), and in the CUDA kernel's source (kernels/mixture_cdf.cu), compiled for the host: the interval of the
symbol. A stream of all the symbols decodes to them, which takes window, search and gallop through every set. The bytes
are made by the integer map at random weights, through a hidden layer: on every code path of the machine (scalar,
SSE4.1, AVX2, AVX-512 as far as it has them) and in the source of kernels/scale_map.cu they are those of the map's
definition.
"""

from __future__ import annotations

import ctypes
import math
import sys
import tempfile
import time
from pathlib import Path

import mixture_twin
import numpy as np
from on_host import COMPILER, built, call, intervals

from pillow_lic import _core_test
from pillow_lic.constants import LIC_BIAS_MAX, LIC_INVERSE_MAX, LIC_INVERSE_MIN, LIC_WEIGHT_MAX

LEVELS = ("scalar", "sse4.1", "avx2", "avx512")
CHANNELS, SIDE = 24, 96  # of a round's z and of its latent grid
SCALES, HYPER = 64, 16
NORMAL = mixture_twin.normal()


def levels() -> list[str]:
    """The code paths that this machine has."""
    found = []
    for level in LEVELS:
        try:
            _core_test.set_simd(level)
        except ValueError:
            continue
        found.append(level)
    _core_test.set_simd("auto")
    return found


class Kernels:
    """kernels/scale_map.cu and mixture_cdf.cu, compiled for the host: each found the same as the core, or the program
    ends.
    """

    def __init__(self, folder: Path):
        self.map, self.cdf = built("scale_map", folder), built("mixture_cdf", folder)

    def check_map(
        self,
        z: np.ndarray,
        steps: np.ndarray,
        hidden: tuple,
        weight: np.ndarray,
        offset: np.ndarray,
        bias: np.ndarray,
        wanted: np.ndarray,
    ) -> None:
        """The map with one hidden layer."""
        positions, v, following = ctypes.c_longlong(z[0].size), np.empty_like(z), np.empty_like(z)
        call(self.map.dequantise, z, steps, len(z), positions, v)
        call(self.map.hidden_layer, v, *hidden, HYPER, HYPER, positions, following)
        found = np.empty_like(wanted)
        call(
            self.map.scale_map,
            following,
            weight,
            offset,
            bias,
            len(wanted),
            HYPER,
            SIDE // 4,
            SIDE // 4,
            SIDE,
            SIDE,
            256,
            found,
        )
        if not np.array_equal(found, wanted):
            sys.exit("the kernel of the map differs")

    def check_mixture(
        self, mixture: _core_test.Mixture, inverse: np.ndarray, planes: np.ndarray, x: np.ndarray
    ) -> None:
        """The interval of each symbol."""
        count, components = len(x), len(planes) // 3
        start, freq = np.empty(count, np.uint32), np.empty(count, np.uint32)
        tables = components, inverse, len(inverse), NORMAL
        call(self.cdf.mixture_intervals, planes, ctypes.c_longlong(count), x, *tables, start, freq)
        if not all(map(np.array_equal, (start, freq), intervals(mixture, planes, x))):
            sys.exit("the kernel of intervals differs")


def planes_of_the_map(
    rng: np.random.Generator, components: int, paths: list[str], kernels: Kernels | None
) -> np.ndarray:
    """Bytes (3 K, n) from a random map, the same on all code paths."""
    rows = 3 * components * CHANNELS
    weight = rng.integers(-LIC_WEIGHT_MAX // 8, LIC_WEIGHT_MAX // 8 + 1, (16 * rows, HYPER)).astype(np.int16)
    offset = rng.integers(0, 256 << 11, 16 * rows).astype(np.int32)
    bias = rng.integers(-LIC_BIAS_MAX // 32, LIC_BIAS_MAX // 32 + 1, rows).astype(np.int32)
    hidden = rng.integers(-200, 201, (HYPER, HYPER)).astype(np.int16), rng.integers(-9999, 9999, HYPER).astype(np.int32)
    scale_map = _core_test.ScaleMap(weight, offset, [hidden])
    z = rng.integers(-40, 41, (HYPER, SIDE // 4, SIDE // 4)).astype(np.int16)
    steps = rng.integers(1, 256, HYPER).astype(np.int32)
    wanted = scale_map.index_slow(z, steps, bias, 256, (SIDE, SIDE))
    for path in paths:
        _core_test.set_simd(path)
        found = scale_map.index(z, steps, bias, 256, (SIDE, SIDE))
        if not np.array_equal(found, wanted):
            sys.exit(
                f"the map's {path} path differs from its definition in {(found != wanted).sum()} of {wanted.size} bytes"
            )
    _core_test.set_simd("auto")
    if kernels:
        kernels.check_map(z, steps, hidden, weight, offset, bias, wanted)
    return wanted.reshape(3 * components, -1)


def round_of(seed: int, paths: list[str], kernels: Kernels | None) -> int:
    """One round: a map, a mixture model, CHANNELS * SIDE^2 sets. kernels: None without a compiler. Returns their
    number.
    """
    rng = np.random.default_rng(seed)
    components = 1 + seed % 4
    inverse = np.exp(rng.uniform(math.log(LIC_INVERSE_MIN), math.log(LIC_INVERSE_MAX), SCALES)).astype(np.uint32)
    inverse[:2] = LIC_INVERSE_MIN, LIC_INVERSE_MAX
    mixture = _core_test.Mixture(NORMAL, inverse, components)
    planes = planes_of_the_map(rng, components, paths, kernels)
    ends = rng.random(planes.shape) < 0.05
    planes[ends] = rng.choice(np.array([0, 1, 127, 128, 254, 255], np.uint8), ends.sum())
    count = planes.shape[1]
    x = np.round(rng.standard_t(1.5, count) * rng.choice([0.5, 3, 30, 300], count)).clip(-32768, 32767).astype(np.int16)
    fast, window, slow, _ = mixture.cumulative(planes, x)
    for name, found in (("table", fast), ("window", window), ("twin", mixture_twin.below(planes, inverse, x)[0])):
        if not np.array_equal(found, slow):
            place = int(np.argmax(found != slow))
            sys.exit(f"seed {seed}: the {name} differs at {place}: bytes {planes[:, place].tolist()}, x {x[place]}")
    if kernels:
        kernels.check_mixture(mixture, inverse, planes, x)
    for path in paths:
        _core_test.set_simd(path)
        if not np.array_equal(mixture.decode(mixture.encode(planes, x), planes), x):
            sys.exit(f"seed {seed}: other symbols came back on the path {path}")
    _core_test.set_simd("auto")
    return count


def main() -> None:
    wanted, seed = (int(float(a)) for a in (*sys.argv[1:], *("1e8", "1")[len(sys.argv) - 1 :]))
    paths, sets, start, shown = levels(), 0, time.monotonic(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        kernels = Kernels(Path(folder)) if COMPILER else None
    while sets < wanted:
        sets += round_of(seed, paths, kernels)
        seed += 1
        if time.monotonic() - shown > 10:
            shown = time.monotonic()
            print(f"{sets:,} sets", flush=True)
    against = ", ".join([*paths, "twin", *(["kernels"] if kernels else [])])
    print(f"{sets:,} sets of 1 to 4 components, {against}: 0 differences, {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
