"""Tells when a module has been imported, through the loader that imports it.

Imports nothing. autoload/ has a small one of its own: that one must run without this package, and this package without
that one.
"""

from __future__ import annotations

TYPE_CHECKING = False  # known to type checkers; spares the import of typing
if TYPE_CHECKING:
    from collections.abc import Callable
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
