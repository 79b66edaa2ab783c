"""Takes out of a decoded JPEG what compression put in, and brings a compact one back to size. Imports Pillow."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from PIL import Image

from .. import limits
from ..errors import LicBadOption, LicLimitExceeded
from . import marker, network, source

if TYPE_CHECKING:
    import os


def enhance(
    image: Image.Image | str | os.PathLike[str] | bytes | IO[bytes], *, scale: int | None = None
) -> Image.Image:
    """A JPEG with less of what compression put in, as an image of Pillow, L or RGB.

    image: a JPEG as Pillow opened it, its path, its bytes or a binary file. A network that knows the file's own
    quantisation tables says what is missing. scale: 1 for the same size; each coefficient of luma, and of chroma that
    is not subsampled, then stays in the cell to which the file quantised it, so what comes back says nothing that the
    file contradicts, but for rounding. 2 for twice the width and height, by another network. None: what `compact` made,
    JPEG, WebP or AVIF, comes back at the size of its original, every other JPEG at its own. The ICC profile and EXIF go
    along in `info`.
    Raises LicBadOption for what is no JPEG or was changed since it was opened, and for other scales, LicTruncated for a
    file that breaks off, LicLimitExceeded for results that set_limits forbids.
    """
    if scale not in (None, 1, 2) or isinstance(scale, bool):
        msg = f"scale is {scale!r}, want 1, 2 or None"
        raise LicBadOption(msg)
    if isinstance(image, Image.Image):
        return _enhanced(image, scale)
    with source.opened(image) as opened:
        return _enhanced(opened, scale)


def _enhanced(opened: Image.Image, scale: int | None) -> Image.Image:
    size = marker.original(opened.info, opened.size) if scale is None else None
    if scale == 2:
        size = opened.size[0] * 2, opened.size[1] * 2
    if size is None:
        found = source.described(opened)
        better = Image.frombytes("L" if found.bands == 1 else "RGB", found.size, network.enhanced(found))
    else:
        _check_size(size)
        found = source.described(opened, others=True)
        better = Image.frombytes("L" if found.bands == 1 else "RGB", size, network.enlarged(found, size))
    better.info = {key: opened.info[key] for key in marker.KEPT if key in opened.info}
    return better


def _check_size(size: tuple[int, int]) -> None:
    """Raises LicLimitExceeded."""
    ceiling = limits.current().ceiling(Image.MAX_IMAGE_PIXELS)
    if ceiling is not None and size[0] * size[1] > ceiling:
        msg = f"the result has {size[0]} x {size[1]} pixels, {ceiling:.0f} are allowed; scale=1 keeps the size of the "
        msg += "file, set_limits(pixels=...) allows more"
        raise LicLimitExceeded(msg)
