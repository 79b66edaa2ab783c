"""Measures by trained networks: LPIPS, DISTS and FID, by their packages and by weights that the user points to.

Nothing here downloads: the packages would, and get what is in the user's files instead. Imports NumPy; the networks,
with torch, torchvision and the packages, are engines/torch/measures.py, imported when a measure is first asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import LicBadOption, LicMeasureMissing
from .pictures import PEAK, Picture, array, coloured, over

if TYPE_CHECKING:
    from collections.abc import Iterable

VARIABLE = "LIC_METRIC_WEIGHTS"
LPIPS_SIDE_MIN = 31  # AlexNet's last pooling has nothing to pool below it
Weights = str | os.PathLike[str] | None


class Network(NamedTuple):
    """What a measure needs: packages by the names they are imported under, and the file of weights."""

    packages: tuple[str, ...]
    file: str
    source: str


# ---- What is there ------------------------------------------------------------------------------------------------


def missing(name: str, weights: Weights = None) -> str | None:
    """What to install or which file to put where for one of NETWORKS, in words, or None if it is there. Imports
    nothing. weights: the folder of the files, by default what VARIABLE says.
    """
    network = NETWORKS[name]
    absent = [package for package in network.packages if importlib.util.find_spec(package) is None]
    if absent:
        return f"needs the packages {', '.join(absent)}: pip install 'pillow-lic[learned-metrics]'"
    folder = _folder(weights)
    if folder is None:
        where = f"put it into a folder, and say which by the environment variable {VARIABLE} or the option `weights`"
    elif not (folder / network.file).is_file():
        where = f"it is not in {folder}"
    else:
        return None
    return f"needs the file {network.file}, which {network.source} has: {where}"


def _folder(weights: Weights) -> Path | None:
    said = weights if weights is not None else os.environ.get(VARIABLE)
    return Path(said) if said else None


def _network(name: str, weights: Weights) -> Any:
    """Ready to be called. Raises LicMeasureMissing."""
    lacks = missing(name, weights)
    if lacks:
        msg = f"{name} {lacks}"
        raise LicMeasureMissing(msg)
    folder = _folder(weights)
    assert folder is not None
    with _building:
        return _built(name, (folder / NETWORKS[name].file).resolve())


_building = threading.Lock()  # one at a time: it changes the packages meanwhile


@lru_cache(maxsize=3)
def _built(name: str, path: Path) -> Any:
    network = NETWORKS[name]
    try:
        for package in network.packages:
            importlib.import_module(package)
        from ..engines.torch import measures
    except Exception as error:  # torchvision of another build than torch raises RuntimeError
        msg = f"{name} needs {', '.join(network.packages)} in versions that go together; importing them failed: {error}"
        raise LicMeasureMissing(msg) from error
    try:
        return measures.BUILD[name](path).eval()
    except Exception as error:  # a file can be wrong in any way, and torch has no class for it
        reason = str(error).strip() or type(error).__name__
        msg = f"{name}: {path} is not {network.file} as {network.source} has it; get it anew. {reason}"
        raise LicMeasureMissing(msg) from error


NETWORKS = {
    "lpips": Network(
        ("torch", "torchvision", "lpips"),
        "alexnet-owt-7be5be79.pth",
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    ),
    "dists": Network(
        ("torch", "torchvision", "DISTS_pytorch"),
        "vgg16-397923af.pth",
        "https://download.pytorch.org/models/vgg16-397923af.pth",
    ),
    "fid": Network(
        ("torch", "torchvision", "pytorch_fid"),
        "pt_inception-2015-12-05-6726825d.pth",
        "https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights",
    ),
}


# ---- The measures -------------------------------------------------------------------------------------------------


def run_lpips(a: np.ndarray, b: np.ndarray, weights: Weights = None) -> float:
    """Of uint8 (H, W, 1 or 3). NaN below a side of LPIPS_SIDE_MIN."""
    if min(a.shape[:2]) < LPIPS_SIDE_MIN:
        return math.nan
    return _distance(_network("lpips", weights), a, b, signed=True)


def run_dists(a: np.ndarray, b: np.ndarray, weights: Weights = None) -> float:
    """Of uint8 (H, W, 1 or 3)."""
    return _distance(_network("dists", weights), a, b)


def run_fid(a: Iterable[Picture], b: Iterable[Picture], weights: Weights = None) -> float:
    """Of two sets of at least two pictures each, alpha over white."""
    network = _network("fid", weights)
    return frechet(*(_pooled(network, pictures) for pictures in (a, b)))


def _pooled(network: Any, pictures: Iterable[Picture]) -> np.ndarray:
    """(N, 2048): Inception's last features, a picture at a time, since their sizes may differ."""
    from ..engines.torch import measures

    rows = [measures.features(network, _planes(over(array(picture), PEAK))) for picture in iter(pictures)]
    if len(rows) < 2:
        msg = f"a set of {len(rows)} pictures: FID compares how features vary, and takes 2 at the least, better 10,000"
        raise LicBadOption(msg)
    return np.stack(rows)


def _distance(network: Any, a: np.ndarray, b: np.ndarray, signed: bool = False) -> float:
    from ..engines.torch import measures

    return measures.distance(network, _planes(a), _planes(b), signed)


def _planes(x: np.ndarray) -> np.ndarray:
    """(3, H, W) in float32, 0 to 1, of uint8 (H, W, 1 or 3)."""
    return np.ascontiguousarray(coloured(x).transpose(2, 0, 1), np.float32) / PEAK


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet distance (squared) between the Gaussians of two sets of features (N, d) and (M, d): 0 and more.

    |mean - mean|^2 + tr(A) + tr(B) - 2 tr((A B)^(1/2)) of the covariances A and B. For A = X' X and B = Y' Y, the
    eigenvalues of A B are the squared singular values of X Y', so that no root of a matrix is taken, and few pictures
    make a small one; QR makes many of them small.
    """
    mean = a.mean(0) - b.mean(0)
    x, y = _spread(a), _spread(b)
    shared = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return max(0.0, float((mean**2).sum() + (x**2).sum() + (y**2).sum() - 2 * shared))


def _spread(features: np.ndarray) -> np.ndarray:
    """X (min(N, d), d) such that X' X is the covariance of the features (N, d)."""
    triangle = np.asarray(np.linalg.qr(features - features.mean(0), mode="r"))
    return triangle / math.sqrt(len(features) - 1)
