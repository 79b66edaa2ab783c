"""Many pictures at once: work on threads before and after the networks, and the networks in between, overlapped, in
bounded memory.

The batches of the API, the command line and Dask all stand on `encode_many`, `decode_many` or `outcomes`. Imports the
standard library, this folder and ground; numpy when arrays come.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Unpack

from ..errors import LicBadOption, LicError
from ..imports import imported
from ..threads import cramped, submit, with_large_stack
from .decode import Decoding, read
from .decode_options import DecodeKeywords, DecodeOptions
from .encode import LAYOUTS, Encoding
from .keywords import keywords
from .metadata import NO_METADATA, Metadata
from .options import EncodeKeywords, EncodeOptions, EncodeSettings

if TYPE_CHECKING:
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from ..engines.base import Arrival, Engine
    from .decoded import Decoded

WINDOW = 1 << 26  # pixels of the pictures that are in flight; a larger picture flies alone
FLIGHTS_MAX = 256  # pictures in flight, however small
FLIGHTS_ALONE = 32  # the same where no two share a call of the engine: more would only wait
GROUP_MAX = 32  # pictures that share a call of an engine
DEPTH = 2  # groups that an engine has been given: it computes one while the next waits


class Item(NamedTuple):
    """A picture: whatever names it, its pixels, and what goes along with it."""

    key: Any
    array: NDArray[Any]
    metadata: Metadata = NO_METADATA


# ---- What programs call -------------------------------------------------------------------------------------------


@keywords(EncodeOptions)
def encode_batch(arrays: Iterable[NDArray[Any]], **options: Unpack[EncodeKeywords]) -> list[bytes]:
    """As `encode` of each array, in less time: entropy coding on threads beside the networks, on a GPU several images
    at once.

    arrays: of any sizes and layouts; a generator is read as fast as there is room, and may fill the same array again
    and again. On a CPU the files are those of `encode`; on a GPU images may share network calls, whose rounding may
    turn residuals. Options as of `encode`. Raises as `encode` does for one that is wrong, with a note of which.
    """
    if cramped():
        return with_large_stack(encode_batch, arrays, **options)
    settings = EncodeOptions(**options).checked()
    shape = getattr(arrays, "shape", None)
    if shape is not None and (len(shape) < 3 or (len(shape) == 3 and shape[2] in LAYOUTS)):
        msg = f"arrays must be several pictures, found an array of shape {shape}, which is one: hand in [array]"
        raise LicBadOption(msg)
    return [data for _, data in _encoded(_numbered(arrays), settings)]


@keywords(DecodeOptions)
def decode_batch(files: Iterable[bytes], **options: Unpack[DecodeKeywords]) -> list[Any]:
    """As `decode` of each file's bytes, in less time, as `encode_batch`. Models, sizes and layouts may be mixed at
    will.

    Options as of `decode`. Raises as `decode` does for one that is wrong, with a note of which.
    """
    if cramped():
        return with_large_stack(decode_batch, files, **options)
    return [item.array for item in _decoded(enumerate(files), DecodeOptions(**options).checked())]


@keywords(EncodeOptions)
def encode_many(items: Iterable[tuple[Any, ...]], **options: Unpack[EncodeKeywords]) -> Iterator[tuple[Any, bytes]]:
    """(key, file) of each item, in their order, as they are ready. A bounded number of pictures is in memory at any
    time.

    items: (key, array) or (key, array, metadata), where metadata is a dict with bytes as `icc`, `exif`, `xmp`, or what
    `decode_many` gives. A generator is read as fast as there is room; each of its arrays must be its own. Options as of
    `encode`. They are checked at once; a wrong item ends it with an error that has a note of which.
    """
    return _encoded(map(_item, items), EncodeOptions(**options).checked())


@keywords(DecodeOptions)
def decode_many(files: Iterable[tuple[Any, Any]], **options: Unpack[DecodeKeywords]) -> Iterator[Item]:
    """(key, array, metadata) of each (key, file), likewise, which is what `encode_many` takes.

    files: the file is its bytes, its path, or a binary file that can seek. Options as of `decode`.
    """
    return _decoded(files, DecodeOptions(**options).checked(), metadata=True)


def _item(given: Any) -> Item:
    """As an Item. Raises LicBadOption."""
    try:
        item = Item(*given)
        metadata = Metadata(**item.metadata) if isinstance(item.metadata, dict) else Metadata(*item.metadata)
    except TypeError as error:
        msg = "an item must be (key, array) or (key, array, metadata), metadata a dict of icc, exif and xmp as bytes"
        raise LicBadOption(msg) from error
    return item._replace(metadata=metadata)


def _numbered(arrays: Iterable[Any]) -> Iterator[Item]:
    """A generator may fill one array again and again; what is in a sequence stays as it is."""
    imported("numpy")
    import numpy as np

    kept = isinstance(arrays, (Sequence, np.ndarray))
    for number, array in enumerate(arrays):
        yield Item(number, array if kept or hasattr(array, "getbands") else np.array(array))


def _encoded(items: Iterable[Item], settings: EncodeSettings) -> Iterator[tuple[Any, bytes]]:
    jobs = _noted(items, lambda item: (item.key, Encoding(item.array, settings, item.metadata)))
    for number, outcome in enumerate(outcomes(jobs)):
        yield outcome.key, _unless_wrong(outcome, number)


def _decoded(files: Iterable[tuple[Any, Any]], options: DecodeOptions, *, metadata: bool = False) -> Iterator[Item]:
    def job(one: tuple[Any, Any]) -> tuple[Any, Decoding]:
        made = Decoding(read(one[1], options, metadata=metadata), options)
        return (one[0], made), made

    for number, outcome in enumerate(outcomes(_noted(files, job))):
        key, made = outcome.key
        found: Decoded = _unless_wrong(outcome, number)
        made.engine.hand_over([found.colour])
        chunks = made.chunks
        stated = Metadata(chunks.icc, chunks.exif, chunks.xmp, chunks.cicp)
        yield Item(key, found.array(options.order), stated)


def _noted(items: Iterable[Any], job: Callable[[Any], tuple[Any, Job]]) -> Iterator[tuple[Any, Job]]:
    """job(item) of each; an error gets a note of which it was."""
    for number, item in enumerate(items):
        try:
            made = job(item)
        except LicError as error:
            _note(error, number)
            raise
        yield made


def _unless_wrong(outcome: Outcome, number: int) -> Any:
    if outcome.error is not None:
        _note(outcome.error, number)
        raise outcome.error
    for note in outcome.notes:
        warnings.warn(f"image {number}: {note}", stacklevel=3)
    return outcome.result


def _note(error: Exception, number: int) -> None:
    error.add_note(f"image {number} of the batch, counted from 0")


# ---- The line -----------------------------------------------------------------------------------------------------


class Job(Protocol):
    """A picture under way: Encoding, Decoding. Threads call begin and end, the thread of the caller calls run."""

    @property
    def pixels(self) -> int:
        """What it is reckoned as against WINDOW."""

    @property
    def notes(self) -> Sequence[str]:
        """What there is to warn of, once it has ended."""

    @property
    def engine(self) -> Engine:
        """What runs its networks."""

    @property
    def key(self) -> Any:
        """Jobs of equal key may share a call of the engine."""

    def begin(self) -> None:
        """All that comes before the networks."""

    @staticmethod
    def run(jobs: Any) -> Sequence[Arrival[Any]]:
        """The networks, of jobs of equal key that have begun."""

    def end(self, arrival: Any) -> Any:
        """The result, from what `run` returned for the job."""


class Outcome(NamedTuple):
    """What became of a job."""

    key: Any
    result: Any
    error: Exception | None
    notes: Sequence[str]


def outcomes(jobs: Iterable[tuple[Any, Job]]) -> Iterator[Outcome]:
    """What becomes of jobs with their keys, in their order, as they are ready; errors of one are its own. Jobs are
    taken as there is room.
    """
    line = _Line()
    try:
        for key, job in jobs:
            yield from line.room(job)
            line.admit(key, job)
        yield from line.rest()
    finally:
        line.abandon()


@dataclass(eq=False)
class _Flight:
    """A job under way."""

    key: Any
    job: Job
    pixels: int
    begun: Future[None] | None
    ended: Future[Any] | None = None
    error: Exception | None = None
    landed: bool = False

    def wait_begun(self) -> bool:
        """Whether it can go on."""
        assert self.begun is not None
        try:
            self.begun.result()
        except Exception as error:
            self.error = error
        return self.error is None

    def outcome(self) -> Outcome:
        """What became of it, when it is over."""
        result = None
        if self.error is None and self.ended is not None:
            try:
                result = self.ended.result()
            except Exception as error:
                self.error = error
        return Outcome(self.key, result, self.error, self.job.notes)


class _Line:
    """Jobs wait for their engine, oldest first, and then for their results."""

    def __init__(self) -> None:
        self.order: deque[_Flight] = deque()  # all that have not been handed over
        self.waiting: deque[_Flight] = deque()
        self.launched: deque[list[_Flight]] = deque()
        self.streams: dict[Engine, Iterator[AbstractContextManager[Any]]] = {}
        self.load = 0

    def room(self, job: Job) -> Iterator[Outcome]:
        """Hand over what is ready until there is room for a job."""
        while self.load and self.load + _weight(job) > WINDOW:
            self._advance()
            yield from self._ready()

    def admit(self, key: Any, job: Job) -> None:
        """Begin with a job."""
        flight = _Flight(key, job, _weight(job), submit(job.begin))
        self.load += flight.pixels
        self.order.append(flight)
        self.waiting.append(flight)

    def rest(self) -> Iterator[Outcome]:
        """Finish what is under way."""
        while self.waiting or self.launched:
            self._advance()
            yield from self._ready()

    def abandon(self) -> None:
        """Begin with nothing more, and wait for what has begun."""
        for flight in self.order:
            for future in (flight.begun, flight.ended):
                if future is not None and not future.cancel():
                    future.exception()

    def _ready(self) -> Iterator[Outcome]:
        while self.order and self.order[0].landed:
            flight = self.order.popleft()
            outcome = flight.outcome()
            self.load -= flight.pixels
            yield outcome

    def _advance(self) -> None:
        """Give the engine a group unless it has enough to do; else wait for its oldest."""
        if self.waiting and len(self.launched) < DEPTH:
            self._launch()
        else:
            for flight in self.launched.popleft():
                flight.outcome()  # waits
                flight.landed = True

    def _launch(self) -> None:
        """The oldest and others like it."""
        group = self._group()
        able = [flight for flight in group if flight.wait_begun()]
        if able:
            engine = able[0].job.engine
            streams = self.streams.get(engine) or self.streams.setdefault(engine, cycle(engine.streams()))
            with next(streams):
                self._run(able)
        self.launched.append(group)

    def _run(self, group: list[_Flight]) -> None:
        try:
            arrivals = group[0].job.run([flight.job for flight in group])
        except Exception as error:
            for flight in group:
                flight.error = error
            return
        for flight, arrival in zip(group, arrivals, strict=True):
            flight.begun, flight.ended = None, submit(flight.job.end, arrival)

    def _group(self) -> list[_Flight]:
        """The oldest job, with others like it as far as a call has room for them."""
        first = self.waiting.popleft()
        group, pixels, key, room = [first], first.pixels, first.job.key, first.job.engine.group
        for flight in list(self.waiting):
            if len(group) < GROUP_MAX and pixels + flight.pixels <= room and flight.job.key == key:
                self.waiting.remove(flight)
                group.append(flight)
                pixels += flight.pixels
        return group


def _weight(job: Job) -> int:
    return max(job.pixels, WINDOW // (FLIGHTS_MAX if job.engine.group else FLIGHTS_ALONE))
