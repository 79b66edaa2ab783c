"""The float/integer boundary: the one file that rounds latents. Nothing after it sees a float.

Where the core rounds, as under a trellis (csrc/residual/trellis.h), this file alone calls it. Imports numpy, torch,
entropy, models and how work is spread over threads; knows shapes and tables, no networks and no bytes.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ...constants import LIC_PROB_BITS, LIC_SYMBOL_MAX, LIC_SYMBOL_MIN, LIC_Z_STEP_BITS
from ...threads import spread
from ..base import BIT_WEIGHT
from . import rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ...entropy import Tables
    from ...models.store import Model

Z_LIMIT = 127  # an encoder's own bound on |z|; what lies beyond FORMAT 7.5's clamp is clamped alike in both directions

PART = 256  # latent positions that a thread quantises at once


def hyper_symbols(z: Tensor, d: Tensor) -> Tensor:
    """z (..., C, a, b) in the units of z_hat to integers: round(z * 2^5 / d), d (C,) of FORMAT 7.5. int16, of the shape
    of z.
    """
    step = d.float()[:, None, None] / (1 << LIC_Z_STEP_BITS)
    return torch.round(z.float() / step).clamp_(-Z_LIMIT, Z_LIMIT).to(torch.int16)


class Quantiser(Protocol):
    """How an encoder quantises the residuals of a model, and what that costs; `index` is what Tables.scale_index gives,
    int.
    """

    @property
    def unit(self) -> int:
        """What r is made of: 1, or as many to a step as LIC_LEVEL_PLAIN says (FORMAT 7.9). `step` is the network's, one
        unit.
        """

    def quantise(
        self, ratio: Tensor, index: Tensor, weight: float | Tensor | None = None, stages: Sequence[bytes] = ()
    ) -> Tensor:
        """(y - mean) / step (N, M, h, w) and index to r, int16.

        weight: of a bit against a squared error of `unit` steps, (N, M, 1, 1) or one for all; None: BIT_WEIGHT.
        stages: of each picture the thresholds of its stages (FORMAT 6.3); without them each has one.
        """

    def bits(self, r: Tensor, index: Tensor, stages: Sequence[bytes] = ()) -> Tensor:
        """Bits (N,) of r."""


@lru_cache(maxsize=8)
def quantiser(model: Model, device: str) -> Quantiser:
    """That of a model on a device."""
    return of_tables(model.tables, model.arrays, model.manifest.skip, device)


def of_tables(tables: Tables, arrays: dict[str, NDArray[Any]], skip: int, device: str = "cpu") -> Quantiser:
    """That of tables, and of the arrays that they were made of, on a device. skip: 0, or that of the model."""
    if tables.kind == "mixture":
        return MixtureQuantiser(arrays, device)
    if tables.kind == "gaussian":
        return RowQuantiser(arrays, tables.rows, skip, device)
    return CoreQuantiser(tables)


class RowQuantiser:
    """Of residuals under rows of the bank: each rounded on its own."""

    unit = 1

    def __init__(self, arrays: dict[str, NDArray[Any]], rows: int, skip: int, device: str):
        listed = (arrays["freq"], arrays["count"], arrays["first"], rows)
        self.more, self.rows = rate.bits_more(*listed).to(device), rate.row_bits(*listed).to(device)
        self.skip = skip

    def quantise(
        self, ratio: Tensor, index: Tensor, weight: float | Tensor | None = None, stages: Sequence[bytes] = ()
    ) -> Tensor:
        """Rounds up or down, whichever costs less."""
        return residual_symbols(ratio, index, self.more, self.skip, BIT_WEIGHT if weight is None else weight)

    def bits(self, r: Tensor, index: Tensor, stages: Sequence[bytes] = ()) -> Tensor:
        """Bits (N,) of r."""
        return rate.listed_bits(r, index, self.rows, self.skip)


class CoreQuantiser:
    """Of any kind, by the core, on the CPU wherever the tensors are: of dependent quantisation (FORMAT 7.9), Viterbi's
    search over the channels of each position.
    """

    def __init__(self, tables: Tables):
        self.tables, self.unit = tables, tables.model.unit

    def quantise(
        self, ratio: Tensor, index: Tensor, weight: float | Tensor | None = None, stages: Sequence[bytes] = ()
    ) -> Tensor:
        """The levels of least cost."""
        n, m, h, w = ratio.shape
        one = torch.as_tensor(BIT_WEIGHT if weight is None else weight, dtype=torch.float32).cpu()
        price = one.mul(self.unit**2).expand(n, m, 1, 1).flatten(1).contiguous().numpy()
        those = stages or [b""] * n
        x, scale = ratio.float().flatten(2).cpu().numpy(), index.to(torch.uint8).flatten(2).cpu().numpy()
        parts = [(k, slice(first, first + PART)) for k in range(n) for first in range(0, h * w, PART)]
        levels = spread(
            self.tables.model.quantise,
            [np.ascontiguousarray(x[k, :, part]) for k, part in parts],
            [np.ascontiguousarray(scale[k, :, part]) for k, part in parts],
            [price[k] for k, _ in parts],
            [those[k] for k, _ in parts],
        )
        r = np.concatenate(levels, 1)  # (M, N h w)
        return torch.from_numpy(r).unflatten(1, (n, h, w)).transpose(0, 1).contiguous().to(ratio.device)

    def bits(self, r: Tensor, index: Tensor, stages: Sequence[bytes] = ()) -> Tensor:
        """Bits (N,) of r."""
        return rate.core_bits(r, index, self.tables, stages)


class MixtureQuantiser:
    """Of residuals under mixtures (FORMAT 7.8): each rounded on its own.

    Bits are without the bytes of an escape, which stands for what is so far off that 16 bits cost no less.
    """

    unit = 1

    def __init__(self, arrays: dict[str, NDArray[Any]], device: str):
        self.sigma = rate.mixture_sigmas(arrays["normal"], arrays["inverse"]).to(device)

    def quantise(
        self, ratio: Tensor, index: Tensor, weight: float | Tensor | None = None, stages: Sequence[bytes] = ()
    ) -> Tensor:
        """Rounds up or down, whichever costs less."""
        return mixture_symbols(ratio, index, self.sigma, BIT_WEIGHT if weight is None else weight)

    def bits(self, r: Tensor, index: Tensor, stages: Sequence[bytes] = ()) -> Tensor:
        """Bits (N,) of r."""
        return rate.mixture_bits(r, index, self.sigma)


def residual_symbols(
    ratio: Tensor, index: Tensor, more: Tensor, skip: int, weight: float | Tensor = BIT_WEIGHT
) -> Tensor:
    """(y - mean) / step to integers, both (..., M, h, w); index is the scale index (int), more of bits_more. Returns
    int16.

    Rate-distortion optimal between two neighbours q, q+1 of a value q + x: up when x^2 + w bits(q) exceeds
    (1-x)^2 + w bits(q+1), that is x > (1 + w (bits(q+1) - bits(q))) / 2, with w = weight. Zero where the index is below
    `skip`.
    """
    size = ratio.abs()
    whole = size.floor()
    threshold = 0.5 * (1.0 + weight * torch.where(whole < 1, more[:, 0][index], more[:, 1][index]))
    whole += size - whole > threshold.clamp_(max=0.95)
    whole = torch.where(index < skip, torch.zeros_like(whole), whole)
    return torch.copysign(whole, ratio).clamp_(LIC_SYMBOL_MIN, LIC_SYMBOL_MAX).to(torch.int16)


def mixture_symbols(ratio: Tensor, index: Tensor, sigma: Tensor, weight: float | Tensor = BIT_WEIGHT) -> Tensor:
    """Rounds up or down, whichever costs less by squared error and weight * bits, under the bytes of FORMAT 7.8.

    ratio: (..., M, h, w), index: (..., 3 K M, h, w), sigma: (R,). Returns int16 (..., M, h, w).
    """
    inverse, centre, share = rate.components(index, ratio.shape[-3], sigma)
    low = ratio.floor()
    edge = low.unsqueeze(-4) - 0.5 - centre
    below = [torch.special.ndtr((edge + k) * inverse) for k in range(3)]
    bits = [-((share * (b - a)).sum(-4) + 2.0**-LIC_PROB_BITS).log2() for a, b in pairwise(below)]
    part = ratio - low
    up = (1.0 - part).square() + weight * bits[1] < part.square() + weight * bits[0]
    return (low + up).clamp_(LIC_SYMBOL_MIN, LIC_SYMBOL_MAX).to(torch.int16)
