"""What `pillow_lic.enhance` makes of JPEGs: PSNR of luma and of RGB, beside smoothing, and BD-rates.

    python bench/enhance.py IMAGES [--set kodak] [--limit N] [--slow 6]
    python bench/enhance.py --picture docs/img/enhance.png

Pillow's JPEG at qualities from 5 to 90, 4:2:0 and 4:4:4, and grey. Smoothing: a Gaussian of luma, the best of several
widths for each file (which nobody could know), moved into the cells of the file's coefficients as ours is. Again: JPEG
applied to shifted copies and averaged (Nosratinia 2001), likewise. Both on the first pictures alone. BD-rates by PSNR
of RGB, files as they are, 4:2:0. Writes bench/results/enhance-<set>.csv and a JSON.
"""

import argparse
import io
import pathlib
import time

import machine
import metrics
import numpy as np
from jpeg_cells import luma_of, projected, to_luma
from PIL import Image
from rd import images_in, write

COLUMNS = ("format", "quality", "images", "jpeg", "gain", "worst", "smoothing", "again", "rgb_gain", "rgb_worst")
QUALITIES = (5, 10, 20, 30, 40, 60, 75, 90)
FORMATS = {"4:2:0": {"subsampling": 2}, "4:4:4": {"subsampling": 0}, "grey": {}}
WIDTHS = (0.4, 0.6, 0.8, 1.0, 1.3)


def psnr(a, b):
    """Of samples of 8 bits."""
    return 10 * np.log10(255**2 / max(np.mean((a.astype(float) - b) ** 2), 1e-9))


def smoothed(found, steps, wanted):
    """PSNR of luma, of Gaussians in the cells; the best."""
    from scipy.ndimage import gaussian_filter

    return max(in_cells(found, steps, gaussian_filter(found, width) - found, wanted) for width in WIDTHS)


def again(found, steps, wanted):
    """PSNR of luma, of the mean of 32 shifted copies that were saved with the same tables, in the cells."""
    tables = [steps.astype(int).tolist()]
    total = np.zeros_like(found)
    shifts = [(row, column) for row in range(8) for column in range(8) if (row + column) % 2 == 0]
    for row, column in shifts:
        moved = np.pad(found, ((row, 8 - row), (column, 8 - column)), mode="edge").astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(moved).save(file, "JPEG", qtables=tables)
        back = np.asarray(Image.open(file), np.float32)
        total += back[row : row + found.shape[0], column : column + found.shape[1]]
    return in_cells(found, steps, total / len(shifts) - found, wanted)


def in_cells(found, steps, change, wanted):
    """PSNR of luma with a change that was moved into the cells."""
    height, width = wanted.shape
    better = found + projected(found, change, steps)
    return psnr(better[:height, :width].round().clip(0, 255), wanted)


def mean(values):
    """Of those that are there."""
    return np.nanmean(values) if np.isfinite(values).any() else np.nan


def measure(array, format, quality, slow):
    """bytes, then PSNR of luma: JPEG, ours, smoothing, again; and of RGB: JPEG, ours."""
    from pillow_lic.jpeg.enhance import enhance

    image = Image.fromarray(array)
    if format == "grey":
        image = image.convert("L")
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, **FORMATS[format])
    data = file.getvalue()
    found, steps = luma_of(data)
    plain, better = np.asarray(image), np.asarray(enhance(data))
    decoded = np.asarray(Image.open(io.BytesIO(data)))
    luma = plain.astype(float) if plain.ndim == 2 else to_luma(plain)
    height, width = luma.shape
    ours = better if better.ndim == 2 else to_luma(better)
    others = (smoothed(found, steps, luma), again(found, steps, luma)) if slow else (np.nan, np.nan)
    lumas = psnr(found[:height, :width], luma), psnr(ours, luma), *others
    return len(data), *lumas, psnr(decoded, plain), psnr(better, plain)


def webp(array):
    """(bits per pixel, PSNR of RGB) of WebP, method 6."""
    for quality in range(1, 100, 9):
        file = io.BytesIO()
        Image.fromarray(array).save(file, "WEBP", quality=quality, method=6)
        decoded = np.asarray(Image.open(file).convert("RGB"))
        yield 8 * len(file.getvalue()) / array[:, :, 0].size, psnr(decoded, array)


def timed(array):
    """Seconds of the processor for a picture, one thread, the least of three."""
    from pillow_lic.jpeg.enhance import enhance

    file = io.BytesIO()
    Image.fromarray(array).save(file, "JPEG", quality=40)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        enhance(file.getvalue())
        seconds.append(time.process_time() - start)
    return min(seconds)


def picture(path):
    """The guide's: a crop of scikit-image's coffee at quality 10, enhanced, and the original; twice as large."""
    from skimage.data import coffee

    from pillow_lic.jpeg.enhance import enhance

    original, file = Image.fromarray(coffee()), io.BytesIO()
    original.save(file, "JPEG", quality=10)
    page, side = Image.new("RGB", (3 * 300 + 20, 300), "white"), 150
    for number, image in enumerate((Image.open(file), enhance(file.getvalue()), original)):
        crop = image.crop((330, 70, 330 + side, 70 + side)).resize((300, 300), Image.Resampling.NEAREST)
        page.paste(crop, (310 * number, 0))
    page.save(path, optimize=True)


def main():
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=pathlib.Path, nargs="?")
    parser.add_argument("--picture", type=pathlib.Path, help="make the guide's picture, and nothing else")
    parser.add_argument("--slow", type=int, default=6, metavar="N", help="pictures with which others are compared")
    parser.add_argument("--set", default="kodak", help="name of the set, for the results")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--results", type=pathlib.Path, default=machine.RESULTS)
    options = parser.parse_args()
    if options.picture:
        picture(options.picture)
        return
    arrays = [np.asarray(Image.open(path).convert("RGB")) for path in images_in(options.images, options.limit)]
    rows, curves = [], {}
    for format in options.formats.split(","):
        for quality in QUALITIES:
            many = options.slow if format == "4:2:0" and quality in (10, 20, 40) else 0
            found = np.array([measure(array, format, quality, n < many) for n, array in enumerate(arrays)])
            size, jpeg, ours, smoothing, shifted, rgb, rgb_ours = found.T
            gains = jpeg.mean(), (ours - jpeg).mean(), (ours - jpeg).min()
            others = [mean(one - jpeg) for one in (smoothing, shifted)]
            figures = *gains, *others, (rgb_ours - rgb).mean(), (rgb_ours - rgb).min()
            values = format, quality, len(arrays), *(f"{one:.3f}" for one in figures)
            rows.append(dict(zip(COLUMNS, values, strict=True)))
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
            bits = 8 * size / np.array([array[:, :, 0].size for array in arrays])
            curves[format, quality] = list(zip(bits, rgb, rgb_ours, strict=True))
    rates = {"seconds": round(timed(arrays[0]), 3)}
    if "4:2:0" in options.formats:
        found = np.array([np.mean(curves["4:2:0", quality], 0) for quality in QUALITIES])
        plain, better = (list(zip(found[:, 0], found[:, k], strict=True)) for k in (1, 2))
        others = np.mean([list(webp(array)) for array in arrays], 0).tolist()
        rates["against_jpeg"] = round(metrics.bd_rate(plain, better), 1)
        rates["against_webp"] = round(metrics.bd_rate(others, better), 1)
        rates["jpeg_against_webp"] = round(metrics.bd_rate(others, plain), 1)
    print(rates)
    write(options.results / f"enhance-{options.set}.csv", COLUMNS, rows)
    machine.write_description(options.results / f"enhance-{options.set}.json", **rates)


if __name__ == "__main__":
    main()
