"""Threads: one pool for all work of this process, how many there are, how much stack they have.

Imports forks and the standard library; the pool comes with the first work for several threads.
"""

from __future__ import annotations

import _thread
import os

from . import forks
from .forks import in_child, stacks

TYPE_CHECKING = False  # known to type checkers; spares the import of typing
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future, ThreadPoolExecutor
    from typing import Any, TypeVar

    L = TypeVar("L", bound=threading.Lock | threading.RLock)
    T = TypeVar("T")
    R = TypeVar("R")

VARIABLE = "PILLOW_LIC_THREADS"

_set: int | None = None
_pool: ThreadPoolExecutor | None = None  # a forked child has one of its own


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
    return asked() or (1 if forks.forked else _cores())


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
    helpers: list[Future[None]] = []
    try:
        for _ in range(min(count(), len(items)) - 1):
            helpers.append(submit(_help, work, items, results, numbers))
    except RuntimeError:  # no more threads to be had, or the interpreter is at its end: those that are there do it all
        pass
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


def _in_child() -> None:
    """The parent's threads are not there."""
    global _pool
    _pool = None


in_child(_in_child)


# ---- Stacks ---------------------------------------------------------------------------------------------------------

_LARGE = "pillow_lic large stack"  # threads of this name have it
STACK = 1 << 20  # bytes of stack that imports and the core are sure to do with


def with_stack(start: Callable[[], R]) -> R:
    """start(), which starts threads: they have a stack that is large enough, whatever threading.stack_size says."""
    with stacks:
        before = _stack_size()
        if not 0 < before < STACK:  # 0: the system's, which is large
            return start()
        _thread.stack_size(STACK)
        try:
            return start()
        finally:
            _thread.stack_size(before)


def _stack_size() -> int:
    """What threading.stack_size was set to; asking sets it to 0."""
    with stacks:
        size = _thread.stack_size()
        if size:
            _thread.stack_size(size)
    return size


def cramped() -> bool:
    """Whether this thread may have less stack than STACK."""
    import threading

    return 0 < _stack_size() < STACK and not (
        isinstance(threading.current_thread(), threading._MainThread)  # type: ignore[attr-defined]
        or threading.current_thread().name == _LARGE
    )


def with_large_stack(call: Callable[..., R], *arguments: Any, **options: Any) -> R:
    """call(...) in a thread that has STACK."""
    import threading

    results: list[Any] = []
    problems: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call(*arguments, **options))
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=work, name=_LARGE)
    with_stack(thread.start)
    thread.join()
    if problems:
        raise problems.pop()
    result: R = results.pop()
    return result
