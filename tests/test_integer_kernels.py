"""The integer kernels of kernels/ against the C++ core, on a CPU: the same source, compiled by the host's compiler.

A grid of one thread covers everything, so `__global__` functions are plain functions here. Below they are launched by gpu.py as on a
GPU, grids and all, through a stand-in for CuPy; tests/gpu takes the same comparisons there.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import cupy_on_cpu
import numpy as np
import pytest
import torch
from on_host import COMPILER, built, call, intervals

from pillow_lic import _core_test, gpu
from pillow_lic.codec import device, tables
from pillow_lic.models import loader, registry
from random_tables import Case, random_symbols
from test_mixture import NORMAL, MixedCase, inverses

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler to build the kernels for the CPU with")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module")
def cdf(folder: Path) -> ctypes.CDLL:
    return built("mixture_cdf", folder)


@pytest.fixture(scope="module")
def scale_map(folder: Path) -> ctypes.CDLL:
    return built("scale_map", folder)


@pytest.mark.parametrize("components", [1, 2, 3, 4])
def test_mixture_kernels(cdf: ctypes.CDLL, components: int):
    rng = np.random.default_rng(components)
    inverse = np.append(inverses(rng, 30), [2048, 1 << 24]).astype(np.uint32)
    mixture = _core_test.Mixture(NORMAL, inverse, components)
    n = 50_000
    planes = rng.integers(0, 256, (3 * components, n)).astype(np.uint8)
    x = np.round(rng.normal(0, rng.choice([2, 40, 400], n))).astype(np.int16)
    start, freq = np.empty(n, np.uint32), np.empty(n, np.uint32)
    scales = (components, inverse, len(inverse), NORMAL)
    call(cdf.mixture_intervals, planes, ctypes.c_longlong(n), x, *scales, start, freq)
    radius = mixture.cumulative(planes, x)[3]
    assert all(map(np.array_equal, (start, freq), intervals(mixture, planes, x)))

    window = np.empty((n, 8), np.uint16)
    call(cdf.mixture_window, planes, ctypes.c_longlong(n), *scales, -3, 8, window)
    for k in range(8):
        assert np.array_equal(window[:, k], mixture.cumulative(planes, np.full(n, k - 3, np.int16))[2])

    few, edges = np.ascontiguousarray(planes[:, :400]), 2401  # far beyond every support, on both sides
    window = np.empty((400, edges), np.uint16)
    call(cdf.mixture_window, few, ctypes.c_longlong(400), *scales, -1200, edges, window)
    edge = np.arange(-1200, 1201)
    inside = (edge >= -radius[:400, None].astype(int)) & (edge <= radius[:400, None].astype(int) + 1)
    wanted = np.stack([mixture.cumulative(few, np.full(400, x, np.int16))[2] for x in edge], 1)
    outside = np.where(edge < 0, 0, 65535)
    assert np.array_equal(window, np.where(inside, wanted, outside))
    assert not inside.all(0)[[0, -1]].any()


@pytest.mark.parametrize("seed", range(4))
def test_map_kernels(scale_map: ctypes.CDLL, seed: int):
    """z to bytes, through hidden layers."""
    case = MixedCase(seed, 9 + seed, 22, components=1 + seed % 3, hidden=seed % 3)
    d, bias = case.tables.z_steps(case.q), case.tables.bias(case.q)
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


# ---- Launched by gpu.py -----------------------------------------------------------------------------------------------

MANY = {"cpu": 60_000, "cuda": 4_000_000}  # symbols at a time


@pytest.fixture
def stand_in(monkeypatch, tmp_path_factory):
    """CuPy's stand-in; returns the list of launches."""
    calls = cupy_on_cpu.install(monkeypatch, tmp_path_factory.getbasetemp())
    return calls


def on(place: str, array: np.ndarray) -> torch.Tensor:
    """An array of any integers as a tensor of the same bytes."""
    signed = {2: np.int16, 4: np.int32}.get(array.itemsize, array.dtype)
    return torch.from_numpy(np.ascontiguousarray(array).view(signed)).to(place)


def compare_mixtures(place: str, seed: int, components: int, n: int) -> int:
    """Intervals and windows of n random symbols, edges of all tables among them: how many differ from the core's."""
    rng = np.random.default_rng(seed)
    inverse = np.append(inverses(rng, 30), [2048, 1 << 24]).astype(np.uint32)
    mixture = _core_test.Mixture(NORMAL, inverse, components)
    planes = rng.integers(0, 256, (3 * components, n), np.uint8)
    x = np.round(rng.normal(0, 1, n) * rng.choice([2, 40, 400], n)).astype(np.int16)
    x[: n // 50] = rng.choice([-32768, 32767, -1, 0, 1], n // 50)
    wanted_start, wanted_freq = intervals(mixture, planes, x)

    there = [on(place, array) for array in (planes, x, inverse, NORMAL)]
    start, freq = (torch.zeros(n, dtype=torch.int32, device=place) for _ in range(2))
    window = torch.zeros((n, 8), dtype=torch.int16, device=place)
    where = tables._where(start)
    planes_at, x_at, inverse_at, normal_at = (tensor.data_ptr() for tensor in there)
    gpu.mixture_intervals(
        planes_at, n, x_at, components, inverse_at, len(inverse), normal_at, start.data_ptr(), freq.data_ptr(), *where
    )
    gpu.mixture_window(planes_at, n, components, inverse_at, len(inverse), normal_at, -3, 8, window.data_ptr(), *where)
    differ = (start.cpu().numpy() != wanted_start).sum() + (freq.cpu().numpy() != wanted_freq).sum()
    sample = slice(0, n, 8)  # of the window, every eighth symbol
    for k in range(8):
        edge = np.full(len(range(0, n, 8)), k - 3, np.int16)
        wanted = mixture.cumulative(np.ascontiguousarray(planes[:, sample]), edge)[2]
        differ += (window[sample, k].cpu().numpy().view(np.uint16) != wanted).sum()
    return int(differ)


def compare_maps(place: device.Place, model: loader.Model, q: int, z: np.ndarray, h: int, w: int) -> int:
    """v and the index of z (C, a, b): how many differ from the core's."""
    symbols = torch.from_numpy(np.ascontiguousarray(z))[None].to(place.name)
    v, index = tables.mapped(model, place, q, symbols, h, w)
    own = tables.of(model)
    differ = (v[0].cpu().numpy() != own.dequantised(q, z)).sum()
    return int(differ + (index[0].cpu().numpy() != own.scale_index(q, z, h, w)).sum())


def compare_packing(place: str, seed: int, n: int, skip: int) -> int:
    """What is packed is index and r where they are coded, what is spread is r again: how many differ."""
    rng = np.random.default_rng(seed)
    index = rng.integers(0, 6, n).astype(np.uint8)
    r = (random_symbols(rng, (n,)) * (index >= skip)).astype(np.int16)
    index_there, r_there = on(place, index), on(place, r)
    coded, back = torch.full_like(index_there, 9), torch.full_like(r_there, 9)
    where = tables._where(coded)
    gpu.coded_symbols(index_there.data_ptr(), n, skip, coded.data_ptr(), *where)
    places = coded.long().cumsum(0)
    rows = torch.zeros(int(places[-1]), dtype=torch.uint8, device=place)
    symbols = torch.zeros(len(rows), dtype=torch.int16, device=place)
    inputs = index_there.data_ptr(), r_there.data_ptr(), places.data_ptr(), n, skip
    gpu.pack_symbols(*inputs, rows.data_ptr(), symbols.data_ptr(), *where)
    gpu.spread_symbols(index_there.data_ptr(), symbols.data_ptr(), places.data_ptr(), n, skip, back.data_ptr(), *where)
    differ = (rows.cpu().numpy() != index[index >= skip]).sum() + (symbols.cpu().numpy() != r[index >= skip]).sum()
    return int(differ + (back.cpu().numpy() != r).sum())


class CaseModel:
    """Tables of a test case in the place of a loaded model."""

    def __init__(self, case):
        self.arrays, own = case.arrays, case.tables
        sizes = {key: getattr(own, key) for key in ("latent", "hyper", "points", "rows", "skip")}
        self.entry = type("Entry", (), {"manifest": sizes})()


@pytest.mark.parametrize("components", [1, 2, 3, 4])
def test_launched_mixtures(components: int, stand_in: list):
    assert compare_mixtures("cpu", components, components, MANY["cpu"]) == 0
    assert [name for name, *_ in stand_in] == ["mixture_intervals", "mixture_window"]
    assert stand_in[0][1] == (64, 1, 1)  # fewer threads than symbols: each goes on to further ones


@pytest.mark.parametrize("skip", [0, 2, 5])
def test_launched_packing(skip: int, stand_in: list):
    assert compare_packing("cpu", skip, 5000, skip) == 0
    assert [name for name, *_ in stand_in] == ["coded_symbols", "pack_symbols", "spread_symbols"]


@pytest.fixture
def late():
    from late_place import LatePlace

    return LatePlace()


@pytest.mark.parametrize("seed", range(4))
def test_launched_maps(seed: int, stand_in: list, late):
    case = MixedCase(seed, 9 + seed, 22, components=1 + seed % 3, hidden=seed % 3)
    assert compare_maps(late, CaseModel(case), case.q, np.ascontiguousarray(case.z), case.h, case.w) == 0
    assert [name for name, *_ in stand_in] == ["dequantise", *["hidden_layer"] * (seed % 3), "scale_map"]


@pytest.mark.parametrize("name", ["toy", "photo"])
def test_launched_maps_of_models(name: str, stand_in: list, late):
    model = loader.load(registry.by_name(name))
    rng = np.random.default_rng(1)
    z = np.round(rng.normal(0, 8, (tables.of(model).hyper, 3, 4))).astype(np.int16)
    for q in (100, 5017, 10000):
        assert compare_maps(late, model, q, z, 11, 14) == 0


def test_stand_in_refuses_other_arguments(stand_in: list):
    """CuPy packs arguments by their types: an int in the place of a long long would shift all that follow."""
    instance = gpu.Instance("scale_map.cu", "dequantise", (), 32)
    z = torch.zeros(4, dtype=torch.int16)
    right = (z.data_ptr(), z.data_ptr(), np.int32(1), 4, z.data_ptr())
    for wrong in (right[:-1], (*right, 0), (*right[:2], 1, *right[3:]), (*right[:3], np.int32(4), right[4])):
        with pytest.raises(AssertionError, match="not what the kernel declares"):
            gpu.launch(instance, (1, 1, 1), wrong, 0, 0, "13.0")
