"""What a residual kind is, and what kinds share: scales and rows of normals.

Imports numpy and torch; of pillow_lic constants and entropy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from pillow_lic.constants import LIC_ROW_MAX
from train.layers import ROWS, SIGMA_MAX, SIGMA_MIN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pillow_lic.entropy import Tables

UNIT = np.log(SIGMA_MAX / SIGMA_MIN) / (ROWS - 1)  # log sigma from one scale row to the next
SCALE = np.array([1 / UNIT, -np.log(SIGMA_MIN) / UNIT])  # of a plane of log sigma

Row = tuple[int, np.ndarray]  # its first value, and the probabilities of its values, the tails as last entry
Symbols = tuple[np.ndarray, np.ndarray]


class Residual(Protocol):
    """A kind. `unit`: of r in an exported model, in steps of training. `plain`: rows from the first on that may be left
    uncoded.
    """

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], latent: int) -> Residual | None:
        """That of an exported model's arrays and latent channels, if they are of this kind."""

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
    mass = np.diff(ndtr(edges / sigma))
    return -radius, np.append(mass, max(0.0, 1.0 - mass.sum()))


def ndtr(x: np.ndarray) -> np.ndarray:
    return torch.special.ndtr(torch.from_numpy(x)).numpy()
