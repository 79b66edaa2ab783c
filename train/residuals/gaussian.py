"""Symbols under zero-mean Gaussians: rows of the bank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from train.layers import ROWS
from train.residuals.kind import SCALE, gaussian_row, scale_grid

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from pillow_lic.entropy import Tables
    from train.residuals.kind import Row, Symbols


@dataclass(frozen=True)
class Gaussian:
    """Symbols under zero-mean Gaussians (FORMAT 7.3)."""

    unit = 1.0
    plain = ROWS

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], latent: int) -> Gaussian | None:
        return cls()

    def planes(self) -> np.ndarray:
        return SCALE[None]

    def rows(self) -> list[Row]:
        return [gaussian_row(sigma) for sigma in scale_grid()]

    def tables(self) -> dict[str, np.ndarray]:
        return {}

    def symbols(self, tables: Tables, r: np.ndarray, index: np.ndarray) -> Symbols:
        return r, index
