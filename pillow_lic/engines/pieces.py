"""What networks are run over: a latent grid in pieces with a margin, so that memory stays bounded (FORMAT 8); boxes of
pixels whose tiles are there.

Imports the standard library and constants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..constants import LIC_HYPER_STRIDE, LIC_LATENT_STRIDE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..container import Header, Tile

# side of a piece in latent positions, without its margin: 1536 pixels, some 300 MB of activations with a margin of 8
PIECE = 96


def covered(header: Header) -> int:
    """Pixels under the latent grid: what the networks see."""
    return header.latent_grid.rows * header.latent_grid.columns * LIC_LATENT_STRIDE**2


class Piece(NamedTuple):
    """A rectangle of the latent grid: `inner` is what it yields, `outer` what the network must see for that."""

    top: int
    left: int
    bottom: int
    right: int
    outer_top: int
    outer_left: int
    outer_bottom: int
    outer_right: int

    @property
    def outer(self) -> tuple[slice, slice]:
        """Rows and columns that the network must see."""
        return slice(self.outer_top, self.outer_bottom), slice(self.outer_left, self.outer_right)

    @property
    def inner(self) -> tuple[slice, slice]:
        """Rows and columns that it yields."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def within(self, scale: int = 1) -> tuple[slice, slice]:
        """The inner rectangle relative to the outer one, in units of 1/scale latent positions."""
        rows = slice((self.top - self.outer_top) * scale, (self.bottom - self.outer_top) * scale)
        return rows, slice((self.left - self.outer_left) * scale, (self.right - self.outer_left) * scale)

    @property
    def hyper(self) -> tuple[slice, slice]:
        """The hyper positions over the outer rectangle, whose corner is aligned to them."""
        s = LIC_HYPER_STRIDE
        rows = slice(self.outer_top // s, -(-self.outer_bottom // s))
        return rows, slice(self.outer_left // s, -(-self.outer_right // s))


def pieces(hy: int, wy: int, margin: int, side: int | None = None) -> Iterator[Piece]:
    """Cover a latent grid of (hy, wy) by pieces; corners and margins are aligned to the hyper grid."""
    s = LIC_HYPER_STRIDE
    side = side or PIECE
    margin = -(-margin // s) * s
    for top in range(0, hy, side):
        for left in range(0, wy, side):
            bottom, right = min(top + side, hy), min(left + side, wy)
            yield Piece(
                top, left, bottom, right,
                max(top - margin, 0), max(left - margin, 0), min(bottom + margin, hy), min(right + margin, wy),
            )  # fmt: skip


class Box(NamedTuple):
    """Rows and columns of pixels: from top and left to before bottom and right."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def pixels(self) -> int:
        """How many."""
        return (self.bottom - self.top) * (self.right - self.left)


def there(header: Header, missing: Sequence[Tile], margin: int) -> list[Box]:
    """Boxes that hold every tile but the missing ones, if these cost less than the whole picture, else that. A tile at
    least is there.

    margin: pixels beyond a box that networks see.
    """
    whole = Box(0, 0, header.height, header.width)
    absent = {tile.number for tile in missing}
    boxes: list[Box] = []
    for row in _rows(header.tiles(), header.tile_grid.columns):
        present = [tile for tile in row if tile.number not in absent]
        if not present:
            continue
        first, last = present[0], present[-1]
        rows, right = first.pixel_rows(header), last.pixel_columns(header).stop
        box = Box(rows.start, first.pixel_columns(header).start, rows.stop, right)
        if boxes and (boxes[-1].bottom, boxes[-1].left, boxes[-1].right) == (box.top, box.left, box.right):
            box = box._replace(top=boxes.pop().top)
        boxes.append(box)
    seen = sum((box.bottom - box.top + 2 * margin) * (box.right - box.left + 2 * margin) for box in boxes)
    return boxes if seen < whole.pixels else [whole]


def _rows(tiles: Sequence[Tile], columns: int) -> Iterator[Sequence[Tile]]:
    for begin in range(0, len(tiles), columns):
        yield tiles[begin : begin + columns]


def is_lost(piece: Piece, header: Header, missing: Sequence[Tile]) -> bool:
    """Whether every tile that a piece yields pixels of is missing."""
    absent, side = {tile.number for tile in missing}, header.tile_side * LIC_HYPER_STRIDE
    rows = range(piece.top // side, -(-piece.bottom // side))
    columns = range(piece.left // side, -(-piece.right // side))
    return all(row * header.tile_grid.columns + column in absent for row in rows for column in columns)
