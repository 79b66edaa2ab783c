"""Threads: one pool for all work of this process, how many there are, and what a forked child must not wait for.

Imports os and sys at first, as note of forks must be taken from the start; the pool comes with the first work for
several threads.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # known to type checkers; spares the import of typing
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future, ThreadPoolExecutor
    from types import ModuleType
    from typing import Any, TypeVar

    L = TypeVar("L", bound=threading.Lock | threading.RLock)
    T = TypeVar("T")
    R = TypeVar("R")

VARIABLE = "PILLOW_LIC_THREADS"

with_torch = False  # whether this process was forked from one that had imported torch
_forked = False  # whether it was forked after this module was imported
_set: int | None = None
_pool: ThreadPoolExecutor | None = None

kept: dict[str, dict[str, ModuleType]] = {}  # of imports.py: here from the start, so that no purge of modules takes it


# ---- How many -----------------------------------------------------------------------------------------------------


def set_threads(count: int | None) -> None:
    """How many threads this process uses from now on, for entropy coding and for networks.

    None: what the environment variable PILLOW_LIC_THREADS says, else as many as the process may run on at once; one in
    a forked child, as its siblings use the other cores. Raises LicBadOption unless it is a whole number of at least 1.
    """
    global _set
    _set = None if count is None else _checked(count, "threads")
    _forget_pool()


def asked() -> int | None:
    """The number that the program or the environment asks for, None where neither does. Raises LicBadOption."""
    if _set is not None:
        return _set
    text = os.environ.get(VARIABLE)
    return _checked(text, VARIABLE) if text else None


def count() -> int:
    """How many threads may work at once, the caller's among them."""
    return asked() or (1 if _forked else _cores())


def _cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def _checked(value: Any, name: str) -> int:
    text = str(value)
    if isinstance(value, (bool, float)) or not (text.isascii() and text.isdigit() and 1 <= int(text) <= 4096):
        from .errors import LicBadOption

        msg = f"{name} must be a whole number of at least 1, found {value!r}"
        raise LicBadOption(msg)
    return int(text)


# ---- The pool -----------------------------------------------------------------------------------------------------


def pool() -> ThreadPoolExecutor:
    """The pool. Work in it never waits for other work of the pool that has not begun, so it cannot wait for itself."""
    global _pool
    if _pool is None:
        from concurrent.futures import ThreadPoolExecutor

        _pool = ThreadPoolExecutor(count(), thread_name_prefix="pillow_lic")
    return _pool


def submit(work: Callable[..., R], *arguments: Any) -> Future[R]:
    """work(...) in the pool."""
    try:
        return with_stack(lambda: pool().submit(work, *arguments))
    except RuntimeError:  # another thread has just replaced the pool (set_threads)
        _forget_pool()
        return with_stack(lambda: pool().submit(work, *arguments))


def spread(work: Callable[..., R], *rows: Sequence[Any]) -> list[R]:
    """[work(...) for each of zip(*rows)], by the caller and by as many threads of the pool as are free. The first error
    is raised.
    """
    items = list(zip(*rows, strict=True))
    results: list[Any] = [None] * len(items)
    numbers = iter(range(len(items)))  # shared: whoever is free takes the next
    helpers = [submit(_help, work, items, results, numbers) for _ in range(min(count(), len(items)) - 1)]
    try:
        for number in numbers:
            results[number] = work(*items[number])
    finally:
        for _ in numbers:  # after an error nobody begins with more
            pass
        begun = [helper for helper in helpers if not helper.cancel()]
        problems = [helper.exception() for helper in begun]  # waits
    for problem in problems:
        if problem is not None:
            raise problem
    return results


def _help(work: Callable[..., Any], items: list[Any], results: list[Any], numbers: Iterator[int]) -> None:
    try:
        for number in numbers:
            results[number] = work(*items[number])
    except BaseException:
        for _ in numbers:  # nobody begins with more
            pass
        raise


def ahead(work: Callable[[T], R], items: Iterable[T], most: int) -> Iterator[R]:
    """work(item) of each in the pool, in order, at most `most` begun and not yet taken. Items are read as there is room
    for them.
    """
    from collections import deque

    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(submit(work, item))
            if len(waiting) >= most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _forget_pool() -> None:
    global _pool
    old, _pool = _pool, None
    if old is not None:
        old.shutdown(wait=False)


# ---- Stacks ---------------------------------------------------------------------------------------------------------

STACK = 1 << 20  # bytes of stack that imports and the core are sure to do with


def with_stack(start: Callable[[], R]) -> R:
    """start(), which starts threads: they have a stack that is large enough, whatever threading.stack_size says."""
    import threading

    before = threading.stack_size()
    if not 0 < before < STACK:  # 0: the system's, which is large
        return start()
    threading.stack_size(STACK)
    try:
        return start()
    finally:
        threading.stack_size(before)


# ---- Forks --------------------------------------------------------------------------------------------------------


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
    global with_torch, _forked, _pool
    with_torch = "torch" in sys.modules
    _forked = True
    _pool = None


in_child(_in_child)
