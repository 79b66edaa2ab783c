"""Encoding in three stages: begin (the alpha plane), run (the networks, several pictures at once), end (the entropy coder, the file).

Imports numpy and torch. What an image and its options must be is checked before, in this folder's __init__.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch

from .. import format as container_format
from ..models import loader, registry
from . import alpha as alpha_plane
from . import batch, latents, search, tables
from .device import Arrival, Place


class Picture(NamedTuple):
    """What is to be encoded: checked."""

    header: container_format.Header
    model: loader.Model
    colour: np.ndarray  # (H, W, 3) uint8
    alpha: np.ndarray | bytes | None  # the plane (H, W) uint8, then the payload of chunk `A`
    metadata: dict[str, bytes | None]
    effort: int = 0  # 0 to 9; above 0 the manifest has a lambda


def begin(picture: Picture) -> Picture:
    """The picture with its alpha packed."""
    return picture if picture.alpha is None else picture._replace(alpha=alpha_plane.pack(picture.alpha))


def run(place: Place, pictures: list[Picture], side: int | None) -> list[Arrival]:
    """z (C, hz, wz) and r (M, hy, wy), both int16, of pictures with the same model, quality, effort and latent grid."""
    model, header = pictures[0].model, pictures[0].header
    own, manifest, q = tables.of(model), model.entry.manifest, header.quality_q
    encoder, decoder = model.encoder(place.name), model.decoder(place.name)
    halo, grid, images = manifest["encoder_halo"], header.latent_grid, [picture.colour for picture in pictures]
    with torch.inference_mode(), loader.running(place.name):
        t = place.up(latents.positions(*[q] * len(pictures)))
        y = latents.analyse(encoder, images, *grid, t, halo, place, side)
        z = latents.hyper_analyse(encoder, y, t, place.up(torch.from_numpy(own.z_steps(q))), halo, side)
        v, index = tables.mapped(model, place, q, z, *grid)
        quantiser, effort = tables.quantiser(model, place.name), pictures[0].effort
        bit = search.error_of_bit(registry.lambda_at(manifest, q)) if effort else 0.0
        r = search.residuals(decoder, images, y, v, index, t, manifest["halo"], bit, quantiser, effort, place, side)
        z, r = place.down(z), place.down(r)
    wait = place.mark()
    return [Arrival(integers, wait) for integers in zip(z, r)]


def end(picture: Picture, arrival: Arrival, tiles: ThreadPoolExecutor | None = None) -> bytes:
    """The file, from what `run` left."""
    arrival.wait()
    z, r = (part.numpy() for part in arrival.value)
    own, header = tables.of(picture.model), picture.header

    def work(tile: container_format.Tile) -> bytes:
        tile_z = np.ascontiguousarray(z[(slice(None), *tile.hyper)])
        tile_r = np.ascontiguousarray(r[(slice(None), *tile.latent)])
        return own.encode(header.quality_q, tile_z, tile_r)

    streams = batch.in_threads(work, header.tiles(), pool=tiles)
    return container_format.write(header, streams, alpha=picture.alpha, **picture.metadata)
