"""The integer kernels, launched as the product launches them, against the C++ core: how many results differ."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import launchers
import numpy as np
import torch
from mixed_case import NORMAL, inverses
from on_host import intervals
from random_tables import random_symbols

from pillow_lic import _core_test
from pillow_lic.engines.torch import place as places
from pillow_lic.engines.torch import scale_map
from pillow_lic.engines.torch.cuda import mixture as mixture_kernels

if TYPE_CHECKING:
    from pillow_lic.models.store import Model

MANY = {"cpu": 60_000, "cuda": 4_000_000}  # symbols at a time


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
    where = places.where(start)
    planes_at, x_at, inverse_at, normal_at = (tensor.data_ptr() for tensor in there)
    scales = len(inverse)
    given = planes_at, x_at, inverse_at, normal_at, start.data_ptr(), freq.data_ptr()
    mixture_kernels.intervals(given, n, components, scales, where)
    given = planes_at, inverse_at, normal_at, window.data_ptr()
    mixture_kernels.window(given, n, components, scales, (-3, 8), where)
    differ = (start.cpu().numpy() != wanted_start).sum() + (freq.cpu().numpy() != wanted_freq).sum()
    sample = slice(0, n, 8)  # of the window, every eighth symbol
    for k in range(8):
        edge = np.full(len(range(0, n, 8)), k - 3, np.int16)
        wanted = mixture.cumulative(np.ascontiguousarray(planes[:, sample]), edge)[2]
        differ += (window[sample, k].cpu().numpy().view(np.uint16) != wanted).sum()
    return int(differ)


def compare_maps(place: places.Place, model: Model, q: int, z: np.ndarray, h: int, w: int) -> int:
    """v and the index of z (C, a, b): how many differ from the core's."""
    symbols = torch.from_numpy(np.ascontiguousarray(z))[None].to(place.name)
    v, index = scale_map.scale_index(model, place, q, symbols, (h, w))
    own = model.tables
    differ = (v[0].cpu().numpy() != own.dequantised(q, z)).sum()
    return int(differ + (index[0].cpu().numpy() != own.scale_index(q, z, h, w)).sum())


def compare_packing(place: str, seed: int, n: int, skip: int) -> int:
    """What is packed is index and r where they are coded, what is spread is r again: how many differ."""
    rng = np.random.default_rng(seed)
    index = rng.integers(0, 6, n).astype(np.uint8)
    r = (random_symbols(rng, (n,)) * (index >= skip)).astype(np.int16)
    index_there, r_there = on(place, index), on(place, r)
    coded, back = torch.full_like(index_there, 9), torch.full_like(r_there, 9)
    where = places.where(coded)
    launchers.coded_symbols(index_there.data_ptr(), n, skip, coded.data_ptr(), where)
    running = coded.long().cumsum(0)
    rows = torch.zeros(int(running[-1]), dtype=torch.uint8, device=place)
    symbols = torch.zeros(len(rows), dtype=torch.int16, device=place)
    inputs = index_there.data_ptr(), r_there.data_ptr(), running.data_ptr(), n, skip
    launchers.pack_symbols(*inputs, rows.data_ptr(), symbols.data_ptr(), where)
    launchers.spread_symbols(
        index_there.data_ptr(), symbols.data_ptr(), running.data_ptr(), n, skip, back.data_ptr(), where
    )
    differ = (rows.cpu().numpy() != index[index >= skip]).sum() + (symbols.cpu().numpy() != r[index >= skip]).sum()
    return int(differ + (back.cpu().numpy() != r).sum())


def case_model(case) -> SimpleNamespace:
    """Tables of a test case in the place of a model."""
    sizes = {key: getattr(case.tables, key) for key in ("latent", "hyper", "points", "rows", "skip")}

    class CaseModel(SimpleNamespace):
        __hash__ = object.__hash__

    return CaseModel(arrays=case.arrays, tables=case.tables, manifest=SimpleNamespace(**sizes))
