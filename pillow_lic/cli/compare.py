"""`lic compare`: an original and what became of it on one page, to look at and to measure.

Imports the standard library; Pillow and NumPy come with the command.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import threads
from ..signature import FORMAT
from . import arguments

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from PIL import Image

DESCRIPTION = """Write one self-contained HTML page (nothing is fetched, no framework) on which an original and files
that were made of it can be looked at: slider, flicker, magnifier, difference, the bits of `.lic` files, and a table
of sizes and measures. Any format that Pillow opens; all of the same size."""
PIXELS_MAX = 100_000_000  # of all pictures of a page together


class Shown(NamedTuple):
    """One picture of the page: the part that is shown, and what its file is."""

    path: Path
    image: Image.Image
    whole: tuple[int, int]
    format: str
    profile: bytes | None
    bits: Image.Image | None = None  # where its bytes went


def add_to(commands: Any) -> None:
    """The command's arguments, to the `lic` command's parsers."""
    parser = commands.add_parser(
        "compare", help="a page to look at files beside their original", description=DESCRIPTION
    )
    parser.add_argument("original", type=arguments.file, metavar="ORIGINAL")
    files = "what became of it, in any format"
    parser.add_argument("files", nargs="+", type=arguments.file, metavar="FILE", help=files)
    page = "default compare.html"
    parser.add_argument("-o", "--output", type=arguments.file, default=Path("compare.html"), help=page)
    parser.add_argument("--measures", metavar="A,B", help="as of `lic metrics`; none for none")
    area = "the part that is shown and measured, in pixels; default: everything"
    parser.add_argument("--area", type=arguments.area, metavar="X,Y,W,H", help=area)
    parser.add_argument("-f", "--force", action="store_true", help="overwrite the page")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the page; the exit code."""
    from ..conversion import files
    from . import DONE, filenames, metrics, page

    filenames.check(options.output, [options.original, *options.files], force=options.force)
    measures = [] if options.measures == "none" else metrics.chosen(options.measures)
    original = _shown(options.original, options.area)
    _check_pixels(original, 1 + len(options.files))
    others = [_of_one_size(original, _shown(path, options.area)) for path in options.files]
    html = page.filled(page.PAGES / "compare.html", _data([original, *others], measures))
    with files.replacing(options.output, force=options.force) as file:
        file.write(html)
    print(f"{options.output}: {len(html)} bytes; open it in a browser")
    return DONE


def _shown(path: Path, area: tuple[int, int, int, int] | None) -> Shown:
    """A picture, turned as its EXIF says, in a mode that a browser shows. Raises UsageError, LicBadOption, OSError."""
    from PIL import Image

    from ..errors import LicError
    from ..metrics.pictures import array
    from . import UsageError, metrics

    try:
        image = metrics.load(path)
        array(image.crop((0, 0, 1, 1)))  # raises for what has no 8 bits
    except LicError as error:
        msg = f"{path}: {error}"
        raise type(error)(msg) from error
    except Exception as error:  # of hostile files, whatever it is
        msg = f"{path}: {error or type(error).__name__}"
        raise OSError(msg) from error
    whole, profile = image.size, image.info.get("icc_profile")
    if area:
        x, y, width, height = area
        if x + width > whole[0] or y + height > whole[1]:
            msg = f"{path}: the area {','.join(map(str, area))} is beyond its {whole[0]} x {whole[1]} pixels"
            raise UsageError(msg)
        image = image.crop((x, y, x + width, y + height))
    samples = array(image)
    plain = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    with Image.open(path) as file:
        name = file.format or ""
    return Shown(path, plain, whole, name, profile, _bits(path, area) if name == FORMAT else None)


def _bits(path: Path, area: tuple[int, int, int, int] | None) -> Image.Image:
    """Where a `.lic` file's bytes went, as the picture is shown."""
    from PIL import Image, ImageOps

    from ..codec import cost
    from . import map

    bits = cost.spent(path.read_bytes()).bits
    with Image.open(path) as file:
        drawn = map.heated(bits, float(bits.max()))
        drawn.info["exif"] = file.info.get("exif", b"")
    drawn = ImageOps.exif_transpose(drawn)
    return drawn.crop((area[0], area[1], area[0] + area[2], area[1] + area[3])) if area else drawn


def _of_one_size(original: Shown, other: Shown) -> Shown:
    from ..errors import LicBadOption

    if other.whole != original.whole:
        sizes = "{} x {} and {} x {}".format(*original.whole, *other.whole)
        msg = f"{other.path}: not of the original's size ({sizes}); compare what the codec got, or resize one of them"
        raise LicBadOption(msg)
    return other


def _check_pixels(original: Shown, count: int) -> None:
    from ..errors import LicLimitExceeded

    pixels = original.image.width * original.image.height * count
    if pixels > PIXELS_MAX:
        msg = f"{count} pictures of {pixels // count} pixels are more than a page holds ({PIXELS_MAX} in all)"
        msg += "; choose a part with --area X,Y,W,H, or fewer files"
        raise LicLimitExceeded(msg)


def _data(pictures: Sequence[Shown], measures: Sequence[str]) -> dict[str, Any]:
    """What the page's script is given."""
    from .. import metrics
    from . import progress

    original = pictures[0]
    with ThreadPoolExecutor(min(len(pictures), threads.count())) as pool:
        found = pool.map(lambda one: _entry(original, one, measures), pictures)
        entries = list(progress.shown(found, len(pictures)))
    entries[0]["values"] = {}
    labels = [metrics.MEASURES[name] for name in measures]
    return {
        "width": original.image.width,
        "height": original.image.height,
        "pictures": entries,
        "measures": [
            {"name": name, "label": one.label, "unit": one.unit, "higher": one.higher_is_better}
            for name, one in zip(measures, labels)
        ],
        "notes": [note for one in pictures[1:] for note in _notes(original, one)],
    }


def _entry(original: Shown, one: Shown, measures: Sequence[str]) -> dict[str, Any]:
    from .. import metrics
    from . import page

    size = one.path.stat().st_size
    values = metrics.compare(original.image, one.image, measures) if one is not original else {}
    return {
        "name": one.path.name,
        "format": one.format,
        "bytes": size,
        "bpp": 8 * size / (one.whole[0] * one.whole[1]),
        "source": page.source(one.image),
        "bits": page.source(one.bits) if one.bits else None,
        "values": {name: value if math.isfinite(value) else _word(value) for name, value in values.items()},
    }


def _word(value: float) -> str:
    return "-" if math.isnan(value) else "∞" if value > 0 else "-∞"


def _notes(original: Shown, one: Shown) -> list[str]:
    if one.profile == original.profile:
        return []
    return [f"{one.path.name}: its colour profile is not the original's; samples are compared as they are"]
