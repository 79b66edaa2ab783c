"""Where the networks run: which device is meant, what moves tensors there and back, what happens when its memory is short.

Imports torch and errors; knows no models and no files. On a CPU every transfer is nothing at all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import LicBadOption, LicGpuUnavailable

VARIABLE = "PILLOW_LIC_DEVICE"
NAMES = re.compile(r"cpu|auto|cuda(:\d{1,3})?")
PIECE = 256  # side of a piece on a GPU, latent positions: 4096 pixels, some 2 GB of activations
PIECE_MIN = 16  # the smallest that is tried when memory is short
GROUP = 1 << 23  # pixels of images that share a network call on a GPU: enough that launching kernels does not show
STREAMS = 2  # of a batch, taken in turn: while one computes, the other copies

_chosen: str | None = None


def choose(name: str | None) -> str | None:
    """The device of calls that state none, for this process; None: what the environment says. Returns the earlier choice. Raises as `find` does."""
    global _chosen
    if name is not None:
        find(name)
    before, _chosen = _chosen, name
    return before


def find(name: str | None = None) -> Place:
    """The place that an option, else `choose`, else PILLOW_LIC_DEVICE, else the CPU names.

    name: "cpu", "cuda", "cuda:N", or "auto": CUDA where torch sees a device and CuPy can use it, else the CPU.
    Raises LicBadOption for other names, LicGpuUnavailable for a GPU that is not there.
    """
    source = "device" if name is not None or _chosen is not None else VARIABLE
    name = name if name is not None else _chosen if _chosen is not None else os.environ.get(VARIABLE) or "cpu"
    if not isinstance(name, str) or not NAMES.fullmatch(name):
        msg = f"{source} must be 'cpu', 'cuda', 'cuda:N' or 'auto', found {name!r}"
        raise LicBadOption(msg)
    if name == "auto":
        name = "cuda" if _usable() else "cpu"
    if name == "cpu":
        return Place("cpu")
    return Place(_existing(name))


def _usable() -> bool:
    """Whether torch sees a CUDA device that CuPy can use as well."""
    if not torch.cuda.is_available() or _forked():
        return False
    from .. import gpu

    try:
        gpu.limits_of(torch.cuda.current_device(), torch.version.cuda)
    except LicGpuUnavailable:
        return False
    return True


def _forked() -> bool:
    """Whether this process was forked from one that had begun to use CUDA, which then cannot be used."""
    return torch.cuda._is_in_bad_fork()


def _existing(name: str) -> str:
    """The full name of a CUDA device, "cuda:N". Raises LicGpuUnavailable."""
    if _forked():
        msg = f"device {name!r}: CUDA cannot be used in a process forked from one that uses it; start processes by 'spawn', or take device='cpu'"
        raise LicGpuUnavailable(msg)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        why = "is built without CUDA" if torch.version.cuda is None else "sees no CUDA device"
        advice = "install a CUDA build of torch and NVIDIA's driver, or take device='auto' or 'cpu'"
        msg = f"device {name!r}: torch {torch.__version__} {why}; {advice}"
        raise LicGpuUnavailable(msg)
    number = int(name[5:]) if ":" in name else torch.cuda.current_device()
    if number >= count:
        msg = f"device {name!r}: there are {count} CUDA devices, from cuda:0 on; take one of them, or device='auto'"
        raise LicGpuUnavailable(msg)
    return f"cuda:{number}"


class Arrival(NamedTuple):
    """What a network call left for one image, to be read once `wait()` is over. wait may be called by any thread."""

    value: Any
    wait: Callable[[], None]


class Place:
    """A device: the CPU, or a GPU with its pinned memory, streams and events."""

    def __init__(self, name: str):
        self.name = name
        self.gpu = name != "cpu"
        self.side = PIECE if self.gpu else None  # None: latents.PIECE
        self.group = GROUP if self.gpu else 0  # on a CPU each image is a call of its own

    def host(self, *shape: int, dtype: torch.dtype) -> Tensor:
        """Memory of the host, not filled, that this device can copy from and to without waiting."""
        return torch.empty(shape, dtype=dtype, device="cpu", pin_memory=self.gpu)

    def up(self, tensor: Tensor) -> Tensor:
        """A tensor of the host on the device, in the order of the current stream."""
        return tensor.to(self.name, non_blocking=True)

    def down(self, tensor: Tensor) -> Tensor:
        """A tensor of the device on the host; not to be read before `mark`'s function has returned."""
        return self.host(*tensor.shape, dtype=tensor.dtype).copy_(tensor, non_blocking=True) if self.gpu else tensor

    def mark(self) -> Callable[[], None]:
        """A function that waits, without holding Python's lock, for all that the current stream has been given."""
        if not self.gpu:
            return _at_once
        event = torch.cuda.Event(blocking=True)
        event.record(torch.cuda.current_stream(self.name))
        return event.synchronize

    def streams(self) -> list[AbstractContextManager]:
        """Contexts for the calls of a batch, to be taken in turn."""
        if not self.gpu:
            return [nullcontext()]
        return [torch.cuda.stream(torch.cuda.Stream(self.name)) for _ in range(STREAMS)]

    def keep_for_caller(self, tensors: Sequence[Tensor]) -> None:
        """Tensors that other streams made, all of them marked and waited for, now belong to the caller's stream."""
        for tensor in tensors if self.gpu else ():
            tensor.record_stream(torch.cuda.current_stream(self.name))

    def fitting(
        self, call: Callable[[list[Any], int | None], list[Arrival]], jobs: list[Any], side: int | None = None
    ) -> list[Arrival]:
        """call(jobs, side of a piece); in halves, then in smaller pieces where the GPU's memory is short.

        Raises LicGpuUnavailable when one image in the smallest pieces is still too much.
        """
        side = side or self.side
        try:
            return call(jobs, side)
        except torch.cuda.OutOfMemoryError as error:
            problem = str(error).splitlines()[0]
        # Out of the handler: until here the error held on to what the call had made.
        torch.cuda.empty_cache()
        if len(jobs) > 1:
            middle = len(jobs) // 2
            return self.fitting(call, jobs[:middle], side) + self.fitting(call, jobs[middle:], side)
        if side is None or side <= PIECE_MIN:
            msg = f"{self.name} has not enough free memory, even for the smallest pieces ({problem}); free some, or take device='cpu'"
            raise LicGpuUnavailable(msg)
        return self.fitting(call, jobs, side // 2)


def _at_once() -> None:
    """Nothing to wait for."""
