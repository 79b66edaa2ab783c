"""What a file's pixels are made of, once they are decoded.

Imports Pillow and ground; numpy when an array is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..constants import LIC_DEPTH_MIN
from ..imports import imported
from . import depth as depths
from .order import ORDERS, turned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from ..container import Values


class Decoded(NamedTuple):
    """What a file's pixels are made of."""

    colour: Any  # uint8 (H, W, 3), of grey (H, W); a tensor of the device, with alpha, where the output is "torch"
    alpha: Image.Image | None  # of mode L
    notes: Sequence[str]  # what there is to warn of
    image: Image.Image | None = None  # all of them, in place of colour and alpha
    # Of more than 8 bits colour is uint16, alpha of mode I;16, and told what the samples are to become; of 32 colour is
    # float32 or int32, alpha among it.
    depth: int = LIC_DEPTH_MIN
    told: tuple[Values | None, str | None] = (None, None)  # what samples stand for, and the dtype
    mode: str | None = None  # Pillow's, where it does not follow from the bands (FORMAT 3.1)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.image.size if self.image is not None else (self.colour.shape[1], self.colour.shape[0])

    @property
    def bands(self) -> int:
        """Of colour and alpha."""
        if self.image is not None:
            return len(self.image.getbands())
        colour = 1 if len(self.colour.shape) == 2 else int(self.colour.shape[2])
        return colour + (self.alpha is not None)

    def array(self, order: str = ORDERS[0]) -> Any:
        """Colour and alpha in one."""
        return turned(self._array(), order)

    def _array(self) -> Any:
        if self.told == (None, None) or not (isinstance(self.colour, memoryview) or hasattr(self.colour, "astype")):
            return self.samples()
        colour, alpha = self._parts()
        return depths.told(colour, (1 << self.depth) - 1, *self.told, alpha)

    def samples(self) -> Any:
        """The same, numbers up to what the depth has."""
        return depths.joined(*self._parts())

    def _parts(self) -> tuple[Any, Any]:
        """Colour and, if it is not among it, alpha."""
        if self.image is None and not isinstance(self.colour, memoryview) and self.alpha is None:
            return self.colour, None
        imported("numpy")
        import numpy as np

        if self.image is not None:
            return np.array(self.image), None
        return np.asarray(self.colour), None if self.alpha is None else np.asarray(self.alpha)
