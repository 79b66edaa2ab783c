"""What there is to warn of, at the line of the user's program that it is about.

Imports the standard library alone.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def warn(notes: Iterable[str], kind: type[Warning] = UserWarning) -> None:
    """Warn of each, at the place in the user's program from which Pillow was called."""
    for note in notes:
        depth, frame = 1, sys._getframe()
        while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in ("PIL", "pillow_lic"):
            depth, frame = depth + 1, frame.f_back
        warnings.warn(note, kind, stacklevel=depth)
