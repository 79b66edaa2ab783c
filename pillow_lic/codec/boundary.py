"""The float/integer boundary: the one place that rounds. Nothing after it sees a float.

Imports numpy, torch and how work is spread over threads; knows shapes and tables, no networks and no bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..constants import (
    LIC_LEVEL_PLAIN,
    LIC_NORMAL_ARGUMENT_BITS,
    LIC_NORMAL_STEPS,
    LIC_OFFSET_ONE,
    LIC_OFFSET_ZERO,
    LIC_PROB_BITS,
    LIC_SYMBOL_MAX,
    LIC_SYMBOL_MIN,
    LIC_Z_STEP_BITS,
)
from ..entropy import Tables
from .batch import in_threads

Z_LIMIT = 127  # an encoder's own bound on |z|; what lies beyond FORMAT 7.5's clamp is clamped alike in both directions

# Weight of a bit against a squared rounding error in units of step^2. At high rate D = step^2/12 and one bit more halves
# the step, so dD/dR = -2 ln2 / 12 = -0.1155. Half of that is best in practice. On the held-out photographs, at qualities 3, 10 to 15,
# 30 to 35, 50 and 80 of `photo`: 0.03 instead of 0.055 changes the rate by -0.4, +0.2, +1.1, -, +0.1 %, 0.045 by -0.5, -0.2, +0.2, -, -0.1 %,
# 0.07 by +1.0, +0.8, +0.7, +0.1, +0.2 %, 0.1 by +3.7, +3.2, +2.7, +1.1, +1.0 %.
BIT_WEIGHT = 0.05
PART = 256  # latent positions that a thread quantises at once
PRICED = 511  # symbols beyond +-PRICED are taken to cost as much as that


def hyper_symbols(z: Tensor, d: np.ndarray) -> np.ndarray:
    """z (C, a, b) in the units of z_hat to integers: round(z * 2^5 / d), d (C,) of FORMAT 7.5. Returns int16."""
    return rounded_hyper(z, torch.from_numpy(d)).numpy()


def rounded_hyper(z: Tensor, d: Tensor) -> Tensor:
    """The same on any device, z (..., C, a, b), d (C,) integers: int16 of the shape of z."""
    step = d.float()[:, None, None] / (1 << LIC_Z_STEP_BITS)
    return torch.round(z.float() / step).clamp_(-Z_LIMIT, Z_LIMIT).to(torch.int16)


class Quantiser(NamedTuple):
    """How an encoder quantises the residuals of a model, and what that costs; `index` is what tables.scale_index gives, int.

    `unit`: what r is made of: 1, or as many to a step as LIC_LEVEL_PLAIN says (FORMAT 7.9). `step` is the network's, one unit.
    """

    # (y - mean) / step (N, M, h, w), index -> r, int16; weight: of a bit against a squared error of `unit` steps, (N, M, 1, 1) or one for all.
    quantise: Callable[..., Tensor]
    bits: Callable[[Tensor, Tensor], Tensor]  # r, index -> bits (N,)
    unit: int = 1


def quantiser(tables: Tables, arrays: Mapping[str, np.ndarray], skip: int, device: str = "cpu") -> Quantiser:
    """That of a model on a device.

    Bits of mixtures are without the bytes of an escape, which stands for what is so far off that 16 bits cost no less.
    """
    if tables.kind == "mixture":
        sigma = mixture_sigmas(arrays["normal"], arrays["inverse"]).to(device)
        return Quantiser(partial(mixture_symbols, sigma=sigma), partial(mixture_bits, sigma=sigma))
    if tables.kind == "trellis":
        quantise, bits = partial(trellis_levels, tables=tables), partial(trellis_bits, tables=tables)
        return Quantiser(quantise, bits, LIC_LEVEL_PLAIN)
    more = bits_more(arrays["freq"], arrays["count"], arrays["first"], tables.rows).to(device)
    rows = row_bits(arrays["freq"], arrays["count"], arrays["first"], tables.rows).to(device)
    return Quantiser(partial(residual_symbols, more=more, skip=skip), partial(listed_bits, rows=rows, skip=skip))


def trellis_levels(ratio: Tensor, index: Tensor, tables: Tables, weight: float | Tensor = BIT_WEIGHT) -> Tensor:
    """Levels int16 of ratio (N, M, h, w): Viterbi's search over the channels of each position (FORMAT 7.9), on the CPU wherever the tensors are."""
    n, m, h, w = ratio.shape
    weight = (
        torch.as_tensor(weight, dtype=torch.float32)
        .cpu()
        .mul(LIC_LEVEL_PLAIN**2)
        .expand(n, m, 1, 1)
        .flatten(1)
        .contiguous()
        .numpy()
    )
    x, scale = ratio.float().flatten(2).cpu().numpy(), index.to(torch.uint8).flatten(2).cpu().numpy()
    parts = [(k, slice(first, first + PART)) for k in range(n) for first in range(0, h * w, PART)]

    def quantised(k: int, part: slice) -> np.ndarray:
        return tables.quantised(x[k, :, part], scale[k, :, part], weight[k])

    r = np.concatenate(in_threads(lambda part: quantised(*part), parts), 1)  # (M, N h w)
    return torch.from_numpy(r).unflatten(1, (n, h, w)).transpose(0, 1).contiguous().to(ratio.device)


def trellis_bits(r: Tensor, index: Tensor, tables: Tables) -> Tensor:
    """Bits (N,) of levels r (N, M, h, w)."""
    levels, scale = r.to(torch.int16).flatten(2).cpu().numpy(), index.to(torch.uint8).flatten(2).cpu().numpy()
    found = [tables.price(one, where) for one, where in zip(levels, scale)]
    return torch.tensor(found, dtype=torch.float32, device=r.device)


def listed_bits(r: Tensor, index: Tensor, rows: Tensor, skip: int) -> Tensor:
    """Bits (N,) of symbols r (N, M, h, w) under rows of the bank, `rows` being row_bits of it."""
    index = index.to(torch.int32)
    bits = rows[index, r.long().clamp(-PRICED, PRICED) + PRICED]
    return (bits * (index >= skip)).sum((1, 2, 3))


def mixture_sigmas(normal: np.ndarray, inverse: np.ndarray) -> Tensor:
    """Standard deviation of each scale (R,), in steps: where the tabulated normal has its own (FORMAT 7.8)."""
    at_sigma = np.interp(0.341345 * (1 << LIC_PROB_BITS), normal.astype(np.float64), np.arange(len(normal)))
    distance = at_sigma * (1 << LIC_NORMAL_ARGUMENT_BITS) / LIC_NORMAL_STEPS / inverse / LIC_OFFSET_ONE
    return torch.from_numpy(distance.astype(np.float32))


def mixture_symbols(ratio: Tensor, index: Tensor, sigma: Tensor, weight: float | Tensor = BIT_WEIGHT) -> Tensor:
    """Rounds up or down, whichever costs less by squared error and weight * bits, under the bytes of FORMAT 7.8.

    ratio: (..., M, h, w), index: (..., 3 K M, h, w), sigma: (R,). Returns int16 (..., M, h, w).
    """
    inverse, centre, share = _components(index, ratio.shape[-3], sigma)
    low = ratio.floor()
    edge = low.unsqueeze(-4) - 0.5 - centre
    below = [torch.special.ndtr((edge + k) * inverse) for k in range(3)]
    bits = [-((share * (b - a)).sum(-4) + 2.0**-LIC_PROB_BITS).log2() for a, b in zip(below, below[1:])]
    part = ratio - low
    up = (1.0 - part).square() + weight * bits[1] < part.square() + weight * bits[0]
    return (low + up).clamp_(LIC_SYMBOL_MIN, LIC_SYMBOL_MAX).to(torch.int16)


def mixture_bits(r: Tensor, index: Tensor, sigma: Tensor) -> Tensor:
    """Bits (N,) of symbols r (N, M, h, w) under index (N, 3 K M, h, w)."""
    inverse, centre, share = _components(index.to(torch.int32), r.shape[-3], sigma)
    edge = r.float().unsqueeze(-4) - 0.5 - centre
    mass = torch.special.ndtr((edge + 1.0) * inverse) - torch.special.ndtr(edge * inverse)
    return -((share * mass).sum(-4) + 2.0**-LIC_PROB_BITS).log2().sum((1, 2, 3))


def _components(index: Tensor, channels: int, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """1 / sigma, centre and share of each component, (..., K, M, h, w) each, in steps."""
    scale, offset, weight = index.unflatten(-3, (3, -1, channels)).unbind(-5)
    share = weight.clamp(min=1).float()
    centre = (offset - LIC_OFFSET_ZERO) / LIC_OFFSET_ONE
    return 1.0 / sigma[scale.clamp(max=len(sigma) - 1)], centre, share / share.sum(-4, keepdim=True)


def bits_more(freq: np.ndarray, count: np.ndarray, first: np.ndarray, rows: int) -> Tensor:
    """How many bits more a larger |r| costs, (rows, 2): 1 than 0, and 2 than 1, which stands for all further steps. Not below 0."""
    more = np.zeros((rows, 2), np.float32)
    starts = np.concatenate([[0], np.cumsum(count)])
    for row in range(rows):
        values = freq[starts[row] : starts[row + 1] - 1].astype(np.float64)  # the last one is the escape
        bits = LIC_PROB_BITS - np.log2(values)
        zero = -int(first[row])
        for q in (0, 1):
            if 0 <= zero + q and zero + q + 1 < len(bits):
                more[row, q] = max(0.0, bits[zero + q + 1] - bits[zero + q])
    return torch.from_numpy(more)


def residual_symbols(
    ratio: Tensor, index: Tensor, more: Tensor, skip: int, weight: float | Tensor = BIT_WEIGHT
) -> Tensor:
    """(y - mean) / step to integers, both (..., M, h, w); index is the scale index (int), more of bits_more. Returns int16.

    Rate-distortion optimal between two neighbours q, q+1 of a value q + x: up when x^2 + w bits(q) exceeds
    (1-x)^2 + w bits(q+1), that is x > (1 + w (bits(q+1) - bits(q))) / 2, with w = weight. Zero where the index is below `skip`.
    """
    size = ratio.abs()
    whole = size.floor()
    threshold = 0.5 * (1.0 + weight * torch.where(whole < 1, more[:, 0][index], more[:, 1][index]))
    whole += size - whole > threshold.clamp_(max=0.95)
    whole = torch.where(index < skip, torch.zeros_like(whole), whole)
    return torch.copysign(whole, ratio).clamp_(LIC_SYMBOL_MIN, LIC_SYMBOL_MAX).to(torch.int16)


def row_bits(freq: np.ndarray, count: np.ndarray, first: np.ndarray, rows: int) -> Tensor:
    """Bits of the symbols -PRICED to PRICED under each row, (rows, 2 PRICED + 1); escapes with their bytes (FORMAT 7.3)."""
    table = np.empty((rows, 2 * PRICED + 1), np.float32)
    starts = np.concatenate([[0], np.cumsum(count)])
    symbols = np.arange(-PRICED, PRICED + 1)
    for row in range(rows):
        bits = LIC_PROB_BITS - np.log2(freq[starts[row] : starts[row + 1]].astype(np.float64))
        place = symbols - int(first[row])
        beyond = np.where(place < 0, -place - 1, place - (len(bits) - 1))  # steps beyond the row, from 0
        escape = bits[-1] + 8 * np.where(beyond < 64, 1, 2)  # of seven bits each, one of them the direction
        table[row] = np.where(beyond < 0, bits[place.clip(0, len(bits) - 2)], escape)
    return torch.from_numpy(table)


def samples(x: Tensor, grey: bool) -> Tensor:
    """Synthesised x (3, h, w) to uint8 (h, w, 3), or (h, w) for grey (FORMAT 8, steps 5 and 6)."""
    x = x.clamp(0.0, 1.0)
    if grey:
        return torch.floor(x.mean(0) * 255.0 + 0.5).to(torch.uint8)
    return torch.floor(x * 255.0 + 0.5).to(torch.uint8).permute(1, 2, 0)
