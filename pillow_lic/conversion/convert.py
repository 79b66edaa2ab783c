"""Files through the pipeline: opened on threads, coded, written on threads, one result for each.

Stands on codec.pipeline, which comes with the first image.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .. import threads
from ..plugins import register_lic_opener
from . import at_work, files
from .places import standard_input, standard_output

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from PIL import Image

    from ..codec.pipeline import Job, Outcome
    from .directions import Decode, Encode, Made
    from .places import Place, State

WRITTEN, THERE, FAILED = "written", "there", "failed"  # what became of a file
UNKNOWN: State = ("unknown",)  # of a target that nobody has looked at


class File(NamedTuple):
    """One file to convert. None: standard input, standard output."""

    source: Place | None
    target: Place | None
    before: State = UNKNOWN  # of the target, when the work was shared out

    @property
    def name(self) -> str:
        """What messages call it."""
        return "standard input" if self.source is None else str(self.source)


class Result(NamedTuple):
    """What became of a file: a row of the table."""

    source: str
    target: str
    status: str
    bytes: int | None = None  # of the target, as written
    width: int | None = None
    height: int | None = None
    problem: str | None = None  # what is wrong with it
    notes: tuple[str, ...] = ()  # what there is to say of it


@dataclass(frozen=True)
class Task:
    """What is done with every file. It can be sent to another process."""

    direction: Encode | Decode
    force: bool = False  # overwrite what is there
    skip: bool = False  # pass over whatever is there
    resume: bool = True  # pass over what is finished
    ahead: int | None = None  # files opened ahead, and written, at a time


class _Opened(NamedTuple):
    file: File
    made: Made


def results(found: Iterable[File], task: Task) -> Iterator[Result]:
    """One for each file, as they are done; nothing that is wrong with one stops the others. Files are read as there is
    room for them.

    `files.note_mask` was called, and no two files have the same target (plan.unless_taken).
    """
    return _Conversion(task).results(found)


class _Conversion:
    """The files of one call."""

    def __init__(self, task: Task):
        register_lic_opener()
        self.task, self.direction = task, task.direction
        self.most = task.ahead or 2 * threads.count()

    def results(self, found: Iterable[File]) -> Iterator[Result]:
        from ..codec.pipeline import outcomes

        unopened: list[Result] = []
        for result in threads.ahead(self._finish, outcomes(self._opened(found, unopened)), self.most):
            yield from unopened
            unopened.clear()
            yield result
        yield from unopened

    def _opened(self, found: Iterable[File], unopened: list[Result]) -> Iterator[tuple[_Opened, Job]]:
        for opened in threads.ahead(self._open, found, self.most):
            if isinstance(opened, Result):
                unopened.append(opened)
            else:
                yield opened, opened.made.job

    def _open(self, file: File) -> _Opened | Result:
        at_work.source = file.name
        try:
            there = self._there(file)
            if there is not None:
                return there
            with self._image(file) as image:
                return _Opened(file, self.direction.made(image))
        except Exception as error:  # one bad file must not stop the others
            return _failed(file, error)

    def _image(self, file: File) -> Image.Image:
        source = standard_input() if file.source is None else file.source.source()
        return self.direction.opened(source)

    def _there(self, file: File) -> Result | None:
        """The result where nothing is to be done. Raises FileExistsError where nothing may be done."""
        if file.target is None or not file.target.exists():
            return None
        if file.source is not None and file.source.is_same(file.target):
            msg = "source and target are the same file"
            raise OSError(msg)
        done = self._by_another(file)
        if done is not None or self.task.force:
            return done
        if self.task.skip or (self.task.resume and self._is_finished(file)):
            return Result(file.name, str(file.target), THERE)
        files.refuse(str(file.target))

    def _by_another(self, file: File) -> Result | None:
        """The result where the target was written since the work was shared out: by a process that was killed before
        it could tell.
        """
        assert file.target is not None
        if file.before == UNKNOWN or file.target.state() == file.before or not self._is_finished(file):
            return None
        return Result(file.name, str(file.target), WRITTEN, len_of(file.target))

    def _is_finished(self, file: File) -> bool:
        """Whether the target is whole, and made of the source as it is."""
        assert file.source is not None
        assert file.target is not None
        try:
            made, changed = file.target.changed(), file.source.changed()
            if made is not None and changed is not None and made < changed:
                return False
            return self.direction.is_finished(file.target)
        except Exception:  # whatever is there, it is none of ours
            return False

    def _finish(self, outcome: Outcome) -> Result:
        file, made = outcome.key
        at_work.source = file.name
        try:
            if outcome.error is not None:
                raise outcome.error
            made.notes.extend(f"warning: {note}" for note in outcome.notes)
            size = self._write(file, made, outcome.result)
        except FileExistsError as error:
            return (self._by_another(file) if file.target is not None else None) or _failed(file, error)
        except Exception as error:
            return _failed(file, error)
        width, height = made.size
        return Result(file.name, str(file.target), WRITTEN, size, width, height, notes=tuple(made.notes))

    def _write(self, file: File, made: Made, result: object) -> int:
        """The target; returns its bytes."""
        whole = file.target and file.target.writing(force=self.task.force, source=file.source)
        with whole or standard_output() as target:
            self.direction.write(target, result, made)  # type: ignore[arg-type]
            return target.seek(0, io.SEEK_END)


def len_of(place: Place) -> int:
    """The bytes of a file."""
    with place.opened() as file:
        return file.seek(0, io.SEEK_END)


def _failed(file: File, error: Exception) -> Result:
    return Result(file.name, str(file.target), FAILED, problem=f"{error or type(error).__name__}")
