"""Exact pictures of more than 8 bits: two overlays of 8, of the low and of the high bytes of their samples, or of what
is left of these where they are predicted (FORMAT 5.2).

Imports container, overlay and ground; numpy when a picture comes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..constants import LIC_DEPTH_MIN
from ..container import Planes
from ..container.overlay import PLAIN, PREDICTED, bands_of
from ..errors import LicCorruptChunk
from ..imports import imported
from . import overlay
from .depth import STRIP

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..container import Header, Rectangle


def pack(samples: NDArray[np.uint16], depth: int, effort: int) -> Planes:
    """uint16 (H, W, 1 to 4) of `depth` bits, the smaller of both ways. effort: as of overlay.pack."""
    from .. import entropy

    ways = (PLAIN, samples), (PREDICTED, entropy.predicted(samples, depth))
    return min((_packed(*way, effort) for way in ways), key=size)


def size(planes: Planes) -> int:
    """Bytes of data."""
    return sum(len(one.data) for one in (*planes.low, *planes.high))


def _packed(prediction: int, numbers: NDArray[np.uint16], effort: int) -> Planes:
    import numpy as np

    low, high = ((numbers >> shift).astype(np.uint8) for shift in (0, 8))
    packed = (tuple(overlay.pack(overlay.image_of(plane), 0, 0, effort)) for plane in (low, high))
    return Planes(prediction, *packed)


def unpack(planes: Planes, header: Header) -> NDArray[np.uint16]:
    """The samples (H, W, bands). header: that of the whole picture. Raises LicCorruptChunk, LicWebpMissing."""
    imported("numpy", "pillow_lic.entropy")
    import numpy as np

    from .. import entropy

    numbers = np.zeros((header.height, header.width, bands_of(header)), np.uint16)
    for rectangles, shift in ((planes.low, 0), (planes.high, 8)):
        add(numbers, rectangles, header, shift)
    if planes.prediction == PREDICTED:
        entropy.restore(numbers, header.depth)
        return numbers
    if numbers.max() > header.most:
        msg = f"the picture has samples of more than {header.depth} bits; the file is damaged, fetch it again"
        raise LicCorruptChunk(msg)
    return numbers


def add(numbers: NDArray[Any], rectangles: tuple[Rectangle, ...], header: Header, shift: int) -> None:
    """The bytes of an overlay to numbers (H, W, bands), uint16 or uint32, some rows at a time."""
    import numpy as np

    image = overlay.whole(rectangles, replace(header, depth=LIC_DEPTH_MIN))
    rows = max(1, STRIP // numbers[0].size)
    for top in range(0, header.height, rows):
        part = numbers[top : top + rows]
        found = np.asarray(image.crop((0, top, header.width, top + len(part)))).reshape(part.shape)
        part |= found.astype(part.dtype) << part.dtype.type(shift)
