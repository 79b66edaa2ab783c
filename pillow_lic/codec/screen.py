"""Finds what the networks are no good at: text, line art, few colours, stripes, dithers. Decides whether the picture is
better off as an exact overlay, as the networks' picture with exact rectangles over it, or as the networks' alone.

The measure is bits + lambda * squared error, with the lambda that the model was trained for at this quality. What it
costs the networks is found by a trial at effort 0, what it costs exactly by packing it. No decoder sees a difference. A
look at every fourth row and column comes first: photographs are done with after that.

Imports numpy where a picture comes, container, engines, models and ground.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..constants import LIC_LATENT_STRIDE, LIC_OVERLAYS_MAX
from ..container.overlay import bands_of
from ..engines import choice as engines
from ..engines.base import Picture
from ..models import choice as models
from ..quality import from_q
from . import overlay
from .fill import filled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from ..container import Header, Rectangle
    from .options import EncodeSettings

BLOCK = 2 * LIC_LATENT_STRIDE  # pixels, side of what is judged as one
STEP = 4  # every so many rows, or columns, are looked at

# A block is flat if so many of its pixels equal their neighbour in one direction; busy if fewer do, but in both, and
# its contrast is high; fine if neighbours differ more than pixels two apart, as in stripes and dithers; smooth if
# hardly any noise is in it. Of 150 training photographs none has six busy blocks that make up squares, and none six
# fine ones. With 0.4 in the place of BUSY six have; with 0.35 in one direction 111.
FLAT, BUSY, CONTRAST = 0.9, 0.45, 24
FINE, FINE_STEP = 1.05, 24
SMOOTH = 0.95
SMALL = 4  # blocks of a side, below which a picture is small
WHOLE = 0.5  # share of such blocks from which on the whole picture is tried as an overlay
WHOLE_SMOOTH = 0.85  # and that of smooth or flat ones

TINY = 200  # bytes of an overlay that no other way can beat
RECTANGLE_BITS = 8 * 12  # what stands in the file besides a rectangle's data
PLAIN_BITS, ALONE_BITS = 8 * 44, 8 * 22  # what stands in files of networks and of overlays besides their data
EFFORT_SAVES = 0.95  # bits at higher effort, of those at effort 0
WORTH = 0.98  # what rectangles must leave of the cost
NOISE = 6  # bits a pixel: what takes more is noise, which nobody asked to keep
BAD = 2  # bits a pixel: blocks whose squared errors are worth more are tried as rectangles
COVERED = 0.25  # share of the picture under rectangles from which on the whole is tried
PROMISING = 1.15  # times the cost of another way, below which an overlay alone is packed with care


class Plan(NamedTuple):
    """What becomes of a picture."""

    colour: Any  # (H, W, 3) uint8 for the networks; None: the overlay stands alone
    overlay: list[Rectangle]


@dataclass(frozen=True)
class Scene:
    """A picture to be judged."""

    header: Header  # of the file with networks
    settings: EncodeSettings
    colour: Any  # (H, W, 3) uint8, as the networks would see it
    exact: Any  # (H, W, 1 to 4) uint8, as it would be kept exactly
    seen: Any  # (H, W) bool, None: every pixel
    alpha: bytes | None  # the chunk that networks need beside them

    @property
    def pixels(self) -> int:
        """Of the picture."""
        return self.header.width * self.header.height


def planned(scene: Scene) -> Plan:
    """The cheapest of the three ways."""
    plain = Plan(scene.colour, [])
    if scene.settings.screen == "off" or scene.header.deep:  # overlays are of 8 bits (FORMAT 5.2)
        return plain
    looks = look(scene.colour)
    marked = looks.marked()
    drawn = looks.is_drawn()
    if not drawn and not _enough(marked):
        return plain
    alone = _alone(scene) if drawn else None
    if alone is not None and _bytes(alone) <= TINY:
        return Plan(None, overlay.pack(overlay.image_of(scene.exact), 0, 0, scene.settings.effort))
    trial = _Trial(scene)
    cost, found = min(_rectangles(scene, trial, marked), (trial.cost(), plain), key=lambda way: way[0])
    if alone is None and sum(one.width * one.height for one in found.overlay) > COVERED * scene.pixels:
        alone = _alone(scene)
    if alone is not None and 8 * _bytes(alone) + ALONE_BITS <= PROMISING * cost:
        alone = _alone(scene, scene.settings.effort) or alone
        if 8 * _bytes(alone) + ALONE_BITS <= cost:
            return Plan(None, alone)
    careful = [_packed_again(scene, one) for one in found.overlay]
    return found._replace(overlay=[packed for some in careful for packed in some])


def _packed_again(scene: Scene, one: Rectangle) -> list[Rectangle]:
    """A rectangle, packed with care."""
    bands = bands_of(scene.header)
    part = scene.exact[one.top : one.top + one.height, one.left : one.left + one.width, :bands]
    return overlay.pack(overlay.image_of(part), one.left, one.top, scene.settings.effort)


def _bytes(rectangles: list[Rectangle]) -> int:
    return sum(len(one.data) for one in rectangles)


def _alone(scene: Scene, effort: int = overlay.QUICK) -> list[Rectangle] | None:
    """The whole picture; None of noise."""
    packed = overlay.pack(overlay.image_of(scene.exact), 0, 0, effort)
    return packed if 8 * _bytes(packed) <= max(NOISE * scene.pixels, 8 * TINY) else None


# ---- The first look -----------------------------------------------------------------------------------------------


class Looks(NamedTuple):
    """Of every block: bool (rows, columns)."""

    flat: NDArray[np.bool_]
    busy: NDArray[np.bool_]
    fine: NDArray[np.bool_]
    smooth: NDArray[np.bool_]

    def is_drawn(self) -> bool:
        """Whether the whole picture may be better off exact."""
        drawn = self.flat | self.busy | self.fine
        return bool(drawn.mean() >= WHOLE or (drawn | self.smooth).mean() >= WHOLE_SMOOTH)

    def marked(self) -> NDArray[np.bool_]:
        """Blocks that may be better off exact: those that are busy or fine, and flat ones among them."""
        import numpy as np

        strong = _squares(self.busy) | self.fine
        near = np.pad(strong, 1)
        rows = near[:-2] | near[1:-1] | near[2:]
        near = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
        return strong | (self.flat & near)


def _squares(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Those that are part of a square of four; all of a small picture."""
    import numpy as np

    if min(marked.shape) < SMALL:
        return marked
    square = marked[:-1, :-1] & marked[1:, :-1] & marked[:-1, 1:] & marked[1:, 1:]
    found = np.zeros_like(marked)
    for rows in (slice(None, -1), slice(1, None)):
        for columns in (slice(None, -1), slice(1, None)):
            found[rows, columns] |= square
    return found


def _enough(marked: NDArray[np.bool_]) -> bool:
    """Whether there is more than stray blocks: six, of small pictures fewer."""
    return int(marked.sum()) >= min(6, max(1, marked.size // 8))


def look(colour: NDArray[np.uint8]) -> Looks:
    """What the blocks of a picture, uint8 (H, W, 3), look like."""
    across = _looked(colour[::STEP])
    down = _looked(colour[:, ::STEP].swapaxes(0, 1))
    down = {name: value.swapaxes(0, 1) for name, value in down.items()}
    import numpy as np

    same, least = (choose(across["same"], down["same"]) for choose in (np.maximum, np.minimum))
    contrast = np.maximum(across["contrast"], down["contrast"])
    fine = [(one["near"] > FINE * one["far"]) & (one["near"] > FINE_STEP) for one in (across, down)]
    flat = same >= FLAT
    smooth = np.minimum(across["smooth"], down["smooth"]) >= SMOOTH
    return Looks(flat & (contrast < CONTRAST), (least >= BUSY) & (contrast >= CONTRAST), fine[0] | fine[1], smooth)


def _looked(lines: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Means over blocks of what is seen along some lines of a picture, uint8 (lines, length, 3)."""
    import numpy as np

    wide = lines.astype(np.uint32)
    packed = wide[:, :, 0] << 16 | wide[:, :, 1] << 8 | wide[:, :, 2]
    green = lines[:, :, 1].astype(np.int16)
    same = packed == np.roll(packed, 1, axis=1)
    near = np.abs(green - np.roll(green, 1, axis=1))
    far = np.abs(green - np.roll(green, 2, axis=1))
    bend = np.abs(2 * green - np.roll(green, 1, axis=1) - np.roll(green, -1, axis=1)) <= 1
    means = {name: _means(of) for name, of in (("same", same), ("near", near), ("far", far), ("smooth", bend))}
    high, low = (_reduced(operation, green) for operation in (np.maximum, np.minimum))
    return {**means, "contrast": high - low}


def _means(plane: NDArray[Any]) -> NDArray[np.float32]:
    import numpy as np

    means: NDArray[np.float32] = _reduced(np.add, plane.astype(np.float32))
    means /= _reduced(np.add, np.ones_like(plane, np.float32))
    return means


def _reduced(operation: Any, plane: NDArray[Any]) -> NDArray[Any]:
    """Over blocks; the lines are a fourth of the picture's."""
    import numpy as np

    rows = operation.reduceat(plane, np.arange(0, plane.shape[0], BLOCK // STEP), axis=0)
    blocks: NDArray[Any] = operation.reduceat(rows, np.arange(0, plane.shape[1], BLOCK), axis=1)
    return blocks


# ---- The trial ----------------------------------------------------------------------------------------------------


class _Trial:
    """What the networks make of a picture at effort 0, and what it costs, block by block, in bits."""

    def __init__(self, scene: Scene):
        import numpy as np

        header, settings = scene.header, scene.settings
        assert settings.model is not None
        engine = engines.encoder(settings.model, "cpu")
        (arrival,) = engine.quantise(engine.analyse([Picture(header, settings.model, scene.colour)]), 0)
        arrival.wait()
        symbols = arrival.value
        data = sum(len(stage) for tile in header.tiles() for stage in symbols.encode(tile))
        (drawn,) = engine.render([symbols])
        drawn.wait()
        pixels = np.asarray(drawn.value)
        bands = 1 if pixels.ndim == 2 else 3
        errors = scene.colour[:, :, :bands] - pixels.reshape(*pixels.shape[:2], bands).astype(np.int32)
        squares = (errors * errors).sum(-1) * (3 // bands)
        if scene.seen is not None:
            squares = squares * scene.seen
        weight = _weight(settings) / 3
        self.errors = _block_sums(squares) * weight  # squared errors as bits
        saved = EFFORT_SAVES if settings.effort else 1.0
        self.bits = _shared(symbols, header, 8 * data * saved)
        self.fixed = PLAIN_BITS + 8 * len(scene.alpha or b"")

    def cost(self) -> float:
        """Of the whole picture."""
        return float(self.fixed + self.bits.sum() + self.errors.sum())


def _weight(settings: EncodeSettings) -> float:
    """lambda: what a squared error of one level in each sample of a pixel is worth, in bits a pixel."""
    assert settings.model is not None
    manifest = settings.model.manifest
    found = manifest.lambda_at(settings.q) if manifest.visual is None else None
    if found is None:  # tuned for something else: as if it were not
        q, model = models.chosen(None, models.SQUARES_TUNE, from_q(settings.q))
        found = model.manifest.lambda_at(q)
    assert found is not None
    return found


def _block_sums(plane: NDArray[Any]) -> NDArray[np.float64]:
    import numpy as np

    rows = np.add.reduceat(plane, np.arange(0, plane.shape[0], BLOCK), axis=0, dtype=np.float64)
    return np.add.reduceat(rows, np.arange(0, plane.shape[1], BLOCK), axis=1)


def _shared(symbols: Any, header: Header, bits: float) -> NDArray[np.float64]:
    """The bits of a file shared out over blocks by how large their residuals are."""
    import numpy as np

    r = np.frombuffer(symbols.r, np.int16).reshape(-1, *header.latent_grid)
    sizes = np.log2(1 + np.abs(r.astype(np.float32))).sum(0) + 1
    rows = np.add.reduceat(sizes, np.arange(0, sizes.shape[0], 2), axis=0)
    blocks = np.add.reduceat(rows, np.arange(0, sizes.shape[1], 2), axis=1)
    shares: NDArray[np.float64] = blocks.astype(np.float64) * (bits / blocks.sum())
    return shares


# ---- Rectangles ---------------------------------------------------------------------------------------------------


def _rectangles(scene: Scene, trial: _Trial, marked: NDArray[np.bool_]) -> tuple[float, Plan]:
    """The cost with the rectangles that pay, one by one or as one around them, and the plan."""
    import numpy as np

    image = overlay.image_of(scene.exact[:, :, : bands_of(scene.header)])
    boxes = _boxes(marked) + _boxes((trial.errors > BAD * BLOCK**2) & ~marked)
    tried = [_tried(image, trial, box) for box in boxes]
    chosen = [one for one in tried if one.gain > 0 and not one.is_noise()]
    if len(chosen) > 1:
        ends = np.array([one.box for one in chosen])
        around = _tried(image, trial, (*ends[:, :2].min(0).tolist(), *ends[:, 2:].max(0).tolist()))
        if not around.is_noise() and around.gain >= sum(one.gain for one in chosen):
            chosen = [around]
    cost = trial.cost() - sum(one.gain for one in chosen)
    rectangles = [rectangle for one in chosen for rectangle in one.packed]
    if cost > WORTH * trial.cost() or len(rectangles) > LIC_OVERLAYS_MAX:
        return math.inf, Plan(scene.colour, [])
    known = np.ones(scene.colour.shape[:2], bool)
    for one in rectangles:
        known[one.top : one.top + one.height, one.left : one.left + one.width] = False
    colour = filled(scene.colour, known) if known.any() else np.zeros_like(scene.colour)
    return cost, Plan(colour, rectangles)


class _Tried(NamedTuple):
    """A rectangle of blocks (top, left, bottom, right): packed, and the bits that it saves."""

    box: tuple[int, ...]
    packed: list[Rectangle]
    gain: float

    def is_noise(self) -> bool:
        """Whether it hardly packs."""
        return 8 * _bytes(self.packed) > NOISE * sum(one.width * one.height for one in self.packed)


def _tried(image: Image.Image, trial: _Trial, box: tuple[int, ...]) -> _Tried:
    top, left, bottom, right = box
    blocks = slice(top, bottom), slice(left, right)
    paid = float(trial.bits[blocks].sum() + trial.errors[blocks].sum())
    place = (left * BLOCK, top * BLOCK, min(right * BLOCK, image.width), min(bottom * BLOCK, image.height))
    packed = overlay.pack(image.crop(place), place[0], place[1], overlay.QUICK)
    return _Tried(box, packed, paid - 8 * _bytes(packed) - RECTANGLE_BITS * len(packed))


def _boxes(marked: NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """Rectangles that cover the marked blocks and nothing else: (top, left, bottom, right). Runs of a row, joined with
    those of the row above where they begin and end alike.
    """
    done: list[tuple[int, int, int, int]] = []
    open_runs: dict[tuple[int, int], int] = {}
    for row in range(marked.shape[0] + 1):
        runs = _runs(marked[row]) if row < marked.shape[0] else []
        for run in [run for run in open_runs if run not in runs]:
            done.append((open_runs.pop(run), run[0], row, run[1]))
        for run in runs:
            open_runs.setdefault(run, row)
    return done


def _runs(line: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(begin, end) of each run of True."""
    import numpy as np

    edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
