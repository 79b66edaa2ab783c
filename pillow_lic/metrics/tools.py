"""Measures that others compute: the package `ssimulacra2`, libjxl's `butteraugli_main`. Neither is needed before it is
called. Imports NumPy.
"""

from __future__ import annotations

import io
import math
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import LicMeasureMissing
from .pictures import coloured

if TYPE_CHECKING:
    import numpy as np

SIDE_MIN = 8


def has_ssimulacra2() -> bool:
    """Whether the package can be imported."""
    try:
        import ssimulacra2  # noqa: F401
    except ImportError:
        return False
    return True


def run_ssimulacra2(a: np.ndarray, b: np.ndarray) -> float:
    """Of uint8 (H, W, 1 or 3), the original first. NaN below a side of SIDE_MIN."""
    if min(a.shape[:2]) < SIDE_MIN:
        return math.nan
    from ssimulacra2 import compute_ssimulacra2

    return float(compute_ssimulacra2(*(io.BytesIO(_ppm(x)) for x in (a, b))))


def _ppm(x: np.ndarray) -> bytes:
    """uint8 (H, W, 1 or 3) as a PPM file."""
    return b"P6\n%d %d\n255\n" % (x.shape[1], x.shape[0]) + coloured(x).tobytes()


def butteraugli_tool() -> str | None:
    """libjxl's tool; some installations drop the end of its name, which another, older program has, too."""
    return shutil.which("butteraugli_main") or shutil.which("butteraugli")


def run_butteraugli(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """3-norm and maximum, of uint8 (H, W, 1 or 3), the original first. NaN below a side of SIDE_MIN."""
    if min(a.shape[:2]) < SIDE_MIN:
        return math.nan, math.nan
    tool = str(butteraugli_tool())
    with tempfile.TemporaryDirectory(prefix="lic-butteraugli-") as folder:
        paths = [Path(folder, name) for name in ("original.ppm", "distorted.ppm")]
        for path, x in zip(paths, (a, b)):
            path.write_bytes(_ppm(x))
        done = subprocess.run([tool, *map(str, paths)], capture_output=True, text=True, check=False)
    norm = re.search(r"3-norm: *(\S+)", done.stdout)
    if done.returncode or not norm:
        said = (done.stderr or done.stdout).strip()[-200:] or "nothing"
        msg = f"{tool} failed with exit code {done.returncode}; is it libjxl's butteraugli_main? It said: {said}"
        raise LicMeasureMissing(msg)
    return float(norm[1]), float(done.stdout.split()[0])
