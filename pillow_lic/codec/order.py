"""The order of the colours in an array: red first, or blue first, as OpenCV has them. NumPy or PyTorch come with the
pixels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import values

ORDERS = ("rgb", "bgr")
SWAPPED = [2, 1, 0, 3]


class Order(NamedTuple):
    """The keyword, for signatures."""

    order: str = ORDERS[0]


def checked(order: Any) -> str:
    """Raises LicBadOption."""
    return values.one_of("order", order, ORDERS)


def turned(pixels: Any, order: str) -> Any:
    """From red first to an order, or back: a copy where it is another. Grey has none."""
    if order == ORDERS[0] or getattr(pixels, "ndim", 0) != 3 or pixels.shape[2] < 3:
        return pixels
    swapped = pixels[:, :, SWAPPED[: pixels.shape[2]]]
    if hasattr(swapped, "contiguous"):  # PyTorch's
        return swapped.contiguous()
    import numpy as np

    return np.ascontiguousarray(swapped)
