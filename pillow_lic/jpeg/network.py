"""The networks that say what a decoded JPEG lacks, at its size and at twice that: their weights, and the core's engine
for them (csrc/nn/enhance.h, enlarge.h).

Imports `_core`, models' reader of tensors, threads and errors.
"""

from __future__ import annotations

import re
from array import array
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _core, threads
from ..errors import LicModelMissing
from ..models import weights

if TYPE_CHECKING:
    from .source import Jpeg

WEIGHTS = Path(__file__).parent / "enhance.safetensors"
LARGE = Path(__file__).parent / "enlarge.safetensors"
SIZE_MAX = 1 << 20  # bytes of the file that are read
NAMES = re.compile(r"(conditions|tones|enter|coefficients|chroma|up|samples|render|(body|detail)\.\d\.[a-z]+)\.[a-z]+")


def enhanced(jpeg: Jpeg) -> bytearray:
    """Its samples made better, (height, width) or (height, width, 3) of RGB, in as many threads as `threads.count`
    says; the same on every machine. Raises LicModelMissing.
    """
    width, height = jpeg.size
    out, made = bytearray(len(jpeg.pixels)), shipped()
    volume, tables = (height, width, jpeg.bands), memoryview(jpeg.tables).cast("B")
    made.enhance(jpeg.pixels, volume, jpeg.rgb, tables, jpeg.halved, out, threads.count())
    return out


@cache
def shipped() -> _core.Enhancer:
    """The network that comes with the package. Raises LicModelMissing."""
    return _core.Enhancer(_read(WEIGHTS))


def enlarged(jpeg: Jpeg, size: tuple[int, int]) -> bytearray:
    """Its samples at `size`, width and height, twice its own or one less each: (height, width) or (height, width, 3) of
    RGB. Threads and errors as of `enhanced`.
    """
    width, height = jpeg.size
    out, made = bytearray(size[0] * size[1] * jpeg.bands), shipped_large()
    volume, tables = (height, width, jpeg.bands), memoryview(jpeg.tables).cast("B")
    made.enlarge(jpeg.pixels, volume, jpeg.rgb, tables, jpeg.halved, (size[1], size[0]), out, threads.count())
    return out


@cache
def shipped_large() -> _core.Enlarger:
    """The network for twice the size that comes with the package. Raises LicModelMissing."""
    return _core.Enlarger(_read(LARGE))


def _read(path: Path) -> dict[str, memoryview[Any]]:
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_MAX)
    except OSError as error:
        msg = f"{path} cannot be read ({error}); reinstall pillow_lic"
        raise LicModelMissing(msg) from error
    return widened(weights.read(data, str(path), NAMES))


def widened(tensors: weights.Tensors) -> dict[str, memoryview[Any]]:
    """As the core takes them: weights of 8 bits as int16."""
    return {name: _int16(view) if kind == "I8" else view for name, (kind, view) in tensors.items()}


def _int16(view: memoryview[Any]) -> memoryview[Any]:
    values = array("h", view.cast("B").cast("b"))
    return memoryview(values).cast("B").cast("h", list(view.shape or ()))
