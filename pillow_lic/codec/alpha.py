"""The alpha plane: exact, a constant or a grey PNG made and read by Pillow, and what is seen where it is 0 (FORMAT
5.1).

Imports Pillow, container and ground; numpy for more than 8 bits: planes come as arrays, and leave as Pillow's images.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image

from ..container import ALPHA_CONSTANT, ALPHA_PAINTED, ALPHA_PNG
from ..container.overlay import bands_of
from ..container.payloads import alpha_png_start, sample_bytes
from ..errors import LicCorruptChunk, LicUnsupportedVersion
from ..imports import imported
from . import depth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..container import Header

OPAQUE = 255
STRIP = 1 << 22  # bytes of samples that are painted at once
SMALL = 1 << 22  # pixels; what is larger is deflated once, not with every strategy


def pack(plane: NDArray[Any], hidden: bytes = b"") -> bytes:
    """uint8 or uint16 (H, W) to the payload of an `A` chunk. hidden: the colour of pixels whose alpha is 0, as many
    bytes a band; none: they come back as the tiles have them.
    """
    if plane.min() == plane.max() and not hidden:
        return bytes([ALPHA_CONSTANT]) + int(plane.flat[0]).to_bytes(plane.itemsize, "little")
    from PIL import PngImagePlugin

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
    """Alpha, an image of mode L, and the colour of pixels where it is 0, a sample a band; none: it is in the tiles. Of
    more than 8 bits the image is of mode I;16.
    """

    image: Image.Image
    hidden: tuple[int, ...] = ()

    def scaled(self, most: int, to: int) -> Plane:
        """Of samples up to `most`: up to `to`."""
        if most == to:
            return self
        imported("numpy")
        import numpy as np

        array = depth.scaled(np.asarray(self.image), most, to)
        hidden = tuple(int(one) for one in depth.scaled(np.array(self.hidden, int), most, to))
        return Plane(Image.fromarray(array), hidden)

    def paint_deep(self, samples: Any) -> None:
        """The colour of invisible pixels into samples of more than 8 bits, an array (H, W) or (H, W, bands)."""
        import numpy as np

        samples[np.asarray(self.image) == 0] = self.hidden if samples.ndim == 3 else self.hidden[0]

    def paint(self, colour: memoryview) -> None:
        """The colour of invisible pixels into samples of 8 bits: flat and writable, bands side by side."""
        mode, hidden = ("L", self.hidden[0]) if len(self.hidden) == 1 else ("RGB", self.hidden)
        (width, height), row = self.image.size, self.image.width * len(self.hidden)
        for top in range(0, height, rows := max(1, STRIP // row)):
            bottom = min(top + rows, height)
            part = Plane(self.image.crop((0, top, width, bottom))).invisible()
            image = Image.frombytes(mode, part.size, colour[top * row : bottom * row])
            image.paste(hidden, None, part)
            colour[top * row : bottom * row] = image.tobytes()

    def invisible(self) -> Image.Image:
        """255 where alpha is 0, else 0; of 8 bits."""
        return self.image.point([255] + [0] * 255)


def unpack(payload: bytes, header: Header) -> Plane:
    """The payload of an `A` chunk of a whole picture. Raises LicCorruptChunk, LicUnsupportedVersion."""
    mode, size, bands = ("I;16" if header.deep else "L"), (header.width, header.height), bands_of(header)
    if payload[:1] == bytes([ALPHA_CONSTANT]) and len(payload) == 1 + sample_bytes(header):
        return Plane(Image.new(mode, size, int.from_bytes(payload[1:], "little")))
    if payload[0] not in (ALPHA_PNG, ALPHA_PAINTED):
        msg = "alpha chunk: unknown method or length; the file needs a newer pillow_lic or is damaged"
        raise LicUnsupportedVersion(msg)
    from PIL import PngImagePlugin

    start, step = alpha_png_start(payload, header), sample_bytes(header)
    hidden = tuple(int.from_bytes(payload[at : at + step], "little") for at in range(1, 1 + bands * step, step))
    try:
        with PngImagePlugin.PngImageFile(io.BytesIO(payload[start:])) as plane:
            if plane.size != size or plane.mode != mode:
                msg = f"alpha chunk: a {plane.mode} plane of {plane.size} for an image of {size}"
                raise LicCorruptChunk(msg)
            plane.load()
            found = Plane(plane, hidden if payload[0] == ALPHA_PAINTED else ())
            if header.deep:
                _check_depth(found, header)
            return found
    except (LicCorruptChunk, MemoryError):
        raise
    except Exception as error:  # whatever Pillow's reader makes of a damaged PNG
        msg = f"alpha chunk: its PNG cannot be read ({error}); the file is damaged, fetch it again"
        raise LicCorruptChunk(msg) from error


def _check_depth(plane: Plane, header: Header) -> None:
    """Refuse samples that the depth does not have. Raises LicCorruptChunk."""
    high: Any = plane.image.getextrema()[1]
    if max(high, *plane.hidden, 0) > header.most:
        msg = f"alpha chunk: samples of more than {header.depth} bits; the file is damaged, fetch it again"
        raise LicCorruptChunk(msg)
