"""`save(quality="keep")`: an opened `.lic` file again, its streams bit for bit, its metadata as save() says.

Imports Pillow, container and errors; the codec with the first picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import container
from ..errors import LicBadOption
from . import metadata

if TYPE_CHECKING:
    from .pillow import LicImageFile

KEEP = "keep"


def kept(im: Any, given: dict[str, Any]) -> bytes:
    """The bytes of the file. Raises LicBadOption where the picture is not that of a file of ours, or was changed."""
    from ..codec.options import EncodeOptions
    from ..container import edit
    from .pillow import LicImageFile

    others = [
        name for name in EncodeOptions.__dataclass_fields__ if name in given and name not in ("quality", "device")
    ]
    if others:
        msg = f"quality='keep' copies the picture as it is: leave out {', '.join(others)}"
        raise LicBadOption(msg)
    if not isinstance(im, LicImageFile) or im.source is None:
        what = "quality='keep' needs a .lic file as Image.open gave it, and this is a picture of another kind or a copy"
        msg = f"{what}; save it with a quality from 1 to 100"
        raise LicBadOption(msg)
    head = container.read_head(im.source)
    if not _same(im, im.source):
        msg = (
            "quality='keep': the pixels were changed after the file was opened; save them with a quality from 1 to 100"
        )
        raise LicBadOption(msg)
    after = metadata.given(im, {"exif": head.exif} | given)
    pairs = {"x": ("xmp", after.xmp), "c": ("icc_profile", after.icc), "e": ("exif", after.exif)}
    pairs["n"] = ("cicp", None if after.cicp is None else bytes(after.cicp))
    named = {"exif" if name in metadata.BESIDE else name for name in given}
    return edit.edited(im.source, {type: new for type, (name, new) in pairs.items() if name in named})


def _same(im: LicImageFile, data: bytes) -> bool:
    """Whether it shows what the file does."""
    from ..codec.decode import decoded, read
    from ..codec.decode_options import DecodeOptions
    from .pixels import image_of

    options = DecodeOptions(dtype="uint8" if im.mode in ("L", "LA", "RGB", "RGBA") else None).checked()
    found = decoded(read(data, options), options, image_of)
    return (found.mode, found.size, found.tobytes()) == (im.mode, im.size, im.tobytes())
