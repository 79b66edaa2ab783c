"""A device: whether it is there, what moves tensors there and back, what happens when its memory is short.

Imports torch and ground; knows no models and no files. On a CPU every transfer is nothing at all.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from ...errors import LicGpuUnavailable
from ..base import at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .cuda.compile import Where

PIECE = 256  # side of a piece on a GPU, latent positions: 4096 pixels, some 2 GB of activations
PIECE_MIN = 16  # the smallest that is tried when memory is short
GROUP = 1 << 23  # pixels of images that share a network call on a GPU: enough that launching kernels does not show
STREAMS = 2  # of a batch, taken in turn: while one computes, the other copies


class Sliceable(Protocol):
    """A sequence as far as `fitting` needs one."""

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> Any: ...


Items = TypeVar("Items", bound=Sliceable)


def existing(name: str) -> str:
    """The full name, "cpu" or "cuda:N", of what "cuda", "cuda:N" or "auto" means. Raises LicGpuUnavailable."""
    if name == "auto":
        if not _usable():
            return "cpu"
        name = "cuda"
    return _existing(name)


@lru_cache(maxsize=16)
def at(name: str) -> Place:
    """The place of a full name, always the same."""
    return Place(name)


def where(x: Tensor) -> Where:
    """Where a kernel over a tensor is to run: on torch's current stream."""
    from .cuda.compile import Where

    return Where(x.device.index, torch.cuda.current_stream(x.device).cuda_stream, torch.version.cuda)


def _usable() -> bool:
    """Whether torch sees a CUDA device that CuPy can use as well."""
    if not torch.cuda.is_available() or _forked():
        return False
    from .cuda import compile as kernels

    try:
        kernels.limits_of(torch.cuda.current_device(), torch.version.cuda)
    except LicGpuUnavailable:
        return False
    return True


def _forked() -> bool:
    """Whether this process was forked from one that had begun to use CUDA, which then cannot be used."""
    return torch.cuda._is_in_bad_fork()


def _existing(name: str) -> str:
    """The full name of a CUDA device, "cuda:N". Raises LicGpuUnavailable."""
    if _forked():
        advice = "start processes by 'spawn', or take device='cpu'"
        msg = f"device {name!r}: CUDA cannot be used in a process forked from one that uses it; {advice}"
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


class Place:
    """A device: the CPU, or a GPU with its pinned memory, streams and events."""

    def __init__(self, name: str):
        self.name = name
        self.gpu = name != "cpu"
        self.side = PIECE if self.gpu else None  # None: pieces.PIECE
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
            return at_once
        event = torch.cuda.Event(blocking=True)
        event.record(torch.cuda.current_stream(self.name))
        return event.synchronize

    def streams(self) -> list[AbstractContextManager[Any]]:
        """Contexts for the calls of a batch, to be taken in turn."""
        if not self.gpu:
            return [nullcontext()]
        return [torch.cuda.stream(torch.cuda.Stream(self.name)) for _ in range(STREAMS)]

    def hand_over(self, tensors: Sequence[Tensor]) -> None:
        """Tensors that other streams made, all of them marked and waited for, now belong to the caller's stream."""
        for tensor in tensors if self.gpu else ():
            tensor.record_stream(torch.cuda.current_stream(self.name))

    def fitting(self, items: Items, side: int | None = None) -> Iterator[Part[Items]]:
        """Parts of the items in their order, each to be worked on `with` it; where the GPU's memory was too short for
        one, it comes again in halves, then in smaller pieces.

        Raises LicGpuUnavailable when one item in the smallest pieces is still too much.
        """
        waiting = [Part(items, side or self.side)]
        while waiting:
            part = waiting.pop()
            yield part
            if part.short is None:
                continue
            torch.cuda.empty_cache()
            if len(part.items) > 1:
                middle = len(part.items) // 2
                waiting += [Part(part.items[middle:], part.side), Part(part.items[:middle], part.side)]
            elif part.side is None or part.side <= PIECE_MIN:
                advice = "free some, or take device='cpu'"
                msg = f"{self.name} has not enough free memory, even for the smallest pieces ({part.short}); {advice}"
                raise LicGpuUnavailable(msg)
            else:
                waiting.append(Part(part.items, part.side // 2))


class Part(Generic[Items]):
    """Items to be worked on at once, in pieces of a side. As a context it takes note when memory was short, and ends
    the error.
    """

    def __init__(self, items: Items, side: int | None):
        self.items, self.side = items, side
        self.short: str | None = None  # what torch said

    def __enter__(self) -> Part[Items]:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, torch.cuda.OutOfMemoryError):
            return False
        self.short = str(error).splitlines()[0]
        return True  # and nothing holds on to the error, which held on to what its call had made
