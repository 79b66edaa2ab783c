"""Decoding in three stages: begin (the entropy coder, the alpha plane), run (the networks, several files at once), end (pixels).

Imports numpy and torch. Gets a file whose chunks are read.
"""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch

from .. import format as container_format
from ..errors import LicCorruptChunk, LicCorruptTile, LicTruncated
from ..models import loader, registry
from . import alpha as alpha_plane
from . import batch, latents, tables
from .device import Arrival, Place

GREY = 128  # sample value of pixels whose tile is missing


class Coded(NamedTuple):
    """What a file holds, on the host."""

    header: container_format.Header
    model: loader.Model
    alpha: np.ndarray | None  # (H, W) uint8
    v: torch.Tensor  # (C, hz, wz) int16
    r: torch.Tensor  # (M, hy, wy) int16
    missing: list[container_format.Tile]


def begin(
    container: container_format.Container, truncated: bool, place: Place, tiles: ThreadPoolExecutor | None = None
) -> Coded:
    """All that a container holds but its pixels."""
    header = container.header
    model = loader.load(registry.by_hash(header.model, header.model_hash))
    plane = _alpha(container, truncated) if header.has_alpha else None
    z, r, missing = read_symbols(container, model, truncated, place, tiles)
    v = place.host(*z.shape, dtype=torch.int16)
    v.numpy()[...] = tables.of(model).dequantised(header.quality_q, z.numpy())
    return Coded(header, model, plane, v, r, missing)


def read_symbols(
    container: container_format.Container,
    model: loader.Model,
    truncated: bool,
    place: Place,
    pool: ThreadPoolExecutor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, list[container_format.Tile]]:
    """z (C, hz, wz) and r (M, hy, wy), int16 in memory that the place can copy from, and the tiles that could not be read."""
    header, own, manifest = container.header, tables.of(model), model.entry.manifest
    z = place.host(manifest["hyper"], *header.hyper_grid, dtype=torch.int16)
    r = place.host(manifest["latent"], *header.latent_grid, dtype=torch.int16)
    z_array, r_array = z.numpy(), r.numpy()

    def work(tile: container_format.Tile, stream: bytes | None) -> LicTruncated | LicCorruptTile | None:
        tile_z, tile_r, error = 0, 0, None
        try:
            if stream is None:
                error = LicTruncated(f"tile {tile.number}: the file ends before its stream does; fetch the file again")
            else:
                tile_z, tile_r = own.decode(header.quality_q, stream, *tile.hyper_shape, *tile.latent_shape)
        except LicCorruptTile as found:
            error = LicCorruptTile(f"tile {tile.number}: {found}")
        if error is not None and not truncated:
            return error  # and leave the memory untouched, of which a small broken file may ask for much
        z_array[(slice(None), *tile.hyper)] = tile_z
        r_array[(slice(None), *tile.latent)] = tile_r
        return error

    every = header.tiles()
    errors = batch.in_threads(work, every, container.tiles, pool=pool)
    first = next((error for error in errors if error is not None), None)
    if first is not None and not truncated:
        raise first
    missing = [tile for tile, error in zip(every, errors) if error is not None]
    if missing:
        warnings.warn(f"{len(missing)} of {len(every)} tiles are painted grey; the first: {first}", stacklevel=4)
    return z, r, missing


def run(place: Place, keep: bool, coded: list[Coded], side: int | None) -> list[Arrival]:
    """The pixels of files with the same model and latent grid: uint8 on the host without alpha, or, to keep, on the device with it."""
    images = [
        _canvas(one.header, place) for one in coded
    ]  # outside inference mode: callers may write to what they are given
    with torch.inference_mode(), loader.running(place.name):
        drawn = [(one, image) for one, image in zip(coded, images) if len(one.missing) < one.header.tile_count]
        if drawn:
            r, v = (latents.stacked([place.up(getattr(one, name)) for one, _ in drawn]) for name in ("r", "v"))
            t = place.up(latents.positions(*(one.header.quality_q for one, _ in drawn)))
            model = coded[0].model
            decoder, halo = model.decoder(place.name), model.entry.manifest["halo"]
            latents.synthesise(decoder, r, v, t, halo, [image for _, image in drawn], side)
        for one, image in zip(coded, images):
            for tile in one.missing:
                image[tile.pixel_rows(one.header), tile.pixel_columns(one.header)] = GREY
    if keep:
        images = [_with_alpha(image, one.alpha, place) for image, one in zip(images, coded)]
    else:
        images = [place.down(image) for image in images]
    wait = place.mark()
    return [Arrival(image, wait) for image in images]


def _canvas(header: container_format.Header, place: Place) -> torch.Tensor:
    """(H, W), or (H, W, 3), on the device."""
    bands = () if header.layout in ("L", "LA") else (3,)
    return torch.empty((header.height, header.width, *bands), dtype=torch.uint8, device=place.name)


def _with_alpha(image: torch.Tensor, alpha: np.ndarray | None, place: Place) -> torch.Tensor:
    if alpha is None:
        return image
    plane = place.up(torch.from_numpy(np.array(alpha)))[..., None]
    return torch.cat([image if image.dim() == 3 else image[..., None], plane], -1)


def end(place: Place, keep: bool, coded: Coded, arrival: Arrival, _tiles: ThreadPoolExecutor | None = None) -> Any:
    """The pixels that `run` left: an array of the host, or to keep the tensor itself."""
    arrival.wait()
    if keep:
        return arrival.value
    colour = arrival.value.numpy()
    if coded.alpha is not None:
        return np.dstack([colour, coded.alpha])
    return colour.copy() if place.gpu else colour  # pinned memory is for the next image


def _alpha(container: container_format.Container, truncated: bool) -> np.ndarray:
    header = container.header
    try:
        if container.alpha is not None:
            return alpha_plane.unpack(container.alpha, header.width, header.height)
    except LicCorruptChunk:
        if not truncated:
            raise
    warnings.warn("the alpha plane is missing or damaged; the image is shown opaque", stacklevel=5)
    return np.full((header.height, header.width), 255, np.uint8)
