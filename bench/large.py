"""Time and peak memory of large images: 1 to 100 megapixels, each encoded and decoded in a fresh process.

    python bench/large.py [--megapixels 1 4 16 100] [--quality 60] [--repeat 3]

The picture is generated. The quickest of --repeat processes counts. Seconds of processor time stand beside: where they
are less than threads times seconds, the machine had other work (4 megapixels take 0.8 s to encode, and 13 s beside a
training). Peak memory is the process's (ru_maxrss), Python, torch and the picture itself included.
"""

from __future__ import annotations

import argparse
import csv
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine

SIDES = {1: (1000, 1000), 4: (2000, 2000), 16: (4000, 4000), 36: (6000, 6000), 64: (8000, 8000), 100: (10000, 10000)}


def picture(height: int, width: int):
    """Gradients, edges and texture, row block by row block so that making it takes no more memory than it."""
    import numpy as np

    array = np.empty((height, width, 3), np.uint8)
    columns = np.arange(width) / 40.0
    rng = np.random.default_rng(0)
    texture = rng.normal(0, 6, (256, width))
    for top in range(0, height, 256):
        rows = (np.arange(top, min(top + 256, height)) / 40.0)[:, None]
        base = 128 + 60 * np.sin(rows * 0.3) * np.cos(columns * 0.21) + np.where((rows + columns) % 5 < 2, 25, -15)
        noisy = base + texture[: len(rows)]
        array[top : top + len(rows)] = np.clip(noisy[:, :, None] + np.array([0, 8, -8]), 0, 255)
    return array


def measure(what: str, path: Path, megapixels: int, quality: float) -> None:
    """Run in the process under test: prints seconds, seconds of processor time, peak megabytes and file bytes."""
    import pillow_lic

    pillow_lic.decode(
        pillow_lic.encode(picture(64, 64), quality=quality)
    )  # imports and model loading are not what is asked here
    if what == "encode":
        array = picture(*SIDES[megapixels])
        start, busy = time.perf_counter(), time.process_time()
        path.write_bytes(pillow_lic.encode(array, quality=quality))
    else:
        data = path.read_bytes()
        start, busy = time.perf_counter(), time.process_time()
        decoded = pillow_lic.decode(data)
        assert decoded.shape[:2] == SIDES[megapixels]
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{seconds:.3f} {busy:.3f} {peak:.0f} {path.stat().st_size}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=int, nargs="+", default=[1, 4, 16, 100], choices=SIDES)
    parser.add_argument("--quality", type=float, default=60)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "large.csv")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.measure:
        what, path, megapixels = a.measure
        return measure(what, Path(path), int(megapixels), a.quality)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.lic"
        for megapixels in a.megapixels:
            for what in ("encode", "decode"):
                command = [
                    sys.executable,
                    __file__,
                    "--quality",
                    str(a.quality),
                    "--measure",
                    what,
                    str(path),
                    str(megapixels),
                ]
                runs = [
                    subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
                    for _ in range(a.repeat)
                ]
                seconds, busy, peak, size = min(runs, key=lambda run: float(run[0]))
                rows.append([what, megapixels, seconds, busy, f"{megapixels / float(seconds):.2f}", peak, size])
                print(
                    f"{what} {megapixels:4} MP: {seconds} s ({busy} of processors), peak {peak} MB, file {size} bytes",
                    flush=True,
                )
    machine.write_description(a.out.with_suffix(".json"), repeat=a.repeat, quality=a.quality)
    a.out.parent.mkdir(exist_ok=True)
    with a.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["what", "megapixels", "seconds", "processor_seconds", "megapixels_per_second", "peak_mb", "file_bytes"]
        )
        writer.writerows(rows)


if __name__ == "__main__":
    main()
