"""What the range coder needs of symbols under mixtures (FORMAT 7.8), from the GPU that made them: equal to the bit to
the core's.

Where networks run on a GPU, TorchEngine.quantise hands them over beside r, and the coder of the core takes them as they
are; escapes alone it looks up in the map. Imports numpy and torch, and cuda/ when a tensor on a GPU arrives.
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


def intervals(model: Model, index: Tensor, r: Tensor) -> Tensor:
    """(2, M, h, w) int32, start and frequency of r (M, h, w) int16 under the bytes index (3 K M, h, w).

    Of a symbol beyond what its mixture holds: of the escape. All on one GPU, in the order of the current stream.
    """
    from .cuda import mixture

    inverse, normal = _constants(model, str(r.device))
    index, r = index.contiguous(), r.contiguous()
    found = torch.empty((2, *r.shape), dtype=torch.int32, device=r.device)
    tables = inverse.data_ptr(), normal.data_ptr()
    addresses = index.data_ptr(), r.data_ptr(), *tables, found[0].data_ptr(), found[1].data_ptr()
    mixture.intervals(addresses, r.numel(), len(index) // (3 * len(r)), len(inverse), places.where(r))
    return found


@lru_cache(maxsize=8)
def _constants(model: Model, device: str) -> tuple[Tensor, Tensor]:
    """The model's `inverse` and `normal` on a device, as signed integers of the same bits."""
    inverse, normal = np.array(model.arrays["inverse"], order="C"), np.array(model.arrays["normal"], order="C")
    signed = inverse.view(np.int32), normal.view(np.int16)
    return torch.from_numpy(signed[0]).to(device), torch.from_numpy(signed[1]).to(device)
