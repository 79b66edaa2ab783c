"""What an eye sees of a difference: PSNR-HVS and PSNR-HVS-M of luma, CIEDE2000 of colours. Imports NumPy."""

from __future__ import annotations

import math

import numpy as np

from .pictures import PEAK

# ---- PSNR-HVS and PSNR-HVS-M --------------------------------------------------------------------------------------

BLOCK = 8
# The table of ITU-T T.81, K.1, which both of the authors' tables follow from.
JPEG_LUMINANCE = np.array([
    [16, 11, 10, 16, 24, 40, 51, 61],
    [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77],
    [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101],
    [72, 92, 95, 98, 112, 100, 103, 99],
])  # fmt: skip
SENSITIVITY = 25.73509 / JPEG_LUMINANCE  # 1.608443 of the mean, to six digits as published
MASKING = (10 / JPEG_LUMINANCE) ** 2
MASKING_AC = np.where(np.arange(BLOCK * BLOCK).reshape(BLOCK, BLOCK) > 0, MASKING, 0)  # the mean masks nothing
COSINES = np.cos(np.pi / BLOCK * np.outer(np.arange(BLOCK), np.arange(BLOCK) + 0.5)) * np.sqrt(2 / BLOCK)
COSINES[0] /= np.sqrt(2)


def _blocks(x: np.ndarray) -> np.ndarray:
    """(N, 8, 8) of x (H, W)."""
    rows, columns = (side // BLOCK for side in x.shape)
    cut = x[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    return cut.transpose(0, 2, 1, 3).reshape(-1, BLOCK, BLOCK)


def _masked(blocks: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """(N,): how much a block hides. Less where an edge makes the variance, which its quarters then do not share."""
    energy = (coefficients**2 * MASKING_AC).sum((1, 2))
    half = BLOCK // 2
    quarters = blocks.reshape(-1, 2, half, 2, half).var((2, 4), ddof=1).sum((1, 2)) * half**2
    whole = blocks.var((1, 2), ddof=1) * BLOCK**2
    hidden: np.ndarray = np.sqrt(energy * np.divide(quarters, whole, out=np.zeros_like(whole), where=whole > 0)) / 32
    return hidden


def visible_errors(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Mean weighed squares of PSNR-HVS and PSNR-HVS-M, of luma (H, W), 0 to 255. NaN below a side of BLOCK."""
    if min(x.shape) < BLOCK:
        return math.nan, math.nan
    of_x, of_y = _blocks(x), _blocks(y)
    in_x, in_y = (COSINES @ blocks @ COSINES.T for blocks in (of_x, of_y))
    error = np.abs(in_x - in_y)
    hidden = np.maximum(_masked(of_x, in_x), _masked(of_y, in_y))[:, None, None] / MASKING
    hidden[:, 0, 0] = 0
    plain, masked = (part * SENSITIVITY for part in (error, np.maximum(error - hidden, 0)))
    return float(np.mean(plain**2)), float(np.mean(masked**2))


# ---- CIEDE2000 ----------------------------------------------------------------------------------------------------

# sRGB's primaries in linear light to XYZ (IEC 61966-2-1), and its white, D65
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = XYZ.sum(1)
FAR = 25.0**7


def lab(rgb: np.ndarray) -> np.ndarray:
    """(3, N) CIELAB of uint8 (H, W, 1 or 3)."""
    levels = np.arange(256) / PEAK
    light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    linear = np.broadcast_to(light[rgb], (*rgb.shape[:2], 3)).reshape(-1, 3)
    relative = (XYZ / WHITE[:, None]) @ linear.T
    x, y, z = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def colour_difference(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """CIEDE2000 (N,) of CIELAB (3, N); numbers are those of the paper's equations."""
    (l1, a1, b1), (l2, a2, b2) = one, two
    mean_c7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7  # 2, 3
    g = 0.5 * (1 - np.sqrt(mean_c7 / (mean_c7 + FAR)))  # 4
    a1, a2 = (1 + g) * a1, (1 + g) * a2  # 5
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)  # 6
    h1, h2 = (np.degrees(np.arctan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))  # 7
    grey = c1 * c2 == 0
    turn = np.where(grey, 0, (h2 - h1 + 180) % 360 - 180)  # 10
    turn = np.where((h2 - h1 == 180) & ~grey, 180, turn)
    d_l, d_c, d_h = l2 - l1, c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))  # 8, 9, 11
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2  # 12, 13
    total = h1 + h2
    far = np.abs(h1 - h2) > 180
    mean_h = np.where(grey, total, (total + np.where(far, np.where(total < 360, 360, -360), 0)) / 2)  # 14
    t = (
        1
        - 0.17 * np.cos(np.radians(mean_h - 30))
        + 0.24 * np.cos(np.radians(2 * mean_h))
        + 0.32 * np.cos(np.radians(3 * mean_h + 6))
        - 0.20 * np.cos(np.radians(4 * mean_h - 63))
    )  # 15
    r_t = (
        -np.sin(np.radians(60 * np.exp(-(((mean_h - 275) / 25) ** 2)))) * 2 * np.sqrt(mean_c**7 / (mean_c**7 + FAR))
    )  # 16, 17, 21
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)  # 18
    in_c, in_h = d_c / (1 + 0.045 * mean_c), d_h / (1 + 0.015 * mean_c * t)  # 19, 20
    squares = (d_l / s_l) ** 2 + in_c**2 + in_h**2 + r_t * in_c * in_h
    distance: np.ndarray = np.sqrt(np.maximum(squares, 0))  # 22
    return distance


def ciede2000(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over pixels of uint8 (H, W, 1 or 3)."""
    return float(colour_difference(lab(a), lab(b)).mean())
