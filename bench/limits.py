"""The most that a file of 200 kB can cost its reader, by model: processor time and memory, by default and with the
limits for services.

    python bench/limits.py [--out bench/results/limits.csv] [--models photo ...] [--kinds plain cut deep] [--keep]
        [--least]

Files are forged: zeros, at the quality where they cost least; as many pixels as the limits let through, in the shapes
that cost most, each decoded in a fresh process on one thread. Some are larger than 200 kB, but a flat picture's tiles
take 1.2 kB a megapixel: no limit is out of reach. "half of it" is a file cut in the middle, "its first tile" one of
which little more than a tile is there, both opened under LOAD_TRUNCATED_IMAGES. --least takes small pictures, to see
that the bench works. Seconds are those of the processor: on a machine with other work they are higher than on a quiet
one.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import machine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from hostile import forged

from pillow_lic import container, limits
from pillow_lic.codec import room as rooms
from pillow_lic.container import Header, Rectangle
from pillow_lic.models import choice, cost, registry

COLUMNS = ["limits", "what", "width", "height", "bytes", "seconds", "peak_mb"]
KINDS = ("plain", "cut", "deep")  # whole files of 8 bits, cut ones, whole ones of more bits
SETTINGS = {"default": limits.LARGEST, "service": limits.NAMED["service"].pixels}
DECODE = """
import sys, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from PIL import Image, ImageFile
import pillow_lic
pillow_lic.set_limits(sys.argv[1], models="any" if sys.argv[1] == "default" else None)
pillow_lic.set_threads(1)
ImageFile.LOAD_TRUNCATED_IMAGES = sys.argv[3] == "cut"
begin = time.process_time()
try:
    if sys.argv[3] == "decode":
        pillow_lic.decode(sys.argv[2])
    else:
        im = Image.open(sys.argv[2])
        im.load()
except pillow_lic.LicError as error:
    print(type(error).__name__, end=" ")
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(time.process_time() - begin, int(peak.split()[1]) >> 10)
"""


def decoded(setting: str, data: bytes, how: str) -> tuple[str, float, int]:
    """The error's name if any, seconds of the processor, and megabytes at the peak: of a process that opens a file
    ("open"; "cut": where it may be truncated), or decodes it to an array ("decode").
    """
    with tempfile.NamedTemporaryFile(suffix=".lic") as file:
        file.write(data)
        file.flush()
        command = [sys.executable, "-c", DECODE, setting, file.name, how]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    *error, seconds, peak = done.stdout.split()
    return " ".join(error), float(seconds), int(peak)


def shapes(pixels: float) -> dict[str, tuple[int, int]]:
    """Heights and widths of so many pixels under the grid."""
    side = int(pixels**0.5) // 64 * 64
    rows = min(int(pixels / 64) // 64 * 64, 1 << 20)  # thin ones are larger files: more would be beyond 200 kB
    return {"square": (side, side), "16 high": (16, rows), "16 wide": (rows, 16)}


def files(pixels: float, models: list[str]):
    """What a file is, its sides, and its bytes: of 8 bits, then of more."""
    for name in models:
        most = pixels / cost.cost(registry.by_name(name).manifest)
        for shape, (height, width) in shapes(most).items():
            for layout in ("RGB", "RGBA") if shape == "square" else ("RGB",):
                yield f"{name}, {shape}, {layout}", height, width, forged(name, height, width, layout)
    height, width = shapes(pixels)["square"]
    yield "overlay, one colour", height, width, overlay_alone(height, width, "RGBA", b"\1\2\3\4")
    for layout in ("RGB", "RGBA"):
        yield f"overlay, WebP, {layout}", height, width, webp_alone(height, width, layout)


def cut_files(pixels: float, models: list[str]):
    """Files of which a part is there: of 8 bits, square, of tiles as small as they may be."""
    for name in models:
        height, width = shapes(pixels / cost.cost(registry.by_name(name).manifest))["square"]
        data = forged(name, height, width, tile_side=1)
        tiles = container.read_head(data).chunk("T")
        assert tiles is not None
        yield f"{name}, half of it", height, width, data[: tiles.offset + tiles.length // 2]
        yield f"{name}, its first tile", height, width, data[: tiles.offset + 300]


def deep_files(pixels: float):
    """The same of more than 8 bits."""
    floats = container.Values(container.FLOATS, -1.0, 1.0)
    for layout in ("L", "RGBA"):
        header = Header.of_overlay(1, 1, layout, 16)
        height, width = shapes(pixels / rooms.wide(replace(header, alone=False), header, valued=True))["square"]
        yield f"photo, {layout}, floats", height, width, forged("photo", height, width, layout, 64, 16, floats)
        height, width = shapes(pixels / rooms.wide(header, header, valued=False))["square"]
        yield f"exact, {layout}, 16 bits", height, width, planes_alone(height, width, layout)
        header = Header.of_overlay(1, 1, layout, 32)
        height, width = shapes(pixels / rooms.wide(header, header, valued=True))["square"]
        for how in ("predicted", "table"):
            yield f"exact, {layout}, 32 bits, {how}", height, width, numbers_alone(height, width, layout, how)


def planes_alone(height: int, width: int, layout: str) -> bytes:
    """An exact picture of 16 bits, flat, predicted."""
    rectangles = container.read(webp_alone(height, width, layout)).overlay
    planes = container.Planes(container.overlay.PREDICTED, rectangles, rectangles)
    return container.write(Header.of_overlay(width, height, layout, 16), [], planes=planes)


def numbers_alone(height: int, width: int, layout: str, how: str) -> bytes:
    """An exact picture of floats, flat: predicted, or of a table of 16 bits."""
    header = Header.of_overlay(width, height, layout, 32)
    rectangles = container.read(webp_alone(height, width, layout)).overlay
    if how == "table":
        planes = container.Planes(container.overlay.PREDICTED, rectangles, rectangles)
        numbers = container.Numbers(container.numbers.TABLE, (), bytes(4 << 16), planes)
    else:
        numbers = container.Numbers(container.overlay.PREDICTED, (rectangles,) * 4)
    values = container.Values(container.FLOATS, -1.0, 1.0)
    return container.write(header, [], planes=numbers, values=values)


def overlay_alone(height: int, width: int, layout: str, colour: bytes) -> bytes:
    """One colour, a byte a band."""
    whole = Rectangle(0, 0, width, height, container.overlay.CONSTANT, colour)
    return container.write(Header.of_overlay(width, height, layout), [], overlay=[whole])


def webp_alone(height: int, width: int, layout: str) -> bytes:
    """Flat rectangles of WebP, as large as they may be."""
    from PIL import Image

    from pillow_lic.codec import overlay

    packed: dict[tuple[int, int], bytes] = {}
    rectangles = []
    columns = min(width, overlay.WEBP_SIDE_MAX)
    rows = overlay.WEBP_PIXELS_MAX // columns
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            size = min(columns, width - left), min(rows, height - top)
            if size not in packed:
                packed[size] = overlay._as_webp(Image.new(layout, size, (1, 2, 3, 4)[: len(layout)]), 0, 0)
            rectangles.append(Rectangle(left, top, *size, container.overlay.WEBP, packed[size]))
    return container.write(Header.of_overlay(width, height, layout), [], overlay=rectangles)


def jobs(setting: str, kinds: list[str], models: list[str], least: bool):
    """What a file is, its sides, its bytes, and what is done with it."""
    pixels = 1 << 18 if least else SETTINGS[setting]
    if "plain" in kinds:
        yield from ((*one, "open") for one in files(pixels, models))
    if "cut" in kinds:
        yield from ((*one, "cut") for one in cut_files(min(pixels, limits.PILLOWS), models))
    if "deep" in kinds:
        for what, *one in deep_files(pixels):
            yield what, *one, "open"
            yield f"{what}, decode", *one, "decode"


def kept(path: Path) -> dict[tuple[str, str], list[str]]:
    """Rows of an earlier run, by limits and file."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    return {(row[0], row[1].partition(":")[0]): row for row in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "limits.csv")
    parser.add_argument("--models", nargs="+", default=choice.names())
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=SETTINGS)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--keep", action="store_true", help="keep rows of --out that are not measured again")
    parser.add_argument("--least", action="store_true")
    a = parser.parse_args()
    rows = kept(a.out) if a.keep else {}
    for setting in a.settings:
        for what, height, width, data, how in jobs(setting, a.kinds, a.models, a.least):
            error, seconds, peak = decoded(setting, data, how)
            told = f"{what}: {error}" if error else what
            rows[setting, what] = [setting, told, width, height, len(data), seconds, peak]
            print(f"{setting:8} {what:32} {width:7} x {height:6}, {len(data):8} bytes:"
                  f" {seconds:6.2f} s, {peak:5} MB {error}", flush=True)  # fmt: skip
            write(a.out, sorted(rows.values(), key=lambda row: list(SETTINGS).index(row[0])))
    machine.write_description(a.out.with_suffix(".json"))


def write(path: Path, rows: list[list]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
