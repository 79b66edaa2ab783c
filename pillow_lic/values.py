"""What options may be: names, switches and numbers, NumPy's scalars among them. The one home of these checks.

Imports the standard library and errors.
"""

from __future__ import annotations

import math
import numbers
from typing import TYPE_CHECKING, Any

from .errors import LicBadOption

if TYPE_CHECKING:
    from collections.abc import Iterable


def one_of(name: str, value: Any, allowed: Iterable[str], beside: str = "") -> str:
    """A text among others. beside: what may stand there too, for the message. Raises LicBadOption."""
    if not isinstance(value, str) or value not in allowed:
        msg = f"{name} must be one of {', '.join(map(repr, allowed))}{beside}, found {value!r}"
        raise LicBadOption(msg)
    return value


def switch(name: str, value: Any) -> bool:
    """True or False, or 1 or 0. Raises LicBadOption."""
    plain = value.item() if getattr(value, "shape", None) == () else value  # NumPy's bool is no number
    if not isinstance(plain, numbers.Integral) or plain not in (0, 1):
        msg = f"{name} must be True or False, found {value!r}"
        raise LicBadOption(msg)
    return bool(plain)


def whole(value: Any) -> int | None:
    """A whole number, None for what is none."""
    return None if isinstance(value, bool) or not isinstance(value, numbers.Integral) else int(value)


def real(value: Any) -> float:
    """A number, infinite where it is larger than any float; NaN for what is none."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return math.nan
    try:
        return float(value)  # NumPy's small integers would wrap around
    except OverflowError:
        return math.inf if value == abs(value) else -math.inf
