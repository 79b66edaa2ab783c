"""Samples of other than 8 bits: what arrays of integers and floats are coded as, and back (FORMAT 3, 4.3).

Imports container and ground; numpy when a picture comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..constants import LIC_DEPTH_MAX, LIC_DEPTH_MIN, LIC_DEPTH_WHOLE
from ..container import FLOATS, INTEGERS, Values
from ..engines.base import FINE
from ..errors import LicBadOption
from ..values import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ..container import Header

DEPTHS = (10, 12, 14, LIC_DEPTH_MAX)  # bits of cameras and scanners: the first that holds a picture is its depth
EIGHT = (1 << LIC_DEPTH_MIN) - 1  # white of 8 bits
STRIP = 1 << 18  # samples that are in binary64 at a time
DTYPES = ("uint8", "uint16", "float32")  # what decoders may be asked for


class Sampled(NamedTuple):
    """A picture's samples: uint8 or, of more than 8 bits, uint16 (H, W, bands), alpha last; of 32 bits uint32."""

    samples: Any
    depth: int = LIC_DEPTH_MIN
    values: Values | None = None  # what they stand for, if not for themselves
    notes: Sequence[str] = ()  # what there is to warn of


def checked(depth: Any) -> int | None:
    """The option. Raises LicBadOption."""
    if depth is None:
        return None
    bits = whole(depth)
    if bits is None or not LIC_DEPTH_MIN <= bits <= LIC_DEPTH_MAX:
        msg = f"depth must be bits of a sample, {LIC_DEPTH_MIN} to {LIC_DEPTH_MAX}, found {depth!r}"
        raise LicBadOption(msg)
    return bits


def sampled(array: NDArray[Any], depth: int | None, *, exact: bool = False) -> Sampled:
    """An array (H, W, bands) of uint8, uint16, int32 or float32. depth: the option. exact: in 32 bits where fewer do
    not hold all. Raises LicBadOption.
    """
    kinds: dict[str, Callable[[NDArray[Any], int | None], Sampled]]
    kinds = {"uint16": _of_uint16, "int32": _of_int32, "float32": _of_float32}
    name = array.dtype.name
    if name == "uint8":
        if depth not in (None, LIC_DEPTH_MIN):
            msg = f"depth={depth}: these pixels are uint8, which is {LIC_DEPTH_MIN} bits; hand in uint16"
            raise LicBadOption(msg)
        return Sampled(array)
    if name not in kinds:
        msg = f"pixels must be uint8, uint16, int32 or float32, found {array.dtype}; convert them"
        raise LicBadOption(msg)
    if depth == LIC_DEPTH_MIN:
        msg = f"depth={depth}: these pixels are {name}; scale them to 0..255 and hand in uint8"
        raise LicBadOption(msg)
    if name == "int32" and array.shape[2] in (2, 4):
        msg = "integers with alpha must be uint8 or uint16, found int32; convert them"
        raise LicBadOption(msg)
    if exact and (name == "float32" or (name == "int32" and int(array.max()) - int(array.min()) >> LIC_DEPTH_MAX)):
        return _whole(array, depth)
    return kinds[name](array, depth)


def _whole(array: NDArray[Any], depth: int | None) -> Sampled:
    """The bits of the numbers themselves, and from where to where they are shown in fewer."""
    import numpy as np

    if depth is not None:
        msg = f"depth={depth}: lossless=True keeps these {array.dtype} pixels in their 32 bits; leave it out"
        raise LicBadOption(msg)
    kind, plain = (FLOATS, np.float32) if array.dtype.kind == "f" else (INTEGERS, np.int32)
    numbers = np.ascontiguousarray(array, plain)  # in this machine's byte order
    colour = numbers[..., :-1] if array.shape[2] in (2, 4) else numbers
    known = colour[np.isfinite(colour)] if kind == FLOATS else colour
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    if kind == FLOATS and low >= 0.0 and high <= 1.0:
        low, high = 0.0, 1.0
    return Sampled(numbers.view(np.uint32), LIC_DEPTH_WHOLE, Values(kind, low, high))


def bits_for(most: int, depth: int | None) -> int:
    """Bits for samples up to `most`; depth: the option. Raises LicBadOption."""
    found = next(bits for bits in DEPTHS if most >> bits == 0) if depth is None else depth
    if most >> found:
        msg = f"depth={found} holds samples up to {(1 << found) - 1}, and there are some of {most}; raise it"
        raise LicBadOption(msg)
    return found


def _of_uint16(array: NDArray[np.uint16], depth: int | None) -> Sampled:
    import numpy as np

    plain = array.astype(np.uint16, copy=False)  # in this machine's byte order
    return Sampled(plain, bits_for(int(plain.max()), depth))


def _of_int32(array: NDArray[np.int32], depth: int | None) -> Sampled:
    """From 0 where all are within 16 bits, else from the least; where they span more, in as fine steps as there are."""
    import numpy as np

    low, high = int(array.min()), int(array.max())
    if low >= 0 and high >> LIC_DEPTH_MAX == 0:
        low = 0
    if (high - low) >> LIC_DEPTH_MAX == 0:
        bits = bits_for(high - low, depth)
        low = min(low, 2**31 - (1 << bits))  # so that what the largest sample stands for is an int32
        return Sampled((array - low).astype(np.uint16), bits, Values(INTEGERS, low, low + (1 << bits) - 1))
    bits, values = depth or LIC_DEPTH_MAX, Values(INTEGERS, low, high)
    note = _lost("integers of more than 16 bits", values, bits)
    return Sampled(_stepped(array, values, bits), bits, values, notes=(note,))


def _of_float32(array: NDArray[np.float32], depth: int | None) -> Sampled:
    """From 0 to 1 where all are, else from the least to the greatest."""
    import numpy as np

    bands = array.shape[2]
    colour = array[:, :, : bands - (bands in (2, 4))]
    low, high = float(colour.min()), float(colour.max())
    if not np.isfinite(array).all():
        msg = "pixels of float32 must be finite, found some that are not; numpy.nan_to_num replaces them"
        raise LicBadOption(msg)
    if low >= 0.0 and high <= 1.0:
        low, high = 0.0, 1.0
    bits, values = depth or LIC_DEPTH_MAX, Values(FLOATS, low, high)
    notes = () if (low, high) == (0.0, 1.0) else (_lost("floats beyond 0 to 1", values, bits),)
    samples = _stepped(colour, values, bits)
    if bands in (2, 4):
        alpha = array[:, :, -1:]
        if alpha.min() < 0.0 or alpha.max() > 1.0:
            msg = "alpha of float32 must be from 0 to 1, found some beyond; scale it"
            raise LicBadOption(msg)
        samples = np.concatenate([samples, _stepped(alpha, Values(FLOATS, 0.0, 1.0), bits)], axis=2)
    return Sampled(samples, bits, values, notes=notes)


def _lost(what: str, values: Values, bits: int) -> str:
    steps, span = (1 << bits) - 1, values.high - values.low
    kept = f"its values {values.low:g} to {values.high:g} are kept in {steps} steps of {span / steps:.4g}"
    return f"{what}: depth is lost: {kept}; save as TIFF to keep them"


def _stepped(array: NDArray[Any], values: Values, bits: int) -> NDArray[np.uint16]:
    import numpy as np

    span = values.high - values.low
    if span == 0.0:
        return np.zeros(array.shape, np.uint16)
    found = np.rint((array.astype(np.float64) - values.low) * (((1 << bits) - 1) / span))
    return found.astype(np.uint16)


def fine(colour: NDArray[np.uint16], depth: int) -> NDArray[np.uint16]:
    """What networks see: samples of more than 8 bits in 1/128 of a level of 8."""
    return scaled(colour, (1 << depth) - 1, FINE)


def scaled(samples: NDArray[Any], most: int, to: int) -> NDArray[Any]:
    """Samples 0 ... most as 0 ... to, rounded: uint8, uint16 where that is too small."""
    import numpy as np

    dtype = np.uint8 if to < 1 << LIC_DEPTH_MIN else np.uint16
    if most == to:
        return samples.astype(dtype, copy=False)
    table = (np.arange(most + 1, dtype=np.int64) * to + most // 2) // most
    found: NDArray[Any] = table.astype(dtype)[samples]
    return found


def drawn(header: Header, dtype: str | None) -> int:
    """The depth in which a file's samples are wanted for a dtype, None for its own."""
    if dtype == "uint8":
        return LIC_DEPTH_MIN
    if dtype == "uint16" and header.whole:
        return LIC_DEPTH_MAX
    return LIC_DEPTH_MAX if dtype is not None and not header.deep else header.depth


def dtype_told(values: Values | None, dtype: str | None) -> str:
    """The dtype of samples of more than 8 bits once they are told."""
    if dtype in ("uint8", "uint16") or (dtype is None and values is None):
        return "uint16"
    return "int32" if dtype is None and values is not None and values.kind == INTEGERS else "float32"


def told(
    samples: NDArray[Any], most: int, values: Values | None, dtype: str | None, alpha: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Samples up to `most`, alpha last, as what they stand for, or as a dtype. alpha: what is to be the last band, if
    the samples lack it.
    """
    import numpy as np

    kind = dtype_told(values, dtype)
    if kind == "uint16":
        return joined(samples, alpha)
    bands = (4 if samples.ndim == 3 else 2,) if alpha is not None else samples.shape[2:]
    out: NDArray[Any] = np.empty((*samples.shape[:2], *bands), kind)
    rows = max(1, STRIP // out[0].size)
    for top in range(0, len(samples), rows):
        part = joined(samples[top : top + rows], None if alpha is None else alpha[top : top + rows])
        if values is None:
            out[top : top + rows] = part.astype(np.float32) / np.float32(most)
            continue
        found = values.low + part * ((values.high - values.low) / most)
        if bands in ((2,), (4,)):
            found[:, :, -1] = part[:, :, -1] / most
        out[top : top + rows] = np.floor(found + 0.5) if kind == "int32" else found
    return out


def joined(colour: NDArray[Any], alpha: NDArray[Any] | None) -> NDArray[Any]:
    """Colour (H, W) or (H, W, 3) with alpha (H, W), if there is any, behind it."""
    if alpha is None:
        return colour
    import numpy as np

    return np.dstack([colour, alpha])
