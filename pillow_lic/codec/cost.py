"""Where a file's bytes went: bits over the picture, by the prices of the entropy coder's own tables.

Imports container, models and ground; numpy when a file comes. No network is run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .. import container
from ..constants import LIC_HYPER_STRIDE, LIC_LATENT_STRIDE, LIC_PROB_BITS
from ..engines.base import coding
from ..imports import imported
from ..models import registry
from .decode import decode_symbols

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..container import Container, Header, Tile
    from ..entropy import Coding, Tables
    from ..models.store import Model


class Spent(NamedTuple):
    """What a file's bytes are for. bits: float32 (H, W), of each pixel; they add up to those of tiles and rectangles,
    but for a few bytes of each tile. The others are bytes.
    """

    bits: NDArray[np.float32]
    tiles: int
    rectangles: int
    alpha: int
    rest: int  # signature, header, metadata, preview, quality map, checksums


def spent(data: bytes) -> Spent:
    """Where the bytes of a `.lic` file went. Raises a LicError for what is not intact, LicUnknownModel.

    A symbol costs the logarithm of its frequency, an escape its bytes besides. What a hyper position costs lies on the
    latent positions under it in equal parts, and a latent position's bits on its pixels, a rectangle's on its own.
    """
    imported("numpy")
    import numpy as np

    chunks = container.read(data, metadata=False)
    header = chunks.header
    bits = np.zeros((header.height, header.width), np.float32)
    if not header.alone:
        bits += _over_pixels(_of_positions(chunks), header)
    for one in chunks.overlay or ():
        pixels = bits[one.top : one.top + one.height, one.left : one.left + one.width]
        pixels += 8 * len(one.data) / pixels.size
    tiles = sum(len(stage) for stream in chunks.tiles for stage in stream.stages)
    rectangles = sum(len(one.data) for one in chunks.overlay or ())
    alpha = len(chunks.alpha or b"")
    return Spent(bits, tiles, rectangles, alpha, len(data) - tiles - rectangles - alpha)


def _of_positions(chunks: Container) -> NDArray[np.float64]:
    """Bits of every latent position, (hy, wx)."""
    import numpy as np

    header = chunks.header
    model = registry.by_hash(header.model, header.model_hash)
    z, r, _ = decode_symbols(chunks)
    found = np.zeros(header.latent_grid)
    for tile, stream in zip(header.tiles(), chunks.tiles):
        within, how = np.ascontiguousarray(z[(slice(None), *tile.hyper)]), _coding(chunks, tile)
        index = model.tables.scale_index(how, within, *tile.latent_shape)
        bits = _of_hyper(model, header.quality_q, within, tile.latent_shape)
        bits += _of_residuals(model.tables, r[(slice(None), *tile.latent)], index, header.thresholds)
        # What a cut stream lacks (6.4) counts as 0, which has a price: never more than the stream has.
        found[tile.latent] = bits * min(1.0, 8 * sum(map(len, stream.stages)) / bits.sum())
    return found


def _coding(chunks: Container, tile: Tile) -> Coding:
    """How a tile's symbols are coded."""
    import numpy as np

    header = chunks.header
    if chunks.map is None:
        return coding(header, None)
    rows = np.frombuffer(chunks.map, np.int8).reshape(header.hyper_grid)[tile.hyper]
    return header.quality_q, header.thresholds, np.ascontiguousarray(rows)


def _of_residuals(tables: Tables, r: NDArray[np.int16], index: NDArray[np.uint8], stages: bytes) -> NDArray[np.float64]:
    """Bits of r (M, h, w) under their scale index, a tile's: (h, w). Each position has a state of its own (FORMAT 7.9),
    so each is priced alone.
    """
    import numpy as np

    h, w = r.shape[1:]
    levels, under = (np.ascontiguousarray(x.reshape(len(x), h * w).T)[:, :, None] for x in (r, index))
    return np.reshape([tables.price(*one, stages) for one in zip(levels, under)], (h, w))


def _of_hyper(model: Model, q: int, z: NDArray[np.int16], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Bits of z (C, a, b), a tile's, on the latent positions under it: (h, w)."""
    import numpy as np

    rows = model.tables.scale_rows + model.tables.z_rows(q, z)
    bits = _of_symbols(model.arrays, rows, z).sum(0)
    height, width = (np.minimum(LIC_HYPER_STRIDE, side - LIC_HYPER_STRIDE * np.arange(-(-side // LIC_HYPER_STRIDE)))
                     for side in shape)  # fmt: skip
    spread = np.ones((LIC_HYPER_STRIDE, LIC_HYPER_STRIDE))
    return np.kron(bits / np.outer(height, width), spread)[: shape[0], : shape[1]]


def _of_symbols(arrays: dict[str, NDArray[Any]], rows: NDArray[np.int64], z: NDArray[np.int16]) -> NDArray[np.float64]:
    """Bits of symbols under rows of the bank, of one shape (FORMAT 7.2, 7.3)."""
    import numpy as np

    count, first = (arrays[name].astype(np.int64) for name in ("count", "first"))
    start = np.cumsum(count) - count
    place, last = z - first[rows], count[rows] - 1
    held = (place >= 0) & (place < last)
    freq = arrays["freq"][start[rows] + np.where(held, place, last)]
    beyond = np.where(place < 0, -place - 1, place - last)
    escape = np.select([held, beyond < 1 << 14], [0, 16], 32)  # bits, a sign among them
    bits: NDArray[np.float64] = LIC_PROB_BITS - np.log2(freq) + escape
    return bits


def _over_pixels(positions: NDArray[np.float64], header: Header) -> NDArray[np.float32]:
    """Bits of positions (hy, wx) on the pixels that each covers: (H, W)."""
    import numpy as np

    heights, widths = (
        np.minimum(LIC_LATENT_STRIDE, side - LIC_LATENT_STRIDE * np.arange(count))
        for side, count in zip((header.height, header.width), positions.shape)
    )
    share = (positions / np.outer(heights, widths)).astype(np.float32)
    return np.repeat(np.repeat(share, heights, 0), widths, 1)
