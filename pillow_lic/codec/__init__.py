"""The codec: arrays of pixels to whole `.lic` files and back. The one place where all rooms meet.

Imports torch (through latents), so plugins import this module at the first encode or decode, not before.
"""

from __future__ import annotations

import numbers
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from .. import format as container_format
from .. import forks
from ..constants import HASH_BYTES, LIC_LATENT_STRIDE
from ..errors import LicBadOption, LicError
from ..models import loader, registry
from . import batch, decoding, encoding, search
from . import device as devices
from .device import Place

TILE_SIDE = 16  # units of 64 pixels: 1024, large enough that a tile's own cost (about 20 bytes) does not show

if forks.with_torch:
    torch.set_num_threads(1)
if hasattr(os, "register_at_fork"):  # the same in children of this process (forks.py)
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

LAYOUTS = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
OUTPUTS = ("numpy", "torch")

set_device = devices.choose


def encode(
    array: np.ndarray,
    *,
    quality: float = 75.0,
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
    quality: 1 to 100, may be fractional. device: see `device.find`.
    model: a name of `registry.names()`; or tune: "psnr" or "ms-ssim", what the model shall be good at; neither: "psnr".
    effort: 0 to 9, for smaller files and truer pixels in more time: so many passes back through the decoder as search.PASSES says. None: 2; of models that weigh
    other than squared errors 0, which is all that they take.
    Raises LicBadOption (also a ValueError), LicUnknownModel, LicModelMissing, LicLimitExceeded, LicGpuUnavailable.
    """
    place = devices.find(device)
    q = container_format.quality_to_q(quality)
    entry = registry.chosen(model, tune, q)
    picture = encoding.begin(_checked_picture(array, q, entry, effort, {"icc": icc, "exif": exif, "xmp": xmp}))
    (arrival,) = place.fitting(partial(encoding.run, place), [picture])
    return encoding.end(picture, arrival)


def encode_batch(
    arrays: Iterable[np.ndarray],
    *,
    quality: float = 75.0,
    model: str | None = None,
    tune: str | None = None,
    effort: int | None = None,
    device: str | None = None,
) -> list[bytes]:
    """As `encode` of each array, sizes and layouts mixed at will; faster, above all on a GPU. Arrays may come from a generator.

    On a CPU the files are those of `encode`; on a GPU images may share network calls, whose rounding may turn residuals, the more the higher the effort.
    Raises as `encode` does for an array that is wrong, with a note of which it is.
    """
    place = devices.find(device)
    if isinstance(arrays, np.ndarray) and (arrays.ndim < 3 or (arrays.ndim == 3 and arrays.shape[2] in LAYOUTS)):
        msg = f"arrays must be several pictures, found an array of shape {arrays.shape}, which is one: hand in [array]"
        raise LicBadOption(msg)
    q = container_format.quality_to_q(quality)
    entry = registry.chosen(model, tune, q)
    own = (
        np.asarray if isinstance(arrays, (Sequence, np.ndarray)) else np.array
    )  # a generator may fill one array again and again
    pictures = _noted(arrays, lambda array: _checked_picture(own(array), q, entry, effort, {}))
    stages = batch.Stages(
        lambda picture, _: encoding.begin(picture),
        partial(encoding.run, place),
        encoding.end,
        lambda picture: _covered(picture.header),
        lambda picture: picture.header.latent_grid,
    )
    return batch.run(pictures, stages, place)


def decode(
    data: bytes,
    *,
    max_pixels: float | None = None,
    truncated: bool = False,
    device: str | None = None,
    output: str = "numpy",
) -> Any:
    """Decode the bytes of a `.lic` file to uint8 pixels: (H, W), (H, W, 2), (H, W, 3) or (H, W, 4).

    max_pixels: refuse an image of more, width times height (a side of less than 16 counts as 16), by LicLimitExceeded before anything is made for it.
    truncated=True paints missing or damaged tiles grey, with a warning, instead of raising. device: see `device.find`.
    output: "numpy" for an array of the host, "torch" for a tensor that stays on the device (DLPack hands it to CuPy without a copy).
    Raises a LicError that says what is wrong with the file and where; LicBadOption for wrong types; LicGpuUnavailable.
    """
    place, keep = devices.find(device), _keeps(output)
    return decode_container(_container(data, max_pixels, truncated), truncated=truncated, place=place, keep=keep)


def decode_batch(
    files: Iterable[bytes],
    *,
    max_pixels: float | None = None,
    truncated: bool = False,
    device: str | None = None,
    output: str = "numpy",
) -> list[Any]:
    """As `decode` of each file, models, sizes and layouts mixed at will; faster, above all on a GPU. Files may come from a generator.

    Raises as `decode` does for a file that is wrong, with a note of which it is.
    """
    place, keep = devices.find(device), _keeps(output)
    containers = _noted(files, lambda data: _container(data, max_pixels, truncated))
    stages = batch.Stages(
        lambda container, tiles: decoding.begin(container, truncated, place, tiles),
        partial(decoding.run, place, keep),
        partial(decoding.end, place, keep),
        lambda container: _covered(container.header),
        lambda container: (container.header.model_hash, container.header.latent_grid),
    )
    results = batch.run(containers, stages, place)
    if keep:
        place.keep_for_caller(results)
    return results


def decode_container(
    container: container_format.Container, *, truncated: bool = False, place: Place | None = None, keep: bool = False
) -> Any:
    """As `decode`, of a file whose chunks are read. keep: as a tensor of the device."""
    place = place or devices.find()
    coded = decoding.begin(container, truncated, place)
    (arrival,) = place.fitting(partial(decoding.run, place, keep), [coded])
    return decoding.end(place, keep, coded, arrival)


def decode_symbols(
    container: container_format.Container, *, truncated: bool = False
) -> tuple[np.ndarray, np.ndarray, list[container_format.Tile]]:
    """The integers of a file: z (C, hz, wz) and r (M, hy, wy), int16, and the tiles that could not be read.

    This is the exact part of decoding (FORMAT 7): the same on every machine, in any number of threads.
    """
    model = loader.load(registry.by_hash(container.header.model, container.header.model_hash))
    z, r, missing = decoding.read_symbols(container, model, truncated, Place("cpu"))
    return z.numpy(), r.numpy(), missing


# ---- Checking what is handed in ---------------------------------------------------------------------------------------


def _noted(items: Iterable[Any], check: Callable[[Any], Any]) -> Iterator[Any]:
    """check(item) of each; an error gets a note of which it was."""
    for number, item in enumerate(items):
        try:
            checked = check(item)
        except LicError as error:
            error.add_note(f"image {number} of the batch, counted from 0")
            raise
        yield checked


def _covered(header: container_format.Header) -> int:
    """Pixels under the latent grid: what the networks see."""
    return header.latent_grid.rows * header.latent_grid.columns * LIC_LATENT_STRIDE**2


def _checked_picture(
    array: np.ndarray, q: int, entry: registry.Entry, effort: int | None, metadata: dict[str, bytes | None]
) -> encoding.Picture:
    metadata = {name: _checked_metadata(name, value) for name, value in metadata.items()}
    array, layout = _checked_array(array)
    effort = _checked_effort(effort, entry)
    header = container_format.Header(
        width=array.shape[1],
        height=array.shape[0],
        layout=layout,
        model=entry.number,
        model_hash=entry.hash[:HASH_BYTES],
        quality_q=q,
        tile_side=TILE_SIDE,
    )
    header.check_limits()
    return encoding.Picture(
        header, loader.load(entry), _colour(array), array[..., -1] if header.has_alpha else None, metadata, effort
    )


def _checked_effort(effort: int | None, entry: registry.Entry) -> int:
    if effort is None:
        return search.DEFAULT_EFFORT if "lambda" in entry.manifest else 0
    if isinstance(effort, bool) or not isinstance(effort, numbers.Integral) or not 0 <= effort < len(search.PASSES):
        msg = f"effort must be an integer from 0 to {len(search.PASSES) - 1}, found {effort!r}"
        raise LicBadOption(msg)
    if effort and "lambda" not in entry.manifest:
        msg = f"effort knows squared errors alone, and the manifest of {entry.name!r} has no lambda of them: use effort 0, or tune='psnr'"
        raise LicBadOption(msg)
    return int(effort)


def _checked_metadata(name: str, value: bytes | None) -> bytes | None:
    """As bytes, None if empty; EXIF without the prefix that JPEG files and Pillow's info give it (FORMAT 4)."""
    if value is None:
        return None
    if not isinstance(value, (bytes, bytearray, memoryview)):
        msg = f"{name} must be bytes, found {type(value).__name__}"
        raise LicBadOption(msg)
    return (bytes(value).removeprefix(b"Exif\0\0") if name == "exif" else bytes(value)) or None


def _checked_array(array: np.ndarray) -> tuple[np.ndarray, str]:
    array = np.asarray(array)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in LAYOUTS or array.size == 0:
        msg = f"pixels must be of shape (H, W) or (H, W, 1 to 4) and not empty, found {array.shape}"
        raise LicBadOption(msg)
    if array.dtype != np.uint8:
        msg = f"pixels must be uint8, found {array.dtype}; scale them to 0..255 and convert"
        raise LicBadOption(msg)
    return array, LAYOUTS[array.shape[2]]


def _colour(array: np.ndarray) -> np.ndarray:
    """The colour part as (H, W, 3); grey is repeated, as a view."""
    if array.shape[2] >= 3:
        return array[:, :, :3]
    return np.broadcast_to(array[:, :, :1], (*array.shape[:2], 3))


def _container(data: bytes, max_pixels: float | None, truncated: bool) -> container_format.Container:
    if not isinstance(data, (bytes, bytearray, memoryview)):
        msg = f"data must be the bytes of a file, found {type(data).__name__}; for a path use PIL.Image.open"
        raise LicBadOption(msg)
    if max_pixels is not None and not isinstance(max_pixels, numbers.Real):
        msg = f"max_pixels must be a number or None, found {max_pixels!r}"
        raise LicBadOption(msg)
    return container_format.read(data, truncated=truncated, max_pixels=max_pixels, metadata=False)


def _keeps(output: str) -> bool:
    """Whether pixels stay on the device."""
    if output not in OUTPUTS:
        msg = f"output must be one of {', '.join(map(repr, OUTPUTS))}, found {output!r}"
        raise LicBadOption(msg)
    return output == "torch"
