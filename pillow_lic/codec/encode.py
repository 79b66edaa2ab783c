"""Encodes a picture: begin (the alpha plane), the engine, end (the entropy coder, the file).

Imports container, engines, models and ground; numpy when a picture comes.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from .. import container
from ..constants import HASH_BYTES
from ..container.header import LAYOUTS as NAMED
from ..engines.base import Arrival, Engine, Picture, Symbols, at_once
from ..engines.pieces import covered
from ..errors import LicBadOption
from ..imports import imported
from ..threads import cramped, spread, with_large_stack
from . import alpha, fill, modes, numbers, overlay, planes, preview, rate, regions
from . import depth as depths
from . import room as rooms
from .keywords import keywords
from .metadata import NO_METADATA, Metadata
from .options import EncodeKeywords, EncodeOptions, EncodeSettings
from .order import ORDERS, Order, turned
from .order import checked as checked_order
from .screen import Plan, Scene, planned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from ..models.store import Model

TILE_SIDE = 16  # units of 64 pixels: 1024, large enough that a tile's own cost (about 20 bytes) does not show
LAYOUTS = {len(name): name for name in NAMED.values()}  # by the number of channels
IMAGES = {*LAYOUTS.values(), "I;16", "I;16B", "I", "F"}  # modes of Pillow's whose arrays are pixels of these


class EncodePicture(EncodeKeywords, total=False):
    """The keywords of `encode`, for type checkers."""

    icc: bytes | None
    exif: bytes | None
    xmp: bytes | None
    cicp: Sequence[int] | None
    order: str


@keywords(EncodeOptions, Metadata, Order)
def encode(array: NDArray[Any], **options: Unpack[EncodePicture]) -> bytes:
    """Encode pixels to the bytes of a `.lic` file.

    array: (H, W) or (H, W, 1) grey, (H, W, 2) grey and alpha, (H, W, 3) RGB, (H, W, 4) RGBA; uint8, or with more depth
    uint16, int32 or float32. Alpha is kept exactly, with lossless=True all samples are, infinite ones and NaN too.
    icc, exif (a TIFF structure), xmp: bytes. cicp: colour coding points as ITU-T H.273 numbers them: primaries,
    transfer, matrix and whether samples are of full range. order: "rgb", or "bgr" for colours as OpenCV has them.
    {options}
    Raises LicBadOption and LicTargetUnreachable (also ValueErrors), LicUnknownModel, LicModelMissing, LicLimitExceeded,
    LicGpuUnavailable; all are LicErrors.
    """
    if cramped():
        return with_large_stack(encode, array, **options)
    array = turned(array, checked_order(options.pop("order", ORDERS[0])))
    metadata = Metadata(*(options.pop(name, None) for name in Metadata._fields))  # type: ignore[misc]
    data, notes = encoded(array, EncodeOptions(**options).checked(), metadata)  # type: ignore[misc]
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return data


def encoded(
    array: Any, settings: EncodeSettings, metadata: Metadata, mode: str | None = None
) -> tuple[bytes, Sequence[str]]:
    """The bytes of a file, and what there is to warn of, when it is its turn. mode: as of Encoding."""
    job = Encoding(array, settings, metadata, mode)
    with rooms.room.of(rooms.ENCODING * job.pixels):
        job.begin()
        (arrival,) = job.run([job])
        return job.end(arrival), job.notes


class Encoding:
    """One picture's way into a file. Raises LicBadOption, LicLimitExceeded for a picture that is none."""

    def __init__(self, array: Any, settings: EncodeSettings, metadata: Metadata = NO_METADATA, mode: str | None = None):
        """mode: of an exact picture, what Pillow calls its bands where they are not grey or RGB (FORMAT 3.1)."""
        imported("numpy")
        self.settings, self.metadata = settings, metadata.checked()
        pixels, layout = _checked(array)
        sampled = depths.sampled(pixels, settings.depth, exact=settings.model is None)
        self.source, self.values = sampled.samples, sampled.values
        self.header = _header((self.source.shape, mode or layout, sampled.depth), settings)
        self.header.check_limits()
        self.grid = self.header.latent_grid
        self.picture: Picture | None = None  # what the networks see, of a picture that has something for them
        self.overlay: list[container.Rectangle] = []
        self.alpha: bytes | None = None
        self.scene: Scene | None = None  # what it is planned from, until that is done for good
        self.preview: container.Preview | None = None
        self.planes: container.Planes | container.Numbers | None = None
        self.lost, self.notes = sampled.notes, sampled.notes
        self.pixels = covered(self.header)

    @property
    def engine(self) -> Engine:
        """What runs its networks."""
        return self.settings.engine

    @property
    def key(self) -> Any:
        """Jobs of equal key may share a call of the engine."""
        return self.settings, self.grid, self.header.deep

    def begin(self) -> None:
        """Pack what is kept exactly: alpha, rectangles, or everything."""
        if self.settings.preview:
            self.preview = preview.made(self._seen(), self.settings.preview)
        exact, seen, hidden = self.source, None, b""
        if self.header.has_alpha and not self.settings.exact:
            exact, seen, hidden = fill.one_colour_unseen(self.source)
        if self.settings.model is None:
            if self.header.whole:
                assert self.values is not None
                self.planes = numbers.pack(exact, self.values.kind, self.settings.effort)
            elif self.header.deep:
                self.planes = planes.pack(exact, self.header.depth, self.settings.effort)
            else:
                self.overlay = overlay.pack(overlay.image_of(exact), 0, 0, self.settings.effort)
            return
        packed = alpha.pack(exact[..., -1], hidden) if self.header.has_alpha else None
        colour = _colour(exact)
        if self.header.deep:
            colour = depths.fine(colour, self.header.depth)
        if seen is not None and seen.any():
            colour = fill.filled(colour, seen)
        self.scene = Scene(self.header, self.settings, colour, exact, seen, packed)
        if self.settings.target is None:
            self.take(planned(self.scene))
            self.scene = None

    def _seen(self) -> Image.Image:
        """What it looks like, in 8 bits."""
        if self.header.whole:
            assert self.values is not None
            return overlay.image_of(numbers.drawn(self.source, self.values, depths.EIGHT))
        eight = overlay.image_of(depths.scaled(self.source, self.header.most, depths.EIGHT))
        return modes.seen(modes.of_mode(eight, self.header.layout)) if self.header.other else eight

    def take(self, plan: Plan) -> None:
        """What becomes of the picture."""
        assert self.scene is not None
        self.overlay, self.header, self.alpha, self.picture = plan.overlay, self.scene.header, self.scene.alpha, None
        if plan.colour is None:
            before = self.header
            self.header, self.alpha = container.Header.of_overlay(before.width, before.height, before.layout), None
        else:
            own = self.settings
            assert own.model is not None
            self.picture = Picture(self.header, own.model, plan.colour, progressive=own.progressive)
            if own.target is None:
                self.picture = self._mapped(self.picture, own.engine)

    def _mapped(self, picture: Picture, engine: Engine) -> Picture:
        """With its quality map, if it is to have one."""
        wanted = self.settings.regions
        return picture if wanted is None else replace(picture, shift=regions.map_of(wanted, picture, engine))

    def at(self, model: Model, q: int, engine: Engine) -> Picture:
        """The picture as a model is to encode it, at quality Q, with the quality map that it has there."""
        assert self.picture is not None
        header = self.picture.header.named(model.number, model.hash[:HASH_BYTES], q)
        return self._mapped(replace(self.picture, header=header, model=model), engine)

    def beside(self) -> int:
        """Bytes of what stands beside the networks' picture, but for a few that say what it is."""
        assert self.scene is not None
        packed = [container.pack_metadata(one) for one in self.metadata[:3] if one is not None]
        packed += [one.data for one in self.overlay] + [
            self.scene.alpha or b"",
            self.preview.data if self.preview else b"",
        ]
        return sum(map(len, packed))

    @staticmethod
    def run(jobs: Sequence[Encoding]) -> Sequence[Arrival[Any]]:
        """The symbols of jobs of equal key; of one that is an overlay alone, nothing; of those with a target, what
        meets it.
        """
        settings = jobs[0].settings
        if settings.target is not None:
            return [Arrival(rate.sought(job), at_once) for job in jobs]
        pictures, engine = [job.picture for job in jobs if job.picture is not None], settings.engine
        found = iter(engine.quantise(engine.analyse(pictures), settings.effort) if pictures else ())
        return [Arrival(None, at_once) if job.picture is None else next(found) for job in jobs]

    def end(self, arrival: Arrival[Any]) -> bytes:
        """The file."""
        arrival.wait()
        if self.settings.target is None:
            return self.file(arrival.value)
        self.scene, self.notes = None, (*self.lost, *arrival.value.notes)
        data: bytes = arrival.value.data
        return data

    def file(self, symbols: Symbols | None) -> bytes:
        """The file of the symbols of its picture, None where it has none."""
        streams: list[list[bytes]] = []
        header, rows = self.header, None
        if symbols is not None:
            self.notes, header, rows = (*self.lost, *symbols.notes), symbols.header, symbols.shift
            streams = spread(symbols.encode, header.tiles())
        beside: dict[str, Any] = self.metadata._asdict() | {"values": self.values, "planes": self.planes}
        beside |= {"alpha": self.alpha, "overlay": self.overlay, "map": rows, "preview": self.preview}
        return container.write(header, streams, **beside, style=self._style())

    def _style(self) -> tuple[int, int] | None:
        """How the writer wants it shown, where that is not the default."""
        style = self.settings.style
        return (style.number, style.strength) if style and style.strength else None


def _header(of: tuple[tuple[int, ...], str, int], settings: EncodeSettings) -> container.Header:
    """of: shape, layout and depth of samples."""
    shape, layout, depth = of
    if settings.model is None:
        return container.Header.of_overlay(shape[1], shape[0], layout, depth)
    return container.Header(
        width=shape[1],
        height=shape[0],
        layout=layout,
        model=settings.model.number,
        model_hash=settings.model.hash[:HASH_BYTES],
        quality_q=settings.q,
        tile_side=TILE_SIDE,
        depth=depth,
    )


def check_image(array: Any) -> None:
    """Of an image of Pillow's NumPy takes any mode. Raises LicBadOption for those whose numbers are no grey or RGB."""
    if hasattr(array, "getbands") and array.mode not in IMAGES:
        what = f"an image of mode {array.mode!r}"
        msg = f"{what} is no array of grey or RGB: image.save(file, 'LIC') keeps its mode, convert('RGB') changes it"
        raise LicBadOption(msg)


def _checked(array: Any) -> tuple[NDArray[Any], str]:
    import numpy as np

    check_image(array)
    array = np.asarray(array)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in LAYOUTS or array.size == 0:
        msg = f"pixels must be of shape (H, W) or (H, W, 1 to 4) and not empty, found {array.shape}"
        raise LicBadOption(msg)
    return array, LAYOUTS[array.shape[2]]


def _colour(array: NDArray[Any]) -> NDArray[Any]:
    """The colour part as (H, W, 3); grey is repeated, as a view."""
    import numpy as np

    if array.shape[2] >= 3:
        return array[:, :, :3]
    return np.broadcast_to(array[:, :, :1], (*array.shape[:2], 3))
