"""What people measure pictures by: from PSNR to SSIMULACRA2 and Butteraugli, each by its published definition.

    from pillow_lic import metrics
    metrics.psnr(original, decoded)
    metrics.compare(original, decoded, ("psnr", "ssimulacra2"))

A picture is a Pillow image or a uint8 array (H, W), (H, W, 1 to 4) of grey or RGB, the last channel of 2 or 4 being
alpha. Both must be of the same size; if only one is grey, it counts as RGB of equal channels. Where one has alpha, both
are laid over black and over white, and the worse of the two values is returned (SSIMULACRA2's own tool does so with a
dark and a bright grey). Samples are taken as sRGB as they are: profiles are not applied. What only one channel can be
measured by is luma, 0.299 R + 0.587 G + 0.114 B, not rounded.

Here are the names, and what is computed once for several; the other files have the arithmetic. Imports NumPy and
Pillow; the package `ssimulacra2`, the tool `butteraugli_main` and torch are not needed before they are called.

`lpips`, `dists` and `fid` take weights that you have got yourself: `weights` is the folder that they are in, by default
what the environment variable LIC_METRIC_WEIGHTS says. Nothing is ever downloaded.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import LicBadOption, LicMeasureMissing
from . import eye, learned, structure, tools
from .pictures import PEAK, Picture, luma, matched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .learned import Weights


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


def lpips(a: Picture, b: Picture, weights: Weights = None) -> float:
    """LPIPS, distance of AlexNet's features, weighed by what people said: 0 for equal pictures, seldom above 1. NaN
    below a side of 31.

    Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric", version 0.1, by the
    package `lpips`; the file is torchvision's alexnet-owt-7be5be79.pth. weights: the folder that it is in.
    """
    return compare(a, b, ("lpips",), weights)["lpips"]


def dists(a: Picture, b: Picture, weights: Weights = None) -> float:
    """DISTS, structure and texture by VGG16's features: 0 for equal pictures but for rounding (1e-6), at most about 1.

    Ding et al. 2020, "Image quality assessment: unifying structure and texture similarity", by the package
    `DISTS-pytorch`; the file is torchvision's vgg16-397923af.pth. weights: the folder that it is in. Pictures are
    taken at their size: the authors made theirs of a shorter side of 256 first.
    """
    return compare(a, b, ("dists",), weights)["dists"]


def fid(a: Iterable[Picture], b: Iterable[Picture], weights: Weights = None) -> float:
    """Frechet Inception distance of two sets of pictures of any sizes: 0 for equal sets, no upper end.

    Heusel et al. 2017, "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", equation 6,
    with the Inception network of 2015 at 299 x 299, by the package `pytorch-fid`; the file is its
    pt_inception-2015-12-05-6726825d.pth. weights: the folder that it is in. Alpha is laid over white. Of sets below
    some 10,000 pictures it comes out too large: compare such values only between sets of one size. Raises LicBadOption
    for a set of fewer than 2.
    """
    return learned.run_fid(a, b, weights)


def compare(a: Picture, b: Picture, measures: Sequence[str] | None = None, weights: Weights = None) -> dict[str, float]:
    """{measure: value} of an original and what became of it; by default of all measures that are `available`.

    What measures share is computed once. Raises LicBadOption for an unknown name or pictures that do not go together,
    LicMeasureMissing where a measure needs something that is not installed. weights: the folder of the files that
    `lpips` and `dists` take.
    """
    names = _known(available(weights) if measures is None else measures, weights)
    found = [_Pair(*pair, weights) for pair in matched(a, b)]
    return {name: _worst(MEASURES[name], found) for name in names}


def compare_many(
    pairs: Iterable[tuple[Picture, Picture]],
    measures: Sequence[str] | None = None,
    workers: int = 1,
    weights: Weights = None,
) -> Iterator[dict[str, float]]:
    """`compare` of each (original, decoded), in order, `workers` threads at a time. zip(originals, decoded) of lists or
    of arrays (N, H, W, 3) will do.
    """
    names = _known(available(weights) if measures is None else measures, weights)
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(lambda pair: compare(pair[0], pair[1], names, weights), pairs)


def available(weights: Weights = None) -> list[str]:
    """The names of the measures of two pictures that can be computed here."""
    return [name for name in MEASURES if missing(name, weights) is None]


def missing(name: str, weights: Weights = None) -> str | None:
    """What to install for a measure, or `fid`, and which file to put where, in words; None if all is there."""
    if name in learned.NETWORKS:
        return learned.missing(name, weights)
    if name == "ssimulacra2" and not tools.has_ssimulacra2():
        return "needs the package `ssimulacra2`: pip install 'pillow-lic[metrics]'"
    if name.startswith("butteraugli") and tools.butteraugli_tool() is None:
        return "needs libjxl's tool `butteraugli_main` on the PATH: apt-get install libjxl-devtools (Debian, Ubuntu)"
    return None


def decibel(similarity: float) -> float:
    """-10 log10(1 - similarity), of SSIM or MS-SSIM."""
    return math.inf if similarity >= 1 else -10 * math.log10(1 - similarity)


# ---- Of a pair ------------------------------------------------------------------------------------------------------


def _one(name: str, a: Picture, b: Picture) -> float:
    return compare(a, b, (name,))[name]


def _known(names: Sequence[str], weights: Weights) -> Sequence[str]:
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if name not in MEASURES:
            hint = "; `fid` is of two sets of pictures: metrics.fid" if name == "fid" else ""
            msg = f"unknown measure {name!r}; known: {', '.join(MEASURES)}{hint}"
            raise LicBadOption(msg)
        lacks = missing(name, weights)
        if lacks:
            msg = f"{name} {lacks}"
            raise LicMeasureMissing(msg)
    return names


def _worst(measure: Measure, pairs: list[_Pair]) -> float:
    values = [measure.of(pair) for pair in pairs]
    return float(min(values) if measure.higher_is_better else max(values))


class _Pair:
    """An original and what became of it, uint8 (H, W, 1 or 3), and what several measures need, computed once."""

    def __init__(self, a: np.ndarray, b: np.ndarray, weights: Weights):
        self.a, self.b, self.weights = a, b, weights
        self.side = min(a.shape[:2])

    @cached_property
    def luma(self) -> tuple[np.ndarray, np.ndarray]:
        """Both in float64, 0 to 255."""
        return luma(self.a), luma(self.b)

    @cached_property
    def scale(self) -> tuple[Sequence[float], Sequence[float], list[tuple[np.ndarray, np.ndarray]]]:
        """SSIM and its contrast-structure part, each a value per channel, and the channels in float64."""
        channels = [(x.astype(np.float64), y.astype(np.float64)) for x, y in zip(self.a.T, self.b.T)]
        whole, contrast = zip(*(structure.similarity(x, y) for x, y in channels))
        return whole, contrast, channels

    @cached_property
    def hvs(self) -> tuple[float, float]:
        """Mean weighed squares of PSNR-HVS and PSNR-HVS-M."""
        return eye.visible_errors(*self.luma)

    @cached_property
    def butteraugli(self) -> tuple[float, float]:
        """3-norm and maximum."""
        return tools.run_butteraugli(self.a, self.b)


def _ratio(mean_square: float) -> float:
    """dB of a mean of squares."""
    return 10 * math.log10(PEAK**2 / mean_square) if mean_square else math.inf


def _psnr(pair: _Pair) -> float:
    return _ratio(np.mean((pair.a.astype(np.float64) - pair.b) ** 2))


def _ssim(pair: _Pair) -> float:
    return float(np.mean(pair.scale[0])) if pair.side >= structure.WINDOW else math.nan


def _ms_ssim(pair: _Pair) -> float:
    if pair.side < structure.MS_SSIM_SIDE_MIN:
        return math.nan
    whole, contrast, channels = pair.scale
    product = np.ones(len(channels))
    for exponent in structure.EXPONENTS[:-1]:
        product *= np.maximum(contrast, 0) ** exponent
        channels = [(structure.halved(x), structure.halved(y)) for x, y in channels]
        whole, contrast = zip(*(structure.similarity(x, y) for x, y in channels))
    return float(np.mean(product * np.maximum(whole, 0) ** structure.EXPONENTS[-1]))


MEASURES = {
    "psnr": Measure("PSNR", "dB", True, _psnr),
    "ssim": Measure("SSIM", "", True, _ssim),
    "ms_ssim": Measure("MS-SSIM", "", True, _ms_ssim),
    "ms_ssim_db": Measure("MS-SSIM", "dB", True, lambda pair: decibel(_ms_ssim(pair))),
    "psnr_hvs": Measure("PSNR-HVS", "dB", True, lambda pair: _ratio(pair.hvs[0])),
    "psnr_hvs_m": Measure("PSNR-HVS-M", "dB", True, lambda pair: _ratio(pair.hvs[1])),
    "ciede2000": Measure("CIEDE2000", "", False, lambda pair: eye.ciede2000(pair.a, pair.b)),
    "gmsd": Measure("GMSD", "", False, lambda pair: structure.gmsd(*pair.luma)),
    "nlpd": Measure("NLPD", "", False, lambda pair: structure.nlpd(*pair.luma)),
    "ssimulacra2": Measure("SSIMULACRA2", "", True, lambda pair: tools.run_ssimulacra2(pair.a, pair.b)),
    "butteraugli": Measure("Butteraugli, 3-norm", "", False, lambda pair: pair.butteraugli[0]),
    "butteraugli_max": Measure("Butteraugli, maximum", "", False, lambda pair: pair.butteraugli[1]),
    "lpips": Measure("LPIPS", "", False, lambda pair: learned.run_lpips(pair.a, pair.b, pair.weights)),
    "dists": Measure("DISTS", "", False, lambda pair: learned.run_dists(pair.a, pair.b, pair.weights)),
}
