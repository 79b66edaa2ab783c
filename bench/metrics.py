"""Measures of pillow_lic.metrics, of 8-bit RGB images, and BD-rate, which is the bjontegaard package's (PCHIP)."""

import math

import numpy as np

from pillow_lic.metrics import decibel, ms_ssim, psnr, ssim, ssimulacra2  # noqa: F401  for bench scripts


def clean(curve):
    """The points of [(rate, quality)] that rise in both, sorted by rate, as two arrays."""
    rising = []
    for rate, value in sorted(curve):
        if math.isfinite(value) and (not rising or (rate > rising[-1][0] and value > rising[-1][1])):
            rising.append((rate, value))
    return np.array(rising).reshape(-1, 2).T


def bd_rate(anchor, test, rates=None, values=None):
    """Mean rate difference in percent of curve `test` against `anchor`, both [(rate, quality)], over their common
    quality.

    `rates` = (low, high) restricts it to the quality that the anchor reaches between these rates, `values` = (low,
    high) to the quality between these. NaN without an overlap, or with less than half of what was asked for. More
    quality must be a larger number.
    """
    import bjontegaard

    (anchor_rate, anchor_value), (test_rate, test_value) = clean(anchor), clean(test)
    if min(len(anchor_rate), len(test_rate)) < 3:
        return math.nan
    low, high = max(anchor_value[0], test_value[0]), min(anchor_value[-1], test_value[-1])
    if rates or values:
        ends = np.interp(np.log(rates), np.log(anchor_rate), anchor_value) if rates else values
        low, high = max(low, ends[0]), min(high, ends[1])
        if high - low < (ends[1] - ends[0]) / 2:
            return math.nan  # the curves share less than half of it
        anchor_rate, anchor_value = between(anchor_rate, anchor_value, low, high)
        test_rate, test_value = between(test_rate, test_value, low, high)
    if low >= high:
        return math.nan
    return float(
        bjontegaard.bd_rate(
            anchor_rate,
            anchor_value,
            test_rate,
            test_value,
            method="pchip",
            require_matching_points=False,
            min_overlap=0,
        )
    )


def between(rate, value, low, high, points=100):
    """A curve's part between two qualities, resampled by PCHIP in log rate."""
    from scipy.interpolate import PchipInterpolator

    grid = np.linspace(low, high, points)
    return np.exp(PchipInterpolator(value, np.log(rate))(grid)), grid
