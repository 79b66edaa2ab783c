"""Fixtures of the core's tests."""

from __future__ import annotations

import pytest

from pillow_lic import _core_test

PATHS = ("scalar", "sse4.1", "avx2", "avx512")


@pytest.fixture(params=PATHS)
def simd(request):
    """Runs the test once on each code path of this CPU."""
    try:
        _core_test.set_simd(request.param)
    except ValueError:
        pytest.skip(f"no {request.param} here")
    yield request.param
    _core_test.set_simd("auto")
