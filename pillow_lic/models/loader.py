"""Loads a model directory: integer tables as NumPy arrays, networks as callables on torch tensors (FORMAT 9).

Imports numpy, and torch on first use of a network. The only file that knows that a network is TorchScript.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
import warnings
import zipfile
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import LicBadOption, LicModelMissing
from .registry import Entry

if TYPE_CHECKING:
    import torch

ARRAYS = ("freq", "count", "first", "weight", "offset", "bias", "z_step")
FILE_MAX = 1 << 29  # bytes of one file of a model


class Model:
    """A model whose files were checked against the manifest's digests when they were read."""

    def __init__(self, entry: Entry):
        self.entry = entry
        self._lock = threading.Lock()
        self._networks: dict[tuple[str, str], Any] = {}

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The integer tables of FORMAT 9.2, by name."""
        data = self._read("decoder", "tables.npz")
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                return {name: archive[name] for name in ARRAYS}
        except (KeyError, ValueError, zipfile.BadZipFile) as error:
            msg = f"{self.entry.path / 'tables.npz'} lacks or garbles an array ({error}); reinstall the model"
            raise LicModelMissing(msg) from error

    def decoder(self) -> Any:
        """Object with `prior`, `refine`, `synthesis` (FORMAT 9.3), in the precision of this machine."""
        return self._network("decoder", "decoder.pt")

    def encoder(self) -> Any:
        """Object with `analysis`, `hyper_analysis` (FORMAT 9.3), in the precision of this machine."""
        return self._network("encoder", "encoder.pt")

    def _network(self, part: str, file: str) -> Any:
        kind = precision()
        with self._lock:
            if (part, kind) not in self._networks:
                self._networks[part, kind] = _load_script(self._read(part, file), kind)
            return self._networks[part, kind]

    def _read(self, part: str, file: str) -> bytes:
        path = self.entry.path / file
        try:
            with open(path, "rb") as handle:
                data = handle.read(FILE_MAX)
        except OSError as error:
            msg = f"{path} cannot be read ({error}); reinstall pillow_lic or the model"
            raise LicModelMissing(msg) from error
        if hashlib.sha256(data).hexdigest() != self.entry.manifest[part][file]:
            msg = f"{path} is not the file that its manifest names (SHA-256 differs); reinstall pillow_lic or the model"
            raise LicModelMissing(msg)
        return data


def _load_script(data: bytes, kind: str) -> torch.jit.ScriptModule:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript announces its deprecation; users cannot act on it
        module = torch.jit.load(io.BytesIO(data), map_location="cpu")
    module = module.eval().float().to(memory_format=torch.channels_last)
    if kind == "bfloat16":
        # Heads named mean and step stay in float32: encoder and decoder must agree on them closely (FORMAT 8).
        for name, layer in module.named_modules():
            if getattr(layer, "original_name", "") == "Conv2d" and not name.endswith((".mean", ".step")):
                layer.to(torch.bfloat16)
    return module


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
_models_lock = threading.Lock()


def load(entry: Entry) -> Model:
    """The model of a registry entry, one object per process."""
    with _models_lock:
        return _models.setdefault((str(entry.path), entry.hash), Model(entry))
