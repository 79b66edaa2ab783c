"""Pictures as plain files of half their size a side, which `enhance` brings back (docs/guide/compact.md).

Imports Pillow and errors.
"""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from .. import values
from ..errors import LicBadOption
from . import marker, tables

QUALITY = 30
FORMATS = ("JPEG", "WEBP", "AVIF")
_CONVERTED = {"1": "L", "P": "RGB", "YCbCr": "RGB"}


def compact(image: Image.Image, *, quality: int = QUALITY, format: str = "JPEG") -> bytes:
    """A plain file of half the width and height, rounded up, that any viewer shows; `enhance` makes the original's size
    of it again.

    quality: 1 to 100; of a JPEG it scales quantisation tables that are flatter, and finer for chroma, than the usual
    ones, by libjpeg's rule. format: JPEG, WEBP or AVIF, as Pillow writes them. The ICC profile, EXIF and resolution go
    along; a comment, or XMP, says the original's size. Modes 1, L, P, RGB and YCbCr.
    Raises LicBadOption for other modes and options, for transparency, which is to be flattened first, and for what the
    format cannot hold.
    """
    kind = format.upper() if isinstance(format, str) else format
    if kind not in FORMATS:
        msg = f"format is {format!r}, want one of {', '.join(FORMATS)}"
        raise LicBadOption(msg)
    level = values.whole(quality)
    if level is None or not 1 <= level <= 100:
        msg = f"quality is {quality!r}, want a whole number from 1 to 100"
        raise LicBadOption(msg)
    small = _halved(_opaque(image))
    options: dict[str, Any] = {key: image.info[key] for key in marker.KEPT if image.info.get(key)}
    options |= marker.options(kind, image.size)
    if kind == "JPEG":
        options |= {"qtables": tables.tables_of(level), "subsampling": 2, "optimize": True}
        if small.mode == "L":
            options["qtables"] = options["qtables"][:1]
    else:
        options["quality"] = level
    file = io.BytesIO()
    small.info = {}  # nothing but what is named
    try:
        small.save(file, kind, **options)
    except (OSError, ValueError, KeyError) as error:
        msg = f"{kind} cannot be written ({error}); another format may do"
        raise LicBadOption(msg) from error
    return file.getvalue()


def _opaque(image: Image.Image) -> Image.Image:
    """L or RGB. Raises LicBadOption."""
    if not isinstance(image, Image.Image):
        msg = f"compact takes an image of Pillow, found {type(image).__name__}"
        raise LicBadOption(msg)
    if not image.width or not image.height:
        msg = f"the image is {image.width} x {image.height}: it has no pixels"
        raise LicBadOption(msg)
    if image.has_transparency_data:
        msg = f"a compact file has no transparency, the image ({image.mode}) has; flatten it, or save a .lic"
        raise LicBadOption(msg)
    wanted = _CONVERTED.get(image.mode, image.mode)
    if wanted not in ("L", "RGB"):
        msg = f"mode {image.mode} is not taken; image.convert('RGB') or image.convert('L') is"
        raise LicBadOption(msg)
    return image if image.mode == wanted else image.convert(wanted)


def _halved(image: Image.Image) -> Image.Image:
    """At exactly half the scale; of odd sides the last row or column counts twice."""
    width, height = image.size
    small = marker.half(image.size)
    even = 2 * small[0], 2 * small[1]
    if even != image.size:
        padded = Image.new(image.mode, even)
        padded.paste(image, (0, 0))
        if even[0] > width:
            padded.paste(padded.crop((width - 1, 0, width, even[1])), (width, 0))
        if even[1] > height:
            padded.paste(padded.crop((0, height - 1, even[0], height)), (0, height))
        image = padded
    return image.resize(small, Image.Resampling.LANCZOS)
