"""What an encoder's effort gives for its time: real files and their pixels at each effort, against effort 0.

    python bench/effort.py IMAGES [--efforts 0,1,2,3,5,9] [--qualities 15,40,65,90] [--limit N]

For each image and effort a curve over the qualities; BD-rate of it against that of effort 0, and the processor time of
encoding as a multiple of effort 0's, median over the files (one thread). An image's efforts come in turn, so that
whatever else the machine does falls on all alike. Writes bench/results/effort-<set>.csv and a JSON.
"""

import argparse
import collections
import pathlib
import statistics
import time

import machine
import metrics
import numpy as np
from PIL import Image
from rd import images_in, write

COLUMNS = ("effort", "images", "files", "bd_rate", "worst", "best", "times")


def measure(array, quality, effort):
    """Bits per pixel, PSNR, seconds of the processor."""
    import pillow_lic

    start = time.process_time()
    data = pillow_lic.encode(array, quality=quality, effort=effort, tune="psnr")
    seconds = time.process_time() - start
    return 8 * len(data) / (array.shape[0] * array.shape[1]), metrics.psnr(array, pillow_lic.decode(data)), seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("--set", default="kodak", help="name of the set, for the results")
    parser.add_argument("--efforts", default="0,1,2,3,5,9")
    parser.add_argument("--qualities", default="15,40,65,90")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--results", type=pathlib.Path, default=machine.RESULTS)
    options = parser.parse_args()
    import pillow_lic

    pillow_lic.set_threads(1)
    efforts = [int(one) for one in options.efforts.split(",")]
    if efforts[0] != 0:
        msg = "--efforts must begin with 0, which the others are measured against"
        raise SystemExit(msg)
    qualities = [float(one) for one in options.qualities.split(",")]
    paths = images_in(options.images, options.limit)
    rates, ratios = collections.defaultdict(list), collections.defaultdict(list)
    arrays = {pathlib.Path(path).name: np.asarray(Image.open(path).convert("RGB")) for path in paths}
    for quality in qualities:  # loads the models
        measure(next(iter(arrays.values())), quality, 1)
    for name, array in arrays.items():
        curves = collections.defaultdict(list)
        for quality in qualities:
            for effort in efforts:
                *point, seconds = measure(array, quality, effort)
                curves[effort].append(point)
                if effort == 0:
                    base = seconds
                ratios[effort].append(seconds / base)
        for effort in efforts[1:]:
            rates[effort].append(metrics.bd_rate(curves[0], curves[effort]))
        print(name, "  ".join(f"effort {effort} {rates[effort][-1]:+.1f} %" for effort in efforts[1:]), flush=True)
    rows = [
        dict(
            zip(
                COLUMNS,
                (
                    effort,
                    len(paths),
                    len(paths) * len(qualities),
                    f"{np.mean(rates[effort]):.2f}",
                    f"{max(rates[effort]):.2f}",
                    f"{min(rates[effort]):.2f}",
                    f"{statistics.median(ratios[effort]):.2f}",
                ),
            )
        )
        for effort in efforts[1:]
    ]
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    write(options.results / f"effort-{options.set}.csv", COLUMNS, rows)
    machine.write_description(
        options.results / f"effort-{options.set}.json", images=list(arrays), qualities=options.qualities
    )


if __name__ == "__main__":
    main()
