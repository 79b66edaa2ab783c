"""The bytes of a `.lic` file from its header and payloads (FORMAT 2 to 6.2).

Standard library and ground only. Knows nothing of what a tile stream holds.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from ..constants import LIC_MAJOR, LIC_MINOR
from ..errors import LicBadOption, LicError, LicLimitExceeded
from ..signature import SIGNATURE
from .fields import VARINT_LIMIT, varint
from .header import pack_header
from .numbers import Numbers, pack_numbers
from .overlay import pack_overlay, pack_planes
from .payloads import (
    checked_alpha,
    pack_cicp,
    pack_map,
    pack_metadata,
    pack_preview,
    pack_style,
    pack_tiles,
    pack_values,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .header import Header
    from .overlay import Planes, Rectangle
    from .payloads import Cicp, Preview, Values


def write(
    header: Header,
    tiles: Sequence[Sequence[bytes]],
    alpha: bytes | None = None,
    *,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    overlay: Sequence[Rectangle] = (),
    map: bytes | None = None,
    preview: Preview | None = None,
    style: tuple[int, int] | None = None,
    planes: Planes | Numbers | None = None,
    cicp: Cicp | None = None,
    values: Values | None = None,
) -> bytes:
    """The bytes of a file.

    tiles: of each tile in raster order its stages, the first at least 16 bytes; none where the overlay stands alone.
    alpha: payload of `A` (method byte and data), demanded by layouts LA and RGBA, refused by the others and where the
    overlay stands alone. icc, exif (TIFF structure, no prefix), xmp, map (an i8 for each hyper position), preview,
    style (FORMAT 5.4), cicp, values: None leaves the chunk out. overlay: none leaves it out. planes: what it is where
    it stands alone, of more than 8 bits.
    Raises LicBadOption on arguments that do not fit each other, LicLimitExceeded beyond FORMAT 3.
    """
    payloads = [("H", pack_header(header))]
    payloads += [(t, pack_metadata(p)) for t, p in (("x", xmp), ("c", icc), ("e", exif)) if p is not None]
    if cicp is not None:
        payloads.append(("n", pack_cicp(cicp)))
    if values is not None:
        payloads.append(("v", pack_values(values)))
    if preview is not None:
        payloads.append(("p", pack_preview(preview)))
    if (alpha is not None) != header.wants_alpha:
        msg = f"layout {header.layout} {'demands' if header.wants_alpha else 'refuses'} an alpha plane"
        raise LicBadOption(msg)
    if alpha is not None:
        try:
            checked_alpha(alpha, 0, header)
        except LicError as error:
            msg = f"alpha payload: {error}"
            raise LicBadOption(msg) from error
        payloads.append(("A", alpha))
    if map is not None:
        payloads.append(("G", pack_map(map, header)))
    if style is not None:
        payloads.append(("s", pack_style(style)))
    payloads += _overlays(header, overlay, planes, values)
    if not header.alone:
        payloads.append(("T", pack_tiles(header, tiles)))
    return joined(payloads)


def _overlays(
    header: Header, overlay: Sequence[Rectangle], planes: Planes | Numbers | None, values: Values | None
) -> list[tuple[str, bytes]]:
    """The chunk of exact parts, if there is one. Raises LicBadOption."""
    if (planes is not None) != (header.alone and header.deep) or (overlay and header.deep):
        msg = f"exact parts of {header.depth} bits: an overlay is of 8 bits, planes of more are the whole picture"
        raise LicBadOption(msg)
    if header.whole != isinstance(planes, Numbers) or (header.whole and values is None):
        msg = "a picture of 32 bits is of Numbers, and says what they stand for; no other is"
        raise LicBadOption(msg)
    if isinstance(planes, Numbers):
        return [("O", pack_numbers(planes, header))]
    if planes is not None:
        return [("O", pack_planes(planes, header))]
    return [("O", pack_overlay(overlay, header))] if overlay or header.alone else []


def joined(payloads: Sequence[tuple[str, bytes]]) -> bytes:
    """The file of these chunks, types and payloads. Raises LicLimitExceeded."""
    start = SIGNATURE + bytes([LIC_MAJOR, LIC_MINOR])
    parts = [start]
    for type, payload in payloads:
        parts.append(chunk_bytes(type, payload, zlib.crc32(start) if type == "H" else 0))
    return b"".join(parts)


def chunk_bytes(type: str, payload: bytes, crc: int = 0) -> bytes:
    """A chunk. crc: of what its checksum covers before it, of the first one alone. Raises LicLimitExceeded."""
    if len(payload) >= VARINT_LIMIT:
        msg = f"chunk {type} of {len(payload)} bytes is 2 GiB or more; split the image or lower the quality"
        raise LicLimitExceeded(msg)
    head = type.encode() + varint(len(payload))
    crc = zlib.crc32(payload, zlib.crc32(head, crc))
    return b"".join([head, payload, struct.pack("<I", crc)])
