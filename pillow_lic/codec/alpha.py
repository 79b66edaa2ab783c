"""The alpha plane: exact, a constant or a grey PNG made and read by Pillow, and what is seen where it is 0 (FORMAT
5.1).

Imports Pillow and ground; numpy nowhere: planes come as arrays, and leave as Pillow's images.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image, PngImagePlugin

from ..container import ALPHA_CONSTANT, ALPHA_PAINTED, ALPHA_PNG
from ..errors import LicCorruptChunk, LicUnsupportedVersion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OPAQUE = 255
STRIP = 1 << 22  # bytes of samples that are painted at once
SMALL = 1 << 22  # pixels; what is larger is deflated once, not with every strategy


def pack(plane: NDArray[np.uint8], hidden: bytes = b"") -> bytes:
    """uint8 (H, W) to the payload of an `A` chunk. hidden: the colour of pixels whose alpha is 0, a byte a band; none:
    they come back as the tiles have them.
    """
    if plane.min() == plane.max() and not hidden:
        return bytes([ALPHA_CONSTANT, plane.flat[0]])
    png = packed(Image.fromarray(plane.copy("C")), PngImagePlugin, optimize=plane.size < SMALL)
    return bytes([ALPHA_PAINTED if hidden else ALPHA_PNG]) + hidden + png


def packed(image: Image.Image, plugin: Any, **options: Any) -> bytes:
    """An image as a file by one of Pillow's plugins. `image.save` would ask for the format by its name, of which a
    PIL.Image that was loaded again knows none.
    """
    buffer = io.BytesIO()
    image.encoderinfo, image.encoderconfig = options, ()
    plugin._save(image, buffer, "")
    return buffer.getvalue()


class Plane(NamedTuple):
    """Alpha, an image of mode L, and the colour of pixels where it is 0, a byte a band; none: it is in the tiles."""

    image: Image.Image
    hidden: bytes = b""

    def paint(self, colour: memoryview) -> None:
        """The colour of invisible pixels into samples: flat and writable, bands side by side."""
        mode, hidden = ("L", self.hidden[0]) if len(self.hidden) == 1 else ("RGB", tuple(self.hidden))
        (width, height), row = self.image.size, self.image.width * len(self.hidden)
        for top in range(0, height, rows := max(1, STRIP // row)):
            bottom = min(top + rows, height)
            part = Plane(self.image.crop((0, top, width, bottom))).invisible()
            image = Image.frombytes(mode, part.size, colour[top * row : bottom * row])
            image.paste(hidden, None, part)
            colour[top * row : bottom * row] = image.tobytes()

    def invisible(self) -> Image.Image:
        """255 where alpha is 0, else 0."""
        return self.image.point([255] + [0] * 255)


def unpack(payload: bytes, width: int, height: int, bands: int) -> Plane:
    """The payload of an `A` chunk; bands: of colour. Raises LicCorruptChunk, LicUnsupportedVersion."""
    if payload[:1] == bytes([ALPHA_CONSTANT]) and len(payload) == 2:
        return Plane(Image.new("L", (width, height), payload[1]))
    if payload[0] not in (ALPHA_PNG, ALPHA_PAINTED):
        msg = "alpha chunk: unknown method or length; the file needs a newer pillow_lic or is damaged"
        raise LicUnsupportedVersion(msg)
    hidden = payload[1 : 1 + bands] if payload[0] == ALPHA_PAINTED else b""
    try:
        with PngImagePlugin.PngImageFile(io.BytesIO(payload[1 + len(hidden) :])) as plane:
            if plane.size != (width, height) or plane.mode != "L":
                msg = f"alpha chunk: a {plane.mode} plane of {plane.size} for an image of {(width, height)}"
                raise LicCorruptChunk(msg)
            plane.load()
            return Plane(plane, hidden)
    except (LicCorruptChunk, MemoryError):
        raise
    except Exception as error:  # whatever Pillow's reader makes of a damaged PNG
        msg = f"alpha chunk: its PNG cannot be read ({error}); the file is damaged, fetch it again"
        raise LicCorruptChunk(msg) from error
