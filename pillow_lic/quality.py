"""Quality: the number that users give, the integer Q of a file (FORMAT 3), and what follows from it. The one home of
these rules.

Imports the standard library, constants, values and errors.
"""

from __future__ import annotations

from typing import Any

from . import values
from .constants import LIC_FRACTION_BITS, LIC_QUALITY_MAX, LIC_QUALITY_MIN, LIC_QUALITY_SCALE
from .errors import LicBadOption

DEFAULT = 75  # of everything that saves
_HALF = 1 << (LIC_FRACTION_BITS - 1)


def to_q(quality: Any) -> int:
    """The integer Q of FORMAT 3 for a quality from 0 to 100. Below 1 it is that of 1, since other formats begin at 0.

    Raises LicBadOption unless it is such a number.
    """
    value = values.real(quality)
    if not 0 <= value * LIC_QUALITY_SCALE <= LIC_QUALITY_MAX:  # also false for NaN
        msg = f"quality must be a number from 0 to 100, found {quality!r}"
        raise LicBadOption(msg)
    return max(LIC_QUALITY_MIN, int(value * LIC_QUALITY_SCALE + 0.5))


def from_q(q: int) -> float:
    """The quality that Q stands for, 1 to 100."""
    return q / LIC_QUALITY_SCALE


def q_between(span: tuple[int, int], asked: tuple[float, float], quality: float) -> int:
    """Q of a model whose lowest and highest Q, span, users ask for by two other numbers; linear between, ends beyond.

    So a model may serve the qualities from 0.1 to 1 with all of its Q.
    """
    (low, high), (least, most) = span, asked
    part = (float(quality) - least) / (most - least) if most > least else 1.0
    return low + round((high - low) * min(max(part, 0.0), 1.0))


def quality_between(span: tuple[int, int], asked: tuple[float, float], q: int) -> float:
    """The inverse of q_between, to ten-thousandths."""
    (low, high), (least, most) = span, asked
    return round(least + (most - least) * (q - low) / max(high - low, 1), 4)


def position(q: int) -> float:
    """t of FORMAT 8, from 0 at the lowest quality to 1 at the highest."""
    return (q - LIC_QUALITY_MIN) / (LIC_QUALITY_MAX - LIC_QUALITY_MIN)


def q_at(t: float) -> int:
    """The Q nearest to a position t: the inverse of `position`."""
    return round(LIC_QUALITY_MIN + (LIC_QUALITY_MAX - LIC_QUALITY_MIN) * t)


def lambda_at(bounds: tuple[float, float], q: int) -> float:
    """lambda at Q of an objective whose lambda goes geometrically from the first bound to the second (FORMAT 9.1)."""
    return float(geometric(bounds, position(q)))


def geometric(bounds: tuple[float, float], t: Any) -> Any:
    """Between two bounds at t, 0 to 1, a number or a tensor of them."""
    lowest, highest = bounds
    return lowest * (highest / lowest) ** t


def rate_point(q: int, points: int) -> tuple[int, int, int]:
    """p, f and nearest of FORMAT 7.1 for quality Q and P trained rates."""
    span = (q - LIC_QUALITY_MIN) * (points - 1) << LIC_FRACTION_BITS
    at = span // (LIC_QUALITY_MAX - LIC_QUALITY_MIN)
    p = min(at >> LIC_FRACTION_BITS, points - 2)
    return p, at - (p << LIC_FRACTION_BITS), (at + _HALF) >> LIC_FRACTION_BITS


def coarsest(q: int, points: int) -> int:
    """The lowest Q at which FORMAT 7.1 finds what it finds at Q, for P trained rates: some five steps share it."""
    parts = (points - 1) << LIC_FRACTION_BITS
    span = LIC_QUALITY_MAX - LIC_QUALITY_MIN
    return LIC_QUALITY_MIN - (-((q - LIC_QUALITY_MIN) * parts // span) * span // parts)


def lerp(a: Any, b: Any, f: int) -> Any:
    """lerp of FORMAT 7.1, of integers or arrays of int64."""
    return (a * ((1 << LIC_FRACTION_BITS) - f) + b * f + _HALF) >> LIC_FRACTION_BITS
