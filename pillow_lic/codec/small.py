"""Pictures at a part of their size: what an engine rendered small with its exact parts, and what was decoded whole,
reduced. A sample is the mean of those under it.

Imports Pillow, container and overlay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PIL import Image, ImageChops

from ..container.overlay import bands_of
from .alpha import Plane
from .modes import BILEVEL, of_mode
from .overlay import MODES, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..container import Header, Rectangle
    from .decoded import Decoded


def picture(samples: Any) -> Image.Image:
    """uint8 (H, W) or (H, W, 3), any buffer, as an image."""
    view: Any = memoryview(samples)
    mode, size = "L" if view.ndim == 2 else "RGB", (view.shape[1], view.shape[0])
    return Image.frombuffer(mode, size, view, "raw", mode, 0, 1)


def reduced(found: Decoded, scale: int) -> Image.Image:
    """All of it, so many times smaller."""
    if found.image is not None:
        return (found.image if found.mode == BILEVEL else of_mode(found.image, found.mode)).reduce(scale)
    image = picture(found.colour)
    if found.alpha is not None:
        image.putalpha(found.alpha)
    return image.reduce(scale)


def paint(image: Image.Image, rectangles: Sequence[Rectangle], header: Header, scale: int) -> None:
    """Exact rectangles over a small picture, each as much as it covers of a sample."""
    bands = bands_of(header)
    for one in rectangles:
        left, top = one.left // scale, one.top // scale
        right, bottom = min(image.width, -(-(one.left + one.width) // scale)), -(-(one.top + one.height) // scale)
        at = one.left - left * scale, one.top - top * scale
        size = min(right * scale, header.width) - left * scale, min(bottom * scale, header.height) - top * scale
        exact, covered = Image.new(MODES[bands], size), Image.new("L", size)
        exact.paste(unpack(one, bands), at)
        covered.paste(255, (*at, at[0] + one.width, at[1] + one.height))
        exact, covered = exact.reduce(scale), covered.reduce(scale)
        below = image.crop((left, top, left + exact.width, top + exact.height))
        rest = Image.composite(Image.new(below.mode, below.size), below, covered)
        image.paste(ImageChops.add(exact, rest), (left, top))


def with_alpha(image: Image.Image, plane: Plane, scale: int) -> Image.Image:
    """A small picture with a plane of the whole one's size; what is invisible has its colour."""
    alpha = plane.image.reduce(scale)
    if plane.hidden:
        hidden = plane.hidden[0] if len(plane.hidden) == 1 else tuple(plane.hidden)
        image.paste(hidden, None, Plane(alpha).invisible())
    image.putalpha(alpha)
    return image
