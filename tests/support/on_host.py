"""The integer kernels of kernels/ as plain functions: the same source, compiled by the host's compiler, for a grid of
one thread.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
COMPILER = shutil.which("g++") or shutil.which("clang++")
HOST = """
#define __global__
#define __device__
struct One { unsigned x; };
static const One blockIdx{0}, threadIdx{0}, blockDim{1}, gridDim{1};
"""


def built(name: str, folder: Path) -> ctypes.CDLL:
    """kernels/<name>.cu; a grid of one thread covers everything."""
    source = folder / f"{name}.cpp"
    source.write_text(f'{HOST}#include "{ROOT}/kernels/{name}.cu"\n')
    library = folder / f"{name}.so"
    flags = ["-std=c++17", "-O2", "-shared", "-fPIC", f"-I{ROOT}/csrc"]
    subprocess.run([COMPILER, *flags, str(source), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def intervals(mixture, planes: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """start and freq, int64 (n,), of symbols x (n,) int16 under mixtures, by the core's definition; of the escape where
    x is not held.
    """
    _, _, below, radius = mixture.cumulative(planes, x)
    above = mixture.cumulative(planes, np.minimum(x, 32766) + np.int16(1))[2]
    escape = mixture.cumulative(planes, radius + np.int16(1))[2]
    held = np.abs(x.astype(np.int32)) <= radius
    start = np.where(held, below, escape).astype(np.int64)
    return start, np.where(held, above.astype(np.int64), 65536) - start


def call(function, *arguments) -> None:
    """Arrays as pointers, integers as int, or as long long where they are of that class."""
    plain = [a.ctypes.data_as(ctypes.c_void_p) if isinstance(a, np.ndarray) else a for a in arguments]
    function(*(ctypes.c_int(a) if type(a) is int else a for a in plain))
