"""Takes out of a decoded JPEG what compression put in. Imports Pillow."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from PIL import Image

from . import network, source

if TYPE_CHECKING:
    import os

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
    better = Image.frombytes("L" if jpeg.bands == 1 else "RGB", jpeg.size, network.enhanced(jpeg))
    better.info = {key: info[key] for key in KEPT if key in info}
    return better
