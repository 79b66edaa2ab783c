"""Many images at once: work on threads before and after the networks, and the networks in between, overlapped, in bounded memory.

Knows neither encoding nor decoding: those hand in their three stages. Imports torch and the device.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from typing import Any, NamedTuple

import torch

from .device import Arrival, Place

WINDOW = 1 << 26  # pixels of the images that are in flight; a larger image flies alone
FLIGHTS_MAX = 256  # images in flight, however small
GROUP_MAX = 32  # images that share a network call
DEPTH = 2  # groups that the device has been given: it computes one while the next waits


class Stages(NamedTuple):
    """What is done to one image, or to a group. Threads call start and finish, the thread of the caller calls network."""

    start: Callable[[Any, ThreadPoolExecutor], Any]  # a job, a pool for its tiles
    network: Callable[[list[Any], int | None], list[Arrival]]  # what start returned, of like key; side of a piece
    finish: Callable[[Any, Arrival, ThreadPoolExecutor], Any]  # what start returned, what network returned for it
    pixels: Callable[[Any], int]  # of a job
    key: Callable[[Any], Hashable]  # jobs of equal key may share a network call


def in_threads(work: Callable, *rows: Sequence, pool: ThreadPoolExecutor | None = None) -> list:
    """[work(...) for each tile], in a pool, or on as many threads as torch may use; the coder releases the GIL."""
    if pool is not None:
        return list(pool.map(work, *rows))
    threads = min(torch.get_num_threads(), len(rows[0]), os.cpu_count() or 1)
    if threads <= 1:
        return [work(*row) for row in zip(*rows)]
    with ThreadPoolExecutor(threads) as own:
        return list(own.map(work, *rows))


@dataclass(eq=False)
class _Flight:
    """An image under way."""

    number: int
    job: Any
    pixels: int
    begun: Future
    ended: Future | None = None


def run(jobs: Iterable[Any], stages: Stages, place: Place) -> list[Any]:
    """The results of all jobs in their order. Jobs are taken as there is room for them; the first error ends it all."""
    threads = max(torch.get_num_threads(), 1)
    with (
        ThreadPoolExecutor(threads) as tiles,
        ThreadPoolExecutor(threads) as starts,
        ThreadPoolExecutor(threads) as ends,
    ):
        line = _Line(stages, place, tiles, starts, ends)
        try:
            for job in jobs:
                line.admit(job)
            return line.rest()
        except BaseException:
            for pool in (starts, ends, tiles):
                pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Line:
    """Images wait for the networks, oldest first, and then for their results. Each pool's work waits on a later pool's alone."""

    def __init__(
        self,
        stages: Stages,
        place: Place,
        tiles: ThreadPoolExecutor,
        starts: ThreadPoolExecutor,
        ends: ThreadPoolExecutor,
    ):
        self.stages, self.place = stages, place
        self.tiles, self.starts, self.ends = tiles, starts, ends
        self.streams = cycle(place.streams())
        self.waiting: deque[_Flight] = deque()
        self.launched: deque[list[_Flight]] = deque()
        self.results: dict[int, Any] = {}
        self.load = self.count = 0

    def admit(self, job: Any) -> None:
        """Begin with a job as soon as there is room for it."""
        pixels = max(self.stages.pixels(job), WINDOW // FLIGHTS_MAX)
        while self.load and self.load + pixels > WINDOW:
            self._advance()
        self.load += pixels
        begun = self.starts.submit(self.stages.start, job, self.tiles)
        self.waiting.append(_Flight(self.count, job, pixels, begun))
        self.count += 1

    def rest(self) -> list[Any]:
        """Finish what is under way: all results, in the order of their jobs."""
        while self.waiting or self.launched:
            self._advance()
        return [self.results[number] for number in range(self.count)]

    def _advance(self) -> None:
        """Give the device a group unless it has enough to do; else wait for its oldest."""
        if self.waiting and len(self.launched) < DEPTH:
            self._launch()
        else:
            self._retire()

    def _launch(self) -> None:
        group = self._group()
        started = [_result(flight.number, flight.begun) for flight in group]
        with next(self.streams):
            arrivals = self.place.fitting(self.stages.network, started)
        for flight, begun, arrival in zip(group, started, arrivals, strict=True):
            flight.ended = self.ends.submit(self.stages.finish, begun, arrival, self.tiles)
            flight.begun = None  # or it would hold on to memory
        self.launched.append(group)

    def _group(self) -> list[_Flight]:
        """The oldest image, with others like it as far as a call has room for them."""
        first = self.waiting.popleft()
        group, pixels, key = [first], first.pixels, self.stages.key(first.job)
        for flight in list(self.waiting):
            if (
                len(group) < GROUP_MAX
                and pixels + flight.pixels <= self.place.group
                and self.stages.key(flight.job) == key
            ):
                self.waiting.remove(flight)
                group.append(flight)
                pixels += flight.pixels
        return group

    def _retire(self) -> None:
        for flight in self.launched.popleft():
            self.results[flight.number] = _result(flight.number, flight.ended)
            self.load -= flight.pixels


def _result(number: int, future: Future) -> Any:
    try:
        return future.result()
    except Exception as error:
        error.add_note(f"image {number} of the batch, counted from 0")
        raise
