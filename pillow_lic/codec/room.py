"""What a file's pixels cost, whether that is allowed here, and a turn to decode or encode: as many pictures at once as
the limits have room for.

Imports Pillow, container's header, models and ground.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from .. import limits
from ..constants import LIC_LATENT_STRIDE
from ..errors import LicLimitExceeded
from ..forks import in_child
from ..models import registry
from ..models.cost import cost
from ..models.manifest import NATIVE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..container import Header
    from ..models.store import Model
    from .decode_options import DecodeOptions


BLENDED = 1.8  # times the work where two syntheses are blended
ENCODING = 10.0  # times the memory of a decode of 8 bits, whose pixels work is counted in
_BYTES = 7.0  # of memory that a decode of 8 bits takes for a pixel
# Of a deep sample: of an exact picture, of others, of others where alpha is added; and of its value.
_EXACT_BYTES, _DRAWN_BYTES, _JOINED_BYTES, _TOLD_BYTES = 4, 2, 4, 4
_WHOLE_BYTES = 10  # of a sample of 32 bits


class Extra(NamedTuple):
    """What a decode costs beyond that of 8 bits."""

    blends: bool = False  # two syntheses
    wide: float = 1.0  # times the memory of 8 bits


PLAIN = Extra()


def wide(header: Header, drawn: Header, valued: bool) -> float:
    """By how much more memory samples take than those of 8 bits. drawn: the header as they are wanted; valued: whether
    they become other numbers.
    """
    sample = _TOLD_BYTES if valued else 0
    if header.whole:
        sample = _WHOLE_BYTES
    elif header.alone and header.deep:
        sample += _EXACT_BYTES
    elif drawn.deep:
        sample += _JOINED_BYTES if header.has_alpha else _DRAWN_BYTES
    return max(1.0, header.bands * sample / _BYTES)


def work(header: Header, model: Model | None, extra: Extra = PLAIN) -> float:
    """Of a picture, in pixels of `photo`: what lies under its grid, times the model's cost or, where that is
    more, the memory of deep samples. Without a model, its pixels.
    """
    if model is None:
        return max(header.width, LIC_LATENT_STRIDE) * max(header.height, LIC_LATENT_STRIDE) * extra.wide
    own = cost(model.manifest) * (BLENDED if extra.blends else 1.0)
    return header.padded * (max(own, extra.wide) if extra.wide > 1.0 else own)


def check(header: Header, model: Model | None, options: DecodeOptions, extra: Extra = PLAIN) -> None:
    """Refuse what this process does not allow. Allocates nothing. Raises LicLimitExceeded."""
    allowed = limits.current()
    if model is not None:
        _check_model(model, allowed)
    ceiling = allowed.ceiling(Image.MAX_IMAGE_PIXELS, careful=options.truncated)
    if options.max_pixels is not None or ceiling is None:  # that has been checked where the header was read
        return
    wanted = work(header, model, extra)
    if wanted > ceiling:
        size = _size(header, model, extra)
        advice = "set_limits(pixels=...), PIL.Image.MAX_IMAGE_PIXELS or decode(max_pixels=...) allow more"
        msg = f"{size} more than {ceiling:.0f}; {advice}, or distrust the file"
        raise LicLimitExceeded(msg)


def bomb(header: Header, model: Model | None) -> Sequence[str]:
    """What there is to warn of before a picture is decoded: as Pillow does above its MAX_IMAGE_PIXELS, where it has not
    seen what the picture costs.
    """
    pillows = Image.MAX_IMAGE_PIXELS
    if limits.current().pixels is not None or not pillows or header.width * header.height > pillows:
        return ()
    wanted, ceiling = work(header, model), limits.current().ceiling(pillows)
    if wanted <= pillows or (ceiling is not None and wanted > ceiling):
        return ()
    size = _size(header, model)
    return (f"{size} more than PIL.Image.MAX_IMAGE_PIXELS = {pillows}: it could be a decompression bomb",)


def _size(header: Header, model: Model | None, extra: Extra = PLAIN) -> str:
    """In words, for messages."""
    plain, wanted = header.width * header.height, work(header, model, extra)
    if wanted <= plain or (model is None and extra.wide == 1.0):
        return f"{header.width} x {header.height} = {plain} pixels are"
    of = f" of the model {model.name!r}" if model is not None and cost(model.manifest) > 1 else ""
    of += f" of {header.depth} bits" if extra.wide > 1.0 else ""
    return f"{header.width} x {header.height} pixels{of}, which counts as {wanted:.0f} for what it costs, is"


def _check_model(model: Model, allowed: limits.Limits) -> None:
    name = model.name
    fine = allowed.allows(name, test=name in registry.TESTS, native=model.manifest.family == NATIVE)
    if fine or name in registry.named:
        return
    advice = f"pillow_lic.set_limits(models=[..., {name!r}]) or naming it (preload(models=[{name!r}])) allows it"
    msg = f"the file's model is {name!r}, which files may not use in this process; {advice}"
    raise LicLimitExceeded(msg)


class Room:
    """How much is being decoded and encoded in this process; who comes first is let in first. A thread that is here
    already gets in without waiting: a signal handler may load a picture in the middle of another's load.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.waiting: dict[int, float] = {}  # pixels of threads, in the order in which they came
        self.inside: dict[int, float] = {}

    @contextmanager
    def of(self, pixels: float) -> Iterator[None]:
        """Wait until there is room for so many pixels, or nobody else; let go of it afterwards."""
        me = threading.get_ident()
        if me in self.waiting or me in self.inside:
            yield
            return
        try:  # from here on, since a signal's exception may land anywhere
            with self.changed:
                self.waiting[me] = pixels
                self.changed.wait_for(self._next_is)
                self.inside[me] = self.waiting.pop(me)
                self.changed.notify_all()  # the next may fit as well
            yield
        finally:
            with self.changed:
                self.waiting.pop(me, None)
                self.inside.pop(me, None)
                self.changed.notify_all()

    def _next_is(self) -> bool:
        """Whether the thread that asks is the next, and fits."""
        first = next(iter(self.waiting))
        full = sum(self.inside.values()) + self.waiting[first] > limits.current().at_once
        return first == threading.get_ident() and not (self.inside and full)


room = Room()
in_child(lambda: room.__init__())  # type: ignore[misc]  # the parent's threads are not there
