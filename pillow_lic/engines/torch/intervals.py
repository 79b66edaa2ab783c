"""What the range coder needs of symbols under mixtures (FORMAT 7.8), from the GPU that made them: equal to the bit to
the core's.

A seam: the core's coder takes symbols, and finds their intervals itself. Once it takes intervals as well,
TorchEngine.quantise may hand these over beside r. Imports numpy and torch, and cuda/ when a tensor on a GPU arrives.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from . import place as places

if TYPE_CHECKING:
    from torch import Tensor

    from ...models.store import Model


def intervals(model: Model, index: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    """start and frequency, both (M, h, w) int32 with the bits of uint32, of r (M, h, w) int16 under the bytes index (3
    K M, h, w).

    Of a symbol beyond what its mixture holds: of the escape. All on one GPU, in the order of the current stream.
    """
    from .cuda import mixture

    inverse, normal = _constants(model, str(r.device))
    start, frequency = (torch.empty(r.shape, dtype=torch.int32, device=r.device) for _ in range(2))
    arrays = index.contiguous(), r.contiguous(), inverse, normal, start, frequency
    planes, symbols, *rest = (array.data_ptr() for array in arrays)
    components = len(index) // (3 * len(r))
    addresses = planes, symbols, rest[0], rest[1], rest[2], rest[3]
    mixture.intervals(addresses, r.numel(), components, len(inverse), places.where(r))
    return start, frequency


@lru_cache(maxsize=8)
def _constants(model: Model, device: str) -> tuple[Tensor, Tensor]:
    """The model's `inverse` and `normal` on a device, as signed integers of the same bits."""
    inverse, normal = np.array(model.arrays["inverse"], order="C"), np.array(model.arrays["normal"], order="C")
    signed = inverse.view(np.int32), normal.view(np.int16)
    return torch.from_numpy(signed[0]).to(device), torch.from_numpy(signed[1]).to(device)
