"""What the core finds of a CPU, against what the system says of it."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import pytest

from pillow_lic import _core_test

NEEDED = {
    "sse4.1": {"sse4_1"},
    "avx2": {"avx2"},
    "avx512": {"avx512f", "avx512bw", "avx512vl", "avx512dq"},
    "avx512-vnni": {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"},
}


@pytest.mark.quick
@pytest.mark.skipif(platform.machine() != "x86_64" or not Path("/proc/cpuinfo").exists(), reason="x86-64 Linux alone")
def test_kernel_sets_are_those_of_the_cpu() -> None:
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    assert flags is not None
    has = set(flags[1].split())
    assert set(_core_test.kernel_sets()) == {"plain"} | {name for name, needed in NEEDED.items() if needed <= has}
