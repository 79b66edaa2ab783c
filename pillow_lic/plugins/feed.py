"""What `ImageFile.Parser` feeds: the picture so far, decoded when somebody asks for it.

Imports Pillow and errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PIL import ImageFile

if TYPE_CHECKING:
    import weakref

    from .pillow import LicImageFile

NAME = "lic"  # of the decoder, in a file's tile


class Decoder(ImageFile.PyDecoder):
    """Hands all bytes that a Parser has to the image that it is making."""

    args: tuple[weakref.ref[LicImageFile]]

    def setimage(self, im: Any, extents: tuple[int, int, int, int] | None = None) -> None:
        """The image makes its own memory."""

    def decode(self, buffer: Any) -> tuple[int, int]:
        """buffer: bytes, the whole file so far, since nothing is ever taken of it. Raises LicError where all is there,
        and damaged.
        """
        image = self.args[0]()
        whole = image is not None and image.fed(bytes(buffer))
        return (-1 if whole else 0), 0
