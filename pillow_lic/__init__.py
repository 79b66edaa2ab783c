"""pillow-lic: a learned image codec that behaves like any other Pillow format.

Importing it registers `.lic` with Pillow, imageio and mimetypes, each as soon as it is imported itself; it imports
neither numpy nor torch.
"""

from __future__ import annotations

from . import forks as _forks  # noqa: F401  takes note of forks from here on
from . import plugins as _plugins
from .errors import LicError

TYPE_CHECKING = False  # known to type checkers; spares the import of typing
if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from typing import Any

    import numpy as np

__all__ = [
    "LicError",
    "decode",
    "decode_batch",
    "encode",
    "encode_batch",
    "register_lic_opener",
    "register_model",
    "set_device",
]


def encode(
    array: np.ndarray,
    *,
    quality: float = 75,
    model: str | None = None,
    tune: str | None = None,
    effort: int | None = None,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    device: str | None = None,
) -> bytes:
    """Encode uint8 pixels to the bytes of a `.lic` file.

    array: (H, W) or (H, W, 1) grey, (H, W, 2) grey and alpha, (H, W, 3) RGB, (H, W, 4) RGBA. Alpha is kept exactly.
    quality: 1 to 100, may be fractional. exif: a TIFF structure.
    tune: "psnr" (the default) or "ms-ssim", what the files shall be good at; or model: a name that `lic models` lists, with the quality that it is for.
    effort: 0 to 9, smaller files at equal quality for more time; None for 2. No decoder sees a difference. With "ms-ssim" 0 alone.
    device: where the networks run: "cpu", "cuda", "cuda:N", "auto" (CUDA if it can be used, else the CPU); None: see `set_device`.
    Raises LicBadOption (also a ValueError), LicUnknownModel, LicModelMissing, LicLimitExceeded, LicGpuUnavailable; all are LicErrors.
    """
    from . import codec

    return codec.encode(
        array, quality=quality, model=model, tune=tune, effort=effort, icc=icc, exif=exif, xmp=xmp, device=device
    )


def encode_batch(
    arrays: Iterable[np.ndarray],
    *,
    quality: float = 75,
    model: str | None = None,
    tune: str | None = None,
    effort: int | None = None,
    device: str | None = None,
) -> list[bytes]:
    """As `encode` of each array, in less time: entropy coding on threads beside the networks, on a GPU several images at once.

    arrays: of any sizes and layouts; a generator is read as fast as there is room, and may fill the same array again and again.
    Raises as `encode` does for one that is wrong, with a note of which.
    """
    from . import codec

    return codec.encode_batch(arrays, quality=quality, model=model, tune=tune, effort=effort, device=device)


def decode(data: bytes, *, max_pixels: float | None = None, device: str | None = None, output: str = "numpy") -> Any:
    """Decode the bytes of a `.lic` file to uint8 pixels: (H, W), (H, W, 2), (H, W, 3) or (H, W, 4).

    max_pixels: refuse an image of more, width times height (a side of less than 16 counts as 16), before memory is taken for it. None: the format's own
    limit, 2^30; untrusted files deserve a lower one. device: as of `encode`. output: "numpy", or "torch" for a tensor that stays on
    the device; cupy.from_dlpack takes it without a copy. Raises a LicError that says what is wrong with the file and where.
    """
    from . import codec

    return codec.decode(data, max_pixels=max_pixels, device=device, output=output)


def decode_batch(
    files: Iterable[bytes], *, max_pixels: float | None = None, device: str | None = None, output: str = "numpy"
) -> list[Any]:
    """As `decode` of each file's bytes, in less time, as `encode_batch`. Raises as `decode` does for one that is wrong, with a note of which."""
    from . import codec

    return codec.decode_batch(files, max_pixels=max_pixels, device=device, output=output)


def set_device(device: str | None) -> None:
    """Where networks run from now on when nothing else is said, in this process: for Image.open, save, imageio, encode and decode.

    device: "cpu", "cuda", "cuda:N" or "auto"; None: what the environment variable PILLOW_LIC_DEVICE says, by default "cpu".
    Raises LicBadOption for another name, LicGpuUnavailable for a GPU that is not there.
    """
    from . import codec

    codec.set_device(device)


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
