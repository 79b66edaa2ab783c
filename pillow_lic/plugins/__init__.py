"""Registration with Pillow, imageio and mimetypes, as soon as each is imported and whenever it is imported afresh. It
costs next to nothing and loads no codec: Pillow gets functions that import the plugin at the first `.lic` that is
opened or saved.

Imports sys, _thread, signature and watch only; the modules it registers with are handed to it.
"""

from __future__ import annotations

import sys
from _thread import get_ident

from ..signature import EXTENSION, FORMAT, MIME, SIGNATURE
from .watch import Loader

TYPE_CHECKING = False  # known to type checkers; spares the import of typing
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import IO, Any

    from .pillow import LicImageFile


def register_everywhere() -> None:
    """Register with each of the three as soon as it is imported, now or later."""
    when_imported("PIL.Image", register_with_pillow)
    when_imported("imageio.config.extensions", register_with_imageio)
    when_imported("imageio.config.plugins", register_imageio_plugin)
    when_imported("mimetypes", register_with_mimetypes)


def register_lic_opener() -> None:
    """Register the format with Pillow now. `import pillow_lic` does it already; this is for those who like it said."""
    from PIL import Image

    register_with_pillow(Image)


def register_with_pillow(image: ModuleType) -> None:
    """image: the module PIL.Image."""
    made: list[ModuleType] = []  # the plugin over that module, from the first file on

    def plugin() -> Any:
        if not made:
            made.append(_plugin_over(image))
        return made[0]

    def opened(fp: IO[bytes], filename: str | bytes | None = None) -> LicImageFile:
        found: LicImageFile = plugin().LicImageFile(fp, filename)
        return found

    image.register_open(FORMAT, opened, _accept)
    image.register_save(FORMAT, lambda im, fp, filename: plugin().save(im, fp, filename))
    image.register_save_all(FORMAT, lambda im, fp, filename: plugin().save_all(im, fp, filename))
    image.register_extension(FORMAT, EXTENSION)
    image.register_mime(FORMAT, MIME)


def register_with_imageio(extensions: ModuleType) -> None:
    """extensions: the module imageio.config.extensions."""
    from .imageio import register

    register(extensions)


def register_imageio_plugin(plugins: ModuleType) -> None:
    """plugins: the module imageio.config.plugins."""
    from .imageio import register_plugin

    register_plugin(plugins)


def register_with_mimetypes(mimetypes: ModuleType) -> None:
    """mimetypes: that module. Before its first use it has no database, and adding to one would read the system's."""
    if mimetypes.inited:
        mimetypes.add_type(MIME, EXTENSION)
    else:
        mimetypes.types_map[EXTENSION] = MIME


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(SIGNATURE)


def _plugin_over(image: ModuleType) -> ModuleType:
    """The plugin whose classes are those of this PIL.Image: where Pillow was imported afresh, a plugin afresh."""
    from . import pillow

    if vars(pillow)["Image"] is not image:
        from importlib import import_module

        sys.modules.pop(pillow.__name__, None)
        return import_module(pillow.__name__)
    return pillow


# ---- Waiting for imports ------------------------------------------------------------------------------------------


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
