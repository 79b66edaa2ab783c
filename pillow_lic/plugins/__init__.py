"""Registration with Pillow, imageio and mimetypes. It costs next to nothing and loads no codec: Pillow gets functions
that import the plugin at the first `.lic` that is opened or saved.

Imports signature and watch only; the modules it registers with are handed to it.
"""

from __future__ import annotations

from ..signature import EXTENSION, FORMAT, MIME, SIGNATURE
from .watch import when_imported

TYPE_CHECKING = False  # known to type checkers; spares the import of typing
if TYPE_CHECKING:
    from types import ModuleType
    from typing import IO

    from PIL import Image

    from .pillow import LicImageFile


def register_everywhere() -> None:
    """Register with each of the three as soon as it is imported, now or later."""
    when_imported("PIL.Image", register_with_pillow)
    when_imported("imageio.config.extensions", register_with_imageio)
    when_imported("mimetypes", register_with_mimetypes)


def register_lic_opener() -> None:
    """Register the format with Pillow now. `import pillow_lic` does it already; this is for those who like it said."""
    from PIL import Image

    register_with_pillow(Image)


def register_with_pillow(image: ModuleType) -> None:
    """image: the module PIL.Image."""
    image.register_open(FORMAT, _open, _accept)
    image.register_save(FORMAT, _save)
    image.register_save_all(FORMAT, _save_all)
    image.register_extension(FORMAT, EXTENSION)
    image.register_mime(FORMAT, MIME)


def register_with_imageio(extensions: ModuleType) -> None:
    """extensions: the module imageio.config.extensions."""
    from .imageio import register

    register(extensions)


def register_with_mimetypes(mimetypes: ModuleType) -> None:
    """mimetypes: that module. Before its first use it has no database, and adding to one would read the system's."""
    if mimetypes.inited:
        mimetypes.add_type(MIME, EXTENSION)
    else:
        mimetypes.types_map[EXTENSION] = MIME


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(SIGNATURE)


def _open(fp: IO[bytes], filename: str | bytes | None = None) -> LicImageFile:
    from .pillow import LicImageFile

    return LicImageFile(fp, filename)


def _save(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    from .pillow import save

    save(im, fp, filename)


def _save_all(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    from .pillow import save_all

    save_all(im, fp, filename)
