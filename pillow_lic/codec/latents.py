"""The latents of a file, for machines that look at them instead of at pixels: no synthesis is run.

Imports container, engines, models and ground; numpy when arrays are asked for.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, NamedTuple

from ..constants import LIC_MEAN_BITS, LIC_OCTAVE_BITS
from ..engines import choice as engines
from ..errors import LicBadOption
from ..imports import imported
from ..models import registry
from ..threads import cramped, spread, with_large_stack
from . import room as rooms
from .decode import grey_where_missing, read
from .decode_options import DecodeOptions

if TYPE_CHECKING:
    import os

    import numpy as np
    from numpy.typing import NDArray

    from ..engines.base import Symbols
    from ..models.store import Model

OCTAVE, MEAN_UNITS = 1 << LIC_OCTAVE_BITS, 1 << LIC_MEAN_BITS  # of L, and of y_hat's unit (FORMAT 8.2)


class FileLatents(NamedTuple):
    """What the networks that make pixels would be given. One position covers 16 x 16 pixels, and the last row and
    column reach beyond the picture where its sides are no multiples of 16.
    """

    y_hat: NDArray[np.float32]  # (M, hy, wy): whole numbers, in the unit of the model's y_hat
    scales: NDArray[np.float32] | None  # likewise: the standard deviation that the model expects around its mean of it
    model: str  # two files are comparable where this is equal
    quality: float  # of the file; y hardly depends on it, the scales do
    size: tuple[int, int]  # width and height of the picture


def latents(
    data: bytes | str | os.PathLike[str] | IO[bytes],
    *,
    scales: bool = True,
    max_pixels: float | None = None,
    truncated: bool = False,
) -> FileLatents:
    """The latents of a `.lic` file, exact and the same on every machine, without the networks that make pixels.

    data: as of `decode`. scales: False leaves them out and saves a quarter of the time. max_pixels: as of `decode`.
    truncated: True leaves tiles that are missing or damaged as the model expects them from nothing, instead of raising.
    Raises a LicError that says what is wrong with the file and where; LicBadOption for wrong types, for lossless files,
    which have no latents, and for files of models that know none of integers.
    """
    if cramped():
        return with_large_stack(latents, data, scales=scales, max_pixels=max_pixels, truncated=truncated)
    options = DecodeOptions(max_pixels=max_pixels, truncated=truncated, device="cpu").checked()
    chunks = read(data, options)
    header = chunks.header
    if header.alone:
        msg = "the file keeps its pixels exactly: it has no latents of a model; decode it"
        raise LicBadOption(msg)
    model = registry.by_hash(header.model, header.model_hash)
    rooms.check(header, model, options)
    with rooms.room.of(rooms.work(header, model)):
        symbols = engines.integers(model).blank(header, model, chunks.map)
        grey_where_missing(symbols, spread(symbols.decode, header.tiles(), chunks.tiles), truncated)
        y_hat, deviations = _arrays(symbols, scales)
    size = header.width, header.height
    return FileLatents(y_hat, deviations, model.name, model.manifest.quality_at(header.quality_q), size)


def _arrays(symbols: Symbols, scales: bool) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    imported("numpy")
    import numpy as np

    model, grid = symbols.model, symbols.header.latent_grid
    shape = (model.manifest.latent, *grid)
    y_hat, log = engines.integers(model).latents(symbols, steps=scales)
    found = np.frombuffer(y_hat, np.int16).astype(np.float32).reshape(shape)
    if log is None:
        return found, None
    index = np.empty(found.size, np.uint8)
    model.core.scale_index_into(symbols.coding, symbols.z, grid, index)
    deviations = (_deviations(model) / MEAN_UNITS).astype(np.float32).take(index).reshape(shape)
    steps = np.frombuffer(log, np.int16).reshape(*grid, -1).transpose(2, 0, 1)
    return found, deviations * np.exp2(steps * np.float32(1 / OCTAVE))


def _deviations(model: Model) -> NDArray[np.float64]:
    """The standard deviation of r under each scale row, by the model's own frequencies (FORMAT 7.3, 7.9)."""
    import numpy as np

    rows, tables = model.manifest.rows, model.arrays
    ends = np.cumsum(tables["count"][:rows])
    values = np.concatenate([first + np.arange(n) for first, n in zip(tables["first"], tables["count"][:rows])])
    chance = tables["freq"][: ends[-1]].astype(np.float64)
    chance[ends - 1] = 0  # escapes are rare, and of no known size
    starts = ends - tables["count"][:rows]
    found = np.sqrt(np.add.reduceat(chance * values**2.0, starts) / np.add.reduceat(chance, starts))
    return found * model.core.spacings
