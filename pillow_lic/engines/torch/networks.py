"""Loads a model's networks: TorchScript archives to callables on a device, in the precision that suits it (FORMAT 9.3).

Imports torch, numpy, models and ground. The only file that knows that a network is TorchScript.
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ...constants import GROUPS, LIC_HYPER_STRIDE, LIC_LATENT_STRIDE
from ...errors import LicGpuUnavailable, LicModelMissing
from ...models.manifest import DECODER, ENCODER
from ...threads import held, in_child
from . import operators  # noqa: F401  what networks call must be registered before they are loaded
from .precision import keep_tf32_out, precision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...models.store import Model
    from .place import Place

_lock = held(threading.Lock())  # of all that is loaded once; so no child inherits a network half read
_loaded: dict[tuple[Model, str, str, str], Any] = {}  # by model, file, precision and device
_running: set[int] = set()  # threads that run networks
_abandoned: list[dict[Any, Any]] = []  # networks that a child must not touch, nor take apart


class Network(NamedTuple):
    """An encoder's or a decoder's network on a place."""

    stages: Any  # `analysis`, `hyper_analysis`; or `prior`, `refine`, `synthesis` (FORMAT 9.3)
    halo: int  # how far it looks, in latent positions
    place: Place


def encoder(model: Model, place: Place) -> Network:
    """The network with `analysis` and `hyper_analysis`."""
    return Network(load(model, ENCODER, place.name), model.manifest.encoder_halo, place)


def decoder(model: Model, place: Place) -> Network:
    """The network with `prior`, `refine` and `synthesis`."""
    return Network(load(model, DECODER, place.name), model.manifest.halo, place)


def load(model: Model, file: str, device: str = "cpu") -> Any:
    """The stages in one of a model's files, on a device, loaded once. Raises LicModelMissing."""
    key = (model, file, precision(device), device)
    with _lock:
        if key not in _loaded:
            _loaded[key] = _load_network(*key)
        return _loaded[key]


@contextmanager
def running(device: str) -> Iterator[None]:
    """What networks are to be called under: no autocast of the caller's, no optimization by TorchScript. That would
    cost the first calls of a process a tenth to a half of a second and gain nothing; on CUDA its fuser would compile
    anew for each size of image, and round elsewhere than the CPU does. Both are settings of the calling thread alone.
    """
    thread = threading.get_ident()
    _running.add(thread)
    try:
        with torch.autocast(device.split(":")[0], enabled=False), _unoptimized():
            yield
    finally:
        _running.discard(thread)


@contextmanager
def _unoptimized() -> Iterator[None]:
    try:
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            yield
    except RuntimeError as error:
        # TorchScript hands on what an operator raises as text.
        if missing := re.search(r"LicGpuUnavailable: (.*)", str(error)):
            raise LicGpuUnavailable(missing[1]) from error
        if short := re.search(
            r"(CUDA (error: )?out of memory|\w+_STATUS_ALLOC_FAILED|unable to find an engine to execute).*", str(error)
        ):
            raise torch.cuda.OutOfMemoryError(short[0]) from error
        raise


def _load_network(model: Model, file: str, kind: str, device: str) -> Any:
    """A network that keeps to FORMAT 9.3 as far as a trial can tell. Raises LicModelMissing."""
    data = model.read(file)
    try:
        network = load_script(data, kind, device)
        if not model.number:  # ours are tested, and spared the 30 ms
            attempt = _try_encoder if file == ENCODER else _try_decoder
            with running(device):
                attempt(network, model.manifest.latent, model.manifest.hyper, device)
    except (torch.cuda.OutOfMemoryError, LicGpuUnavailable):
        raise  # says nothing about the model
    except Exception as error:  # a wrong network can raise anything; TorchScript says what went wrong in its last line
        problem = (str(error).strip() or type(error).__name__).splitlines()[-1]
        msg = f"the model {model.name!r} does not do what its manifest says: {file}: {problem}; export it again"
        raise LicModelMissing(msg) from error
    return network


def load_script(data: bytes, kind: str, device: str = "cpu") -> Any:
    """A TorchScript archive, ready to run."""
    # TorchScript announces its deprecation; users cannot act on it. Not catch_warnings: it changes what other threads
    # see.
    warnings.filterwarnings("ignore", "`torch.jit.load` is", DeprecationWarning)
    with torch.inference_mode(False):  # whatever the caller is in: gradients must be able to pass through (search.py)
        module = torch.jit.load(io.BytesIO(data), map_location=device)
        module = module.eval().float().to(memory_format=torch.channels_last)
        for weight in module.parameters():  # a ScriptModule has no requires_grad_
            weight.requires_grad_(False)
        if kind != "float32":
            # What is named mean or step stays in float32: encoder and decoder must agree on them closely (FORMAT 8).
            for name, layer in module.named_modules():
                convolution = getattr(layer, "original_name", "") in ("Conv2d", "ConvTranspose2d")
                if convolution and not {"mean", "step"} & set(name.split(".")):
                    layer.to(getattr(torch, kind))
    if device != "cpu":
        keep_tf32_out(module)
        torch.cuda.synchronize(device)  # other streams than this one will read the weights
    return module


# The trial's grid: two hyper positions by one, cropped, not square.
_H, _W, _A, _B = 7, 3, 2, 1


def _try_encoder(network: Any, latent: int, hyper: int, device: str) -> None:
    """Run the encoder's stages once over a small grid. Raises ValueError for a wrong shape, anything for a wrong
    network.
    """
    import torch

    with torch.inference_mode():
        t = torch.zeros(1, device=device)
        y = network.analysis(torch.zeros(1, 3, _H * LIC_LATENT_STRIDE, _W * LIC_LATENT_STRIDE, device=device), t)
        _check_shape("analysis", y, latent, _H, _W)
        _check_shape("hyper_analysis", network.hyper_analysis(y, t), hyper, _A, _B)


def _try_decoder(network: Any, latent: int, hyper: int, device: str) -> None:
    """As _try_encoder, of the decoder's stages."""
    import torch

    t = torch.zeros(1, device=device)
    with torch.inference_mode():
        features, mean, step = network.prior(torch.zeros(1, hyper, _A, _B, device=device), t)
        for part, channels in ((features, features.shape[1]), (mean, latent), (step, latent)):
            _check_shape("prior", part, channels, _A * LIC_HYPER_STRIDE, _B * LIC_HYPER_STRIDE)
        known = mean[:, :, :_H, :_W]
        for group, (row, column) in enumerate(GROUPS[1:], start=1):
            for part in network.refine(features[:, :, :_H, :_W], known, group):
                _check_shape("refine", part, latent, -(-(_H - row) // 2), -(-(_W - column) // 2))
        _check_shape("synthesis", network.synthesis(known, t), 3, _H * LIC_LATENT_STRIDE, _W * LIC_LATENT_STRIDE)


def _check_shape(stage: str, found: torch.Tensor, *wanted: int) -> None:
    if str(found.dtype) != "torch.float32" or found.shape != (1, *wanted):
        msg = f"{stage} yields {found.dtype} {tuple(found.shape)}, want torch.float32 {(1, *wanted)}"
        raise ValueError(msg)


def _after_fork() -> None:
    """In a child: networks that another thread of the parent was running are locked for ever, TorchScript's first run
    above all.
    """
    global _loaded
    if _running - {threading.get_ident()}:
        _abandoned.append(_loaded)
        _loaded = {}
    _running.clear()


in_child(_after_fork)
