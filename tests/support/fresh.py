"""A program in a fresh interpreter, without what conftest.py allows tests."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

from pillow_lic.limits import VARIABLE


def fresh(code: str, **environment: str) -> str:
    """What it prints. It must end well."""
    surroundings = {key: value for key, value in os.environ.items() if key != VARIABLE} | environment
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=surroundings, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr[-2000:])
    return done.stdout
