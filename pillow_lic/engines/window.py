"""Symbols in memory of the native engine's: of a whole picture, or of what the samples of an area depend on alone.

Imports the standard library, container and ground.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..constants import LIC_HYPER_STRIDE, LIC_LATENT_STRIDE
from ..container import Area
from .base import Symbols, coding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..container import Header, Tile
    from ..models.store import Model
    from .base import Coding

I16 = 2  # bytes
NOTHING = Area(slice(0, 0), slice(0, 0))


class NativeSymbols(Symbols):
    """Symbols in bytearrays of zeros: z (C, hz, wz) and r (M, hy, wy), int16."""

    @property
    def window(self) -> Area:
        """What z and r hold, in latent positions."""
        rows, columns = self.header.latent_grid
        return Area(slice(0, rows), slice(0, columns))

    @property
    def window_coding(self) -> Coding:
        """As `coding`, of the window."""
        return self.coding

    def clear(self, tile: Tile) -> None:
        """A tile that could not be read has left nothing."""


@dataclass(eq=False)
class PartSymbols(NativeSymbols):
    """Symbols of the latent positions on which the samples of an area depend. The rest of a tile is decoded, and
    dropped.
    """

    held: Area = NOTHING

    @property
    def window(self) -> Area:
        """What z and r hold."""
        return self.held

    @property
    def window_coding(self) -> Coding:
        """With its part of the quality map."""
        return self._coding(self.held)

    def _coding(self, part: Area) -> Coding:
        rows, columns = _sides(part)
        own = replace(self.header, width=columns * LIC_LATENT_STRIDE, height=rows * LIC_LATENT_STRIDE)
        shift = None if self.shift is None else _cut(self.shift, self.header.hyper_grid.columns, _hyper(part))
        return coding(own, shift)

    def _read(self, tile: Tile, stages: Sequence[bytes], cut: bool) -> None:
        manifest, core = self.model.manifest, self.model.core
        h, w = tile.latent_shape
        a, b = tile.hyper_shape
        z, r = bytearray(I16 * manifest.hyper * a * b), bytearray(I16 * manifest.latent * h * w)
        core.read_tile(self._coding(tile.latent), stages, (h, w, self.header.tile_side, 0), z, r, cut)
        _move(z, tile.hyper, self.z, _hyper(self.held), manifest.hyper)
        _move(r, tile.latent, self.r, self.held, manifest.latent)


def blank(header: Header, model: Model, shift: bytes | None, area: Area | None) -> NativeSymbols:
    """Zeros. area: of pixels, where no more is wanted."""
    manifest, grid = model.manifest, header.latent_grid
    whole = Area(slice(0, grid.rows), slice(0, grid.columns))
    window = whole if area is None else Area(*(_reach(*side, manifest.halo) for side in zip(area, grid, strict=True)))
    z, r = (bytearray(I16 * channels * rows * columns) for channels, (rows, columns) in (
        (manifest.hyper, _sides(_hyper(window))), (manifest.latent, _sides(window))))  # fmt: skip
    if window == whole:
        return NativeSymbols(header, model, z, r, shift)
    return PartSymbols(header, model, z, r, shift, held=window)


def _reach(pixels: slice, positions: int, margin: int) -> slice:
    """The latent positions along a side that pixels depend on: whole hyper positions, or to the end."""
    first = max(pixels.start // LIC_LATENT_STRIDE - margin, 0) // LIC_HYPER_STRIDE * LIC_HYPER_STRIDE
    last = -(-pixels.stop // LIC_LATENT_STRIDE) + margin
    return slice(first, min(-(-last // LIC_HYPER_STRIDE) * LIC_HYPER_STRIDE, positions))


def _hyper(latent: Area) -> Area:
    return Area(*(slice(s.start // LIC_HYPER_STRIDE, -(-s.stop // LIC_HYPER_STRIDE)) for s in latent))


def _sides(area: Area) -> tuple[int, int]:
    return area.rows.stop - area.rows.start, area.columns.stop - area.columns.start


def _cut(values: bytes, columns: int, area: Area) -> bytes:
    """A part of rows of bytes."""
    rows = range(area.rows.start, area.rows.stop)
    return b"".join(values[row * columns + area.columns.start : row * columns + area.columns.stop] for row in rows)


def _move(part: bytearray, of: Area, window: bytearray, held: Area, channels: int) -> None:
    """What two arrays of int16 (channels, rows, columns) have in common, from one to the other."""
    rows = range(max(of.rows.start, held.rows.start), min(of.rows.stop, held.rows.stop))
    left, right = max(of.columns.start, held.columns.start), min(of.columns.stop, held.columns.stop)
    if left >= right:
        return
    (height, width), (h, w), size = _sides(of), _sides(held), I16 * (right - left)
    source = memoryview(part)
    for channel in range(channels):
        for row in rows:
            begin = I16 * ((channel * height + row - of.rows.start) * width + left - of.columns.start)
            at = I16 * ((channel * h + row - held.rows.start) * w + left - held.columns.start)
            window[at : at + size] = source[begin : begin + size]
