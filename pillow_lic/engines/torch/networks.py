"""A model's networks as PyTorch runs them: built for their family, given the model's numbers, on a device, in the
precision that suits it.

Imports torch, numpy, models and ground.
"""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import LicGpuUnavailable, LicModelMissing
from ...forks import held
from ...models.manifest import DECODER, ENCODER, FAMILIES, PERCEPTUAL
from ...style import PLAIN, STRENGTH_MAX
from .noise import noise
from .precision import keep_tf32_out, precision

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ...models.store import Model
    from ...style import Style
    from .place import Place

_lock = held(threading.Lock())  # of all that is loaded once; so no child inherits a network half read
# By model, with which they go; file, precision and device.
_loaded: WeakKeyDictionary[Model, dict[tuple[str, str, str], Any]] = WeakKeyDictionary()


class Second(NamedTuple):
    """A second synthesis (FORMAT 8.5), how much of it is shown, and the seeds of the pictures' noise."""

    synthesis: Any
    style: Style
    seeds: Sequence[int]

    def noise(self, y_hat: Tensor, corner: tuple[int, int]) -> Tensor:
        """(N, LIC_NOISE_CHANNELS, 2h, 2w) for y_hat (N, M, h, w)."""
        found = [noise(seed, corner, (y_hat.shape[2], y_hat.shape[3])) for seed in self.seeds]
        return torch.from_numpy(np.stack(found)).to(y_hat.device)


class Network(NamedTuple):
    """An encoder's or a decoder's network on a place."""

    stages: Any  # an object with `analysis` and `hyper_analysis`; or with `prior`, `refine` and `synthesis`
    halo: int  # how far it looks, in latent positions
    place: Place
    second: Second | None = None

    def samples(self, y_hat: Tensor, t: Tensor, corner: tuple[int, int]) -> Tensor:
        """(N, 3, 16h, 16w), about 0..1, of y_hat (N, M, h, w) and t (N,), in the style that is shown.

        corner: the first row and column of y_hat in its picture.
        """
        if self.second is None:
            plain: Tensor = self.stages.synthesis(y_hat, t)
            return plain
        other: Tensor = self.second.synthesis(y_hat, t, self.second.noise(y_hat, corner))
        if not self.second.style.blends:
            return other
        own: Tensor = self.stages.synthesis(y_hat, t)
        return own.clamp(0.0, 1.0).lerp(other.clamp(0.0, 1.0), self.second.style.strength / STRENGTH_MAX)


def encoder(model: Model, place: Place) -> Network:
    """The network with `analysis` and `hyper_analysis`."""
    return Network(load(model, ENCODER, place.name), model.manifest.encoder_halo, place)


def decoder(model: Model, place: Place, style: Style = PLAIN, seeds: Sequence[int] = ()) -> Network:
    """The network with `prior`, `refine` and `synthesis`. style, seeds: of what is rendered, see Second."""
    second = Second(load(model, PERCEPTUAL, place.name).synthesis, style, seeds) if style.strength else None
    return Network(load(model, DECODER, place.name), model.manifest.halo, place, second)


def load(model: Model, file: str, device: str = "cpu") -> Any:
    """The stages in one of a model's files, on a device, loaded once. Raises LicModelMissing."""
    key = (file, precision(device), device)
    with _lock:
        loaded = _loaded.setdefault(model, {})
        if key not in loaded:
            with torch.inference_mode(False):  # whatever the caller is in: gradients must be able to pass (search.py)
                loaded[key] = _placed(stages(model, file), key[1], device)
        return loaded[key]


@contextmanager
def running(device: str) -> Iterator[None]:
    """What networks are to be called under: no autocast of the caller's; shortage of a GPU's memory has one name."""
    try:
        with torch.autocast(device.split(":")[0], enabled=False):
            yield
    except LicGpuUnavailable:
        raise
    except RuntimeError as error:
        if short := re.search(r"(\w+_STATUS_ALLOC_FAILED|unable to find an engine to execute).*", str(error)):
            raise torch.cuda.OutOfMemoryError(short[0]) from error
        raise


class Stages(nn.Module):
    """An encoder's or a decoder's stages under their names."""

    def __init__(self, **parts: nn.Module):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


class Family(Protocol):
    """What a family's file here has: manifest.FAMILIES names it."""

    @staticmethod
    def config(family: str, widths: Mapping[str, int | bool]) -> Any:
        """Its widths, `latent` and `hyper` among them. TypeError, ValueError for others than its own."""

    @staticmethod
    def parts(config: Any, file: str) -> dict[str, nn.Module]:
        """The stages that DECODER, ENCODER or, of the photo family, PERCEPTUAL holds, by name, not filled."""

    @staticmethod
    def floats(model: Model, file: str, shapes: Mapping[str, tuple[int, ...]]) -> Mapping[str, NDArray[Any]]:
        """Their weights out of the model's arrays, by name. shapes: what the stages want."""


def stages(model: Model, file: str) -> Stages:
    """The stages in float32 on the CPU. Raises LicModelMissing for numbers that do not fit what the manifest says."""
    manifest = model.manifest
    family: Family = import_module(f".{FAMILIES[manifest.family]}", __package__)  # type: ignore[assignment]
    try:
        config = family.config(manifest.family, manifest.widths)
        found, wanted = (config.latent, config.hyper), (manifest.latent, manifest.hyper)
        if found != wanted:
            msg = f"its networks have {found} latent and hyper channels, want {wanted}"
            raise ValueError(msg)
        with torch.device("meta"):
            made = Stages(**family.parts(config, file))
        shapes = {name: tuple(value.shape) for name, value in made.state_dict().items()}
        return _filled(made, family.floats(model, file, shapes))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        problem = (str(error).strip() or type(error).__name__).splitlines()[-1]
        msg = f"the model {model.name!r} does not do what its manifest says: {file}: {problem}; export it again"
        raise LicModelMissing(msg) from error


def _filled(made: Stages, floats: Mapping[str, NDArray[Any]]) -> Stages:
    values = {name: torch.from_numpy(np.array(value, np.float32)) for name, value in floats.items()}
    made.load_state_dict(values, assign=True)
    return made


def _placed(made: Stages, kind: str, device: str) -> Stages:
    """On a device, in a precision, not to be trained."""
    with torch.inference_mode(False):  # whatever the caller is in: gradients must be able to pass through (search.py)
        made = made.eval().requires_grad_(False)
        made.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # its types lack the format
        if kind != "float32":
            # What is named mean or step stays in float32: encoder and decoder must agree on them closely.
            for name, layer in made.named_modules():
                if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) and not {"mean", "step"} & set(name.split(".")):
                    layer.to(getattr(torch, kind))
    if device != "cpu":
        keep_tf32_out(made)
        torch.cuda.synchronize(device)  # other streams than this one will read the weights
    return made
