"""Which engine runs a model, and on which device. The one file that names the engines.

Imports the standard library, models' manifest and ground; an engine when it is taken.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from ..errors import LicBadOption, LicEngineMissing
from ..imports import imported
from ..models.manifest import NATIVE

if TYPE_CHECKING:
    from ..models.store import Model
    from .base import Engine
    from .native import NativeEngine

VARIABLE = "PILLOW_LIC_DEVICE"
ENGINE_VARIABLE, ENGINES = "PILLOW_LIC_ENGINE", ("auto", "torch")
NAMES = re.compile(r"cpu|auto|cuda(:\d{1,3})?")
OUTPUTS = ("numpy", "torch")  # what decoded pixels may be handed over as

_chosen: str | None = None


def set_device(device: str | None) -> str | None:
    """Where networks run from now on when nothing else is said, in this process: for Image.open, save, imageio, encode
    and decode.

    device: "cpu", "cuda", "cuda:N" or "auto"; None: what the environment variable PILLOW_LIC_DEVICE says, by default
    "cpu".
    Returns what was set before. Raises LicBadOption for another name, LicGpuUnavailable for a GPU that is not there.
    """
    global _chosen
    if device is not None:
        device_named(device)
    before, _chosen = _chosen, device
    return before


def device_named(device: Any = None) -> str:
    """The full name, "cpu" or "cuda:N", of the device that an option, else `set_device`, else PILLOW_LIC_DEVICE, else
    the CPU names.

    "auto": CUDA where torch sees a device and CuPy can use it, else the CPU. Raises LicBadOption for other names,
    LicGpuUnavailable for a GPU that is not there. Imports torch for other names than "cpu" alone.
    """
    source = "device" if device is not None or _chosen is not None else VARIABLE
    name = device if device is not None else _chosen if _chosen is not None else os.environ.get(VARIABLE) or "cpu"
    if not isinstance(name, str) or not NAMES.fullmatch(name):
        msg = f"{source} must be 'cpu', 'cuda', 'cuda:N' or 'auto', found {name!r}"
        raise LicBadOption(msg)
    if name == "cpu":
        return name
    try:
        imported(f"{__package__}.torch.place")
        from .torch import place
    except ModuleNotFoundError as error:
        if name == "auto" and error.name == "torch":
            return "cpu"
        msg = f"device {name!r} needs PyTorch, which is not installed: pip install 'pillow-lic[torch]'"
        raise LicEngineMissing(msg) from error
    return place.existing(name)


def encoder(model: Model, device: str) -> Engine:
    """The engine that encodes with a model on a device that `device_named` named. Raises LicEngineMissing."""
    return _engine(model, device)


def decoder(model: Model, device: str, output: str = "numpy") -> Engine:
    """The engine that decodes a model's files on a device that `device_named` named.

    output: what its pixels are to be, one of OUTPUTS. Raises LicEngineMissing.
    """
    return _engine(model, device, output)


def integers(model: Model) -> NativeEngine:
    """The engine in which a model's latents are integers. Raises LicBadOption for models that have none."""
    if model.manifest.family != NATIVE:
        other = f"the model {model.name!r} is of another family than {NATIVE}"
        msg = f"{other}: its latents are no integers; decode its pixels"
        raise LicBadOption(msg)
    from .native import NativeEngine

    return NativeEngine()


def prepare(model: Model, *, saving: bool) -> None:
    """Load what the first picture of a model would load. Raises LicModelMissing, LicEngineMissing."""
    _ = model.core
    engine = _engine(model, "cpu")
    if hasattr(engine, "prepare"):
        engine.prepare(model, saving=saving)


def _engine(model: Model, device: str, output: str = "numpy") -> Engine:
    """On the CPU the photo family runs natively unless PILLOW_LIC_ENGINE is "torch"; all else wants PyTorch."""
    wish = os.environ.get(ENGINE_VARIABLE, "auto")
    if wish not in ENGINES:
        msg = f"{ENGINE_VARIABLE} must be one of {', '.join(ENGINES)}, found {wish!r}"
        raise LicBadOption(msg)
    if model.manifest.family == NATIVE and device == "cpu" and output == "numpy" and wish != "torch":
        from .native import NativeEngine

        return NativeEngine()
    try:
        imported(f"{__package__}.torch.engine")
        from .torch import engine as torch_engine
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        what = f"the model {model.name!r}" if device == "cpu" else f"device {device!r}"
        if output == "torch":
            what = "tensors as output"
        msg = f"{what} needs PyTorch, which is not installed: pip install 'pillow-lic[torch]'"
        raise LicEngineMissing(msg) from error
    return torch_engine.on(device, keep=output == "torch")


def tensor(array: Any, device: str) -> Any:
    """A uint8 array as a tensor on a device that `device_named` named. Raises LicEngineMissing."""
    try:
        from .torch import engine as torch_engine
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        msg = "tensors as output need PyTorch, which is not installed: pip install 'pillow-lic[torch]'"
        raise LicEngineMissing(msg) from error
    return torch_engine.tensor(array, device)
