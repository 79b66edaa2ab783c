"""Rate control: finds the quality at which a file has the size, or the PSNR, that was asked for.

One analysis serves all tries that are not far apart, since y hardly depends on quality. Effort 0 tells within a
percent what size a file of more effort will have; so effort searches once, at a quality that is nearly right, and what
it found serves the qualities around (engines/base.py: `at`, `refined`). Every try is a whole file, or its pixels:
nothing is estimated in the end.

What stands exactly over the networks' picture (codec/screen.py) depends on the quality as well: it is planned at the
quality that is guessed, and once more where another is found.

`goals` says what is searched for, `search` walks through one model's qualities; here models and plans are chosen.
Imports screen, engines' seam and ground.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...constants import HASH_BYTES, LIC_QUALITY_MAX, LIC_QUALITY_MIN
from ...errors import LicTargetUnreachable
from ...quality import coarsest
from ..screen import Plan, planned
from .goals import goal_of
from .search import FAR, Search, spans

if TYPE_CHECKING:
    from ..encode import Encoding
    from .goals import Attempt, Goal

PLANS = 2  # of what is exact
APART = 800  # steps of Q from where a picture was planned, from which on it is planned again


def sought(job: Encoding) -> Attempt:
    """The file of a job with a target, which has begun. Raises LicTargetUnreachable."""
    target = job.settings.target
    assert target is not None
    goal = goal_of(job)
    try:
        best = _sought(job)
    except LicTargetUnreachable:
        if not (target.smaller and goal.descends):
            raise
        return sought(_turned(job))
    floor = spans(job)[0].model.manifest.quality[0]
    if not target.smaller or best.symbols is None or best.q > floor or not goal.above(best):
        return best
    try:  # it is better than asked for, and those models cannot make it worse
        return min(best, sought(_turned(job)), key=lambda one: abs(one.value - goal.wanted))
    except LicTargetUnreachable:  # the others' best is not as good
        return best


def _turned(job: Encoding) -> Encoding:
    """The job with the models that come next for what is smaller."""
    target = job.settings.target
    assert target is not None
    first, *others = target.smaller
    turned = target._replace(spans=first, smaller=tuple(others))
    job.settings = job.settings._replace(**first[-1]._asdict(), target=turned)
    return job


def _sought(job: Encoding) -> Attempt:
    """The file, by the models of its target. Raises LicTargetUnreachable."""
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
    span = spans(job)[_place(job, q)]
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
        search = Search(job, goal, search.place - 1)
        found = search.settle(search.approach(search.span.q))
    top = spans(job)[-1]
    if not goal.met(found, coarsest(top.q, top.model.manifest.points)):
        raise LicTargetUnreachable(_refusal(job, goal, search))
    assert found is not None
    return found if found.data is not None else found._replace(data=job.file(found.symbols))


def _place(job: Encoding, q: int) -> int:
    """Of the model for quality Q."""
    ladder = spans(job)
    return next((k for k, span in enumerate(ladder) if q <= span.q), len(ladder) - 1)


def _chosen(job: Encoding, goal: Goal, expected: int) -> tuple[Search, int]:
    """The model of the ladder among whose qualities the goal lies, as far as it has been searched, and at what Q it is
    expected.
    """
    ladder, place = spans(job), _place(job, expected)
    search = Search(job, goal, place)
    expected = search.approach(expected)
    searches = {place: search}
    if expected < search.low and place:
        searches[place - 1] = search = Search(job, goal, place - 1)
        expected = search.approach(expected)
    while expected > search.span.q and search.place + 1 < len(ladder):
        search = searches.get(search.place + 1) or Search(job, goal, search.place + 1)
        search.from_below = True
        searches[search.place] = search
        expected = search.approach(expected)
    lower = searches.get(search.place - 1)
    if (
        lower is not None and expected < search.floor - FAR
    ):  # even its lowest is beyond the goal, and lower's top is not
        return lower, lower.span.q
    return search, expected


def _refusal(job: Encoding, goal: Goal, search: Search) -> str:
    """Two whole files may be made for it: not where other models come next."""
    target = job.settings.target
    if target is not None and target.smaller and goal.descends:
        return _said(job, "these models make no file so small")
    ladder = spans(job)
    lowest = Search(job, goal, 0)
    least = search.tried.get(lowest.floor) or lowest.attempt(lowest.floor)
    most = Search(job, goal, len(ladder) - 1).attempt(ladder[-1].q)
    return _said(job, goal.refusal(least, most))


def _said(job: Encoding, why: str) -> str:
    target = job.settings.target
    assert target is not None
    return f"{target.kind}={target.value:g} cannot be met: {why}"
