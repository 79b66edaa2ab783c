"""G(x) and rho of mixtures by the words of FORMAT 7.8, of many positions at once: the NumPy twin of csrc/lic_cdf.h.

int64 throughout: no product passes 2^44, so that nothing is rounded and nothing wraps around.
"""

from __future__ import annotations

import math

import numpy as np

from pillow_lic.constants import LIC_NORMAL_STEPS


def normal() -> np.ndarray:
    """As train/residuals/mixture.py: the normal distribution up to 4.25 deviations, its upper half in 16 bits."""
    values = [round(65536 * 0.5 * math.erf(4.25 * i / LIC_NORMAL_STEPS / 2**0.5)) for i in range(LIC_NORMAL_STEPS)]
    return np.array([*values, 32768], np.uint16)


def below(planes: np.ndarray, inverse: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """G(x) and rho (n,) of planes (3 K, n) uint8, the table of inverse scales and symbols x (n,)."""
    table = normal().astype(np.int64)
    components = len(planes) // 3
    b = planes.astype(np.int64)
    one = inverse.astype(np.int64)[np.minimum(b[:components], len(inverse) - 1)]
    offset = b[components : 2 * components] - 128
    a = np.maximum(b[2 * components :], 1)
    weight = a * 65535 // a.sum(0)
    weight[0] = 65535 - weight[1:].sum(0)
    end = -(-(1 << 24) // one)
    rho = np.maximum(4, ((end + 23) // 16 + (np.abs(offset) + 15) // 16).max(0))
    x = np.clip(x.astype(np.int64), -rho, rho + 1)
    d = 16 * x - 8 - offset
    t = np.abs(d) * one
    far = np.abs(d) >= end
    i, f = np.where(far, 0, t >> 16), (t >> 8) & 255
    v = np.where(far, 32768, table[i] + ((table[i + 1] - table[i]) * f >> 8))
    total = (np.where(d < 0, 32768 - v, np.minimum(32768 + v, 65535)) * weight >> 16).sum(0)
    return (total * (65534 - 2 * rho) >> 16) + x + rho, rho
