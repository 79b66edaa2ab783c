"""Exact pictures of 32-bit numbers, floats or integers: four overlays of 8 bits, of the bytes of the numbers or of what
is left of these where they are predicted; or a table of them, and a picture of indices (FORMAT 5.2).

Imports container, overlay, planes and ground; numpy when a picture comes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..constants import LIC_DEPTH_MAX, LIC_DEPTH_MIN, LIC_DEPTH_WHOLE, LIC_TABLE_MAX
from ..container import FLOATS, Numbers, Values
from ..container.numbers import BYTES, TABLE, header_of_indices
from ..container.overlay import PLAIN, PREDICTED, Planes, bands_of
from ..errors import LicCorruptChunk
from ..imports import imported
from . import overlay, planes
from .depth import STRIP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..container import Header

_SHIFTS = range(0, 8 * BYTES, 8)  # of the bytes of a number
_SIGN = 31


# ---- Packing ------------------------------------------------------------------------------------------------------


def pack(samples: NDArray[Any], kind: int, effort: int) -> Numbers:
    """uint32 (H, W, 1 to 4), the bits of floats or integers, in the smallest of the ways that there are. kind: what
    they stand for. effort: as of overlay.pack.
    """
    return min(ways(samples, kind, effort), key=size)


def ways(samples: NDArray[Any], kind: int, effort: int) -> list[Numbers]:
    """The same in each of them."""
    from .. import entropy

    predicted = entropy.predicted(samples, LIC_DEPTH_WHOLE)
    found = [_bytes(PLAIN, samples, effort), _bytes(PREDICTED, predicted, effort), _table(samples, kind, effort)]
    return [one for one in found if one is not None]


def size(numbers: Numbers) -> int:
    """Bytes of data, about."""
    from zlib import compress

    return len(compress(numbers.table)) + sum(len(one.data) for part in numbers.parts() for one in part)


def _bytes(prediction: int, numbers: NDArray[Any], effort: int) -> Numbers:
    import numpy as np

    parts = (overlay.image_of((numbers >> np.uint32(shift)).astype(np.uint8)) for shift in _SHIFTS)
    return Numbers(prediction, tuple(tuple(overlay.pack(part, 0, 0, effort)) for part in parts))


def _table(samples: NDArray[Any], kind: int, effort: int) -> Numbers | None:
    """With a table, in the order of the numbers, where they are few."""
    import numpy as np

    keys = _ordered(samples, kind)
    values = np.unique(keys)
    if len(values) > LIC_TABLE_MAX:
        return None
    few = len(values) <= 1 << LIC_DEPTH_MIN
    indices = np.empty(samples.shape, np.uint8 if few else np.uint16)
    rows = max(1, STRIP // samples[0].size)
    for top in range(0, len(samples), rows):
        indices[top : top + rows] = np.searchsorted(values, keys[top : top + rows])
    steps: NDArray[Any] = np.diff(_ordered(values.view(np.uint32), kind).view(np.uint32), prepend=np.uint32(0))
    table = b"".join((steps >> np.uint32(shift)).astype(np.uint8).tobytes() for shift in _SHIFTS)
    packed = overlay.pack(overlay.image_of(indices), 0, 0, effort) if few else ()
    return Numbers(TABLE, (), table, tuple(packed) if few else planes.pack(indices, LIC_DEPTH_MAX, effort))


def _ordered(bits: NDArray[Any], kind: int) -> NDArray[Any]:
    """int32 that are in the order of the numbers, and back: its own inverse. Every pattern of bits, NaN as well, has
    one.
    """
    import numpy as np

    found: NDArray[Any] = bits.view(np.int32)
    return found ^ ((found >> _SIGN) & np.int32(2**_SIGN - 1)) if kind == FLOATS else found


# ---- Unpacking ----------------------------------------------------------------------------------------------------


def unpack(numbers: Numbers, header: Header) -> NDArray[Any]:
    """The bits of the numbers, uint32 (H, W, bands). header: that of the whole picture. Raises LicCorruptChunk,
    LicWebpMissing.
    """
    imported("numpy", "pillow_lic.entropy")
    import numpy as np

    from .. import entropy

    if numbers.prediction == TABLE:
        return _looked_up(numbers, header)
    found = np.zeros((header.height, header.width, bands_of(header)), np.uint32)
    for rectangles, shift in zip(numbers.overlays, _SHIFTS, strict=True):
        planes.add(found, rectangles, header, shift)
    if numbers.prediction == PREDICTED:
        entropy.restore(found, header.depth)
    return found


def _looked_up(numbers: Numbers, header: Header) -> NDArray[Any]:
    import numpy as np

    parts = np.frombuffer(numbers.table, np.uint8).reshape(BYTES, -1).astype(np.uint32)
    steps = sum(part << np.uint32(shift) for part, shift in zip(parts, _SHIFTS, strict=True))
    table: NDArray[Any] = np.cumsum(steps, dtype=np.uint32)
    own = header_of_indices(header, len(table))
    if isinstance(numbers.indices, Planes):
        indices: Any = planes.unpack(numbers.indices, own)
    else:
        image = overlay.whole(numbers.indices, replace(own, depth=LIC_DEPTH_MIN))
        indices = np.asarray(image).reshape(header.height, header.width, bands_of(header))
    if indices.max() >= len(table):
        msg = f"the picture has indices beyond its table of {len(table)}; the file is damaged, fetch it again"
        raise LicCorruptChunk(msg)
    found: NDArray[Any] = table[indices]
    return found


def told(bits: NDArray[Any], values: Values) -> NDArray[Any]:
    """What bits stand for: the same memory as float32 or int32."""
    import numpy as np

    found: NDArray[Any] = bits.view(np.float32 if values.kind == FLOATS else np.int32)
    return found


def drawn(bits: NDArray[Any], values: Values, most: int) -> NDArray[Any]:
    """Samples 0 to `most`, uint8 or uint16, from the low to the high that the file states: what is beyond, infinite
    too, as these; NaN as the low. Alpha, the last of 2 or 4 bands, from 0 to 1.
    """
    import numpy as np

    numbers = told(bits, values)
    out = np.empty(bits.shape, np.uint8 if most < 1 << LIC_DEPTH_MIN else np.uint16)
    low, high = (np.full(bits.shape[2], end) for end in values[1:])
    if bits.shape[2] in (2, 4):
        low[-1], high[-1] = 0, 1
    rows = max(1, STRIP // bits[0].size)
    with np.errstate(all="ignore"):  # whatever a file states
        scale = np.where(high > low, most / (high - low), 0)
        for top in range(0, len(bits), rows):
            found = (numbers[top : top + rows].astype(np.float64) - low) * scale
            out[top : top + rows] = np.rint(np.clip(np.where(np.isnan(found), 0, found), 0, most))
    return out


def grey(header: Header, values: Values) -> NDArray[Any]:
    """In the place of a picture that is damaged: the middle of what the file states, uint32 (H, W, bands)."""
    import numpy as np

    kind = np.float32 if values.kind == FLOATS else np.int32
    with np.errstate(all="ignore"):
        middle = np.float64(values.low) / 2 + np.float64(values.high) / 2
        return np.full((header.height, header.width, bands_of(header)), middle).astype(kind).view(np.uint32)
