"""What a process must know of its forks from the package's import on: whether it was forked, and what not to wait for.

Imports os and sys.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # known to type checkers; spares the import of typing
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from types import ModuleType
    from typing import TypeVar

    L = TypeVar("L", bound=threading.Lock | threading.RLock)

with_torch = False  # whether this process was forked from one that had imported torch
forked = False  # whether it was forked after this module was imported

kept: dict[str, dict[str, ModuleType]] = {}  # of imports.py: here from the start, so that no purge of modules takes it


def held(lock: L) -> L:
    """The lock, which from now on no fork copies while another thread has it: forks wait for it."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock


def in_child(call: Callable[[], object]) -> None:
    """call() in every child that this process forks from now on."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=call)


def _in_child() -> None:
    """The parent's threads are not there; OpenMP's, which torch uses, would be waited for in vain."""
    global with_torch, forked
    with_torch = "torch" in sys.modules
    forked = True


in_child(_in_child)
