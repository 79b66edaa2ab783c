"""What symbols cost: bits under the rows of a model's bank or under its mixtures, as an encoder reckons them.

Imports numpy, torch and constants; knows shapes and tables, no networks and no bytes. Only the entropy coder is exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...constants import (
    LIC_NORMAL_ARGUMENT_BITS,
    LIC_NORMAL_STEPS,
    LIC_OFFSET_ONE,
    LIC_OFFSET_ZERO,
    LIC_PROB_BITS,
    LIC_WORD_BITS,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ...entropy import Tables

PRICED = 511  # symbols beyond +-PRICED are taken to cost as much as that


def bits_more(freq: NDArray[Any], count: NDArray[Any], first: NDArray[Any], rows: int) -> Tensor:
    """How many bits more a larger |r| costs, (rows, 2): 1 than 0, and 2 than 1, which stands for all further steps. Not
    below 0.
    """
    more = np.zeros((rows, 2), np.float32)
    starts = np.concatenate([[0], np.cumsum(count)])
    for row in range(rows):
        values = freq[starts[row] : starts[row + 1] - 1].astype(np.float64)  # the last one is the escape
        bits = LIC_PROB_BITS - np.log2(values)
        zero = -int(first[row])
        for q in (0, 1):
            if zero + q >= 0 and zero + q + 1 < len(bits):
                more[row, q] = max(0.0, bits[zero + q + 1] - bits[zero + q])
    return torch.from_numpy(more)


def row_bits(freq: NDArray[Any], count: NDArray[Any], first: NDArray[Any], rows: int) -> Tensor:
    """Bits of the symbols -PRICED to PRICED under each row, (rows, 2 PRICED + 1); escapes with their words (FORMAT
    7.3).
    """
    table = np.empty((rows, 2 * PRICED + 1), np.float32)
    starts = np.concatenate([[0], np.cumsum(count)])
    symbols = np.arange(-PRICED, PRICED + 1)
    for row in range(rows):
        bits = LIC_PROB_BITS - np.log2(freq[starts[row] : starts[row + 1]].astype(np.float64))
        place = symbols - int(first[row])
        beyond = np.where(place < 0, -place - 1, place - (len(bits) - 1))  # steps beyond the row, from 0
        escape = bits[-1] + LIC_WORD_BITS  # PRICED is within an escape's first word
        table[row] = np.where(beyond < 0, bits[place.clip(0, len(bits) - 2)], escape)
    return torch.from_numpy(table)


def listed_bits(r: Tensor, index: Tensor, rows: Tensor, skip: int) -> Tensor:
    """Bits (N,) of symbols r (N, M, h, w) under rows of the bank, `rows` being row_bits of it."""
    index = index.to(torch.int32)
    bits = rows[index, r.long().clamp(-PRICED, PRICED) + PRICED]
    return (bits * (index >= skip)).sum((1, 2, 3))


def core_bits(r: Tensor, index: Tensor, tables: Tables, stages: Sequence[bytes] = ()) -> Tensor:
    """Bits (N,) of r (N, M, h, w) by the core. stages: of each the thresholds of its stages (FORMAT 6.3)."""
    levels, scale = r.to(torch.int16).flatten(2).cpu().numpy(), index.to(torch.uint8).flatten(2).cpu().numpy()
    those = stages or [b""] * len(levels)
    pairs = zip(np.ascontiguousarray(levels), np.ascontiguousarray(scale), those, strict=True)
    found = [tables.model.price(*one) for one in pairs]
    return torch.tensor(found, dtype=torch.float32, device=r.device)


def mixture_sigmas(normal: NDArray[Any], inverse: NDArray[Any]) -> Tensor:
    """Standard deviation of each scale (R,), in steps: where the tabulated normal has its own (FORMAT 7.8)."""
    at_sigma = np.interp(0.341345 * (1 << LIC_PROB_BITS), normal.astype(np.float64), np.arange(len(normal)))
    distance = at_sigma * (1 << LIC_NORMAL_ARGUMENT_BITS) / LIC_NORMAL_STEPS / inverse / LIC_OFFSET_ONE
    return torch.from_numpy(distance.astype(np.float32))


def mixture_bits(r: Tensor, index: Tensor, sigma: Tensor) -> Tensor:
    """Bits (N,) of symbols r (N, M, h, w) under index (N, 3 K M, h, w)."""
    inverse, centre, share = components(index.to(torch.int32), r.shape[-3], sigma)
    edge = r.float().unsqueeze(-4) - 0.5 - centre
    mass = torch.special.ndtr((edge + 1.0) * inverse) - torch.special.ndtr(edge * inverse)
    return -((share * mass).sum(-4) + 2.0**-LIC_PROB_BITS).log2().sum((1, 2, 3))


def components(index: Tensor, channels: int, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """1 / sigma, centre and share of each component, (..., K, M, h, w) each, in steps."""
    scale, offset, weight = index.unflatten(-3, (3, -1, channels)).unbind(-5)
    share = weight.clamp(min=1).float()
    centre = (offset - LIC_OFFSET_ZERO) / LIC_OFFSET_ONE
    return 1.0 / sigma[scale.clamp(max=len(sigma) - 1)], centre, share / share.sum(-4, keepdim=True)
