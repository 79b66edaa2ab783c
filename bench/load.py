"""Load: several processes that decode at once on few cores, against one process alone.

    python bench/load.py IMAGE [--processes 4] [--pictures 12]

Each process decodes PICTURES pictures of 512x512 after one that is not counted. Seconds a picture are those of the
whole machine: with as many processes as cores nothing is lost if they are PROCESSES / cores times those of one process
with one thread. Writes bench/results/load.csv and load.json.
"""

from __future__ import annotations

import argparse
import csv
import os
import pathlib
import subprocess
import sys
import tempfile

import machine
from PIL import Image

RESULTS = pathlib.Path(__file__).parent / "results"
PROGRAM = """
import sys, time
from PIL import Image
path, pictures = sys.argv[1], int(sys.argv[2])
Image.open(path).load()
begun = time.perf_counter()
for _ in range(pictures):
    Image.open(path).load()
print((time.perf_counter() - begun) / pictures)
"""


def seconds(path: pathlib.Path, processes: int, pictures: int, threads: int | None = None) -> float:
    """Mean seconds that a picture takes in each of so many processes at once."""
    environment = dict(os.environ) | ({"PILLOW_LIC_THREADS": str(threads)} if threads else {})
    command = [sys.executable, "-c", PROGRAM, str(path), str(pictures)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(processes)]
    return sum(float(process.communicate()[0]) for process in running) / processes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=pathlib.Path)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--pictures", type=int, default=12)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder, Image.open(options.image) as image:
        crop = image.convert("RGB").crop((0, 0, 512, 512))
        for name in ("lic", "avif"):
            path = pathlib.Path(folder) / f"picture.{name}"
            crop.save(path, quality=57)
            alone = min(seconds(path, 1, options.pictures) for _ in range(3))
            single = min(seconds(path, 1, options.pictures, 1) for _ in range(3))
            together = seconds(path, options.processes, options.pictures)
            rows.append(
                {
                    "format": name,
                    "alone": f"{alone:.4f}",
                    "alone_one_thread": f"{single:.4f}",
                    "processes": options.processes,
                    "together": f"{together:.4f}",
                    "against_one_thread": f"{together / single:.2f}",
                }
            )
            print(rows[-1])
    with (RESULTS / "load.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    machine.write_description(RESULTS / "load.json", pictures=options.pictures)


if __name__ == "__main__":
    main()
