"""Imports that no signal cuts short: of what the first file of a process needs.

Imports the standard library and threads.
"""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from typing import TYPE_CHECKING

from .forks import kept
from .threads import cramped, with_stack

if TYPE_CHECKING:
    from collections.abc import Sequence

ONCE = ("numpy", "torch")  # packages that a process can import once; `kept` has the modules of each


def imported(*names: str) -> None:
    """Import modules where no signal's exception can land: in a thread, which goes on when the caller's wait is cut
    short.

    A soft time limit, Ctrl-C or a notebook's stop button raises in the main thread, anywhere. An import of NumPy or
    PyTorch that is cut short leaves them unusable in the process.
    """
    wanted = [name for name in names if not _is_there(name)]
    if not wanted:
        return
    problems: list[BaseException] = []
    thread = threading.Thread(target=_import, args=(wanted, problems), name="pillow_lic import")
    try:
        if threading.current_thread() is not threading.main_thread() and not cramped():
            _import(wanted, problems)
        else:
            with_stack(thread.start)
            thread.join()
    except RuntimeError:  # no thread can be started: the interpreter is at its end
        _import(wanted, problems)
    if problems:
        raise problems[0]


def _is_there(name: str) -> bool:
    module = sys.modules.get(name)
    return module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False)


def _import(names: Sequence[str], problems: list[BaseException]) -> None:
    try:
        for top in kept:
            if top not in sys.modules:  # somebody has put sys.modules back to what it was
                sys.modules.update(kept[top])
        for name in names:
            import_module(name)
        for top in ONCE:
            if top in sys.modules:
                kept[top] = {key: module for key, module in list(sys.modules.items()) if key.partition(".")[0] == top}
    except BaseException as error:
        problems.append(error)
