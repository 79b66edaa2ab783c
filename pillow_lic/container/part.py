"""A part of a file: the tiles that a box of the picture takes, as a picture of their own (FORMAT 6.2, 8.3). No other
tile is read.

Standard library, constants and errors only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ..constants import LIC_HYPER_STRIDE, LIC_LATENT_STRIDE
from ..errors import LicBadOption, LicCorruptChunk
from .fields import REFETCH, VARINT_MAX, Cursor, refuse
from .header import Area, Header
from .payloads import CHECK_BYTES, TileStream, tile_lengths

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .overlay import Rectangle

Box: TypeAlias = "tuple[int, int, int, int]"  # left, top, right, bottom, in pixels


class Part(NamedTuple):
    """Where a part lies. whole: the picture's header. left, top: where the part's picture begins, in pixels. area: what
    is asked for, in pixels of the part's picture. cells: the part's hyper positions among the picture's.
    """

    whole: Header
    header: Header  # of the part's picture
    left: int
    top: int
    area: Area
    cells: Area

    @property
    def box(self) -> Box:
        """What is asked for, in pixels of the picture."""
        rows, columns = self.area
        return self.left + columns.start, self.top + rows.start, self.left + columns.stop, self.top + rows.stop

    def rectangles(self, overlay: Sequence[Rectangle]) -> tuple[Rectangle, ...]:
        """Those that reach into the area, placed in the part's picture; they may begin before it."""
        left, top, right, bottom = self.box
        return tuple(
            one._replace(left=one.left - self.left, top=one.top - self.top)
            for one in overlay
            if one.left < right and one.left + one.width > left and one.top < bottom and one.top + one.height > top
        )

    def map(self, rows: bytes) -> bytes:
        """The part's of a quality map."""
        columns = self.whole.hyper_grid.columns
        own = self.cells.columns
        at = range(self.cells.rows.start, self.cells.rows.stop)
        return b"".join(rows[row * columns + own.start : row * columns + own.stop] for row in at)

    def tiles(self) -> list[int]:
        """The numbers of its tiles in the whole picture, in raster order."""
        side, columns = self.whole.tile_side, self.whole.tile_grid.columns
        rows, own = (range(one.start // side, -(-one.stop // side)) for one in self.cells)
        return [row * columns + column for row in rows for column in own]


def part_of(header: Header, box: Box, margin: int) -> Part:
    """What a box of the picture takes. margin: latent positions around it on which its pixels depend. Raises
    LicBadOption for a box that does not lie in the picture.
    """
    left, top, right, bottom = box
    if not (0 <= left < right <= header.width and 0 <= top < bottom <= header.height):
        msg = f"box={box} does not lie in the picture of {header.width} x {header.height} pixels, or holds none of it"
        raise LicBadOption(msg)
    if header.alone:
        area = Area(slice(0, bottom - top), slice(0, right - left))
        own, nothing = replace(header, width=right - left, height=bottom - top), slice(0, 0)
        return Part(header, own, left, top, area, Area(nothing, nothing))
    sides = (top, bottom, header.height), (left, right, header.width)
    (rows, height), (columns, width) = (_reach(*side, margin, header.tile_side) for side in sides)
    unit = LIC_HYPER_STRIDE * LIC_LATENT_STRIDE
    x, y = columns.start * unit, rows.start * unit
    own = replace(header, width=width, height=height)
    return Part(header, own, x, y, Area(slice(top - y, bottom - y), slice(left - x, right - x)), Area(rows, columns))


def _reach(begin: int, end: int, pixels: int, margin: int, tile_side: int) -> tuple[slice, int]:
    """Along one side: hyper positions of the tiles that pixels begin to end take, and the pixels of these tiles."""
    tile, reach = tile_side * LIC_HYPER_STRIDE * LIC_LATENT_STRIDE, margin * LIC_LATENT_STRIDE
    first, last = max(begin - reach, 0) // tile, -(-min(end + reach, pixels) // tile)
    covered = min(last * tile, pixels) - first * tile
    cells = -(-covered // (LIC_HYPER_STRIDE * LIC_LATENT_STRIDE))
    return slice(first * tile_side, first * tile_side + cells), covered


def read_tiles(part: Part, read: Callable[[int, int], bytes], start: int, length: int) -> list[TileStream]:
    """The streams of a part's tiles from a `T` payload, of `length` bytes from byte `start` of the file on.

    read: bytes of the file from an offset on, as many as are given. What is read has no checksum but each tile's own.
    """
    count, stages = part.whole.tile_count, part.whole.stage_count
    cursor = Cursor(read(start, min(length, VARINT_MAX * count * stages)), start)
    lengths = tile_lengths(cursor, part.whole)
    if sum(lengths) + CHECK_BYTES * (stages - 1) != start + length - cursor.offset:
        refuse(LicCorruptChunk, f"tiles of {sum(lengths)} bytes in a chunk of {length}", start, REFETCH)
    wanted = part.tiles()
    found: dict[int, list[bytes]] = {number: [] for number in wanted}
    at = cursor.offset
    for stage in range(stages):
        for number, size in enumerate(lengths[stage * count : (stage + 1) * count]):
            if number in found:
                found[number].append(read(at, size))
            at += size
        at += CHECK_BYTES
    return [TileStream(found[number], True, 0) for number in wanted]
