"""`lic plot`: rate-distortion curves of one's own pictures, by the codecs of one's own Pillow.

Imports the standard library; Pillow, NumPy and matplotlib come with the command.
"""

from __future__ import annotations

import argparse
import base64
import csv
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import arguments

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL import Image

    from .rates import Point

DESCRIPTION = """Save your pictures by several codecs at several qualities, measure what came of them, and draw the
means: quality over bits per pixel. The codecs are those of your Pillow and its plugins at their defaults: lic,
lic-psnr, lic-visual, lic-ms-ssim, jpeg, webp, avif, and heif, jxl, jpeg2000 where they are there. Alpha is laid over
white first."""
KINDS = (".png", ".svg", ".html", ".pdf")
DEFAULT_MEASURES = ("psnr", "ssimulacra2")
COLOURS = {"lic": "#d62728", "jpeg": "#9c755f", "webp": "#59a14f", "avif": "#f28e2b", "heif": "#4e79a7",
           "jxl": "#b07aa1", "jpeg2000": "#bab0ac", "lic-psnr": "#e377c2", "lic-ms-ssim": "#ff9896"}  # fmt: skip


def add_to(commands: Any) -> None:
    """The command's arguments, to the `lic` command's parsers."""
    parser = commands.add_parser(
        "plot", help="rate-distortion curves of your own pictures beside JPEG, WebP and AVIF", description=DESCRIPTION
    )
    parser.add_argument("paths", nargs="+", type=arguments.file, metavar="PATH", help="pictures, or folders of them")
    parser.add_argument("-o", "--output", type=_target, default=Path("lic-plot.png"), help=", ".join(KINDS))
    parser.add_argument("--codecs", metavar="A,B", help="default: lic,jpeg,webp and avif if Pillow has it")
    parser.add_argument("--measures", metavar="A,B", help="as of `lic metrics`; default: psnr, ssimulacra2 if there")
    parser.add_argument("--qualities", type=arguments.numbers, metavar="N,N", help="instead of each codec's own")
    parser.add_argument("--csv", type=arguments.file, metavar="OUT", help="also write every file's figures")
    parser.add_argument(
        "--limit", type=arguments.count, metavar="N", help="pictures at most, spread over what is found"
    )
    parser.add_argument("-j", "--jobs", type=arguments.count, default=1, metavar="N", help="files at a time; default 1")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite what is there")
    parser.set_defaults(run=run)


def _target(text: str) -> Path:
    if not text.lower().endswith(KINDS):
        msg = f"must end in {', '.join(KINDS)}, found {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return Path(text)


def run(options: argparse.Namespace) -> int:
    """Code everything, draw the means; the exit code."""
    from ..conversion import files
    from . import DONE, FAILED, filenames, metrics, rates

    targets = [path for path in (options.output, options.csv) if path is not None]
    found = _pictures(options.paths)
    for target in targets:
        filenames.check(target, found, force=options.force)
    _check_matplotlib()
    measures = metrics.chosen(options.measures, DEFAULT_MEASURES)
    codecs = codecs_of(options.codecs)
    pictures = _spread(found, options.limit)
    tasks = [
        (path, codec, quality)
        for path in pictures
        for codec in codecs
        for quality in options.qualities or rates.CODECS[codec].qualities
    ]
    points, problems = points_of(tasks, measures, options.jobs)
    if not points:
        return FAILED
    means = rates.means(points)
    _print_table(means, codecs, measures)
    drawn = _drawn(means, codecs, measures, options.output.suffix.lower())
    with files.replacing(options.output, force=options.force) as file:
        file.write(drawn)
    if options.csv:
        with files.replacing(options.csv, force=options.force) as file:
            file.write(csv_of(points, measures))
    print(f"{options.output}: {len(pictures)} picture{'s' * (len(pictures) > 1)}")
    return FAILED if problems else DONE


def _check_matplotlib() -> None:
    """Raises LicPackageMissing, before anything is coded."""
    from importlib.util import find_spec

    from ..errors import LicPackageMissing

    if find_spec("matplotlib") is None:
        msg = "lic plot needs matplotlib, which is not installed: pip install 'pillow-lic[plot]'"
        raise LicPackageMissing(msg)


def codecs_of(text: str | None, default: Sequence[str] | None = None) -> list[str]:
    """Names of codecs. Raises UsageError for those that are unknown or, if asked for, cannot be written here."""
    from .. import register_lic_opener
    from . import UsageError, progress, rates

    register_lic_opener()
    asked = list(dict.fromkeys(text.split(","))) if text else list(default or rates.DEFAULT)
    for name in asked:
        if name not in rates.CODECS:
            msg = f"unknown codec {name!r}; known: {', '.join(rates.CODECS)}"
            raise UsageError(msg)
        if lacks := rates.CODECS[name].missing():
            if text:
                msg = f"{name}: {lacks}"
                raise UsageError(msg)
            progress.say(f"{name} is left out: {lacks}")
    return [name for name in asked if not rates.CODECS[name].missing()]


def _pictures(paths: Sequence[Path]) -> list[Path]:
    """Files whose names end as pictures do, sorted within each folder, each once."""
    from PIL import Image

    from . import UsageError

    endings = set(Image.registered_extensions())
    found: list[Path] = []
    for path in paths:
        inside = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        found += [one for one in inside if one.suffix.lower() in endings or not path.is_dir()]
    if not found:
        msg = f"no pictures found in {', '.join(map(str, paths))}"
        raise UsageError(msg)
    return list(dict.fromkeys(found))


def _spread(found: list[Path], limit: int | None) -> list[Path]:
    """Of many, `limit` at equal distances."""
    return [found[number * len(found) // limit] for number in range(limit)] if limit and limit < len(found) else found


def points_of(tasks: Sequence[tuple[Path, str, float]], measures: Sequence[str], jobs: int) -> tuple[list[Point], int]:
    """What came of each task, and how many failed. A picture of which one task fails is left out of all means."""
    from . import progress

    done: list[Point] = []
    failed: dict[str, str] = {}
    with ThreadPoolExecutor(jobs) as pool:
        found = pool.map(lambda task: _point(task, measures), tasks)
        for (path, _, _), point in zip(tasks, progress.shown(iter(found), len(tasks), "save")):
            if isinstance(point, str):
                failed.setdefault(str(path), point)
            else:
                done.append(point)
    for problem in failed.values():
        progress.say(problem)
    return [point for point in done if point.picture not in failed], len(failed)


def _point(task: tuple[Path, str, float], measures: Sequence[str]) -> Point | str:
    from . import rates

    path, codec, quality = task
    try:
        return rates.measured(str(path), opaque(path), codec, quality, measures)
    except Exception as error:  # one bad picture must not stop the others
        return f"{path}: {codec} at {quality:g}: {error or type(error).__name__}"


def opaque(path: Path) -> Image.Image:
    """The picture in RGB, alpha laid over white. Raises LicBadOption for more than 8 bits, OSError."""
    from PIL import Image

    from ..metrics.pictures import PEAK, array, coloured, over
    from . import metrics

    samples = over(coloured(array(metrics.load(path))), PEAK)
    return Image.fromarray(samples)


# ---- Telling and drawing ------------------------------------------------------------------------------------------


def _print_table(means: Sequence[Point], codecs: Sequence[str], measures: Sequence[str]) -> None:
    print("codec        quality     bpp" + "".join(f"{name:>14}" for name in measures))
    for point in means:
        values = "".join(f"{point.values[name]:>14.4g}" for name in measures)
        print(f"{point.codec:<11} {point.quality:>8g} {point.bpp:>7.3f}{values}")
    for line in savings(means, codecs, measures):
        print(line)


def savings(means: Sequence[Point], codecs: Sequence[str], measures: Sequence[str]) -> Iterator[str]:
    """How the first codec's sizes compare with the others'."""
    from . import rates

    for measure in measures:
        lines = {codec: _rising(rates.curve(means, codec, measure), measure) for codec in codecs}
        for codec in codecs[1:]:
            share = rates.saving(lines[codecs[0]], lines[codec])
            if share is not None:
                yield f"{codecs[0]} against {codec} at equal {measure}: {100 * share:+.1f} % bytes"


def _rising(curve: list[tuple[float, float]], measure: str) -> list[tuple[float, float]]:
    """With values of which more is better."""
    from .. import metrics

    sign = 1 if metrics.MEASURES[measure].higher_is_better else -1
    return [(rate, sign * value) for rate, value in curve]


def _drawn(means: Sequence[Point], codecs: Sequence[str], measures: Sequence[str], suffix: str) -> bytes:
    """The bytes of the plot."""
    from . import page

    if suffix != ".html":
        return _figure(means, codecs, measures, suffix[1:])
    picture = base64.b64encode(_figure(means, codecs, measures, "svg")).decode()
    rows = [
        [one.codec, f"{one.quality:g}", f"{one.bpp:.3f}", *(f"{one.values[name]:.4g}" for name in measures)]
        for one in means
    ]
    data = {
        "picture": f"data:image/svg+xml;base64,{picture}",
        "of": means[0].picture,
        "head": ["codec", "quality", "bpp", *measures],
        "rows": rows,
        "savings": list(savings(means, codecs, measures)),
    }
    return page.filled(page.PAGES / "plot.html", data)


def _figure(means: Sequence[Point], codecs: Sequence[str], measures: Sequence[str], kind: str) -> bytes:
    """The plot by matplotlib: one field for each measure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from .. import metrics
    from . import rates

    figure = Figure(figsize=(6.5 * len(measures), 5), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, measure in zip(figure.subplots(1, len(measures), squeeze=False)[0], measures):
        about = metrics.MEASURES[measure]
        for codec in codecs:
            line = rates.curve(means, codec, measure)
            if line:
                width = 2.2 if codec.startswith("lic") else 1.4
                axes.plot(*zip(*line), marker="o", markersize=3, label=codec, linewidth=width, color=COLOURS.get(codec))
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("{x:g}")
        axes.tick_params(axis="x", which="minor", labelsize=7)
        axes.set_xlabel(f"bits per pixel, {means[0].picture}")
        axes.set_ylabel(about.label + (f" ({about.unit})" if about.unit else ""))
        if not about.higher_is_better:
            axes.invert_yaxis()
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=130)
    return buffer.getvalue()


def csv_of(points: Sequence[Point], measures: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "codec", "quality", "bytes", "bpp", *measures])
    for one in points:
        values = [f"{one.values[name]:.6g}" for name in measures]
        writer.writerow([one.picture, one.codec, f"{one.quality:g}", one.bytes, f"{one.bpp:.6g}", *values])
    return text.getvalue().encode("utf-8", "surrogateescape")
