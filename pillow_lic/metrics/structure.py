"""Structure against structure: SSIM and MS-SSIM of a channel, GMSD, and the normalised Laplacian pyramid of luma.

Imports NumPy. Arrays are float64 (H, W), 0 to 255.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from .pictures import PEAK

if TYPE_CHECKING:
    from collections.abc import Iterator

# ---- SSIM and MS-SSIM ---------------------------------------------------------------------------------------------

WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the five scales, finest first
MS_SSIM_SIDE_MIN = (WINDOW - 1) * 2 ** (len(EXPONENTS) - 1) + 1
TAPS = np.exp(-0.5 * ((np.arange(WINDOW) - WINDOW // 2) / SIGMA) ** 2)
TAPS /= TAPS.sum()


def _blur(x: np.ndarray) -> np.ndarray:
    """Weighed means (H - 10, W - 10) of all whole windows of x (H, W)."""
    for _ in range(2):  # along the rows of x, then of its transpose
        length = x.shape[0] - WINDOW + 1
        x = sum(
            tap * (x[k : k + length] + x[WINDOW - 1 - k :][:length]) for k, tap in enumerate(TAPS[: WINDOW // 2])
        ) + (TAPS[WINDOW // 2] * x[WINDOW // 2 :][:length])
        x = np.ascontiguousarray(x.T)
    return x


def similarity(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Means of SSIM and of its contrast-structure part, of one channel."""
    mean_x, mean_y = _blur(x), _blur(y)
    both, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    structure = (2 * (_blur(x * y) - both) + C2) / (_blur(x * x + y * y) - squares + C2)
    return float(((2 * both + C1) / (squares + C1) * structure).mean()), float(structure.mean())


def halved(x: np.ndarray) -> np.ndarray:
    """Means of 2 x 2, an odd side with a row of zeros first."""
    x = np.pad(x, [(side % 2, 0) for side in x.shape])
    half: np.ndarray = (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4
    return half


# ---- GMSD ---------------------------------------------------------------------------------------------------------

GMSD_C = 170.0


def _gradient(x: np.ndarray) -> np.ndarray:
    """Magnitudes by Prewitt's filters, zeros around the picture."""
    x = np.pad(x, 1)
    down, across = x[2:] - x[:-2], x[:, 2:] - x[:, :-2]
    down = down[:, :-2] + down[:, 1:-1] + down[:, 2:]
    across = across[:-2] + across[1:-1] + across[2:]
    size: np.ndarray = np.hypot(down, across) / 3
    return size


def gmsd(x: np.ndarray, y: np.ndarray) -> float:
    """Of luma (H, W). NaN below a side of 4."""
    if min(x.shape) < 4:
        return math.nan
    halves = []
    for one in (x, y):
        padded = np.pad(one, [(0, side % 2) for side in one.shape])
        halves.append((padded[::2, ::2] + padded[1::2, ::2] + padded[::2, 1::2] + padded[1::2, 1::2]) / 4)
    left, right = map(_gradient, halves)
    return float(((2 * left * right + GMSD_C) / (left**2 + right**2 + GMSD_C)).std(ddof=1))


# ---- NLPD ---------------------------------------------------------------------------------------------------------

PYRAMID = (0.05, 0.25, 0.4, 0.25, 0.05)  # Burt and Adelson 1983
# Of each band: sigma, and the weights of a coefficient's neighbours (rows below, columns to the right: weight) in what
# it is divided by
NORMALISED_BY = (
    (0.0248, {(-1, 0): 0.1015, (1, 0): 0.1011, (0, 1): 0.1493, (0, -1): 0.1460, (0, -2): 0.0072}),
    (0.0185, {(-1, 0): 0.0837, (1, 0): 0.0757, (0, 1): 0.1986, (0, -1): 0.1846}),
    (0.0179, {(-1, 0): 0.0467, (1, 0): 0.0477, (0, 1): 0.2138, (0, -1): 0.2243}),
    (0.0191, {(0, 1): 0.2503, (0, -1): 0.2616}),
    (0.0220, {(0, 1): 0.2598, (0, -1): 0.2552}),
    (0.2782, {(0, 1): 0.2215, (0, -1): 0.0717}),
)
NLPD_SIDE_MIN = 2 ** (len(NORMALISED_BY) - 1)


def _smoothed(x: np.ndarray, border: Literal["constant", "symmetric"] = "constant") -> np.ndarray:
    """x by the pyramid's filter in both directions. border: what lies around it, as np.pad calls it."""
    for _ in range(2):
        padded = np.pad(x, ((2, 2), (0, 0)), mode=border)
        x = np.asarray(sum(tap * padded[k : k + len(x)] for k, tap in enumerate(PYRAMID))).T
    return x


def _doubled(x: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """x at twice its sides, cut to shape: zeros between its samples, then the filter."""
    x = np.pad(x, 1, mode="edge")
    spread = np.zeros([2 * side for side in x.shape])
    spread[::2, ::2] = 4 * x
    return _smoothed(spread)[2 : 2 + shape[0], 2 : 2 + shape[1]]


def _normalised_bands(x: np.ndarray) -> Iterator[np.ndarray]:
    """The pyramid's bands, finest first, each divided by what surrounds a coefficient."""
    for number, (sigma, neighbours) in enumerate(NORMALISED_BY, 1):
        band = x
        if number < len(NORMALISED_BY):
            x = _smoothed(x, "symmetric")[::2, ::2]
            band = band - _doubled(x, band.shape)
        size = np.pad(np.abs(band), 2)
        height, width = band.shape
        around = sum(w * size[2 + r : 2 + r + height, 2 + c : 2 + c + width] for (r, c), w in neighbours.items())
        yield band / (sigma + around)


def nlpd(x: np.ndarray, y: np.ndarray) -> float:
    """Of luma (H, W). NaN below a side of NLPD_SIDE_MIN."""
    if min(x.shape) < NLPD_SIDE_MIN:
        return math.nan
    both = zip(*(_normalised_bands(one / PEAK) for one in (x, y)))
    return float(np.mean([np.sqrt(np.mean((one - two) ** 2)) for one, two in both]))
