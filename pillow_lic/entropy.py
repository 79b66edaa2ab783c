"""A model's integer tables, and what they make of symbols (FORMAT 7 and 9.2).

The typed face of `_core.Model`. Imports `_core`, constants, errors and numpy; knows no networks, no files, no floats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from . import _core
from ._core import rate_point as rate_point  # p, f and nearest of FORMAT 7.1
from .constants import LIC_ACTIVITY_MAX, LIC_HYPER_STRIDE, MODEL_LIMITS
from .errors import LicModelMissing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# How symbols are coded: Q; or Q, the thresholds of their stages, and rows of the quality map (FORMAT 5.3, 6.3).
Coding: TypeAlias = "int | tuple[int, bytes, Any | None]"
Deep = TypeVar("Deep", "NDArray[np.uint16]", "NDArray[np.uint32]")  # samples of more than 8 bits

LIMITS = {key: MODEL_LIMITS[key] for key in ("latent", "hyper", "points", "rows", "skip")}  # of the manifest's integers
PLANES = 3  # bytes of a mixture's component: scale, offset, weight (FORMAT 7.8)
CELL = LIC_HYPER_STRIDE * LIC_HYPER_STRIDE  # latent positions above a hyper position


class Tables:
    """The tables of FORMAT 9.2, checked, and what can be done with them at a quality Q (100 to 10000).

    `model` does the work, and takes any buffers; here are NumPy's arrays of any layout. Its `kind` says how r is coded:
    "gaussian", symbols under rows of the bank; "trellis", levels of dependent quantisation (FORMAT 7.9); "mixture",
    symbols under mixtures of `components` normals (7.8). Unchanging, so any number of threads may use one; methods
    release the GIL while they work.
    """

    def __init__(
        self, arrays: Mapping[str, NDArray[Any]], latent: int, hyper: int, points: int, rows: int, skip: int
    ) -> None:
        """arrays: those of FORMAT 9.2; the integers: the manifest's. Raises LicModelMissing for any that is wrong."""
        model = _core.Model(arrays, latent=latent, hyper=hyper, points=points, rows=rows, skip=skip)
        self.model, self.kind = model, model.kind
        self.latent, self.hyper, self.points, self.rows, self.skip = latent, hyper, points, rows, skip
        self.planes, self.values = model.planes, model.values  # of the map: for each channel of r, of a byte
        self.components = model.planes // PLANES
        # Rows of the bank before those of z; of z for each channel and rate: levels of activity, classes of neighbours.
        self.scale_rows, self.levels, self.classes = model.scale_rows, model.levels, model.classes

    @classmethod
    def from_model(cls, manifest: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Tables:
        """From the manifest of FORMAT 9.1 and the arrays of 9.2. Raises LicModelMissing for any that is wrong."""
        missing = [key for key in LIMITS if key not in manifest]
        if missing:
            lacking = f"the manifest lacks {', '.join(missing)}"
            msg = f"the model's tables are not intact: {lacking}; reinstall the model, or export it again"
            raise LicModelMissing(msg)
        return cls(arrays, **{key: manifest[key] for key in LIMITS})

    def scale_index(self, q: Coding, z: NDArray[np.int16], h: int, w: int) -> NDArray[np.uint8]:
        """The scale index (M, h, w) that z (C, a, b) gives (FORMAT 7.5); a whole image or a tile.

        With mixtures: the bytes (3 K M, h, w) of FORMAT 7.8.
        """
        return self.model.scale_index(q, np.ascontiguousarray(z), h, w)

    def dequantised(self, q: int, z: NDArray[np.int16]) -> NDArray[np.int16]:
        """v of FORMAT 7.5, in the shape of z (C, a, b) or (N, C, a, b): z in units of 1/32."""
        if z.ndim == 4:
            return np.stack([self.dequantised(q, one) for one in z])
        return self.model.dequantise(q, np.ascontiguousarray(z))

    def z_steps(self, q: int) -> NDArray[np.int32]:
        """d of FORMAT 7.5, (C,)."""
        return self.model.z_steps(q)

    def bias(self, q: int) -> NDArray[np.int32]:
        """What FORMAT 7.5 adds, (planes M,)."""
        return self.model.bias(q)

    def z_rows(self, q: int, z: NDArray[np.int16]) -> NDArray[np.int64]:
        """The row of every z (C, a, b), counted from the first of z in the bank (FORMAT 7.4): for who fits the rows."""
        return self.model.z_rows(q, np.ascontiguousarray(z)).astype(np.int64)

    @staticmethod
    def activity(z: NDArray[np.int16]) -> NDArray[np.int64]:
        """That of the channels before each of z (C, a, b) (FORMAT 7.4)."""
        size = np.minimum(np.abs(z.astype(np.int64)), LIC_ACTIVITY_MAX)
        return size.cumsum(0) - size

    def price(self, r: NDArray[np.int16], index: NDArray[np.uint8], stages: bytes = b"") -> float:
        """What r (M, n) costs, in bits. ValueError where a trellis does not allow a level."""
        return self.model.price(np.ascontiguousarray(r), np.ascontiguousarray(index), stages)

    def symbols(
        self, r: NDArray[np.int16], index: NDArray[np.uint8], stages: bytes = b""
    ) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
        """The symbol and the scale row of every r (M, n), of a model with scale rows.

        ValueError where a trellis does not allow a level.
        """
        return self.model.symbols(np.ascontiguousarray(r), np.ascontiguousarray(index), stages)


# ---- Exact pictures of more than 8 bits (FORMAT 5.2) --------------------------------------------------------------


def predicted(samples: Deep, depth: int) -> Deep:
    """Samples (H, W, bands) of `depth` bits, uint16 or of 32 bits uint32, as numbers that are small where a picture is
    smooth.
    """
    numbers = np.empty_like(samples, order="C")
    _core.predict(np.ascontiguousarray(samples), samples.shape, depth, numbers)
    return numbers


def restore(numbers: Deep, depth: int) -> None:
    """The inverse, in place: row after row, none of which is read again as numbers. The array is contiguous."""
    _core.restore(numbers, numbers.shape, depth, numbers)
