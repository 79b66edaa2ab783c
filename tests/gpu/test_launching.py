"""Kernels are compiled once and launched; what stands in the way is named."""

from __future__ import annotations

import concurrent.futures
import sys
import types
from pathlib import Path

import cupy_on_cpu
import pytest
from gdn_shapes import DEVICES, last

from pillow_lic.engines.torch.cuda import compile as compiler
from pillow_lic.engines.torch.cuda import gdn
from pillow_lic.errors import LicError, LicGpuUnavailable

ROOT = Path(__file__).parents[2]
# Turing, A100, RTX 30, H200: compute capability, shared memory of a block, multiprocessors.


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
