"""What the wheel of the package holds, and what the one beside it."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]


def left_out() -> set[str]:
    """What the wheel leaves out, by the patterns of pyproject.toml."""
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = stated["tool"]["scikit-build"]["wheel"]["exclude"]
    files = [
        path.relative_to(ROOT).as_posix() for path in (ROOT / "pillow_lic" / "models").rglob("*") if path.is_file()
    ]
    return {file for file in files if any(fnmatch(file, pattern) for pattern in patterns)}
