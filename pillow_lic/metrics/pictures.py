"""Pictures of any kind as arrays that go together. Imports NumPy and Pillow."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ..errors import LicBadOption

Picture = Image.Image | np.ndarray
PEAK = 255.0
LUMA = np.array([0.299, 0.587, 0.114])


def matched(a: Picture, b: Picture) -> list[tuple[np.ndarray, np.ndarray]]:
    """The pictures as uint8 (H, W, 1 or 3): one pair, or two where alpha had to be laid over black and over white."""
    one, two = array(a), array(b)
    if one.shape[:2] != two.shape[:2]:
        sizes = " and ".join(f"{x.shape[1]} x {x.shape[0]}" for x in (one, two))
        msg = f"pictures of different sizes, {sizes}: measure what the codec got, or resize one of them first"
        raise LicBadOption(msg)
    if one.shape[2] > 2 or two.shape[2] > 2:
        one, two = coloured(one), coloured(two)
    if one.shape[2] in (1, 3) and two.shape[2] in (1, 3):
        return [(one, two)]
    return [(over(one, ground), over(two, ground)) for ground in (0.0, PEAK)]


def array(picture: Picture) -> np.ndarray:
    """(H, W, channels) uint8; channels 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha."""
    if isinstance(picture, Image.Image):
        transparent = picture.has_transparency_data
        if picture.mode not in ("L", "LA", "RGB", "RGBA") or (transparent and picture.mode in ("L", "RGB")):
            if picture.mode.startswith(("I", "F")):
                msg = f"pictures of mode {picture.mode}: measures are defined on 8 bits; convert them to L or RGB first"
                raise LicBadOption(msg)
            grey = "L" if picture.mode in ("1", "L") else "RGB"
            picture = picture.convert(grey + "A" if transparent else grey)
        picture = np.asarray(picture)
    array = np.asarray(picture)
    array = array[..., None] if array.ndim == 2 else array
    if array.dtype != np.uint8 or array.ndim != 3 or not 1 <= array.shape[2] <= 4 or not array.size:
        msg = f"an array of {array.dtype} {array.shape}: expected uint8 of (H, W) or (H, W, 1 to 4)"
        raise LicBadOption(msg)
    return array


def coloured(array: np.ndarray) -> np.ndarray:
    """Grey as RGB, its alpha kept."""
    return array if array.shape[2] > 2 else array[..., [0, 0, 0] if array.shape[2] == 1 else [0, 0, 0, 1]]


def over(array: np.ndarray, ground: float) -> np.ndarray:
    """Without alpha: laid over a ground, rounded to uint8 as a viewer does."""
    if array.shape[2] in (1, 3):
        return array
    share = array[..., -1:] / PEAK
    return np.rint(array[..., :-1] * share + ground * (1 - share)).astype(np.uint8)


def luma(x: np.ndarray) -> np.ndarray:
    """(H, W) in float64, 0 to 255."""
    return x[..., 0].astype(np.float64) if x.shape[2] == 1 else x @ LUMA
