"""Types of the compiled entropy coder (csrc/bind.cpp). Use pillow_lic.entropy.

Buffers are contiguous and of the type that is named (int16: format "h"), NumPy's arrays or any other; where their shape
is known from other arguments, a run of as many bytes does as well. Every function raises ValueError for a buffer of
another type, shape or layout and for a number out of range. C hyper channels of a x b positions, M latent channels of
h x w, `planes` of the map for each of them.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_Buffer = bytes | bytearray | memoryview | NDArray[Any]
_Sides = tuple[int, int]  # h, w of the latent grid

class _Type(type): ...

class Model(metaclass=_Type):
    """A model's integer tables and the coder over them (FORMAT 7). LicModelMissing if they are not as 9.2 says."""
    def __init__(
        self, arrays: Mapping[str, Any], latent: int, hyper: int, points: int, rows: int, skip: int
    ) -> None: ...
    def encode(self, q: int, z: _Buffer, r: _Buffer, shape: _Sides | None = None) -> bytes:
        """The stream of a tile: z int16 (C, a, b), r int16 (M, h, w). shape: where r is a run of bytes."""
    def decode(self, q: int, data: _Buffer, shape: _Sides) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """z (C, a, b) and r (M, h, w) of a stream. Raises LicCorruptTile."""
    def decode_into(self, q: int, data: _Buffer, shape: _Sides, z: _Buffer, r: _Buffer) -> None:
        """The same into the caller's memory, whose contents mean nothing if it raises."""
    def scale_index(self, q: int, z: _Buffer, h: int, w: int) -> NDArray[np.uint8]:
        """z int16 (C, a, b) to indices (planes M, h, w)."""
    def scale_index_into(self, q: int, z: _Buffer, shape: _Sides, out: _Buffer) -> None: ...
    def dequantise(self, q: int, z: _Buffer) -> NDArray[np.int16]:
        """z int16 (C, a, b) in units of 1/32."""
    def dequantise_into(self, q: int, z: _Buffer, shape: tuple[int, int], v: _Buffer) -> None: ...
    def z_rows(self, q: int, z: _Buffer) -> NDArray[np.uint16]:
        """The row of every z int16 (C, a, b), counted from the first one of z."""
    def z_steps(self, q: int) -> NDArray[np.int32]: ...
    def bias(self, q: int) -> NDArray[np.int32]: ...
    def price(self, r: _Buffer, index: _Buffer) -> float:
        """Bits of r int16 (M, n) under index uint8 (planes M, n)."""
    def symbols(self, r: _Buffer, index: _Buffer) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
        """Symbols (M, n) of r int16 (M, n) and their rows. ValueError of a level that its state does not allow."""
    def quantise(self, x: _Buffer, index: _Buffer, weight: _Buffer) -> NDArray[np.int16]:
        """r (M, n) of least squared error from x float32 (M, n) and weight float32 (M,) * bits."""
    @property
    def latent(self) -> int: ...
    @property
    def hyper(self) -> int: ...
    @property
    def points(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def skip(self) -> int: ...
    @property
    def levels(self) -> int: ...
    @property
    def kind(self) -> Literal["gaussian", "trellis", "mixture"]: ...
    @property
    def planes(self) -> int: ...
    @property
    def values(self) -> int: ...
    @property
    def scale_rows(self) -> int: ...
    @property
    def trellis(self) -> int | None: ...

def rate_point(q: int, points: int) -> tuple[int, int, int]: ...
def constants() -> dict[str, int]: ...
def model_limits() -> dict[str, tuple[int, int]]: ...
