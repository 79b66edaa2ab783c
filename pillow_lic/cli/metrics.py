"""`lic metrics`: how far decoded files are from their original, by `pillow_lic.metrics`, as a table or CSV.

Imports the standard library; Pillow and NumPy come with the command.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

from . import arguments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PIL import Image

DESCRIPTION = """Compare files with the original that they were made of: bytes, bits per pixel, and measures of quality.
All files must have the original's size. Pictures are turned as their EXIF says; colour profiles are not applied.
Measures: psnr, ssim, ms_ssim, ms_ssim_db, psnr_hvs, psnr_hvs_m, ciede2000, gmsd, nlpd; ssimulacra2 with
`pip install 'pillow-lic[metrics]'`; butteraugli, butteraugli_max with libjxl's butteraugli_main on the PATH; lpips,
dists and --fid with `pip install 'pillow-lic[learned-metrics]'` and files of weights, which nothing downloads."""
DEFAULT = ("psnr", "ms_ssim", "psnr_hvs_m", "ssimulacra2", "butteraugli")  # those of them that are available
FACTS = ("file", "bytes", "bpp")


def add_to(commands: Any) -> None:
    """The command's arguments, to the `lic` command's parsers."""
    parser = commands.add_parser(
        "metrics",
        help="how far decoded files are from their original: PSNR, SSIMULACRA2 and others",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("original", type=arguments.file, metavar="ORIGINAL")
    parser.add_argument(
        "files", nargs="+", type=arguments.file, metavar="FILE", help="what became of it, in any format"
    )
    parser.add_argument("--measures", metavar="A,B", help=f"default: of {','.join(DEFAULT)} what is available; or all")
    parser.add_argument("--fid", action="store_true", help="instead: FID between two folders, ORIGINAL and FILE")
    parser.add_argument(
        "--weights",
        metavar="FOLDER",
        help="where the files are that lpips, dists and --fid take; or LIC_METRIC_WEIGHTS",
    )
    table = f"write a CSV file instead of a table; {arguments.STANDARD} for standard output"
    parser.add_argument("--csv", type=arguments.path, metavar="OUT", help=table)
    parser.add_argument("-j", "--jobs", type=arguments.count, default=1, metavar="N", help="files at a time; default 1")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite the CSV file")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure all files; the exit code."""
    from ..conversion import files
    from . import DONE, FAILED, filenames, progress

    if options.fid:
        return _compare_sets(options)
    target = None if options.csv is None or filenames.is_standard(options.csv) else options.csv
    if target:
        filenames.check(target, [options.original, *options.files], force=options.force)
    measures = chosen(options.measures, weights=options.weights)
    original = load(options.original)
    rows: list[dict[str, Any]] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        results = pool.map(lambda path: _measured(original, path, measures, options.weights), options.files)
        for row in progress.shown(results, len(options.files)):
            if isinstance(row, str):
                progress.say(row)
            else:
                rows.append(row)
    if target:
        with files.replacing(target, force=options.force) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
            _write_csv(text, measures, rows)
            text.detach()
    elif options.csv:
        _write_csv(sys.stdout, measures, rows)
    else:
        _print_table(measures, rows)
    return DONE if len(rows) == len(options.files) else FAILED


def _compare_sets(options: argparse.Namespace) -> int:
    """Print FID between all pictures of two folders and of what is in them; the exit code."""
    from .. import metrics
    from . import DONE, UsageError, progress

    folders = [options.original, *options.files]
    if len(folders) != 2 or not all(folder.is_dir() for folder in folders):
        msg = "--fid takes two folders: lic metrics --fid ORIGINALS DECODED"
        raise UsageError(msg)
    if options.measures or options.csv:
        msg = "--fid prints one number: it goes without --measures and --csv"
        raise UsageError(msg)
    paths = [sorted(path for path in folder.rglob("[!.]*") if path.is_file()) for folder in folders]
    shown = progress.shown(map(load, paths[0] + paths[1]), len(paths[0]) + len(paths[1]))
    value = metrics.fid(islice(shown, len(paths[0])), shown, options.weights)
    print(f"FID {value:.6g} of {len(paths[0])} and {len(paths[1])} pictures")
    return DONE


def chosen(text: str | None, default: Sequence[str] = DEFAULT, weights: str | None = None) -> list[str]:
    """The names of the measures; of the default ones those that are available. weights: the folder of files that
    some take. Raises UsageError for unknown ones, LicMeasureMissing for what is to install.
    """
    from .. import metrics
    from ..errors import LicMeasureMissing
    from . import UsageError

    if text in (None, "all"):
        return [
            name for name in (default if text is None else metrics.MEASURES) if metrics.missing(name, weights) is None
        ]
    names = list(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in metrics.MEASURES:
            hint = "; fid is of two folders: lic metrics --fid A B" if name == "fid" else ""
            msg = f"unknown measure {name!r}; known: {', '.join(metrics.MEASURES)}, or all{hint}"
            raise UsageError(msg)
        lacks = metrics.missing(name, weights)
        if lacks:
            msg = f"{name} {lacks}"
            raise LicMeasureMissing(msg)
    return names


def load(path: Path) -> Image.Image:
    """The picture, turned as its EXIF says."""
    from PIL import Image, ImageOps

    from .. import register_lic_opener

    register_lic_opener()
    with Image.open(path) as im:
        turned = ImageOps.exif_transpose(im)
        turned.load()
        return turned


def _measured(original: Image.Image, path: Path, measures: Sequence[str], weights: str | None) -> dict[str, Any] | str:
    """A row, or what is wrong."""
    from .. import metrics
    from . import progress

    try:
        picture = load(path)
        size = path.stat().st_size
        facts = {"file": str(path), "bytes": size, "bpp": 8 * size / (picture.width * picture.height)}
        row = facts | metrics.compare(original, picture, measures, weights)
    except Exception as error:  # one bad file must not stop the others
        return f"{path}: {error or type(error).__name__}"
    if picture.info.get("icc_profile") != original.info.get("icc_profile"):
        progress.say(f"{path}: its colour profile is not the original's; samples are compared as they are")
    return row


def _write_csv(file: Any, measures: Sequence[str], rows: list[dict[str, Any]]) -> None:
    writer = csv.DictWriter(file, (*FACTS, *measures), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()})


def _print_table(measures: Sequence[str], rows: list[dict[str, Any]]) -> None:
    """Columns as wide as they must be; the second line says which end is the better one."""
    from .. import metrics

    better = {name: "higher" if metrics.MEASURES[name].higher_is_better else "lower" for name in measures}
    lines = [[*FACTS, *measures], ["", "", "", *(f"({better[name]})" for name in measures)]]
    for row in rows:
        values = [f"{row[name]:.4g}" if abs(row[name]) < 1 else f"{row[name]:.2f}" for name in measures]
        lines.append([row["file"], str(row["bytes"]), f"{row['bpp']:.3f}", *values])
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        cells = (text.rjust(width) for text, width in zip(line[1:], widths[1:]))
        print("  ".join([line[0].ljust(widths[0]), *cells]))
