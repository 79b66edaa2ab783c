"""Takes out of a decoded JPEG what compression put in. Imports Pillow and numpy."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from PIL import Image

from . import network, source
from .blocks import projected

if TYPE_CHECKING:
    import os

    import numpy as np
    from numpy.typing import NDArray

KEPT = ("icc_profile", "exif", "dpi")  # of what Pillow tells of the file, that the result has as well


def enhance(image: Image.Image | str | os.PathLike[str] | bytes | IO[bytes]) -> Image.Image:
    """A JPEG with less of what compression put in, as an image of Pillow, L or RGB, of the same size.

    image: a JPEG as Pillow opened it, its path, its bytes or a binary file. A network that knows the file's own
    quantisation tables says what is missing; each coefficient of luma, and of chroma that is not subsampled, then stays
    in the cell to which the file quantised it, so what comes back says nothing that the file contradicts, but for
    rounding. The ICC profile and EXIF go along in `info`.
    Raises LicBadOption for what is no JPEG or was changed since it was opened, LicTruncated for one that breaks off.
    """
    jpeg, info = source.read(image)
    better = Image.fromarray(_samples(jpeg))
    better.info = {key: info[key] for key in KEPT if key in info}
    return better


def _samples(jpeg: source.Jpeg) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3)."""
    change = network.shipped().change(jpeg.planes, jpeg.tables, jpeg.flags)
    sure = 1 if jpeg.grey or jpeg.halved else 3  # planes whose coefficients are known
    for plane in range(sure):
        change[plane] = projected(jpeg.planes[plane], change[plane], jpeg.tables[min(plane, 1)])
    width, height = jpeg.size
    planes = (jpeg.planes + change)[:, :height, :width]
    if jpeg.grey:
        return source.to_grey(planes)
    return source.to_rgb(planes)
