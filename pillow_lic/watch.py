"""Calls a function on a module as soon as it is imported, and whenever it is imported afresh.

Imports sys and _thread only. It exists so that registering with Pillow, imageio and mimetypes imports none of them.
autoload/ has a small one of its own: that one must run without this package, and this package without that one.
"""

from __future__ import annotations

import sys
from _thread import get_ident

TYPE_CHECKING = False  # known to type checkers; spares the import of typing
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


class Loader:
    """The loader of a watched module: loads as the real one does, then reports. It leaves no trace on the module."""

    def __init__(self, loader: Any, loaded: Callable[[ModuleType], None]) -> None:
        self._loader, self._loaded = loader, loaded

    def __getattr__(self, name: str) -> Any:
        if name in ("_loader", "_loaded"):  # of an instance that __init__ has not seen
            raise AttributeError(name)
        return getattr(self._loader, name)

    def __reduce__(self) -> tuple[Any, ...]:
        import copy  # rarely wanted, and not while a module is being found

        return copy.copy, (self._loader,)  # a copy, pickled or not, is of the real loader

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._loaded(module)


class Finder:
    """A meta-path finder that stays. It knows the watched names only, and leaves finding them to the others."""

    def __init__(self) -> None:
        self.watched: dict[str, Callable[[ModuleType], None]] = {}  # module name -> function
        # (thread, name): this finder is asking the others, who may ask it again
        self._busy: set[tuple[int, str]] = set()

    def watch(self, name: str, call: Callable[[ModuleType], None]) -> None:
        self.watched[name] = call
        if self not in sys.meta_path:
            sys.meta_path[:] = [self, *(finder for finder in sys.meta_path if not _is_older(finder))]

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        # Runs under Python's global import lock: importing anything here could deadlock with another thread.
        if name not in self.watched:  # nearly always
            return None
        key = (get_ident(), name)
        if key in self._busy:
            return None
        self._busy.add(key)
        try:
            spec = self._ask_others(name, path, target)
        finally:
            self._busy.discard(key)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = Loader(spec.loader, self.loaded)  # type: ignore[assignment]
        return spec

    def _ask_others(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            spec = finder.find_spec(name, path, target) if finder is not self and hasattr(finder, "find_spec") else None
            if spec is not None:
                return spec
        return None

    def loaded(self, module: ModuleType) -> None:
        call = self.watched.get(module.__name__)
        if call is not None:
            try:  # noqa: SIM105  contextlib may be what is being imported
                call(module)
            except Exception:  # somebody else's import must not fail because of us
                pass


def _is_older(finder: object) -> bool:
    """Whether it is the finder of a copy of this module that is no longer imported."""
    return (type(finder).__module__, type(finder).__qualname__) == (__name__, Finder.__qualname__)


FINDER = Finder()


def when_imported(name: str, call: Callable[[ModuleType], None]) -> None:
    """call(module) now if `name` is imported, and right after every later import of it, whose errors are swallowed."""
    FINDER.watch(name, call)
    module = sys.modules.get(name)
    if module is None:
        return
    if getattr(getattr(module, "__spec__", None), "_initializing", False):
        __import__(name)  # another thread is at it: wait until it is done
    call(sys.modules[name])
