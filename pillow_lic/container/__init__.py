"""The container: a `.lic` file to and from its header, metadata, alpha payload, overlay, quality map, preview and tile
streams (FORMAT 2 to 6.2).

Standard library and ground only. Knows nothing of what a tile stream holds.
"""

from __future__ import annotations

from .contents import Chunk, Container, Head
from .header import Area, Grid, Header, Tile, hyper_size, latent_size
from .numbers import Numbers
from .overlay import Planes, Rectangle
from .part import Part
from .payloads import (
    ALPHA_CONSTANT,
    ALPHA_PAINTED,
    ALPHA_PNG,
    FLOATS,
    INTEGERS,
    STREAM_MIN,
    Cicp,
    Preview,
    TileStream,
    Values,
    pack_metadata,
)
from .reader import read, read_head, verify
from .writer import write

__all__ = [
    "ALPHA_CONSTANT",
    "ALPHA_PAINTED",
    "ALPHA_PNG",
    "FLOATS",
    "INTEGERS",
    "STREAM_MIN",
    "Area",
    "Chunk",
    "Cicp",
    "Container",
    "Grid",
    "Head",
    "Header",
    "Numbers",
    "Part",
    "Planes",
    "Preview",
    "Rectangle",
    "Tile",
    "TileStream",
    "Values",
    "hyper_size",
    "latent_size",
    "pack_metadata",
    "read",
    "read_head",
    "verify",
    "write",
]
