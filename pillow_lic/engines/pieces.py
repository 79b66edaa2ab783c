"""Cuts a latent grid into pieces with a margin, so that the memory of networks stays bounded (FORMAT 8).

Imports the standard library and constants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..constants import LIC_HYPER_STRIDE

if TYPE_CHECKING:
    from collections.abc import Iterator

# side of a piece in latent positions, without its margin: 1536 pixels, some 300 MB of activations with a margin of 8
PIECE = 96


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
