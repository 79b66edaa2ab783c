"""A model's integer tables and the coder over them: bytes to symbols and back (FORMAT 7 and 9.2).

Imports `_core`, constants, errors and numpy; knows no networks, no files, no floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from .constants import (
    LIC_BIAS_MAX,
    LIC_CHANNELS_MAX,
    LIC_FRACTION_BITS,
    LIC_HYPER_STRIDE,
    LIC_QUALITY_MAX,
    LIC_QUALITY_MIN,
    LIC_Z_MAX,
    LIC_Z_MIN,
)
from .errors import LicModelMissing

# The manifest's integers and their ranges (FORMAT 9.1). `skip` is bounded by `rows` as well.
LIMITS = {"latent": (1, 1024), "hyper": (1, LIC_CHANNELS_MAX), "points": (2, 64), "rows": (1, 256), "skip": (0, 256)}
ONE = 1 << LIC_FRACTION_BITS  # the whole of a fraction in FORMAT 7.1
CELL = LIC_HYPER_STRIDE * LIC_HYPER_STRIDE  # latent positions above a hyper position


class Tables:
    """The tables of FORMAT 9.2, checked, and what can be done with them at a quality Q (100 to 10000).

    Unchanging, so any number of threads may use one; encode, decode and scale_index release the GIL while they work.
    """

    def __init__(
        self, arrays: Mapping[str, NDArray[Any]], latent: int, hyper: int, points: int, rows: int, skip: int
    ) -> None:
        """arrays: those of tables.npz. The integers are the manifest's. Raises LicModelMissing for any that is wrong."""
        _check_integers({"latent": latent, "hyper": hyper, "points": points, "rows": rows, "skip": skip})
        self.latent, self.hyper, self.points, self.rows, self.skip = latent, hyper, points, rows, skip
        bank_rows = rows + points * hyper
        freq = _array(arrays, "freq", np.uint16, (None,))
        count = _array(arrays, "count", np.int32, (bank_rows,))
        first = _array(arrays, "first", np.int16, (bank_rows,))
        weight = _array(arrays, "weight", np.int16, (CELL * latent, hyper))
        offset = _array(arrays, "offset", np.int32, (CELL * latent,))
        self.bias = _array(arrays, "bias", np.int32, (points, latent))
        self.z_step = _array(arrays, "z_step", np.uint8, (points, hyper))
        if self.bias.min() < -LIC_BIAS_MAX or self.bias.max() > LIC_BIAS_MAX:
            raise _bad(f"bias holds a value beyond +-{LIC_BIAS_MAX}")
        if self.z_step.min() < 1:
            raise _bad("z_step holds a 0")
        try:
            self._bank = _core.Bank(freq, count, first)
            self._map = _core.ScaleMap(weight, offset)
        except ValueError as error:
            raise _bad(str(error)) from error

    @classmethod
    def from_model(cls, manifest: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Tables:
        """From the manifest of FORMAT 9.1 and the arrays of 9.2. Raises LicModelMissing for any that is wrong."""
        missing = [key for key in LIMITS if key not in manifest]
        if missing:
            raise _bad(f"the manifest lacks {', '.join(missing)}")
        return cls(arrays, **{key: manifest[key] for key in LIMITS})

    def encode(self, q: int, z: NDArray[np.int16], r: NDArray[np.int16]) -> bytes:
        """The stream of a tile (FORMAT 6.3): z (C, a, b), r (M, h, w), 0 where the scale index is below `skip`."""
        d, bias, z_row = self._setting(q)
        z, r = np.ascontiguousarray(z), np.ascontiguousarray(r)
        return _core.encode_tile(self._bank, self._map, z, r, z_row, d, bias, self.rows, self.skip)

    def decode(
        self, q: int, data: bytes | bytearray | memoryview, a: int, b: int, h: int, w: int
    ) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """z (C, a, b) and r (M, h, w) of a tile from its stream (FORMAT 7). Raises LicCorruptTile."""
        d, bias, z_row = self._setting(q)
        return _core.decode_tile(data, self._bank, self._map, a, b, h, w, z_row, d, bias, self.rows, self.skip)

    def scale_index(self, q: int, z: NDArray[np.int16], h: int, w: int) -> NDArray[np.uint8]:
        """The scale index (M, h, w) that z (C, a, b) gives (FORMAT 7.5); a whole image or a tile."""
        d, bias, _ = self._setting(q)
        return self._map.index(np.ascontiguousarray(z), d, bias, self.rows, h, w)

    def dequantised(self, q: int, z: NDArray[np.int16]) -> NDArray[np.int16]:
        """v of FORMAT 7.5, in the shape of z (C, a, b): z in units of 1/32."""
        product = z.astype(np.int32) * self.z_steps(q)[:, None, None]  # |z d| <= 2^15 * 255
        return np.clip(product, LIC_Z_MIN, LIC_Z_MAX).astype(np.int16)

    def z_steps(self, q: int) -> NDArray[np.int32]:
        """d of FORMAT 7.5, (C,)."""
        p, f, _ = rate_point(q, self.points)
        return _lerp(self.z_step[p], self.z_step[p + 1], f)

    def _setting(self, q: int) -> tuple[NDArray[np.int32], NDArray[np.int32], int]:
        """What FORMAT 7.1 interpolates for a quality: d (C,), bias (M,), and the bank row of z's first channel."""
        p, f, nearest = rate_point(q, self.points)
        d = _lerp(self.z_step[p], self.z_step[p + 1], f)
        return d, _lerp(self.bias[p], self.bias[p + 1], f), self.rows + nearest * self.hyper


def rate_point(q: int, points: int) -> tuple[int, int, int]:
    """p, f and nearest of FORMAT 7.1 for quality Q and P trained rates."""
    if not LIC_QUALITY_MIN <= q <= LIC_QUALITY_MAX:
        msg = f"Q is {q}, want {LIC_QUALITY_MIN} to {LIC_QUALITY_MAX}"
        raise ValueError(msg)
    position = (q - LIC_QUALITY_MIN) * (points - 1) * ONE // (LIC_QUALITY_MAX - LIC_QUALITY_MIN)
    p = min(position >> LIC_FRACTION_BITS, points - 2)
    return p, position - ONE * p, (position + ONE // 2) >> LIC_FRACTION_BITS


def _lerp(a: NDArray[Any], b: NDArray[Any], f: int) -> NDArray[np.int32]:
    """lerp of FORMAT 7.1. In 64 bits, which 2^22 * 2^8 does not need, but nobody has to think about it."""
    mixed = a.astype(np.int64) * (ONE - f) + b.astype(np.int64) * f + ONE // 2
    return (mixed >> LIC_FRACTION_BITS).astype(np.int32)


def _check_integers(values: Mapping[str, int]) -> None:
    for key, (low, high) in LIMITS.items():
        value = values[key]
        if type(value) is not int or not low <= value <= high:
            raise _bad(f"{key} is {value!r}, want an integer from {low} to {high}")
    if values["skip"] > values["rows"]:
        raise _bad(f"skip is {values['skip']}, want at most rows = {values['rows']}")


def _array(arrays: Mapping[str, NDArray[Any]], name: str, dtype: type, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """An array of its own, contiguous and native, of exactly this type and shape; None stands for any length."""
    if name not in arrays:
        raise _bad(f"the array {name} is missing")
    array = np.asarray(arrays[name])
    same = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape))
    if array.dtype != dtype or not same:
        want = ", ".join("any" if n is None else str(n) for n in shape)
        found = f"{array.dtype} {array.shape}"
        raise _bad(f"the array {name} is {found}, want {np.dtype(dtype)} ({want})")
    return np.array(array, dtype, order="C")


def _bad(problem: str) -> LicModelMissing:
    return LicModelMissing(f"the model's tables are not intact: {problem}; reinstall the model, or export it again")
