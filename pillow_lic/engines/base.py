"""What an engine is, and the objects that go in and out: pictures, latents, symbols, pixels.

An engine turns pictures into symbols (analyse, quantise) and symbols into pixels (render). It gets and gives whole
grids; tiles, chunks and files are the codec's. Imports the standard library, container, models and ground: arrays come
from the engine that is at work, so this file needs neither numpy nor torch, and an engine may do with buffers.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from ..constants import LIC_DEPTH_MIN, LIC_NOISE_COLUMN, LIC_NOISE_ROW, LIC_NOISE_WORD
from ..container import STREAM_MIN
from ..errors import LicCorruptTile, LicError, LicTruncated
from ..style import PLAIN, Style

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from ..container import Area, Header, Tile, TileStream
    from ..models.store import Model

FINE = 128 * 255  # what networks see of more than 8 bits: white, in 1/128 of a level of 8
GREY = 128  # sample value of pixels whose tile is missing, of 8 bits
PASSES = (0, 1, 2, 3, 4, 6, 10, 16, 30, 100)  # back through the decoder, of effort 0 to 9 (codec/options.py)

# Weight of a bit against a squared rounding error in units of step^2. At high rate D = step^2/12 and one bit more
# halves the step, so dD/dR = -2 ln2 / 12 = -0.1155. Half of that is best in practice. On the held-out photographs, at
# qualities 3, 10 to 15, 30 to 35, 50 and 80 of `photo`: 0.03 instead of 0.055 changes the rate by -0.4, +0.2, +1.1, -,
# +0.1 %, 0.045 by -0.5, -0.2, +0.2, -, -0.1 %, 0.07 by +1.0, +0.8, +0.7, +0.1, +0.2 %, 0.1 by +3.7, +3.2, +2.7, +1.1,
# +1.0 %.
BIT_WEIGHT = 0.05

SHARES = (0.3, 0.6, 0.85)  # of the residuals' bits, before each further stage of a progressive file

T = TypeVar("T")


class Arrival(NamedTuple, Generic[T]):
    """What an engine has been told to make, to be read once `wait()` is over. wait may be called by any thread."""

    value: T
    wait: Callable[[], None]
    lent: bool = False  # whether the engine will use the value's memory again: who keeps the value copies it


def error_of_bit(weight: float | None) -> float:
    """The squared error of samples in 0..1 that a bit is worth: 3 / (lambda 255^2), weight being lambda; 0 where there
    is none.

    lambda 255^2 MSE + bits per pixel, times the pixels, is lambda 255^2 / 3 of the squared error of three samples a
    pixel, and the bits.
    """
    return 0.0 if weight is None else 3.0 / (weight * 255.0**2)


def grey_of(header: Header) -> int:
    """The sample value of pixels whose tile is missing."""
    return GREY << (header.depth - LIC_DEPTH_MIN)


def noise_seed(header: Header) -> int:
    """S of FORMAT 8.5: what a second synthesis draws its noise from."""
    mixed = header.height * LIC_NOISE_ROW + header.width * LIC_NOISE_COLUMN + header.quality_q * LIC_NOISE_WORD
    return mixed & 0xFFFFFFFF


def white_of(colour: Any) -> int:
    """What is white in a Picture's colour."""
    return FINE if colour.itemsize > 1 else 255


def at_once() -> None:
    """Nothing to wait for."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture to be encoded, checked."""

    header: Header
    model: Model
    colour: Any  # (H, W, 3) uint8 or, of more than 8 bits, uint16 in 1/128 of a level; grey is repeated
    shift: bytes | None = None  # the quality map (FORMAT 5.3)
    progressive: bool = False  # whether its residuals shall stand in stages

    @property
    def thresholds(self) -> bytes:
        """Of its stages; none where there is no file to be, as in training."""
        return b"" if self.header is None else self.header.thresholds

    def at(self, q: int) -> Picture:
        """The same at quality Q of its model, without stages."""
        return replace(self, header=replace(self.header, quality_q=q, thresholds=b""))

    def staged(self, z: Any) -> Picture:
        """With stages that hold SHARES of the bits, if it is to have any. z: (C, hz, wz) int16, any buffer."""
        core = self.model.core
        if not self.progressive or not core.staged:
            return self
        thresholds = core.stages(coding(self.header, self.shift), z, self.header.latent_grid, SHARES)
        return replace(self, header=replace(self.header, thresholds=thresholds))


Coding: TypeAlias = "int | tuple[int, bytes, memoryview[int] | None]"


def coding(header: Header, shift: bytes | None) -> Coding:
    """How a file's symbols are coded, as the core takes it: Q, the thresholds of its stages, its quality map."""
    if shift is None and not header.thresholds:
        return header.quality_q
    rows = None if shift is None else memoryview(shift).cast("b", tuple(header.hyper_grid))
    return header.quality_q, header.thresholds, rows


@dataclass(eq=False)
class Latents:
    """What the networks make of pictures with one model, quality and latent grid; the engine's own arrays, the pictures
    along the first axis.

    N pictures, M latent and C hyper channels, (hy, wy) latent and (hz, wz) hyper positions.
    """

    pictures: Sequence[Picture]
    t: Any  # (N,) position among the rates (FORMAT 8)
    y: Any  # (N, M, hy, wy) latents, float32
    z: Any  # (N, C, hz, wz) symbols of the hyper latents, int16
    v: Any  # as z, dequantised (FORMAT 7.5)
    index: Any  # (N, M, hy, wy) scale index, uint8; of mixtures (N, 3 K M, hy, wy)
    side: int | None = None  # of a piece, where memory was short; None: the engine's own
    fine: Any = None  # (N, 1, hy, wy) factors of the steps, where there are quality maps
    # What `refined` found, if it was asked: y as it had better be, what a bit then weighs in each channel, and r.
    moved: Any = None
    weight: Any = None
    r: Any = None  # at its own quality alone
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, part: slice) -> Latents:
        names = ("pictures", "t", "y", "z", "v", "index", "fine", "moved", "weight", "r")
        found = {name: getattr(self, name) for name in names}
        return replace(self, **{name: value[part] for name, value in found.items() if value is not None})


@dataclass(eq=False)
class Symbols:
    """The integers of one file, in memory of the engine that made it: all that entropy coding sees.

    z (C, hz, wz) and r (M, hy, wy), int16. Tiles may be decoded and encoded by any number of threads.
    """

    header: Header
    model: Model
    z: Any
    r: Any
    shift: bytes | None = None  # the quality map
    style: Style = PLAIN  # which synthesis renders it
    missing: list[Tile] = field(default_factory=list)  # tiles that could not be read: grey
    coarse: list[Tile] = field(default_factory=list)  # tiles of which a part could be read, the rest being 0
    intervals: Any = None  # (2, M, hy, wy) int32: of r, as its maker found them, for core.write_tile
    alpha: Any = None  # (H, W) uint8, for an engine whose pixels stay on a device
    memory: Any = None  # what z and r look at, if the engine keeps that
    notes: tuple[str, ...] = ()  # what its maker has to say to people

    @property
    def coding(self) -> Coding:
        """How its symbols are coded."""
        return coding(self.header, self.shift)

    def decode(self, tile: Tile, stream: TileStream) -> LicError | None:
        """Fill in a tile from its stream, or from what there is of it. Returns what is wrong if nothing of it can be
        used; its part of the memory then means nothing.
        """
        if len(stream.stages[0]) < STREAM_MIN:
            problem = "the file ends before its stream does; fetch the file again"
            return LicTruncated(f"tile {tile.number}: {problem}")
        try:
            self._read(tile, stream.stages, cut=self.header.cut or not stream.complete)
        except LicCorruptTile as error:
            if not 0 < stream.whole < self.header.stage_count:
                return LicCorruptTile(f"tile {tile.number}: {error}")
            return self._decode_whole(tile, stream)
        if not stream.complete:
            self.coarse.append(tile)
        return None

    def _decode_whole(self, tile: Tile, stream: TileStream) -> LicError | None:
        """The stages before the first damaged one."""
        kept = [part if k < stream.whole else b"" for k, part in enumerate(stream.stages)]
        try:
            self._read(tile, kept, cut=True)
        except LicCorruptTile as error:
            return LicCorruptTile(f"tile {tile.number}: {error}")
        self.coarse.append(tile)
        return None

    def _read(self, tile: Tile, stages: Sequence[bytes], cut: bool) -> None:
        self.model.core.read_tile(self.coding, stages, self._place(tile), self.z, self.r, cut)

    def _place(self, tile: Tile) -> tuple[int, int, int, int]:
        return (*self.header.latent_grid, self.header.tile_side, tile.number)

    def clear(self, tile: Tile) -> None:
        """Zeros for a tile that could not be read."""
        self.z[(slice(None), *tile.hyper)] = 0
        self.r[(slice(None), *tile.latent)] = 0

    def encode(self, tile: Tile) -> list[bytes]:
        """The stages of a tile."""
        return self.model.core.write_tile(self.coding, self._place(tile), self.z, self.r, self.intervals)


class Idle:
    """The engine of files without networks: an overlay that stands alone."""

    group = 0

    def streams(self) -> Sequence[AbstractContextManager[Any]]:
        """Nothing to be taken in turn."""
        return [nullcontext()]

    def analyse(self, pictures: Sequence[Picture]) -> Any:
        """The pictures."""
        return pictures

    def quantise(self, latents: Any, effort: int) -> Sequence[Arrival[Any]]:
        """Nothing of each."""
        return [Arrival(None, at_once) for _ in latents]

    def at(self, latents: Any, q: int) -> Any:
        """The same."""
        return latents

    def refined(self, latents: Any, effort: int) -> Any:
        """The same."""
        return latents

    def blank(self, header: Header, model: Any, shift: bytes | None = None, *, area: Area | None = None) -> Any:
        """Nothing."""

    def render(self, symbols: Sequence[Any], *, scale: int = 1, area: Area | None = None) -> Sequence[Arrival[Any]]:
        """Nothing of each."""
        return [Arrival(None, at_once) for _ in symbols]

    def scales(self, model: Any) -> Sequence[int]:
        """None."""
        return ()

    def hand_over(self, values: Sequence[Any]) -> None:
        """They are the caller's already."""


IDLE = Idle()


class Engine(Protocol):
    """What runs networks. One object serves many pictures, any number of threads, and all models it was chosen for.

    A native engine needs no more than this: `blank` may return a subclass or a look-alike of Symbols over buffers of
    its own, whose `decode` goes straight to the core, and `render` any buffer of rows. `engines/choice.py` alone names
    the engines.
    """

    @property
    def group(self) -> int:
        """Pixels of pictures that may share a call; 0: each is a call of its own."""

    def streams(self) -> Sequence[AbstractContextManager[Any]]:
        """Contexts for the calls of many pictures, to be taken in turn."""

    def analyse(self, pictures: Sequence[Picture]) -> Latents:
        """The latents of pictures with the same model, quality and latent grid."""

    def quantise(self, latents: Latents, effort: int) -> Sequence[Arrival[Symbols]]:
        """The symbols of each picture. effort: 0 to 9; above 0 the model's manifest has a lambda. Of latents that are
        refined: those that were found, and at another quality their like; effort is then 0.
        """

    def at(self, latents: Latents, q: int) -> Latents:
        """The same at another quality of their model: y as it is, which hardly depends on quality, the rest anew."""

    def refined(self, latents: Latents, effort: int) -> Latents:
        """The same with what effort finds, so that qualities near theirs are had without another search. Of one
        picture.
        """

    def blank(self, header: Header, model: Model, shift: bytes | None = None, *, area: Area | None = None) -> Symbols:
        """Memory for the symbols of a file, not filled. area: the pixels that will be rendered, where it is not all."""

    def render(self, symbols: Sequence[Symbols], *, scale: int = 1, area: Area | None = None) -> Sequence[Arrival[Any]]:
        """The pixels of files with the same model, style and latent grid: uint8 (H, W, 3), of grey (H, W); uint16 where
        the symbols' header says more than 8 bits.

        scale: 1, or one of `scales`, and the sides are so many times smaller, rounded up. area: rows and columns of
        pixels at full size, None for all. Raises LicBadOption for what the engine cannot do.
        """

    def scales(self, model: Model) -> Sequence[int]:
        """By what it can render a model's files smaller, without rendering them whole."""

    def hand_over(self, values: Sequence[Any]) -> None:
        """Values that `render` made, all of them waited for, now belong to the caller."""
