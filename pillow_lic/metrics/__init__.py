"""What people measure pictures by: from PSNR to SSIMULACRA2 and Butteraugli, each by its published definition.

    from pillow_lic import metrics
    metrics.psnr(original, decoded)
    metrics.compare(original, decoded, ("psnr", "ssimulacra2"))

A picture is a Pillow image or a uint8 array (H, W), (H, W, 1 to 4) of grey or RGB, the last channel of 2 or 4 being
alpha. Both must be of the same size; if only one is grey, it counts as RGB of equal channels. Where one has alpha, both
are laid over black and over white, and the worse of the two values is returned (SSIMULACRA2's own tool does so with a
dark and a bright grey). Samples are taken as sRGB as they are: profiles are not applied. What only one channel can be
measured by is luma, 0.299 R + 0.587 G + 0.114 B, not rounded.

Imports NumPy and Pillow; the package `ssimulacra2` and the tool `butteraugli_main` come in where they are called, and
are not needed before.
"""

from __future__ import annotations

import io
import math
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from PIL import Image

from .errors import LicBadOption, LicMeasureMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Picture = Image.Image | np.ndarray
PEAK = 255.0
LUMA = np.array([0.299, 0.587, 0.114])


class Measure(NamedTuple):
    """How a measure is called, and which of two of its values is the better one."""

    label: str
    unit: str
    higher_is_better: bool
    of: Callable[[_Pair], float]


# ---- The measures -------------------------------------------------------------------------------------------------


def psnr(a: Picture, b: Picture) -> float:
    """Peak signal to noise ratio in dB over all samples: 10 log10(255^2 / MSE). 0 and more; infinite for equal
    pictures.

    Photographs: 30 is visibly worse, 40 hardly. For colours the mean of squares is taken over R, G and B together.
    """
    return _one("psnr", a, b)


def ssim(a: Picture, b: Picture) -> float:
    """Structural similarity, mean over channels: at most 1, which equal pictures have. NaN below a side of 11.

    Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", equation 13: Gaussian
    window of 11 x 11 and sigma 1.5, K1 0.01, K2 0.03, where the window fits whole. Not of halved pictures, as their
    later code has it.
    """
    return _one("ssim", a, b)


def ms_ssim(a: Picture, b: Picture) -> float:
    """Multi-scale structural similarity, mean over channels: 0 to 1, which equal pictures have. NaN below a side of
    161.

    Wang et al. 2003, "Multi-scale structural similarity for image quality assessment", equation 7 and its five
    exponents. Negative factors count as 0, and odd sides get a row of zeros before they are halved, both as in
    pytorch-msssim, which the published figures of learned codecs come from.
    """
    return _one("ms_ssim", a, b)


def ms_ssim_db(a: Picture, b: Picture) -> float:
    """MS-SSIM in dB, -10 log10(1 - MS-SSIM): 0 and more, 20 for 0.99; infinite for equal pictures."""
    return _one("ms_ssim_db", a, b)


def psnr_hvs(a: Picture, b: Picture) -> float:
    """PSNR of luma in dB with the eye's contrast sensitivity: the coefficients of 8 x 8 DCTs count by their visibility.
    Infinite for equal ones.

    Egiazarian et al. 2006, "New full-reference quality metrics based on HVS". Blocks of 8 x 8 from the upper left,
    incomplete ones do not count; NaN below a side of 8.
    """
    return _one("psnr_hvs", a, b)


def psnr_hvs_m(a: Picture, b: Picture) -> float:
    """PSNR-HVS with masking: differences that a block's own texture hides do not count. dB, never below PSNR-HVS;
    infinite if all is hidden.

    Ponomarenko et al. 2007, "On between-coefficient contrast masking of DCT basis functions": equation 3 is
    the masking. People see no difference from about 40 on.
    """
    return _one("psnr_hvs_m", a, b)


def ciede2000(a: Picture, b: Picture) -> float:
    """Mean colour difference CIEDE2000 over all pixels: 0 for equal pictures; 1 is just visible between two patches,
    above 5 obvious.

    Sharma, Wu and Dalal 2005, "The CIEDE2000 color-difference formula: implementation notes", equations 2 to 22, all
    three parametric factors 1; CIELAB under D65.
    """
    return _one("ciede2000", a, b)


def gmsd(a: Picture, b: Picture) -> float:
    """Gradient magnitude similarity deviation of luma: 0 for equal pictures, seldom above 0.35. NaN below a side of 4.

    Xue et al. 2014, "Gradient magnitude similarity deviation: a highly efficient perceptual image quality index",
    equations 1 to 6, c 170, after halving both pictures.
    """
    return _one("gmsd", a, b)


def nlpd(a: Picture, b: Picture) -> float:
    """Normalised Laplacian pyramid distance of luma: 0 for equal pictures, 1 for very different ones. NaN below a side
    of 32.

    Laparra et al. 2016, "Perceptual image quality assessment using a normalized Laplacian pyramid": six bands and the
    authors' published filters.
    """
    return _one("nlpd", a, b)


def ssimulacra2(a: Picture, b: Picture) -> float:
    """SSIMULACRA2, a score fitted to what people said of compressed pictures: 100 for equal ones, 90 invisible, 70
    high, 50 medium, 30 low quality; may be negative.

    Sneyers 2022 (libjxl, cloudinary/ssimulacra2), through the PyPI package of that name. Not symmetric: `a` is the
    original. NaN below a side of 8.
    """
    return _one("ssimulacra2", a, b)


def butteraugli(a: Picture, b: Picture) -> float:
    """Butteraugli's 3-norm over the picture: 0 for equal pictures, 1 about the least that is seen, 2 to 4 visible; no
    upper end. `a` is the original.

    Alakuijala et al. 2017, "Guetzli", and libjxl since: by libjxl's `butteraugli_main` at its defaults, a screen of 80
    nits. NaN below a side of 8.
    """
    return _one("butteraugli", a, b)


def butteraugli_max(a: Picture, b: Picture) -> float:
    """Butteraugli of the worst place: the maximum of what `butteraugli` takes the 3-norm of. What libjxl calls a
    distance of 1 is meant to be at about 1 here.
    """
    return _one("butteraugli_max", a, b)


def compare(a: Picture, b: Picture, measures: Sequence[str] | None = None) -> dict[str, float]:
    """{measure: value} of an original and what became of it; by default of all measures that are `available`.

    What measures share is computed once. Raises LicBadOption for an unknown name or pictures that do not go together,
    LicMeasureMissing where a measure needs something that is not installed.
    """
    names = _known(available() if measures is None else measures)
    pairs = _pairs(a, b)
    return {name: _worst(MEASURES[name], pairs) for name in names}


def compare_many(
    pairs: Iterable[tuple[Picture, Picture]], measures: Sequence[str] | None = None, workers: int = 1
) -> Iterator[dict[str, float]]:
    """`compare` of each (original, decoded), in order, `workers` threads at a time. zip(originals, decoded) of lists or
    of arrays (N, H, W, 3) will do.
    """
    names = _known(available() if measures is None else measures)
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(lambda pair: compare(pair[0], pair[1], names), pairs)


def available() -> list[str]:
    """The names of the measures that can be computed here."""
    return [name for name in MEASURES if missing(name) is None]


def missing(name: str) -> str | None:
    """What to install for a measure, in words, or None if it is there."""
    if name == "ssimulacra2":
        try:
            import ssimulacra2  # noqa: F401
        except ImportError:
            return "needs the package `ssimulacra2`: pip install 'pillow-lic[metrics]'"
    if name.startswith("butteraugli") and _butteraugli_tool() is None:
        return "needs libjxl's tool `butteraugli_main` on the PATH: apt-get install libjxl-devtools (Debian, Ubuntu)"
    return None


def decibel(similarity: float) -> float:
    """-10 log10(1 - similarity), of SSIM or MS-SSIM."""
    return math.inf if similarity >= 1 else -10 * math.log10(1 - similarity)


# ---- Pictures -----------------------------------------------------------------------------------------------------


def _one(name: str, a: Picture, b: Picture) -> float:
    return compare(a, b, (name,))[name]


def _known(names: Sequence[str]) -> Sequence[str]:
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if name not in MEASURES:
            msg = f"unknown measure {name!r}; known: {', '.join(MEASURES)}"
            raise LicBadOption(msg)
        lacks = missing(name)
        if lacks:
            msg = f"{name} {lacks}"
            raise LicMeasureMissing(msg)
    return names


def _worst(measure: Measure, pairs: list[_Pair]) -> float:
    values = [measure.of(pair) for pair in pairs]
    return float(min(values) if measure.higher_is_better else max(values))


def _pairs(a: Picture, b: Picture) -> list[_Pair]:
    """The pictures as arrays: one pair, or two where alpha had to be laid over black and over white."""
    one, two = _array(a), _array(b)
    if one.shape[:2] != two.shape[:2]:
        sizes = " and ".join(f"{x.shape[1]} x {x.shape[0]}" for x in (one, two))
        msg = f"pictures of different sizes, {sizes}: measure what the codec got, or resize one of them first"
        raise LicBadOption(msg)
    if one.shape[2] > 2 or two.shape[2] > 2:
        one, two = _coloured(one), _coloured(two)
    if one.shape[2] in (1, 3) and two.shape[2] in (1, 3):
        return [_Pair(one, two)]
    return [_Pair(_over(one, ground), _over(two, ground)) for ground in (0.0, PEAK)]


def _array(picture: Picture) -> np.ndarray:
    """(H, W, channels) uint8; channels 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha."""
    if isinstance(picture, Image.Image):
        transparent = picture.has_transparency_data
        if picture.mode not in ("L", "LA", "RGB", "RGBA") or (transparent and picture.mode in ("L", "RGB")):
            if picture.mode.startswith(("I", "F")):
                msg = f"pictures of mode {picture.mode}: measures are defined on 8 bits; convert them to L or RGB first"
                raise LicBadOption(msg)
            grey = "L" if picture.mode in ("1", "L") else "RGB"
            picture = picture.convert(grey + "A" if transparent else grey)
        picture = np.asarray(picture)
    array = np.asarray(picture)
    array = array[..., None] if array.ndim == 2 else array
    if array.dtype != np.uint8 or array.ndim != 3 or not 1 <= array.shape[2] <= 4 or not array.size:
        msg = f"an array of {array.dtype} {array.shape}: expected uint8 of (H, W) or (H, W, 1 to 4)"
        raise LicBadOption(msg)
    return array


def _coloured(array: np.ndarray) -> np.ndarray:
    """Grey as RGB, its alpha kept."""
    return array if array.shape[2] > 2 else array[..., [0, 0, 0] if array.shape[2] == 1 else [0, 0, 0, 1]]


def _over(array: np.ndarray, ground: float) -> np.ndarray:
    """Without alpha: laid over a ground, rounded to uint8 as a viewer does."""
    if array.shape[2] in (1, 3):
        return array
    share = array[..., -1:] / PEAK
    return np.rint(array[..., :-1] * share + ground * (1 - share)).astype(np.uint8)


class _Pair:
    """An original and what became of it, uint8 (H, W, 1 or 3), and what several measures need, computed once."""

    def __init__(self, a: np.ndarray, b: np.ndarray):
        self.a, self.b = a, b
        self.side = min(a.shape[:2])

    @cached_property
    def luma(self) -> tuple[np.ndarray, np.ndarray]:
        """Both in float64, 0 to 255."""
        return _luma(self.a), _luma(self.b)

    @cached_property
    def scale(self) -> tuple[Sequence[float], Sequence[float], list[tuple[np.ndarray, np.ndarray]]]:
        """SSIM and its contrast-structure part, each a value per channel, and the channels in float64."""
        channels = [(x.astype(np.float64), y.astype(np.float64)) for x, y in zip(self.a.T, self.b.T)]
        whole, structure = zip(*(_similarity(x, y) for x, y in channels))
        return whole, structure, channels

    @cached_property
    def hvs(self) -> tuple[float, float]:
        """Mean weighed squares of PSNR-HVS and PSNR-HVS-M."""
        return _visible_errors(*self.luma)

    @cached_property
    def butteraugli(self) -> tuple[float, float]:
        """3-norm and maximum."""
        return _run_butteraugli(self.a, self.b)


def _luma(x: np.ndarray) -> np.ndarray:
    """(H, W) in float64, 0 to 255."""
    return x[..., 0].astype(np.float64) if x.shape[2] == 1 else x @ LUMA


def _ratio(mean_square: float) -> float:
    """dB of a mean of squares."""
    return 10 * math.log10(PEAK**2 / mean_square) if mean_square else math.inf


def _psnr(pair: _Pair) -> float:
    return _ratio(np.mean((pair.a.astype(np.float64) - pair.b) ** 2))


# ---- SSIM and MS-SSIM ---------------------------------------------------------------------------------------------

WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the five scales, finest first
MS_SSIM_SIDE_MIN = (WINDOW - 1) * 2 ** (len(EXPONENTS) - 1) + 1
TAPS = np.exp(-0.5 * ((np.arange(WINDOW) - WINDOW // 2) / SIGMA) ** 2)
TAPS /= TAPS.sum()


def _blur(x: np.ndarray) -> np.ndarray:
    """Weighed means (H - 10, W - 10) of all whole windows of x (H, W)."""
    for _ in range(2):  # along the rows of x, then of its transpose
        length = x.shape[0] - WINDOW + 1
        x = sum(
            tap * (x[k : k + length] + x[WINDOW - 1 - k :][:length]) for k, tap in enumerate(TAPS[: WINDOW // 2])
        ) + (TAPS[WINDOW // 2] * x[WINDOW // 2 :][:length])
        x = np.ascontiguousarray(x.T)
    return x


def _similarity(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Means of SSIM and of its contrast-structure part, of one channel."""
    mean_x, mean_y = _blur(x), _blur(y)
    both, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    structure = (2 * (_blur(x * y) - both) + C2) / (_blur(x * x + y * y) - squares + C2)
    return float(((2 * both + C1) / (squares + C1) * structure).mean()), float(structure.mean())


def _halved(x: np.ndarray) -> np.ndarray:
    """Means of 2 x 2, an odd side with a row of zeros first."""
    x = np.pad(x, [(side % 2, 0) for side in x.shape])
    half: np.ndarray = (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4
    return half


def _ssim(pair: _Pair) -> float:
    return float(np.mean(pair.scale[0])) if pair.side >= WINDOW else math.nan


def _ms_ssim(pair: _Pair) -> float:
    if pair.side < MS_SSIM_SIDE_MIN:
        return math.nan
    whole, structure, channels = pair.scale
    product = np.ones(len(channels))
    for exponent in EXPONENTS[:-1]:
        product *= np.maximum(structure, 0) ** exponent
        channels = [(_halved(x), _halved(y)) for x, y in channels]
        whole, structure = zip(*(_similarity(x, y) for x, y in channels))
    return float(np.mean(product * np.maximum(whole, 0) ** EXPONENTS[-1]))


# ---- PSNR-HVS and PSNR-HVS-M --------------------------------------------------------------------------------------

BLOCK = 8
# The table of ITU-T T.81, K.1, which both of the authors' tables follow from.
JPEG_LUMINANCE = np.array([
    [16, 11, 10, 16, 24, 40, 51, 61],
    [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77],
    [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101],
    [72, 92, 95, 98, 112, 100, 103, 99],
])  # fmt: skip
SENSITIVITY = 25.73509 / JPEG_LUMINANCE  # 1.608443 of the mean, to six digits as published
MASKING = (10 / JPEG_LUMINANCE) ** 2
MASKING_AC = np.where(np.arange(BLOCK * BLOCK).reshape(BLOCK, BLOCK) > 0, MASKING, 0)  # the mean masks nothing
COSINES = np.cos(np.pi / BLOCK * np.outer(np.arange(BLOCK), np.arange(BLOCK) + 0.5)) * np.sqrt(2 / BLOCK)
COSINES[0] /= np.sqrt(2)


def _blocks(x: np.ndarray) -> np.ndarray:
    """(N, 8, 8) of x (H, W)."""
    rows, columns = (side // BLOCK for side in x.shape)
    cut = x[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    return cut.transpose(0, 2, 1, 3).reshape(-1, BLOCK, BLOCK)


def _masked(blocks: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """(N,): how much a block hides. Less where an edge makes the variance, which its quarters then do not share."""
    energy = (coefficients**2 * MASKING_AC).sum((1, 2))
    half = BLOCK // 2
    quarters = blocks.reshape(-1, 2, half, 2, half).var((2, 4), ddof=1).sum((1, 2)) * half**2
    whole = blocks.var((1, 2), ddof=1) * BLOCK**2
    hidden: np.ndarray = np.sqrt(energy * np.divide(quarters, whole, out=np.zeros_like(whole), where=whole > 0)) / 32
    return hidden


def _visible_errors(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    if min(x.shape) < BLOCK:
        return math.nan, math.nan
    of_x, of_y = _blocks(x), _blocks(y)
    in_x, in_y = (COSINES @ blocks @ COSINES.T for blocks in (of_x, of_y))
    error = np.abs(in_x - in_y)
    hidden = np.maximum(_masked(of_x, in_x), _masked(of_y, in_y))[:, None, None] / MASKING
    hidden[:, 0, 0] = 0
    plain, masked = (part * SENSITIVITY for part in (error, np.maximum(error - hidden, 0)))
    return float(np.mean(plain**2)), float(np.mean(masked**2))


# ---- CIEDE2000 ----------------------------------------------------------------------------------------------------

# sRGB's primaries in linear light to XYZ (IEC 61966-2-1), and its white, D65
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = XYZ.sum(1)
FAR = 25.0**7


def _lab(rgb: np.ndarray) -> np.ndarray:
    """(3, N) CIELAB of uint8 (H, W, 1 or 3)."""
    levels = np.arange(256) / PEAK
    light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    linear = np.broadcast_to(light[rgb], (*rgb.shape[:2], 3)).reshape(-1, 3)
    relative = (XYZ / WHITE[:, None]) @ linear.T
    x, y, z = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def _colour_difference(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """CIEDE2000 (N,) of CIELAB (3, N); numbers are those of the paper's equations."""
    (l1, a1, b1), (l2, a2, b2) = one, two
    mean_c7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7  # 2, 3
    g = 0.5 * (1 - np.sqrt(mean_c7 / (mean_c7 + FAR)))  # 4
    a1, a2 = (1 + g) * a1, (1 + g) * a2  # 5
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)  # 6
    h1, h2 = (np.degrees(np.arctan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))  # 7
    grey = c1 * c2 == 0
    turn = np.where(grey, 0, (h2 - h1 + 180) % 360 - 180)  # 10
    turn = np.where((h2 - h1 == 180) & ~grey, 180, turn)
    d_l, d_c, d_h = l2 - l1, c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))  # 8, 9, 11
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2  # 12, 13
    total = h1 + h2
    far = np.abs(h1 - h2) > 180
    mean_h = np.where(grey, total, (total + np.where(far, np.where(total < 360, 360, -360), 0)) / 2)  # 14
    t = (
        1
        - 0.17 * np.cos(np.radians(mean_h - 30))
        + 0.24 * np.cos(np.radians(2 * mean_h))
        + 0.32 * np.cos(np.radians(3 * mean_h + 6))
        - 0.20 * np.cos(np.radians(4 * mean_h - 63))
    )  # 15
    r_t = (
        -np.sin(np.radians(60 * np.exp(-(((mean_h - 275) / 25) ** 2)))) * 2 * np.sqrt(mean_c**7 / (mean_c**7 + FAR))
    )  # 16, 17, 21
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)  # 18
    in_c, in_h = d_c / (1 + 0.045 * mean_c), d_h / (1 + 0.015 * mean_c * t)  # 19, 20
    squares = (d_l / s_l) ** 2 + in_c**2 + in_h**2 + r_t * in_c * in_h
    distance: np.ndarray = np.sqrt(np.maximum(squares, 0))  # 22
    return distance


def _ciede2000(pair: _Pair) -> float:
    return float(_colour_difference(_lab(pair.a), _lab(pair.b)).mean())


# ---- GMSD ---------------------------------------------------------------------------------------------------------

GMSD_C = 170.0


def _gradient(x: np.ndarray) -> np.ndarray:
    """Magnitudes by Prewitt's filters, zeros around the picture."""
    x = np.pad(x, 1)
    down, across = x[2:] - x[:-2], x[:, 2:] - x[:, :-2]
    down = down[:, :-2] + down[:, 1:-1] + down[:, 2:]
    across = across[:-2] + across[1:-1] + across[2:]
    size: np.ndarray = np.hypot(down, across) / 3
    return size


def _gmsd(pair: _Pair) -> float:
    if pair.side < 4:
        return math.nan
    halves = []
    for x in pair.luma:
        x = np.pad(x, [(0, side % 2) for side in x.shape])
        halves.append((x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4)
    one, two = map(_gradient, halves)
    return float(((2 * one * two + GMSD_C) / (one**2 + two**2 + GMSD_C)).std(ddof=1))


# ---- NLPD ---------------------------------------------------------------------------------------------------------

PYRAMID = (0.05, 0.25, 0.4, 0.25, 0.05)  # Burt and Adelson 1983
# Of each band: sigma, and the weights of a coefficient's neighbours (rows below, columns to the right: weight) in what
# it is divided by
NORMALISED_BY = (
    (0.0248, {(-1, 0): 0.1015, (1, 0): 0.1011, (0, 1): 0.1493, (0, -1): 0.1460, (0, -2): 0.0072}),
    (0.0185, {(-1, 0): 0.0837, (1, 0): 0.0757, (0, 1): 0.1986, (0, -1): 0.1846}),
    (0.0179, {(-1, 0): 0.0467, (1, 0): 0.0477, (0, 1): 0.2138, (0, -1): 0.2243}),
    (0.0191, {(0, 1): 0.2503, (0, -1): 0.2616}),
    (0.0220, {(0, 1): 0.2598, (0, -1): 0.2552}),
    (0.2782, {(0, 1): 0.2215, (0, -1): 0.0717}),
)
NLPD_SIDE_MIN = 2 ** (len(NORMALISED_BY) - 1)


def _smoothed(x: np.ndarray, border: Literal["constant", "symmetric"] = "constant") -> np.ndarray:
    """x by the pyramid's filter in both directions. border: what lies around it, as np.pad calls it."""
    for _ in range(2):
        padded = np.pad(x, ((2, 2), (0, 0)), mode=border)
        x = np.asarray(sum(tap * padded[k : k + len(x)] for k, tap in enumerate(PYRAMID))).T
    return x


def _doubled(x: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """x at twice its sides, cut to shape: zeros between its samples, then the filter."""
    x = np.pad(x, 1, mode="edge")
    spread = np.zeros([2 * side for side in x.shape])
    spread[::2, ::2] = 4 * x
    return _smoothed(spread)[2 : 2 + shape[0], 2 : 2 + shape[1]]


def _normalised_bands(x: np.ndarray) -> Iterator[np.ndarray]:
    """The pyramid's bands, finest first, each divided by what surrounds a coefficient."""
    for number, (sigma, neighbours) in enumerate(NORMALISED_BY, 1):
        band = x
        if number < len(NORMALISED_BY):
            x = _smoothed(x, "symmetric")[::2, ::2]
            band = band - _doubled(x, band.shape)
        size = np.pad(np.abs(band), 2)
        height, width = band.shape
        around = sum(w * size[2 + r : 2 + r + height, 2 + c : 2 + c + width] for (r, c), w in neighbours.items())
        yield band / (sigma + around)


def _nlpd(pair: _Pair) -> float:
    if pair.side < NLPD_SIDE_MIN:
        return math.nan
    both = zip(*(_normalised_bands(x / PEAK) for x in pair.luma))
    return float(np.mean([np.sqrt(np.mean((one - two) ** 2)) for one, two in both]))


# ---- What others compute ------------------------------------------------------------------------------------------

OTHERS_SIDE_MIN = 8  # of SSIMULACRA2 and Butteraugli


def _ssimulacra2(pair: _Pair) -> float:
    if pair.side < OTHERS_SIDE_MIN:
        return math.nan
    from ssimulacra2 import compute_ssimulacra2

    return float(compute_ssimulacra2(*(io.BytesIO(_ppm(x)) for x in (pair.a, pair.b))))


def _ppm(x: np.ndarray) -> bytes:
    """uint8 (H, W, 1 or 3) as a PPM file."""
    return b"P6\n%d %d\n255\n" % (x.shape[1], x.shape[0]) + _coloured(x).tobytes()


def _butteraugli_tool() -> str | None:
    """libjxl's tool; some installations drop the end of its name, which another, older program has, too."""
    return shutil.which("butteraugli_main") or shutil.which("butteraugli")


def _run_butteraugli(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """3-norm and maximum."""
    if min(a.shape[:2]) < OTHERS_SIDE_MIN:
        return math.nan, math.nan
    tool = str(_butteraugli_tool())
    with tempfile.TemporaryDirectory(prefix="lic-butteraugli-") as folder:
        paths = [Path(folder, name) for name in ("original.ppm", "distorted.ppm")]
        for path, x in zip(paths, (a, b)):
            path.write_bytes(_ppm(x))
        done = subprocess.run([tool, *map(str, paths)], capture_output=True, text=True, check=False)
    norm = re.search(r"3-norm: *(\S+)", done.stdout)
    if done.returncode or not norm:
        said = (done.stderr or done.stdout).strip()[-200:] or "nothing"
        msg = f"{tool} failed with exit code {done.returncode}; is it libjxl's butteraugli_main? It said: {said}"
        raise LicMeasureMissing(msg)
    return float(norm[1]), float(done.stdout.split()[0])


MEASURES = {
    "psnr": Measure("PSNR", "dB", True, _psnr),
    "ssim": Measure("SSIM", "", True, _ssim),
    "ms_ssim": Measure("MS-SSIM", "", True, _ms_ssim),
    "ms_ssim_db": Measure("MS-SSIM", "dB", True, lambda pair: decibel(_ms_ssim(pair))),
    "psnr_hvs": Measure("PSNR-HVS", "dB", True, lambda pair: _ratio(pair.hvs[0])),
    "psnr_hvs_m": Measure("PSNR-HVS-M", "dB", True, lambda pair: _ratio(pair.hvs[1])),
    "ciede2000": Measure("CIEDE2000", "", False, _ciede2000),
    "gmsd": Measure("GMSD", "", False, _gmsd),
    "nlpd": Measure("NLPD", "", False, _nlpd),
    "ssimulacra2": Measure("SSIMULACRA2", "", True, _ssimulacra2),
    "butteraugli": Measure("Butteraugli, 3-norm", "", False, lambda pair: pair.butteraugli[0]),
    "butteraugli_max": Measure("Butteraugli, maximum", "", False, lambda pair: pair.butteraugli[1]),
}
