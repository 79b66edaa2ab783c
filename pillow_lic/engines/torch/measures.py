"""The networks of LPIPS, DISTS and FID: those of their packages, with weights of the user's files, and what they say of
pictures. metrics/learned.py asks for them.

Imports torch; torchvision and the packages with the network that wants them.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np


@contextmanager
def _replaced(module: Any, name: str, value: object) -> Iterator[None]:
    kept = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, kept)


def _read(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _classifier(name: str, path: Path) -> Callable[..., Any]:
    """A stand-in for torchvision.models.alexnet or vgg16 that brings the layers before the head, with a file's
    weights. The head's are not looked at.
    """
    import torchvision

    before = "features."
    state = {key.removeprefix(before): value for key, value in _read(path).items() if key.startswith(before)}
    with torch.device("meta"):  # no memory and no random numbers for what is replaced at once
        features = getattr(torchvision.models, name)(weights=None).features
    features.load_state_dict(state, assign=True)
    network = SimpleNamespace(features=features.float())
    return lambda pretrained: network


def _build_lpips(path: Path) -> Any:
    import lpips
    from lpips import pretrained_networks

    with _replaced(pretrained_networks, "tv", SimpleNamespace(alexnet=_classifier("alexnet", path))):
        return lpips.LPIPS(net="alex", verbose=False)  # its linear layers come with the package


def _build_dists(path: Path) -> Any:
    from DISTS_pytorch import DISTS_pt

    with _replaced(DISTS_pt, "models", SimpleNamespace(vgg16=_classifier("vgg16", path))):
        network = DISTS_pt.DISTS(load_weights=False)
    # The package's own weights: it looks for them where `pip install --user` and others do not put them.
    own = _read(Path(DISTS_pt.__file__).with_name("weights.pt"))
    network.alpha.data, network.beta.data = own["alpha"].data, own["beta"].data
    return network


def _build_fid(path: Path) -> Any:
    from pytorch_fid import inception

    with _replaced(inception, "load_state_dict_from_url", lambda *_, **__: _read(path)):
        return inception.InceptionV3().float()


BUILD: dict[str, Callable[[Path], Any]] = {"lpips": _build_lpips, "dists": _build_dists, "fid": _build_fid}


def distance(network: Any, a: np.ndarray, b: np.ndarray, signed: bool) -> float:
    """What a network of two pictures (3, H, W) says, float32 in 0..1. signed: it takes them in -1..1."""
    with torch.inference_mode():
        pair = [torch.from_numpy(one)[None] for one in (a, b)]
        return float(network(*(2 * one - 1 if signed else one for one in pair)))


def features(network: Any, picture: np.ndarray) -> np.ndarray:
    """The last features of FID's network, (2048,) in float64, of a picture (3, H, W) in 0..1."""
    with torch.inference_mode():
        found: np.ndarray = network(torch.from_numpy(picture)[None])[0].flatten().double().numpy()
        return found
