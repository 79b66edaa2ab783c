"""Rate control: finds the quality at which a file has the size, or the PSNR, that was asked for.

One analysis serves all tries, since y hardly depends on quality. Effort 0 tells within a percent what size a file of
more effort will have; so effort searches once, at a quality that is nearly right, and what it found serves the
qualities around (engines/base.py: `at`, `refined`). Every try is a whole file, or its pixels: nothing is estimated in
the end.

What stands exactly over the networks' picture (codec/screen.py) depends on the quality as well: it is planned at the
quality that is guessed, and once more where another is found.

Imports screen, engines' seam and ground; numpy when pixels are compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ..constants import HASH_BYTES, LIC_QUALITY_MAX, LIC_QUALITY_MIN
from ..errors import LicTargetUnreachable
from ..quality import coarsest, from_q
from .screen import Plan, planned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engines.base import Latents, Symbols
    from .encode import Encoding
    from .options import Span

PROBES = 4  # at effort 0, until one is near
TRIES = 8  # with what effort found, until one is close
DESCENTS = 16  # further ones while every file is too large, each twice as far below
FAR = 150  # steps of Q beyond those of a model at which one need not look at its end
PLANS = 2  # of what is exact
ROWS = 256  # of pixels that are compared at once
APART = 800  # steps of Q from where a picture was planned, from which on it is planned again
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

    def close(self, attempt: Attempt) -> bool:
        """Whether it is as near as one need come."""

    def met(self, best: Attempt | None, highest: int) -> bool:
        """Whether the best attempt is what was asked for, or better. highest: the Q above which there is none."""

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

    def close(self, attempt: Attempt) -> bool:
        """Within 0.25 percent, or two bytes."""
        return self.allows(attempt) and self.wanted - attempt.value <= max(2.5e-3, 2.0 / max(self.most, 1))

    def met(self, best: Attempt | None, highest: int) -> bool:
        """At the highest quality files are as small as they are."""
        return best is not None

    def refusal(self, least: Attempt, most: Attempt) -> str:
        """The sizes that can be had."""
        if least.symbols is None:
            return f"kept exactly, the picture takes {_size(least)} bytes"
        sizes = f"{_size(least)} to {_size(most)} bytes"
        beside = self.job.beside()
        of_them = f", {beside} of them header, metadata and alpha" if beside else ""
        return f"files are to have {self.most} bytes, and qualities {_span(least, most)} make {sizes}{of_them}"


@dataclass
class Psnr:
    """A PSNR of the colours in dB."""

    job: Encoding
    wanted: float
    slope = 1.3e-3
    near = 0.35
    lift = 0.25

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
        """Of decoded pixels uint8 (H, W, 3), or of grey (H, W), in dB: what the overlay covers is without error, what
        nobody sees does not count.
        """
        import numpy as np

        assert self.job.picture is not None
        assert self.job.scene is not None
        found, colour, seen = np.asarray(pixels), self.job.picture.colour, self.job.scene.seen
        colour = colour if found.ndim == 3 else colour[..., 0]
        counted = None if seen is None and not self.job.overlay else np.ones(found.shape[:2], bool)
        if counted is not None:
            counted &= True if seen is None else seen
            for one in self.job.overlay:
                counted[one.top : one.top + one.height, one.left : one.left + one.width] = False
        pixels_seen = found.shape[0] * found.shape[1] if seen is None else int(seen.sum())
        samples, error = pixels_seen * (3 if found.ndim == 3 else 1), 0
        for row in range(0, len(found), ROWS):
            rows = slice(row, row + ROWS)
            part = np.square(found[rows].astype(np.int32) - colour[rows])
            error += int((part if counted is None else part[counted[rows]]).sum(dtype=np.int64))
        return min(10.0 * math.log10(255.0**2 * samples / error), PSNR_MOST) if error else PSNR_MOST

    def aim(self, missed: int) -> float:
        """What is wanted."""
        return self.wanted

    def allows(self, attempt: Attempt) -> bool:
        """Any is."""
        return True

    def close(self, attempt: Attempt) -> bool:
        """Within 0.02 dB."""
        return abs(self.wanted - attempt.value) <= 0.02

    def met(self, best: Attempt | None, highest: int) -> bool:
        """At the lowest quality pictures are as good as they are; the highest may not be good enough."""
        assert best is not None
        return best.q < highest or best.value > self.wanted - 0.1

    def refusal(self, least: Attempt, most: Attempt) -> str:
        """What can be had."""
        return f"qualities {_span(least, most)} make {least.value:.2f} to {most.value:.2f} dB"


def _size(attempt: Attempt) -> int:
    return len(attempt.data or b"")


def _span(least: Attempt, most: Attempt) -> str:
    return f"{from_q(least.q):g} to {from_q(most.q):g}"


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


@dataclass
class _Search:
    """The qualities of one model of the ladder."""

    job: Encoding
    goal: Goal
    place: int  # of the model
    from_below: bool = False  # whether all qualities that it was trained for count, not those it is first choice for
    latents: Latents | None = None
    tried: dict[int, Attempt] = field(default_factory=dict)

    @property
    def span(self) -> Span:
        """The model's."""
        return _spans(self.job)[self.place]

    @property
    def floor(self) -> int:
        """The lowest quality that the model was trained for."""
        return self.span.model.manifest.quality[0]

    @property
    def low(self) -> int:
        """The lowest quality to look at."""
        first = self.from_below or not self.place
        return self.floor if first else max(self.floor, _spans(self.job)[self.place - 1].q + 1)

    def attempt(self, q: int) -> Attempt:
        """At quality Q, with what effort found if it has been asked."""
        engine = self.span.engine
        if self.latents is None:
            self.latents = engine.analyse([self.job.at(self.span.model, q, engine)])
        elif self.latents.pictures[0].header.quality_q != q:
            self.latents = engine.at(self.latents, q)
        (arrival,) = engine.quantise(self.latents, 0)
        arrival.wait()
        self.tried[q] = made = self.goal.attempt(arrival.value, self.span)
        return made

    def approach(self, guess: int) -> int:
        """By effort 0 towards the goal, from a guess on. Returns where it is expected, which may be beyond these
        qualities.
        """
        wanted = self.goal.wanted - (self.goal.lift if self.span.effort else 0.0)
        q, expected = self.within(guess, self.low), guess
        if q in self.tried:
            q = self.within(expected := self.expected(wanted), self.low)
        for _ in range(PROBES):
            if q in self.tried:
                break
            made = self.attempt(q)
            ahead, expected = wanted - made.value, self.expected(wanted)
            q = self.within(expected, self.low)
            doubt = FAR + abs(expected - made.q) // 2
            if abs(ahead) <= self.goal.near or q in self.tried or self.beyond(expected) > doubt:
                break
        return expected

    def beyond(self, q: int) -> int:
        """How far it is beyond these qualities, towards another model."""
        below, above = self.low - q if self.place else 0, q - self.span.q
        return max(below, above if self.place + 1 < len(_spans(self.job)) else 0)

    def settle(self, q: int) -> Attempt | None:
        """The best attempt with all effort, which searches at Q; None where none may be kept."""
        q = self.within(q, self.floor)
        if self.span.effort:
            assert self.latents is not None
            if self.latents.pictures[0].header.quality_q != q:
                self.latents = self.span.engine.at(self.latents, q)
            self.latents = self.span.engine.refined(self.latents, self.span.effort)
            self.tried.clear()
            self.attempt(q)
        for count in range(TRIES + DESCENTS):
            best = self.best()
            if best is not None and (count >= TRIES or self.goal.close(best)):
                break
            missed = 0 if best is not None else len(self.tried)
            q = self.within(self.expected(self.goal.aim(missed)), self.floor)
            if q in self.tried and best is None:
                q = self.within(min(self.tried) - 2**missed, self.floor)
            if q in self.tried and best is not None:
                q = self.halfway(best)
            if q in self.tried:
                break
            self.attempt(q)
        return self.best()

    def halfway(self, best: Attempt) -> int:
        """Between the best and the nearest on the other side: sizes of near qualities may fall where the quality
        rises.
        """
        above = best.value <= self.goal.wanted
        others = [q for q in self.tried if (q > best.q if above else q < best.q)]
        nearest = min(others, key=lambda q: abs(q - best.q), default=best.q)
        return self.within((best.q + nearest) // 2, self.floor)

    def best(self) -> Attempt | None:
        """The nearest to the goal of those that may be kept."""
        allowed = [one for one in self.tried.values() if self.goal.allows(one)]
        return min(allowed, key=lambda one: abs(self.goal.wanted - one.value), default=None)

    def within(self, q: int, low: int) -> int:
        """The nearest of these qualities from `low` on; of those whose tables are the same, the lowest."""
        nearest = min(max(q, low), self.span.q)
        return max(coarsest(nearest, self.span.model.manifest.points), low)

    def expected(self, wanted: float) -> int:
        """The Q at which a value is to be expected, by what has been tried."""
        points = sorted((one.value, one.q) for one in self.tried.values())
        below, above = [p for p in points if p[0] <= wanted], [p for p in points if p[0] > wanted]
        if below and above:
            (v0, q0), (v1, q1) = below[-1], above[0]
            return math.floor(q0 + (q1 - q0) * (wanted - v0) / (v1 - v0))
        v, q = below[-1] if below else above[0]
        return math.floor(q + (wanted - v) / self.slope(points))

    def slope(self, points: Sequence[tuple[float, int]]) -> float:
        """Of the two nearest points, within reason."""
        usual = self.goal.slope
        if len(points) < 2:
            return usual
        (v0, q0), (v1, q1) = points[:2] if points[0][0] > self.goal.wanted else points[-2:]
        return min(max((v1 - v0) / (q1 - q0), usual / 3), usual * 3) if q1 > q0 else usual


def sought(job: Encoding) -> Attempt:
    """The file of a job with a target, which has begun. Raises LicTargetUnreachable."""
    assert job.scene is not None
    goal, best, plan = goal_of(job), None, Plan(job.scene.colour, [])
    q = min(max(goal.guess(), LIC_QUALITY_MIN), LIC_QUALITY_MAX)
    for _ in range(PLANS):
        before, plan = plan, _planned(job, q)
        if best is not None and not (plan.overlay or before.overlay):
            break  # a photograph
        job.take(plan)
        try:
            best = _met(job, goal, q)
        except LicTargetUnreachable as problem:
            if best is not None:
                break
            if not plan.overlay:
                raise
            return _without_overlay(job, goal, q, problem)
        if abs(best.q - q) <= APART:
            break
        q = best.q
    assert best is not None
    return best


def _without_overlay(job: Encoding, goal: Goal, q: int, problem: LicTargetUnreachable) -> Attempt:
    """What is exact may cost too much. problem: what there was to say of it."""
    assert job.scene is not None
    alone = job.picture is None
    job.take(Plan(job.scene.colour, []))
    try:
        return _met(job, goal, q)
    except LicTargetUnreachable as other:
        if not alone:
            raise problem from other
        msg = f"{other}; {str(problem).partition(': ')[2]}"
        raise LicTargetUnreachable(msg) from problem


def _planned(job: Encoding, q: int) -> Plan:
    """What stands exactly over the picture at quality Q."""
    assert job.scene is not None
    span = _spans(job)[_place(job, q)]
    settings = job.settings._replace(q=q, model=span.model, effort=span.effort, engine=span.engine)
    header = job.scene.header.named(span.model.number, span.model.hash[:HASH_BYTES], q)
    return planned(replace(job.scene, header=header, settings=settings))


def _met(job: Encoding, goal: Goal, guess: int) -> Attempt:
    """The file that meets the goal, of a job as it is planned. Raises LicTargetUnreachable."""
    if job.picture is None:
        found: Attempt | None = goal.exactly()
        assert found is not None
        if not goal.allows(found):
            raise LicTargetUnreachable(_said(job, goal.refusal(found, found)))
        return found if found.data is not None else found._replace(data=job.file(None))
    search, expected = _chosen(job, goal, guess)
    found = search.settle(expected)
    while found is None and search.place:
        search = _Search(job, goal, search.place - 1)
        found = search.settle(search.approach(search.span.q))
    top = _spans(job)[-1]
    if not goal.met(found, coarsest(top.q, top.model.manifest.points)):
        raise LicTargetUnreachable(_refusal(job, goal, search))
    assert found is not None
    return found if found.data is not None else found._replace(data=job.file(found.symbols))


def _place(job: Encoding, q: int) -> int:
    """Of the model for quality Q."""
    spans = _spans(job)
    return next((k for k, span in enumerate(spans) if q <= span.q), len(spans) - 1)


def _chosen(job: Encoding, goal: Goal, expected: int) -> tuple[_Search, int]:
    """The model of the ladder among whose qualities the goal lies, as far as it has been searched, and at what Q it is
    expected.
    """
    spans, place = _spans(job), _place(job, expected)
    search = _Search(job, goal, place)
    expected = search.approach(expected)
    searches = {place: search}
    if expected < search.low and place:
        searches[place - 1] = search = _Search(job, goal, place - 1)
        expected = search.approach(expected)
    while expected > search.span.q and search.place + 1 < len(spans):
        search = searches.get(search.place + 1) or _Search(job, goal, search.place + 1)
        search.from_below = True
        expected = search.approach(expected)
    return search, expected


def _spans(job: Encoding) -> Sequence[Span]:
    assert job.settings.target is not None
    return job.settings.target.spans


def _refusal(job: Encoding, goal: Goal, search: _Search) -> str:
    spans = _spans(job)
    lowest = _Search(job, goal, 0)
    least = search.tried.get(lowest.floor) or lowest.attempt(lowest.floor)
    most = _Search(job, goal, len(spans) - 1).attempt(spans[-1].q)
    return _said(job, goal.refusal(least, most))


def _said(job: Encoding, why: str) -> str:
    target = job.settings.target
    assert target is not None
    return f"{target.kind}={target.value:g} cannot be met: {why}"
