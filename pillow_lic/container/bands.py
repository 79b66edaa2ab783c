"""The container of pictures of many bands (docs/BANDS.md): an integer map, and the `.lic` files whose samples it takes.

Standard library and ground only. Knows nothing of what the files hold.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from ..constants import LIC_DEPTH_MAX, LIC_DEPTH_MIN, LIC_PIXELS_MAX, LIC_SIDE_MAX
from ..errors import LicBadMagic, LicCorruptChunk, LicLimitExceeded, LicTruncated, LicUnsupportedVersion
from .fields import ENDS, REFETCH, UPGRADE, Cursor, refuse, varint

SIGNATURE = b"\x8dLIB"
VERSION = 0
BANDS_MAX = 1024
FRACTION_MAX = 20
OFFSET_MAX = 1 << 60  # of its absolute value, so that no sum leaves an i64
_BANDS_OF_PICTURE = 3
_CRC = 4
_HEAD = len(SIGNATURE) + 1


class BandsHeader(NamedTuple):
    """What a file says before its pictures. Sample b of a pixel is (offset[b] + sum over k of matrix[b][k] p_k + half)
    >> fraction, clipped to `depth` bits, p being the samples of all pictures.
    """

    width: int
    height: int
    bands: int
    depth: int
    components: int  # K: three of each picture, of the last one perhaps one
    fraction: int
    matrix: bytes  # i32 (bands, components)
    offset: bytes  # i64 (bands,)

    @property
    def pictures(self) -> int:
        """How many there are."""
        return -(-self.components // _BANDS_OF_PICTURE)

    def layout(self, number: int) -> str:
        """That of a picture."""
        last = number == self.pictures - 1
        return "L" if last and self.components % _BANDS_OF_PICTURE == 1 else "RGB"


def pack_bands(header: BandsHeader, pictures: list[bytes]) -> bytes:
    """The bytes of a file."""
    map = zlib.compress(header.matrix + header.offset, 9)
    head = b"".join(
        [
            SIGNATURE,
            bytes([VERSION, header.depth]),
            struct.pack("<H", header.bands),
            *(varint(value) for value in (header.width, header.height, header.components)),
            bytes([header.fraction]),
            varint(len(map)),
            map,
            *(varint(len(picture)) for picture in pictures),
        ]
    )
    return b"".join([head, struct.pack("<I", zlib.crc32(head)), *pictures])


def parse_bands(data: bytes) -> tuple[BandsHeader, list[bytes]]:
    """The header, and the bytes of every picture. Raises the errors of FORMAT appendix A."""
    if data[: len(SIGNATURE)] != SIGNATURE:
        refuse(LicBadMagic, "no signature of a file of bands", 0, "check what it is; decode() reads `.lic` files")
    cursor = Cursor(data, 0)
    cursor.take(min(_HEAD, len(data)))
    try:
        header, lengths = _parsed(cursor, data)
        end = cursor.position
        (crc,) = struct.unpack("<I", cursor.take(_CRC))
    except LicCorruptChunk as error:
        if cursor.left == 0 or "too short" in str(error):
            refuse(LicTruncated, "the header is not all there", len(data), ENDS)
        raise
    if crc != zlib.crc32(data[:end]):
        refuse(LicCorruptChunk, "the header's checksum is wrong", end, REFETCH)
    if sum(lengths) > cursor.left:
        refuse(LicTruncated, f"{sum(lengths) - cursor.left} bytes of pictures are missing", len(data), ENDS)
    if sum(lengths) < cursor.left:
        refuse(LicCorruptChunk, "bytes behind the last picture", len(data) - cursor.left + sum(lengths), REFETCH)
    return header, [cursor.take(length) for length in lengths]


def _parsed(cursor: Cursor, data: bytes) -> tuple[BandsHeader, list[int]]:
    version = data[_HEAD - 1] if len(data) >= _HEAD else VERSION
    if version != VERSION:
        refuse(LicUnsupportedVersion, f"version {version} of files of bands", _HEAD - 1, UPGRADE)
    depth = cursor.ranged("depth", cursor.u8(), LIC_DEPTH_MIN, LIC_DEPTH_MAX)
    bands = cursor.ranged("number of bands", int.from_bytes(cursor.take(2), "little"), 1, BANDS_MAX)
    width, height = (cursor.ranged(name, cursor.varint(), 1, LIC_SIDE_MAX) for name in ("width", "height"))
    if width * height > LIC_PIXELS_MAX:
        refuse(LicLimitExceeded, f"{width} x {height} pixels are too many", cursor.offset, "split the image")
    components = cursor.ranged("number of components", cursor.varint(), 1, BANDS_MAX + 2)
    if components % _BANDS_OF_PICTURE == 2:
        refuse(LicCorruptChunk, f"{components} components are not those of whole pictures", cursor.offset, REFETCH)
    fraction = cursor.ranged("fraction", cursor.u8(), 0, FRACTION_MAX)
    matrix, offset = _map(cursor, bands, components)
    header = BandsHeader(width, height, bands, depth, components, fraction, matrix, offset)
    return header, [cursor.varint() for _ in range(header.pictures)]


def _map(cursor: Cursor, bands: int, components: int) -> tuple[bytes, bytes]:
    """The matrix and the offsets, of exactly the bytes that they take."""
    begin, packed = cursor.offset, cursor.take(cursor.varint())
    size = bands * (4 * components + 8)
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(packed, size + 1)
    except zlib.error as error:
        refuse(LicCorruptChunk, f"the map does not unpack ({error})", begin, REFETCH)
    if len(plain) != size or not inflater.eof or inflater.unused_data:
        refuse(LicCorruptChunk, f"the map is not of {size} bytes", begin, REFETCH)
    offset = plain[4 * bands * components :]
    if any(abs(value) > OFFSET_MAX for value in struct.unpack(f"<{bands}q", offset)):
        refuse(LicCorruptChunk, "an offset is too large", begin, REFETCH)
    return plain[: 4 * bands * components], offset
