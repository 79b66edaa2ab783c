"""NVRTC without CuPy and without a GPU: compiles kernels as CuPy does and tells what the compiler reports (package
`nvidia-cuda-nvrtc`).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pillow_lic.engines.torch.cuda import compile as kernels


class Report(NamedTuple):
    """What a compiler says about a kernel."""

    returncode: int
    text: str

    @property
    def spilled(self) -> int:
        return sum(int(n) for n in re.findall(r"(\d+) bytes spill", self.text))

    @property
    def registers(self) -> int:
        return int(re.search(r"Used (\d+) registers", self.text)[1])


@cache
def library() -> ctypes.CDLL | None:
    """libnvrtc, None where there is none."""
    found = []
    try:
        import nvidia

        for folder in map(Path, nvidia.__path__):
            found += sorted(path for path in folder.glob("*/lib/libnvrtc*.so*") if ".alt." not in path.name)
    except ImportError:
        pass
    try:
        for path in found:  # `builtins` comes first, and is looked for by name
            loaded = ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
        return loaded if found else ctypes.CDLL(ctypes.util.find_library("nvrtc") or "libnvrtc.so")
    except OSError:
        return None


def compiled(instance: kernels.Instance, capability: int) -> Report:
    """As CuPy calls it: no include path, no headers."""
    nvrtc, program, size = library(), ctypes.c_void_p(), ctypes.c_size_t()
    added = ("-ftz=true", f"-arch=sm_{capability}", "--device-as-default-execution-space", "--ptxas-options=-v")
    options = [option.encode() for option in (*instance.compiler_options(), *added)]
    source = kernels.source(instance.file).encode()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, instance.file.encode(), 0, None, None) == 0
    try:
        code = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, text)
        return Report(code, text.value.decode())
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
