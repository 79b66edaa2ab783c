"""`lic demo`: one photograph at three qualities beside JPEG files of equal size, with figures and a picture.

Imports numpy and Pillow.
"""

from __future__ import annotations

import importlib.util
import io
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ..conversion import files
from ..plugins import register_lic_opener
from ..plugins.saving import in_eight
from ..signature import FORMAT

if TYPE_CHECKING:
    from collections.abc import Sequence

CROP = 384  # pixels, side of the part that is shown
CAPTION = 40  # pixels, height of the text under each part
GAP = 8

# Photographs that widely used packages carry, best first.
_CARRIED = (
    ("skimage", "data/astronaut.png"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    ("sklearn", "datasets/images/china.jpg"),
)


class Result(NamedTuple):
    """One coded version of the photograph."""

    name: str
    quality: float
    bytes: int
    psnr: float
    image: Image.Image


def installed_photograph() -> Path | None:
    """A photograph in an installed package, or None. The package itself is not imported."""
    for package, file in _CARRIED:
        spec = importlib.util.find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            if (Path(folder) / file).is_file():
                return Path(folder) / file
    return None


def run(photograph: Path, output: Path, qualities: Sequence[float], model: str | None) -> None:
    """Code the photograph, print the figures and write the picture. Raises OSError when a file cannot be read."""
    register_lic_opener()
    with Image.open(photograph) as im:
        original = ImageOps.exif_transpose(in_eight(im)).convert("RGB")
    files.begin([output.parent])
    original.info.clear()  # compare pixels, not profiles
    named = {"model": model} if model else {}
    for quality in qualities:
        _decode(
            _save(original.resize((64, 64)), FORMAT, quality, **named)
        )  # loads the networks, so that no time below includes it
    print(f"{photograph}: {original.width} x {original.height}")
    print("codec  quality     bytes     bpp   PSNR dB   encode s  decode s")
    rows = []
    for quality in qualities:
        ours = _code(original, FORMAT, quality, **named)
        rows.append((ours, _equal_jpeg(original, ours.bytes)))
    suffix = output.suffix.lower()
    with files.replacing(output, force=True) as file:
        _picture(original, rows).save(file, Image.registered_extensions().get(suffix, "PNG"))
    print(f"{output}: original, {FORMAT} and JPEG of equal size, side by side")


def _equal_jpeg(original: Image.Image, size: int) -> Result:
    """The best JPEG of at most `size` bytes, or the smallest there is."""
    low, high = 1, 100  # low fits, or nothing does
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if len(_save(original, "JPEG", middle)) <= size else (low, middle)
    return _code(original, "JPEG", low)


def _save(image: Image.Image, format: str, quality: float, **options: Any) -> bytes:
    buffer = io.BytesIO()
    if format == "JPEG":
        options = {"optimize": True, "progressive": True}
    image.save(buffer, format, quality=quality, **options)
    return buffer.getvalue()


def _code(original: Image.Image, format: str, quality: float, **options: Any) -> Result:
    """Encode, decode, measure, print."""
    start = time.perf_counter()
    data = _save(original, format, quality, **options)
    middle = time.perf_counter()
    decoded = _decode(data)
    end = time.perf_counter()
    psnr = _psnr(original, decoded)
    bpp = 8 * len(data) / (original.width * original.height)
    print(
        f"{format:<5} {quality:>8g} {len(data):>9} {bpp:>7.3f} {psnr:>9.2f}"
        f" {middle - start:>10.2f} {end - middle:>9.2f}"
    )
    return Result(format, quality, len(data), psnr, decoded)


def _decode(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def _psnr(a: Image.Image, b: Image.Image) -> float:
    error = np.mean(np.square(np.asarray(a, np.float32) - np.asarray(b, np.float32)))
    return 10 * math.log10(255**2 / error) if error else math.inf


def _picture(original: Image.Image, rows: list[tuple[Result, Result]]) -> Image.Image:
    """One row for each quality: original, ours, JPEG, each a part from the middle at full size."""
    width, height = min(CROP, original.width), min(CROP, original.height)
    left, top = (original.width - width) // 2, (original.height - height) // 2
    box = (left, top, left + width, top + height)
    columns = 1 + len(rows[0])
    sheet = Image.new("RGB", (columns * (width + GAP) - GAP, len(rows) * (height + CAPTION)), "white")
    draw, font = ImageDraw.Draw(sheet), _font()
    for row, results in enumerate(rows):
        y = row * (height + CAPTION)
        captioned = [("original", original)] + [(_caption(result, original), result.image) for result in results]
        for column, (caption, image) in enumerate(captioned):
            x = column * (width + GAP)
            sheet.paste(image.crop(box), (x, y))
            draw.text((x + 4, y + height + 4), caption, fill="black", font=font)
    return sheet


def _caption(result: Result, original: Image.Image) -> str:
    bpp = 8 * result.bytes / (original.width * original.height)
    return f"{result.name} quality {result.quality:g}\n{result.bytes} bytes, {bpp:.3f} bpp, {result.psnr:.2f} dB"


def _font() -> Any:
    try:
        return ImageFont.load_default(14)
    except (ImportError, OSError):  # Pillow without FreeType
        return ImageFont.load_default()
