"""The codec: arrays of pixels to whole `.lic` files and back. The one place where all rooms meet.

Imports torch (through latents), so plugins import this module at the first encode or decode, not before.
"""

from __future__ import annotations

import numbers
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import torch

from .. import format as container_format
from ..constants import HASH_BYTES, LIC_QUALITY_MAX, LIC_QUALITY_MIN
from ..entropy import Tables
from ..errors import LicBadOption, LicCorruptChunk, LicCorruptTile, LicTruncated
from ..models import loader, registry
from . import alpha as alpha_plane
from . import boundary, latents

TILE_SIDE = 16  # units of 64 pixels: 1024, large enough that a tile's own cost (about 20 bytes) does not show
GREY = 128  # sample value of pixels whose tile is missing

if hasattr(os, "register_at_fork"):  # a child has none of its parent's OpenMP threads and would wait for them for ever
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

LAYOUTS = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def encode(
    array: np.ndarray,
    *,
    quality: float = 75.0,
    model: str = registry.DEFAULT,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
) -> bytes:
    """Encode uint8 pixels to the bytes of a `.lic` file.

    array: (H, W) or (H, W, 1) grey, (H, W, 2) grey and alpha, (H, W, 3) RGB, (H, W, 4) RGBA. Alpha is kept exactly.
    quality: 1 to 100, may be fractional. model: a name of `registry.names()`.
    Raises LicBadOption (also a ValueError), LicUnknownModel, LicModelMissing, LicLimitExceeded.
    """
    q = container_format.quality_to_q(quality)
    icc, exif, xmp = (_checked_metadata(*item) for item in (("icc", icc), ("exif", exif), ("xmp", xmp)))
    array, layout = _checked_array(array)
    height, width = array.shape[:2]
    entry = registry.by_name(model)
    header = container_format.Header(
        width=width,
        height=height,
        layout=layout,
        model=entry.number,
        model_hash=entry.hash[: HASH_BYTES],
        quality_q=q,
        tile_side=TILE_SIDE,
    )
    header.check_limits()
    colour = _colour(array)
    plane = alpha_plane.pack(array[..., -1]) if layout in ("LA", "RGBA") else None
    with torch.inference_mode():
        z, r = _to_integers(colour, loader.load(entry), q)
    streams = _encode_tiles(header, loader.load(entry), z, r)
    return container_format.write(header, streams, alpha=plane, icc=icc, exif=exif, xmp=xmp)


def decode(data: bytes, *, max_pixels: float | None = None, truncated: bool = False) -> np.ndarray:
    """Decode the bytes of a `.lic` file to uint8 pixels: (H, W), (H, W, 2), (H, W, 3) or (H, W, 4).

    max_pixels: refuse an image of more, width times height, by LicLimitExceeded before anything is made for it.
    truncated=True paints missing or damaged tiles grey, with a warning, instead of raising.
    Raises a LicError that says what is wrong with the file and where; LicBadOption for wrong types.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        msg = f"data must be the bytes of a file, found {type(data).__name__}; for a path use PIL.Image.open"
        raise LicBadOption(msg)
    if max_pixels is not None and not isinstance(max_pixels, numbers.Real):
        msg = f"max_pixels must be a number or None, found {max_pixels!r}"
        raise LicBadOption(msg)
    container = container_format.read(data, truncated=truncated, max_pixels=max_pixels)
    return decode_container(container, truncated=truncated)


def decode_container(container: container_format.Container, *, truncated: bool = False) -> np.ndarray:
    """As `decode`, of a file whose chunks are read."""
    header = container.header
    model = loader.load(registry.by_hash(header.model, header.model_hash))
    plane = _alpha(container, truncated) if header.has_alpha else None
    z, r, missing = decode_symbols(container, truncated=truncated)
    grey = header.layout in ("L", "LA")
    colour = np.empty((header.height, header.width) if grey else (header.height, header.width, 3), np.uint8)
    if len(missing) < header.tile_count:
        v, t = _tables(model).dequantised(header.quality_q, z), _position(header.quality_q)
        with torch.inference_mode():
            latents.synthesise(model.decoder(), r, v, t, model.entry.manifest["halo"], colour)
    for tile in missing:
        colour[tile.pixel_rows(header), tile.pixel_columns(header)] = GREY
    return colour if plane is None else np.dstack([colour, plane])


def decode_symbols(
    container: container_format.Container, *, truncated: bool = False
) -> tuple[np.ndarray, np.ndarray, list[container_format.Tile]]:
    """The integers of a file: z (C, hz, wz) and r (M, hy, wy), int16, and the tiles that could not be read.

    This is the exact part of decoding (FORMAT 7): the same on every machine, in any number of threads.
    """
    header = container.header
    model = loader.load(registry.by_hash(header.model, header.model_hash))
    tables = _tables(model)
    manifest = model.entry.manifest
    z = np.zeros((manifest["hyper"], *header.hyper_grid), np.int16)
    r = np.zeros((manifest["latent"], *header.latent_grid), np.int16)
    missing: list[container_format.Tile] = []
    first: LicTruncated | LicCorruptTile | None = None

    def work(tile: container_format.Tile, stream: bytes | None) -> LicTruncated | LicCorruptTile | None:
        if stream is None:
            return LicTruncated(f"tile {tile.number}: the file ends before its stream does; fetch the file again")
        try:
            tile_z, tile_r = tables.decode(header.quality_q, stream, *tile.hyper_shape, *tile.latent_shape)
        except LicCorruptTile as error:
            return LicCorruptTile(f"tile {tile.number}: {error}")
        z[(slice(None), *tile.hyper)] = tile_z
        r[(slice(None), *tile.latent)] = tile_r
        return None

    tiles = header.tiles()
    for tile, error in zip(tiles, _in_threads(work, tiles, container.tiles)):
        if error is not None and not truncated:
            raise error
        if error is not None:
            first = first or error
            missing.append(tile)
    if missing:
        warnings.warn(f"{len(missing)} of {len(tiles)} tiles are painted grey; the first: {first}", stacklevel=3)
    return z, r, missing


def _checked_metadata(name: str, value: bytes | None) -> bytes | None:
    """As bytes; EXIF without the prefix that JPEG files and Pillow's info give it (FORMAT 4)."""
    if value is None:
        return None
    if not isinstance(value, (bytes, bytearray, memoryview)):
        msg = f"{name} must be bytes, found {type(value).__name__}"
        raise LicBadOption(msg)
    return bytes(value).removeprefix(b"Exif\0\0") if name == "exif" else bytes(value)


def _position(q: int) -> torch.Tensor:
    """t of FORMAT 8, shape (1,)."""
    return torch.tensor([(q - LIC_QUALITY_MIN) / (LIC_QUALITY_MAX - LIC_QUALITY_MIN)])


def _checked_array(array: np.ndarray) -> tuple[np.ndarray, str]:
    array = np.asarray(array)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in LAYOUTS or array.size == 0:
        msg = f"pixels must be of shape (H, W) or (H, W, 1 to 4) and not empty, found {array.shape}"
        raise LicBadOption(msg)
    if array.dtype != np.uint8:
        msg = f"pixels must be uint8, found {array.dtype}; scale them to 0..255 and convert"
        raise LicBadOption(msg)
    return array, LAYOUTS[array.shape[2]]


def _colour(array: np.ndarray) -> np.ndarray:
    """The colour part as (H, W, 3); grey is repeated, as a view."""
    if array.shape[2] >= 3:
        return array[:, :, :3]
    return np.broadcast_to(array[:, :, :1], (*array.shape[:2], 3))


@lru_cache(maxsize=8)
def _tables(model: loader.Model) -> Tables:
    return Tables.from_model(model.entry.manifest, model.arrays)


@lru_cache(maxsize=8)
def _rounding(model: loader.Model) -> boundary.Rounding:
    return boundary.rounding(_tables(model), model.arrays, model.entry.manifest["skip"])


def _to_integers(colour: np.ndarray, model: loader.Model, q: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (H, W, 3) to z (C, hz, wz) and r (M, hy, wy), both int16."""
    tables, manifest = _tables(model), model.entry.manifest
    hy, wy = (container_format.latent_size(n) for n in colour.shape[:2])
    encoder, halo, t = model.encoder(), manifest["encoder_halo"], _position(q)
    y = latents.analyse(encoder, colour, hy, wy, halo)
    z = latents.hyper_analyse(encoder, y, t, tables.z_steps(q), halo)
    index = tables.scale_index(q, z, hy, wy)
    v = tables.dequantised(q, z)
    return z, latents.residuals(model.decoder(), y, v, index, t, manifest["halo"], _rounding(model))


def _encode_tiles(header: container_format.Header, model: loader.Model, z: np.ndarray, r: np.ndarray) -> list[bytes]:
    tables = _tables(model)

    def work(tile: container_format.Tile) -> bytes:
        tile_z = np.ascontiguousarray(z[(slice(None), *tile.hyper)])
        tile_r = np.ascontiguousarray(r[(slice(None), *tile.latent)])
        return tables.encode(header.quality_q, tile_z, tile_r)

    return _in_threads(work, header.tiles())


def _in_threads(work, *arguments) -> list:
    """[work(...) for each tile], on as many threads as torch may use; the coder releases the GIL."""
    threads = min(torch.get_num_threads(), len(arguments[0]), os.cpu_count() or 1)
    if threads <= 1:
        return [work(*row) for row in zip(*arguments)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, *arguments))


def _alpha(container: container_format.Container, truncated: bool) -> np.ndarray:
    header = container.header
    try:
        if container.alpha is not None:
            return alpha_plane.unpack(container.alpha, header.width, header.height)
    except LicCorruptChunk:
        if not truncated:
            raise
    warnings.warn("the alpha plane is missing or damaged; the image is shown opaque", stacklevel=4)
    return np.full((header.height, header.width), 255, np.uint8)
