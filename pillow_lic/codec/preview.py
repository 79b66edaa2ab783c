"""The preview of a file: a small picture of it, as another format's file (FORMAT 4.2).

Imports Pillow and container; overlay's way to Pillow's plugins when one is made, a plugin when it is needed.
"""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, features

from .. import values
from ..constants import LIC_PREVIEW_MAX
from ..container import Preview
from ..errors import LicBadOption

SIDE = 512  # pixels of the longer side, unless it is said
LEAST = 16
QUALITY = 75


def checked(preview: Any) -> int:
    """The longer side that the option states, 0 for no preview. Raises LicBadOption."""
    if preview is None:
        return 0
    side = values.whole(preview)
    if side is None:
        return SIDE if values.switch("preview", preview) else 0
    if not LEAST <= side <= LIC_PREVIEW_MAX:
        what = f"True, False or the longer side in pixels, {LEAST} to {LIC_PREVIEW_MAX}"
        msg = f"preview must be {what}, found {preview!r}"
        raise LicBadOption(msg)
    return side


def made(image: Image.Image, side: int) -> Preview | None:
    """Of a picture of L, LA, RGB or RGBA, WebP where Pillow has it, else JPEG without alpha; None where the picture is
    no larger itself, or where there is no format that holds it.
    """
    from .alpha import packed

    if max(image.size) <= side:
        return None
    image = image.copy()
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    if features.check("webp"):
        from PIL import WebPImagePlugin

        image = image.convert("RGBA" if image.mode == "LA" else image.mode)
        return Preview("WEBP", *image.size, packed(image, WebPImagePlugin, quality=QUALITY, method=4))
    if image.mode not in ("L", "RGB"):
        return None
    from PIL import JpegImagePlugin

    return Preview("JPEG", *image.size, packed(image, JpegImagePlugin, quality=QUALITY))


def shown(preview: Preview, mode: str) -> Image.Image | None:
    """A preview's picture in a file's mode; None for one that is damaged, is not as large as it says, or has no alpha
    where the file has.
    """
    if preview.kind == "JPEG" and mode in ("LA", "RGBA"):
        return None
    if preview.kind == "WEBP" and not features.check("webp"):
        return None
    try:
        with _opened(preview) as image:
            return None if image.size != (preview.width, preview.height) else image.convert(mode)
    except (OSError, SyntaxError, ValueError):  # what Pillow's readers make of damaged data
        return None


def _opened(preview: Preview) -> Image.Image:
    if preview.kind == "JPEG":
        from PIL import JpegImagePlugin

        return JpegImagePlugin.JpegImageFile(io.BytesIO(preview.data))
    from PIL import WebPImagePlugin

    return WebPImagePlugin.WebPImageFile(io.BytesIO(preview.data))
