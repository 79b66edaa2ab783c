"""Types of the compiled core: the entropy coder (csrc/bind.cpp), of which use pillow_lic.entropy, and the native engine
(csrc/bind_nn.cpp), of which use pillow_lic.engines.native.

Buffers are contiguous and of the type that is named (int16: format "h"), NumPy's arrays or any other; where their shape
is known from other arguments, a run of as many bytes does as well. Every function raises ValueError for a buffer of
another type, shape or layout and for a number out of range. C hyper channels of a x b positions, M latent channels of
h x w, `planes` of the map for each of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Buffer = bytes | bytearray | memoryview[Any] | NDArray[Any]
# How symbols are coded: Q; or Q, the thresholds of their stages, and the quality map's int8 (hz, wz), if there is one.
_Coding = int | tuple[int, bytes, _Buffer | None]
_Sides = tuple[int, int]  # h, w of the latent grid
_Place = tuple[int, int, int, int]  # of a tile: h, w of the image's latent grid, S of FORMAT 6.1, the tile's number
_Volume = tuple[int, int, int]  # height, width, bands of pixels
_Box = tuple[int, int, int, int]  # top, left, bottom, right in pixels, the last two excluded

class _Type(type): ...

class Model(metaclass=_Type):
    """A model's integer tables and the coder over them (FORMAT 7). LicModelMissing if they are not as 9.2 says."""
    def __init__(
        self, arrays: Mapping[str, Any], latent: int, hyper: int, points: int, rows: int, skip: int
    ) -> None: ...
    def scale_index(self, q: _Coding, z: _Buffer, h: int, w: int) -> NDArray[np.uint8]:
        """z int16 (C, a, b) to indices (planes M, h, w)."""
    def scale_index_into(self, q: _Coding, z: _Buffer, shape: _Sides, out: _Buffer) -> None: ...
    def dequantise(self, q: int, z: _Buffer) -> NDArray[np.int16]:
        """z int16 (C, a, b) in units of 1/32."""
    def dequantise_into(self, q: int, z: _Buffer, shape: tuple[int, int], v: _Buffer) -> None: ...
    def z_rows(self, q: int, z: _Buffer) -> NDArray[np.uint16]:
        """The row of every z int16 (C, a, b), counted from the first one of z."""
    def z_steps(self, q: int) -> NDArray[np.int32]: ...
    def bias(self, q: int) -> NDArray[np.int32]: ...
    def stages(self, q: _Coding, z: _Buffer, shape: _Sides, shares: Sequence[float]) -> bytes:
        """Thresholds of stages before which about these shares of an image's bits lie, rising from 0 to 1."""
    def price(self, r: _Buffer, index: _Buffer, stages: bytes = ...) -> float:
        """Bits of r int16 (M, n) under index uint8 (planes M, n)."""
    def symbols(self, r: _Buffer, index: _Buffer, stages: bytes = ...) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
        """Symbols (M, n) of r int16 (M, n) and their rows. ValueError of a level that its state does not allow."""
    def quantise(self, x: _Buffer, index: _Buffer, weight: _Buffer, stages: bytes = ...) -> NDArray[np.int16]:
        """r (M, n) of least squared error from x float32 (M, n) and weight float32 (M,) * bits."""
    def read_tile(
        self, q: _Coding, data: Sequence[_Buffer], place: _Place, z: _Buffer, r: _Buffer, cut: bool = False
    ) -> bool:
        """A tile's stages into its part of the whole image's z int16 (C, hz, wz) and r int16 (M, h, w), both the
        caller's. Whether all of it is there: with `cut` the stages may break off, and what is missing is 0. Raises
        LicCorruptTile, after which the tile's part holds zeros or what it held.
        """
    def write_tile(
        self, q: _Coding, place: _Place, z: _Buffer, r: _Buffer, intervals: _Buffer | None = None
    ) -> list[bytes]:
        """The stages of a tile, from its part of the whole image's z int16 (C, hz, wz) and r int16 (M, h, w).

        intervals: int32 (2, M, h, w), where the interval of each symbol begins and how wide it is, of the escape where
        there is one: of a model that `takes_intervals`, from who has them already. They are believed.
        """
    @property
    def levels(self) -> int: ...
    @property
    def classes(self) -> int: ...
    @property
    def staged(self) -> bool: ...
    @property
    def takes_intervals(self) -> bool: ...
    @property
    def kind(self) -> str: ...
    @property
    def unit(self) -> int: ...
    @property
    def spacings(self) -> list[int]: ...
    @property
    def planes(self) -> int: ...
    @property
    def values(self) -> int: ...
    @property
    def scale_rows(self) -> int: ...

class Photo(metaclass=_Type):
    """The decoder networks of the photo family in integers (FORMAT 8). The grid is that of the latents, h x w, over
    which lie hz x wz hyper positions, a quarter of it rounded up; an image's pixels are 16h x 16w before they are cut.
    """
    def __init__(self, tensors: Mapping[str, Any], kernels: str = "auto") -> None:
        """tensors: contiguous buffers by their names (FORMAT 9.3), int16, uint16, int32 and int64; others are passed
        over. kernels: one of `kernel_sets`, or "auto" for the fastest. Raises LicModelMissing for tensors that are
        not as the format says.
        """
    def render(
        self,
        q: _Coding,
        v: _Buffer,
        r: _Buffer,
        grid: _Sides,
        box: _Box,
        out: _Buffer,
        threads: int = 1,
        style: tuple[Photo, int, int, _Sides] | None = None,
        depth: int = 8,
    ) -> None:
        """Samples of a box into `out`, bytes (bottom - top, right - left, bands), 1 band of grey or 3 of RGB: as many
        as its size says. v int16 (C, hz, wz) in 1/32, r int16 (M, h, w). style: another decoder,
        of whose synthesis so many 255ths are shown, the seed of its noise, and where the grid has its corner in the
        picture's (FORMAT 8.5). depth: bits of a sample; of more than 8 it takes two bytes, in the
        machine's order. ValueError for a style of another shape.
        """
    def fits(self, other: Photo) -> bool:
        """Whether another decoder's synthesis has the shape of this one's."""
    def latents(
        self, q: _Coding, v: _Buffer, r: _Buffer, grid: _Sides, out: _Buffer, log: _Buffer | None = None
    ) -> None:
        """y_hat into `out`, int16 (M, h, w), in its unit. v int16 (C, hz, wz) in 1/32, r int16 (M, h, w). log: int16
        (h, w, M), takes L of FORMAT 8.2: what r counts is 2^(L / 256) of 1/16 of that unit.
        """
    def quantise(
        self,
        model: Model,
        q: _Coding,
        z: _Buffer,
        y: _Buffer,
        r: _Buffer,
        grid: _Sides,
        weight: float | _Buffer,
        threads: int = 1,
    ) -> None:
        """Residuals into `r`, int16 (M, h, w), from symbols z int16 (C, hz, wz) and y int32 (h, w, M) in 1/16 of
        y_hat's unit. weight: squared errors, in the unit of r, that a bit is worth; one, or float32 (M,). ValueError
        for a model of other latents or of more than one plane.
        """
    def search(
        self,
        model: Model,
        q: _Coding,
        z: _Buffer,
        y: _Buffer,
        r: _Buffer,
        pixels: _Buffer,
        shape: _Volume,
        passes: int,
        bit: float,
        weight: float,
        visual: float = 0.0,
        threads: int = 1,
        moved: _Buffer | None = None,
        weights: _Buffer | None = None,
    ) -> bool:
        """Residuals into `r` as `quantise` takes and makes them, bettered for the picture (pixels, of `shape`) in as
        many passes; those of `quantise` where none that costs less is found. Returns whether one was. bit: squared
        error of samples in 0..1 that a bit is worth. visual: that squared error which a visual distance of 1 counts
        for, a pixel; 0: it does not count. moved int32 (h, w, M) and weights float32 (M,) take the y and the weights
        from which `quantise` makes the same residuals.
        """
    @property
    def latent(self) -> int:
        """M."""
    @property
    def hyper(self) -> int:
        """C."""
    @property
    def halo(self) -> int:
        """Latent positions beyond a box that its samples depend on."""

class Thumbnail(metaclass=_Type):
    """What gives small pictures of the photo family's files from y_hat (FORMAT 8.6)."""
    def __init__(self, tensors: Mapping[str, Any], kernels: str = "auto") -> None:
        """As of Photo."""
    def render(
        self,
        photo: Photo,
        q: _Coding,
        v: _Buffer,
        r: _Buffer,
        grid: _Sides,
        scale: int,
        size: _Sides,
        out: _Buffer,
        threads: int = 1,
    ) -> None:
        """Samples at 1/scale of the sides, 4, 8 or 16, into `out`, bytes (*size, bands), 1 band of grey or 3 of RGB. v
        and r as of Photo.render.
        """
    @property
    def latent(self) -> int: ...

class Enhancer(metaclass=_Type):
    """The network that says what a decoded JPEG lacks, in integers: the same samples on every machine."""
    def __init__(self, tensors: Mapping[str, Any], kernels: str = "auto") -> None:
        """As of Photo; the tensors are those of train/enhance_export.py, weights as int16."""
    def enhance(
        self,
        pixels: _Buffer,
        shape: _Volume,
        rgb: bool,
        tables: _Buffer,
        halved: bool,
        out: _Buffer,
        threads: int = 1,
    ) -> None:
        """Samples of a JPEG made better, into `out`, uint8 (height, width, bands) like pixels, grey or RGB. rgb:
        whether three bands are R, G, B, else Y, Cb, Cr; tables: uint16 (2, 64) steps of luma and chroma from 1 on, by
        rows of frequencies; halved: whether chroma had fewer samples than luma.
        """

class Enlarger(metaclass=_Type):
    """The network that doubles the sides of a decoded JPEG, in integers: the same samples on every machine."""
    def __init__(self, tensors: Mapping[str, Any], kernels: str = "auto") -> None:
        """As of Photo; the tensors are those of train/compact_export.py, weights as int16."""
    def enlarge(
        self,
        pixels: _Buffer,
        shape: _Volume,
        rgb: bool,
        tables: _Buffer,
        halved: bool,
        size: _Sides,
        out: _Buffer,
        threads: int = 1,
    ) -> None:
        """Samples of a JPEG at `size`, twice its height and width or one less each, into `out`, uint8 (*size, bands),
        grey or RGB. The others as of Enhancer.enhance.
        """

class Analysis(metaclass=_Type):
    """The encoder networks of the photo family; nothing in them decides what a file means. Shapes as in Photo."""
    def __init__(self, tensors: Mapping[str, Any], kernels: str = "auto") -> None:
        """As of Photo."""
    def analyse(self, q: int, pixels: _Buffer, shape: _Volume, y: _Buffer, threads: int = 1) -> None:
        """y into the caller's int32 (h, w, M), in 1/16 of y_hat's unit. pixels: bytes of shape (height, width, bands),
        1 band of grey or 3 of RGB; h and w are a sixteenth of their sides, rounded up.
        """
    def hyper_symbols(self, model: Model, q: int, y: _Buffer, grid: _Sides, z: _Buffer) -> None:
        """z into the caller's int16 (C, hz, wz), rounded to the model's steps, from y int32 (h, w, M)."""
    def encode(
        self,
        photo: Photo,
        model: Model,
        q: _Coding,
        pixels: _Buffer,
        shape: _Volume,
        symbols: tuple[_Buffer, _Buffer],
        effort: tuple[int, float, float, float],
        threads: int = 1,
        slice: int = ...,
    ) -> None:
        """All steps of an encoder, slice by slice of rows, so that memory is that of a slice: z (C, hz, wz) and r
        (M, h, w) into the caller's int16. effort: passes, bit, weight and visual of Photo.search. slice: elements of y
        that a slice has at most. Without stages.
        """
    @property
    def latent(self) -> int:
        """M."""
    @property
    def hyper(self) -> int:
        """C."""

def rate_point(q: int, points: int) -> tuple[int, int, int]: ...
def constants() -> dict[str, int]: ...
def residual_arrays() -> list[str]: ...
def model_limits() -> dict[str, tuple[int, int]]: ...
def predict(samples: _Buffer, shape: _Volume, depth: int, out: _Buffer) -> None:
    """Samples uint16 of `shape`, none of more than `depth` bits, or uint32 where that is 32, to the numbers of FORMAT
    5.2, into `out`.
    """

def restore(samples: _Buffer, shape: _Volume, depth: int, out: _Buffer) -> None:
    """The inverse, of any numbers."""

def join_planes(runs: Sequence[tuple[int, bool, int]], data: _Buffer, out: _Buffer) -> None:
    """Elements from planes of their bytes (FORMAT 9.2). runs: bytes of an element, whether it is signed, and how many
    there are, one run after the other; together as many bytes as data and out have.
    """

def split_planes(runs: Sequence[tuple[int, bool, int]], data: _Buffer, out: _Buffer) -> None:
    """The inverse."""

SLICE_MOST: int  # elements of y in a slice of Analysis.encode

def visual_weights() -> list[float]:
    """The 108 published weights of SSIMULACRA2: channel, scale, norm (mean, 4-norm), map (structure, ringing, blur)."""
