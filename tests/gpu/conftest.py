"""A device that is CuPy's stand-in on the CPU, whose kernels are checked for what they write beside their arrays."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import cupy_on_cpu
import pytest
import torch

from pillow_lic.engines.torch import place
from pillow_lic.engines.torch.cuda import compile as compiler

if TYPE_CHECKING:
    from pathlib import Path

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
    made = tmp_path_factory.mktemp("on_cpu")
    cupy_on_cpu.precompile(made)
    return made


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
