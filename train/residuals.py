"""How r is coded, as training and export know it: a kind of FORMAT 7.3, 7.8 or 7.9 each, with the rows of the bank that
it begins with, and what the bytes of the integer map mean.

A family says which kind is its own. Imports numpy and torch; of pillow_lic constants and entropy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from pillow_lic.constants import (
    LIC_INVERSE_MAX,
    LIC_INVERSE_MIN,
    LIC_LEVEL_PLAIN,
    LIC_LEVEL_TRELLIS,
    LIC_NORMAL_ARGUMENT_BITS,
    LIC_NORMAL_STEPS,
    LIC_OFFSET_ONE,
    LIC_OFFSET_ZERO,
    LIC_PROB_BITS,
    LIC_ROW_MAX,
)
from train.layers import ROWS, SIGMA_MAX, SIGMA_MIN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pillow_lic.entropy import Tables

# The unit of r in an exported model with a trellis, where training has steps of 1: levels of the trellis are 1.3 apart,
# others 0.975 (FORMAT 7.9).
LEVEL_STEP = 0.325
UNIT = np.log(SIGMA_MAX / SIGMA_MIN) / (ROWS - 1)  # log sigma from one scale row to the next
WEIGHT_UNIT = 1 / 32  # the byte a of FORMAT 7.8 counts the unnormalised weight in this
NORMAL_END = 4.25  # standard deviations at which the tabulated normal ends

Row = tuple[int, np.ndarray]  # its first value, and the probabilities of its values, the tails as last entry
Symbols = tuple[np.ndarray, np.ndarray]


class Residual(Protocol):
    """A kind. `unit`: of r in an exported model, in steps of training. `plain`: rows from the first on that may be left
    uncoded.
    """

    @property
    def unit(self) -> float: ...

    @property
    def plain(self) -> int: ...

    def planes(self) -> np.ndarray:
        """(planes, 2): for each plane of the map, bytes to a unit of the float's plane, and the byte of its 0."""

    def rows(self) -> list[Row]:
        """The bank's rows of r, before they are bent towards counts; none where r has no rows."""

    def tables(self) -> dict[str, np.ndarray]:
        """Its own arrays of FORMAT 9.2."""

    def symbols(self, tables: Tables, r: np.ndarray, index: np.ndarray) -> Symbols:
        """The symbols of r (M, n) and their rows, by the scale index (M, n)."""


SCALE = np.array([1 / UNIT, -np.log(SIGMA_MIN) / UNIT])  # of a plane of log sigma


@dataclass(frozen=True)
class Gaussian:
    """Symbols under zero-mean Gaussians (FORMAT 7.3)."""

    unit = 1.0
    plain = ROWS

    def planes(self) -> np.ndarray:
        return SCALE[None]

    def rows(self) -> list[Row]:
        return [gaussian_row(sigma) for sigma in scale_grid()]

    def tables(self) -> dict[str, np.ndarray]:
        return {}

    def symbols(self, tables: Tables, r: np.ndarray, index: np.ndarray) -> Symbols:
        return r, index


@dataclass(frozen=True)
class Trellis:
    """Levels of dependent quantisation from the scale index `first` on (FORMAT 7.9)."""

    first: int
    unit = LEVEL_STEP

    @property
    def plain(self) -> int:
        return self.first

    def planes(self) -> np.ndarray:
        return SCALE[None]

    def rows(self) -> list[Row]:
        """Those of even states, and then those of odd ones."""
        plain, dependent = LIC_LEVEL_PLAIN * LEVEL_STEP, LIC_LEVEL_TRELLIS * LEVEL_STEP
        low = [gaussian_row(sigma / plain) for sigma in scale_grid()[: self.first]]
        high = scale_grid()[self.first :] / dependent
        return [row for odd in (False, True) for row in (*low, *(gaussian_row(sigma, odd) for sigma in high))]

    def tables(self) -> dict[str, np.ndarray]:
        return {"trellis": np.array([self.first], np.int32)}

    def symbols(self, tables: Tables, r: np.ndarray, index: np.ndarray) -> Symbols:
        return tables.symbols(r, index)


@dataclass(frozen=True)
class Mixture:
    """Symbols under mixtures of normals (FORMAT 7.8)."""

    components: int
    unit = 1.0
    plain = 0

    def planes(self) -> np.ndarray:
        """Of log sigma, of offsets and of unnormalised weights."""
        own = np.array([SCALE, [LIC_OFFSET_ONE, LIC_OFFSET_ZERO], [1 / WEIGHT_UNIT, 0.0]])
        return own.repeat(self.components, 0)

    def rows(self) -> list[Row]:
        return []

    def tables(self) -> dict[str, np.ndarray]:
        """normal and inverse, for the scales of `scale_grid`."""
        edge = NORMAL_END * np.arange(LIC_NORMAL_STEPS) / LIC_NORMAL_STEPS
        half = 1 << LIC_PROB_BITS - 1
        normal = np.append(((_ndtr(edge) - 0.5) * 2 * half).round(), half).astype(np.uint16)
        inverse = (1 << LIC_NORMAL_ARGUMENT_BITS) / (NORMAL_END * LIC_OFFSET_ONE * scale_grid())
        return {"normal": normal, "inverse": inverse.round().clip(LIC_INVERSE_MIN, LIC_INVERSE_MAX).astype(np.uint32)}

    def symbols(self, tables: Tables, r: np.ndarray, index: np.ndarray) -> Symbols:
        msg = "mixtures have no rows to count symbols under"
        raise ValueError(msg)


def kind_of(arrays: Mapping[str, np.ndarray], components: int) -> Residual:
    """That of an exported model's arrays; components: of its mixtures."""
    if "normal" in arrays:
        return Mixture(components)
    return Trellis(int(arrays["trellis"][0])) if "trellis" in arrays else Gaussian()


def scale_grid() -> np.ndarray:
    """Standard deviations of the scale rows, geometric (ROWS,)."""
    return np.geomspace(SIGMA_MIN, SIGMA_MAX, ROWS)


def gaussian_row(sigma: float, odd: bool = False) -> Row:
    """A zero-mean Gaussian over integers.

    odd: over the levels of an odd state (FORMAT 7.9), 0 and those half an integer nearer to it, which cells lie around.
    """
    radius = min(max(1, int(np.ceil(4.2 * sigma))), (LIC_ROW_MAX - 2) // 2)
    edges = np.arange(-radius, radius + 2) - 0.5
    if odd:
        edges -= 0.5 * np.sign(edges)
        edges[[radius, radius + 1]] = -0.25, 0.25
    mass = np.diff(_ndtr(edges / sigma))
    return -radius, np.append(mass, max(0.0, 1.0 - mass.sum()))


def _ndtr(x: np.ndarray) -> np.ndarray:
    return torch.special.ndtr(torch.from_numpy(x)).numpy()
