"""Pillow's modes beside L, LA, RGB and RGBA, of which exact pictures keep the samples (FORMAT 3.1): the same samples
under another mode, and what an image of such a mode looks like.

Imports Pillow and container; ImageCms for LAB.
"""

from __future__ import annotations

from PIL import Image, features

from ..container.header import MODELS
from ..errors import LicBadOption

OTHERS = frozenset(MODELS.values())
BILEVEL = "1"

_STRIP = 1 << 20  # pixels that are in memory twice
_SEEN = {"1": "L", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB", "LAB": "RGB"}


def of_mode(image: Image.Image, mode: str | None) -> Image.Image:
    """An image of L, LA, RGB or RGBA as one of a mode with as many bands, of the same samples. None: as it is."""
    if mode is None or mode == image.mode:
        return image
    if mode == BILEVEL:
        return image.convert(BILEVEL, dither=Image.Dither.NONE)
    own = Image.new(mode, image.size, None)  # not filled
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        part = image.crop((0, top, image.width, min(top + rows, image.height)))
        own.paste(Image.frombytes(mode, part.size, part.tobytes()), (0, top))
    return own


def seen(image: Image.Image) -> Image.Image:
    """As what it looks like: L, LA, RGB or RGBA, by Pillow's conversions; LAB as sRGB. Other modes as they are. Raises
    LicBadOption for LAB where Pillow has no colour management.
    """
    mode = _SEEN.get(image.mode)
    if mode is None:
        return image
    if image.mode != "LAB":
        return image.convert(mode)
    if not features.check("littlecms2"):
        msg = "mode LAB: this Pillow has no LittleCMS to show its colours with; install one that has it"
        raise LicBadOption(msg)
    from PIL import ImageCms

    profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    shown = ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "LAB", "RGB"))
    assert shown is not None
    return shown
