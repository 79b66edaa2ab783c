"""Loads a model directory: integer tables as NumPy arrays, networks as callables on torch tensors (FORMAT 9).

Imports numpy, constants, errors and forks, and torch on first use of a network. The only file that knows that a network is TorchScript.
"""

from __future__ import annotations

import io
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..constants import GROUPS, LIC_HYPER_STRIDE, LIC_LATENT_STRIDE
from ..errors import LicBadOption, LicGpuUnavailable, LicModelMissing
from ..forks import held
from .registry import Entry

if TYPE_CHECKING:
    import torch

_lock = held(threading.Lock())  # of all that is loaded once; so no child inherits a network half read
_running: set[int] = set()  # threads that run networks
_abandoned: list[dict] = []  # networks that a child must not touch, nor take apart


class Model:
    """A model whose files are checked against the manifest's digests when they are read."""

    def __init__(self, entry: Entry):
        self.entry = entry
        self._networks: dict[tuple[str, str, str], Any] = {}

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

    def decoder(self, device: str = "cpu") -> Any:
        """Object with `prior`, `refine`, `synthesis` (FORMAT 9.3), on a device ("cpu", "cuda:0") in the precision that suits it."""
        return self._network("decoder", "decoder.pt", device)

    def encoder(self, device: str = "cpu") -> Any:
        """Object with `analysis`, `hyper_analysis` (FORMAT 9.3), likewise."""
        return self._network("encoder", "encoder.pt", device)

    def _network(self, part: str, file: str, device: str) -> Any:
        kind = precision(device)
        with _lock:
            if (part, kind, device) not in self._networks:
                self._networks[part, kind, device] = _load_network(self.entry, part, file, kind, device)
            return self._networks[part, kind, device]


@contextmanager
def running(device: str) -> Iterator[None]:
    """What networks are to be called under: no autocast of the caller's, no optimization by TorchScript. That would cost the first calls of a
    process a tenth to a half of a second and gain nothing; on CUDA its fuser would compile anew for each size of image, and round elsewhere
    than the CPU does. Both are settings of the calling thread alone.
    """
    import torch

    thread = threading.get_ident()
    _running.add(thread)
    try:
        with torch.autocast(device.split(":")[0], enabled=False), _unoptimized():
            yield
    finally:
        _running.discard(thread)


@contextmanager
def _unoptimized() -> Iterator[None]:
    import torch

    try:
        with torch.jit.optimized_execution(False):
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


def _load_network(entry: Entry, part: str, file: str, kind: str, device: str) -> torch.jit.ScriptModule:
    """A network that keeps to FORMAT 9.3 as far as a trial can tell. Raises LicModelMissing."""
    import torch

    data = entry.read(file)
    try:
        network = _load_script(data, kind, device)
        if not entry.number:  # ours are tested, and spared the 30 ms
            attempt = _try_encoder if part == "encoder" else _try_decoder
            with running(device):
                attempt(network, entry.manifest["latent"], entry.manifest["hyper"], device)
    except (torch.cuda.OutOfMemoryError, LicGpuUnavailable):
        raise  # says nothing about the model
    except Exception as error:  # a wrong network can raise anything; TorchScript says what went wrong in its last line
        problem = (str(error).strip() or type(error).__name__).splitlines()[-1]
        msg = f"the model {entry.name!r} does not do what its manifest says: {file}: {problem}; export it again"
        raise LicModelMissing(msg) from error
    return network


def _load_script(data: bytes, kind: str, device: str = "cpu") -> torch.jit.ScriptModule:
    import torch

    from . import operators  # noqa: F401  what networks call must be registered before they are loaded

    # TorchScript announces its deprecation; users cannot act on it. Not catch_warnings: it changes what other threads see.
    warnings.filterwarnings("ignore", "`torch.jit.load` is", DeprecationWarning)
    with torch.inference_mode(
        False
    ):  # whatever the caller is in: gradients must be able to pass through (codec/search.py)
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
        _keep_tf32_out(module)
        torch.cuda.synchronize(device)  # other streams than this one will read the weights
    return module


def _keep_tf32_out(module: torch.jit.ScriptModule) -> None:
    """Make float32 convolutions multiply in float32 on CUDA, where cuDNN by default rounds to TF32, 2^-11.

    aten::_convolution is aten::conv2d with its settings as arguments, as traced networks have it: so what the process has set
    (torch.backends.cudnn.allow_tf32) is neither asked nor changed.
    """
    for part in module.modules():
        for method in part._c._method_names():
            graph = part._c._get_method(method).graph  # shared by all parts of a type; what is done is not found again
            for name, transposed in (("aten::conv2d", False), ("aten::conv_transpose2d", True)):
                for node in graph.findAllNodes(name, True):
                    _state_settings(graph, node, transposed)


def _state_settings(graph: Any, node: Any, transposed: bool) -> None:
    x, weight, bias, stride, padding, *rest = node.inputs()
    if str(padding.type()) == "str":  # "same": no network of ours
        return
    with graph.insert_point_guard(node):
        constant = graph.insertConstant
        more, groups, dilation = rest if transposed else (constant([0, 0]), rest[1], rest[0])
        settings = [
            constant(value) for value in (False, False, True, False)
        ]  # benchmark, deterministic, cudnn_enabled, allow_tf32
        inputs = [x, weight, bias, stride, padding, dilation, constant(transposed), more, groups, *settings]
        stated = graph.create("aten::_convolution", inputs, 1)
        graph.insertNode(stated)
    stated.output().setType(node.output().type())
    node.output().replaceAllUsesWith(stated.output())
    node.destroy()


# The trial's grid: two hyper positions by one, cropped, not square.
_H, _W, _A, _B = 7, 3, 2, 1


def _try_encoder(network: Any, latent: int, hyper: int, device: str) -> None:
    """Run the encoder's stages once over a small grid. Raises ValueError for a wrong shape, anything for a wrong network."""
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


def precision(device: str = "cpu") -> str:
    """What networks compute in: 'float16' on CUDA; 'bfloat16' where the CPU multiplies it natively, else 'float32'.

    PILLOW_LIC_PRECISION overrides. It can change the pixels of a decoded image by rounding, never a decoded symbol. float16 has three bits
    more than bfloat16 and is as fast on a GPU: pixels within one level of float32's (`photo`, Kodak), bfloat16 within three.
    """
    wish = os.environ.get("PILLOW_LIC_PRECISION", "auto")
    if wish not in ("auto", "float32", "bfloat16", "float16"):
        msg = f"PILLOW_LIC_PRECISION must be auto, float32, bfloat16 or float16, found {wish!r}"
        raise LicBadOption(msg)
    if wish != "auto":
        return wish
    if device != "cpu":
        return "float16"
    return "bfloat16" if fast_bfloat16() else "float32"


def fast_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 faster than float32: with matrix units (AMX), and with AVX-512's instruction where that is not Intel's.

    Measured: on an Intel Emerald Rapids whose AMX a virtual machine hides, 1x1 convolutions take 1.4 times as long as in float32.
    """
    import torch

    has = getattr(torch.cpu, "get_capabilities", dict)()  # newer releases of PyTorch
    if has:
        return (
            has.get("amx_bf16", False)
            or has.get("avx512_bf16", False)
            and not has.get("cpu_name", "").startswith("Intel")
        )
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


_models: dict[Entry, Model] = {}


def load(entry: Entry) -> Model:
    """The model of a registry entry, one object per process."""
    with _lock:
        return _models.setdefault(entry, Model(entry))


def _after_fork() -> None:
    """In a child: networks that another thread of the parent was running are locked for ever, TorchScript's first run above all."""
    if _running - {threading.get_ident()}:
        for model in _models.values():
            _abandoned.append(model._networks)
            model._networks = {}
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
