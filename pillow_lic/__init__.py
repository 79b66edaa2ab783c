"""pillow-lic: a learned image codec that behaves like any other Pillow format.

Importing it registers `.lic` with Pillow, imageio and mimetypes, each as soon as it is imported itself; it imports
neither numpy nor torch. Names are looked up when they are first used; their descriptions stand where they are defined.
"""

from __future__ import annotations

from . import forks as _forks  # noqa: F401  takes note from here on
from . import plugins as _plugins

TYPE_CHECKING = False  # known to type checkers; spares the import of typing
if TYPE_CHECKING:
    from typing import Any

    from .codec.bands import decode_bands as decode_bands
    from .codec.bands import encode_bands as encode_bands
    from .codec.decode import decode
    from .codec.encode import encode
    from .codec.latents import latents as latents
    from .codec.pipeline import decode_batch, encode_batch
    from .codec.pipeline import decode_many as decode_many
    from .codec.pipeline import encode_many as encode_many
    from .codec.preload import preload as preload
    from .engines.choice import set_device
    from .errors import LicError
    from .jpeg.compact import compact as compact
    from .jpeg.enhance import enhance as enhance
    from .limits import set_limits as set_limits
    from .models.registry import register as register_model
    from .placeholders import placeholder as placeholder
    from .placeholders import placeholder_image as placeholder_image
    from .plugins import register_lic_opener
    from .style import set_style as set_style
    from .threads import set_threads

__all__ = [
    "LicError",
    "decode",
    "decode_batch",
    "encode",
    "encode_batch",
    "register_lic_opener",
    "register_model",
    "set_device",
    "set_threads",
]

# name -> module and name there
_HOMES = {
    "LicError": ("errors", "LicError"),
    "compact": ("jpeg.compact", "compact"),
    "decode": ("codec.decode", "decode"),
    "decode_bands": ("codec.bands", "decode_bands"),
    "decode_batch": ("codec.pipeline", "decode_batch"),
    "decode_many": ("codec.pipeline", "decode_many"),
    "encode": ("codec.encode", "encode"),
    "encode_bands": ("codec.bands", "encode_bands"),
    "encode_batch": ("codec.pipeline", "encode_batch"),
    "encode_many": ("codec.pipeline", "encode_many"),
    "enhance": ("jpeg.enhance", "enhance"),
    "latents": ("codec.latents", "latents"),
    "placeholder": ("placeholders", "placeholder"),
    "placeholder_image": ("placeholders", "placeholder_image"),
    "preload": ("codec.preload", "preload"),
    "register_lic_opener": ("plugins", "register_lic_opener"),
    "register_model": ("models.registry", "register"),
    "set_device": ("engines.choice", "set_device"),
    "set_limits": ("limits", "set_limits"),
    "set_style": ("style", "set_style"),
    "set_threads": ("threads", "set_threads"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":  # importlib.metadata is slow to import
        from importlib.metadata import version

        return version("pillow-lic")
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    import sys

    from .imports import imported

    module, there = _HOMES[name]
    home = f"{__name__}.{module}"
    imported(home)
    globals()[name] = found = getattr(sys.modules[home], there)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


_plugins.register_everywhere()
