"""The most that a file of 200 kB can cost its reader, by model: processor time and memory, by default and with the
limits for services.

    python bench/limits.py [--out bench/results/limits.csv] [--models photo ...] [--least]

Files are forged: zeros, coded at the quality where they cost least, or flat grey where that is smaller; as many pixels
as the limits let through, in the shapes that cost most, each decoded in a fresh process on one thread. --least takes
small pictures, to see that the bench works. Seconds are those of the processor: on a machine with other work they are
higher than on a quiet one.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import machine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from hostile import forged

from pillow_lic import container, limits
from pillow_lic.container import Header, Rectangle
from pillow_lic.models import choice, cost, registry

COLUMNS = ["limits", "what", "width", "height", "bytes", "seconds", "peak_mb"]
SETTINGS = {"default": limits.LARGEST, "service": limits.NAMED["service"].pixels}
DECODE = """
import sys, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from PIL import Image, ImageFile
import pillow_lic
pillow_lic.set_limits(sys.argv[1], models="any" if sys.argv[1] == "default" else None)
pillow_lic.set_threads(1)
Image.MAX_IMAGE_PIXELS = int(sys.argv[3]) or Image.MAX_IMAGE_PIXELS
ImageFile.LOAD_TRUNCATED_IMAGES = sys.argv[4] == "True"
begin = time.process_time()
try:
    im = Image.open(sys.argv[2])
    im.load()
except pillow_lic.LicError as error:
    print(type(error).__name__, end=" ")
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(time.process_time() - begin, int(peak.split()[1]) >> 10)
"""


def decoded(setting: str, data: bytes, truncated: bool = False) -> tuple[str, float, int]:
    """The error's name if any, seconds of the processor, and megabytes at the peak: of a process that opens a file."""
    with tempfile.NamedTemporaryFile(suffix=".lic") as file:
        file.write(data)
        file.flush()
        command = [sys.executable, "-c", DECODE, setting, file.name, "0", str(truncated)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    *error, seconds, peak = done.stdout.split()
    return " ".join(error), float(seconds), int(peak)


def shapes(pixels: float) -> dict[str, tuple[int, int]]:
    """Heights and widths of so many pixels under the grid."""
    side = int(pixels**0.5) // 64 * 64
    rows = min(int(pixels / 64) // 64 * 64, 1 << 20)  # thin ones are larger files: more would be beyond 200 kB
    return {"square": (side, side), "16 high": (16, rows), "16 wide": (rows, 16)}


def files(pixels: float, models: list[str]):
    """What a file is, and its bytes."""
    for name in models:
        most = pixels / cost.cost(registry.by_name(name).manifest)
        for shape, (height, width) in shapes(most).items():
            for layout in ("RGB", "RGBA") if shape == "square" else ("RGB",):
                yield f"{name}, {shape}, {layout}", height, width, forged(name, height, width, layout)
    height, width = shapes(pixels)["square"]
    yield "overlay, one colour", height, width, overlay_alone(height, width, "RGBA", b"\1\2\3\4")
    for layout in ("RGB", "RGBA"):
        yield f"overlay, WebP, {layout}", height, width, webp_alone(height, width, layout)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "limits.csv")
    parser.add_argument("--models", nargs="+", default=choice.names())
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=SETTINGS)
    parser.add_argument("--least", action="store_true")
    a = parser.parse_args()
    rows = []
    for setting in a.settings:
        for what, height, width, data in files(1 << 18 if a.least else SETTINGS[setting], a.models):
            error, seconds, peak = decoded(setting, data)
            rows.append([setting, f"{what}: {error}" if error else what, width, height, len(data), seconds, peak])
            print(f"{setting:8} {what:32} {width:7} x {height:6}, {len(data):8} bytes:"
                  f" {seconds:6.2f} s, {peak:5} MB {error}", flush=True)  # fmt: skip
    with a.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    machine.write_description(a.out.with_suffix(".json"))


if __name__ == "__main__":
    main()
