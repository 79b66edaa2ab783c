"""The alpha plane: exact, a constant or a grey PNG made and read by Pillow (FORMAT 5).

Imports numpy and Pillow.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, PngImagePlugin

from ..errors import LicCorruptChunk, LicUnsupportedVersion

CONSTANT, PNG = 0, 1


def pack(plane: np.ndarray) -> bytes:
    """uint8 (H, W) to the payload of an `A` chunk."""
    if plane.min() == plane.max():
        return bytes([CONSTANT, plane.flat[0]])
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(plane)).save(buffer, "PNG", optimize=plane.size < 1 << 22)
    return bytes([PNG]) + buffer.getvalue()


def unpack(payload: bytes, width: int, height: int) -> np.ndarray:
    """The payload of an `A` chunk to uint8 (height, width). Raises LicCorruptChunk, LicUnsupportedVersion."""
    if payload[:1] == bytes([CONSTANT]) and len(payload) == 2:
        return np.full((height, width), payload[1], np.uint8)
    if payload[:1] != bytes([PNG]):
        msg = "alpha chunk: unknown method or length; the file needs a newer pillow_lic or is damaged"
        raise LicUnsupportedVersion(msg)
    try:
        with PngImagePlugin.PngImageFile(io.BytesIO(payload[1:])) as plane:
            if plane.size != (width, height) or plane.mode != "L":
                msg = f"alpha chunk: a {plane.mode} plane of {plane.size} for an image of {(width, height)}"
                raise LicCorruptChunk(msg)
            return np.asarray(plane)
    except LicCorruptChunk:
        raise
    except Exception as error:  # whatever Pillow's reader makes of a damaged PNG
        msg = f"alpha chunk: its PNG cannot be read ({error}); the file is damaged, fetch it again"
        raise LicCorruptChunk(msg) from error
