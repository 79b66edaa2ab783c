"""Cold start: a fresh process that opens and loads one picture, LIC beside other formats in one run.

    python bench/cold.py IMAGE [--repeats 15] [--quality 57]

Wall time and peak memory of the whole process, interpreter included; runs alternate, so that a busy moment hits all.
Writes bench/results/cold.csv and cold.json.
"""

from __future__ import annotations

import argparse
import csv
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import machine
from PIL import Image

RESULTS = pathlib.Path(__file__).parent / "results"
# The peak is that of this program alone: ru_maxrss would count what the parent had before it became this one.
PROGRAM = """import sys
from PIL import Image
Image.open(sys.argv[1]).load()
with open("/proc/self/status") as file:
    print(next(line.split()[1] for line in file if line.startswith("VmHWM")))
print(*[name for name in ("torch", "numpy") if name in sys.modules])
"""
FORMATS = {"jpeg": {"quality": 85}, "webp": {"quality": 80}, "avif": {"quality": 60}}


def once(path: pathlib.Path) -> tuple[float, int, str]:
    """Seconds, kilobytes at the peak, and which of torch and NumPy were imported, of a process that loads a picture."""
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - begun
    peak, imported = done.stdout.splitlines()
    return seconds, int(peak), imported


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=pathlib.Path)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--quality", type=float, default=57)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Image.open(options.image) as image:
        image = image.convert("RGB")
        paths = {}
        for name, settings in {"lic": {"quality": options.quality}, **FORMATS}.items():
            paths[name] = pathlib.Path(folder) / f"picture.{name}"
            image.save(paths[name], **settings)
        found: dict[str, list[tuple[float, int, str]]] = {name: [] for name in paths}
        for path in paths.values():
            once(path)  # warms the file cache
        for _ in range(options.repeats):
            for name, path in paths.items():
                found[name].append(once(path))
        imported = found["lic"][0][2]
        rows = []
        for name, runs in found.items():
            seconds = statistics.median(s for s, *_ in runs)
            rows.append(
                {
                    "format": name,
                    "bytes": paths[name].stat().st_size,
                    "seconds": f"{seconds:.4f}",
                    "least": f"{min(s for s, *_ in runs):.4f}",
                    "peak_mb": f"{statistics.median(k for _, k, _ in runs) / 1024:.1f}",
                }
            )
    avif = next(float(row["seconds"]) for row in rows if row["format"] == "avif")
    for row in rows:
        row["against_avif"] = f"{float(row['seconds']) / avif:.2f}"
        print(row)
    print("imported by a .lic that is loaded:", imported or "neither torch nor numpy")
    with (RESULTS / "cold.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    machine.write_description(RESULTS / "cold.json", repeats=options.repeats, imported=imported)


if __name__ == "__main__":
    main()
