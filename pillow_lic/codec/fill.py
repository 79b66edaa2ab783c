"""Colours for pixels that nobody sees: drawn from those around them, so that the networks pay next to nothing for them.

Imports numpy where a picture comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def filled(colour: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[Any]:
    """A picture with its unknown pixels drawn from the known ones.

    colour: (H, W, C), uint8 or uint16. known: (H, W), not all False. Coarser and coarser means of what is known, then
    back, smoothed, into what is not ("push-pull": Gortler et al., The Lumigraph, 1996, section 3.4). Known pixels stay
    as they are.
    """
    import numpy as np

    weight = known.astype(np.float32)[:, :, None]
    levels = [(colour * weight, weight)]
    while levels[-1][1].min() == 0 and max(weight.shape[:2]) > 1:
        total, weight = (_halved(plane) for plane in levels[-1])
        levels.append((total, weight))
    found: Any = None
    for total, weight in reversed(levels):
        means = total / np.maximum(weight, 1)
        found = means if found is None else np.where(weight > 0, means, _doubled(found, means.shape))
    most = np.iinfo(colour.dtype).max
    return np.where(known[:, :, None], colour, np.clip(found + 0.5, 0, most).astype(colour.dtype))


def one_colour_unseen(pixels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_] | None, bytes]:
    """Pixels (H, W, 2 or 4), alpha last, with one colour where alpha is 0; where it is not, (H, W); and that colour.

    It is the one that they have, if they have one, else black. No such pixels: the same array, None and no colour.
    """
    import numpy as np

    seen = pixels[:, :, -1] != 0
    if seen.all():
        return pixels, None, b""
    hidden = pixels[~seen][:, :-1]
    colour = hidden[0] if (hidden == hidden[0]).all() else np.zeros_like(hidden[0])
    painted = pixels.copy()
    painted[~seen, :-1] = colour
    return painted, seen, colour.astype(colour.dtype.newbyteorder("<")).tobytes()


def _halved(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums over 2 x 2, fewer at the edges."""
    import numpy as np

    rows = np.add.reduceat(plane, np.arange(0, plane.shape[0], 2), axis=0)
    return np.add.reduceat(rows, np.arange(0, plane.shape[1], 2), axis=1)


def _doubled(plane: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Twice as large, cut to (H, W), smoothed over 3 x 3."""
    import numpy as np

    large: NDArray[np.float32] = plane.repeat(2, 0)[: shape[0]].repeat(2, 1)[:, : shape[1]]
    for axis in (0, 1):
        edges = [(1, 1) if n == axis else (0, 0) for n in range(3)]
        padded, size = np.pad(large, edges, mode="edge"), large.shape[axis]
        before, after = (padded.take(range(at, at + size), axis) for at in (0, 2))
        large = (before + large + after) / np.float32(3)
    return large
