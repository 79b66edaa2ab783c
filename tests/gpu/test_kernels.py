"""The CUDA kernels without a GPU: each compiled for three architectures, and GDN's source run on the CPU against
float64 twins.
"""

from __future__ import annotations

import ast
import functools
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import nvrtc
import pytest
import torch
from gdn_shapes import DEVICES, first, last

from pillow_lic.engines.torch.cuda import compile as compiler
from pillow_lic.engines.torch.cuda import gdn

ROOT = Path(__file__).parents[2]
KIND_NAMES = ("float32", "float16", "bfloat16")

# --- every kernel compiles, and hot ones keep everything in registers
# ----------------------------------------------------


def compile_with_nvcc(instance: compiler.Instance, capability: int, folder: Path) -> nvrtc.Report:
    text = folder / "kernel.cu"
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


def kernels_of(file: str) -> list[str]:
    """The names that a file gives to what can be launched."""
    text = (ROOT / "kernels" / file).read_text(encoding="utf-8")
    return sorted(set(re.findall(r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\)\s*)?(\w+)\(', text)))


INTEGER_KERNELS = {file: kernels_of(file) for file in ("scale_map.cu", "mixture_cdf.cu")}


def test_the_package_launches_every_kernel():
    """Each file's, by one file of engines/torch/cuda that names them, and whose functions are used."""
    package, files = ROOT / "pillow_lic", sorted(path.name for path in (ROOT / "kernels").glob("*.cu"))
    nodes = {path: list(ast.walk(ast.parse(path.read_text("utf-8")))) for path in package.rglob("*.py")}
    used = {node.attr for found in nodes.values() for node in found if isinstance(node, ast.Attribute)}
    used |= {node.id for found in nodes.values() for node in found if isinstance(node, ast.Name)}
    launchers = {path: found for path, found in nodes.items() if path.parent == package / "engines" / "torch" / "cuda"}
    texts = {
        path: {node.value for node in found if isinstance(node, ast.Constant)} for path, found in launchers.items()
    }
    assert len(files) >= 3
    for file in files:
        (launcher,) = (path for path in texts if file in texts[path])
        assert kernels_of(file)
        assert set(kernels_of(file)) <= texts[launcher]
        found = launchers[launcher]
        functions = {node.name for node in found if isinstance(node, ast.FunctionDef) if node.name[0] != "_"}
        assert functions <= used, f"{launcher.name}: nothing calls {functions - used}"


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


# What a compiler takes ten seconds for each: float32, every product three of TF32 over 192 channels. Of these a machine
# without a GPU compiles each step for both architectures and in both orders, but not all combinations.
LONG = [
    Case(90, last(192, gdn.FLOAT32)),
    Case(90, first(192, gdn.FLOAT32)),
    Case(80, first(192, gdn.FLOAT32)),
    Case(90, first(192, gdn.FLOAT32), gdn.BACKWARD),
    Case(80, last(192, gdn.FLOAT32), gdn.BACKWARD),
]
ON_GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="ten seconds: where a GPU is")]


@pytest.mark.slow
@pytest.mark.parametrize("case", [pytest.param(case, marks=ON_GPU * (case in LONG)) for case in CASES], ids=str)
def test_compiles_without_spills(case, tmp_path):
    """By NVRTC, as on a GPU, which needs more registers than nvcc; else by that."""
    if not nvrtc.library() and not shutil.which("nvcc"):
        pytest.skip("neither NVRTC nor nvcc is installed")
    compile_with = nvrtc.compiled if nvrtc.library() else functools.partial(compile_with_nvcc, folder=tmp_path)
    report = compile_with(case.instance, case.capability)
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
