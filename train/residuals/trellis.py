"""Levels of dependent quantisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pillow_lic.constants import LIC_LEVEL_PLAIN, LIC_LEVEL_TRELLIS
from train.residuals.kind import SCALE, gaussian_row, scale_grid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pillow_lic.entropy import Tables
    from train.residuals.kind import Row, Symbols

# The unit of r in an exported model with a trellis, where training has steps of 1: levels of the trellis are 1.3 apart,
# others 0.975 (FORMAT 7.9).
LEVEL_STEP = 0.325


@dataclass(frozen=True)
class Trellis:
    """Levels of dependent quantisation from the scale index `first` on (FORMAT 7.9)."""

    first: int
    unit = LEVEL_STEP

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], latent: int) -> Trellis | None:
        return cls(int(arrays["trellis"][0])) if "trellis" in arrays else None

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
