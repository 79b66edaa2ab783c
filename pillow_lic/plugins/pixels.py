"""Decoded samples as Pillow's images, and what Pillow calls them.

Imports Pillow and container; NumPy for grey pictures of mode I or F.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from PIL import Image

from ..constants import LIC_DEPTH_MIN, LIC_DEPTH_WHOLE
from ..container import FLOATS, INTEGERS

if TYPE_CHECKING:
    from ..codec.decoded import Decoded
    from ..container import Header, Values

NATIVE = ("L", "LA", "RGB", "RGBA")  # the modes of files, but for exact ones (FORMAT 3.1)

_LARGE = 1 << 22  # bytes of samples that may be in memory twice
_VALUED = {INTEGERS: "I", FLOATS: "F"}  # by what samples stand for
_MODES = {"uint16": "I;16", "int32": "I", "float32": "F"}


def mode_of(header: Header, values: Values | None) -> str:
    """Pillow's mode for a file. It has none of more than 8 bits but for grey. A layout has the name of its mode."""
    if not header.deep or header.layout != "L":
        return header.layout
    return "I;16" if values is None else _VALUED[values.kind]


def dtype_of(header: Header, values: Values | None) -> str:
    if not header.deep:
        return "uint8"
    return "uint16" if values is None else {INTEGERS: "int32", FLOATS: "float32"}[values.kind]


def image_of(found: Decoded) -> Image.Image:
    """The pixels as an image of its own. The memory of a large picture goes over bit by bit: `found` is of no use
    afterwards.
    """
    from ..codec import modes

    image = found.image
    if image is not None:
        own = isinstance(image, Image.Image)  # not where Pillow was imported afresh and the codec was not
        image = image if own else Image.frombytes(image.mode, image.size, image.tobytes())
        return modes.of_mode(image, found.mode)
    if found.depth == LIC_DEPTH_WHOLE:
        return Image.fromarray(found.colour)
    if found.depth > LIC_DEPTH_MIN and found.told[0] is not None:
        return _told(found)
    size, mode = found.size, "L" if len(found.colour.shape) == 2 else "RGB"
    mode = "I;16" if found.depth > LIC_DEPTH_MIN else mode
    memory = found.colour.obj if isinstance(found.colour, memoryview) else None
    if isinstance(memory, bytearray) and len(memory) > _LARGE:
        found.colour.release()
        image = _moved(memory, mode, size)
    else:
        image = Image.frombuffer(mode, size, found.colour, "raw", _raw(mode), 0, 1)
    plane = found.alpha
    if plane is not None:
        own = isinstance(plane, Image.Image)
        image.putalpha(plane if own else Image.frombytes("L", size, plane.tobytes()))
    return image.copy() if image.readonly else image


def _told(found: Decoded) -> Image.Image:
    """Grey samples as the image of what they stand for, some rows at a time: of mode I or F, or I;16 if asked."""
    from ..codec import depth as depths

    samples = found.samples()
    image = Image.new(_MODES[depths.dtype_told(*found.told)], found.size, None)  # not filled
    rows = max(1, depths.STRIP // found.size[0])
    for top in range(0, len(samples), rows):
        part = depths.told(samples[top : top + rows], (1 << found.depth) - 1, *found.told)
        image.paste(Image.fromarray(part), (0, top))
    return image


def _raw(mode: str) -> str:
    """What Pillow calls samples as they lie in memory."""
    return "I;16B" if mode == "I;16" and sys.byteorder == "big" else mode


def _moved(memory: bytearray, mode: str, size: tuple[int, int]) -> Image.Image:
    """Samples as an image, from the last row on; what has been taken over is given back each time it is half of it."""
    width, row = size[0], len(memory) // size[1]
    image, end = Image.new(mode, size, None), size[1]  # not filled
    while end:
        half = max(0, end // 2 - 1)
        while end > half:
            begin = max(half, end - max(1, _LARGE // row))
            with memoryview(memory)[begin * row : end * row] as samples:
                image.paste(Image.frombytes(mode, (width, end - begin), samples, "raw", _raw(mode)), (0, begin))
            end = begin
        del memory[end * row :]
    return image
