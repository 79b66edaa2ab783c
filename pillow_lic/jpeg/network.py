"""The network that says what a decoded JPEG lacks, in NumPy: as train/enhance.py trains it, a test compares them.

At an eighth of the resolution its positions are JPEG's blocks, at a quarter their quarters. It knows the quantisation
tables: they scale and shift the channels of every block, and its output counts in their steps. Imports numpy, models'
reader of tensors, imports and errors. Arrays are (rows, columns, channels), float32.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import LicModelMissing
from ..models import weights
from .blocks import COUNT, SIDE, TRANSFORM, to_blocks, to_plane

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

WEIGHTS = Path(__file__).parent / "enhance.safetensors"
SIZE_MAX = 1 << 20  # bytes of the file that are read
NAMES = re.compile(r"(conditions|tones|enter|coefficients|chroma|up|samples|render|(body|detail)\.\d\.[a-z]+)\.[a-z]+")
LEVEL = np.float32(64)  # levels of a sample that are 1 inside
SLOPE = np.float32(0.1)  # of the leaky ReLU
LOW = 10  # coefficients whose mean step is the unit of what is added to samples
LARGE = 3  # levels beyond that look alike
HALO = 5  # blocks around one on which it depends
STRIP = 1 << 14  # blocks that are worked on at once
ROWS = 1 << 13  # positions whose inner channels are there at once


class Network:
    """The weights, by name."""

    def __init__(self, tensors: weights.Tensors):
        self.of: dict[str, Array] = {}
        arrays = {name: np.asarray(view) for name, (_, view) in tensors.items()}
        for name, array in arrays.items():
            if name.endswith(".weight"):
                scale = arrays[name.replace(".weight", ".scale")]
                self.of[name] = array.astype(np.float32) * scale.reshape(-1, *[1] * (array.ndim - 1))
            elif name.endswith(".bias"):
                self.of[name] = array.astype(np.float32)
        self.blocks = {part: self._count(part) for part in ("body", "detail")}

    def _count(self, part: str) -> int:
        return len({name.split(".")[1] for name in self.of if name.startswith(f"{part}.")})

    def change(self, planes: Array, tables: Array, flags: Array) -> Array:
        """What to add to planes (3, 8h, 8w) of Y, Cb, Cr in levels.

        tables: (2, 64) steps of luma and chroma. flags: (2,) whether chroma is halved, and whether there is any.
        """
        height, width = (side // SIDE for side in planes.shape[1:])
        tone = self._tone(tables, flags)
        out = np.empty_like(planes)
        step = max(1, STRIP // width)
        for top in range(0, height, step):
            bottom, begin = min(top + step, height), max(top - HALO, 0)
            end = min(bottom + HALO, height)
            found = self._strip(planes[:, SIDE * begin : SIDE * end], tables, tone)
            out[:, SIDE * top : SIDE * bottom] = found[:, SIDE * (top - begin) : SIDE * (bottom - begin)]
        return out

    def _tone(self, tables: Array, flags: Array) -> Array:
        condition = np.concatenate([np.log2(tables).ravel() / 4 - 1, flags]).astype(np.float32)[None]
        return leaky(self._linear("tones", leaky(self._linear("conditions", condition))))

    def _strip(self, planes: Array, tables: Array, tone: Array) -> Array:
        centred = (planes - 128) / LEVEL
        steps = tables / LEVEL
        blocks = [to_blocks(plane) for plane in centred]
        levels = np.round(blocks[0] @ TRANSFORM.T / steps[0]).clip(-LARGE, LARGE)
        body = self._linear("enter", np.concatenate([*blocks, levels], 2))
        for number in range(self.blocks["body"]):
            body = self._block(f"body.{number}", body, tone)
        h, w = body.shape[:2]
        near = unfold(self._linear("up", body).reshape(h, w, -1, 2, 2))
        near += self._linear("samples", fold(centred[0], 4))
        for number in range(self.blocks["detail"]):
            near = self._block(f"detail.{number}", near, tone)
        scale = steps[:, :LOW].mean(1)
        luma = to_plane(self._linear("coefficients", body) * steps[0] @ TRANSFORM)
        luma += unfold(self._linear("render", near).reshape(2 * h, 2 * w, 1, 4, 4))[:, :, 0] * scale[0]
        chroma = self._linear("chroma", body).reshape(h, w, 2, COUNT) * scale[1]
        return np.stack([luma, *(to_plane(chroma[:, :, k]) for k in range(2))]) * LEVEL

    def _linear(self, name: str, x: Array) -> Array:
        weight = self.of[f"{name}.weight"]
        found: Array = np.matmul(x, weight.reshape(len(weight), -1).T)
        found += self.of[f"{name}.bias"]
        return found

    def _block(self, name: str, x: Array, tone: Array) -> Array:
        scale, bias = np.split(self._linear(f"{name}.tone", tone)[0], 2)
        inner = depthwise(x, self.of[f"{name}.depthwise.weight"], self.of[f"{name}.depthwise.bias"])
        inner = (inner * (1 + scale) + bias).reshape(-1, x.shape[2])
        out = x.reshape(-1, x.shape[2])
        for at in range(0, len(inner), ROWS):
            part = slice(at, at + ROWS)
            out[part] += self._linear(f"{name}.back", leaky(self._linear(f"{name}.out", inner[part])))
        return out.reshape(x.shape)


def leaky(x: Array) -> Array:
    """The leaky ReLU."""
    found: Array = np.maximum(x, x * SLOPE)
    return found


def depthwise(x: Array, weight: Array, bias: Array) -> Array:
    """3 x 3, of each channel alone; zeros beyond the edges. weight: (channels, 1, 3, 3)."""
    height, width = x.shape[:2]
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    out = np.broadcast_to(bias, x.shape).copy()
    part = np.empty_like(out)
    for row in range(3):
        for column in range(3):
            np.multiply(padded[row : row + height, column : column + width], weight[:, 0, row, column], out=part)
            out += part
    return out


def fold(plane: Array, side: int) -> Array:
    """(side h, side w) to (h, w, side^2)."""
    h, w = (length // side for length in plane.shape)
    return plane.reshape(h, side, w, side).transpose(0, 2, 1, 3).reshape(h, w, side * side)


def unfold(x: Array) -> Array:
    """(h, w, channels, side, side) to (side h, side w, channels)."""
    h, w, channels, side, _ = x.shape
    return np.ascontiguousarray(x.transpose(0, 3, 1, 4, 2)).reshape(side * h, side * w, channels)


@cache
def shipped() -> Network:
    """The network that comes with the package. Raises LicModelMissing."""
    try:
        with WEIGHTS.open("rb") as file:
            data = file.read(SIZE_MAX)
    except OSError as error:
        msg = f"{WEIGHTS} cannot be read ({error}); reinstall pillow_lic"
        raise LicModelMissing(msg) from error
    return Network(weights.read(data, str(WEIGHTS), NAMES))
