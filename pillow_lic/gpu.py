"""Compiles the kernels of kernels/ on first use and launches them: CuPy's NVRTC, any stream, no copies (kernels/README.md).

Imports cupy, when a kernel is first launched, and not torch: it takes the addresses of arrays and the handle of a stream, so that a
tensor is never copied on its way. Nothing on the CPU's path imports this file.

A further kernel is one more function that makes an Instance and calls `launch`, as `gdn` and `scale_map` do.
"""

from __future__ import annotations

import math
import re
import threading
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from .errors import LicGpuUnavailable

# Installed beside this file; in a clone, at the root of the repository.
FOLDERS = [
    root / name for root in (Path(__file__).parent, Path(__file__).parent.parent) for name in ("kernels", "csrc")
]
MATRIX_UNITS = 80  # compute capability that has bfloat16 and asynchronous copies


class Limits(NamedTuple):
    """What a device offers."""

    capability: int  # 90 for compute capability 9.0
    shared: int  # bytes of shared memory that a block may ask for
    multiprocessors: int


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

    CuPy keys its cache on disk by this text, the options, the architecture and NVRTC's version, but not by the contents of included
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
    msg = f"{name} is not installed beside {Path(__file__).parent}; reinstall pillow-lic"
    raise LicGpuUnavailable(msg)


# --- CuPy --------------------------------------------------------------------------------------------------------------


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
            msg = f"CuPy {cupy.__version__} cannot use device {device} ({error}): update NVIDIA's driver, or take device='cpu'"
            raise LicGpuUnavailable(msg) from error
    return _limits[device]


def _kernel(cupy: Any, instance: Instance, device: int) -> Any:
    """The compiled kernel, from this process, from CuPy's cache on disk (CUPY_CACHE_DIR, by default ~/.cupy/kernel_cache), or new."""
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


def launch(
    instance: Instance,
    grid: tuple[int, int, int],
    arguments: tuple[Any, ...],
    device: int,
    stream: int,
    cuda: str | None,
) -> None:
    """Launch on a device's stream. arguments: addresses and counts of 64 bits as Python's integers, others as NumPy scalars.

    The arrays must stay alive until the stream has passed the launch, which torch's allocator sees to for tensors of that stream.
    """
    cupy = _cupy(cuda)
    import numpy

    arguments = tuple(numpy.int64(value) if type(value) is int else value for value in arguments)
    with cupy.cuda.Device(device), cupy.cuda.Stream.from_external(_Stream(stream)):
        _kernel(cupy, instance, device)(grid, (instance.block, 1, 1), arguments, shared_mem=instance.shared)


# --- GDN -----------------------------------------------------------------------------------------------------------------

FLOAT32, FLOAT16, BFLOAT16 = range(3)  # LIC_TYPE
FORWARD, BACKWARD, BACKWARD_LAST, SUMS = range(4)  # LIC_STEP
CHANNELS_MAX = 512
SUMS_SIDE, SUMS_STRIDE = (
    64,
    20,
)  # channels by channels that a block of the fourth step sums, and words for each (kSide, kStride)


class Activation(NamedTuple):
    """The shape of an activation in memory: (images, channels, pixels) if channels come first, else (1, pixels, channels)."""

    images: int
    channels: int
    pixels: int
    kind: int
    channels_first: bool

    @property
    def element(self) -> int:
        """Bytes of one value."""
        return 4 if self.kind == FLOAT32 else 2

    @property
    def packet(self) -> int:
        """Channels of 16 bytes."""
        return 16 // self.element


class Plan(NamedTuple):
    """How gdn.cu's kernels on the matrix units share the work of one launch; the macros of the same names are explained there."""

    tiles: int
    warps: int
    blocks: int
    wide: int
    slices: int
    keep: bool
    staged: bool
    aligned: bool
    shared: int


def gdn_plan(a: Activation, step: int, limits: Limits) -> Plan | None:
    """The plan for a step over an activation on a device; None if that takes the plain kernels.

    The figures are the widest that compile without spilled registers (tests/test_kernels.py). Of a thread's registers, x takes
    channels x tiles x bytes of an element / 4, the sums 16 x tiles x wide; 12 warps leave 168, 8 warps 255.
    """
    half = a.kind != FLOAT32
    group = 4 * a.packet  # channels
    groups = -(-a.channels // group)
    width = groups * group
    if limits.capability < MATRIX_UNITS or a.channels < 16 or width > (CHANNELS_MAX if half else 320):
        return None
    if not a.channels_first and a.channels % a.packet:
        return None  # a packet would reach into the next pixel
    tiles = 2 if half and width <= 256 and not (a.channels_first and a.pixels % 4) else 1
    aligned = not a.channels_first or a.pixels % (2 * tiles) == 0

    row = group * width * (2 if half else 4)  # bytes of the matrix that one group of outputs takes
    fixed = 4 * width + 16  # bias, and a zero
    slices = next(n for n in range(1, groups + 1) if -(-groups // n) * row + fixed <= limits.shared)
    slice_groups = -(-groups // slices)
    shared = slice_groups * (row + 4 * group) + 16
    keep = step != BACKWARD_LAST and slices == 1 and width <= (256 if half else 192)
    two_planes = a.channels_first and step != FORWARD  # what takes most registers
    wide = 2 if not half and keep and slice_groups % 2 == 0 and not two_planes else 1

    blocks = 2 if width <= 64 and not two_planes else 1
    room = limits.shared if blocks == 1 else limits.shared // 2 - 1024  # 1 KiB of each block is the system's
    slim = step == FORWARD and not a.channels_first and width <= (192 if half else 128)
    warps = 12 if slim and blocks == 1 else 8
    stage = 16 * tiles * width * a.element  # bytes of a warp's next tile
    fits = [count for count in (warps, 8) if shared + count * stage <= room]
    if aligned and fits:
        return Plan(tiles, fits[0], blocks, wide, slices, keep, True, aligned, shared + fits[0] * stage)
    return Plan(tiles, warps, blocks, wide, slices, keep, False, aligned, shared)


def gdn_instance(a: Activation, step: int, inverse: bool, limits: Limits, plan: Plan | None = None) -> Instance:
    """The kernel that computes a step. `plan` overrides gdn_plan's, for experiments."""
    common = (
        ("CHANNELS", a.channels),
        ("TYPE", a.kind),
        ("FIRST", int(a.channels_first)),
        ("STEP", step),
        ("INVERSE", int(inverse and step in (FORWARD, BACKWARD))),  # the others are the same for both
    )
    if step == SUMS:
        if limits.capability < MATRIX_UNITS:
            return Instance("gdn.cu", "gdn", (*common, ("MATRIX", 0)), block=128)
        return Instance("gdn.cu", "gdn", (*common, ("MATRIX", 1)), block=128, shared=2 * SUMS_SIDE * SUMS_STRIDE * 4)
    plan = plan or gdn_plan(a, step, limits)
    if plan is None:
        return Instance("gdn.cu", "gdn", (*common, ("MATRIX", 0)), block=256)
    shape = [(name.upper(), int(value)) for name, value in plan._asdict().items() if name != "shared"]
    return Instance("gdn.cu", "gdn", (*common, ("MATRIX", 1), *shape), block=32 * plan.warps, shared=plan.shared)


def gdn_grid(a: Activation, instance: Instance, limits: Limits) -> tuple[int, int, int]:
    """Blocks for a step before the last: enough to fill the device once, as each thread goes on to further work."""
    shape = dict(instance.defines)
    if not shape["MATRIX"]:
        return min(-(-a.images * a.channels * a.pixels // instance.block), 32 * limits.multiprocessors), 1, 1
    tiles = a.images * -(-a.pixels // (16 * shape["TILES"]))
    share = -(-tiles // shape["WARPS"])
    return min(share, shape["BLOCKS"] * limits.multiprocessors), shape["SLICES"], 1


def gdn_sums_grid(a: Activation, instance: Instance, limits: Limits) -> tuple[int, int, int]:
    """Blocks of the last step; the third number is that of the partial sums."""
    if dict(instance.defines)["MATRIX"]:
        side = -(-a.channels // SUMS_SIDE)
        rounds = a.images * -(-a.pixels // (64 // a.element))  # of 32 or 16 pixels
        return side, side, max(1, min(rounds, math.ceil(4 * limits.multiprocessors / side**2)))
    across = -(-(a.channels + 1) // instance.block)
    stretches = math.ceil(16 * limits.multiprocessors / (across * a.channels))
    return across, a.channels, max(1, min(stretches, a.images * a.pixels, 64))


def gdn(
    a: Activation, step: int, inverse: bool, addresses: tuple[int, ...], device: int, stream: int, cuda: str | None
) -> None:
    """A step of gdn.cu before the last. addresses: source, other, first, second, beta, gamma, as the kernel explains; 0 for none."""
    offered = limits_of(device, cuda)
    instance = gdn_instance(a, step, inverse, offered)
    launch(instance, gdn_grid(a, instance, offered), (*addresses, a.images, a.pixels), device, stream, cuda)


def gdn_sums_count(a: Activation, device: int, cuda: str | None) -> int:
    """How many partial sums `gdn_sums` writes."""
    offered = limits_of(device, cuda)
    return gdn_sums_grid(a, gdn_instance(a, SUMS, False, offered), offered)[2]


def gdn_sums(a: Activation, addresses: tuple[int, int, int], device: int, stream: int, cuda: str | None) -> None:
    """The last step. addresses: t, x, partial sums (gdn_sums_count, channels, channels + 1) float32, beta's in the last column."""
    offered = limits_of(device, cuda)
    instance = gdn_instance(a, SUMS, False, offered)
    launch(instance, gdn_sums_grid(a, instance, offered), (*addresses, a.images, a.pixels), device, stream, cuda)


# --- integers ----------------------------------------------------------------------------------------------------------
#
# Arrays are dense and given by their addresses. `where`: device, stream, CUDA release, as of `launch`.

BLOCK = 256  # threads


def _each(file: str, name: str, count: int, arguments: tuple[Any, ...], where: tuple[int, int, str | None]) -> None:
    """A kernel that loops over `count` results in steps of the grid: enough blocks to fill the device."""
    device, stream, cuda = where
    blocks = min(-(-count // BLOCK), 32 * limits_of(device, cuda).multiprocessors)
    launch(Instance(file, name, (), BLOCK), (max(blocks, 1), 1, 1), arguments, device, stream, cuda)


def _int(*values: int) -> tuple[Any, ...]:
    """As the `int` of 32 bits that a kernel declares."""
    import numpy

    return tuple(numpy.int32(value) for value in values)


def dequantise(z: int, d: int, channels: int, positions: int, v: int, *where: Any) -> None:
    """v of FORMAT 7.5: z (channels, positions) int16 times d (channels,) int32, clamped; v as z."""
    _each("scale_map.cu", "dequantise", channels * positions, (z, d, *_int(channels), positions, v), where)


def hidden_layer(
    v: int, weight: int, offset: int, following: int, inputs: int, outputs: int, positions: int, *where: Any
) -> None:
    """A hidden layer of FORMAT 7.5: v (inputs, positions) to following (outputs, positions), both int16."""
    arguments = v, weight, offset, *_int(inputs, outputs), positions, following
    _each("scale_map.cu", "hidden_layer", outputs * positions, arguments, where)


def scale_map(
    v: int, weight: int, offset: int, bias: int, out: int, channels: int, inputs: int, hyper: tuple[int, int], latent: tuple[int, int],
    rows: int, *where: Any,
) -> None:  # fmt: skip
    """The map of FORMAT 7.5: v (inputs, *hyper) int16 to out (channels, *latent) uint8, each below `rows`."""
    arguments = v, weight, offset, bias, *_int(channels, inputs, *hyper, *latent, rows), out
    _each("scale_map.cu", "scale_map", channels * latent[0] * latent[1], arguments, where)


def coded_symbols(index: int, n: int, skip: int, coded: int, *where: Any) -> None:
    """coded (n,) uint8: 1 where index (n,) uint8 reaches `skip` (FORMAT 7.6). Its running sums (n,) int64 are the `place` of the next two."""
    _each("scale_map.cu", "coded_symbols", n, (index, n, *_int(skip), coded), where)


def pack_symbols(index: int, r: int, place: int, n: int, skip: int, rows: int, symbols: int, *where: Any) -> None:
    """Of index (n,) uint8 and r (n,) int16 what is coded, in order: rows uint8 and symbols int16."""
    _each("scale_map.cu", "pack_symbols", n, (index, r, place, n, *_int(skip), rows, symbols), where)


def spread_symbols(index: int, symbols: int, place: int, n: int, skip: int, r: int, *where: Any) -> None:
    """The inverse: r (n,) int16, 0 where nothing was coded."""
    _each("scale_map.cu", "spread_symbols", n, (index, symbols, place, n, *_int(skip), r), where)


def mixture_intervals(
    planes: int,
    n: int,
    symbols: int,
    components: int,
    inverse: int,
    scales: int,
    normal: int,
    start: int,
    freq: int,
    *where: Any,
) -> None:
    """start and freq (n,) uint32 of symbols (n,) int16 under mixtures whose bytes are planes (3 components, n) (FORMAT 7.8)."""
    arguments = planes, n, symbols, *_int(components), inverse, *_int(scales), normal, start, freq
    _each("mixture_cdf.cu", "mixture_intervals", n, arguments, where)


def mixture_window(
    planes: int,
    n: int,
    components: int,
    inverse: int,
    scales: int,
    normal: int,
    first: int,
    edges: int,
    below: int,
    *where: Any,
) -> None:
    """below (n, edges) uint16: G of FORMAT 7.8 at `edges` neighbouring symbols from `first` on."""
    arguments = planes, n, *_int(components), inverse, *_int(scales), normal, *_int(first, edges), below
    _each("mixture_cdf.cu", "mixture_window", n, arguments, where)
