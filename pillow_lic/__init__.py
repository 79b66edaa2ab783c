"""pillow-lic: a learned image codec that behaves like any other Pillow format.

Importing it registers `.lic` with Pillow, imageio and mimetypes, each as soon as it is imported itself; it imports
neither numpy nor torch.
"""

from __future__ import annotations

from . import plugins as _plugins
from .errors import LicError

TYPE_CHECKING = False  # known to type checkers; spares the import of typing
if TYPE_CHECKING:
    import os

    import numpy as np

__all__ = ["LicError", "__version__", "decode", "encode", "register_lic_opener", "register_model"]


def encode(
    array: np.ndarray,
    *,
    quality: float = 75,
    model: str = "photo",
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
) -> bytes:
    """Encode uint8 pixels to the bytes of a `.lic` file.

    array: (H, W) or (H, W, 1) grey, (H, W, 2) grey and alpha, (H, W, 3) RGB, (H, W, 4) RGBA. Alpha is kept exactly.
    quality: 1 to 100, may be fractional. model: a name that `lic models` lists. exif: a TIFF structure.
    Raises LicBadOption (also a ValueError), LicUnknownModel, LicModelMissing, LicLimitExceeded; all are LicErrors.
    """
    from . import codec

    return codec.encode(array, quality=quality, model=model, icc=icc, exif=exif, xmp=xmp)


def decode(data: bytes, *, max_pixels: float | None = None) -> np.ndarray:
    """Decode the bytes of a `.lic` file to uint8 pixels: (H, W), (H, W, 2), (H, W, 3) or (H, W, 4).

    max_pixels: refuse an image of more, width times height, before memory is taken for it. None: the format's own
    limit, 2^30; untrusted files deserve a lower one. Raises a LicError that says what is wrong with the file and where.
    """
    from . import codec

    return codec.decode(data, max_pixels=max_pixels)


def register_lic_opener() -> None:
    """Register the format with Pillow now. `import pillow_lic` does it already; this is for those who like it said."""
    from PIL import Image

    _plugins.register_with_pillow(Image)


def register_model(path: str | os.PathLike[str]) -> str:
    """Make the model in a directory known to this process; returns its name, for `model=`.

    Raises LicModelMissing if the directory holds no intact model, LicBadOption if its name is taken.
    """
    from .models import registry

    return registry.register(path)


def __getattr__(name: str) -> str:
    if name == "__version__":  # looked up when asked for: importlib.metadata is slow to import
        from importlib.metadata import version

        return version("pillow-lic")
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


_plugins.register_everywhere()
