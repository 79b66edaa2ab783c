"""What an encoder asks of each residual kind of the core, price and quantise, beside the encoder's own in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixed_case import MixedCase
from random_tables import Case

from pillow_lic import _core_test
from pillow_lic.engines.torch import quantise, rate
from pillow_lic.entropy import Tables


def gaussian(seed: int) -> tuple[Case, Tables]:
    """A case, and tables whose rows lie around 0."""
    case = Case(seed, 9, 14, latent=5, rows=9, skip=2)
    case.arrays["first"] = (-(case.arrays["count"] // 2)).astype(np.int16)
    return case, Tables(case.arrays, 5, 5, case.points, 9, 2)


def wild(rng: np.random.Generator, shape: tuple[int, int], spread: float) -> np.ndarray:
    x = rng.normal(0, spread, shape).astype(np.float32)
    x[rng.random(shape) < 0.2] = np.float32(rng.integers(-3, 4)) + np.float32(0.5)
    return x


@pytest.mark.parametrize("seed", range(6))
def test_gaussian(seed: int):
    """To the bit what quantise.residual_symbols finds, and what rate.listed_bits says of it."""
    case, tables = gaussian(seed)
    rng = np.random.default_rng(seed)
    index = case.index.reshape(5, -1)
    x, weight = wild(rng, index.shape, (0.5, 3, 40)[seed % 3]), rng.choice([0.0, 0.05, 0.3], 5).astype(np.float32)
    tables_of_bank = (case.arrays[name] for name in ("freq", "count", "first"))
    freq, count, first = tables_of_bank
    more, rows = rate.bits_more(freq, count, first, 9), rate.row_bits(freq, count, first, 9)
    scale = torch.from_numpy(index.astype(np.int64))
    wanted = quantise.residual_symbols(torch.from_numpy(x), scale, more, 2, torch.from_numpy(weight)[:, None])
    found = tables.model.quantise(x, index, weight)
    assert np.array_equal(found, wanted.numpy())
    bits = rate.listed_bits(wanted[None, :, None], scale[None, :, None], rows, 2)
    assert tables.price(found, index) == pytest.approx(float(bits), rel=1e-5)
    symbols, row = tables.symbols(found, index)
    assert np.array_equal(symbols, found)
    assert np.array_equal(row, index)


def test_gaussian_of_wild_values():
    _case, tables = gaussian(1)
    index = np.full((5, 8), 8, np.uint8)
    x = np.tile(np.array([np.nan, np.inf, -np.inf, 4e4, -4e4, 32767.4, 1e-45, -0.0], np.float32), (5, 1))
    found = tables.model.quantise(x, index, np.zeros(5, np.float32))
    assert found[0].tolist() == [0, 32767, -32768, 32767, -32768, 32767, 0, 0]
    index[:] = 255  # beyond the rows: the last one
    assert np.array_equal(tables.model.quantise(x, index, np.zeros(5, np.float32)), found)
    assert tables.price(found, index) > 0


def exact_bits(case: MixedCase, r: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """Bits (n,) of r (n,) by the definition of the frequencies and the length of escapes."""
    mixture = _core_test.Mixture(case.arrays["normal"], case.arrays["inverse"], case.tables.components)
    below, radius = (mixture.cumulative(planes, r)[k].astype(np.int64) for k in (2, 3))
    above = mixture.cumulative(planes, np.minimum(r, 32766) + np.int16(1))[2].astype(np.int64)
    escape = mixture.cumulative(planes, (radius + 1).astype(np.int16))[2].astype(np.int64)
    beyond = np.abs(r.astype(np.int64)) - radius - 1
    size = np.where(beyond < 16384, 16, 32)  # a bit of the first word's 15 says the side
    return np.where(beyond < 0, 16 - np.log2(np.maximum(above - below, 1)), 16 - np.log2(65536 - escape) + size)


@pytest.mark.parametrize("components", [1, 2, 3, 4])
def test_mixture(components: int):
    """The price is that of the frequencies; of two neighbours the better one is taken."""
    case = MixedCase(components, 13, 22, components)
    rng = np.random.default_rng(components)
    planes = case.tables.scale_index(case.q, case.z, case.h, case.w)
    flat = planes.reshape(3 * components, -1)
    r = np.round(rng.standard_t(1.5, case.r.shape) * 20).clip(-32768, 32767).astype(np.int16)
    channels, index = r.reshape(len(r), -1), planes.reshape(len(planes), -1)
    assert case.tables.price(channels, index) == pytest.approx(exact_bits(case, r.ravel(), flat).sum(), rel=1e-9)
    x = wild(rng, channels.shape, 4)
    weight = rng.choice([0.0, 0.05, 0.3], len(x)).astype(np.float32)
    found = case.tables.model.quantise(x, index, weight)
    low = np.floor(x).astype(np.int16)
    assert ((found == low) | (found == low + 1)).all()

    def cost(level: np.ndarray) -> np.ndarray:
        bits = exact_bits(case, level.ravel(), flat).reshape(x.shape)
        return (x.astype(float) - level) ** 2 + weight[:, None] * bits

    assert (cost(found) <= np.minimum(cost(low), cost(low + np.int16(1))) + 1e-4).all()
    with pytest.raises(ValueError, match="no scale rows"):
        case.tables.symbols(channels, index)
