"""A JPEG as it was decoded: its planes, and what its header says of them.

Imports Pillow, numpy and errors.
"""

from __future__ import annotations

import io
import os
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from ..errors import LicBadOption, LicTruncated
from .blocks import COUNT, SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

_WANTED = "enhance takes a JPEG as Pillow opened it, its path or its bytes"


class Jpeg(NamedTuple):
    """Y, Cb and Cr of whole blocks, the last samples repeated, and what they were quantised by."""

    planes: Array  # (3, 8h, 8w) levels; of grey pictures Cb and Cr are 128
    tables: Array  # (2, 64) steps of luma and chroma, by rows of frequencies
    size: tuple[int, int]  # width and height
    grey: bool
    halved: bool  # whether chroma has fewer samples than luma

    @property
    def flags(self) -> Array:
        """As the network takes them."""
        return np.array([self.halved, not self.grey], np.float32)


def read(source: Any) -> tuple[Jpeg, dict[str, Any]]:
    """From an image that Pillow opened as a JPEG, a path, bytes or a binary file; and its profile, EXIF and the like.

    Of a path, of bytes and of a file the samples are those of the file; of an image, which is RGB, they are computed
    back. Raises LicBadOption for what is no JPEG of grey or of Y, Cb and Cr, LicTruncated for one that breaks off.
    """
    if isinstance(source, Image.Image):
        return _described(source, np.asarray(source), rgb=True), _info(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        source = io.BytesIO(source)
    if not isinstance(source, (str, os.PathLike)) and not hasattr(source, "read"):
        msg = f"{_WANTED}, found {type(source).__name__}"
        raise LicBadOption(msg)
    return _opened(source)


def _opened(source: str | os.PathLike[str] | IO[bytes]) -> tuple[Jpeg, dict[str, Any]]:
    try:
        image = Image.open(source, formats=["JPEG"])  # an MPO is one
    except UnidentifiedImageError as error:
        msg = f"{_WANTED}; this is no JPEG, or its header is damaged"
        raise LicBadOption(msg) from error
    except OSError as error:
        if error.errno is not None:  # of the system: no such file, and the like
            raise
        msg = f"the JPEG's header is not all there ({error}); fetch it again"
        raise LicTruncated(msg) from error
    with image:
        _check(image)
        if image.mode == "RGB":
            image.draft("YCbCr", image.size)
        try:
            samples = np.asarray(image)
        except OSError as error:
            msg = f"the JPEG cannot be decoded ({error}); fetch it again"
            raise LicTruncated(msg) from error
        return _described(image, samples, rgb=False), _info(image)


def _info(image: Image.Image) -> dict[str, Any]:
    return {key: value for key, value in image.info.items() if isinstance(key, str)}


def _check(image: Image.Image) -> None:
    """Raises LicBadOption."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or not getattr(image, "quantization", None):
        msg = (
            f"{_WANTED}, found {image.format or type(image).__name__}: what was converted or resized has lost its grid"
        )
        raise LicBadOption(msg)
    adobe = image.info.get("adobe_transform") == 0 and image.layers == 3
    if image.mode not in ("L", "RGB", "YCbCr") or adobe:
        msg = (
            f"a JPEG of mode {image.mode}{' without a transform' if adobe else ''} is not taken: grey or Y, Cb, Cr are"
        )
        raise LicBadOption(msg)
    most = [max(layer[axis] for layer in image.layer) for axis in (1, 2)]
    if list(image.layer[0][1:3]) != most:
        msg = "a JPEG whose luma has fewer samples than its chroma is not taken"
        raise LicBadOption(msg)


def _described(image: Any, samples: NDArray[np.uint8], *, rgb: bool) -> Jpeg:
    _check(image)
    grey = samples.ndim == 2
    plain = samples.astype(np.float32)
    if grey:
        plain = np.dstack([plain, np.full((*plain.shape, 2), 128, np.float32)])
    elif rgb:
        plain = to_ycc(plain)
    down, right = (-side % SIDE for side in plain.shape[:2])
    padded = np.pad(plain, ((0, down), (0, right), (0, 0)), mode="edge").transpose(2, 0, 1)
    layers = image.layer if not grey else image.layer[:1] * 2
    tables = np.array([_table(image, layer[3]) for layer in layers[:2]], np.float32)
    halved = not grey and layers[0][1:3] != layers[1][1:3]
    return Jpeg(np.ascontiguousarray(padded), tables, image.size, grey, halved)


def _table(image: Any, number: int) -> list[int]:
    table = image.quantization.get(number)
    if table is None or len(table) != COUNT or min(table) < 1:
        msg = f"the JPEG has no quantisation table {number}; fetch it again"
        raise LicBadOption(msg)
    return list(table)


def to_ycc(rgb: Array) -> Array:
    """JFIF's Y, Cb, Cr (H, W, 3) of levels, not rounded."""
    red, green, blue = (rgb[:, :, k] for k in range(3))
    y = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    return np.dstack([y, 128 + (blue - y) / np.float32(1.772), 128 + (red - y) / np.float32(1.402)])


def to_rgb(planes: Array) -> NDArray[np.uint8]:
    """(H, W, 3) of planes (3, H, W), rounded once."""
    y, blue, red = planes[0], planes[1] - 128, planes[2] - 128
    rgb = np.dstack(
        [
            y + np.float32(1.402) * red,
            y - np.float32(0.344136) * blue - np.float32(0.714136) * red,
            y + np.float32(1.772) * blue,
        ]
    )
    return _rounded(rgb)


def to_grey(planes: Array) -> NDArray[np.uint8]:
    """(H, W) of the first plane, rounded."""
    return _rounded(planes[0])


def _rounded(samples: Array) -> NDArray[np.uint8]:
    return samples.round().clip(0, 255).astype(np.uint8)
