"""Collections on Dask: files to `.lic` and back by its workers, and `.lic` files as lazy arrays.

Stands on the room conversion: a task converts a few files, each written whole or not at all, and returns what became of
them. Imports dask with the functions that need it; `pip install 'pillow-lic[dask]'`.
"""

from __future__ import annotations

import functools
import glob
import importlib
import math
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from . import container, threads
from .codec.decode import decode as decode_file
from .codec.decode_options import DecodeKeywords, DecodeOptions
from .codec.keywords import keywords
from .codec.options import EncodeKeywords, EncodeOptions
from .conversion import files, plan
from .conversion.convert import FAILED, File, Result, Task
from .conversion.convert import results as converted
from .conversion.directions import Decode, Encode
from .conversion.places import Place, local_folders, place_of
from .errors import LicBadOption, LicPackageMissing
from .plugins import register_lic_opener
from .plugins.pixels import dtype_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Unpack

    from numpy.typing import NDArray

FILES_MAX = 16  # of a task: what is done again, at most, when its worker dies
SHARES = 64  # tasks that many files are cut into, at least


# ---- Files ----------------------------------------------------------------------------------------------------------


@keywords(EncodeOptions)
def encode(
    paths: Any,
    folder: Any = None,
    *,
    force: bool = False,
    files_per_task: int | None = None,
    **options: Unpack[EncodeKeywords],
) -> Any:
    """A Dask bag of what becomes of pictures that are made into `.lic` files: a dict for each, with source, target,
    status ("written", "there", "failed"), bytes, width, height, problem and notes.

    paths: files and folders, as paths or URLs of fsspec: one, a list of them, or a Dask bag, of which a partition is a
    task. folder: where the results go, in which those of a folder keep their places; None: beside each source. All
    workers must reach both. A target that is finished is passed over; anything else in its place is a failure, unless
    force=True overwrites it. files_per_task: None for what suits the number of files.

    {options}
    Nothing is done before the bag is computed. `bag.to_dataframe()` is a table. Raises LicPackageMissing without Dask,
    LicBadOption for wrong options.
    """
    return _bag(paths, folder, Task(Encode(EncodeOptions(**options)), force), files_per_task)


@keywords(DecodeOptions)
def decode(
    paths: Any,
    folder: Any = None,
    *,
    to: str = "png",
    quality: int | None = None,
    force: bool = False,
    files_per_task: int | None = None,
    **options: Unpack[DecodeKeywords],
) -> Any:
    """As `encode`, from `.lic` files to another format.

    to: the extension of the format to write. quality: handed to it, if it has one; None for Pillow's default.

    {options}
    """
    register_lic_opener()
    if "output" in options:
        msg = "output is of arrays: files are written in the format that `to` names"
        raise LicBadOption(msg)
    direction = Decode(DecodeOptions(**options), "." + to.lower().lstrip("."), quality)
    return _bag(paths, folder, Task(direction, force), files_per_task)


def results(found: Sequence[File], task: Task, address: str) -> Iterator[Result]:
    """As conversion.convert.results, in no order, by the workers of the scheduler at an address.

    Work that a worker's death interrupts is given to another, which passes over what is written. Files that workers
    die of are failures. Raises LicPackageMissing, OSError where no scheduler answers.
    """
    distributed = _imported("distributed")
    shares = _shares([_looked_at(file) for file in found], None)
    suspects: list[File] = []
    with distributed.Client(address, set_as_default=False) as client:
        given = {client.submit(_rows, share, task, pure=False): share for share in shares}
        for future in distributed.as_completed(given, loop=client.loop):
            share = given.pop(future)
            try:
                yield from _taken(future, address)
            except distributed.KilledWorker:
                suspects += share
        for file in suspects:  # each alone: the death of a worker is blamed on all that it was to do
            try:
                yield from _taken(client.submit(_rows, [file], task, pure=False), address)
            except distributed.KilledWorker:
                problem = "every worker that took it died; is there enough memory for it?"
                yield Result(file.name, str(file.target), FAILED, problem=problem)
    files.sweep(local_folders([file.target for file in found if file.target is not None]))


def _taken(future: Any, address: str) -> list[Result]:
    """What a task returned. Raises LicPackageMissing."""
    try:
        return [Result(**row) for row in future.result()]
    except ImportError as error:
        msg = f"{address}: its workers need pillow-lic of the same version: {error}"
        raise LicPackageMissing(msg) from error


def _bag(paths: Any, folder: Any, task: Task, most: int | None) -> Any:
    bags, delayed = _imported("dask.bag"), _imported("dask").delayed
    output = None if folder is None else place_of(folder).absolute()
    planned = functools.partial(_planned, output=output, suffix=task.direction.suffix)
    if isinstance(paths, bags.Bag):
        plans = [delayed(planned)(part) for part in paths.to_delayed()]
        kept = delayed(_claimed, nout=len(plans))(plans)
        return bags.from_delayed([delayed(_rows, pure=False)(share, task) for share in kept])
    several = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    shares = _shares(_claimed([planned(several)])[0], most) or [[]]
    return bags.from_delayed([delayed(functools.partial(_rows, share, task), pure=False)() for share in shares])


def _planned(paths: Iterable[Any], output: Place | None, suffix: str) -> list[File | Result]:
    """Where each file goes, and what cannot be looked into."""
    register_lic_opener()
    problems: list[str] = []
    places = [place_of(path).absolute() for path in paths]
    found = [plan.placed(file, below, output, suffix) for file, below in plan.sources(places, suffix, problems.append)]
    return [*map(_looked_at, found), *(Result("", "", FAILED, problem=problem) for problem in problems)]


def _looked_at(file: File) -> File:
    """For another process: whole names, and what is at the target now."""
    assert file.source is not None
    assert file.target is not None
    target = file.target.absolute()
    return File(file.source.absolute(), target, target.state())


def _claimed(plans: Sequence[Sequence[File | Result]]) -> list[list[File | Result]]:
    """The same, where a file whose target another has taken is a failure."""
    first: dict[Place, File] = {}
    return [[plan.unless_taken(one, first) if isinstance(one, File) else one for one in share] for share in plans]


def _shares(found: Sequence[Any], most: int | None) -> list[list[Any]]:
    """What each task gets."""
    if most is not None and most < 1:
        msg = f"files_per_task must be at least 1, found {most}"
        raise LicBadOption(msg)
    count = most or max(1, min(FILES_MAX, math.ceil(len(found) / SHARES)))
    return [list(found[n : n + count]) for n in range(0, len(found), count)]


def _rows(share: Sequence[File | Result], task: Task) -> list[dict[str, Any]]:
    """A task: what becomes of its files."""
    _begin()
    known = [one for one in share if isinstance(one, Result)]
    done = converted([one for one in share if isinstance(one, File)], task)
    return [result._asdict() for result in (*known, *done)]


@functools.cache
def _begin() -> None:
    """Once in a process: its umask, and as many threads as the worker has been given, unless somebody says else."""
    files.note_mask()
    if threads.asked() is None and (worker := _worker()) is not None:
        threads.set_threads(worker.state.nthreads)


def _worker() -> Any:
    """The worker that this process is, or None: other schedulers of Dask have none."""
    if "distributed" not in sys.modules:
        return None
    try:
        return _imported("distributed").get_worker()
    except ValueError:
        return None


# ---- Arrays ---------------------------------------------------------------------------------------------------------


@keywords(DecodeOptions)
def imread(paths: Any, *, chunks: Any = None, **options: Unpack[DecodeKeywords]) -> Any:
    """A lazy Dask array of one picture (H, W) or (H, W, channels), or of a stack of equal ones (N, H, W...), of the
    sides and the type that `decode` gives.

    paths: a file, as a path or URL of fsspec, is one picture; a pattern such as "photos/*.lic", a folder or a list is a
    stack, sorted by name. chunks: of height and width, as Dask takes them; None for whole pictures, and where scale
    makes them smaller. Of a large picture each chunk decodes the tiles that it takes alone.

    The first file's header is read at once, the pixels when the array is computed. Raises LicPackageMissing without
    Dask, LicBadOption for no file; when it is computed, what `decode` raises and LicBadOption for unequal pictures.
    """
    arrays = _imported("dask.array")
    if {"box", "output"} & set(options):
        msg = "imread makes NumPy arrays of whole pictures: slice the array for a part of it"
        raise LicBadOption(msg)
    checked = DecodeOptions(**options).checked()
    if chunks is not None and checked.scale != 1:
        msg = "scale makes whole pictures smaller: leave out chunks, or rechunk the array"
        raise LicBadOption(msg)
    single = isinstance(paths, (str, os.PathLike)) and not glob.has_magic(os.fspath(paths))
    if single and not place_of(paths).is_folder():
        place = place_of(paths).absolute()
        return _lazy(place, _expected(place, checked), chunks, options)
    found = [place.absolute() for place in _listed(paths)]
    if not found:
        msg = f"no .lic files there: {paths}"
        raise LicBadOption(msg)
    expected = _expected(found[0], checked)
    return arrays.stack([_lazy(place, expected, chunks, options) for place in found])


def _listed(paths: Any) -> list[Place]:
    """The files of a pattern, a folder or a list."""
    if not isinstance(paths, (str, os.PathLike)):
        return [place_of(path) for path in paths]
    place = place_of(paths)
    if glob.has_magic(os.fspath(paths)):
        return place.matching()
    return [file for file, _ in plan.sources([place], "", lambda problem: None)]


class Pixels(NamedTuple):
    """What decoding a file gives."""

    shape: tuple[int, ...]
    dtype: str


def _expected(place: Place, options: DecodeOptions) -> Pixels:
    """By its first bytes."""
    with place.opened() as file:
        head = container.read_head(file)
    header, scale = head.header, options.scale
    sides = -(-header.height // scale), -(-header.width // scale)
    dtype = options.dtype or (dtype_of(header, head.values) if scale == 1 else "uint8")
    return Pixels(sides if header.bands == 1 else (*sides, header.bands), dtype)


def _lazy(place: Place, expected: Pixels, chunks: Any, options: DecodeKeywords) -> Any:
    """One picture, whose header is yet to be compared."""
    arrays, delayed = _imported("dask.array"), _imported("dask").delayed
    shape, dtype = expected
    sides = _chunks(chunks, shape[:2], dtype)
    rows = []
    for top, height in _spans(sides[0]):
        row = []
        for left, width in _spans(sides[1]):
            box = None if (height, width) == shape[:2] else (left, top, left + width, top + height)
            part = functools.partial(_part, place, expected, box, options)
            row.append(arrays.from_delayed(delayed(part)(), (height, width, *shape[2:]), dtype))
        rows.append(arrays.concatenate(row, axis=1))
    return arrays.concatenate(rows, axis=0)


def _chunks(chunks: Any, sides: Sequence[int], dtype: str) -> Any:
    """Sizes of rows and of columns. Raises LicBadOption."""
    if chunks is None:
        return tuple((side,) for side in sides)
    try:
        return _imported("dask.array").core.normalize_chunks(chunks, sides, dtype=dtype)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        msg = f"chunks must be what Dask takes for {sides[0]} rows of {sides[1]} pixels, found {chunks!r} ({error})"
        raise LicBadOption(msg) from error


def _spans(sizes: Iterable[int]) -> Iterator[tuple[int, int]]:
    """(begin, size) of each."""
    begin = 0
    for size in sizes:
        yield begin, size
        begin += size


def _part(
    place: Place, expected: Pixels, box: tuple[int, int, int, int] | None, options: DecodeKeywords
) -> NDArray[Any]:
    """A chunk."""
    found = _expected(place, DecodeOptions(**options))
    if found != expected:
        one, others = (f"shape {kind.shape} and type {kind.dtype}" for kind in (found, expected))
        msg = f"{place}: a picture of {one} among those of {others}: a stack has equal ones"
        raise LicBadOption(msg)
    with place.opened() as file:
        pixels: NDArray[Any] = decode_file(file, **(options | {"box": box}))
        return pixels


def _imported(name: str) -> Any:
    """A module of Dask's. Raises LicPackageMissing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        msg = f"collections need Dask: pip install 'pillow-lic[dask]' ({error})"
        raise LicPackageMissing(msg) from error
