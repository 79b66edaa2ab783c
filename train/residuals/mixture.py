"""Symbols under mixtures of normals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pillow_lic.constants import (
    LIC_INVERSE_MAX,
    LIC_INVERSE_MIN,
    LIC_NORMAL_ARGUMENT_BITS,
    LIC_NORMAL_STEPS,
    LIC_OFFSET_ONE,
    LIC_OFFSET_ZERO,
    LIC_PROB_BITS,
)
from pillow_lic.entropy import CELL, PLANES
from train.residuals.kind import SCALE, ndtr, scale_grid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pillow_lic.entropy import Tables
    from train.residuals.kind import Row, Symbols

WEIGHT_UNIT = 1 / 32  # the byte a of FORMAT 7.8 counts the unnormalised weight in this
NORMAL_END = 4.25  # standard deviations at which the tabulated normal ends


@dataclass(frozen=True)
class Mixture:
    """Symbols under mixtures of normals (FORMAT 7.8)."""

    components: int
    unit = 1.0
    plain = 0

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], latent: int) -> Mixture | None:
        return cls(len(arrays["weight"]) // (CELL * PLANES * latent)) if "normal" in arrays else None

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
        normal = np.append(((ndtr(edge) - 0.5) * 2 * half).round(), half).astype(np.uint16)
        inverse = (1 << LIC_NORMAL_ARGUMENT_BITS) / (NORMAL_END * LIC_OFFSET_ONE * scale_grid())
        return {"normal": normal, "inverse": inverse.round().clip(LIC_INVERSE_MIN, LIC_INVERSE_MAX).astype(np.uint32)}

    def symbols(self, tables: Tables, r: np.ndarray, index: np.ndarray) -> Symbols:
        msg = "mixtures have no rows to count symbols under"
        raise ValueError(msg)
