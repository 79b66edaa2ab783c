"""What a `.lic` file holds: where its chunks lie, what is known without its pixels, and the whole (FORMAT 2).

Standard library and container only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .header import Header
    from .numbers import Numbers
    from .overlay import Planes, Rectangle
    from .part import Part
    from .payloads import Cicp, Preview, TileStream, Values

KNOWN = "HxcenpvAOGsT"  # chunk types, FORMAT 2.1
CRC = 4  # bytes of a chunk's checksum


class Chunk(NamedTuple):
    """Where a chunk lies. start: its type byte; offset, length: its payload; the checksum follows."""

    type: str
    start: int
    offset: int
    length: int

    @property
    def end(self) -> int:
        """The first byte after the chunk."""
        return self.offset + self.length + CRC


@dataclass(frozen=True)
class Head:
    """What can be known without reading alpha or tiles."""

    header: Header
    major: int
    minor: int
    icc: bytes | None
    exif: bytes | None
    xmp: bytes | None
    preview: Preview | None
    style: tuple[int, int] | None  # the preferred synthesis and its strength
    chunks: tuple[Chunk, ...]
    size: int  # bytes of the file, as far as it is there; what follows its last chunk is no part of it
    trailing: int  # bytes that follow the last chunk, ignored (FORMAT 2.1)
    complete: bool  # whether all chunks are there
    cicp: Cicp | None = None
    values: Values | None = None  # what samples stand for, if not for themselves

    def chunk(self, type: str) -> Chunk | None:
        """The chunk of a known type, or None."""
        return next((chunk for chunk in self.chunks if chunk.type == type), None)


@dataclass(frozen=True)
class Container:
    """A whole file. alpha is the payload of `A`, map the rows of `G`, an i8 for each hyper position; overlay is None
    where truncated=True found it damaged.
    """

    header: Header
    icc: bytes | None
    exif: bytes | None
    xmp: bytes | None
    alpha: bytes | None
    map: bytes | None
    tiles: list[TileStream]
    overlay: tuple[Rectangle, ...] | None = ()
    style: tuple[int, int] | None = None  # the preferred synthesis and its strength
    part: Part | None = None  # where a box was asked for: header, map, tiles and overlay are those of a part
    planes: Planes | Numbers | None = None  # of more than 8 bits, in the place of an overlay that stands alone
    cicp: Cicp | None = None
    values: Values | None = None
