"""The header chunk and the geometry that follows from it (FORMAT 3 and 6.1). Standard library and ground only."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from ..constants import (
    HASH_BYTES,
    LIC_DEPTH_MAX,
    LIC_DEPTH_MIN,
    LIC_DEPTH_WHOLE,
    LIC_HYPER_STRIDE,
    LIC_LATENT_STRIDE,
    LIC_PIXELS_MAX,
    LIC_QUALITY_MAX,
    LIC_QUALITY_MIN,
    LIC_SIDE_MAX,
    LIC_STAGES_MAX,
    LIC_TILE_SIDE_MAX,
    LIC_TILE_UNIT,
)
from ..errors import LicBadOption, LicCorruptChunk, LicLimitExceeded, LicUnsupportedVersion
from ..quality import from_q
from .fields import REFETCH, UPGRADE, VARINT_LIMIT, VARINT_MAX, Cursor, refuse, varint

LAYOUTS = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
# Colour models of exact pictures (FORMAT 3.1), by the name of Pillow's mode.
MODELS = {1: "1", 2: "La", 3: "RGBa", 4: "RGBX", 5: "CMYK", 6: "YCbCr", 7: "LAB", 8: "HSV"}
BANDS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4} | {
    "1": 1, "La": 2, "RGBa": 4, "RGBX": 4, "CMYK": 4, "YCbCr": 3, "LAB": 3, "HSV": 3
}  # fmt: skip
HEADER_MAX = 4 * VARINT_MAX + 1 + HASH_BYTES + 2 + LIC_STAGES_MAX  # bytes of an `H` payload

_DEPTH_SHIFT, _DEPTH_BITS = 3, 0b1111 << 3  # of the layout's byte
_WHOLE, _OTHER = 0b1111 << 3, 6  # in the layout's byte: numbers of 32 bits; a byte with the colour model follows
_STAGES_BITS, _CUT = LIC_STAGES_MAX - 1, 0x10  # of the stages' byte

_ALONE = 0b10000000  # bit of layout
_NUMBERS = {name: number for number, name in LAYOUTS.items()}
_MODEL_NUMBERS = {name: number for number, name in MODELS.items()}


# ---- Geometry (FORMAT 6.1) ----------------------------------------------------------------------------------------


class Grid(NamedTuple):
    """Rows and columns of a grid."""

    rows: int
    columns: int


class Area(NamedTuple):
    """Index ranges of a rectangle of a grid, ready to index an array: `array[:, area.rows, area.columns]`."""

    rows: slice
    columns: slice


class Tile(NamedTuple):
    """One tile: its number in raster order and what it covers of the latent and of the hyper grid."""

    number: int
    latent: Area
    hyper: Area

    @property
    def latent_shape(self) -> Grid:
        """Rows and columns of the tile's part of the latent grid."""
        return _shape(self.latent)

    @property
    def hyper_shape(self) -> Grid:
        """Rows and columns of the tile's part of the hyper grid."""
        return _shape(self.hyper)

    def pixel_rows(self, header: Header) -> slice:
        """Rows of the image that the tile covers."""
        return _pixels(self.latent.rows, header.height)

    def pixel_columns(self, header: Header) -> slice:
        """Columns of the image that the tile covers."""
        return _pixels(self.latent.columns, header.width)


def _shape(area: Area) -> Grid:
    return Grid(area.rows.stop - area.rows.start, area.columns.stop - area.columns.start)


def _pixels(latent: slice, side: int) -> slice:
    return slice(latent.start * LIC_LATENT_STRIDE, min(latent.stop * LIC_LATENT_STRIDE, side))


def _divide_up(a: int, b: int) -> int:
    return -(-a // b)


def latent_size(pixels: int) -> int:
    """Latent positions that cover `pixels` pixels."""
    return _divide_up(pixels, LIC_LATENT_STRIDE)


def hyper_size(latent: int) -> int:
    """Hyper positions that cover `latent` latent positions."""
    return _divide_up(latent, LIC_HYPER_STRIDE)


def _ranges(hyper: int, latent: int, side: int) -> list[tuple[slice, slice]]:
    """(latent range, hyper range) of each row, or column, of tiles."""
    ranges = []
    for start in range(0, hyper, side):
        stop = start + side
        covered = slice(start * LIC_HYPER_STRIDE, min(stop * LIC_HYPER_STRIDE, latent))
        ranges.append((covered, slice(start, min(stop, hyper))))
    return ranges


# ---- Header (FORMAT 3) --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Header:
    """The fields of chunk `H`, and the geometry that follows from them.

    width, height: pixels, 1 to 2^31-1. layout: "L", "LA", "RGB" or "RGBA", or where the overlay stands alone one of
    MODELS. model: number in the registry, 0 to 2^31-1. model_hash: 8 bytes. quality_q: 100 to 10000. tile_side: 1 to
    64, units of 64 pixels. alone: the overlay is the whole picture (FORMAT 5.2); the file does not state the four
    fields before it then, nor those behind. depth: bits of a sample, 8 to 16, or where the overlay stands alone 32.
    thresholds: of the scale index, falling, at which the tiles' stages begin, one less than there are stages (FORMAT
    6.3). cut: whether streams end before their symbols do, on purpose.
    Nothing is checked on construction; `check_limits` does.
    """

    width: int
    height: int
    layout: str
    model: int
    model_hash: bytes
    quality_q: int
    tile_side: int
    alone: bool = False
    depth: int = LIC_DEPTH_MIN
    thresholds: bytes = b""
    cut: bool = False

    @classmethod
    def of_overlay(cls, width: int, height: int, layout: str, depth: int = LIC_DEPTH_MIN) -> Header:
        """That of a file whose overlay stands alone."""
        nothing = 0, bytes(HASH_BYTES), LIC_QUALITY_MAX, LIC_TILE_SIDE_MAX
        return cls(width, height, layout, *nothing, alone=True, depth=depth)

    def named(self, model: int, model_hash: bytes, q: int) -> Header:
        """The same of a model at quality Q."""
        return replace(self, model=model, model_hash=model_hash, quality_q=q)

    @property
    def stage_count(self) -> int:
        """Number of stages, N of FORMAT 6.3."""
        return len(self.thresholds) + 1

    @property
    def quality(self) -> float:
        """The quality that Q stands for with most models, 1.0 to 100.0."""
        return from_q(self.quality_q)

    @property
    def bands(self) -> int:
        """Bands of a pixel, alpha among them."""
        return BANDS[self.layout]

    @property
    def other(self) -> bool:
        """Whether the bands are of another colour model than grey or RGB, alpha apart."""
        return self.layout not in _NUMBERS

    @property
    def whole(self) -> bool:
        """Whether samples are numbers of 32 bits."""
        return self.depth == LIC_DEPTH_WHOLE

    @property
    def coding(self) -> tuple[int, bytes, int]:
        """Number and hash of the model, and Q."""
        return self.model, self.model_hash, self.quality_q

    @property
    def has_alpha(self) -> bool:
        """Whether the picture has alpha, with which colours are not multiplied."""
        return self.layout in ("LA", "RGBA")

    @property
    def deep(self) -> bool:
        """Whether samples have more than 8 bits."""
        return self.depth > LIC_DEPTH_MIN

    @property
    def most(self) -> int:
        """The largest sample."""
        return (1 << self.depth) - 1

    @property
    def wants_alpha(self) -> bool:
        """Whether an alpha chunk is demanded."""
        return self.has_alpha and not self.alone

    @property
    def last_chunk(self) -> str:
        """The type of the chunk that ends the file."""
        return "O" if self.alone else "T"

    @property
    def latent_grid(self) -> Grid:
        """Rows and columns of the latent grid (hy, wy)."""
        return Grid(latent_size(self.height), latent_size(self.width))

    @property
    def hyper_grid(self) -> Grid:
        """Rows and columns of the hyper grid (hz, wz)."""
        rows, columns = self.latent_grid
        return Grid(hyper_size(rows), hyper_size(columns))

    @property
    def padded(self) -> int:
        """Pixels under the hyper grid: what arrays are made for, and what networks see."""
        rows, columns = self.hyper_grid
        return rows * columns * LIC_TILE_UNIT**2

    @property
    def tile_grid(self) -> Grid:
        """Rows and columns of tiles."""
        return Grid(*(_divide_up(n, self.tile_side) for n in self.hyper_grid))

    @property
    def tile_count(self) -> int:
        """Number of tiles, n of FORMAT 6.1."""
        return self.tile_grid.rows * self.tile_grid.columns

    def tiles(self) -> list[Tile]:
        """All tiles in raster order."""
        rows = _ranges(self.hyper_grid.rows, self.latent_grid.rows, self.tile_side)
        columns = _ranges(self.hyper_grid.columns, self.latent_grid.columns, self.tile_side)
        pairs = [(row, column) for row in rows for column in columns]
        return [
            Tile(number, Area(row[0], column[0]), Area(row[1], column[1])) for number, (row, column) in enumerate(pairs)
        ]

    def check_limits(self, max_pixels: float | None = None) -> None:
        """Refuse sizes beyond the limits of FORMAT 3, and of the caller. Raises LicLimitExceeded; allocates nothing."""
        counted = max(self.width, LIC_LATENT_STRIDE) * max(self.height, LIC_LATENT_STRIDE)  # what a thin image costs
        if max_pixels is not None and not counted <= max_pixels:  # not: true for NaN
            thin = f" (a side below {LIC_LATENT_STRIDE} counts as that)" if counted > self.width * self.height else ""
            advice = "raise it, or distrust the file"
            msg = f"{self.width} x {self.height} pixels are more than max_pixels = {max_pixels}{thin}; {advice}"
            raise LicLimitExceeded(msg)
        if self.padded > LIC_PIXELS_MAX:
            beyond = f"{self.padded} with padding, more than {LIC_PIXELS_MAX}"
            msg = f"{self.width} x {self.height} pixels take {beyond}; split the image"
            raise LicLimitExceeded(msg)


def pack_header(header: Header) -> bytes:
    """The payload of `H`. Raises as _check_fields does."""
    _check_fields(header)
    picture = varint(header.width) + varint(header.height)
    depth = _WHOLE if header.whole else header.depth - LIC_DEPTH_MIN << _DEPTH_SHIFT
    layout = _NUMBERS.get(header.layout, _OTHER) | depth
    if header.alone:
        model = bytes([_MODEL_NUMBERS[header.layout]]) if header.other else b""
        return picture + bytes([layout | _ALONE]) + model
    fields = (
        picture,
        bytes([layout]),
        varint(header.model),
        header.model_hash,
        struct.pack("<H", header.quality_q),
        varint(header.tile_side),
        bytes([len(header.thresholds) | (_CUT if header.cut else 0)]),
        header.thresholds,
    )
    return b"".join(fields)


def _check_fields(header: Header) -> None:
    """Refuse a header that no decoder would take. Raises LicBadOption or LicLimitExceeded."""
    problems = {
        "width": not 1 <= header.width <= LIC_SIDE_MAX,
        "height": not 1 <= header.height <= LIC_SIDE_MAX,
        "layout": header.layout not in _NUMBERS and not (header.alone and header.layout in _MODEL_NUMBERS),
        "model": not 0 <= header.model < VARINT_LIMIT,
        "model_hash": len(header.model_hash) != HASH_BYTES,
        "quality_q": not LIC_QUALITY_MIN <= header.quality_q <= LIC_QUALITY_MAX,
        "tile_side": not 1 <= header.tile_side <= LIC_TILE_SIDE_MAX,
        "depth": not _has_depth(header),
        "thresholds": len(header.thresholds) >= LIC_STAGES_MAX or not _falling(header.thresholds),
    }
    for field, wrong in problems.items():
        if wrong:
            msg = f"{field} is out of the range of FORMAT 3: {getattr(header, field)!r}"
            raise LicBadOption(msg)
    header.check_limits()


def _has_depth(header: Header) -> bool:
    if header.other:
        return header.depth == LIC_DEPTH_MIN
    return LIC_DEPTH_MIN <= header.depth <= LIC_DEPTH_MAX or (header.whole and header.alone)


def _falling(thresholds: bytes) -> bool:
    return all(a > b for a, b in pairwise((*thresholds, 0)))


def parse_header(data: bytes, start: int) -> Header:
    """The payload of `H`, which begins at byte `start` of the file. Fields are read, then judged, in file order; the
    caller checks the limits.
    """
    cursor = Cursor(data, start)
    width = cursor.ranged("width", cursor.varint(), 1, LIC_SIDE_MAX)
    height = cursor.ranged("height", cursor.varint(), 1, LIC_SIDE_MAX)
    layout, depth, alone = _parse_layout(cursor)
    size = width, height
    header = Header.of_overlay(*size, layout, depth) if alone else _parse_rest(cursor, size, layout, depth)
    if cursor.left:
        refuse(LicCorruptChunk, f"header has {cursor.left} bytes too many", cursor.offset, REFETCH)
    return header


def _parse_rest(cursor: Cursor, size: tuple[int, int], layout: str, depth: int) -> Header:
    """What stands behind layout."""
    model = cursor.varint()
    model_hash = cursor.take(HASH_BYTES)
    (q,) = struct.unpack("<H", cursor.take(2))
    cursor.ranged("quality", q, LIC_QUALITY_MIN, LIC_QUALITY_MAX)
    tile_side = cursor.ranged("tile side", cursor.varint(), 1, LIC_TILE_SIDE_MAX)
    stages = cursor.u8()
    if stages & ~(_STAGES_BITS | _CUT):
        refuse(LicUnsupportedVersion, f"unknown kind of stages {stages:#04x}", cursor.offset - 1, UPGRADE)
    thresholds = cursor.take(stages & _STAGES_BITS)
    if not _falling(thresholds):
        refuse(LicCorruptChunk, "thresholds of stages that do not fall", cursor.offset - len(thresholds), REFETCH)
    cut = bool(stages & _CUT)
    return Header(*size, layout, model, model_hash, q, tile_side, depth=depth, thresholds=thresholds, cut=cut)


def _parse_layout(cursor: Cursor) -> tuple[str, int, bool]:
    """The layout, the bits of a sample, and whether the overlay stands alone."""
    offset, value = cursor.offset, cursor.u8()
    alone, layout = bool(value & _ALONE), value & ~_DEPTH_BITS & ~_ALONE
    depth = ((value & _DEPTH_BITS) >> _DEPTH_SHIFT) + LIC_DEPTH_MIN
    if layout == _OTHER and alone and depth == LIC_DEPTH_MIN:
        model = cursor.u8()
        if model not in MODELS:
            refuse(LicUnsupportedVersion, f"unknown colour model {model}", offset + 1, UPGRADE)
        return MODELS[model], depth, alone
    depth = LIC_DEPTH_WHOLE if value & _DEPTH_BITS == _WHOLE and alone else depth
    if layout not in LAYOUTS or not (depth <= LIC_DEPTH_MAX or depth == LIC_DEPTH_WHOLE):
        refuse(LicUnsupportedVersion, f"unknown colour layout {value:#04x}", offset, UPGRADE)
    return LAYOUTS[layout], depth, alone
