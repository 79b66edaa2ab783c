"""`lic bench`: data sets by name through the codecs of one's own Pillow; tables as papers print them.

Imports the standard library; Pillow and NumPy come with the command.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import arguments
from .plot import codecs_of, csv_of, opaque, points_of, savings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ..datasets import DataSet
    from .rates import Point

DESCRIPTION = """Code, decode and measure data sets that `lic data` lists, and write for each the figures of every file
and their means as CSV, and a page of tables in Markdown: rate and quality, each codec at a rate (0.15 bits per pixel,
as table 1 of Zhu et al. 2020 is), and what one codec saves against another."""
CODECS = "lic,jpeg,jpeg2000,webp,avif"
MEASURES = ("psnr", "ms_ssim", "ms_ssim_db", "ssimulacra2")  # those of them that are available
RATE = 0.15  # bits per pixel, of the source paper's table 1


class Set(NamedTuple):
    """A set that is on this machine."""

    about: DataSet
    pictures: list[Path]
    problems: list[str]


class Found(NamedTuple):
    """What a set came to. at: {bits per pixel: the mean of each codec nearest to it}."""

    means: list[Point]
    at: dict[float, list[Point]]


def add_to(commands: Any) -> None:
    """The command's arguments, to the `lic` command's parsers."""
    parser = commands.add_parser("bench", help="rate and quality over data sets by name", description=DESCRIPTION)
    data = "names that `lic data` lists, with where they are if that is not below $LIC_DATA"
    parser.add_argument("--data", required=True, action="append", metavar="NAME[=PATH],...", help=data)
    parser.add_argument("-o", "--output", type=arguments.file, default=Path("lic-bench"), metavar="FOLDER")
    parser.add_argument("--codecs", metavar="A,B", help=f"as of `lic plot`; default: of {CODECS} what is available")
    parser.add_argument("--measures", metavar="A,B", help=f"as of `lic metrics`; default: of {','.join(MEASURES)}")
    parser.add_argument("--qualities", type=arguments.numbers, metavar="N,N", help="instead of each codec's own")
    rates = f"rates that each codec is brought near to, by one quality for the whole set; default {RATE}"
    parser.add_argument("--bpp", type=arguments.numbers, default=(RATE,), metavar="R,R", help=rates)
    parser.add_argument(
        "--limit", type=arguments.count, metavar="N", help="pictures of each set at most, spread over it"
    )
    parser.add_argument("-j", "--jobs", type=arguments.count, default=1, metavar="N", help="files at a time; default 1")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite what is there")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure all sets, write their tables; the exit code."""
    from ..conversion import files
    from . import DONE, FAILED, UsageError, metrics, progress

    sets = _sets([one for text in options.data for one in text.split(",")], options.limit)
    targets = {one.about.name: options.output / f"{one.about.name}.md" for one in sets}
    for target in targets.values():
        if os.path.lexists(target) and not options.force:
            msg = f"{target} exists; --force overwrites it"
            raise UsageError(msg)
    codecs, measures = codecs_of(options.codecs, CODECS.split(",")), metrics.chosen(options.measures, MEASURES)
    files.begin([options.output])
    failed = 0
    for one in sets:
        for problem in one.problems:
            progress.say(f"{one.about.name}: {problem}")
        points, wrong = _measured(one, codecs, measures, options)
        failed += wrong
        if not points:
            return FAILED
        found = _found(one, points, codecs, measures, options)
        _write(options, f"{one.about.name}-files.csv", csv_of(points, measures))
        _write(options, f"{one.about.name}.csv", csv_of(found.means, measures))
        _write(options, f"{one.about.name}.md", _page(one, found, codecs, measures).encode())
        print(targets[one.about.name])
    return FAILED if failed else DONE


def _sets(texts: Sequence[str], limit: int | None) -> list[Set]:
    """What was asked for. Raises LicBadOption, LicDataMissing."""
    from .. import datasets
    from ..errors import LicDataMissing
    from .data import asked

    wanted, found = asked(list(texts)), []
    for name in wanted.names:
        one = datasets.named(name)
        folder = datasets.folder_of(name, wanted.folders)
        if folder is None:
            where = f"say {name}=PATH, or put it into ${datasets.VARIABLE}/{name}"
            msg = f"{name} is not here: {where}. Nothing is downloaded: {one.address} has it ({one.licence})"
            raise LicDataMissing(msg)
        pictures = one.pictures(folder)
        problems = one.problems(pictures)
        if limit and limit < len(pictures):
            problems.append(f"{limit} of {len(pictures)} pictures are measured")
            pictures = [pictures[number * len(pictures) // limit] for number in range(limit)]
        found.append(Set(one, pictures, problems))
    return found


# ---- Measuring ------------------------------------------------------------------------------------------------------


def _measured(
    one: Set, codecs: Sequence[str], measures: Sequence[str], options: argparse.Namespace
) -> tuple[list[Point], int]:
    """Every picture by every codec at its qualities, and how many pictures failed."""
    from . import rates

    tasks = [
        (path, codec, quality)
        for path in one.pictures
        for codec in codecs
        for quality in options.qualities or rates.CODECS[codec].qualities
    ]
    return points_of(tasks, measures, options.jobs)


def _found(
    one: Set, points: Sequence[Point], codecs: Sequence[str], measures: Sequence[str], options: argparse.Namespace
) -> Found:
    """Means, also at rates. A picture that failed above is left out here."""
    from . import rates

    pictures = [path for path in one.pictures if any(point.picture == str(path) for point in points)]
    at: dict[float, list[Point]] = {}
    for wanted in options.bpp:
        tasks = []
        for codec in codecs:
            quality = _quality_at(wanted, codec, pictures, options.jobs)
            tasks += [(path, codec, quality) for path in pictures]
        at[wanted] = rates.means(points_of(tasks, measures, options.jobs)[0])
    return Found(rates.means(points), at)


def _quality_at(wanted: float, codec: str, pictures: Sequence[Path], jobs: int) -> float:
    """The one quality whose mean rate over the pictures is nearest to what is wanted."""
    from . import rates

    every = rates.CODECS[codec].every()
    found: dict[int, float] = {}

    def rate(number: int) -> float:
        if number not in found:
            with ThreadPoolExecutor(jobs) as pool:
                found[number] = sum(pool.map(partial(_bpp, codec, every[number]), pictures)) / len(pictures)
        return found[number]

    low, high = 0, len(every) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if rate(middle) <= wanted else (low, middle)
    return every[min((low, high), key=lambda number: abs(rate(number) - wanted))]


def _bpp(codec: str, quality: float, path: Path) -> float:
    from . import rates

    image = opaque(path)
    return 8 * len(rates.CODECS[codec].save(image, quality)) / (image.width * image.height)


# ---- Telling --------------------------------------------------------------------------------------------------------


def _write(options: argparse.Namespace, name: str, data: bytes) -> None:
    from ..conversion import files

    with files.replacing(options.output / name, force=True) as file:
        file.write(data)


def _page(one: Set, found: Found, codecs: Sequence[str], measures: Sequence[str]) -> str:
    """The tables of a set."""
    lines = [f"# {one.about.name}", "", f"{one.about.title}: {len(one.pictures)} pictures. {_versions()}", ""]
    lines += [f"- {problem}" for problem in one.problems] + [""] * bool(one.problems)
    for wanted, points in found.at.items():
        lines += [f"## At {wanted:g} bits per pixel", ""]
        lines += ["Each codec at the one quality whose mean rate over the set is nearest.", ""]
        printed = [row for row in one.about.printed if abs(row["bpp"] - wanted) < 0.01]
        lines += [*_table(["by", *_HEAD], points, printed, measures), ""]
    lines += ["## Rate and quality", "", *_table(_HEAD, found.means, [], measures), ""]
    saved = list(savings(found.means, codecs, measures))
    lines += [f"- {line}" for line in saved] + [""] * bool(saved)
    return "\n".join(lines).rstrip() + "\n"


_HEAD = ("codec", "quality", "bpp")


def _table(
    head: Sequence[str], points: Sequence[Point], printed: Sequence[dict[str, Any]], measures: Sequence[str]
) -> list[str]:
    """Markdown. printed: rows of papers, below ours."""
    labelled = "by" in head
    rows = [
        [*["here"] * labelled, p.codec, f"{p.quality:g}", f"{p.bpp:.3f}", *_values(p.values, measures)] for p in points
    ]
    rows += [[row["source"], row["codec"], "", f"{row['bpp']:.3f}", *_values(row, measures)] for row in printed]
    rule = ["---"] * (len(head) - 2) + ["---:"] * (2 + len(measures))
    return [f"| {' | '.join(row)} |" for row in ([*head, *measures], rule, *rows)]


def _values(values: dict[str, Any], measures: Sequence[str]) -> list[str]:
    return [f"{values[name]:.{4 if name == 'ms_ssim' else 3}f}" if name in values else "" for name in measures]


def _versions() -> str:
    """What made the figures."""
    import PIL
    from PIL import features

    from .. import __version__

    names = {"libjpeg_turbo": "libjpeg-turbo", "jpg_2000": "OpenJPEG", "webp": "libwebp", "avif": "libavif"}
    found = [f"{name} {features.version(key)}" for key, name in names.items() if features.version(key)]
    return f"pillow-lic {__version__}, Pillow {PIL.__version__} with {', '.join(found)}."
