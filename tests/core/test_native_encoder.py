"""The native engine's encoder: analysis and quantisation of every kernel set against FORMAT 8's twin."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import slow_photo
from native_models import (
    KERNELS,
    KINDS,
    SHIPPED,
    layer,
    shipped,
)
from pictures import picture
from random_tables import random_arrays

from pillow_lic import _core, _core_test
from pillow_lic.engines import native

pytestmark = pytest.mark.network


@functools.cache
def random_encoder(kind: str) -> dict[str, np.ndarray]:
    """Tensors of analysis and hyper-analysis, of odd widths."""
    rng = np.random.default_rng(KINDS.index(kind))
    latent, hyper, high, low, body = 5, 3, 7, 9, 11
    layers = [
        ("analysis.patch", high, 192),
        *slow_photo.block_layers("analysis.high0", high),
        ("analysis.down", low, 4 * high),
        *slow_photo.block_layers("analysis.low0", low),
        *slow_photo.block_layers("analysis.low1", low),
        ("analysis.out", latent, low),
        ("analysis.direct", latent, 768),
        ("hyper.enter", body, latent),
        *slow_photo.block_layers("hyper.first", body),
        ("hyper.down1", hyper, 4 * body),
        *slow_photo.block_layers("hyper.second", hyper),
        ("hyper.down2", hyper, 4 * hyper),
        ("hyper.out", hyper, hyper),
    ]
    tensors: dict[str, np.ndarray] = {"hyper.gain": rng.integers(0, 1 << 24, (3, latent)).astype(np.int32)}
    for name, outputs, inputs in layers:
        tensors |= layer(rng, name, outputs, inputs, kind)
    return tensors


@functools.cache
def random_core() -> _core.Model:
    return _core.Model(random_arrays(np.random.default_rng(2), 5, 3, 2, 8), 5, 3, 2, 8, 1)


@pytest.mark.parametrize("model", [*KINDS, *SHIPPED])
def test_analysis_of_every_kernel_set(model):
    """y and z of every set are those of the plain one, in any number of threads."""
    tensors = random_encoder(model) if model in KINDS else shipped(model).encoder_arrays
    core = random_core() if model in KINDS else shipped(model).core
    for size, bands, q in (((1, 1), 3, 100), ((17, 130), 3, 6235), ((100, 37), 1, 5000), ((200, 70), 3, 10000)):
        pixels = np.ascontiguousarray(picture(*size, bands, 3)).reshape(*size, bands)
        grid = (-(-size[0] // 16), -(-size[1] // 16))
        found = []
        for kernels in KERNELS:
            analysis = _core.Analysis(tensors, kernels=kernels)
            for threads in (1, 2, 4):
                y = np.full((*grid, analysis.latent), 7, np.int32)
                analysis.analyse(q, pixels, (*size, bands), y, threads)
                z = np.full((analysis.hyper, -(-grid[0] // 4), -(-grid[1] // 4)), 7, np.int16)
                analysis.hyper_symbols(core, q, y, grid, z)
                found.append((y.tobytes(), z.tobytes()))
        assert len(set(found)) == 1, size


@pytest.mark.parametrize("name", SHIPPED)
def test_quantisation_of_every_kernel_set(name):
    """r of a picture is one whatever the set and the threads, and what a decoder may be given."""
    model, size, q = shipped(name), (100, 170), 7000
    grid = (-(-size[0] // 16), -(-size[1] // 16))
    analysis, pixels = _core.Analysis(model.encoder_arrays), picture(*size, 3, 4)
    y = np.empty((*grid, model.manifest.latent), np.int32)
    analysis.analyse(q, pixels, (*size, 3), y)
    z = np.empty((model.manifest.hyper, -(-grid[0] // 4), -(-grid[1] // 4)), np.int16)
    analysis.hyper_symbols(model.core, q, y, grid, z)
    found = set()
    for kernels in KERNELS:
        for threads in (1, 2, 4):
            r = np.full((model.manifest.latent, *grid), 7, np.int16)
            _core.Photo(model.arrays, kernels=kernels).quantise(
                model.core, q, z, y, r, grid, native.bit_weight(model), threads
            )
            found.add(r.tobytes())
    assert len(found) == 1
    back = _core_test.decode(model.core, q, _core_test.encode(model.core, q, z, r), grid)
    assert np.array_equal(back[1], r)


def test_a_bit_weighs_the_same_in_both_engines():
    """Of Gaussian rows r counts steps, of a trellis thirds of them."""
    assert shipped("toy").core.kind == "gaussian"
    assert native.bit_weight(shipped("toy")) == 0.05
    assert native.bit_weight(shipped("photo")) == pytest.approx(0.45)
