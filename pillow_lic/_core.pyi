"""Types of the compiled entropy coder (csrc/bind.cpp). Use pillow_lic.entropy.

Every function raises ValueError for an array of the wrong dtype, shape or layout and for a number out of range.
Arrays are C-contiguous. C hyper channels of a x b positions, M latent channels of h x w, 16 M rows of the map.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Buffer = bytes | bytearray | memoryview
Rows = NDArray[np.uint8] | NDArray[np.uint16]
Steps = NDArray[np.int32] | NDArray[np.uint8]

NO_TRELLIS: int

class Bank:
    """Probability rows (FORMAT 7.2)."""
    def __init__(self, freq: NDArray[np.uint16], count: NDArray[np.int32], first: NDArray[np.int16]) -> None: ...
    @property
    def rows(self) -> int: ...

class ScaleMap:
    """The integer map from z to scale indices (FORMAT 7.5): weight (16 M, C), offset (16 M,).

    hidden: weights (out, in) and offsets (out,) of the layers before it, first to last; C is then the last one's out.
    """
    def __init__(
        self,
        weight: NDArray[np.int16],
        offset: NDArray[np.int32],
        hidden: Sequence[tuple[NDArray[np.int16], NDArray[np.int32]]] = (),
    ) -> None: ...
    @property
    def latent(self) -> int: ...
    @property
    def hyper(self) -> int: ...
    def index(
        self, z: NDArray[np.int16], d: Steps, bias: NDArray[np.int32], rows: int, h: int, w: int
    ) -> NDArray[np.uint8]:
        """z (C, a, b), d (C,), bias (M,) to indices (M, h, w)."""

class Mixture:
    """Discretised mixtures of normals (FORMAT 7.8): normal (257,), inverse (scales,)."""
    def __init__(self, normal: NDArray[np.uint16], inverse: NDArray[np.uint32], components: int) -> None: ...
    @property
    def components(self) -> int: ...
    def encode(self, planes: NDArray[np.uint8], symbols: NDArray[np.int16]) -> bytes:
        """The stream of symbols (n,) under the mixtures of planes (3 K, n): as encode_symbols."""
    def decode(self, data: Buffer, planes: NDArray[np.uint8]) -> NDArray[np.int16]: ...
    def cumulative(
        self, planes: NDArray[np.uint8], x: NDArray[np.int16]
    ) -> tuple[NDArray[np.uint16], NDArray[np.uint16], NDArray[np.uint16], NDArray[np.int16]]:
        """For tests. planes (3 K, n), x (n,): the cumulative frequency below x, which is first clamped to -radius ...
        radius + 1, by the table, by a window of eight and by the definition; and the radius."""

def scale_index_slow(
    scale_map: ScaleMap, z: NDArray[np.int16], d: Steps, bias: NDArray[np.int32], rows: int, h: int, w: int
) -> NDArray[np.uint8]: ...
def encode_tile(
    bank: Bank,
    scale_map: ScaleMap,
    z: NDArray[np.int16],
    r: NDArray[np.int16],
    z_row: int,
    z_level: NDArray[np.uint16],
    d: Steps,
    bias: NDArray[np.int32],
    rows: int,
    skip: int,
    mixture: Mixture | None = None,
    trellis: int = NO_TRELLIS,
) -> bytes:
    """The stream of a tile. ValueError, too, if r is not 0 where the scale index is below skip."""

def encode_tile_slow(
    bank: Bank,
    scale_map: ScaleMap,
    z: NDArray[np.int16],
    r: NDArray[np.int16],
    z_row: int,
    z_level: NDArray[np.uint16],
    d: Steps,
    bias: NDArray[np.int32],
    rows: int,
    skip: int,
    mixture: Mixture | None = None,
    trellis: int = NO_TRELLIS,
) -> bytes: ...
def decode_tile(
    data: Buffer,
    bank: Bank,
    scale_map: ScaleMap,
    a: int,
    b: int,
    h: int,
    w: int,
    z_row: int,
    z_level: NDArray[np.uint16],
    d: Steps,
    bias: NDArray[np.int32],
    rows: int,
    skip: int,
    mixture: Mixture | None = None,
    trellis: int = NO_TRELLIS,
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """z (C, a, b) and r (M, h, w) of a stream. Raises LicCorruptTile."""

def decode_tile_slow(
    data: Buffer,
    bank: Bank,
    scale_map: ScaleMap,
    a: int,
    b: int,
    h: int,
    w: int,
    z_row: int,
    z_level: NDArray[np.uint16],
    d: Steps,
    bias: NDArray[np.int32],
    rows: int,
    skip: int,
    mixture: Mixture | None = None,
    trellis: int = NO_TRELLIS,
) -> tuple[NDArray[np.int16], NDArray[np.int16]]: ...
def encode_symbols(bank: Bank, rows: Rows, symbols: NDArray[np.int16]) -> bytes:
    """The stream of symbols (n,) under rows (n,) of the bank: states, words, escapes as FORMAT 6.3 and 7.3."""

def decode_symbols(data: Buffer, bank: Bank, rows: Rows) -> NDArray[np.int16]: ...
def trellis_search(
    x: NDArray[np.float32],
    index: NDArray[np.uint8],
    bits: NDArray[np.float32],
    weight: NDArray[np.float32],
    rows: int,
    trellis: int,
    skip: int,
) -> NDArray[np.int16]:
    """Levels (M, n) of least squared error from x and weight (M,) * bits (2 * rows, sizes): FORMAT 7.9."""

def trellis_symbols(
    r: NDArray[np.int16], index: NDArray[np.uint8], rows: int, trellis: int, skip: int
) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """The symbols (M, n) of levels, and their rows. ValueError, too, for a level that its state does not allow."""

def simd() -> Literal["scalar", "sse4.1", "avx2", "avx512"]: ...
def set_simd(path: Literal["auto", "scalar", "sse4.1", "avx2", "avx512"]) -> None: ...
def constants() -> dict[str, int]: ...
