"""Loads a model directory: integer tables as NumPy arrays, networks as callables on torch tensors (FORMAT 9).

Imports numpy, constants and errors, and torch on first use of a network. The only file that knows that a network is TorchScript.
"""

from __future__ import annotations

import io
import os
import threading
import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..constants import LIC_HYPER_STRIDE, LIC_LATENT_STRIDE
from ..errors import LicBadOption, LicModelMissing
from .registry import Entry

if TYPE_CHECKING:
    import torch

_lock = threading.Lock()  # of all that is loaded once


class Model:
    """A model whose files are checked against the manifest's digests when they are read."""

    def __init__(self, entry: Entry):
        self.entry = entry
        self._networks: dict[tuple[str, str], Any] = {}

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of tables.npz (FORMAT 9.2), by name; entropy.Tables judges them."""
        data = self.entry.read("tables.npz")
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                return dict(archive)
        except Exception as error:  # NumPy and zipfile raise this and that for what is no archive
            msg = f"{self.entry.path / 'tables.npz'} cannot be read ({error}); reinstall the model"
            raise LicModelMissing(msg) from error

    def decoder(self) -> Any:
        """Object with `prior`, `refine`, `synthesis` (FORMAT 9.3), in the precision of this machine."""
        return self._network("decoder", "decoder.pt")

    def encoder(self) -> Any:
        """Object with `analysis`, `hyper_analysis` (FORMAT 9.3), in the precision of this machine."""
        return self._network("encoder", "encoder.pt")

    def _network(self, part: str, file: str) -> Any:
        kind = precision()
        with _lock:
            if (part, kind) not in self._networks:
                self._networks[part, kind] = _load_network(self.entry, part, file, kind)
            return self._networks[part, kind]


def _load_network(entry: Entry, part: str, file: str, kind: str) -> torch.jit.ScriptModule:
    """A network that keeps to FORMAT 9.3 as far as a trial can tell. Raises LicModelMissing."""
    data = entry.read(file)
    try:
        network = _load_script(data, kind)
        if not entry.number:  # ours are tested, and spared the 30 ms
            attempt = _try_encoder if part == "encoder" else _try_decoder
            attempt(network, entry.manifest["latent"], entry.manifest["hyper"])
    except Exception as error:  # a wrong network can raise anything; TorchScript says what went wrong in its last line
        problem = (str(error).strip() or type(error).__name__).splitlines()[-1]
        msg = f"the model {entry.name!r} does not do what its manifest says: {file}: {problem}; export it again"
        raise LicModelMissing(msg) from error
    return network


def _load_script(data: bytes, kind: str) -> torch.jit.ScriptModule:
    import torch

    from . import operators  # noqa: F401  what networks call must be registered before they are loaded

    # TorchScript announces its deprecation; users cannot act on it. Not catch_warnings: it changes what other threads see.
    warnings.filterwarnings("ignore", "`torch.jit.load` is", DeprecationWarning)
    module = torch.jit.load(io.BytesIO(data), map_location="cpu")
    module = module.eval().float().to(memory_format=torch.channels_last)
    if kind == "bfloat16":
        # What is named mean or step stays in float32: encoder and decoder must agree on them closely (FORMAT 8).
        for name, layer in module.named_modules():
            convolution = getattr(layer, "original_name", "") in ("Conv2d", "ConvTranspose2d")
            if convolution and not {"mean", "step"} & set(name.split(".")):
                layer.to(torch.bfloat16)
    return module


# The trial's grid: two hyper positions by one, cropped, not square.
_H, _W, _A, _B = 7, 3, 2, 1


def _try_encoder(network: Any, latent: int, hyper: int) -> None:
    """Run the encoder's stages once over a small grid. Raises ValueError for a wrong shape, anything for a wrong network."""
    import torch

    with torch.inference_mode():
        y = network.analysis(torch.zeros(1, 3, _H * LIC_LATENT_STRIDE, _W * LIC_LATENT_STRIDE))
        _check_shape("analysis", y, latent, _H, _W)
        _check_shape("hyper_analysis", network.hyper_analysis(y, torch.zeros(1)), hyper, _A, _B)


def _try_decoder(network: Any, latent: int, hyper: int) -> None:
    """As _try_encoder, of the decoder's stages."""
    import torch

    t = torch.zeros(1)
    with torch.inference_mode():
        features, mean, step = network.prior(torch.zeros(1, hyper, _A, _B), t)
        for part, channels in ((features, features.shape[1]), (mean, latent), (step, latent)):
            _check_shape("prior", part, channels, _A * LIC_HYPER_STRIDE, _B * LIC_HYPER_STRIDE)
        known = mean[:, :, :_H, :_W]
        mean2, log_step2 = network.refine(features[:, :, :_H, :_W], known)
        _check_shape("refine", mean2, latent, _H, _W)
        _check_shape("refine", log_step2, latent, _H, _W)
        _check_shape("synthesis", network.synthesis(known, t), 3, _H * LIC_LATENT_STRIDE, _W * LIC_LATENT_STRIDE)


def _check_shape(stage: str, found: torch.Tensor, *wanted: int) -> None:
    if str(found.dtype) != "torch.float32" or found.shape != (1, *wanted):
        msg = f"{stage} yields {found.dtype} {tuple(found.shape)}, want torch.float32 {(1, *wanted)}"
        raise ValueError(msg)


def precision() -> str:
    """'bfloat16' where the CPU multiplies it natively, else 'float32'; PILLOW_LIC_PRECISION overrides.

    It can change the pixels of a decoded image by rounding, never a decoded symbol.
    """
    wish = os.environ.get("PILLOW_LIC_PRECISION", "auto")
    if wish not in ("auto", "float32", "bfloat16"):
        msg = f"PILLOW_LIC_PRECISION must be auto, float32 or bfloat16, found {wish!r}"
        raise LicBadOption(msg)
    if wish != "auto":
        return wish
    return "bfloat16" if _fast_bfloat16() else "float32"


def _fast_bfloat16() -> bool:
    import torch

    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


_models: dict[tuple[str, bytes], Model] = {}


def load(entry: Entry) -> Model:
    """The model of a registry entry, one object per process."""
    with _lock:
        return _models.setdefault((str(entry.path), entry.hash), Model(entry))
