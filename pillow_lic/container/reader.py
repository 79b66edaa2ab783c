"""What stands in the bytes of a `.lic` file, all of it checked (FORMAT 2 to 6.2).

Standard library and ground only. Knows nothing of what a tile stream holds.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from dataclasses import replace
from functools import partial
from typing import IO, TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

from ..constants import LIC_CHUNKS_MAX, LIC_MAJOR, LIC_METADATA_MAX, LIC_MINOR
from ..errors import LicBadMagic, LicCorruptChunk, LicLimitExceeded, LicTruncated, LicUnsupportedVersion
from ..signature import SIGNATURE
from .contents import CRC, KNOWN, Chunk, Container, Head
from .fields import ENDS, REFETCH, UPGRADE, VARINT_MAX, Cursor, refuse
from .header import HEADER_MAX, parse_header
from .numbers import Numbers, parse_numbers
from .overlay import Planes, Rectangle, parse_overlay, parse_planes
from .part import Box, Part, part_of, read_tiles
from .payloads import (
    TileStream,
    checked_alpha,
    missing_tiles,
    split_tiles,
    unpack_cicp,
    unpack_map,
    unpack_metadata,
    unpack_preview,
    unpack_style,
    unpack_values,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from .header import Header

Data: TypeAlias = bytes | bytearray | memoryview
Value = TypeVar("Value")

_START = len(SIGNATURE) + 2  # signature, major, minor
_BLOCK = 1 << 20  # bytes per read while a checksum is formed

STYLE_MAX = 1 << 10  # bytes of `s`, far more than it has: later versions may say more
METADATA_CHUNK_MAX = LIC_METADATA_MAX + (1 << 16)  # FORMAT 3: room for a zlib stream that did not shrink


def read_head(source: IO[bytes] | Data, *, truncated: bool = False) -> Head:
    """Header, metadata and the place of every chunk, seeking past alpha and tiles.

    source: the file's bytes, or a seekable binary file object whose byte 0 is the file's. Checksums of what is read are
    checked. Alpha and tiles may be cut off (`complete` is then False). truncated=True drops metadata that is damaged.
    Raises the errors of FORMAT appendix A.
    """
    return _Reader(source, truncated).head()


def read(
    source: IO[bytes] | Data,
    *,
    truncated: bool = False,
    max_pixels: float | None = None,
    metadata: bool = True,
    box: Box | None = None,
    margin: Callable[[Header], int] | None = None,
) -> Container:
    """The whole file, every checksum checked; of alpha and overlay also what their PNG and WebP state.
    max_pixels: the caller's limit on width times height, a side of less than 16 counted as 16.

    metadata=False: for who wants pixels alone; icc, exif and xmp are then None, whatever they unpack to.

    truncated=True takes what is there of a cut or damaged file: tiles as far as they are there, no damaged alpha
    payload, overlay or metadata chunk; tiles of a `T` chunk whose checksum is wrong are kept (they have their own). A
    damaged header is refused all the same.

    box: (left, top, right, bottom), the part of the picture that is wanted; of the tiles those alone that it takes are
    read, without the chunk's checksum (they have their own). margin: how many latent positions around it its pixels
    depend on, by the header. Raises the errors of FORMAT appendix A, LicBadOption for a box outside the picture.
    """
    reader = _Reader(source, truncated)
    head = reader.head(max_pixels, metadata)
    return reader.whole(head, None if box is None else part_of(head.header, box, margin(head.header) if margin else 0))


def verify(source: IO[bytes] | Data) -> list[str]:
    """Check the whole structure and every checksum, without decoding; returns what there is to warn of. Raises the
    errors of FORMAT appendix A.

    What a tile stream decodes to has a checksum of its own, which only decoding can check.
    """
    reader = _Reader(source, truncated=False)
    head = reader.head()
    reader.whole(head)
    if not head.trailing:
        return []
    count = "1 byte follows" if head.trailing == 1 else f"{head.trailing} bytes follow"
    return [f"{count} the end of the .lic file, which is intact; decoders ignore what stands there"]


def _unread(_payload: bytes, _start: int) -> None:
    """For who does not want what a metadata chunk holds."""


def _unread_payload(_payload: bytes, _start: int) -> bool:
    """For who wants to know whether a chunk is there and undamaged."""
    return True


class _Reader:
    """Walks the chunks of one file. All reads are bounded by the file's size and by the limits above."""

    def __init__(self, source: IO[bytes] | Data, truncated: bool):
        self.file = io.BytesIO(source) if isinstance(source, (bytes, bytearray, memoryview)) else source
        self.truncated = truncated
        self.file.seek(0, os.SEEK_END)
        self.size = self.file.tell()  # some file objects return nothing from seek

    def head(self, max_pixels: float | None = None, unpacked: bool = True) -> Head:
        major, minor = self.version()
        first = self.chunk_at(_START)
        header = parse_header(self.payload(first), first.offset)
        header.check_limits(max_pixels)
        chunks = self.chunks(first, header)
        metadata: dict[str, bytes | None] = dict.fromkeys("cex")
        if not self.truncated:  # all are there before one is unpacked: who feeds a file in pieces asks again and again
            for chunk in chunks:
                if chunk.type in metadata:
                    self.check_there(chunk)
        for chunk in chunks:
            if chunk.type in metadata:
                metadata[chunk.type] = self.optional(chunk, unpack_metadata if unpacked else _unread)
        last = chunks[-1]
        complete = last.type == header.last_chunk and last.end <= self.size
        size = last.end if complete else self.size
        icc, exif, xmp = metadata.values()
        preview = self.small(chunks, "p", unpack_preview) if unpacked else None
        facts = (tuple(chunks), size, self.size - size, complete)
        found = Head(header, major, minor, icc, exif, xmp, preview, self.style(chunks), *facts)
        cicp, values = self.small(chunks, "n", unpack_cicp), self.small(chunks, "v", unpack_values)
        if header.whole and values is None:
            self.refuse_unvalued(chunks, complete)
        return replace(found, cicp=cicp, values=values) if cicp or values else found

    def refuse_unvalued(self, chunks: list[Chunk], complete: bool) -> NoReturn:
        """For numbers of 32 bits of which nobody says what they are (FORMAT 3.1)."""
        chunk = next((chunk for chunk in chunks if chunk.type == "v"), None)
        if chunk is None and not complete:
            refuse(LicTruncated, "it is not yet said what samples of 32 bits stand for", self.size, ENDS)
        if chunk is not None and not self.truncated:
            refuse(LicUnsupportedVersion, "samples of 32 bits stand for a kind that is not known", chunk.start, UPGRADE)
        refuse(LicCorruptChunk, "it is not said what samples of 32 bits stand for", _START, REFETCH)

    def small(self, chunks: list[Chunk], type: str, unpack: Callable[[bytes, int], Value | None]) -> Value | None:
        """Of an ancillary chunk that is none of metadata; one that is too large is left alone."""
        chunk = next((chunk for chunk in chunks if chunk.type == type), None)
        if chunk is None or chunk.length > LIC_METADATA_MAX:
            return None
        return self.optional(chunk, unpack)

    def style(self, chunks: list[Chunk]) -> tuple[int, int] | None:
        chunk = next((chunk for chunk in chunks if chunk.type == "s"), None)
        if chunk is None or chunk.length > STYLE_MAX:
            return None
        return self.optional(chunk, unpack_style)

    def whole(self, head: Head, part: Part | None = None) -> Container:
        if not self.truncated:
            if not head.complete:
                refuse(LicTruncated, f"no more data{self.whole_stages(head)}", head.size, ENDS)
            if part is None:
                self.check_others(head)
        alpha = rows = None
        if chunk := head.chunk("A"):
            alpha = self.optional(chunk, partial(checked_alpha, header=head.header))
        if chunk := head.chunk("G"):
            rows = unpack_map(self.payload(chunk), chunk.offset, head.header)
        metadata, overlay = (head.icc, head.exif, head.xmp), self.overlay(head)
        beside: Any = {"planes": self.planes(head), "cicp": head.cicp, "values": head.values}
        if part is None:
            return Container(head.header, *metadata, alpha, rows, self.tiles(head), overlay, head.style, **beside)
        rows = rows and part.map(rows)
        shown = None if overlay is None else part.rectangles(overlay)
        tiles = self.some_tiles(head, part)
        return Container(part.header, *metadata, alpha, rows, tiles, shown, head.style, part, **beside)

    def whole_stages(self, head: Head) -> str:
        """How much of a file that breaks off can be used all the same, for messages."""
        chunk, count = head.chunk("T"), head.header.stage_count
        if chunk is None or count == 1:
            return ""
        tiles = split_tiles(self.bytes_at(chunk.offset, chunk.length), head.header, chunk.offset, truncated=True)
        return f"; {tiles[0].whole} of {count} stages are whole"

    def version(self) -> tuple[int, int]:
        start = self.bytes_at(0, _START)
        if not start.startswith(SIGNATURE):
            refuse(LicBadMagic, "not a .lic image: wrong signature", 0, "check that this is the file you mean")
        if len(start) < _START:
            refuse(LicTruncated, "no version", len(start), ENDS)
        major, minor = start[-2:]
        if major != LIC_MAJOR:
            refuse(LicUnsupportedVersion, f"format version {major}.{minor} is not known", len(SIGNATURE), UPGRADE)
        if minor < LIC_MINOR:
            advice = "decode it with the version of pillow-lic that wrote it, and save it again"
            refuse(LicUnsupportedVersion, f"drafts {major}.{minor} are read no more", len(SIGNATURE) + 1, advice)
        return major, minor

    def chunks(self, first: Chunk, header: Header) -> list[Chunk]:
        """All chunks, their order and number checked, up to where the file ends; the last may reach beyond that."""
        chunks = [first]
        while chunks[-1].type != header.last_chunk and chunks[-1].end < self.size:
            if len(chunks) >= LIC_CHUNKS_MAX:
                refuse(LicLimitExceeded, f"more than {LIC_CHUNKS_MAX} chunks", chunks[-1].end, "distrust the file")
            try:
                chunk = self.chunk_at(chunks[-1].end)
            except LicTruncated:
                break
            if chunk.type in KNOWN and any(chunk.type == other.type for other in chunks):
                refuse(LicCorruptChunk, f"second chunk {chunk.type!r}", chunk.start, REFETCH)
            chunks.append(chunk)
        self.check_end(chunks, header)
        return chunks

    def check_end(self, chunks: list[Chunk], header: Header) -> None:
        last = chunks[-1]
        if header.alone and any(chunk.type == "T" for chunk in chunks):
            refuse(LicCorruptChunk, "tiles in a file whose overlay stands alone", _START, REFETCH)
        has_alpha = any(chunk.type == "A" for chunk in chunks)
        if has_alpha > header.wants_alpha:
            refuse(LicCorruptChunk, f"alpha chunk in an image of layout {header.layout}", _START, REFETCH)
        if has_alpha < header.wants_alpha and last.type == header.last_chunk:
            refuse(LicCorruptChunk, f"no alpha chunk in an image of layout {header.layout}", _START, REFETCH)

    def chunk_at(self, start: int) -> Chunk:
        """The type and length of a chunk, the type judged by FORMAT 2.1."""
        head = self.bytes_at(start, 1 + VARINT_MAX)
        if not head:
            refuse(LicTruncated, "no chunk", start, ENDS)
        type = chr(head[0])
        if start == _START and type != "H":
            refuse(LicCorruptChunk, "the first chunk is not the header", start, REFETCH)
        if not (type.isascii() and type.isalpha()):
            refuse(LicCorruptChunk, f"chunk type {head[0]:#04x} is not a letter", start, REFETCH)
        if type.isupper() and type not in KNOWN:
            refuse(LicUnsupportedVersion, f"unknown critical chunk {type!r}", start, UPGRADE)
        cursor = Cursor(head[1:], start + 1)
        try:
            length = cursor.varint()
        except LicCorruptChunk:
            if cursor.left == 0 and start + len(head) == self.size:  # cut off within the length
                refuse(LicTruncated, f"chunk {type!r} has no length", self.size, ENDS)
            raise
        return Chunk(type, start, cursor.offset, length)

    def bytes_at(self, start: int, count: int) -> bytes:
        self.file.seek(start)
        return self.file.read(min(count, max(self.size - start, 0)))  # read(n) may set n bytes aside at once

    def payload(self, chunk: Chunk) -> bytes:
        """A chunk's payload, its checksum checked."""
        if chunk.type == "H" and chunk.length > HEADER_MAX:
            refuse(LicCorruptChunk, f"header of {chunk.length} bytes", chunk.start, REFETCH)
        self.check_there(chunk)
        if chunk.type in "cex" and chunk.length > METADATA_CHUNK_MAX:
            refuse(LicLimitExceeded, f"metadata chunk of {chunk.length} bytes", chunk.start, "distrust the file")
        payload = self.bytes_at(chunk.offset, chunk.length)
        self.check_crc(chunk, zlib.crc32(payload, self.crc_before(chunk)))
        return payload

    def crc_before(self, chunk: Chunk) -> int:
        """The checksum over what precedes the payload: type and length, for the first chunk also the file's start."""
        start = 0 if chunk.start == _START else chunk.start
        return zlib.crc32(self.bytes_at(start, chunk.offset - start))

    def check_there(self, chunk: Chunk) -> None:
        if chunk.end > self.size:
            refuse(LicTruncated, f"chunk {chunk.type!r} ends beyond the data", self.size, ENDS)

    def check_crc(self, chunk: Chunk, crc: int) -> None:
        if self.bytes_at(chunk.end - CRC, CRC) != struct.pack("<I", crc):
            refuse(LicCorruptChunk, f"wrong checksum of chunk {chunk.type!r}", chunk.start, REFETCH)

    def check_others(self, head: Head) -> None:
        """Checksums of chunks that are not known and skipped, read block by block."""
        for chunk in head.chunks:
            if chunk.type in KNOWN:
                continue
            crc = self.crc_before(chunk)
            for start in range(chunk.offset, chunk.offset + chunk.length, _BLOCK):
                crc = zlib.crc32(self.bytes_at(start, min(_BLOCK, chunk.offset + chunk.length - start)), crc)
            self.check_crc(chunk, crc)

    def overlay(self, head: Head) -> tuple[Rectangle, ...] | None:
        chunk = head.chunk("O")
        if head.header.deep:
            if chunk is not None and not head.header.alone:
                parse_planes(b"", chunk.offset, head.header)  # which refuses it
            return ()
        if chunk is None:
            return None if head.header.alone else ()
        return self.optional(chunk, partial(parse_overlay, header=head.header))

    def planes(self, head: Head) -> Planes | Numbers | None:
        chunk = head.chunk("O")
        if chunk is None or not (head.header.deep and head.header.alone):
            return None
        if head.header.whole:
            return self.optional(chunk, partial(parse_numbers, header=head.header))
        return self.optional(chunk, partial(parse_planes, header=head.header))

    def optional(self, chunk: Chunk, unpack: Callable[[bytes, int], Value]) -> Value | None:
        """unpack(payload, where it begins); with truncated=True None where the chunk is cut or damaged."""
        try:
            return unpack(self.payload(chunk), chunk.offset)
        except (LicTruncated, LicCorruptChunk):
            if not self.truncated:
                raise
            return None

    def some_tiles(self, head: Head, part: Part) -> list[TileStream]:
        """Those of a part."""
        if head.header.alone:
            return []
        chunk = head.chunk("T")
        if self.truncated or chunk is None:
            tiles = self.tiles(head)
            return [tiles[number] for number in part.tiles()]
        return read_tiles(part, self.bytes_at, chunk.offset, chunk.length)

    def tiles(self, head: Head) -> list[TileStream]:
        if head.header.alone:
            return []
        chunk = head.chunk("T")
        if chunk is None:
            return missing_tiles(head.header)
        payload = self.bytes_at(chunk.offset, chunk.length) if self.truncated else self.payload(chunk)
        tiles = split_tiles(payload, head.header, chunk.offset, self.truncated)
        if not self.truncated or self.optional(chunk, _unread_payload) is not None:
            return tiles
        # The last stage has no check but the chunk's, which is wrong or missing.
        return [tile._replace(whole=min(tile.whole, head.header.stage_count - 1)) for tile in tiles]
