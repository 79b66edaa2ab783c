"""The noise of a second synthesis (FORMAT 8.5). csrc/nn/noise.h has the same for the native engine.

Imports numpy and constants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...constants import (
    LIC_NOISE_CHANNELS,
    LIC_NOISE_COLUMN,
    LIC_NOISE_MIX_1,
    LIC_NOISE_MIX_2,
    LIC_NOISE_ROW,
    LIC_NOISE_WORD,
)
from .exchange import NOISE_ONE

if TYPE_CHECKING:
    from numpy.typing import NDArray


def noise(seed: int, corner: tuple[int, int], grid: tuple[int, int]) -> NDArray[np.float32]:
    """That of FORMAT 8.5 (LIC_NOISE_CHANNELS, 2h, 2w), in units of about its standard deviation, over a part (h, w) of
    a picture's latent grid whose first row and column are `corner`.
    """
    rows, columns = (
        np.arange(2 * first, 2 * (first + sides), dtype=np.uint32) for first, sides in zip(corner, grid, strict=True)
    )
    words = np.arange(LIC_NOISE_CHANNELS // 4, dtype=np.uint32) * np.uint32(LIC_NOISE_WORD)
    at = rows[:, None] * np.uint32(LIC_NOISE_ROW) + columns * np.uint32(LIC_NOISE_COLUMN) + np.uint32(seed)
    word = words[:, None, None] + at
    word = (word ^ (word >> np.uint32(16))) * np.uint32(LIC_NOISE_MIX_1)
    word = (word ^ (word >> np.uint32(15))) * np.uint32(LIC_NOISE_MIX_2)
    word = word ^ (word >> np.uint32(16))
    found = np.stack([word >> np.uint32(shift) & np.uint32(255) for shift in (0, 8, 16, 24)], 1)
    return (found.reshape(LIC_NOISE_CHANNELS, *at.shape).astype(np.float32) - np.float32(128)) / np.float32(NOISE_ONE)
