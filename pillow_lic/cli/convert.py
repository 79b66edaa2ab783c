"""`lic encode` and `lic decode`: many files and folders at once, each written whole or not at all.

Stands on the room conversion. Imports Pillow; the codec comes with the first image.
"""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image, ImageFile

from ..conversion import convert, files, plan
from ..conversion.directions import Decode, Encode
from ..conversion.places import local_folders, place_of
from ..plugins import register_lic_opener
from ..signature import EXTENSION
from . import STANDARD, UsageError, filenames, progress

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ..conversion.convert import Result
    from ..conversion.places import Place


def encode(options: argparse.Namespace) -> int:
    """Convert images to `.lic`; returns how many failed."""
    register_lic_opener()
    named = options.output not in (None, STANDARD) and _is_file_name(options)
    if named and place_of(options.output).suffix.lower() != EXTENSION:
        msg = f"-o {options.output}: what `lic encode` writes must end in {EXTENSION}; for a folder, end it in {os.sep}"
        raise UsageError(msg)
    planned = _plan(options, EXTENSION)
    from ..codec.options import EncodeOptions

    given = {name: getattr(options, name) for name in EncodeOptions.__dataclass_fields__}
    given["roi"], given["importance"] = _region(options.roi), _importance(options.importance)
    return _run(planned, options, Encode(EncodeOptions(**given)))


def _region(stated: list[str] | None) -> Any:
    """What --roi says: boxes, one mask, or what is looked for. Raises UsageError."""
    if stated is None:
        return None
    if stated in (["faces"], ["text"]):
        return stated[0]
    boxes = [_box(one) for one in stated]
    if all(box is not None for box in boxes):
        return boxes
    if len(stated) > 1:
        msg = "--roi takes boxes X,Y,W,H, as many as there are, or one mask, faces or text"
        raise UsageError(msg)
    return _map("--roi", stated[0])


def _box(text: str) -> tuple[int, int, int, int] | None:
    """What X,Y,W,H says; boxes may reach over the edge, and the codec refuses empty ones."""
    found = re.fullmatch(r"\s*,\s*".join([r"([+-]?\d+)"] * 4), text.strip())
    if found is None:
        return None
    x, y, w, h = (int(number) for number in found.groups())
    return x, y, x + w, y + h


def _importance(stated: str | None) -> Any:
    return stated if stated in (None, "auto") else _map("--importance", stated)


def _map(option: str, path: str | None) -> Image.Image:
    if path == STANDARD:
        msg = f"{option} {STANDARD}: standard input is for a picture to encode; give a file"
        raise UsageError(msg)
    try:
        with Image.open(str(path)) as im:
            im.load()
            return im.copy()
    except (OSError, SyntaxError, ValueError) as error:
        msg = f"{option} {path}: {error}"
        raise UsageError(msg) from error


def decode(options: argparse.Namespace) -> int:
    """Convert `.lic` files to another format; returns how many failed."""
    register_lic_opener()
    suffix = "." + options.to.lower().lstrip(".")
    if options.output not in (None, STANDARD) and _is_file_name(options):
        suffix = place_of(options.output).suffix.lower() or suffix
    if options.truncated and options.scheduler:
        msg = "--truncated and --scheduler do not go together: decode damaged files in one process"
        raise UsageError(msg)
    from ..plugins.pillow import decode_options

    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = before or options.truncated  # of damaged metadata, too
    try:
        given = {"box": options.crop, "style": options.style, "strength": options.strength}
        chosen = replace(decode_options(options.device, options.scale), **given).checked()
        direction = Decode(chosen, suffix, options.quality)
        return _run(_plan(options, suffix), options, direction)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


# ---- Which files --------------------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """Every file to read and where it goes, and what could not be looked into."""

    files: list[convert.File]
    problems: list[str]


def _plan(options: argparse.Namespace, suffix: str) -> Plan:
    """A folder's files keep their places below it."""
    if STANDARD in (options.output, *options.paths):
        return Plan([_standard(options)], [])
    problems: list[str] = []
    found = list(plan.sources([place_of(path) for path in options.paths], suffix, problems.append))
    if not found and not problems:
        msg = "nothing to do: no such files there"
        raise UsageError(msg)
    output = place_of(options.output) if options.output else None
    if output is not None and _is_file_name(options):
        return Plan([convert.File(source, output) for source, _ in found], problems)
    return Plan([plan.placed(source, below, output, suffix) for source, below in found], problems)


def _standard(options: argparse.Namespace) -> convert.File:
    """The one file of a command that reads standard input or writes standard output."""
    (source, *others), output = options.paths, options.output
    if others or (source != STANDARD and place_of(source).is_folder()):
        msg = f"{STANDARD} goes with one file alone; for several, name a folder with -o"
        raise UsageError(msg)
    if output not in (None, STANDARD) and not _is_file_name(options):
        msg = f"what comes from standard input has no name: -o must name a file or be {STANDARD}"
        raise UsageError(msg)
    target = None if output in (None, STANDARD) else place_of(output)
    if target is None:
        filenames.refuse_terminal()
    return convert.File(None if source == STANDARD else place_of(source), target)


def _is_file_name(options: argparse.Namespace) -> bool:
    """Whether -o names a file: one file is read, and the name is neither a folder's nor ends like one."""
    one = len(set(options.paths)) == 1 and (options.paths[0] == STANDARD or not place_of(options.paths[0]).is_folder())
    return one and not options.output.endswith(("/", os.sep)) and not place_of(options.output).is_folder()


# ---- Doing it -----------------------------------------------------------------------------------------------------


def _run(planned: Plan, options: argparse.Namespace, direction: Encode | Decode) -> int:
    """Convert all, and say what failed. Returns how many did."""
    several = len(planned.files) > 1
    claims = _claimed(planned.files, options.force)
    found = [one for one in claims if isinstance(one, convert.File)]
    refused = [one for one in claims if isinstance(one, convert.Result)]
    task = convert.Task(direction, options.force, options.skip, resume=several, ahead=options.jobs)
    folders = local_folders([file.target for file in found if file.target is not None])
    files.begin(folders)
    counts = {convert.WRITTEN: 0, convert.THERE: 0, convert.FAILED: len(planned.problems)}
    for problem in planned.problems:
        progress.say(problem)
    done = itertools.chain(refused, _results(found, task, options.scheduler))
    for result in progress.shown(done, len(planned.files)):
        counts[result.status] += 1
        for text in (*result.notes, *([result.problem] if result.problem else [])):
            progress.say(f"{result.source}: {text}")
    if several:
        said = f"{counts[convert.WRITTEN]} written, {counts[convert.FAILED]} failed"
        if counts[convert.THERE]:
            said += f", {counts[convert.THERE]} skipped: they are there already (--force overwrites them)"
        progress.say(said)
    return counts[convert.FAILED]


def _claimed(found: list[convert.File], force: bool) -> list[convert.File | Result]:
    """Each file, or what to say of it where its target is that of another, or would replace another that is read."""
    first: dict[Place, convert.File] = {}
    read = {file.source.absolute(): file for file in found if file.source is not None} if force else {}
    claims: list[convert.File | Result] = []
    for file in found:
        other = None if file.target is None else read.get(file.target.absolute())
        if other is None or other is file:
            claims.append(plan.unless_taken(file, first))
        else:
            problem = f"{file.target} is read by this command, too; give another output"
            claims.append(convert.Result(file.name, str(file.target), convert.FAILED, problem=problem))
    return claims


def _results(found: list[convert.File], task: convert.Task, scheduler: str | None) -> Iterator[Result]:
    if scheduler is None:
        return convert.results(found, task)
    if any(None in (file.source, file.target) for file in found):
        msg = f"--scheduler reads and writes files: {STANDARD} is this process's alone"
        raise UsageError(msg)
    from .. import dask

    return dask.results(found, task, scheduler)
