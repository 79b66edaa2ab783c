"""Placeholders: a picture in some 28 bytes, to be shown, blurred, until the picture itself is there.

    data = pillow_lic.placeholder(im)                   # 28 bytes
    pillow_lic.placeholder_image(data, (640, 480))      # a Pillow image

The picture is reduced to SIDE x SIDE and taken apart into luma and two differences of colour, each into cosines of low
frequency (a DCT). What is coded are whole steps of their amplitudes: the coarser the steps, the fewer the bytes, so the
finest are taken that fit. Zero or not, one or more are coded by arithmetic with probabilities that were counted on
photographs (train/placeholders.py), for each frequency and by how large the neighbours are.

Bytes, as one number with the most significant first: shape (width over height, SHAPES values), step (STEPS values),
then the amplitudes as `coded` says. All of that is integers; the picture itself may differ in the last bit between
machines. Imports Pillow and errors; the plugin for pictures of more than 8 bits.
"""

from __future__ import annotations

import math
import numbers
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from PIL import Image

from .errors import LicBadOption, LicTruncated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SIDE = 32  # of what is transformed
BYTES_MIN, BYTES_MAX, BYTES = 8, 64, 28
REACH = (14, 9, 9)  # frequencies of luma and of both differences of colour: u + v is below this
SHAPES, SHAPE_MOST = 33, 2.0  # log2 of width over height from -SHAPE_MOST to SHAPE_MOST
STEPS, FINEST, RATIO = 48, 0.04, 2 ** (1 / 8)  # steps of amplitudes, of samples in -1..1, geometric
BANDS = 6  # of steps, that have probabilities of their own
CHROMA_STEP = 1.3  # of differences of colour, in steps of luma
ONE = 256  # of probabilities
MOST = 24  # of an amplitude, in steps
SPARE = 96  # bits behind the last byte with which the coder counts
ROUNDINGS = (0.5, 0.42, 0.34)  # from which part of a step on an amplitude counts as the larger one
CONTEXTS = 4

Plane = list[list[float]]


# ---- The picture and its amplitudes -------------------------------------------------------------------------------


def _places() -> tuple[tuple[int, int, int], ...]:
    """(plane, u, v) of the amplitudes in their order: low frequencies first, of luma earlier than of colour."""
    found = [(c, u, n - u) for c, reach in enumerate(REACH) for n in range(reach) for u in range(n + 1)]
    return tuple(sorted(found, key=lambda place: (place[1] + place[2] + (2.5 if place[0] else 0), place)))


PLACES = _places()


@cache
def _cosines() -> Plane:
    """[frequency][place], orthonormal."""
    scale = [math.sqrt((1 if u == 0 else 2) / SIDE) for u in range(max(REACH))]
    return [[s * math.cos(math.pi * (2 * x + 1) * u / (2 * SIDE)) for x in range(SIDE)] for u, s in enumerate(scale)]


def amplitudes(im: Image.Image) -> list[list[list[float]]]:
    """[plane][u][v] of a picture."""
    rgb = flat(im).resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=None).tobytes()
    planes: list[Plane] = [[], [], []]
    for y in range(SIDE):
        row = [[value / 127.5 - 1.0 for value in rgb[3 * (y * SIDE + x) :][:3]] for x in range(SIDE)]
        planes[0].append([0.299 * r + 0.587 * g + 0.114 * b for r, g, b in row])
        planes[1].append([-0.168736 * r - 0.331264 * g + 0.5 * b for r, g, b in row])
        planes[2].append([0.5 * r - 0.418688 * g - 0.081312 * b for r, g, b in row])
    return [_transformed(plane, reach) for plane, reach in zip(planes, REACH)]


def flat(im: Image.Image) -> Image.Image:
    """RGB, transparent pixels over white."""
    if im.mode in ("I", "F") or im.mode.startswith("I;16"):
        from .plugins.saving import in_eight

        im = in_eight(im)
    if im.has_transparency_data:
        im = im.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", im.size, "white"), im).convert("RGB")
    return im.convert("RGB")


def _transformed(plane: Plane, reach: int) -> Plane:
    cosines = _cosines()[:reach]
    across = [[sum(a * b for a, b in zip(row, wave)) for wave in cosines] for row in plane]  # [y][v]
    columns = list(zip(*across))
    return [[sum(a * b for a, b in zip(column, wave)) for column in columns] for wave in cosines]


def _restored(spectrum: Plane) -> Plane:
    """[y][x] of amplitudes [u][v]."""
    cosines = _cosines()
    half = [[sum(a * cosines[v][x] for v, a in enumerate(row) if a) for x in range(SIDE)] for row in spectrum]
    return [[sum(half[u][x] * cosines[u][y] for u in range(len(half))) for x in range(SIDE)] for y in range(SIDE)]


def step_of(index: int, plane: int) -> float:
    return FINEST * RATIO**index * (CHROMA_STEP if plane else 1.0)


def levels_of(spectra: Sequence[Plane], step: int, rounding: float) -> list[int]:
    """The amplitudes in steps, in the order of PLACES."""
    found = []
    for c, u, v in PLACES:
        size = spectra[c][u][v] / step_of(step, c)
        whole = math.floor(abs(size) + (rounding if u + v else 0.5))
        found.append(min(whole, MOST if u + v else _even_most(step, c)) * (1 if size > 0 else -1))
    return found


def _even_most(step: int, plane: int) -> int:
    """The most that the mean of a plane may be, in steps."""
    return math.ceil(SIDE / step_of(step, plane))


# ---- Bits ---------------------------------------------------------------------------------------------------------


class Writer:
    """An arithmetic coder over one number of `count` bytes."""

    def __init__(self, count: int):
        self.low, self.width = 0, 1 << (8 * count + SPARE)

    def bit(self, value: bool, chance: int) -> bool:
        """value, True being expected in `chance` of ONE cases."""
        part = self.width * chance // ONE
        if value:
            self.width = part
        else:
            self.low, self.width = self.low + part, self.width - part
        return value

    def even(self, value: int, count: int) -> int:
        """One of `count` values that are equally likely."""
        self.width //= count
        self.low += value * self.width
        return value

    def done(self, count: int) -> bytes | None:
        """The bytes, None if they do not hold all that was written."""
        number = -(-self.low >> SPARE)
        if number << SPARE >= self.low + self.width or number >> (8 * count):
            return None
        return number.to_bytes(count, "big")


class Reader:
    """What Writer wrote."""

    def __init__(self, data: bytes):
        self.number, self.width = int.from_bytes(data, "big") << SPARE, 1 << (8 * len(data) + SPARE)

    def bit(self, _value: bool, chance: int) -> bool:
        part = self.width * chance // ONE
        if self.number < part:
            self.width = part
            return True
        self.number, self.width = self.number - part, self.width - part
        return False

    def even(self, _value: int, count: int) -> int:
        self.width //= count
        value = min(self.number // self.width, count - 1) if self.width else 0
        self.number -= value * self.width
        return value


class Counter:
    """Counts what would be coded, by the place of its probability."""

    def __init__(self, counts: list[list[int]]):
        self.counts = counts

    def at(self, place: int, value: bool) -> None:
        self.counts[place][value] += 1


ZERO = 2 * max(REACH) * CONTEXTS  # probabilities of a band of steps: of zero or not
LARGER = 2 * CONTEXTS * 2  # of one or more, and of two or more
TABLE = BANDS * (ZERO + LARGER)


@cache
def chances() -> bytes:
    """The probabilities, of TABLE bytes."""
    return files(__package__).joinpath("placeholders.bin").read_bytes()


def coded(coder: Any, levels: Sequence[int] | None, step: int, table: Sequence[int] | Counter) -> list[int]:
    """The amplitudes, in steps, through a coder; levels None where it reads. A Counter sees them in a coder's place."""
    seen: dict[tuple[int, int, int], int] = {}
    found = []
    base = (step * BANDS // STEPS) * (ZERO + LARGER)
    for number, place in enumerate(PLACES):
        c, u, v = place
        level = levels[number] if levels else 0
        if u + v == 0:
            most = _even_most(step, c)
            level = level if coder is None else coder.even(level + most, 2 * most + 1) - most
        else:
            level = _one(coder, level, base, (c, u + v, _context(seen, place)), table)
        seen[place] = min(abs(level), MOST)
        found.append(level)
    return found


def _context(seen: dict[tuple[int, int, int], int], place: tuple[int, int, int]) -> int:
    """0 to CONTEXTS - 1: how large the neighbours of lower frequency are, and, of colour, luma at its place."""
    c, u, v = place
    around = seen.get((c, u - 1, v), 0) * (u > 1 or v > 0) + seen.get((c, u, v - 1), 0) * (v > 1 or u > 0)
    around += (seen.get((c, u - 1, v - 1), 0) if u + v > 2 else 0) + (seen.get((c - 1, u, v), 0) if c else 0)
    return min(around, CONTEXTS - 1)


def _one(coder: Any, level: int, base: int, where: tuple[int, int, int], table: Any) -> int:
    c, diagonal, context = where
    plane = 1 if c else 0

    def bit(value: bool, place: int) -> bool:
        if coder is None:
            table.at(base + place, value)
            return value
        said: bool = coder.bit(value, table[base + place])
        return said

    if not bit(level != 0, (plane * max(REACH) + diagonal) * CONTEXTS + context):
        return 0
    negative = level < 0 if coder is None else coder.bit(level < 0, ONE // 2)
    size = 1
    while size < MOST and bit(abs(level) > size, ZERO + (plane * CONTEXTS + context) * 2 + (size > 1)):
        size += 1
    return -size if negative else size


# ---- In and out ---------------------------------------------------------------------------------------------------


def placeholder(im: Image.Image, size: int = BYTES) -> bytes:
    """A picture in `size` bytes, 8 to 64: its colours and large shapes, to be shown until it is there.

    im: a Pillow image of any mode and size; what is transparent is laid over white. `placeholder_image` makes a picture
    of the bytes. Raises LicBadOption.
    """
    if not isinstance(im, Image.Image):
        msg = (
            f"a placeholder is made of a Pillow image, found {type(im).__name__}; Image.fromarray makes one of an array"
        )
        raise LicBadOption(msg)
    if isinstance(size, bool) or not isinstance(size, numbers.Integral) or not BYTES_MIN <= size <= BYTES_MAX:
        msg = f"size must be a whole number of bytes from {BYTES_MIN} to {BYTES_MAX}, found {size!r}"
        raise LicBadOption(msg)
    if min(im.size) < 1:
        msg = f"an empty image of {im.width} x {im.height} pixels has no placeholder"
        raise LicBadOption(msg)
    spectra, shape, table = amplitudes(im), _shape(im.size), chances()
    best = min(_tried(spectra, shape, int(size), table), key=lambda pair: pair[0])
    return best[1]


def _tried(spectra: Sequence[Plane], shape: int, size: int, table: Sequence[int]) -> Iterator[tuple[float, bytes]]:
    """(squared error, bytes) for each rounding with the finest step that fits, and the next two coarser ones; where
    none does, of the lowest frequencies alone.
    """
    any_fits = False
    for rounding in ROUNDINGS:
        fitting = 0
        for step in range(STEPS):
            levels = levels_of(spectra, step, rounding)
            data = _written(levels, shape, step, size, table)
            if data is not None:
                yield _lost(spectra, levels, step), data
                fitting, any_fits = fitting + 1, True
            if fitting == 3:
                break
    for reach in (8, 5, 3, 2, 1) if not any_fits else ():
        levels = levels_of(spectra, STEPS - 1, ROUNDINGS[-1])
        levels = [level if u + v < reach else 0 for level, (_, u, v) in zip(levels, PLACES)]
        data = _written(levels, shape, STEPS - 1, size, table)
        if data is not None:
            yield _lost(spectra, levels, STEPS - 1), data


def _written(levels: Sequence[int], shape: int, step: int, size: int, table: Sequence[int]) -> bytes | None:
    """None where it is more than `size` bytes."""
    writer = Writer(size)
    writer.even(shape, SHAPES)
    writer.even(step, STEPS)
    coded(writer, levels, step, table)
    return writer.done(size)


def _lost(spectra: Sequence[Plane], levels: Sequence[int], step: int) -> float:
    """The squared error of RGB, but for what is beyond all that can be coded."""
    weights = (3.0, 0.344**2 + 1.772**2, 1.402**2 + 0.714**2)
    pairs = zip(PLACES, levels)
    return sum(weights[c] * (spectra[c][u][v] - level * step_of(step, c)) ** 2 for (c, u, v), level in pairs)


def _shape(size: tuple[int, int]) -> int:
    wide = math.log2(size[0] / size[1]) / SHAPE_MOST
    return round((min(max(wide, -1.0), 1.0) + 1.0) / 2 * (SHAPES - 1))


def placeholder_image(data: bytes, size: tuple[int, int] | None = None) -> Image.Image:
    """The picture of a placeholder's bytes, RGB. size: width and height; None: 64 pixels the longer side, in about the
    original's shape. Raises LicBadOption, LicTruncated.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        msg = f"a placeholder is bytes, found {type(data).__name__}"
        raise LicBadOption(msg)
    if not BYTES_MIN <= len(data) <= BYTES_MAX:
        msg = f"a placeholder has {BYTES_MIN} to {BYTES_MAX} bytes, found {len(data)}"
        raise (LicTruncated if len(data) < BYTES_MIN else LicBadOption)(msg)
    reader = Reader(bytes(data))
    shape, step = reader.even(0, SHAPES), reader.even(0, STEPS)
    levels = coded(reader, None, step, chances())
    image = _drawn(levels, step)
    return image.resize(_asked(size, shape), Image.Resampling.BICUBIC)


def _asked(size: Any, shape: int) -> tuple[int, int]:
    if size is None:
        wide = 2 ** ((2 * shape / (SHAPES - 1) - 1) * SHAPE_MOST)
        return round(64 * min(1.0, wide)), round(64 / max(1.0, wide))
    try:
        width, height = (int(side) for side in size)
    except (TypeError, ValueError):
        width = height = 0
    if min(width, height) < 1:
        msg = f"size must be width and height in pixels, found {size!r}"
        raise LicBadOption(msg)
    return width, height


def _drawn(levels: Sequence[int], step: int) -> Image.Image:
    """SIDE x SIDE."""
    spectra = [[[0.0] * reach for _ in range(reach)] for reach in REACH]
    for (c, u, v), level in zip(PLACES, levels):
        spectra[c][u][v] = level * step_of(step, c)
    planes = [_restored(spectrum) for spectrum in spectra]
    samples = bytearray()
    for rows in zip(*planes):
        for luma, blue, red in zip(*rows):
            rgb = (luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue)
            samples += bytes(min(max(round((value + 1.0) * 127.5), 0), 255) for value in rgb)
    return Image.frombytes("RGB", (SIDE, SIDE), bytes(samples))
