"""The integer kernels, launched as the product launches them, against the C++ core: how many results differ."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import torch
from mixed_case import NORMAL, inverses
from on_host import intervals

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
    """Intervals of n random symbols, edges of all tables among them: how many differ from the core's."""
    rng = np.random.default_rng(seed)
    inverse = np.append(inverses(rng, 30), [2048, 1 << 24]).astype(np.uint32)
    mixture = _core_test.Mixture(NORMAL, inverse, components)
    planes = rng.integers(0, 256, (3 * components, n), np.uint8)
    x = np.round(rng.normal(0, 1, n) * rng.choice([2, 40, 400], n)).astype(np.int16)
    x[: n // 50] = rng.choice([-32768, 32767, -1, 0, 1], n // 50)
    wanted_start, wanted_freq = intervals(mixture, planes, x)

    there = [on(place, array) for array in (planes, x, inverse, NORMAL)]
    start, freq = (torch.zeros(n, dtype=torch.int32, device=place) for _ in range(2))
    where = places.where(start)
    planes_at, x_at, inverse_at, normal_at = (tensor.data_ptr() for tensor in there)
    given = planes_at, x_at, inverse_at, normal_at, start.data_ptr(), freq.data_ptr()
    mixture_kernels.intervals(given, n, components, len(inverse), where)
    return int((start.cpu().numpy() != wanted_start).sum() + (freq.cpu().numpy() != wanted_freq).sum())


def compare_maps(place: places.Place, model: Model, q: int, z: np.ndarray, h: int, w: int) -> int:
    """v and the index of z (C, a, b): how many differ from the core's."""
    symbols = torch.from_numpy(np.ascontiguousarray(z))[None].to(place.name)
    v, index = scale_map.scale_index(model, place, q, symbols, (h, w))
    own = model.tables
    differ = (v[0].cpu().numpy() != own.dequantised(q, z)).sum()
    return int(differ + (index[0].cpu().numpy() != own.scale_index(q, z, h, w)).sum())


def case_model(case) -> SimpleNamespace:
    """Tables of a test case in the place of a model."""
    sizes = {key: getattr(case.tables, key) for key in ("latent", "hyper", "points", "rows", "skip")}

    class CaseModel(SimpleNamespace):
        __hash__ = object.__hash__

    return CaseModel(arrays=case.arrays, tables=case.tables, manifest=SimpleNamespace(**sizes))
