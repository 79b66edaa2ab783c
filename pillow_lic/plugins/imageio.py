"""Tells imageio that Pillow handles `.lic`, so that bytes and file objects with `extension=".lic"` work in v2 and v3. A
plugin of its own sees to it that what fails leaves no file behind.

Imports nothing at first: imageio's tables are handed in. Paths work without this, imageio asks Pillow about those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..signature import EXTENSION

if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

NAME = "pillow-lic"  # of the plugin


def register(extensions: ModuleType) -> None:
    """Add `.lic` to the tables of imageio.config.extensions, once."""
    if EXTENSION in extensions.known_extensions:
        return
    entry = extensions.FileExtension(name="Learned image codec", extension=EXTENSION, priority=[NAME, "pillow"])
    extensions.known_extensions[EXTENSION] = [entry]
    extensions.extension_list.append(entry)


def register_plugin(plugins: ModuleType) -> None:
    """Add the plugin to imageio.config.plugins."""
    plugins.known_plugins[NAME] = plugins.PluginConfig(name=NAME, class_name="LicPlugin", module_name=__name__)


def __getattr__(name: str) -> Any:
    """LicPlugin: made when imageio asks for it, as its base imports imageio and Pillow."""
    if name != "LicPlugin":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    globals()[name] = made = _plugin()
    return made


def _plugin() -> Any:
    import os

    from imageio.core.request import URI_BYTES, URI_FILENAME
    from imageio.plugins.pillow import PillowPlugin

    from .pillow import only_one

    class LicPlugin(PillowPlugin):
        """imageio's Pillow plugin. It opens its file for writing before it has pictures in the format, and lets go of
        nothing where that fails: here several pictures are refused before, and a file that failed is taken away.
        """

        def write(self, *arguments: Any, **options: Any) -> Any:
            try:
                return super().write(*arguments, **options)
            except BaseException:
                if self.request._uri_type == URI_BYTES:  # of which each call is a file
                    self.images_to_write.clear()
                raise

        def close(self) -> None:
            path = str(self.request.raw_uri) if self.request._uri_type == URI_FILENAME else None
            fresh = path is not None and bool(self.images_to_write) and not os.path.lexists(path)
            try:
                only_one(len(self.images_to_write))
                super().close()
            except BaseException:
                self.images_to_write.clear()  # else the destructor tries once more
                self.request.finish()
                if path is not None and fresh and os.path.lexists(path):
                    os.remove(path)
                raise

    return LicPlugin
