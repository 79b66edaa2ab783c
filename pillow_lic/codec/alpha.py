"""The alpha plane: exact, a constant or a grey PNG made and read by Pillow (FORMAT 5).

Imports Pillow and ground; numpy nowhere: planes come as arrays, and leave as Pillow's images.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image, PngImagePlugin

from ..container import ALPHA_CONSTANT, ALPHA_PNG
from ..errors import LicCorruptChunk, LicUnsupportedVersion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OPAQUE = 255
SMALL = 1 << 22  # pixels; what is larger is deflated once, not with every strategy


def pack(plane: NDArray[np.uint8]) -> bytes:
    """uint8 (H, W) to the payload of an `A` chunk."""
    if plane.min() == plane.max():
        return bytes([ALPHA_CONSTANT, plane.flat[0]])
    buffer = io.BytesIO()
    Image.fromarray(plane.copy("C")).save(buffer, "PNG", optimize=plane.size < SMALL)
    return bytes([ALPHA_PNG]) + buffer.getvalue()


def unpack(payload: bytes, width: int, height: int) -> Image.Image:
    """The payload of an `A` chunk to an image of mode L. Raises LicCorruptChunk, LicUnsupportedVersion."""
    if payload[:1] == bytes([ALPHA_CONSTANT]) and len(payload) == 2:
        return Image.new("L", (width, height), payload[1])
    if payload[:1] != bytes([ALPHA_PNG]):
        msg = "alpha chunk: unknown method or length; the file needs a newer pillow_lic or is damaged"
        raise LicUnsupportedVersion(msg)
    try:
        with PngImagePlugin.PngImageFile(io.BytesIO(payload[1:])) as plane:
            if plane.size != (width, height) or plane.mode != "L":
                msg = f"alpha chunk: a {plane.mode} plane of {plane.size} for an image of {(width, height)}"
                raise LicCorruptChunk(msg)
            plane.load()
            return plane
    except LicCorruptChunk:
        raise
    except Exception as error:  # whatever Pillow's reader makes of a damaged PNG
        msg = f"alpha chunk: its PNG cannot be read ({error}); the file is damaged, fetch it again"
        raise LicCorruptChunk(msg) from error
