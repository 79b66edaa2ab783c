"""What codecs of this Pillow make of pictures: bytes and measures at several qualities, their means, and what one codec
saves against another.

Imports NumPy and Pillow.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import PIL
from PIL import Image

from .. import metrics
from ..models import choice
from ..signature import FORMAT

if TYPE_CHECKING:
    from collections.abc import Sequence

PERCENT = (10, 25, 40, 55, 70, 80, 90)
RATIOS = (100, 60, 40, 25, 15, 10, 6)  # of JPEG 2000: how many times smaller
RATIO_MAX = 800


class Codec(NamedTuple):
    """One way to save a picture: Pillow's format, the option that sets its quality, and the other options."""

    format: str
    qualities: Sequence[float] = PERCENT
    option: str = "quality"
    options: dict[str, Any] = {}  # noqa: RUF012

    def every(self) -> list[float]:
        """All qualities that are told apart here, by rising rate."""
        if self.option == "quality_layers":
            return [ratio / 2 for ratio in range(2 * RATIO_MAX, 2, -1)]
        return [step / 4 for step in range(4, 401)] if self.format == FORMAT else [float(q) for q in range(1, 101)]

    def missing(self) -> str | None:
        """Why this Pillow cannot write it, or None."""
        Image.init()
        if self.format in Image.SAVE:
            return None
        return f"this Pillow {PIL.__version__} cannot write {self.format}; its wheels on PyPI can, or a plugin does"

    def save(self, image: Image.Image, quality: float) -> bytes:
        """The bytes of a file."""
        buffer = io.BytesIO()
        values = {"quality": int(quality), "quality_layers": [quality]}
        value = quality if self.format == FORMAT else values[self.option]
        image.save(buffer, self.format, **{self.option: value}, **self.options)
        return buffer.getvalue()


CODECS = {
    "lic": Codec(FORMAT),
    **{f"lic-{tune}": Codec(FORMAT, options={"tune": tune}) for tune in choice.TUNES},
    "jpeg": Codec("JPEG", options={"optimize": True, "progressive": True}),
    "webp": Codec("WEBP"),
    "avif": Codec("AVIF"),
    "heif": Codec("HEIF"),
    "jxl": Codec("JXL"),
    "jpeg2000": Codec("JPEG2000", RATIOS, "quality_layers"),
}
DEFAULT = ("lic", "jpeg", "webp", "avif")


class Point(NamedTuple):
    """A picture, or the mean of several, by one codec at one quality."""

    picture: str
    codec: str
    quality: float
    bytes: int
    bpp: float
    values: dict[str, float]


def measured(name: str, image: Image.Image, codec: str, quality: float, measures: Sequence[str]) -> Point:
    """One picture coded, decoded and measured. image: RGB. Raises OSError or ValueError of the codec's."""
    data = CODECS[codec].save(image, quality)
    with Image.open(io.BytesIO(data), formats=[CODECS[codec].format]) as decoded:
        values = metrics.compare(image, decoded.convert("RGB"), measures)
    return Point(name, codec, quality, len(data), 8 * len(data) / (image.width * image.height), values)


def means(points: Sequence[Point]) -> list[Point]:
    """For each codec and quality the mean over its pictures of bits per pixel and of each measure; a value that is not
    finite (equal pictures, a picture too small for a measure) makes its mean NaN.
    """
    groups: dict[tuple[str, float], list[Point]] = {}
    for point in points:
        groups.setdefault((point.codec, point.quality), []).append(point)
    return [_mean(codec, quality, group) for (codec, quality), group in groups.items()]


def _mean(codec: str, quality: float, group: list[Point]) -> Point:
    sums = {name: sum(point.values[name] for point in group) / len(group) for name in group[0].values}
    values = {name: value if math.isfinite(value) else math.nan for name, value in sums.items()}
    rate = sum(point.bpp for point in group) / len(group)
    name = f"mean of {len(group)} pictures" if len(group) > 1 else "one picture"
    return Point(name, codec, quality, sum(point.bytes for point in group), rate, values)


def curve(points: Sequence[Point], codec: str, measure: str) -> list[tuple[float, float]]:
    """(bits per pixel, value) of a codec's means, by rising rate."""
    found = [(one.bpp, one.values[measure]) for one in points if one.codec == codec]
    return sorted(pair for pair in found if math.isfinite(pair[1]))


def saving(ours: Sequence[tuple[float, float]], theirs: Sequence[tuple[float, float]]) -> float | None:
    """How many more bytes (as a share; negative is fewer) `ours` takes than `theirs` at equal value, on average over
    the values that both reach; None where they share none.

    Bjontegaard 2001 (VCEG-M33) with straight lines between the points instead of a cubic through them.
    """
    lines = [_envelope(ours), _envelope(theirs)]
    if any(len(values) < 2 for values, _ in lines):
        return None
    low, high = max(values[0] for values, _ in lines), min(values[-1] for values, _ in lines)
    if low >= high:
        return None
    at = np.linspace(low, high, 1000)
    one, other = (np.interp(at, values, rates) for values, rates in lines)
    return float(np.expm1(np.mean(one - other)))


def _envelope(points: Sequence[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Values, rising, and the logarithm of the rate at each; points that cost more for less are left out."""
    kept: list[tuple[float, float]] = []
    for rate, value in sorted(points):
        if not kept or value > kept[-1][0]:
            kept.append((value, math.log(rate)))
    pairs = np.array(kept, float).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]
