"""What a compact file says of its original: the size. The text is `pillow-lic compact 1: WIDTH x HEIGHT`, both in ASCII
decimals, as a comment of a JPEG (segment COM), in XMP of a WebP or AVIF (dc:relation).

It counts where the file is half as large, rounded up, and nothing else of it is believed: what was resized since has
lost it. Imports the standard library.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT = ("icc_profile", "exif", "dpi")  # of what Pillow tells of a picture, that goes along both ways
_TEXT = re.compile(rb"pillow-lic compact 1: ([1-9][0-9]{0,5}) x ([1-9][0-9]{0,5})(?![0-9])")
_READ = 4096  # bytes of what a file says that are looked at
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:relation="{}"/></rdf:RDF></x:xmpmeta>'
)


def half(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of what stands for a picture of `size`."""
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def options(kind: str, size: tuple[int, int]) -> dict[str, bytes]:
    """What `Image.save` of a format takes so that the file says `size`, the original's width and height."""
    text = f"pillow-lic compact 1: {size[0]} x {size[1]}"
    return {"comment": text.encode()} if kind == "JPEG" else {"xmp": _XMP.format(text).encode()}


def original(info: Mapping[Any, Any], size: tuple[int, int]) -> tuple[int, int] | None:
    """Width and height of the original of a file of `size`, by what Pillow read of it; None for other files."""
    for key in ("comment", "xmp"):
        told = info.get(key)
        found = _TEXT.search(told[:_READ]) if isinstance(told, bytes) else None
        if found and half(named := (int(found[1]), int(found[2]))) == size:
            return named
    return None
