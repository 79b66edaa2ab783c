"""The search over the qualities of one model of the ladder: probes at effort 0, then tries with what effort found.

Imports engines' seam and ground.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ...quality import coarsest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...engines.base import Latents
    from ..encode import Encoding
    from ..options import Span
    from .goals import Attempt, Goal

PROBES = 4  # at effort 0, until one is near
TRIES = 8  # with what effort found, until one is close
DESCENTS = 16  # further ones while every file is too large, each twice as far below
ALIKE = 1500  # steps of Q within which one analysis serves: y hardly depends on the quality, but for its ends
FAR = 150  # steps of Q beyond those of a model at which one need not look at its end


def spans(job: Encoding) -> Sequence[Span]:
    """The ladder of models that a job's target may use."""
    assert job.settings.target is not None
    return job.settings.target.spans


@dataclass
class Search:
    """The qualities of one model of the ladder."""

    job: Encoding
    goal: Goal
    place: int  # of the model
    from_below: bool = False  # whether all qualities that it was trained for count, not those it is first choice for
    latents: Latents | None = None
    analysed: int = 0  # the Q that the analysis was made for
    searched: bool = False  # whether effort has changed what it found
    tried: dict[int, Attempt] = field(default_factory=dict)

    @property
    def span(self) -> Span:
        """The model's."""
        return spans(self.job)[self.place]

    @property
    def floor(self) -> int:
        """The lowest quality that the model was trained for."""
        return self.span.model.manifest.quality[0]

    @property
    def low(self) -> int:
        """The lowest quality to look at."""
        first = self.from_below or not self.place
        return self.floor if first else max(self.floor, spans(self.job)[self.place - 1].q + 1)

    def attempt(self, q: int) -> Attempt:
        """At quality Q, with what effort found if it has been asked."""
        engine = self.span.engine
        (arrival,) = engine.quantise(self.seen_at(q), 0)
        arrival.wait()
        self.tried[q] = made = self.goal.attempt(arrival.value, self.span)
        return made

    def seen_at(self, q: int) -> Latents:
        """The latents at quality Q: what effort found, else those of an analysis for a quality that is not far."""
        engine = self.span.engine
        if self.latents is None or (not self.searched and abs(q - self.analysed) > ALIKE):
            self.latents, self.analysed = engine.analyse([self.job.at(self.span.model, q, engine)]), q
        elif self.latents.pictures[0].header.quality_q != q:
            self.latents = engine.at(self.latents, q)
        return self.latents

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
        return max(below, above if self.place + 1 < len(spans(self.job)) else 0)

    def settle(self, q: int) -> Attempt | None:
        """The best attempt with all effort, which searches at Q; None where none may be kept."""
        q = self.within(q, self.floor)
        regions, engine = self.job.settings.regions, self.span.engine
        mapped = regions is not None and regions.uniform
        if self.span.effort or mapped:
            self.latents = self.seen_at(q)
            if mapped:  # by what blocks come to at a quality that is likely
                at_q = replace(self.latents, pictures=[self.job.at(self.span.model, q, engine)])
                self.latents = engine.at(at_q, q)
            if self.span.effort:
                self.latents, self.searched = engine.refined(self.latents, self.span.effort), True
            self.tried.clear()
            self.attempt(q)
        for count in range(TRIES + DESCENTS):
            best = self.best()
            if best is not None and (count >= TRIES or self.goal.close(best, len(self.tried))):
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
