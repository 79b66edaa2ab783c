"""The CUDA kernels without a GPU: each compiled for three architectures, and GDN's source run on the CPU against
float64 twins.
"""

from __future__ import annotations

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import NamedTuple

import cupy_on_cpu
import gdn_twin
import numpy as np
import nvrtc
import pytest
import torch

from pillow_lic.engines.torch import operators, place
from pillow_lic.engines.torch.cuda import compile as compiler
from pillow_lic.engines.torch.cuda import gdn
from pillow_lic.errors import LicError, LicGpuUnavailable

ROOT = Path(__file__).parents[2]
# Turing, A100, RTX 30, H200: compute capability, shared memory of a block, multiprocessors.
DEVICES = {
    75: compiler.Limits(75, 65536, 40),
    80: compiler.Limits(80, 166912, 108),
    86: compiler.Limits(86, 101376, 84),
    90: compiler.Limits(90, 232448, 132),
}
KIND_NAMES = ("float32", "float16", "bfloat16")

# --- every kernel compiles, and hot ones keep everything in registers
# ----------------------------------------------------


def compile_with_nvcc(instance: compiler.Instance, capability: int, folder: Path) -> nvrtc.Report:
    text = folder / f"{threading.get_ident()}.cu"
    text.write_text(compiler.source(instance.file))
    command = [
        "nvcc",
        "-cubin",
        f"-arch=sm_{capability}",
        "-ftz=true",
        "-Xptxas=-v",
        *instance.compiler_options(),
        str(text),
    ]
    done = subprocess.run([*command, "-o", str(text.with_suffix(".cubin"))], capture_output=True, text=True)
    return nvrtc.Report(done.returncode, done.stdout + done.stderr)


class Case(NamedTuple):
    """One kernel to compile, which must not spill."""

    capability: int
    activation: gdn.Activation
    step: int = gdn.FORWARD
    inverse: bool = False

    def __str__(self):
        a = self.activation
        steps = ("forward", "backward", "backward-last", "sums")
        order = "first" if a.channels_first else "last"
        what = f"{'i' * self.inverse}gdn-{steps[self.step]}"
        return f"sm_{self.capability}-{what}-{KIND_NAMES[a.kind]}-{order}-{a.channels}-{a.pixels}"

    @property
    def instance(self) -> compiler.Instance:
        return gdn.gdn_instance(self.activation, self.step, self.inverse, DEVICES[self.capability])


def last(channels: int, kind: int = gdn.BFLOAT16) -> gdn.Activation:
    return gdn.Activation(1, channels, 4096, kind, channels_first=False)


def first(channels: int, kind: int = gdn.BFLOAT16, pixels: int = 4096) -> gdn.Activation:
    return gdn.Activation(1, channels, pixels, kind, channels_first=True)


STEPS = (gdn.FORWARD, gdn.BACKWARD, gdn.BACKWARD_LAST, gdn.SUMS)
CASES = list(
    dict.fromkeys(
        [  # each step on each architecture, in either order; then what is special. dict: each once
            *[
                Case(cap, order(192, kind), step)
                for cap in (75, 80, 90)
                for order in (last, first)
                for kind in (0, 2)
                for step in STEPS
            ],
            *[Case(90, last(c), inverse=inverse) for c in (128, 192) for inverse in (False, True)],
            Case(90, last(192, gdn.FLOAT16)),
            Case(90, last(192, gdn.FLOAT32)),
            Case(90, first(192)),
            Case(90, first(192, gdn.FLOAT32, pixels=4095)),
            Case(90, last(512)),
            Case(90, last(192), gdn.BACKWARD),
            Case(90, first(128, gdn.FLOAT32), gdn.BACKWARD, inverse=True),
            Case(90, last(192), gdn.BACKWARD_LAST),
            Case(90, first(64), gdn.BACKWARD_LAST),
            Case(90, last(192), gdn.SUMS),
            Case(90, first(192, gdn.FLOAT32), gdn.SUMS),
            *[Case(80, last(c)) for c in (128, 192)],
            Case(80, first(192), inverse=True),
            Case(80, last(128, gdn.FLOAT32), gdn.BACKWARD_LAST),
            Case(80, last(128), gdn.SUMS),
            *[Case(75, last(192, kind), step) for kind, step in ((2, 0), (1, 1), (2, 2), (0, 3))],
        ]
    )
)


INTEGER_KERNELS = {
    "scale_map.cu": ("dequantise", "hidden_layer", "scale_map", "coded_symbols", "pack_symbols", "spread_symbols"),
    "mixture_cdf.cu": ("mixture_intervals", "mixture_window"),
}


@pytest.mark.slow
@pytest.mark.parametrize("capability", [75, 80, 90])
@pytest.mark.parametrize("file", INTEGER_KERNELS)
def test_integer_kernels_compile_without_spills(file, capability, tmp_path):
    if not shutil.which("nvcc") and not nvrtc.library():
        pytest.skip("neither NVRTC nor nvcc is installed")
    instance = compiler.Instance(file, INTEGER_KERNELS[file][0], (), compiler.BLOCK)
    report = (
        nvrtc.compiled(instance, capability) if nvrtc.library() else compile_with_nvcc(instance, capability, tmp_path)
    )
    assert report.returncode == 0, report.text
    assert report.spilled == 0, report.text
    for name in INTEGER_KERNELS[file]:
        assert re.search(rf"'{name}'", report.text), "not under this name, which engines/torch/cuda looks for"


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> dict[Case, nvrtc.Report]:
    """All cases, compiled side by side: by NVRTC, as on a GPU, which needs more registers than nvcc; else by that."""
    library = nvrtc.library()
    if not library and not shutil.which("nvcc"):
        pytest.skip("neither NVRTC nor nvcc is installed")
    folder = tmp_path_factory.mktemp("cubin")

    def one(case: Case) -> nvrtc.Report:
        return (
            nvrtc.compiled(case.instance, case.capability)
            if library
            else compile_with_nvcc(case.instance, case.capability, folder)
        )

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(CASES, pool.map(one, CASES), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_compiles_without_spills(case, reports):
    report = reports[case]
    assert report.returncode == 0, report.text
    assert report.registers <= 65536 // case.instance.block
    assert report.spilled == 0, report.text


def test_nvrtc_takes_the_same_source():
    """What runs on a GPU is compiled by NVRTC, which has no headers and no host compiler."""
    if not nvrtc.library():
        pytest.skip("NVRTC is not installed")
    for case in (Case(90, last(128)), Case(75, last(3))):
        report = nvrtc.compiled(case.instance, case.capability)
        assert report.returncode == 0, report.text
        assert report.spilled == 0, report.text


# --- plans -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES.values(), ids=lambda limits: f"sm_{limits.capability}")
def test_plans_fit_every_shape(device):
    """The matrix units take what they should take, and no plan asks for more than there is."""
    for kind in (gdn.FLOAT32, gdn.FLOAT16, gdn.BFLOAT16):
        for channels in range(1, gdn.CHANNELS_MAX + 1):
            for a in (
                last(channels, kind),
                first(channels, kind),
                first(channels, kind, 4095),
                first(channels, kind, 4094),
            ):
                for step in (gdn.FORWARD, gdn.BACKWARD, gdn.BACKWARD_LAST):
                    plan = gdn.gdn_plan(a, step, device)
                    vectors = a.channels_first or channels % a.packet == 0
                    fits = channels <= (320 if kind == gdn.FLOAT32 else 512)
                    assert (plan is not None) == (device.capability >= 80 and channels >= 16 and vectors and fits)
                    if plan:
                        assert plan.blocks * plan.shared <= device.shared
                        assert 32 * plan.warps * plan.blocks <= 2048
                        groups = -(-channels // (4 * a.packet))
                        assert -(-groups // plan.slices) % plan.wide == 0


def test_hot_plans_are_staged():
    for channels in (128, 192):
        plan = gdn.gdn_plan(last(channels), gdn.FORWARD, DEVICES[90])
        assert plan.staged
        assert plan.warps == 12
        assert plan.slices == 1


# --- the source, run on the CPU
# ------------------------------------------------------------------------------------------

MARGIN = 4096  # bytes around each array that a kernel writes


def guarded_empty(kept: list):
    """torch.empty_like with NaN inside and marked margins around, which `kept` collects."""

    def empty_like(x, dtype=None, **_):
        dtype = dtype or x.dtype
        size = x.numel() * dtype.itemsize
        room = torch.full((size + 2 * MARGIN + 64,), 0x7F, dtype=torch.uint8)
        start = MARGIN + -(room.data_ptr() + MARGIN) % 64
        inside = room[start : start + size].view(dtype)
        inside.fill_(float("nan"))
        kept.append((room, start, size))
        return inside.as_strided(x.shape, x.stride())

    return empty_like


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    if not shutil.which("g++") or sys.platform != "linux":
        pytest.skip("kernels run on the CPU through g++ on Linux")
    if subprocess.run(
        ["g++", "-fsyntax-only", "-x", "c++", "-"], input="_Float16 x;", text=True, capture_output=True
    ).returncode:
        pytest.skip("this g++ has no _Float16")
    return tmp_path_factory.mktemp("on_cpu")


@pytest.fixture
def on_cpu(folder, monkeypatch):
    """A function that puts CuPy's stand-in, for a device of given limits, in its place; returns the list of
    launches.
    """
    kept: list = []

    def install(limits: compiler.Limits) -> cupy_on_cpu.Calls:
        module, calls = cupy_on_cpu.fake(folder, limits.capability, limits.shared, multiprocessors=2)
        monkeypatch.setitem(sys.modules, "cupy", module)
        monkeypatch.setattr(compiler, "_limits", {})
        monkeypatch.setattr(compiler, "_kernels", {})
        return calls

    monkeypatch.setattr(place, "where", lambda x: compiler.Where(0, 0, "13.0"))
    monkeypatch.setattr(torch, "empty_like", guarded_empty(kept))
    yield install
    for room, start, size in kept:
        assert (room[:start] == 0x7F).all(), "written before its beginning"
        assert (room[start + size :] == 0x7F).all(), "written beyond its end"


# Relative bounds of y. Sixteen-bit: squares and gamma are rounded to bfloat16, 2^-8 each, which the root halves; then y
# is rounded. float32: three products of TF32 and the root, 2^-21, and rounding.
BOUNDS = {torch.bfloat16: 2**-8 + 2**-8, torch.float16: 2**-8 + 2**-11, torch.float32: 2**-20}
# Of gradients, against the magnitudes that they are sums of: v, t, d and gamma rounded, at most four roundings to
# bfloat16.
GRADIENT_BOUNDS = {torch.bfloat16: 2**-6, torch.float16: 2**-6, torch.float32: 2**-18}


def tensors(shape, dtype, channels_last, scale=1.0):
    """x, grad, beta, gamma, and the same as float64 arrays."""
    x, grad, beta, gamma = gdn_twin.inputs(shape, scale=scale)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    made = [torch.tensor(a).to(dtype).contiguous(memory_format=layout) for a in (x, grad)]
    made += [torch.tensor(a, dtype=torch.float32) for a in (beta, gamma)]
    return made, [t.double().numpy() for t in made]


BF16, F16, F32 = torch.bfloat16, torch.float16, torch.float32
# shape, type, channels last, inverse, device, scale of x. Several tiles for a warp, several images, ends of rows, odd
# sizes.
FORWARD = {
    "staged": ((1, 192, 37, 31), BF16, True, False, 90, 1),
    "staged, 128": ((2, 128, 9, 41), F16, True, True, 90, 300),
    "staged, first": ((3, 192, 12, 11), BF16, False, True, 90, 1),
    "pairs of pixels": ((2, 64, 3, 10), F16, False, False, 90, 1),
    "odd": ((3, 48, 5, 7), BF16, False, False, 90, 1),
    "few, padded": ((2, 17, 7, 8), BF16, False, True, 90, 1),
    "small blocks": ((1, 64, 40, 33), BF16, True, False, 90, 1),
    "again loaded": ((1, 320, 5, 9), BF16, True, False, 90, 1),
    "slices": ((1, 512, 5, 9), F16, False, False, 90, 300),
    "float32": ((1, 192, 9, 13), F32, True, False, 90, 1),
    "float32, staged": ((2, 128, 4, 10), F32, False, True, 90, 1),
    "float32, odd": ((2, 20, 5, 7), F32, False, False, 90, 1),
    "float32, slices": ((1, 192, 5, 9), F32, True, True, 86, 1),
    "twin, odd channels": ((2, 17, 5, 9), BF16, True, True, 90, 1),
    "twin, three": ((2, 3, 5, 9), F32, False, False, 90, 1),
    "twin, Turing": ((1, 32, 5, 9), F16, False, True, 75, 300),
}


@pytest.mark.parametrize(
    ("shape", "dtype", "channels_last", "inverse", "device", "scale"), FORWARD.values(), ids=FORWARD
)
def test_forward_source(shape, dtype, channels_last, inverse, device, scale, on_cpu):
    calls = on_cpu(DEVICES[device])
    (x, _, beta, gamma), (x64, _, beta64, gamma64) = tensors(shape, dtype, channels_last, scale)
    wanted = gdn_twin.forward(x64, beta64, gamma64, inverse)
    finite = np.abs(wanted) < torch.finfo(dtype).max
    for calls.eager in (False, True):
        y = operators._cuda(x, beta, gamma, inverse)
        assert y.stride() == x.stride()
        assert (np.abs(y.double().numpy() - wanted) <= BOUNDS[dtype] * np.abs(wanted))[finite].all()
    assert len(calls) == 2


BACKWARD = {
    "staged, 192": ((1, 192, 5, 9), BF16, True, False, 90),
    "again loaded": ((1, 320, 3, 5), F16, True, True, 90),
    "slices, 512": ((1, 512, 3, 5), BF16, False, False, 90),
    "staged": ((1, 64, 9, 7), BF16, True, False, 90),
    "first": ((2, 40, 6, 6), BF16, False, True, 90),
    "odd": ((3, 24, 5, 7), F16, False, False, 90),
    "float32": ((2, 96, 5, 5), F32, True, True, 90),
    "float32, first": ((2, 72, 4, 6), F32, False, False, 90),
    "slices": ((1, 288, 3, 5), F32, True, False, 90),
    "twin": ((2, 17, 3, 7), F16, True, True, 90),
    "twin, Turing": ((2, 24, 3, 7), BF16, False, False, 75),
}


@pytest.mark.parametrize(("shape", "dtype", "channels_last", "inverse", "device"), BACKWARD.values(), ids=BACKWARD)
def test_backward_source(shape, dtype, channels_last, inverse, device, on_cpu):
    calls = on_cpu(DEVICES[device])
    (x, grad, beta, gamma), (x64, grad64, beta64, gamma64) = tensors(shape, dtype, channels_last)
    wanted, sizes = gdn_twin.backward(grad64, x64, beta64, gamma64, inverse)
    for calls.eager in (False, True):
        found = operators._cuda_backward(grad, x, beta, gamma, inverse)
        promised = operators._fake_backward(grad, x, beta, gamma)  # torch.compile relies on it
        assert [g.stride() for g in found] == [g.stride() for g in promised]
        for gradient, exact, size in zip(found, wanted, sizes, strict=True):
            assert (np.abs(gradient.double().numpy() - exact) <= GRADIENT_BOUNDS[dtype] * size).all()
    assert len(calls) == 6


def test_backward_under_another_default_type(on_cpu):
    """The kernels write float32 sums, whatever torch makes by default."""
    on_cpu(DEVICES[90])
    (x, grad, beta, gamma), (x64, grad64, beta64, gamma64) = tensors((1, 64, 5, 7), BF16, True)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        found = operators._cuda_backward(grad, x, beta, gamma, False)
    finally:
        torch.set_default_dtype(before)
    wanted, sizes = gdn_twin.backward(grad64, x64, beta64, gamma64, False)
    for gradient, exact, size in zip(found, wanted, sizes, strict=True):
        assert (np.abs(gradient.double().numpy() - exact) <= GRADIENT_BOUNDS[BF16] * size).all()


def test_views_off_the_grid_are_copied(on_cpu):
    """Vectors of 16 bytes need addresses that are multiples of 16."""
    on_cpu(DEVICES[90])
    (x, _, beta, gamma), (x64, _, beta64, gamma64) = tensors((3, 17, 3, 5), BF16, False)
    room = torch.empty(x.numel() + 1, dtype=BF16)
    room[1:] = x.flatten()
    view = room[1:].view(x.shape)
    assert view.data_ptr() % 16
    y = operators._cuda(view, beta, gamma, False).double().numpy()
    wanted = gdn_twin.forward(x64, beta64, gamma64, False)
    assert (np.abs(y - wanted) <= BOUNDS[BF16] * np.abs(wanted)).all()


def test_what_has_no_kernel_is_composed(on_cpu):
    calls = on_cpu(DEVICES[90])
    for shape, dtype in (((1, 4, 2, 2), torch.float64), ((1, 513, 1, 2), torch.float32), ((0, 4, 2, 2), torch.float32)):
        (x, grad, beta, gamma), _ = tensors(shape, dtype, False)
        torch.testing.assert_close(
            operators._cuda(x, beta, gamma, False), operators._plain(x, beta, gamma, False), equal_nan=True
        )
        operators._cuda_backward(grad, x, beta, gamma, False)
    assert not calls


# --- compiling and launching
# ---------------------------------------------------------------------------------------------


def test_threads_compile_once(on_cpu, monkeypatch):
    on_cpu(DEVICES[90])
    made = []
    module = sys.modules["cupy"]
    compile_it = module.RawModule
    monkeypatch.setattr(module, "RawModule", lambda **arguments: made.append(arguments) or compile_it(**arguments))
    instance = gdn.gdn_instance(last(64), gdn.FORWARD, False, DEVICES[90])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        kernels = list(pool.map(lambda _: compiler._kernel(module, instance, 0), range(32)))
    assert len(made) == 1
    assert len(set(map(id, kernels))) == 1
    compiler._kernel(module, instance, 1)
    assert len(made) == 2, "each device has its own"


def test_missing_cupy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(compiler, "_limits", {})
    with pytest.raises(LicGpuUnavailable, match=r"pip install 'pillow-lic\[cuda12\]'"):
        compiler.limits_of(0, "12.8")
    with pytest.raises(LicGpuUnavailable, match=r"pillow-lic\[cuda13\]"):
        compiler.limits_of(0)
    assert issubclass(LicGpuUnavailable, LicError)


def test_driver_too_old_is_named(monkeypatch, tmp_path):
    for failing in ("runtimeGetVersion", "deviceGetAttribute"):
        module, _ = cupy_on_cpu.fake(tmp_path)
        module.__version__ = "14.2.0"

        def fail(*_):
            raise RuntimeError("cudaErrorInsufficientDriver")

        setattr(module.cuda.runtime, failing, fail)
        monkeypatch.setitem(sys.modules, "cupy", module)
        monkeypatch.setattr(compiler, "_limits", {})
        with pytest.raises(LicGpuUnavailable, match=r"cudaErrorInsufficientDriver.*"):
            compiler.limits_of(0, "13.0")


def test_other_cuda_release_is_named(monkeypatch, tmp_path):
    module, _ = cupy_on_cpu.fake(tmp_path, runtime_version=12080)
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(compiler, "_limits", {})
    with pytest.raises(LicGpuUnavailable, match=r"built for CUDA 12.*CUDA 13\.0.*pillow-lic\[cuda13\]"):
        compiler.limits_of(0, "13.0")


def test_kernel_that_does_not_compile_is_named(monkeypatch):
    def fail(**_):
        raise cupy_on_cpu.CompileException("expected a ;")

    cuda = types.SimpleNamespace(compiler=types.SimpleNamespace(CompileException=cupy_on_cpu.CompileException))
    module = types.SimpleNamespace(RawModule=fail, cuda=cuda)
    with pytest.raises(LicGpuUnavailable, match=r"gdn\.cu cannot be compiled.*expected a ;"):
        compiler._kernel(module, gdn.gdn_instance(last(3), gdn.FORWARD, False, DEVICES[90]), 7)


def test_sources_are_whole():
    """CuPy's cache knows a kernel by its text, so our headers must be a part of it."""
    for path in (ROOT / "kernels").glob("*.cu"):
        text = compiler.source(path.name)
        assert "#include" not in text
        assert "LIC_WARP_CUH" in text or "warp.cuh" not in path.read_text()


def test_missing_source_is_named():
    with pytest.raises(LicGpuUnavailable, match="reinstall"):
        compiler.source("nothing.cu")
