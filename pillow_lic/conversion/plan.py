"""Which files there are, and where each goes.

Imports Pillow, which knows the extensions of pictures.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from PIL import Image

from ..errors import LicBadOption
from ..signature import EXTENSION, FORMAT
from .convert import FAILED, File, Result
from .places import begins_as_ours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .places import Place


def sources(places: Iterable[Place], suffix: str, problem: Callable[[str], object]) -> Iterator[tuple[Place, Path]]:
    """(file, its place below the folder it was found in): named files as they are, of folders what becomes files of
    the suffix: pictures for `.lic`, else those that begin as ours. What is named twice counts once.
    """
    seen: set[tuple[Place, Path]] = set()
    for place in places:
        for file, below in _named(place, suffix, problem):
            key = file.absolute(), below
            if key not in seen:
                seen.add(key)
                yield file, below


def _named(place: Place, suffix: str, problem: Callable[[str], object]) -> Iterator[tuple[Place, Path]]:
    if not place.is_folder():
        yield place, Path(place.name)
        return
    wanted = is_picture if suffix == EXTENSION else is_lic
    yield from ((file, Path(below)) for file, below in place.walk(problem) if wanted(file))


def is_picture(place: Place) -> bool:
    """Whether its name is that of a picture in another format."""
    format = Image.registered_extensions().get(place.suffix.lower())
    return format in Image.OPEN and format != FORMAT


def is_lic(place: Place) -> bool:
    """Whether it is an image of ours: in a folder, licence files of the same extension are passed over."""
    return place.suffix.lower() == EXTENSION and begins_as_ours(place)


def placed(source: Place, below: Path | PurePosixPath, output: Place | None, suffix: str) -> File:
    """A file, and where it goes: below the output, or beside its source."""
    try:
        return File(source, (output.below(below) if output is not None else source).with_suffix(suffix))
    except ValueError as error:  # no name
        msg = f"{source}: {error}"
        raise LicBadOption(msg) from error


def unless_taken(file: File, first: dict[Place, File]) -> File | Result:
    """The file, or what to say of it where its target is that of another. first: each target's file, which is added."""
    if file.target is None or (taken := first.setdefault(file.target, file)) is file:
        return file
    problem = f"{file.target} is already taken by {taken.name}"
    return Result(file.name, str(file.target), FAILED, problem=problem)
