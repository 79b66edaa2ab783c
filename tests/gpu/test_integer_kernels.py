"""The integer kernels of kernels/ against the C++ core, on a CPU: the same source, compiled by the host's compiler.

A grid of one thread covers everything, so `__global__` functions are plain functions here. Below they are launched by
engines/torch/cuda as on a GPU, grids and all, through a stand-in for CuPy; tests/gpu takes the same comparisons there.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import cupy_on_cpu
import numpy as np
import pytest
import torch
from integer_twins import MANY, case_model, compare_maps, compare_mixtures
from mixed_case import NORMAL, MixedCase, inverses
from on_host import COMPILER, built, call, intervals

from pillow_lic import _core_test
from pillow_lic.engines.torch.cuda import compile as compiler
from pillow_lic.models import registry

if TYPE_CHECKING:
    from pathlib import Path

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
    assert all(map(np.array_equal, (start, freq), intervals(mixture, planes, x)))


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


# ---- Launched by engines/torch/cuda ----------------------------------------------------------------------------------


@pytest.fixture
def stand_in(monkeypatch, tmp_path_factory):
    """CuPy's stand-in; returns the list of launches."""
    calls = cupy_on_cpu.install(monkeypatch, tmp_path_factory.getbasetemp())
    return calls


@pytest.mark.parametrize("components", [1, 2, 3, 4])
def test_launched_mixtures(components: int, stand_in: list):
    assert compare_mixtures("cpu", components, components, MANY["cpu"]) == 0
    assert [name for name, *_ in stand_in] == ["mixture_intervals"]
    assert stand_in[0][1] == (64, 1, 1)  # fewer threads than symbols: each goes on to further ones


@pytest.fixture
def late():
    from late_place import LatePlace

    return LatePlace()


@pytest.mark.parametrize("seed", range(4))
def test_launched_maps(seed: int, stand_in: list, late):
    case = MixedCase(seed, 9 + seed, 22, components=1 + seed % 3, hidden=seed % 3)
    assert compare_maps(late, case_model(case), case.q, np.ascontiguousarray(case.z), case.h, case.w) == 0
    assert [name for name, *_ in stand_in] == ["dequantise", *["hidden_layer"] * (seed % 3), "scale_map"]


@pytest.mark.parametrize("name", ["toy", "photo"])
def test_launched_maps_of_models(name: str, stand_in: list, late):
    model = registry.by_name(name)
    rng = np.random.default_rng(1)
    z = np.round(rng.normal(0, 8, (model.manifest.hyper, 3, 4))).astype(np.int16)
    for q in (100, 5017, 10000):
        assert compare_maps(late, model, q, z, 11, 14) == 0


def test_stand_in_refuses_other_arguments(stand_in: list):
    """CuPy packs arguments by their types: an int in the place of a long long would shift all that follow."""
    instance = compiler.Instance("scale_map.cu", "dequantise", (), 32)
    z = torch.zeros(4, dtype=torch.int16)
    right = (z.data_ptr(), z.data_ptr(), np.int32(1), 4, z.data_ptr())
    for wrong in (right[:-1], (*right, 0), (*right[:2], 1, *right[3:]), (*right[:3], np.int32(4), right[4])):
        with pytest.raises(AssertionError, match="not what the kernel declares"):
            compiler.launch(instance, (1, 1, 1), wrong, compiler.Where(0, 0, "13.0"))


@pytest.mark.parametrize("shape", [(1, 1), (5, 9), (16, 12)])
def test_launched_intervals_of_a_model(shape, stand_in: list):
    """What the encoder of mixtures has on a GPU, the bytes of the map and r, gives the core's intervals."""
    from pillow_lic.engines.torch.intervals import intervals as launched

    model = registry.by_name("gdn-mixture")
    rng = np.random.default_rng(3)
    z = np.round(rng.normal(0, 4, (model.manifest.hyper, -(-shape[0] // 4), -(-shape[1] // 4)))).astype(np.int16)
    index = model.tables.scale_index(5000, z, *shape)
    r = np.round(rng.normal(0, 1, (model.manifest.latent, *shape)) * rng.choice([1, 30, 9000])).astype(np.int16)
    found = launched(model, torch.from_numpy(index), torch.from_numpy(r))
    components = len(index) // (3 * len(r))
    mixture = _core_test.Mixture(model.arrays["normal"], model.arrays["inverse"], components)
    wanted = intervals(mixture, np.ascontiguousarray(index.reshape(3 * components, -1)), r.ravel())
    for one, two in zip(found, wanted, strict=True):
        assert np.array_equal(one.numpy().ravel().view(np.uint32), two)
    assert [name for name, *_ in stand_in] == ["mixture_intervals"]
