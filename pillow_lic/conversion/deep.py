"""Colour of more than 8 bits from PNG and TIFF, of which Pillow shows 8, and back.

Pillow decodes these files and drops the low byte of each sample. Asked for samples of the other byte order it drops the
high one: two passes give both. Imports Pillow; numpy when a picture comes.
"""

from __future__ import annotations

import functools
import sys
from typing import IO, TYPE_CHECKING, Any

from PIL import Image

from ..imports import imported
from . import png, tiff

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMATS = ("PNG", "TIFF")  # into which colour of more than 8 bits is written

_DEEP = ";16"  # in what Pillow calls samples of two bytes
_BANDS = ("RGB", "RGBA", "RGBX")
# What takes the other byte: big-endian, little-endian and, where libtiff has read, this machine's order.
_OTHER = {
    f"{bands};16{order}": f"{bands};16{other}"
    for bands in _BANDS
    for order, other in ("BL", "LB", "NB" if sys.byteorder == "little" else "NL")
}
_GREY_ALPHA = "LA;16B"  # grey with alpha, which is read as four bands of 8


def shown_in_8(image: Image.Image) -> bool:
    """Whether an image, its header read, is colour of more bits than Pillow shows of it."""
    return image.mode not in ("I", "F") and not image.mode.startswith("I;16") and _DEEP in _raw(image)


def colour(image: Any) -> NDArray[np.uint16] | None:
    """(H, W, 2 to 4) of an image whose header is read; None where that is not known to Pillow. What is transparent, as
    PNG states a colour, by its alpha. The image is loaded afterwards. Raises what Pillow raises.
    """
    raw = _raw(image)
    if not shown_in_8(image) or not (raw == _GREY_ALPHA or (raw in _OTHER and _is_split())):
        return None
    imported("numpy")
    import numpy as np

    if raw == _GREY_ALPHA:
        found = np.asarray(_again(image, "RGBA")).view(">u2").astype(np.uint16)
        image.load()
        return found
    low = np.asarray(_again(image, _OTHER[raw]))
    image.load()
    high = np.asarray(image)
    found = high.astype(np.uint16) << np.uint16(8) | low
    key = image.info.get("transparency")
    if found.shape[2] == 3 and isinstance(key, tuple):
        seen = (found != np.array(key, np.uint16)).any(axis=2)
        found = np.dstack([found, np.where(seen, 65535, 0).astype(np.uint16)])
    return found


def write(target: IO[bytes], samples: NDArray[Any], format: str, **options: Any) -> None:
    """A PNG of uint16 samples, or a TIFF of uint16, int32 or float32 ones (H, W, 2 to 4). options: as of save()."""
    {"PNG": png.write, "TIFF": tiff.write}[format](target, samples, **options)


def _raw(image: Any) -> str:
    """What Pillow calls the samples of the file."""
    if image.format not in FORMATS or not getattr(image, "tile", None):
        return ""
    found = image.tile[0].args
    found = found[0] if isinstance(found, tuple) else found
    return found if isinstance(found, str) else ""


def _again(image: Any, raw: str) -> Image.Image:
    """The same file once more, its samples taken for others."""
    image.fp.seek(0)
    twin: Any = Image.open(image.fp, formats=[image.format])
    twin.tile = [one._replace(args=(raw, *one.args[1:]) if isinstance(one.args, tuple) else raw) for one in twin.tile]
    twin.load()
    return twin  # type: ignore[no-any-return]


@functools.cache
def _is_split() -> bool:
    """Whether this Pillow takes the bytes of samples as is supposed here."""
    for name in _BANDS:
        numbers, bands = bytes(range(2 * len(name))), name.replace("X", "")
        taken = [Image.frombytes(bands, (1, 1), numbers, "raw", f"{name};16{order}").tobytes() for order in "BL"]
        if taken != [numbers[first : 2 * len(bands) : 2] for first in (0, 1)]:
            return False
    return True
