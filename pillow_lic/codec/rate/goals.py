"""What a quality is searched for: a size of the file, or a PSNR of its pixels. Says what an attempt comes to, where to
begin, and what may be kept.

Imports ground; numpy when pixels are compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ...constants import LIC_QUALITY_MAX
from ...engines.base import white_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...engines.base import Symbols
    from ..encode import Encoding
    from ..options import Span

ROWS = 256  # of pixels that are compared at once
PSNR_MOST = 99.0  # dB, of pixels that are all the same


class Attempt(NamedTuple):
    """What a quality makes of a picture."""

    q: int
    value: float  # what the goal counts
    symbols: Symbols | None  # None: the overlay is the whole picture
    data: bytes | None = None  # the file, where it has been made
    notes: Sequence[str] = ()  # what there is to warn of


class Goal(Protocol):
    """What is searched for. Values rise with quality."""

    slope: float  # what a step of Q adds to the value, roughly
    lift: float  # what effort adds to it, roughly
    near: float  # by so much may a probe miss
    descends: bool  # whether what cannot be met is too low, not too high, so that models of lower rates may meet it

    @property
    def wanted(self) -> float:
        """The value."""

    def guess(self) -> int:
        """The Q to begin with."""

    def attempt(self, symbols: Symbols, span: Span) -> Attempt:
        """What these symbols come to."""

    def exactly(self) -> Attempt:
        """What the overlay alone comes to."""

    def aim(self, missed: int) -> float:
        """The value to try for after so many tries that are of no use."""

    def allows(self, attempt: Attempt) -> bool:
        """Whether it may be kept."""

    def close(self, attempt: Attempt, tries: int) -> bool:
        """Whether it is as near as one need come after so many tries."""

    def met(self, best: Attempt | None, highest: int) -> bool:
        """Whether the best attempt is what was asked for, or better. highest: the Q above which there is none."""

    def above(self, best: Attempt) -> bool:
        """Whether the best attempt is more than was asked for, so that further models are worth a try."""

    def refusal(self, least: Attempt, most: Attempt) -> str:
        """What there is to say of a goal that was not met, by what the lowest and the highest quality make."""


@dataclass
class Size:
    """A size of the whole file, in bytes, that is not to be passed. Values are natural logarithms."""

    job: Encoding
    most: int
    slope = 3.2e-4
    near = 0.02
    lift = 0.0
    descends = True

    @property
    def wanted(self) -> float:
        """As a value."""
        return math.log(max(self.most, 1))

    def guess(self) -> int:
        """Photographs of 0.1 bits a pixel are of quality 30, and those of 1.6 of quality 100, roughly."""
        assert self.job.scene is not None
        bpp = max(8.0 * (self.most - self.job.beside()), 1.0) / self.job.scene.pixels
        return round(3000 + math.log(bpp / 0.1) / self.slope / 1.25)

    def attempt(self, symbols: Symbols, span: Span) -> Attempt:
        """The file."""
        data = self.job.file(symbols)
        return Attempt(symbols.header.quality_q, math.log(len(data)), symbols, data, symbols.notes)

    def exactly(self) -> Attempt:
        """The file."""
        data = self.job.file(None)
        return Attempt(LIC_QUALITY_MAX, math.log(len(data)), None, data)

    def aim(self, missed: int) -> float:
        """A little below, and lower with every file that was too large."""
        return self.wanted - max(8e-4, 1.5 / max(self.most, 1)) * 2.0**missed

    def allows(self, attempt: Attempt) -> bool:
        """Whether it is small enough."""
        return attempt.data is not None and len(attempt.data) <= self.most

    def close(self, attempt: Attempt, tries: int) -> bool:
        """Within 0.25 percent, or two bytes."""
        return self.allows(attempt) and self.wanted - attempt.value <= max(2.5e-3, 2.0 / max(self.most, 1))

    def met(self, best: Attempt | None, highest: int) -> bool:
        """At the highest quality files are as small as they are."""
        return best is not None

    def above(self, best: Attempt) -> bool:
        """Never: what is above is not allowed."""
        return False

    def refusal(self, least: Attempt, most: Attempt) -> str:
        """The sizes that can be had."""
        if least.symbols is None:
            return f"kept exactly, the picture takes {_size(least)} bytes"
        sizes = f"{_size(least)} to {_size(most)} bytes"
        beside = self.job.beside()
        of_them = f", {beside} of them header, metadata and alpha" if beside else ""
        qualities = _span(self.job, least, most)
        return f"files are to have {self.most} bytes, and qualities {qualities} make {sizes}{of_them}"


@dataclass
class Psnr:
    """A PSNR of the colours in dB."""

    job: Encoding
    wanted: float
    slope = 1.3e-3
    near = 0.35
    lift = 0.25
    descends = False

    def guess(self) -> int:
        """Photographs of 33 dB are of quality 30, roughly."""
        return round(3000 + (self.wanted - 33.0) / self.slope)

    def attempt(self, symbols: Symbols, span: Span) -> Attempt:
        """What a decoder shows."""
        (arrival,) = span.engine.render([symbols])
        arrival.wait()
        return Attempt(symbols.header.quality_q, self.psnr(arrival.value), symbols, notes=symbols.notes)

    def exactly(self) -> Attempt:
        """All there is."""
        return Attempt(LIC_QUALITY_MAX, PSNR_MOST, None)

    def psnr(self, pixels: object) -> float:
        """Of decoded pixels (H, W, 3), or of grey (H, W), in dB: what the overlay covers is without error, what
        nobody sees does not count.
        """
        import numpy as np

        assert self.job.picture is not None
        assert self.job.scene is not None
        found, colour, seen = np.asarray(pixels), self.job.picture.colour, self.job.scene.seen
        colour = colour if found.ndim == 3 else colour[..., 0]
        header = self.job.picture.header
        unit = white_of(colour) / header.most if header.deep else None  # of what is decoded, in that of what was seen
        counted = None if seen is None and not self.job.overlay else np.ones(found.shape[:2], bool)
        if counted is not None:
            counted &= True if seen is None else seen
            for one in self.job.overlay:
                counted[one.top : one.top + one.height, one.left : one.left + one.width] = False
        pixels_seen = found.shape[0] * found.shape[1] if seen is None else int(seen.sum())
        samples, error = pixels_seen * (3 if found.ndim == 3 else 1), 0.0
        for row in range(0, len(found), ROWS):
            rows = slice(row, row + ROWS)
            part = found[rows].astype(np.int64) - colour[rows] if unit is None else found[rows] * unit - colour[rows]
            part = np.square(part)
            error += (part if counted is None else part[counted[rows]]).sum().item()
        return min(10.0 * math.log10(white_of(colour) ** 2 * samples / error), PSNR_MOST) if error else PSNR_MOST

    def aim(self, missed: int) -> float:
        """What is wanted."""
        return self.wanted

    def allows(self, attempt: Attempt) -> bool:
        """Any is."""
        return True

    def close(self, attempt: Attempt, tries: int) -> bool:
        """Within 0.02 dB, and as much again for each further try: PSNR rises unevenly in small steps of quality."""
        return abs(self.wanted - attempt.value) <= 0.02 * min(tries, 3)

    def met(self, best: Attempt | None, highest: int) -> bool:
        """At the lowest quality pictures are as good as they are; the highest may not be good enough."""
        assert best is not None
        return best.q < highest or best.value > self.wanted - 0.1

    def above(self, best: Attempt) -> bool:
        """By more than a search may miss."""
        return best.value > self.wanted + 0.1

    def refusal(self, least: Attempt, most: Attempt) -> str:
        """What can be had."""
        return f"qualities {_span(self.job, least, most)} make {least.value:.2f} to {most.value:.2f} dB"


def _size(attempt: Attempt) -> int:
    return len(attempt.data or b"")


def _span(job: Encoding, least: Attempt, most: Attempt) -> str:
    """Of qualities, those of the lowest and of the highest model of a job."""
    target = job.settings.target
    assert target is not None
    first, last = target.spans[0].model.manifest, target.spans[-1].model.manifest
    return f"{first.quality_at(least.q):g} to {last.quality_at(most.q):g}"


def goal_of(job: Encoding) -> Goal:
    """What a job's target comes to for its picture."""
    target = job.settings.target
    assert target is not None
    assert job.scene is not None
    header = job.scene.header
    pixels = header.width * header.height
    if target.kind == "target_psnr":
        return Psnr(job, target.value)
    if target.kind == "target_bpp":
        return Size(job, int(target.value * pixels / 8))
    if target.kind == "ratio":
        return Size(job, int(pixels * len(header.layout) / target.value))
    return Size(job, int(target.value))
