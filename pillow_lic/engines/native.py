"""The native engine: the `photo` family in the project's own C++, in integers (FORMAT 8). Pixels are the same on every
machine, and neither PyTorch nor NumPy is needed to make them.

Imports `_core`, the standard library and ground. Arrays are buffers: z and r are bytearrays of int16, y of int32.
"""

from __future__ import annotations

import sys
import threading
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary, ref

from .. import _core, forks, threads
from ..constants import LIC_LATENT_STRIDE
from ..errors import LicBadOption, LicModelMissing
from ..models.manifest import DECODER, ENCODER, PERCEPTUAL, THUMBNAIL
from ..models.store import buffers, once
from .base import BIT_WEIGHT, PASSES, Arrival, Latents, Picture, Symbols, at_once, error_of_bit, grey_of, noise_seed
from .pieces import Box, there
from .window import NativeSymbols, blank

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from ..container import Area, Header
    from ..models.store import Model

SCALES = (4, 8, 16)  # of small pictures (FORMAT 8.6)

_lock = forks.held(threading.RLock())
_loaded: WeakKeyDictionary[Model, Networks] = WeakKeyDictionary()  # they go with the model


class Networks:
    """A model's networks, packed for this CPU when they are first used."""

    def __init__(self, model: Model):
        self._model = ref(model)

    @property
    def model(self) -> Model:
        """The model, which whoever asks for its networks has."""
        model = self._model()
        assert model is not None
        return model

    @once
    def photo(self) -> _core.Photo:
        """The decoder's. Raises LicModelMissing."""
        made = _core.Photo(buffers(self.model.tensors))
        self._check(DECODER, made)
        self.model.release()
        return made

    @once
    def perceptual(self) -> _core.Photo:
        """The decoder's with the second synthesis. Raises LicModelMissing."""
        made = _core.Photo(buffers(self.model.perceptual_tensors))
        if not self.photo.fits(made):
            msg = (
                f"the model {self.model.name!r} has a {PERCEPTUAL} of other widths than its synthesis; export it again"
            )
            raise LicModelMissing(msg)
        return made

    @once
    def analysis(self) -> _core.Analysis:
        """The encoder's. Raises LicModelMissing."""
        made = _core.Analysis(buffers(self.model.encoder_tensors))
        self._check(ENCODER, made)
        return made

    @once
    def thumbnail(self) -> _core.Thumbnail:
        """What gives small pictures, of a model that has it. Raises LicModelMissing."""
        made = _core.Thumbnail(buffers(self.model.thumbnail_tensors or {}))
        if made.latent != self.model.manifest.latent:
            problem = f"{THUMBNAIL} is for {made.latent} latent channels; fit it again"
            msg = f"the model {self.model.name!r} does not do what its manifest says: {problem}"
            raise LicModelMissing(msg)
        return made

    def _check(self, file: str, made: _core.Photo | _core.Analysis) -> None:
        manifest = self.model.manifest
        if (made.latent, made.hyper) != (manifest.latent, manifest.hyper):
            found = f"{file} has {made.latent} latent and {made.hyper} hyper channels"
            wanted = f"want {manifest.latent} and {manifest.hyper}"
            problem = f"{found}, {wanted}; export it again"
            msg = f"the model {self.model.name!r} does not do what its manifest says: {problem}"
            raise LicModelMissing(msg)


def networks(model: Model) -> Networks:
    """Those of a model, one object per process."""
    with _lock:
        return _loaded.setdefault(model, Networks(model))


def bit_weight(model: Model) -> float:
    """BIT_WEIGHT in squares of what r counts: whole steps, of a trellis parts of one."""
    return BIT_WEIGHT * model.core.unit**2


@dataclass(frozen=True)
class NativeEngine:
    """Runs the photo family on the CPU, in as many threads as `threads.count` says."""

    group = 0

    def prepare(self, model: Model, *, saving: bool) -> None:
        """Pack the networks of a model."""
        made = networks(model)
        _ = made.photo
        if saving:
            _ = made.analysis

    def streams(self) -> Sequence[AbstractContextManager[Any]]:
        """Nothing to be taken in turn."""
        return [nullcontext()]

    def analyse(self, pictures: Sequence[Picture]) -> Latents:
        """y and z of each picture; of large ones nothing yet, as latents take more memory than the picture: where
        `quantise` is all that follows, it goes slice by slice.
        """
        latents = Latents(pictures, None, None, None, None, None)
        return latents if any(_is_large(picture) for picture in pictures) else self._analysed(latents)

    def _analysed(self, latents: Latents) -> Latents:
        """The same with y and z, if they were still to be made."""
        if latents.y is not None:
            return latents
        pictures = latents.pictures
        found = [self._analyse(picture) for picture in pictures]
        staged = [picture.staged(z) for picture, (_, z) in zip(pictures, found, strict=True)]
        return replace(latents, pictures=staged, y=[y for y, _ in found], z=[z for _, z in found])

    def _analyse(self, picture: Picture) -> tuple[bytearray, bytearray]:
        header, manifest = picture.header, picture.model.manifest
        y = bytearray(4 * header.latent_grid.rows * header.latent_grid.columns * manifest.latent)
        networks(picture.model).analysis.analyse(header.quality_q, *_pixels(picture), y, threads.count())
        return y, self._hyper(picture, y)

    def _hyper(self, picture: Picture, y: bytearray) -> bytearray:
        header, model = picture.header, picture.model
        z = bytearray(2 * header.hyper_grid.rows * header.hyper_grid.columns * model.manifest.hyper)
        networks(model).analysis.hyper_symbols(model.core, header.quality_q, y, header.latent_grid, z)
        return z

    def at(self, latents: Latents, q: int) -> Latents:
        """The same at another quality: z anew."""
        latents = self._analysed(latents)
        pictures = [picture.at(q) for picture in latents.pictures]
        z = [self._hyper(picture, y) for picture, y in zip(pictures, latents.y, strict=True)]
        pictures = [picture.staged(one) for picture, one in zip(pictures, z, strict=True)]
        return replace(latents, pictures=pictures, z=z, r=None)

    def refined(self, latents: Latents, effort: int) -> Latents:
        """The same with what effort finds."""
        if not PASSES[effort]:
            return latents
        latents = self._analysed(latents)
        (picture,), (y,), (z,) = latents.pictures, latents.y, latents.z
        moved, weight = bytearray(len(y)), bytearray(4 * picture.model.manifest.latent)
        r = self._quantised(picture, y, z, PASSES[effort], left=(moved, weight)).r
        return replace(latents, moved=[moved], weight=[weight], r=[r])

    def quantise(self, latents: Latents, effort: int) -> Sequence[Arrival[Symbols]]:
        """The symbols of each picture."""
        if latents.y is None:
            found = [self._sliced(picture, PASSES[effort]) for picture in latents.pictures]
        elif latents.moved is None:
            triples = zip(latents.pictures, latents.y, latents.z, strict=True)
            found = [self._quantised(*triple, PASSES[effort]) for triple in triples]
        elif latents.r is not None:
            parts = zip(latents.pictures, latents.z, latents.r, strict=True)
            found = [NativeSymbols(picture.header, picture.model, z, r, picture.shift) for picture, z, r in parts]
        else:
            moved = zip(latents.pictures, latents.moved, latents.z, latents.weight, strict=True)
            found = [self._rounded(*part) for part in moved]
        return [Arrival(symbols, at_once) for symbols in found]

    def _quantised(
        self,
        picture: Picture,
        y: bytearray,
        z: bytearray,
        passes: int,
        left: tuple[bytearray | None, bytearray | None] = (None, None),
    ) -> Symbols:
        """left: what takes y as it was moved, and the weights."""
        if not passes:
            return self._rounded(picture, y, z, bit_weight(picture.model))
        header, model = picture.header, picture.model
        symbols = self.blank(header, model, picture.shift)
        symbols.z[:] = z
        inputs = (model.core, symbols.coding, z, y, symbols.r, *_pixels(picture))
        networks(model).photo.search(*inputs, passes, *_prices(picture), threads.count(), *left)
        return symbols

    def _sliced(self, picture: Picture, passes: int) -> Symbols:
        """The same without the latents of the whole picture."""
        model, nets = picture.model, networks(picture.model)
        symbols = self.blank(picture.header, model, picture.shift)
        inputs = (nets.photo, model.core, symbols.coding, *_pixels(picture), (symbols.z, symbols.r))
        nets.analysis.encode(*inputs, (passes, *_prices(picture)), threads.count())
        return symbols

    def _rounded(self, picture: Picture, y: bytearray, z: bytearray, weight: float | bytearray) -> Symbols:
        header, model = picture.header, picture.model
        symbols = self.blank(header, model, picture.shift)
        symbols.z[:] = z
        held = weight if isinstance(weight, float) else memoryview(weight).cast("f")
        inputs = (model.core, symbols.coding, z, y, symbols.r, header.latent_grid)
        networks(model).photo.quantise(*inputs, held, threads.count())
        return symbols

    def blank(
        self, header: Header, model: Model, shift: bytes | None = None, *, area: Area | None = None
    ) -> NativeSymbols:
        """Zeros."""
        return blank(header, model, shift, area)

    def render(self, symbols: Sequence[Symbols], *, scale: int = 1, area: Area | None = None) -> Sequence[Arrival[Any]]:
        """The pixels, whole or of an area or smaller: memoryviews over bytearrays of their own."""
        if scale == 1:
            return [Arrival(self._rendered(cast("NativeSymbols", one), area), at_once) for one in symbols]
        if area or any(scale not in self.scales(one.model) for one in symbols):
            msg = f"parts, and files of such models, are rendered at full size, found scale={scale!r}"
            raise LicBadOption(msg)
        return [Arrival(self._small(one, scale), at_once) for one in symbols]

    def scales(self, model: Model) -> Sequence[int]:
        """Those of models that have a thumbnail layer."""
        return () if model.manifest.thumbnail is None else SCALES

    def _small(self, symbols: Symbols, scale: int) -> memoryview:
        header, model = symbols.header, symbols.model
        bands = 1 if header.layout in ("L", "LA") else 3
        size = -(-header.height // scale), -(-header.width // scale)
        shape, whole = (*size, *((bands,) if bands > 1 else ())), Box(0, 0, *size)
        out, v, grid = bytearray(whole.pixels * bands), bytearray(len(symbols.z)), header.latent_grid
        model.core.dequantise_into(header.quality_q, symbols.z, grid, v)
        made = networks(model)
        inputs = (made.photo, symbols.coding, v, symbols.r, grid)
        made.thumbnail.render(*inputs, scale, size, out, threads.count())
        for tile in symbols.missing:
            rows, columns = tile.pixel_rows(header), tile.pixel_columns(header)
            small = [slice(side.start // scale, -(-side.stop // scale)) for side in (rows, columns)]
            _paint(out, (shape, bytes([grey_of(header)])), whole, *small)
        return memoryview(out).cast("B", shape)

    def latents(self, symbols: Symbols, *, steps: bool) -> tuple[bytearray, bytearray | None]:
        """y_hat (M, hy, wy) int16 in its unit; and, if asked, L of FORMAT 8.2 (hy, wy, M) likewise, the logarithm of
        what r counts.
        """
        model, q, grid = symbols.model, symbols.header.quality_q, symbols.header.latent_grid
        v, y_hat = bytearray(len(symbols.z)), bytearray(len(symbols.r))
        log = bytearray(len(symbols.r)) if steps else None
        model.core.dequantise_into(q, symbols.z, grid, v)
        networks(model).photo.latents(symbols.coding, v, symbols.r, grid, y_hat, log)
        return y_hat, log

    def _rendered(self, symbols: NativeSymbols, area: Area | None) -> memoryview:
        header, model = symbols.header, symbols.model
        rows, columns = (area.rows, area.columns) if area else (slice(0, header.height), slice(0, header.width))
        bands = 1 if header.layout in ("L", "LA") else 3
        shape = (rows.stop - rows.start, columns.stop - columns.start, *((bands,) if bands > 1 else ()))
        whole = Box(rows.start, columns.start, rows.stop, columns.stop)
        boxes = [whole] if area or not symbols.missing else self._there(symbols)
        sample = grey_of(header).to_bytes(2 if header.deep else 1, sys.byteorder)
        out = bytearray() if boxes == [whole] else bytearray(sample) * (whole.pixels * bands)
        window = symbols.window
        grid = window.rows.stop - window.rows.start, window.columns.stop - window.columns.start
        v, how = bytearray(len(symbols.z)), symbols.window_coding
        if boxes:
            model.core.dequantise_into(header.quality_q, symbols.z, grid, v)
        strength, corner = symbols.style.strength, (window.rows.start, window.columns.start)
        for box in boxes:
            net = networks(model)
            style = (net.perceptual, strength, noise_seed(header), corner) if strength else None
            samples = bytearray(box.pixels * bands * len(sample))
            inputs = (how, v, symbols.r, grid, _within(box, window))
            net.photo.render(*inputs, samples, threads.count(), style, header.depth)
            if box == whole:
                out = samples
            else:
                _put(samples, box, out, shape[1], bands * len(sample))
        for tile in symbols.missing:
            _paint(out, (shape, sample), whole, tile.pixel_rows(header), tile.pixel_columns(header))
        flat = memoryview(out)
        return flat.cast("H", shape) if header.deep else flat.cast("B", shape)

    def _there(self, symbols: Symbols) -> list[Box]:
        """Boxes that hold every tile but the missing ones: a file with few tiles must not cost what all of them do."""
        if len(symbols.missing) == symbols.header.tile_count:
            return []
        return there(symbols.header, symbols.missing, networks(symbols.model).photo.halo * LIC_LATENT_STRIDE)

    def hand_over(self, values: Sequence[Any]) -> None:
        """They are the caller's already."""


def _is_large(picture: Picture) -> bool:
    """Whether it is encoded slice by slice. One with stages is not: their thresholds come from all of z."""
    grid = picture.header.latent_grid
    return grid.rows * grid.columns * picture.model.manifest.latent > _core.SLICE_MOST and not picture.progressive


def _prices(picture: Picture) -> tuple[float, float, float]:
    """What a search is told: the error that a bit is worth, a bit's weight, what a visual distance of 1 counts for."""
    manifest, q = picture.model.manifest, picture.header.quality_q
    bit = error_of_bit(manifest.lambda_at(q))
    return bit, bit_weight(picture.model), bit * manifest.visual_at(q)


def _pixels(picture: Picture) -> tuple[Any, tuple[int, int, int]]:
    """The samples, side by side, and their height, width and bands: of grey pictures one. Copied where they are not."""
    bands = 1 if picture.header.layout in ("L", "LA") else 3
    pixels = picture.colour[:, :, :bands]
    shape = (picture.header.height, picture.header.width, bands)
    if pixels.flags.c_contiguous:
        return pixels.data, shape
    together = pixels.tobytes()
    return memoryview(together).cast("H", shape) if pixels.itemsize > 1 else together, shape


def _within(box: Box, window: Area) -> Box:
    """A box of pixels, of what a window of the latent grid covers."""
    top, left = window.rows.start * LIC_LATENT_STRIDE, window.columns.start * LIC_LATENT_STRIDE
    return Box(box.top - top, box.left - left, box.bottom - top, box.right - left)


def _put(samples: bytearray, box: Box, out: bytearray, width: int, step: int) -> None:
    """Samples of a box into those of the whole picture. step: bytes of a pixel."""
    length = (box.right - box.left) * step
    for row in range(box.bottom - box.top):
        at = ((box.top + row) * width + box.left) * step
        out[at : at + length] = samples[row * length : (row + 1) * length]


def _paint(out: bytearray, of: tuple[tuple[int, ...], bytes], box: Box, rows: slice, columns: slice) -> None:
    """Grey where a tile is missing. of: the shape of the samples, and the bytes of one."""
    shape, sample = of
    top, left, bottom, right = box
    begin, end = max(columns.start, left) - left, min(columns.stop, right) - left
    if begin >= end:
        return
    bands = shape[2] if len(shape) == 3 else 1
    grey = sample * ((end - begin) * bands)
    for row in range(max(rows.start, top) - top, min(rows.stop, bottom) - top):
        at = (row * shape[1] + begin) * bands * len(sample)
        out[at : at + len(grey)] = grey
