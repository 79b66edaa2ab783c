"""What a forked child must not wait for: OpenMP threads that only its parent has, locks that nobody there will release.

Imports os and sys only: the note must be taken at the fork, which may come long before the codec is imported in the child.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # known to type checkers; spares the import of typing
if TYPE_CHECKING:
    import threading

with_torch = False  # whether this process was forked from one that had imported torch


def _note() -> None:
    global with_torch
    with_torch = "torch" in sys.modules


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note)


def held(lock: threading.Lock) -> threading.Lock:
    """The lock, which from now on no fork copies while another thread has it: forks wait for it."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
