"""Calls a function on a module as soon as that module has been imported: now, or whenever it is.

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


class _Loader:
    """The loader of a watched module: loads as the real one does, then reports. It leaves no trace on the module."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        if name == "_loader":  # of an instance that __init__ has not seen
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
        FINDER.loaded(module)


class _Finder:
    """A meta-path finder that knows the watched names only, and leaves finding them to the others."""

    def __init__(self) -> None:
        self.waiting: dict[str, Callable[[ModuleType], None]] = {}  # module name -> function
        # (thread, name): this finder is asking the others, who may ask it again
        self._busy: set[tuple[int, str]] = set()

    def watch(self, name: str, call: Callable[[ModuleType], None]) -> None:
        self.waiting[name] = call
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        # Runs under Python's global import lock: importing anything here could deadlock with another thread.
        key = (get_ident(), name)
        if name not in self.waiting or key in self._busy:
            return None
        self._busy.add(key)
        try:
            spec = self._ask_others(name, path, target)
        finally:
            self._busy.discard(key)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
        return spec

    def _ask_others(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            spec = finder.find_spec(name, path, target) if finder is not self and hasattr(finder, "find_spec") else None
            if spec is not None:
                return spec
        return None

    def loaded(self, module: ModuleType) -> None:
        call = self.waiting.pop(module.__name__, None)
        if not self.waiting and self in sys.meta_path:
            sys.meta_path.remove(self)
        if call is not None:
            try:  # noqa: SIM105  contextlib may be what is being imported
                call(module)
            except Exception:  # somebody else's import must not fail because of us
                pass


FINDER = _Finder()


def when_imported(name: str, call: Callable[[ModuleType], None]) -> None:
    """call(module) now if `name` is imported, else right after its import. Errors of a later call are swallowed."""
    module = sys.modules.get(name)
    if module is None:
        FINDER.watch(name, call)
        return
    if getattr(getattr(module, "__spec__", None), "_initializing", False):
        __import__(name)  # another thread is at it: wait until it is done
    call(sys.modules[name])
