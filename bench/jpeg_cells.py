"""A decoded JPEG's luma, its blocks of 8 x 8 samples, and the cells of their coefficients: for enhance.py.

A plane is float32 (8h, 8w); blocks are (h, w, 64), samples or frequencies row by row.
"""

import io
import math

import numpy as np
from PIL import Image

SIDE = 8
COUNT = SIDE * SIDE
LOWEST, HIGHEST = 0, 255  # samples there may have been clipped: their block's coefficients are not known
ROWS = 16 * SIDE  # of samples that are worked on at once
MARGIN = 0.75  # of a coefficient, that rounding samples to whole levels may move: so far inside of its cell it stays


def _transform():
    k = np.arange(SIDE)
    basis = np.cos((2 * k[None] + 1) * k[:, None] * math.pi / (2 * SIDE)) * math.sqrt(2 / SIDE)
    basis[0] = math.sqrt(1 / SIDE)
    return np.kron(basis, basis).astype(np.float32)


TRANSFORM = _transform()  # (64, 64) orthonormal: samples to coefficients


def to_blocks(plane):
    """(8h, 8w) to (h, w, 64)."""
    h, w = (side // SIDE for side in plane.shape)
    return plane.reshape(h, SIDE, w, SIDE).transpose(0, 2, 1, 3).reshape(h, w, COUNT)


def to_plane(blocks):
    """(h, w, 64) to (8h, 8w)."""
    h, w = blocks.shape[:2]
    return blocks.reshape(h, w, SIDE, SIDE).transpose(0, 2, 1, 3).reshape(SIDE * h, SIDE * w)


def projected(found, change, steps):
    """A change of decoded samples, both (8h, 8w), moved into the cells of the coefficients that the file states.

    steps: (64,) of the quantisation. What comes back would be quantised to the same file again. Blocks with clipped
    samples are left as they are, since their coefficients cannot be told from their samples.
    """
    out = np.empty_like(change)
    for top in range(0, len(found), ROWS):
        rows = slice(top, top + ROWS)
        out[rows] = to_plane(_inside(to_blocks(found[rows]), to_blocks(change[rows]), steps))
    return out


def _inside(blocks, change, steps):
    """The same of blocks (h, w, 64)."""
    known = np.logical_and(blocks > LOWEST, blocks < HIGHEST).all(2, keepdims=True)
    coefficients = (blocks - 128) @ TRANSFORM.T
    centre = np.round(coefficients / steps) * steps
    half = np.maximum(steps / 2 - MARGIN, steps / 4)
    moved = coefficients + change @ TRANSFORM.T
    inside = np.clip(moved, centre - half, centre + half)
    outside = np.where(known, inside - moved, np.float32(0)).astype(np.float32)
    return change + outside @ TRANSFORM


def luma_of(data):
    """Of a JPEG's bytes: its luma (8h, 8w), the last samples repeated, and the steps of luma (64,)."""
    with Image.open(io.BytesIO(data)) as image:
        steps = np.array(image.quantization[0], np.float32)
        if image.mode == "RGB":
            image.draft("YCbCr", image.size)
        samples = np.asarray(image, np.float32)
    plane = samples if samples.ndim == 2 else samples[:, :, 0]
    return np.pad(plane, [(0, -side % SIDE) for side in plane.shape], mode="edge"), steps


def to_luma(rgb):
    """(H, W) of JFIF's luma, not rounded, of (H, W, 3)."""
    return rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
