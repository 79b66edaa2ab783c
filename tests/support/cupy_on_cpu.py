"""A stand-in for what pillow_lic.engines.torch.cuda uses of CuPy, which runs kernels on the CPU through on_cpu.h.

So the tests without a GPU take the path that a GPU takes: the same plans, macros, grids and arguments, the very source
of the kernels.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

from pillow_lic.engines.torch import place
from pillow_lic.engines.torch.cuda import compile as kernels

HERE = Path(__file__).parent
FLAGS = ["-std=c++17", "-O1", "-fPIC", "-U_FORTIFY_SOURCE", "-Wall", "-Wno-unknown-pragmas"]


class CompileException(Exception):
    """cupy.cuda.compiler.CompileException."""


def precompile(folder: Path) -> None:
    """on_cpu.h, most of what a kernel costs g++, once for all that are compiled into `folder`."""
    header = shutil.copy(HERE / "on_cpu.h", folder)
    subprocess.run(["g++", *FLAGS, "-x", "c++-header", header, "-o", f"{header}.gch"], check=True)


class RawModule:
    """A kernel's source, compiled for the CPU into `folder`."""

    def __init__(self, code: str, options: tuple[str, ...], backend: str, folder: Path, calls: list):
        self.calls = calls
        key = hashlib.sha256("\n".join([code, *options]).encode()).hexdigest()[:16]
        library = folder / f"{key}.so"
        if not library.exists():
            (folder / f"{key}.cu").write_text(code)
            defines = [option for option in options if option.startswith("-D")]
            header = next(path for path in (folder / "on_cpu.h", HERE / "on_cpu.h") if path.exists())
            files = ["-include", str(header), "-x", "c++", str(folder / f"{key}.cu"), "-o", str(library)]
            done = subprocess.run(["g++", "-shared", *FLAGS, *defines, *files], capture_output=True, text=True)
            if done.returncode:
                raise CompileException(done.stderr)
        self.library, self.code = ctypes.CDLL(str(library)), code

    def get_function(self, name: str):
        return Kernel(self.library, name, parameters(self.code, name), self.calls)


def parameters(code: str, name: str) -> list[list[int]]:
    """Bytes of each parameter, for each definition of a kernel that the text holds (macros choose one)."""
    found = []
    for text in re.findall(rf"__global__\s+void\s+(?:__launch_bounds__\(.*?\)\s*)?{name}\(([^)]*)\)", code, re.DOTALL):
        found.append([8 if "*" in one or re.search(r"\b(i64|long long)\b", one) else 4 for one in text.split(",")])
    return found


class Kernel:
    """Runs when it is called, and returns when it is done."""

    max_dynamic_shared_size_bytes = 48 * 1024

    def __init__(self, library: ctypes.CDLL, name: str, parameters: list[list[int]], calls: list):
        self.library, self.name, self.parameters, self.calls = library, name, parameters, calls

    def __call__(self, grid, block, arguments, *, shared_mem: int):
        assert shared_mem <= self.max_dynamic_shared_size_bytes
        assert [argument.dtype.itemsize for argument in arguments] in self.parameters, "not what the kernel declares"
        self.calls.append((self.name, grid, block, shared_mem))
        padded = (ctypes.c_longlong * 16)(*[int(argument) for argument in arguments])
        kernel = ctypes.cast(getattr(self.library, self.name), ctypes.c_void_p)
        assert self.library.launch(kernel, (ctypes.c_uint * 3)(*grid), block[0], self.calls.eager, padded) == 0, (
            "threads wait for ever"
        )


class Calls(list):
    """The launches so far. `eager`: asynchronous copies happen at once; otherwise not before they are waited for."""

    eager = False


def fake(
    folder: Path, capability: int = 90, shared: int = 232448, multiprocessors: int = 2, runtime_version: int = 13000
):
    """A module to stand at sys.modules['cupy'], and its calls."""
    calls = Calls()
    attributes = {"shared": shared, "multiprocessors": multiprocessors}
    runtime = types.SimpleNamespace(
        runtimeGetVersion=lambda: runtime_version,
        deviceGetAttribute=lambda attribute, device: attributes[attribute],
        cudaDevAttrMaxSharedMemoryPerBlockOptin="shared",
        cudaDevAttrMultiProcessorCount="multiprocessors",
    )

    class Device:
        compute_capability = str(capability)

        def __init__(self, index):
            self.index = index

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

    cuda = types.SimpleNamespace(
        runtime=runtime,
        Device=Device,
        Stream=types.SimpleNamespace(from_external=lambda stream: contextlib.nullcontext(stream.__cuda_stream__())),
        compiler=types.SimpleNamespace(CompileException=CompileException),
    )
    module = types.ModuleType("cupy")
    module.cuda = cuda
    module.RawModule = lambda code, options, backend: RawModule(code, options, backend, folder, calls)
    return module, calls


def install(monkeypatch, folder: Path) -> Calls:
    """Put the stand-in where pillow_lic.engines.torch.cuda and the codec look for CuPy and a device, for one test;
    returns the list of launches.
    """
    if sys.platform != "linux" or not shutil.which("g++"):
        pytest.skip("kernels run on the CPU through g++ on Linux")
    module, calls = fake(folder)
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(kernels, "_limits", {})
    monkeypatch.setattr(kernels, "_kernels", {})
    monkeypatch.setattr(place, "where", lambda x: kernels.Where(0, 0, "13.0"))
    return calls
