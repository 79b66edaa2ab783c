"""Options of decoding: names, defaults, limits and checks. The API, the plugin, the command line and the docs read them
here.

Imports the standard library, engines' choice and ground.
"""

from __future__ import annotations

import dataclasses
import numbers
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from .. import style as styles
from .. import values
from ..engines import choice as engines
from ..errors import LicBadOption
from ..style import Style
from . import depth as depths
from .order import ORDERS
from .order import checked as checked_order

if TYPE_CHECKING:
    from ..engines.base import Engine
    from ..models.store import Model

SCALES = (1, 2, 4, 8, 16)  # by which a picture may be decoded smaller


class DecodeKeywords(TypedDict, total=False):
    """The options of DecodeOptions, for type checkers."""

    max_pixels: float | None
    truncated: bool
    device: str | None
    output: str
    box: tuple[int, int, int, int] | None
    style: str | None
    strength: float | None
    scale: int
    order: str
    dtype: str | None


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """How to decode.

    max_pixels: refuse an image of more, width times height (a side of less than 16 counts as 16), before memory is
    taken for it. None: the format's own limit, 2^30; untrusted files deserve a lower one.
    truncated: True paints missing or damaged tiles grey, with a warning, instead of raising.
    device: as of `encode`. output: "numpy", or "torch" for a tensor that stays on the device; cupy.from_dlpack takes it
    without a copy. box: (left, top, right, bottom) in pixels, to have that part alone: it is equal to the crop of the
    whole, and only the tiles that it takes are read and decoded. scale: 2, 4, 8 or 16 for a picture whose sides are so
    many times smaller, rounded up. 4, 8 and 16 take a fraction of the time with the default models, which have a layer
    for that; what it gives is near to the whole picture's means, not equal.
    order: of the colours, "rgb", or "bgr" as OpenCV has them.
    style: "default", the picture nearest to the original; or "perceptual", the same with invented texture where little
    was kept, and strength, 0 to 1, how much of that (1). Where the file's model has no such synthesis, the default,
    with a warning. None: what `set_style` says, else PILLOW_LIC_STYLE, else the file's writer, else "default".
    dtype: "uint8" for 0 to 255; "uint16" for 0 to 65535 or, of more than 8 bits, the file's own samples; "float32" for
    0 to 1 or, of floats and integers of more than 16 bits, their own values; None for what was encoded.
    """

    max_pixels: float | None = None
    truncated: bool = False
    device: str | None = None
    output: str = engines.OUTPUTS[0]
    box: tuple[int, int, int, int] | None = None
    style: str | None = None
    strength: float | None = None
    scale: int = 1
    order: str = ORDERS[0]
    dtype: str | None = None

    def checked(self) -> DecodeOptions:
        """With the device's full name. Raises LicBadOption, LicGpuUnavailable."""
        if self.max_pixels is not None:
            check_pixels(self.max_pixels)
        values.one_of("output", self.output, engines.OUTPUTS)
        styles.asked(self.style, self.strength)
        scale = _checked_scale(self)
        checked_order(self.order)
        if self.dtype is not None:
            values.one_of("dtype", self.dtype, depths.DTYPES, " or None")
        if self.output == "torch" and self.dtype == "float32":
            msg = "output='torch' gives samples, uint8 or uint16: leave dtype out, and divide them on the device"
            raise LicBadOption(msg)
        return dataclasses.replace(
            self,
            truncated=values.switch("truncated", self.truncated),
            device=engines.device_named(self.device),
            box=_checked_box(self.box),
            scale=scale,
        )

    def shown(self, model: Model, preferred: tuple[int, int] | None) -> tuple[Style, str | None]:
        """The style for a file of a model, and what there is to warn of. preferred: what the file says (FORMAT 5.4)."""
        asked = styles.asked(self.style, self.strength)
        wanted = asked or styles.standing() or _preferred(preferred)
        if not wanted.strength or model.manifest.perceptual is not None:
            return wanted, None
        note = f"the model {model.name!r} has no {wanted.name} synthesis; its default picture is shown"
        return styles.PLAIN, note if asked else None

    def engine(self, model: Model) -> Engine:
        """The engine for a file of a model. The options are checked ones."""
        return engines.decoder(model, str(self.device), self.output)


def _preferred(stated: tuple[int, int] | None) -> Style:
    number, strength = stated or (0, 0)
    return Style(styles.NAMES[number], strength) if number < len(styles.NAMES) else styles.PLAIN


def check_pixels(most: Any) -> None:
    """Raises LicBadOption for what is no number of pixels; NaN allows none."""
    if isinstance(most, bool) or not isinstance(most, numbers.Real):
        msg = f"max_pixels must be a number or None, found {most!r}"
        raise LicBadOption(msg)


def _checked_scale(options: DecodeOptions) -> int:
    scale = values.whole(options.scale)
    if scale not in SCALES:
        msg = f"scale must be one of {', '.join(map(str, SCALES))}, found {options.scale!r}"
        raise LicBadOption(msg)
    if scale != 1 and (options.box is not None or options.output != engines.OUTPUTS[0]):
        msg = "scale makes whole pictures smaller, as NumPy arrays: leave out box and output"
        raise LicBadOption(msg)
    if scale != 1 and options.dtype not in (None, "uint8"):
        msg = f"scale gives pictures of 8 bits: leave out dtype={options.dtype!r}"
        raise LicBadOption(msg)
    return scale


def _checked_box(box: Any) -> tuple[int, int, int, int] | None:
    if box is None:
        return None
    try:
        left, top, right, bottom = (operator.index(one) for one in box)
    except (TypeError, ValueError):
        msg = f"box must be four whole numbers, left, top, right and bottom, found {box!r}"
        raise LicBadOption(msg) from None
    return left, top, right, bottom
