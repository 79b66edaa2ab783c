"""Tells imageio that Pillow handles `.lic`, so that bytes and file objects with `extension=".lic"` work in v2 and v3.

Imports nothing: imageio's extension table is handed in. Paths work without this, imageio asks Pillow about those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..signature import EXTENSION

if TYPE_CHECKING:
    from types import ModuleType


def register(extensions: ModuleType) -> None:
    """Add `.lic` to the tables of imageio.config.extensions, once."""
    if EXTENSION in extensions.known_extensions:
        return
    entry = extensions.FileExtension(name="Learned image codec", extension=EXTENSION, priority=["pillow"])
    extensions.known_extensions[EXTENSION] = [entry]
    extensions.extension_list.append(entry)
