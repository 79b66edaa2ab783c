"""Fresh interpreters for tests of what happens at start and at import."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

TESTS = Path(__file__).parents[1]
AUTOLOAD = TESTS.parent / "autoload"

# Puts tests/support/fake_engine.py in the place of the PyTorch engine, without importing anything of ours beforehand.
FAKE = f"""
import sys, importlib.util
class _Fake:
    def find_spec(self, name, path=None, target=None):
        if name == "pillow_lic.engines.torch.engine":
            return importlib.util.spec_from_file_location(name, {str(TESTS / "support" / "fake_engine.py")!r})
sys.meta_path.insert(0, _Fake())
"""


def run(code: str, tmp_path: Path, *flags: str, fake: bool = True, **environment: str) -> str:
    """Output of `code` in a fresh interpreter that starts in an empty folder."""
    script = (FAKE if fake else "") + textwrap.dedent(code)
    environment = {"PILLOW_LIC_ENGINE": "torch"} | environment if fake else environment
    result = subprocess.run(
        [sys.executable, *flags, "-c", script],
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


OFF = {"PILLOW_LIC_AUTOLOAD": "0"}

# The hook as it lies in the source tree, whether or not it is installed.
HOOK = f"""
import os, sys
os.environ.pop("PILLOW_LIC_AUTOLOAD", None)
sys.modules.pop("_pillow_lic_autoload", None)
sys.path.insert(0, {str(AUTOLOAD)!r})
import _pillow_lic_autoload
_pillow_lic_autoload.install()
"""
