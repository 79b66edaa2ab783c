"""Plans and launches gdn.cu: generalised divisive normalisation, forward and backward, on the matrix units where a
device has them.

Imports compile.py.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .compile import MATRIX_UNITS, Instance, Limits, Where, launch, limits_of

FLOAT32, FLOAT16, BFLOAT16 = range(3)  # LIC_TYPE
FORWARD, BACKWARD, BACKWARD_LAST, SUMS = range(4)  # LIC_STEP
CHANNELS_MAX = 512
SUMS_SIDE, SUMS_STRIDE = (
    64,
    20,
)  # channels by channels that a block of the fourth step sums, and words for each (kSide, kStride)


class Activation(NamedTuple):
    """The shape of an activation in memory: (images, channels, pixels) if channels come first, else (1, pixels,
    channels).
    """

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
    """How gdn.cu's kernels on the matrix units share the work of one launch; the macros of the same names are explained
    there.
    """

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

    The figures are the widest that compile without spilled registers (tests/test_kernels.py). Of a thread's registers,
    x takes channels x tiles x bytes of an element / 4, the sums 16 x tiles x wide; 12 warps leave 168, 8 warps 255.
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


def gdn(a: Activation, step: int, inverse: bool, addresses: tuple[int, ...], where: Where) -> None:
    """A step of gdn.cu before the last. addresses: source, other, first, second, beta, gamma, as the kernel explains; 0
    for none.
    """
    offered = limits_of(where.device, where.cuda)
    instance = gdn_instance(a, step, inverse, offered)
    launch(instance, gdn_grid(a, instance, offered), (*addresses, a.images, a.pixels), where)


def gdn_sums_count(a: Activation, where: Where) -> int:
    """How many partial sums `gdn_sums` writes."""
    offered = limits_of(where.device, where.cuda)
    return gdn_sums_grid(a, gdn_instance(a, SUMS, False, offered), offered)[2]


def gdn_sums(a: Activation, addresses: tuple[int, int, int], where: Where) -> None:
    """The last step. addresses: t, x, partial sums (gdn_sums_count, channels, channels + 1) float32, beta's in the last
    column.
    """
    offered = limits_of(where.device, where.cuda)
    instance = gdn_instance(a, SUMS, False, offered)
    launch(instance, gdn_sums_grid(a, instance, offered), (*addresses, a.images, a.pixels), where)
