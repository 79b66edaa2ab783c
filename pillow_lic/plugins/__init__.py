"""Registration with Pillow, imageio and mimetypes, as soon as each is imported and whenever it is imported afresh. It
costs next to nothing and loads no codec: Pillow gets functions that import the plugin at the first `.lic` that is
opened or saved.

Imports sys, signature and watch only; the modules it registers with are handed to it.
"""

from __future__ import annotations

import sys

from ..signature import EXTENSION, FORMAT, MIME, SIGNATURE
from ..watch import when_imported

TYPE_CHECKING = False  # known to type checkers; spares the import of typing
if TYPE_CHECKING:
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
    made: dict[str, ModuleType] = {}  # what of the plugin stands on that module, from the first file on

    def plugin(part: str) -> Any:
        if part not in made:
            made[part] = _plugin_over(image, part)
        return made[part]

    def opened(fp: IO[bytes], filename: str | bytes | None = None) -> LicImageFile:
        found: LicImageFile = plugin("pillow").LicImageFile(fp, filename)
        return found

    image.register_open(FORMAT, opened, _accept)
    image.register_save(FORMAT, lambda im, fp, filename: plugin("saving").save(im, fp, filename))
    image.register_save_all(FORMAT, lambda im, fp, filename: plugin("saving").save_all(im, fp, filename))
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


def _plugin_over(image: ModuleType, part: str) -> ModuleType:
    """A module of this room whose classes are those of this PIL.Image: where Pillow was imported afresh, afresh."""
    from importlib import import_module

    if vars(import_module(f"{__name__}.metadata"))["Image"] is not image:
        for name in [name for name in sys.modules if name.startswith(f"{__name__}.")]:
            del sys.modules[name]
            globals().pop(name.rpartition(".")[2], None)  # where `from . import` looks first
    return import_module(f"{__name__}.{part}")
