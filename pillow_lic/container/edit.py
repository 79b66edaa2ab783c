"""A file with other metadata: all else is copied bit for bit (FORMAT 2.1, 4).

Standard library and ground only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import LicBadOption
from . import pack_metadata, read, read_head
from .writer import chunk_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

METADATA = ("x", "c", "e", "n")  # in the order in which they stand: a caption comes first
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2

_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">{}</rdf:Description>
</rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""
_CAPTION = '<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt></dc:description>'
_KEYWORDS = "<dc:subject><rdf:Bag>{}</rdf:Bag></dc:subject>"


def edited(data: bytes, metadata: Mapping[str, bytes | None]) -> bytes:
    """The file with other metadata, checked. Chunks that are not named stay as they are, in their order behind the
    metadata; what follows the file's end is dropped.

    data: a whole file. metadata: by "x" (XMP), "c" (ICC), "e" (EXIF, a TIFF structure), "n" (colour coding points, four
    bytes) what shall stand there; None: nothing. Raises the errors of FORMAT appendix A for a file that is not intact,
    LicLimitExceeded.
    """
    head = read_head(data)
    read(data, metadata=False)  # whether it is intact
    parts = {chunk.type: data[chunk.start : chunk.end] for chunk in head.chunks if chunk.type in METADATA}
    for type, payload in metadata.items():
        packed = payload if payload is None or type == "n" else pack_metadata(payload)
        parts[type] = b"" if packed is None else chunk_bytes(type, packed)
    first, *others = head.chunks
    kept = [data[chunk.start : chunk.end] for chunk in others if chunk.type not in METADATA]
    return b"".join([data[: first.end], *(parts.get(type, b"") for type in METADATA), *kept])


def described(caption: str | None, keywords: Sequence[str]) -> bytes:
    """A packet of XMP: dc:description and dc:subject of the Dublin Core (XMP 1, ISO 16684-1, 8.4). Raises LicBadOption
    for text that XML cannot hold.
    """
    for text in (caption or "", *keywords):
        if _NO_XML.search(text):
            msg = f"captions and keywords may hold no control characters, found {text!r}"
            raise LicBadOption(msg)
    parts = [] if caption is None else [_CAPTION.format(_escaped(caption))]
    if keywords:
        parts.append(_KEYWORDS.format("".join(f"<rdf:li>{_escaped(one)}</rdf:li>" for one in keywords)))
    return _PACKET.format("".join(parts)).encode()


def _escaped(text: str) -> str:
    from xml.sax.saxutils import escape  # imports the network's modules: not for everybody who opens a file

    return escape(text)
