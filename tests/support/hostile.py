"""Files that cost their reader as much as files of their size can."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from pillow_lic import _core_test, container
from pillow_lic.constants import HASH_BYTES
from pillow_lic.models import registry


def forged(
    name: str,
    height: int,
    width: int,
    layout: str = "RGB",
    tile_side: int = 64,
    depth: int = 8,
    values: container.Values | None = None,
) -> bytes:
    """A file of a model without a picture: zeros, at the quality where they cost least."""
    model = registry.by_name(name)
    q = model.manifest.quality[0]
    header = container.Header(width, height, layout, model.number, model.hash[:HASH_BYTES], q, tile_side, depth=depth)
    streams: dict[object, bytes] = {}
    tiles = []
    for tile in header.tiles():
        shapes = tile.hyper_shape, tile.latent_shape
        if shapes not in streams:
            z = np.zeros((model.manifest.hyper, *tile.hyper_shape), np.int16)
            r = np.zeros((model.manifest.latent, *tile.latent_shape), np.int16)
            streams[shapes] = _core_test.encode(model.core, q, z, r)
        tiles.append(streams[shapes])
    return container.write(header, tiles, _painted(header) if header.has_alpha else None, values=values)


def _painted(header: container.Header) -> bytes:
    """Alpha that is 0 at half of the pixels, which are painted: what costs most."""
    plane = Image.new("I;16" if header.deep else "L", (header.width, header.height), header.most)
    plane.paste(0, (0, 0, header.width, header.height // 2))
    buffer = io.BytesIO()
    plane.save(buffer, "PNG", compress_level=9)
    colour = bytes((1 if header.layout == "LA" else 3) * (2 if header.deep else 1))
    return bytes([container.ALPHA_PAINTED]) + colour + buffer.getvalue()
