"""The integer kernels of kernels/ against the C++ core, on a CPU: the same source, compiled by the host's compiler.

A grid of one thread covers everything, so `__global__` functions are plain functions here.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pillow_lic import _core
from test_entropy import Case, random_symbols
from test_mixture import NORMAL, MixedCase, inverses

ROOT = Path(__file__).parent.parent
COMPILER = shutil.which("g++") or shutil.which("clang++")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler to build the kernels for the CPU with")

HOST = """
#define __global__
#define __device__
struct One { unsigned x; };
static const One blockIdx{0}, threadIdx{0}, blockDim{1}, gridDim{1};
"""


def built(name: str, folder: Path) -> ctypes.CDLL:
    source = folder / f"{name}.cpp"
    source.write_text(f'{HOST}#include "{ROOT}/kernels/{name}.cu"\n')
    library = folder / f"{name}.so"
    flags = ["-std=c++17", "-O2", "-shared", "-fPIC", f"-I{ROOT}/csrc"]
    subprocess.run([COMPILER, *flags, str(source), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module")
def cdf(folder: Path) -> ctypes.CDLL:
    return built("mixture_cdf", folder)


@pytest.fixture(scope="module")
def scale_map(folder: Path) -> ctypes.CDLL:
    return built("scale_map", folder)


def call(function, *arguments) -> None:
    """Arrays as pointers, integers as int, or as long long where they are of that class."""
    plain = [a.ctypes.data_as(ctypes.c_void_p) if isinstance(a, np.ndarray) else a for a in arguments]
    function(*(ctypes.c_int(a) if type(a) is int else a for a in plain))


@pytest.mark.parametrize("components", [1, 2, 3, 4])
def test_mixture_kernels(cdf: ctypes.CDLL, components: int):
    rng = np.random.default_rng(components)
    inverse = np.append(inverses(rng, 30), [2048, 1 << 24]).astype(np.uint32)
    mixture = _core.Mixture(NORMAL, inverse, components)
    n = 50_000
    planes = rng.integers(0, 256, (3 * components, n)).astype(np.uint8)
    x = np.round(rng.normal(0, rng.choice([2, 40, 400], n))).astype(np.int16)
    start, freq = np.empty(n, np.uint32), np.empty(n, np.uint32)
    scales = (components, inverse, len(inverse), NORMAL)
    call(cdf.mixture_intervals, planes, ctypes.c_longlong(n), x, *scales, start, freq)
    _, _, below, radius = mixture.cumulative(planes, x)
    _, _, above, _ = mixture.cumulative(planes, x + 1)
    _, _, escape, _ = mixture.cumulative(planes, radius + 1)
    held = np.abs(x.astype(int)) <= radius
    assert np.array_equal(start, np.where(held, below, escape))
    assert np.array_equal(freq, np.where(held, above.astype(np.int64) - below, 65536 - escape.astype(np.int64)))

    window = np.empty((n, 8), np.uint16)
    call(cdf.mixture_window, planes, ctypes.c_longlong(n), *scales, -3, 8, window)
    for k in range(8):
        assert np.array_equal(window[:, k], mixture.cumulative(planes, np.full(n, k - 3, np.int16))[2])


@pytest.mark.parametrize("seed", range(4))
def test_map_kernels(scale_map: ctypes.CDLL, seed: int):
    """z to bytes, through hidden layers."""
    case = MixedCase(seed, 9 + seed, 22, components=1 + seed % 3, hidden=seed % 3)
    d, bias, _ = case.tables._setting(case.q)
    positions = ctypes.c_longlong(case.a * case.b)
    v = np.empty_like(case.z)
    call(scale_map.dequantise, np.ascontiguousarray(case.z), d, len(v), positions, v)
    assert np.array_equal(v, case.tables.dequantised(case.q, case.z))
    for layer in range(1, 1 + seed % 3):
        weight, offset = case.arrays[f"hidden{layer}_weight"], case.arrays[f"hidden{layer}_offset"]
        following = np.empty((len(weight), case.a, case.b), np.int16)
        call(scale_map.hidden_layer, v, weight, offset, weight.shape[1], len(weight), positions, following)
        v = following
    weight, offset = case.arrays["weight"], case.arrays["offset"]
    out = np.empty((len(weight) // 16, case.h, case.w), np.uint8)
    shape = (len(out), weight.shape[1], case.a, case.b, case.h, case.w)
    call(scale_map.scale_map, v, weight, offset, bias, *shape, 256, out)
    assert np.array_equal(out, case.tables.scale_index(case.q, case.z, case.h, case.w))


def test_packing_kernels(scale_map: ctypes.CDLL):
    """What is packed is the stream's run; what is spread is the tile."""
    case = Case(3, 33, 41, latent=4, skip=3)
    index = case.tables.scale_index(case.q, case.z, case.h, case.w).ravel()
    n, skip = index.size, case.tables.skip
    coded = np.empty(n, np.uint8)
    call(scale_map.coded_symbols, index, ctypes.c_longlong(n), skip, coded)
    place = np.cumsum(coded, dtype=np.int64)
    r = random_symbols(np.random.default_rng(1), (n,)) * coded.astype(np.int16)
    rows, symbols, back = np.empty(place[-1], np.uint8), np.empty(place[-1], np.int16), np.empty(n, np.int16)
    call(scale_map.pack_symbols, index, r, place, ctypes.c_longlong(n), skip, rows, symbols)
    assert np.array_equal(rows, index[index >= skip]) and np.array_equal(symbols, r[index >= skip])
    call(scale_map.spread_symbols, index, symbols, place, ctypes.c_longlong(n), skip, back)
    assert np.array_equal(back, r)
