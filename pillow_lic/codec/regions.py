"""Where a picture shall be better than elsewhere: regions, importance and even quality, as rows of the quality map
(FORMAT 5.3).

Imports container, constants, errors and quality; numpy when a picture comes.
"""

from __future__ import annotations

import math
import numbers
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .. import quality as qualities
from .. import values
from ..constants import LIC_HYPER_STRIDE, LIC_LATENT_STRIDE, LIC_ROW_OCTAVE, LIC_SHIFT_MAX
from ..engines.base import white_of
from ..errors import LicBadOption
from ..imports import imported
from . import detect

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..container import Header
    from ..engines.base import Engine, Picture

AUTO = "auto"
BACKGROUND = -15.0  # quality points, unless it is said
BACKGROUNDS = (-100.0, 0.0)
BLOCK = LIC_LATENT_STRIDE * LIC_HYPER_STRIDE  # pixels, a side of what one row of the map is for
ROWS_OCTAVE = 2.0**16 / LIC_ROW_OCTAVE  # rows to a step of half the size (FORMAT 5.3)
ROWS_POINT = 0.287  # rows to a point of quality, of models that do not state lambda; those of the photo family do
FINER, COARSER = 3, 7  # rows: what networks that have seen no maps take without harm, either way
EVEN_TRIALS, EVEN_OCTAVES, EVEN_LEAST = 4, 0.25, 0.05  # of squared error: octaves to a row, and what counts as none
EVEN_COARSER, EVEN_FINER = 14, 8  # rows
CELL, LUMA = 8, (0.299, 0.587, 0.114)
MASKING, MASKED = 2.0, 6  # rows to an octave of busyness, and at most
NEUTRAL = 128  # of importance: as without it
BOXES_MAX = 4096
_FEATHER = 0.5  # of a block beside a region: how far it is part of it

Box: TypeAlias = tuple[int, int, int, int]


class Mask(NamedTuple):
    """A map over a picture: its samples, one byte each in raster order, in hashable form."""

    height: int
    width: int
    data: bytes

    def samples(self) -> NDArray[np.uint8]:
        """(height, width)."""
        import numpy as np

        return np.frombuffer(self.data, np.uint8).reshape(self.height, self.width)


class Regions(NamedTuple):
    """What the options roi, background, importance and uniform come to."""

    roi: Mask | tuple[Box, ...] | str | None
    background: float  # quality points
    importance: Mask | str | None
    uniform: bool


def checked(roi: Any, background: Any, importance: Any, uniform: Any) -> Regions | None:
    """The options in a form that can be compared; None where all of them are left out. Raises LicBadOption."""
    uniform = uniform is not None and values.switch("uniform", uniform)
    if roi is None and background is not None:
        msg = "background goes with roi: say which region stands before it"
        raise LicBadOption(msg)
    if roi is None and importance is None and not uniform:
        return None
    if uniform and not (roi is None and importance is None):
        msg = "uniform=True gives every block the same quality; it does not go with roi or importance"
        raise LicBadOption(msg)
    points = BACKGROUND if background is None else values.real(background)
    if not BACKGROUNDS[0] <= points <= 0:
        msg = f"background must be a number from {BACKGROUNDS[0]:.0f} to 0, quality points, found {background!r}"
        raise LicBadOption(msg)
    weights = None if importance is None else _importance(importance)
    return Regions(None if roi is None else _region(roi), points, weights, uniform)


def _region(roi: Any) -> Mask | tuple[Box, ...] | str:
    if isinstance(roi, str):
        if roi not in detect.NAMES:
            msg = f"roi must be {' or '.join(map(repr, detect.NAMES))}, boxes or a mask, found {roi!r}"
            raise LicBadOption(msg)
        return roi
    if not isinstance(roi, list | tuple):
        return _mask("roi", roi)
    boxes = (roi,) if len(roi) == 4 and all(isinstance(side, numbers.Integral) for side in roi) else roi
    if not 1 <= len(boxes) <= BOXES_MAX:
        msg = f"roi must hold 1 to {BOXES_MAX} boxes, found {len(boxes)}"
        raise LicBadOption(msg)
    return tuple(_box(box) for box in boxes)


def _importance(importance: Any) -> Mask | str:
    if not isinstance(importance, str):
        return _mask("importance", importance)
    if importance != AUTO:
        msg = f"importance must be {AUTO!r} or a map, found {importance!r}"
        raise LicBadOption(msg)
    return AUTO


def _box(box: Any) -> Box:
    sides = tuple(box) if isinstance(box, list | tuple) else ()
    if len(sides) != 4 or not all(isinstance(side, numbers.Integral) for side in sides):
        msg = f"roi must be a mask, or boxes of four integers (left, top, right, bottom), found {box!r}"
        raise LicBadOption(msg)
    left, top, right, bottom = (int(side) for side in sides)
    if left >= right or top >= bottom:
        msg = f"roi has an empty box {sides}; the order is left, top, right, bottom, in pixels"
        raise LicBadOption(msg)
    return left, top, right, bottom


def _mask(name: str, value: Any) -> Mask:
    """Of a Pillow image or an array (H, W), bool, uint8 or floats from 0 to 1."""
    imported("numpy")
    import numpy as np

    if hasattr(value, "getbands") and value.mode not in ("1", "L", "F"):
        if value.mode.startswith("I") or "A" in value.getbands():
            kinds = "1, L or F, or of colours without alpha, of which getchannel('A') is another"
            msg = f"{name} must be a picture of {kinds}, found mode {value.mode!r}"
            raise LicBadOption(msg)
        value = value.convert("L")
    array = np.asarray(value)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 or array.size == 0:
        msg = f"{name} must be a picture or an array of two dimensions, found {getattr(value, 'shape', value)!r}"
        raise LicBadOption(msg)
    if array.dtype == bool:
        array = array * np.uint8(255)
    elif array.dtype.kind == "f" and np.all((array >= 0) & (array <= 1)):
        array = np.rint(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        msg = f"{name} must hold booleans, uint8, or floats from 0 to 1, found {array.dtype}"
        raise LicBadOption(msg)
    return Mask(array.shape[0], array.shape[1], np.ascontiguousarray(array).tobytes())


# ---- Rows ---------------------------------------------------------------------------------------------------------


def map_of(regions: Regions, picture: Picture, engine: Engine) -> bytes | None:
    """The quality map of a picture, an i8 for each block of 64 x 64 pixels; None where it would change nothing."""
    import numpy as np

    header = picture.header
    if regions.uniform:
        return _packed(_even(picture, engine))
    rows = np.zeros(header.hyper_grid)
    roi = regions.roi
    if isinstance(roi, str):
        roi = detect.boxes(roi, picture.colour, (1 << header.depth) - 1) or None
    if roi is not None:
        background = regions.background * rows_to_a_point(picture.model.manifest.lambdas)
        rows += background * (1 - _feathered(_presence(roi, header)))
    if isinstance(regions.importance, Mask):
        rows += _stated(regions.importance, header)
    elif regions.importance is not None and picture.model.manifest.visual is None:  # that model does it of itself
        rows += _masking(picture.colour, header)
    return _packed(rows)


def _packed(rows: NDArray[np.float64]) -> bytes | None:
    """Rounded rows as bytes, None where all are 0."""
    import numpy as np

    whole = np.clip(np.rint(rows), -LIC_SHIFT_MAX, LIC_SHIFT_MAX).astype(np.int8)
    return whole.tobytes() if whole.any() else None


def rows_to_a_point(lambdas: tuple[float, float] | None) -> float:
    """Rows to a point of quality: the step goes with the root of lambda."""
    if lambdas is None:
        return ROWS_POINT
    ratio = qualities.lambda_at(lambdas, 200) / qualities.lambda_at(lambdas, 100)
    return math.log2(ratio) / 2 * ROWS_OCTAVE


def _presence(roi: Mask | tuple[Box, ...], header: Header) -> NDArray[np.float64]:
    """How far each block belongs to a region, 0 to 1: as far as the most of its pixels."""
    import numpy as np

    if isinstance(roi, Mask):
        return _blocks(roi, header, np.maximum) / 255
    presence = np.zeros(header.hyper_grid)
    seen = False
    for left, top, right, bottom in roi:
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, header.width), min(bottom, header.height)
        if left < right and top < bottom:
            presence[top // BLOCK : -(-bottom // BLOCK), left // BLOCK : -(-right // BLOCK)] = 1
            seen = True
    if not seen:
        msg = f"no box of roi lies within the picture of {header.width} x {header.height} pixels"
        raise LicBadOption(msg)
    return presence


def _blocks(mask: Mask, header: Header, reduce: np.ufunc) -> NDArray[np.float64]:
    """A mask of any size, stretched over the picture: the most of each block, or the mean: (hz, wz)."""
    import numpy as np

    values: NDArray[Any] = mask.samples()
    for axis, (size, side) in enumerate(((mask.height, header.height), (mask.width, header.width))):
        starts = np.arange(header.hyper_grid[axis]) * BLOCK
        first = starts * size // side
        last = np.maximum(-(-np.minimum(starts + BLOCK, side) * size // side), first + 1)
        bounds = np.stack([first, last], 1).ravel()
        longer = np.concatenate([values, np.take(values, [0], axis)], axis)  # a bound may be the end
        found = reduce.reduceat(longer, bounds, axis, np.float64)
        values = np.take(found, np.arange(0, len(bounds), 2), axis)
        if reduce is np.add:
            values /= np.expand_dims(last - first, 1 - axis)
    return values


def _feathered(presence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blocks beside a region are half of it: no frame is seen around it."""
    import numpy as np

    h, w = presence.shape
    wide = np.pad(presence, 1)
    beside = np.max([wide[y : y + h, x : x + w] for y in range(3) for x in range(3)], 0)
    feathered: NDArray[np.float64] = np.maximum(presence, _FEATHER * beside)
    return feathered


def _masking(colour: NDArray[Any], header: Header) -> NDArray[np.float64]:
    """Rows by contrast masking: busy surroundings hide what flat ones show. No network takes part.

    By the median over a block's cells of 8 x 8 pixels of log2(1 + standard deviation of luma), against its mean over
    the picture (docs/research-log.md).
    """
    import numpy as np

    height, width = (side // CELL * CELL for side in colour.shape[:2])
    busy = np.full(header.hyper_grid, np.nan)
    cells, luma, unit = BLOCK // CELL, np.array(LUMA, np.float32), np.float32(255 / white_of(colour))
    for row in range(-(-height // BLOCK)):  # a row of blocks at a time: little memory
        part = colour[row * BLOCK : min(row * BLOCK + BLOCK, height), :width].astype(np.float32) @ luma * unit
        if part.size == 0:
            continue
        deviation = part.reshape(-1, CELL, width // CELL, CELL).std((1, 3))
        logs = np.log2(1 + deviation)
        for column in range(-(-width // BLOCK)):
            busy[row, column] = np.median(logs[:, column * cells : (column + 1) * cells])
    if np.isnan(busy).all():
        return np.zeros(header.hyper_grid)
    middle = np.nanmean(busy)
    rows: NDArray[np.float64] = np.clip(MASKING * (middle - np.where(np.isnan(busy), middle, busy)), -MASKED, FINER)
    return rows


def _stated(importance: Mask, header: Header) -> NDArray[np.float64]:
    """Rows of an importance map: none at 128, FINER at 255, COARSER the other way at 0."""
    import numpy as np

    value = (_blocks(importance, header, np.add) - NEUTRAL) / (255 - NEUTRAL)
    return np.where(value > 0, value * FINER, value * COARSER * (255 - NEUTRAL) / NEUTRAL)


def _even(picture: Picture, engine: Engine) -> NDArray[np.float64]:
    """Rows with which every block has about the same squared error: found by trying, at effort 0."""
    import numpy as np

    rows = np.zeros(picture.header.hyper_grid)
    aim = None
    for _ in range(EVEN_TRIALS):
        (symbols,) = engine.quantise(engine.analyse([replace(picture, shift=_packed(rows))]), 0)
        symbols.wait()
        (drawn,) = engine.render([symbols.value])
        drawn.wait()
        shown = np.asarray(drawn.value)
        if picture.header.deep:
            shown = shown * np.float32(white_of(picture.colour) / picture.header.most)
        levels = white_of(picture.colour) / 255
        error = np.log2(_block_errors(picture.colour, shown) / levels**2 + EVEN_LEAST)
        aim = error.mean() if aim is None else aim
        rows = np.clip(rows + (error - aim) / EVEN_OCTAVES, -EVEN_COARSER, EVEN_FINER)
    return rows


def _block_errors(colour: NDArray[Any], drawn: NDArray[Any]) -> NDArray[np.float64]:
    """Mean squared error of each block: (hz, wz)."""
    import numpy as np

    if drawn.ndim == 2:
        drawn = drawn[..., None]
    height, width = colour.shape[:2]
    squares = np.zeros((height, width), np.float32)
    for band in range(drawn.shape[2]):
        squares += np.square(colour[..., band].astype(np.float32) - drawn[..., band]) / drawn.shape[2]
    down, across = np.arange(0, height, BLOCK), np.arange(0, width, BLOCK)
    sums = np.add.reduceat(np.add.reduceat(squares, down, 0, np.float64), across, 1)
    pixels = np.outer(np.diff([*down, height]), np.diff([*across, width]))
    means: NDArray[np.float64] = sums / pixels
    return means
