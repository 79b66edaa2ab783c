"""Models for tests of the native engine: random ones up to FORMAT 8's limits, shipped ones, and what they are given."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import slow_photo

from pillow_lic import _core, _core_test
from pillow_lic.models import store

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "pillow_lic" / "models"
KERNELS = _core_test.kernel_sets()
I16, I32 = np.iinfo(np.int16), np.iinfo(np.int32)
BIAS_MOST = 2**53

# latent, hyper, body, spread, detail, render, body_blocks, detail_blocks: below, at and beyond what kernels hold
WIDTHS = [
    (1, 1, 2, 1, 1, 1, 0, 0),
    (5, 3, 6, 3, 7, 3, 1, 2),
    (24, 17, 34, 9, 33, 18, 2, 1),
    (16, 8, 64, 16, 32, 16, 1, 1),
]
KINDS = ["gentle", "full", "worst"]  # what `layer` makes of them
SHIPPED = ["toy", "photo"]
SIZES = [(1, 1), (16, 16), (17, 400), (100, 37), (330, 50)]


# ---- random models ---------------------------------------------------------------------------------------------------


def gentle_weight(rng: np.random.Generator, outputs: int, inputs: int) -> np.ndarray:
    """Weights whose sum is near the limit, or well below it."""
    raw = rng.normal(0, 1, (outputs, inputs))
    whole = raw / np.abs(raw).sum(1, keepdims=True) * rng.choice([65000, 20000, 500], (outputs, 1))
    return whole.clip(I16.min, I16.max).astype(np.int16)


def worst_weight(rng: np.random.Generator, outputs: int, inputs: int) -> np.ndarray:
    """Weights whose absolute values sum to 65535 exactly wherever so many inputs can: values at the ends of i16."""
    weight = np.zeros((outputs, inputs), np.int16)
    for row in weight:
        ends = [32767, 32767, 1] if rng.random() < 0.5 else [-32768, 32767]
        values = np.array(ends) * (1 if -32768 in ends else rng.choice([-1, 1], 3))
        at = rng.permutation(inputs)[: len(values)]
        row[at] = values[: len(at)]
        if rng.random() < 0.5 and inputs > 2 and -32768 not in ends:
            row[at] = values * np.sign(values)  # all of one sign
    return weight


def layer(rng: np.random.Generator, name: str, outputs: int, inputs: int, kind: str) -> dict[str, np.ndarray]:
    """Tensors of a layer. gentle: outputs about as large as inputs. full: the largest weights, under which the largest
    inputs give outputs that i16 just holds. worst: anything up to the limits.
    """
    rows = int(rng.choice([1, 2, 5]))
    weight = (gentle_weight if kind == "gentle" else worst_weight)(rng, outputs, inputs)
    if kind == "gentle":
        size = np.maximum(np.sqrt((weight.astype(float) ** 2).sum(1)), 1)
        scale = rng.choice([-1, 1], (rows, outputs)) * rng.uniform(0.2, 1.2, (rows, outputs)) / size * 2.0**32
        bias = rng.normal(0, 500, (rows, outputs)) * 2.0**32
    elif kind == "full":
        part = 1 / 8 if name in ("synthesis.out", "synthesis.direct") else 1  # of samples: in the range of bytes
        scale = rng.choice([-1, 1], (rows, outputs)) * rng.uniform(0.4, 1, (rows, outputs)) * part * 2.0**16
        bias = rng.normal(1000, 2000, (rows, outputs)) * part * 2.0**32
    else:
        scale = rng.choice([I32.min, I32.max, 65538, -65538, 1 << 20, 0], (rows, outputs))
        bias = rng.choice([-BIAS_MOST, BIAS_MOST, 0, -(2**31), 2**31 - 1, 1 << 46], (rows, outputs))
    return {
        f"{name}.weight": weight,
        f"{name}.scale": np.clip(scale, I32.min, I32.max).astype(np.int32),
        f"{name}.bias": bias.astype(np.int64),
    }


@functools.cache
def random_decoder(widths: tuple[int, ...], kind: str) -> dict[str, np.ndarray]:
    """Tensors of a decoder as FORMAT 8 allows them."""
    rng = np.random.default_rng([*widths, KINDS.index(kind)])
    tensors: dict[str, np.ndarray] = {}
    for name, outputs, inputs in slow_photo.layers(*widths):
        tensors |= layer(rng, name, outputs, inputs, kind)
    latent, hyper, points = widths[0], widths[1], 3
    most = 2**20 if kind == "worst" else 2500
    tensors["prior.gain"] = rng.integers(-most, most + 1, (points, latent)).astype(np.int32)
    if kind == "worst":
        tensors["tanh"] = rng.choice([0, 1, 32767], 257).astype(np.int16)
        tensors["exp2"] = rng.choice([0, 32768, 65535], 256).astype(np.uint16)
    else:
        tensors["tanh"] = np.round(32767 * np.tanh(np.linspace(0, 8, 257))).astype(np.int16)
        tensors["exp2"] = np.round(32768 * 2.0 ** (np.arange(256) / 256)).astype(np.uint16)
    slow_photo.check(tensors, latent, hyper, points)
    return tensors


@functools.cache
def shipped(name: str) -> store.Model:
    return store.read_model(1, MODELS / name)


def tensors_of(model: tuple) -> dict[str, np.ndarray]:
    """Of ("shipped", name), or of a random decoder."""
    return shipped(model[1]).arrays if model[0] == "shipped" else random_decoder(*model)


def latents_of(tensors: dict[str, np.ndarray], grid: tuple[int, int], wild: bool) -> tuple[np.ndarray, np.ndarray]:
    """v (C, hz, wz) and r (M, hy, wy) as 7.5 and 7.6 allow them."""
    rng = np.random.default_rng(grid)
    hyper, latent = tensors["prior.up.weight"].shape[1], tensors["prior.gain"].shape[1]
    over = tuple(-(-side // 4) for side in grid)
    v, r = rng.normal(0, 60, (hyper, *over)), np.round(rng.normal(0, 4, (latent, *grid)))
    if wild:
        v = np.where(rng.random(v.shape) < 0.5, v, rng.choice([-4096, 4095], v.shape))
        r = np.where(rng.random(r.shape) < 0.5, r, rng.choice([-32768, 32767, 700], r.shape))
    return v.astype(np.int16), r.astype(np.int16)


@functools.cache
def case(model: tuple, size: tuple[int, int], q: int) -> tuple:
    """(grid, v, r, y_hat, samples, grey samples) with what FORMAT 8 says of them."""
    tensors = tensors_of(model)
    grid = (-(-size[0] // 16), -(-size[1] // 16))
    v, r = latents_of(tensors, grid, wild=model[1] in ("full", "worst"))
    slow = slow_photo.SlowPhoto(tensors, q)
    return grid, v, r, slow.y_hat(v, r), slow.samples(v, r, size), slow.samples(v, r, size, grey=True)


@functools.cache
def photo(model: tuple, kernels: str) -> _core.Photo:
    return _core.Photo(tensors_of(model), kernels=kernels)


def rendered(net: _core.Photo, q: int, v, r, grid, box, bands: int, threads: int) -> np.ndarray:
    """Samples of a box, in memory that was not zero before."""
    shape = (box[2] - box[0], box[3] - box[1])
    out = np.full(shape if bands == 1 else (*shape, 3), 77, np.uint8)
    net.render(q, v, r, grid, box, out, threads)
    return out


def rendered_deep(net: _core.Photo, coded: tuple, box, bands: int, threads: int, depth: int) -> np.ndarray:
    """The same of `depth` bits, uint16. coded: q, v, r and the grid."""
    shape = (box[2] - box[0], box[3] - box[1])
    out = np.full(shape if bands == 1 else (*shape, 3), 77, np.uint16)
    net.render(*coded, box, memoryview(out).cast("B"), threads, depth=depth)
    return out


RANDOM = [(widths, kind) for widths in WIDTHS for kind in KINDS]
EVERY = [*RANDOM, *(("shipped", name) for name in SHIPPED)]


def name_of(model: tuple) -> str:
    return model[1] if model[0] == "shipped" else f"{model[1]}-{model[0][0]}-{model[0][2]}"


every_model = pytest.mark.parametrize("model", EVERY, ids=name_of)
every_set = pytest.mark.parametrize("kernels", KERNELS)
