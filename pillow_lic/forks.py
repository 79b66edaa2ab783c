"""What a process must know of its forks from the package's import on: whether it was forked, and what not to wait for.

Imports _thread, os and sys.
"""

from __future__ import annotations

import _thread
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

_held: list[threading.Lock | threading.RLock] = []
_taken: dict[int, list[threading.Lock | threading.RLock]] = {}  # by threads that are about to fork
_PATIENCE = 0.02  # seconds


def held(lock: L) -> L:
    """The lock, which from now on no fork copies while another thread has it: forks wait for it."""
    _held.append(lock)
    if hasattr(os, "register_at_fork"):  # for each anew: of what is called before a fork, the last comes first
        os.register_at_fork(before=_take_all, after_in_parent=_give_back, after_in_child=_give_back)
    return lock


def in_child(call: Callable[[], object]) -> None:
    """call() in every child that this process forks from now on."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=call)


def _take_all() -> None:
    """All locks, in any order: who has one may be waiting for another, so what was taken is given back meanwhile. It
    comes before `logging` and others take theirs, which whoever has one of ours may be waiting for.
    """
    if _thread.get_ident() in _taken:
        return
    while not _take(_taken.setdefault(_thread.get_ident(), [])):
        _give_back()


def _take(taken: list[threading.Lock | threading.RLock]) -> bool:
    for lock in list(_held):
        if not lock.acquire(timeout=_PATIENCE):
            return False
        taken.append(lock)
    return True


def _give_back() -> None:
    for lock in _taken.pop(_thread.get_ident(), []):
        lock.release()


def _in_child() -> None:
    """The parent's threads are not there; OpenMP's, which torch uses, would be waited for in vain."""
    global with_torch, forked
    with_torch = "torch" in sys.modules
    forked = True


in_child(_in_child)
stacks = held(_thread.RLock())  # of the size that new threads have
