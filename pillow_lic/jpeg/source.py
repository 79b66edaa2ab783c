"""A JPEG as it was decoded: its samples, and what its header says of them.

Imports Pillow and errors.
"""

from __future__ import annotations

import io
import os
from array import array
from typing import Any, NamedTuple

from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from ..errors import LicBadOption, LicLimitExceeded, LicTruncated
from .tables import UNKNOWN

STEPS = 64  # of a quantisation table
SIDE = 8  # of a block
_BLOCKS = 1024  # of a picture that are looked at, at most
_FEW, _FINE = 16, 5  # fewer blocks than that, or a step of less, say nothing of whether samples are on the grid
_CLIPPED = 8  # more samples of a block that are black or white, and its mean is another
_LUMA = (0.299, 0.587, 0.114)
_OTHERS = ("WEBP", "AVIF")  # what may be compact beside JPEG

_WANTED = "enhance takes a JPEG as Pillow opened it, its path or its bytes"
_CHANGED = f"{_WANTED}: this one was resized, cropped or changed since, and has lost its grid"


class Jpeg(NamedTuple):
    """Samples of 8 bits, and what they were quantised by."""

    pixels: bytes  # (height, width) of grey, or (height, width, 3) of Y, Cb and Cr or of RGB
    size: tuple[int, int]  # width and height
    rgb: bool
    tables: array[int]  # uint16 (2, 64): steps of luma and chroma, by rows of frequencies
    halved: bool  # whether chroma has fewer samples than luma

    @property
    def bands(self) -> int:
        """1 or 3."""
        return len(self.pixels) // (self.size[0] * self.size[1])


def read(source: Any) -> tuple[Jpeg, dict[str, Any]]:
    """From an image that Pillow opened as a JPEG, a path, bytes or a binary file; and its profile, EXIF and the like.

    Of a path, of bytes and of a file the samples are those of the file; of an image, which is RGB, they are computed
    back. Raises LicBadOption for what is no JPEG of grey or of Y, Cb and Cr, LicTruncated for one that breaks off.
    """
    image = opened(source)
    return described(image), {key: value for key, value in image.info.items() if isinstance(key, str)}


def opened(source: Any) -> Image.Image:
    """An image of Pillow's, not decoded where it was not. Raises LicBadOption, LicTruncated."""
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, (bytes, bytearray, memoryview)):
        source = io.BytesIO(source)
    if not isinstance(source, (str, os.PathLike)) and not hasattr(source, "read"):
        msg = f"{_WANTED}, found {type(source).__name__}"
        raise LicBadOption(msg)
    try:
        image = _identified(source)
    except UnidentifiedImageError as error:
        msg = f"{_WANTED}; this is no JPEG, or its header is damaged"
        raise LicBadOption(msg) from error
    except Image.DecompressionBombError as error:
        msg = f"the JPEG is too large ({error}); PIL.Image.MAX_IMAGE_PIXELS allows more"
        raise LicLimitExceeded(msg) from error
    except (OSError, ValueError, SyntaxError) as error:
        if getattr(error, "errno", None) is not None:  # of the system: no such file, and the like
            raise
        msg = f"the JPEG's header is not all there ({error}); fetch it again"
        raise LicTruncated(msg) from error
    if image.format not in _OTHERS:
        _check(image)
        if image.mode == "RGB":
            image.draft("YCbCr", image.size)
    return image


def _identified(source: Any) -> Image.Image:
    try:
        return Image.open(source, formats=["JPEG"])  # an MPO is one
    except UnidentifiedImageError:
        Image.init()
        return Image.open(source, formats=[kind for kind in _OTHERS if kind in Image.OPEN])


def _check(image: Image.Image) -> None:
    """Raises LicBadOption."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or not getattr(image, "quantization", None):
        msg = (
            f"{_WANTED}, found {image.format or type(image).__name__}: what was converted or resized has lost its grid"
        )
        raise LicBadOption(msg)
    if (image.decoderconfig or (1,))[0] != 1:
        raise LicBadOption(_CHANGED)
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


def described(image: Any, *, others: bool = False) -> Jpeg:
    """Decoded. others: whether WebP and AVIF are taken as well, L or RGB without tables. Raises LicBadOption,
    LicTruncated.
    """
    plain = others and getattr(image, "format", None) in _OTHERS
    if plain and image.mode not in ("L", "RGB"):
        msg = f"a file in {image.format} of mode {image.mode} is not taken: L and RGB are"
        raise LicBadOption(msg)
    if not plain:
        _check(image)
    try:
        pixels = image.tobytes()
    except (OSError, ValueError, RuntimeError) as error:
        msg = f"the {image.format} cannot be decoded ({error}); fetch it again"
        raise LicTruncated(msg) from error
    if plain:
        return Jpeg(pixels, image.size, image.mode == "RGB", array("H", [UNKNOWN] * (2 * STEPS)), image.mode == "RGB")
    grey = image.mode == "L"
    layers = image.layer[:1] * 2 if grey else image.layer
    tables = array("H", [step for layer in layers[:2] for step in _table(image, layer[3])])
    halved = not grey and layers[0][1:3] != layers[1][1:3]
    found = Jpeg(pixels, image.size, image.mode == "RGB", tables, halved)
    if not _on_its_grid(found):
        raise LicBadOption(_CHANGED)
    return found


def _on_its_grid(jpeg: Jpeg) -> bool:
    """Whether the blocks' means are multiples of their step, as a decoder leaves them. Images are changed in place.

    A mean's coefficient is the sum of luma over 8 (ITU-T T.81, A.3.3). Chance leaves it a quarter of a step away;
    rounded samples move it by about 0.4, clipped ones further: a sixth of a step passes.
    """
    (width, height), bands, step = jpeg.size, jpeg.bands, jpeg.tables[0]
    across, down = width // SIDE, height // SIDE
    apart = []
    for number in range(0, across * down, max(1, across * down // _BLOCKS)):
        y, x = (SIDE * place for place in divmod(number, across))
        starts = [((y + row) * width + x) * bands for row in range(SIDE)]
        block = b"".join(jpeg.pixels[start : start + SIDE * bands] for start in starts)
        if block.count(0) + block.count(255) > _CLIPPED:
            continue
        luma = sum(w * sum(block[k::3]) for k, w in enumerate(_LUMA)) if jpeg.rgb else sum(block[::bands])
        mean = (luma - 128 * SIDE * SIDE) / SIDE / step
        apart.append(abs(mean - round(mean)))
    if len(apart) < _FEW or step < _FINE:
        return True
    return sorted(apart)[len(apart) // 2] < 1 / 6


def _table(image: Any, number: int) -> list[int]:
    table = image.quantization.get(number)
    if table is None or len(table) != STEPS or not 1 <= min(table) <= max(table) < 1 << 16:
        msg = f"the JPEG has no quantisation table {number}; fetch it again"
        raise LicBadOption(msg)
    return list(table)
