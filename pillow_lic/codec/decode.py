"""Decodes a file: begin (the entropy coder, the alpha plane), the engine, end (pixels).

Imports Pillow, container, engines, models and ground; numpy when an array is asked for.
"""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any, Unpack

from PIL import Image

from .. import container
from ..container.overlay import bands_of
from ..engines.base import IDLE, Arrival, Engine, Symbols
from ..engines.pieces import covered
from ..errors import LicBadOption, LicCorruptChunk, LicError
from ..imports import imported
from ..models import registry
from ..style import PLAIN, Style
from ..threads import cramped, spread, with_large_stack
from . import alpha, exact, overlay, small
from . import depth as depths
from . import room as rooms
from .decode_options import DecodeKeywords, DecodeOptions
from .decoded import Decoded
from .keywords import keywords
from .order import ORDERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray


FEW = 4  # tiles of a part that are decoded one after the other: a thread takes 8 MB more, for 40 of 290 ms less


@keywords(DecodeOptions)
def decode(data: bytes | str | os.PathLike[str] | IO[bytes], **options: Unpack[DecodeKeywords]) -> Any:
    """Decode the bytes of a `.lic` file to pixels: (H, W), (H, W, 2), (H, W, 3) or (H, W, 4), of the type that was
    encoded: uint8, uint16, int32 or float32. Of an image that was saved exactly in another of Pillow's modes, the
    samples of that mode, as numpy.asarray gives them of what Image.open opens: of CMYK (H, W, 4), of YCbCr, LAB and HSV
    (H, W, 3), of RGBa and RGBX (H, W, 4), of La (H, W, 2); but of mode 1 uint8, 0 and 255.

    data: bytes, bytearray or memoryview, a path, or a binary file that can seek, of which with `box` little is read.
    {options}
    Raises a LicError that says what is wrong with the file and where; LicBadOption for wrong types; LicGpuUnavailable.
    """
    if cramped():
        return with_large_stack(decode, data, **options)
    checked = DecodeOptions(**options).checked()
    pixels, notes = decoded(read(data, checked), checked, lambda found: (found.array(checked.order), found.notes))
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return pixels


def read(data: Any, options: DecodeOptions, *, metadata: bool = False) -> container.Container:
    """The chunks of a file, its metadata if wanted. Raises LicError."""
    if isinstance(data, (str, os.PathLike)):
        with open(data, "rb") as file:
            return read(file, options, metadata=metadata)
    seekable = hasattr(data, "read") and hasattr(data, "seek") and not isinstance(data, io.TextIOBase)
    if not (seekable or isinstance(data, (bytes, bytearray, memoryview))):
        msg = f"data must be the bytes of a file, its path or a binary file that can seek, found {type(data).__name__}"
        raise LicBadOption(msg)
    return container.read(
        data,
        truncated=options.truncated,
        max_pixels=options.max_pixels,
        metadata=metadata,
        box=options.box,
        margin=_margin,
    )


def _margin(header: container.Header) -> int:
    """Latent positions around a box on which its pixels depend. Raises LicUnknownModel."""
    return 0 if header.alone else registry.by_hash(header.model, header.model_hash).manifest.halo


def scales(header: container.Header, options: DecodeOptions) -> Sequence[int]:
    """By what a file's picture may be decoded smaller in less time. The options are checked ones. Raises
    LicUnknownModel.
    """
    if header.alone:
        return ()
    model = registry.by_hash(header.model, header.model_hash)
    return options.engine(model).scales(model)


def _as_it_is(found: Decoded) -> Decoded:
    return found


def decoded(chunks: container.Container, options: DecodeOptions, take: Callable[[Decoded], Any] = _as_it_is) -> Any:
    """take(the pixels), by default the pixels, of a file whose chunks are read, when it is its turn. The options are
    checked ones.
    """
    job = Decoding(chunks, options)
    with rooms.room.of(rooms.work(_unpacked(chunks), job.model, job.extra)):
        job.begin()
        (arrival,) = job.run([job])
        found = job.end(arrival)
        del job, arrival  # and with them the symbols
        return take(found)


def _unpacked(chunks: container.Container) -> container.Header:
    """The header by which it is judged what decoding costs: alpha and exact rectangles are unpacked whole, for a part
    of a picture as well.
    """
    part = chunks.part
    return part.whole if part and (chunks.alpha or chunks.overlay or chunks.planes) else chunks.header


def bomb(header: container.Header) -> Sequence[str]:
    """What there is to warn of before a file is decoded. Raises LicUnknownModel."""
    model = None if header.alone else registry.by_hash(header.model, header.model_hash)
    return rooms.bomb(header, model)


def decode_symbols(
    chunks: container.Container, *, truncated: bool = False
) -> tuple[NDArray[np.int16], NDArray[np.int16], list[container.Tile]]:
    """The integers of a file: z (C, hz, wz) and r (M, hy, wy), int16, and the tiles that could not be read.

    This is the exact part of decoding (FORMAT 7): the same on every machine, in any number of threads, without a
    network. Raises LicBadOption for a file whose overlay stands alone: it has none.
    """
    import numpy as np

    if chunks.header.alone:
        msg = "the file is an overlay alone, it has no integers of a model; decode it"
        raise LicBadOption(msg)
    header, model = chunks.header, registry.by_hash(chunks.header.model, chunks.header.model_hash)
    z = np.empty((model.manifest.hyper, *header.hyper_grid), np.int16)
    r = np.empty((model.manifest.latent, *header.latent_grid), np.int16)
    symbols = Symbols(header, model, z, r, chunks.map)
    grey_where_missing(symbols, spread(symbols.decode, header.tiles(), chunks.tiles), truncated)
    return z, r, symbols.missing


def grey_where_missing(symbols: Symbols, problems: Sequence[LicError | None], truncated: bool) -> Sequence[str]:
    """Take note of tiles that could not be decoded; returns what there is to warn of.

    problems: what symbols.decode said of each tile. Raises the first, if tiles may not be missing.
    """
    tiles = symbols.header.tiles()
    found = [(tile, problem) for tile, problem in zip(tiles, problems, strict=True) if problem is not None]
    if not found:
        return ()
    first = found[0][1]
    if not truncated:
        raise first
    for tile, _ in found:
        symbols.clear(tile)
        symbols.missing.append(tile)
    return (f"{len(found)} of {len(tiles)} tiles are painted grey; the first: {first}",)


def _coarse(symbols: Symbols) -> Sequence[str]:
    """What there is to say of tiles that are there in part."""
    if not symbols.coarse:
        return ()
    count = f"{len(symbols.coarse)} of {symbols.header.tile_count} tiles"
    return (f"{count} are shown as coarsely as the part of the file that is there allows; fetch the file again",)


class Decoding:
    """One file's way to pixels. Raises LicUnknownModel, LicLimitExceeded for what this process does not allow."""

    def __init__(self, chunks: container.Container, options: DecodeOptions):
        self.chunks, self.options = chunks, options
        header = chunks.header
        if options.order != ORDERS[0] and header.other and header.bands > 2:
            msg = f"order={options.order!r} turns red, green and blue, and the file's bands are {header.layout}"
            raise LicBadOption(msg)
        self.dtype = options.dtype if options.scale == 1 else "uint8"  # small pictures have 8 bits
        self.drawn = replace(header, depth=depths.drawn(header, self.dtype))  # as its samples are wanted
        self.model = None if header.alone else registry.by_hash(header.model, header.model_hash)
        self.notes: list[str] = []
        self.style = self._style()
        valued = chunks.values is not None and self.dtype not in ("uint8", "uint16")
        self.extra = rooms.Extra(self.style.blends, rooms.wide(header, self.drawn, valued))
        rooms.check(_unpacked(chunks), self.model, options, self.extra)
        self.engine: Engine = IDLE if self.model is None else options.engine(self.model)
        small_too = options.scale != 1 and options.scale in scales(header, options)
        self.scale = options.scale if small_too else 1  # of what the engine renders
        self.pixels = covered(header)
        self.symbols: Any = None
        self.alpha: alpha.Plane | None = None

    @property
    def key(self) -> Any:
        """Jobs of equal key may share a call of the engine."""
        part = self.chunks.part
        drawn = self.drawn.latent_grid, self.drawn.depth
        return self.engine, self.model, self.style, drawn, part and part.area, self.scale

    def _style(self) -> Style:
        """Which synthesis shows it."""
        if self.model is None:
            return PLAIN
        style, note = self.options.shown(self.model, self.chunks.style)
        self.notes += [note] if note else []
        return style

    def begin(self) -> None:
        """All that a file holds but its pixels."""
        if self.model is None:
            return
        part = {"area": self.chunks.part.area} if self.chunks.part else {}
        self.symbols = self.engine.blank(self.drawn, self.model, self.chunks.map, **part)
        self.symbols.style = self.style
        tiles = self.chunks.header.tiles(), self.chunks.tiles
        few = part and len(self.chunks.tiles) <= FEW
        problems = list(map(self.symbols.decode, *tiles)) if few else spread(self.symbols.decode, *tiles)
        self.notes += grey_where_missing(self.symbols, problems, self.options.truncated)
        self.notes += _coarse(self.symbols)
        if self.chunks.header.has_alpha:  # unpacked once the tiles are known to be good: it may be large
            self.alpha = self._alpha()
        if self.options.output == "torch" and self.alpha is not None:
            import numpy as np

            self.symbols.alpha = np.array(self.alpha.image)

    def _alpha(self) -> alpha.Plane:
        header, part = self.chunks.header, self.chunks.part
        try:
            if self.chunks.alpha is not None:
                plane = alpha.unpack(self.chunks.alpha, part.whole if part else header)
                plane = plane._replace(image=plane.image.crop(part.box)) if part else plane
                return plane.scaled(header.most, self.drawn.most)
        except LicCorruptChunk:
            if not self.options.truncated:
                raise
        self.notes.append("the alpha plane is missing or damaged; the image is shown opaque")
        height, width = self._shape()
        return alpha.Plane(Image.new("I;16" if self.drawn.deep else "L", (width, height), self.drawn.most))

    def _area(self) -> container.Area:
        """What is wanted of the picture of the header."""
        header, part = self.chunks.header, self.chunks.part
        return part.area if part else container.Area(slice(0, header.height), slice(0, header.width))

    def _shape(self) -> tuple[int, int]:
        """Height and width of what is wanted."""
        rows, columns = self._area()
        return rows.stop - rows.start, columns.stop - columns.start

    @staticmethod
    def run(jobs: Sequence[Decoding]) -> Sequence[Arrival[Any]]:
        """The pixels of jobs of equal key."""
        part = jobs[0].chunks.part
        return jobs[0].engine.render([job.symbols for job in jobs], scale=jobs[0].scale, area=part and part.area)

    def end(self, arrival: Arrival[Any]) -> Decoded:
        """What the engine left, in memory of its own."""
        arrival.wait()
        self.symbols = None
        if self.scale != 1:
            return self._small(arrival.value)
        found = self._whole(arrival)
        scale = self.options.scale
        return found if scale == 1 else Decoded(None, None, found.notes, small.reduced(found, scale))

    def _small(self, samples: memoryview) -> Decoded:
        """What was rendered small."""
        if self.chunks.overlay is None:
            self.notes.append("the overlay is damaged; what lies under it is shown")
        image = small.picture(samples)
        small.paint(image, self.chunks.overlay or (), self.chunks.header, self.scale)
        if self.alpha is not None:
            image = small.with_alpha(image, self.alpha, self.scale)
        return Decoded(None, None, self.notes, image)

    def _whole(self, arrival: Arrival[Any]) -> Decoded:
        if self.model is None:
            return exact.picture(self)
        colour = arrival.value.copy() if arrival.lent else arrival.value
        if self.chunks.overlay is None:
            self.notes.append("the overlay is damaged; what lies under it is shown")
        if self.options.output == "torch":
            self._paint_tensor(colour)
            return Decoded(colour, None, self.notes)
        if self.drawn.deep:
            self._paint_deep(colour)
        else:
            self._paint(memoryview(colour).cast("B"))
        return Decoded(colour, self.alpha and self.alpha.image, self.notes, None, self.drawn.depth, self._told())

    def _told(self) -> tuple[container.Values | None, str | None]:
        return self.chunks.values, self.dtype

    def _paint(self, colour: memoryview) -> None:
        """What is stated exactly, over flat samples."""
        overlay.paint(colour, self.chunks.overlay or (), bands_of(self.chunks.header), self._area())
        if self.alpha is not None and self.alpha.hidden:
            self.alpha.paint(colour)

    def _paint_deep(self, colour: Any) -> None:
        """The same over samples of more than 8 bits."""
        hidden = self.alpha is not None and self.alpha.hidden
        if not (self.chunks.overlay or hidden):
            return
        imported("numpy")
        import numpy as np

        samples = np.asarray(colour)
        for place, own in self._exact_parts(samples.shape):
            (samples if samples.ndim == 3 else samples[:, :, None])[place] = own
        if self.alpha is not None and hidden:
            self.alpha.paint_deep(samples)

    def _exact_parts(self, shape: tuple[int, ...]) -> Iterator[tuple[tuple[slice, ...], NDArray[Any]]]:
        """Where rectangles lie in samples (H, W, bands) of what is wanted, and their own as these are drawn."""
        import numpy as np

        bands, area, header = bands_of(self.chunks.header), self._area(), self.chunks.header
        for one in self.chunks.overlay or ():
            left, top = one.left - area.columns.start, one.top - area.rows.start
            rows = slice(max(top, 0), min(top + one.height, shape[0]))
            columns = slice(max(left, 0), min(left + one.width, shape[1]))
            if rows.start >= rows.stop or columns.start >= columns.stop:
                continue
            exact = np.array(overlay.unpack(one, bands)).reshape(one.height, one.width, bands)
            seen = exact[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
            yield (rows, columns, slice(bands)), depths.scaled(seen, header.most, self.drawn.most)

    def _paint_tensor(self, colour: Any) -> None:
        """The same over a tensor (H, W) or (H, W, bands), wherever it lives."""
        import numpy as np

        samples = colour if colour.ndim == 3 else colour[:, :, None]
        for place, own in self._exact_parts(tuple(samples.shape)):
            samples[place] = colour.new_tensor(own)
        if self.alpha is not None and self.alpha.hidden:
            invisible = colour.new_tensor(np.asarray(self.alpha.image) == 0).bool()
            for band, value in enumerate(self.alpha.hidden):
                samples[:, :, band][invisible] = value
