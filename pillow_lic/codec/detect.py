"""Regions that a picture itself shows: text, by its strokes, and faces, by the detector that scikit-image ships.

Imports errors and imports; numpy, Pillow and scikit-image when a picture comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import LicPackageMissing
from ..imports import imported

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Box: TypeAlias = tuple[int, int, int, int]

FACES, TEXT = "faces", "text"
NAMES = (FACES, TEXT)
LUMA = (0.299, 0.587, 0.114)
# Text is dense strokes on flat ground. Of the pixels of a cell and of those around it: the share that is an edge of so
# many levels up, and likewise down, along rows, half of it along columns, and the share that is flat both ways. Dark
# lines of five fonts on light ground, put into training photographs: of 50 x 3 lines 96 % of the blocks are found, and
# 1.5 % of the blocks of the photographs themselves.
CELL, STROKE, FLAT = 16, 45, 5
EDGES, GROUND = 0.03, 0.45
FACE_SIDE, FACE_LEAST, FACE_STEP = 512, 32, 1.2  # the longer side that is searched; the smallest face in it


def boxes(what: str, colour: NDArray[Any], most: int) -> tuple[Box, ...]:
    """Where a picture (H, W, 3) of samples up to `most` shows text or faces; none is an answer. Raises
    LicPackageMissing.
    """
    imported("numpy")
    import numpy as np

    luma = colour.astype(np.float32) @ np.array(LUMA, np.float32) * (255 / most)
    return _text(luma) if what == TEXT else _faces(luma)


def _text(luma: NDArray[np.float32]) -> tuple[Box, ...]:
    import numpy as np

    height, width = luma.shape
    padded = np.pad(luma, ((0, -height % CELL), (0, -width % CELL)), mode="edge")
    across, down = np.diff(padded, axis=1, append=padded[:, -1:]), np.diff(padded, axis=0, append=padded[-1:])
    flat = (np.abs(across) < FLAT) & (np.abs(down) < FLAT)
    maps = across > STROKE, across < -STROKE, down > STROKE, down < -STROKE, flat
    right, left, lower, upper, ground = (_around(one) for one in maps)
    strokes = (np.minimum(right, left) > EDGES) & (np.minimum(lower, upper) > EDGES / 2)
    rows, columns = np.nonzero(strokes & (ground > GROUND))
    return tuple((c * CELL, r * CELL, (c + 1) * CELL, (r + 1) * CELL) for r, c in zip(rows.tolist(), columns.tolist()))


def _around(pixels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of a cell and of the eight around it."""
    import numpy as np

    height, width = (side // CELL for side in pixels.shape)
    share = np.pad(pixels.reshape(height, CELL, width, CELL).mean((1, 3)), 1, mode="edge")
    found: NDArray[np.float64] = np.mean([share[y : y + height, x : x + width] for y in range(3) for x in range(3)], 0)
    return found


def _faces(luma: NDArray[np.float32]) -> tuple[Box, ...]:
    import numpy as np
    from PIL import Image

    try:
        from skimage.data import lbp_frontal_face_cascade_filename
        from skimage.feature import Cascade
    except ModuleNotFoundError as error:
        msg = "roi='faces' needs scikit-image: pip install 'pillow-lic[machine]'"
        raise LicPackageMissing(msg) from error
    whole = Image.fromarray(luma.round().clip(0, 255).astype(np.uint8))
    factor = max(1.0, max(whole.size) / FACE_SIDE)
    small = whole.resize([max(1, round(side / factor)) for side in whole.size], Image.Resampling.BOX)
    most = min(small.size)
    if most < FACE_LEAST:
        return ()
    search = {"scale_factor": FACE_STEP, "step_ratio": 1, "min_size": (FACE_LEAST,) * 2, "max_size": (most,) * 2}
    cascade: str = lbp_frontal_face_cascade_filename()  # type: ignore[no-untyped-call]
    found = Cascade(cascade).detect_multi_scale(img=np.asarray(small), **search)
    return tuple(
        tuple(round(factor * side) for side in (f["c"], f["r"], f["c"] + f["width"], f["r"] + f["height"]))
        for f in found
    )
