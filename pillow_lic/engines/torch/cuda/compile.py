"""Compiles the kernels of kernels/ on first use and launches them: CuPy's NVRTC, any stream, no copies
(kernels/README.md).

Imports cupy, when a kernel is first launched, and not torch: it takes the addresses of arrays and the handle of a
stream, so that a tensor is never copied on its way. Nothing on the CPU's path imports this file.

A further kernel is one more function that makes an Instance and calls `launch`, as those of gdn.py and scale_map.py do.
"""

from __future__ import annotations

import re
import threading
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ....errors import LicGpuUnavailable

# Installed beside this file; in a clone, at the root of the repository.
PACKAGE = Path(__file__).parents[3]
FOLDERS = [root / name for root in (PACKAGE, PACKAGE.parent) for name in ("kernels", "csrc")]
MATRIX_UNITS = 80  # compute capability that has bfloat16 and asynchronous copies


class Limits(NamedTuple):
    """What a device offers."""

    capability: int  # 90 for compute capability 9.0
    shared: int  # bytes of shared memory that a block may ask for
    multiprocessors: int


class Where(NamedTuple):
    """Where a kernel is to run."""

    device: int
    stream: int  # its handle
    cuda: str | None  # the release, e.g. "13.0", that the rest of the process uses


class Instance(NamedTuple):
    """A kernel with its macros: what is compiled, and how it must be launched."""

    file: str
    name: str
    defines: tuple[tuple[str, int], ...]  # without the LIC_ that all have
    block: int  # threads
    shared: int = 0  # bytes of dynamic shared memory
    options: tuple[str, ...] = ()

    def compiler_options(self) -> tuple[str, ...]:
        """What NVRTC is called with."""
        return ("-std=c++17", *self.options, *(f"-DLIC_{name}={value}" for name, value in self.defines))


# --- sources ---------------------------------------------------------------------------------------------------------


@cache
def source(file: str) -> str:
    """A kernel's text with our own headers put in place, each once.

    CuPy keys its cache on disk by this text, the options, the architecture and NVRTC's version, but not by the contents
    of included
    files: an include would go on running the kernel of yesterday's header.
    """
    seen: set[str] = set()

    def expanded(name: str) -> str:
        if name in seen:
            return ""
        seen.add(name)
        text = _find(name).read_text(encoding="utf-8")
        return re.sub(r'^#include "([\w./]+)".*$', lambda match: expanded(match[1]), text, flags=re.MULTILINE)

    return expanded(file)


def _find(name: str) -> Path:
    for folder in FOLDERS:
        if (folder / name).is_file():
            return folder / name
    msg = f"{name} is not installed beside {PACKAGE}; reinstall pillow-lic"
    raise LicGpuUnavailable(msg)


# --- CuPy
# --------------------------------------------------------------------------------------------------------------


def _cupy(cuda: str | None) -> Any:
    """CuPy, if it is there and of the CUDA release (e.g. "13.0") that the rest of the process uses."""
    extra = f"cuda{cuda.split('.')[0]}" if cuda else "cuda13"
    advice = f"pip install 'pillow-lic[{extra}]', and no other cupy package beside it"
    try:
        import cupy

        found = cupy.cuda.runtime.runtimeGetVersion() // 1000
    except (ImportError, RuntimeError) as error:  # RuntimeError: the driver is too old for this CuPy, or there is none
        msg = f"kernels on the GPU need CuPy, which cannot be used ({error}): {advice}"
        raise LicGpuUnavailable(msg) from error
    if cuda and found != int(cuda.split(".")[0]):
        msg = f"CuPy was built for CUDA {found}, this process runs on CUDA {cuda}: {advice}"
        raise LicGpuUnavailable(msg)
    return cupy


_limits: dict[int, Limits] = {}
_kernels: dict[tuple[Instance, int], Any] = {}
_lock = threading.Lock()


def limits_of(device: int, cuda: str | None = None) -> Limits:
    """What a device offers. `cuda`: the CUDA release that the process uses."""
    if device not in _limits:
        cupy = _cupy(cuda)
        runtime = cupy.cuda.runtime
        try:
            _limits[device] = Limits(
                int(cupy.cuda.Device(device).compute_capability),
                runtime.deviceGetAttribute(runtime.cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
                runtime.deviceGetAttribute(runtime.cudaDevAttrMultiProcessorCount, device),
            )
        except RuntimeError as error:
            advice = "update NVIDIA's driver, or take device='cpu'"
            msg = f"CuPy {cupy.__version__} cannot use device {device} ({error}): {advice}"
            raise LicGpuUnavailable(msg) from error
    return _limits[device]


def _kernel(cupy: Any, instance: Instance, device: int) -> Any:
    """The compiled kernel, from this process, from CuPy's cache on disk (CUPY_CACHE_DIR, by default
    ~/.cupy/kernel_cache), or new.
    """
    found = _kernels.get((instance, device))
    if found is not None:
        return found
    with _lock:
        if (instance, device) not in _kernels:
            try:
                module = cupy.RawModule(
                    code=source(instance.file), options=instance.compiler_options(), backend="nvrtc"
                )
                kernel = module.get_function(instance.name)
                if instance.shared:
                    kernel.max_dynamic_shared_size_bytes = instance.shared
            except (RuntimeError, cupy.cuda.compiler.CompileException) as error:
                msg = f"{instance.file} cannot be compiled or loaded on device {device}: {error}"
                raise LicGpuUnavailable(msg) from error
            _kernels[instance, device] = kernel
        return _kernels[instance, device]


class _Stream(NamedTuple):
    """A stream's handle, as the CUDA stream protocol hands it from one library to another."""

    handle: int

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.handle


def launch(instance: Instance, grid: tuple[int, int, int], arguments: tuple[Any, ...], where: Where) -> None:
    """Launch on a device's stream. arguments: addresses and counts of 64 bits as Python's integers, others as NumPy
    scalars.

    The arrays must stay alive until the stream has passed the launch, which torch's allocator sees to for tensors of
    that stream.
    """
    cupy = _cupy(where.cuda)
    import numpy

    arguments = tuple(numpy.int64(value) if type(value) is int else value for value in arguments)
    with cupy.cuda.Device(where.device), cupy.cuda.Stream.from_external(_Stream(where.stream)):
        _kernel(cupy, instance, where.device)(grid, (instance.block, 1, 1), arguments, shared_mem=instance.shared)


BLOCK = 256  # threads


def each(file: str, name: str, count: int, arguments: tuple[Any, ...], where: Where) -> None:
    """A kernel that loops over `count` results in steps of the grid: enough blocks to fill the device."""
    blocks = min(-(-count // BLOCK), 32 * limits_of(where.device, where.cuda).multiprocessors)
    launch(Instance(file, name, (), BLOCK), (max(blocks, 1), 1, 1), arguments, where)


def ints(*values: int) -> tuple[Any, ...]:
    """As the `int` of 32 bits that a kernel declares."""
    import numpy

    return tuple(numpy.int32(value) for value in values)
