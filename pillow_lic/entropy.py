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
    LIC_ACTIVITY_MAX,
    LIC_BANK_ROWS_MAX,
    LIC_BIAS_MAX,
    LIC_COMPONENTS_MAX,
    LIC_FRACTION_BITS,
    LIC_HYPER_STRIDE,
    LIC_LEVELS_MAX,
    LIC_NORMAL_STEPS,
    LIC_QUALITY_MAX,
    LIC_QUALITY_MIN,
    LIC_Z_MAX,
    LIC_Z_MIN,
    MODEL_LIMITS,
)
from .errors import LicModelMissing

LIMITS = {key: MODEL_LIMITS[key] for key in ("latent", "hyper", "points", "rows", "skip")}  # of the manifest's integers
ONE = 1 << LIC_FRACTION_BITS  # the whole of a fraction in FORMAT 7.1
PLANES = 3  # bytes of a mixture's component: scale, offset, weight (FORMAT 7.8)
BYTE_VALUES = 256
NO_TRELLIS = _core.NO_TRELLIS
CELL = LIC_HYPER_STRIDE * LIC_HYPER_STRIDE  # latent positions above a hyper position


class Tables:
    """The tables of FORMAT 9.2, checked, and what can be done with them at a quality Q (100 to 10000).

    r is coded under rows of the bank or, where the arrays hold `normal`, under mixtures of `components` normals (else 0). It holds symbols or,
    where the arrays hold `trellis`, levels of dependent quantisation from that scale index on (FORMAT 7.9; else NO_TRELLIS).
    Unchanging, so any number of threads may use one; encode, decode and scale_index release the GIL while they work.
    """

    def __init__(
        self, arrays: Mapping[str, NDArray[Any]], latent: int, hyper: int, points: int, rows: int, skip: int
    ) -> None:
        """arrays: those of tables.npz. The integers are the manifest's. Raises LicModelMissing for any that is wrong."""
        _check_integers({"latent": latent, "hyper": hyper, "points": points, "rows": rows, "skip": skip})
        self.latent, self.hyper, self.points, self.rows, self.skip = latent, hyper, points, rows, skip
        self.components = _components(arrays, latent) if "normal" in arrays else 0
        planes = PLANES * self.components or 1
        self.trellis = _trellis(arrays, rows, skip) if "trellis" in arrays else NO_TRELLIS
        self.scale_rows = (
            0 if self.components else rows if self.trellis == NO_TRELLIS else 2 * rows
        )  # of the bank, before those of z
        self.z_level = _levels(arrays, points, hyper)
        self.levels = self.z_level.shape[2] + 1
        bank_rows = self.scale_rows + points * hyper * self.levels
        if bank_rows > LIC_BANK_ROWS_MAX:
            raise _bad(f"the bank has {bank_rows} rows, want at most {LIC_BANK_ROWS_MAX}")
        freq = _array(arrays, "freq", np.uint16, (None,))
        count = _array(arrays, "count", np.int32, (bank_rows,))
        first = _array(arrays, "first", np.int16, (bank_rows,))
        hidden = _hidden(arrays, hyper)
        inputs = len(hidden[-1][1]) if hidden else hyper
        weight = _array(arrays, "weight", np.int16, (CELL * planes * latent, inputs))
        offset = _array(arrays, "offset", np.int32, (CELL * planes * latent,))
        self.bias = _array(arrays, "bias", np.int32, (points, planes * latent))
        self.z_step = _array(arrays, "z_step", np.uint8, (points, hyper))
        if self.bias.min() < -LIC_BIAS_MAX or self.bias.max() > LIC_BIAS_MAX:
            raise _bad(f"bias holds a value beyond +-{LIC_BIAS_MAX}")
        if self.z_step.min() < 1:
            raise _bad("z_step holds a 0")
        if self.components and (skip or self.trellis != NO_TRELLIS):
            raise _bad(f"skip is {skip}, want 0 where r is coded under mixtures, and no trellis")
        try:
            self._bank = _core.Bank(freq, count, first)
            self._map = _core.ScaleMap(weight, offset, hidden)
            self._mixture = None
            if self.components:
                normal = _array(arrays, "normal", np.uint16, (LIC_NORMAL_STEPS + 1,))
                inverse = _array(arrays, "inverse", np.uint32, (rows,))
                self._mixture = _core.Mixture(normal, inverse, self.components)
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
        z, r = np.ascontiguousarray(z), np.ascontiguousarray(r)
        return _core.encode_tile(self._bank, self._map, z, r, *self._arguments(q))

    def decode(
        self, q: int, data: bytes | bytearray | memoryview, a: int, b: int, h: int, w: int
    ) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """z (C, a, b) and r (M, h, w) of a tile from its stream (FORMAT 7). Raises LicCorruptTile."""
        return _core.decode_tile(data, self._bank, self._map, a, b, h, w, *self._arguments(q))

    def _arguments(self, q: int) -> tuple[Any, ...]:
        """The core's last ones, from z_row on."""
        d, bias, z_row, z_level = self._setting(q)
        return z_row, z_level, d, bias, self.rows, self.skip, self._mixture, self.trellis

    def quantised(
        self,
        x: NDArray[np.float32],
        index: NDArray[np.uint8],
        bits: NDArray[np.float32],
        weight: NDArray[np.float32],
        skip: int,
    ) -> NDArray[np.int16]:
        """Of a model with a trellis, the levels (M, n) of least squared error from x and weight * bits (FORMAT 7.9).

        index: (M, n). bits: (2 R, sizes), what a symbol of a size costs under each scale row, the last column standing for all larger ones.
        weight: (M,). skip: 0, or that of the model.
        """
        return _core.trellis_search(x, index, bits, weight, self.rows, self.trellis, skip)

    def symbols(self, r: NDArray[np.int16], index: NDArray[np.uint8]) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
        """The symbol and the scale row of every level of r (M, n), of a model with a trellis. ValueError where a state does not allow a level."""
        return _core.trellis_symbols(np.ascontiguousarray(r), np.ascontiguousarray(index), self.rows, self.trellis, 0)

    def scale_index(self, q: int, z: NDArray[np.int16], h: int, w: int) -> NDArray[np.uint8]:
        """The scale index (M, h, w) that z (C, a, b) gives (FORMAT 7.5); a whole image or a tile.

        With mixtures: the bytes (3 K M, h, w) of FORMAT 7.8.
        """
        d, bias, *_ = self._setting(q)
        rows = BYTE_VALUES if self.components else self.rows
        return self._map.index(np.ascontiguousarray(z), d, bias, rows, h, w)

    def dequantised(self, q: int, z: NDArray[np.int16]) -> NDArray[np.int16]:
        """v of FORMAT 7.5, in the shape of z (C, a, b): z in units of 1/32."""
        product = z.astype(np.int32) * self.z_steps(q)[:, None, None]  # |z d| <= 2^15 * 255
        return np.clip(product, LIC_Z_MIN, LIC_Z_MAX).astype(np.int16)

    def z_steps(self, q: int) -> NDArray[np.int32]:
        """d of FORMAT 7.5, (C,)."""
        p, f, _ = rate_point(q, self.points)
        return _lerp(self.z_step[p], self.z_step[p + 1], f)

    def z_rows(self, q: int, z: NDArray[np.int16]) -> NDArray[np.int64]:
        """The row of every z (C, a, b), counted from the first row of z in the bank (FORMAT 7.4). For those who fit the rows."""
        nearest = rate_point(q, self.points)[2]
        level = (self.activity(z)[..., None] >= self.z_level[nearest][:, None, None]).sum(-1)
        channel = np.arange(self.hyper)[:, None, None]
        return (nearest * self.hyper + channel) * self.levels + level

    @staticmethod
    def activity(z: NDArray[np.int16]) -> NDArray[np.int64]:
        """That of the channels before each of z (C, a, b) (FORMAT 7.4)."""
        size = np.minimum(np.abs(z.astype(np.int64)), LIC_ACTIVITY_MAX)
        return size.cumsum(0) - size

    def _setting(self, q: int) -> tuple[NDArray[np.int32], NDArray[np.int32], int, NDArray[np.uint16]]:
        """What FORMAT 7.1 gives for a quality: d (C,), bias (M,), the bank row of z's first channel, its levels (C, X - 1)."""
        p, f, nearest = rate_point(q, self.points)
        d = _lerp(self.z_step[p], self.z_step[p + 1], f)
        z_row = self.scale_rows + nearest * self.hyper * self.levels
        return d, _lerp(self.bias[p], self.bias[p + 1], f), z_row, self.z_level[nearest]


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


def _trellis(arrays: Mapping[str, NDArray[Any]], rows: int, skip: int) -> int:
    """The first scale index of dependent quantisation (FORMAT 7.9)."""
    first = int(_array(arrays, "trellis", np.int32, (1,))[0])
    if not skip <= first <= rows or 2 * rows > BYTE_VALUES:
        raise _bad(f"trellis is {first}, want skip = {skip} to rows = {rows}, and those at most {BYTE_VALUES // 2}")
    return first


def _components(arrays: Mapping[str, NDArray[Any]], latent: int) -> int:
    """K, from the number of rows of the map: 16 * 3 K * M."""
    rows = np.shape(arrays.get("weight", ()))[:1]
    components, rest = divmod(rows[0] if rows else 0, CELL * PLANES * latent)
    if rest or not 1 <= components <= LIC_COMPONENTS_MAX:
        raise _bad(
            f"weight has {rows} rows, want {CELL * PLANES * latent} for each of 1 to {LIC_COMPONENTS_MAX} components"
        )
    return components


def _levels(arrays: Mapping[str, NDArray[Any]], points: int, hyper: int) -> NDArray[np.uint16]:
    """z_level (P, C, X - 1) of FORMAT 7.4; where there is none, X is 1."""
    if "z_level" not in arrays:
        return np.empty((points, hyper, 0), np.uint16)
    array = _array(arrays, "z_level", np.uint16, (points, hyper, None))
    if not 1 <= array.shape[2] < LIC_LEVELS_MAX:
        raise _bad(f"z_level has {array.shape[2]} columns, want 1 to {LIC_LEVELS_MAX - 1}")
    return array


def _hidden(arrays: Mapping[str, NDArray[Any]], inputs: int) -> list[tuple[NDArray[np.int16], NDArray[np.int32]]]:
    """Weights (out, in) and offsets (out,) of the hidden layers, first to last."""
    layers: list[tuple[NDArray[np.int16], NDArray[np.int32]]] = []
    while f"hidden{len(layers) + 1}_weight" in arrays:
        name = f"hidden{len(layers) + 1}"
        weight = _array(arrays, f"{name}_weight", np.int16, (None, inputs))
        inputs = len(weight)
        layers.append((weight, _array(arrays, f"{name}_offset", np.int32, (inputs,))))
    return layers


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
