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


class DeepColour:
    """Pixels (H, W, 2 to 4) of more than 8 bits, as far as imageio uses an image of Pillow's to write it."""

    def __init__(self, array: Any):
        self.array = array

    @staticmethod
    def suits(array: Any, options: dict[str, Any]) -> bool:
        """Whether an array is one picture of this kind."""
        dtype: Any = getattr(array, "dtype", None)
        shape: Any = getattr(array, "shape", ())
        deep = getattr(dtype, "name", None) in ("uint16", "float32")
        colour = len(shape) == 3 and shape[2] in (2, 3, 4)
        return deep and colour and options.get("mode") is None and not options.get("is_batch")

    def save(self, fp: Any, **options: Any) -> None:
        """As of an image of Pillow's."""
        from types import SimpleNamespace

        from ..codec.encode import encoded
        from ..codec.options import EncodeOptions
        from . import metadata
        from .notes import warn
        from .saving import only_one

        only_one(1 + len(options.get("append_images", ())))
        names = EncodeOptions.__dataclass_fields__
        settings = EncodeOptions(**{name: options[name] for name in names if name in options}).checked()
        data, notes = encoded(self.array, settings, metadata.given(SimpleNamespace(info={}), options))
        warn(notes)
        fp.write(data)


class _Shown:
    """Pixels, as far as imageio looks at an image of Pillow's that it has read."""

    def __init__(self, pixels: Any, image: Any):
        self.pixels, self.mode, self.format = pixels, image.mode, image.format

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.pixels


def _deep_colour(image: Any) -> bytes | None:
    """The file of an image of more than 8 bits that Pillow shows in 8."""
    from .pillow import LicImageFile

    if not isinstance(image, LicImageFile) or "depth" not in image.info or image.mode not in ("LA", "RGB", "RGBA"):
        return None
    return image.encoded()


def _plugin() -> Any:
    import os
    from dataclasses import replace

    import numpy as np
    from imageio.core.request import URI_BYTES, URI_FILENAME
    from imageio.plugins.pillow import PillowPlugin

    from ..codec.decode import decode
    from .saving import only_one

    class LicPlugin(PillowPlugin):
        """imageio's Pillow plugin. It opens its file for writing before it has pictures in the format, and lets go of
        nothing where that fails: here several pictures are refused before, and a file that failed is taken away.
        """

        def _apply_transforms(self, image: Any, mode: str | None, *others: Any) -> Any:
            """All pixels come from here: with the depth that the file has, unless they are to be of another mode."""
            data = _deep_colour(image) if mode is None else None
            shown = image if data is None else _Shown(decode(data), image)
            return super()._apply_transforms(shown, mode, *others)

        def properties(self, *arguments: Any, **options: Any) -> Any:
            found = super().properties(*arguments, **options)
            image: Any = self._image
            return found if _deep_colour(image) is None else replace(found, dtype=np.dtype(image.dtype))

        def write(self, ndimage: Any, *arguments: Any, **options: Any) -> Any:
            """Colour of more than 8 bits as well, of which Pillow has no images."""
            try:
                if arguments or not DeepColour.suits(ndimage, options):
                    return super().write(ndimage, *arguments, **options)
                self.images_to_write.append(DeepColour(np.asarray(ndimage)))
                self.save_args.update({name: options[name] for name in options if name not in ("format", "is_batch")})
                if self.request._uri_type != URI_BYTES:
                    return None
                self._flush_writer()  # type: ignore[no-untyped-call]
                file: Any = self.request.get_file()
                return file.getvalue()
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
