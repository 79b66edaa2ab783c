"""How near files come to the size, or the PSNR, that is asked for, and what time the search takes.

    python bench/targets.py IMAGES [--set held-out] [--qualities 8,20,...] [--limit N] [--effort 2]

At each quality an image is saved plainly, and a little less than its size is asked for; then with `tune="psnr"`, and a
little more than its PSNR. Processor time is that of one thread, as a multiple of the plain save's, in turn. Writes
bench/results/targets-<set>.csv, a row for each kind of target, and a JSON.
"""

import argparse
import pathlib
import time

import machine
import metrics
import numpy as np
from PIL import Image
from rd import images_in, write

COLUMNS = ("target", "images", "files", "above", "mean_miss", "worst_miss", "time_mean", "time_worst")
LESS, MORE = 0.983, 0.037  # of the size; dB
UNITS = {"size": "%", "psnr": "dB"}


def timed(array, **options):
    """A file, and seconds of the processor."""
    import pillow_lic

    start = time.process_time()
    data = pillow_lic.encode(array, **options)
    return data, time.process_time() - start


def measure(array, quality, effort):
    """Of each kind of target how far the file is off, % below a size or dB beside a PSNR, and times a plain save."""
    import pillow_lic

    plain, base = timed(array, quality=quality, effort=effort)
    most = int(len(plain) * LESS)
    sized, seconds = timed(array, target_size=most, effort=effort)
    found = {"size": (100 * (1 - len(sized) / most), seconds / base)}
    plain, base = timed(array, quality=quality, effort=effort, tune="psnr")  # as a PSNR is had from
    wanted = metrics.psnr(array, pillow_lic.decode(plain)) + MORE
    like, seconds = timed(array, target_psnr=wanted, effort=effort)
    found["psnr"] = (abs(metrics.psnr(array, pillow_lic.decode(like)) - wanted), seconds / base)
    return found


def main():
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("--set", default="held-out", help="name of the set, for the results")
    parser.add_argument("--qualities", default="4,12,21,30,39,48,56,66,78,92")
    parser.add_argument("--effort", type=int, default=2)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--results", type=pathlib.Path, default=machine.RESULTS)
    options = parser.parse_args()
    import pillow_lic

    pillow_lic.set_threads(1)
    paths = images_in(options.images, options.limit)
    qualities = [float(one) for one in options.qualities.split(",")]
    arrays = {pathlib.Path(path).name: np.asarray(Image.open(path).convert("RGB")) for path in paths}
    for quality in qualities:  # loads the models
        timed(next(iter(arrays.values()))[:64, :64], quality=quality, effort=options.effort)
    found = {kind: [] for kind in UNITS}
    for name, array in arrays.items():
        for quality in qualities:
            for kind, (miss, times) in measure(array, quality, options.effort).items():
                found[kind].append((miss, times))
                print(f"{name}  quality {quality:g}  {kind}: {miss:.3f} {UNITS[kind]}, {times:.2f} times", flush=True)
    rows = []
    for kind, values in found.items():
        misses, times = np.array(values).T
        counts = kind, len(arrays), len(values), int((misses < 0).sum())
        figures = misses.mean(), misses.max(), times.mean(), times.max()
        rows.append(dict(zip(COLUMNS, (*counts, *(f"{one:.3f}" for one in figures)), strict=True)))
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()))
    write(options.results / f"targets-{options.set}.csv", COLUMNS, rows)
    machine.write_description(
        options.results / f"targets-{options.set}.json",
        images=list(arrays),
        qualities=options.qualities,
        effort=options.effort,
    )


if __name__ == "__main__":
    main()
