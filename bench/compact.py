"""What `pillow_lic.compact` and `enhance` make of few bits: PSNR of RGB at equal bytes, beside what else could be had.

    python bench/compact.py IMAGES [--set kodak] [--limit N] [--lic 6]
    python bench/compact.py --picture docs/img/compact.png

Bits are those of the real files, over the original's pixels. Each way is a curve over its qualities for each picture,
read at the stated rates between neighbours, by the logarithm of bytes; a picture counts at a rate where Pillow's JPEG
(4:2:0, optimize=True) and compact files reach it. Ways: jpeg, as it is; enhanced: that through `enhance`; half: a JPEG
of half the size, Pillow's tables, enlarged by a cubic; cubic: a compact file enlarged by a cubic, which shows what the
network adds; compact: through `enhance`; lic: a .lic of tune="psnr", on the first pictures alone. Writes
bench/results/compact-<set>.csv and a JSON.
"""

import argparse
import io
import pathlib
import time

import machine
import numpy as np
from enhance import psnr
from PIL import Image
from rd import images_in, write

RATES = (0.1, 0.125, 0.15, 0.2, 0.25)
QUALITIES = (5, 9, 14, 20, 28, 38, 50, 64, 78, 90)  # of half the size
JPEG = (1, 3, 5, 8, 11, 15, 20, 26, 36)
LIC = (1, 5, 10, 20, 30, 40)
WAYS = ("jpeg", "enhanced", "half", "cubic", "compact", "lic")
COLUMNS = ("rate", "images", *WAYS, "lic_images", "compact_there", "gain", "worst", "gain_enhanced")
CUBIC, LANCZOS = Image.Resampling.BICUBIC, Image.Resampling.LANCZOS


def opened(data):
    """RGB of a file's bytes."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def as_jpeg(image, quality):
    """Bytes."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling=2, optimize=True)
    return file.getvalue()


def curves(image, lic):
    """By way: (bits a pixel, PSNR of RGB) for each quality."""
    import pillow_lic

    found = {way: [] for way in WAYS}
    wanted, pixels = np.asarray(image), image.width * image.height

    def note(way, data, better):
        found[way].append((8 * len(data) / pixels, psnr(np.asarray(better), wanted)))

    for quality in JPEG:
        data = as_jpeg(image, quality)
        note("jpeg", data, opened(data))
        note("enhanced", data, pillow_lic.enhance(data))
    small = image.resize((image.width // 2, image.height // 2), LANCZOS)
    for quality in QUALITIES:
        data = as_jpeg(small, quality)
        note("half", data, opened(data).resize(image.size, CUBIC))
        data = pillow_lic.compact(image, quality=quality)
        note("cubic", data, opened(data).resize(image.size, CUBIC))
        note("compact", data, pillow_lic.enhance(data))
    for quality in LIC if lic else ():
        data = pillow_lic.encode(image, quality=quality, tune="psnr", effort=0)
        note("lic", data, pillow_lic.decode(data))
    return found


def at(curve, rate):
    """PSNR at a rate, NaN outside of the curve."""
    points = sorted(curve)
    if not points or not points[0][0] <= rate <= points[-1][0]:
        return np.nan
    bits, value = zip(*points, strict=True)
    return np.interp(np.log(rate), np.log(bits), value)


def row(rate, pictures):
    """Of a rate: means over the pictures whose JPEG and compact file reach it."""
    values = np.array([[at(curves_of[way], rate) for way in WAYS] for curves_of in pictures])
    jpeg, compact = values[:, 0], values[:, WAYS.index("compact")]
    both = np.isfinite(jpeg) & np.isfinite(compact)
    lic = both & np.isfinite(values[:, WAYS.index("lic")])
    means = [
        np.nanmean(values[both, n]) if np.isfinite(values[both, n]).any() else np.nan for n in range(len(WAYS) - 1)
    ]
    lic_mean = values[lic, WAYS.index("lic")].mean() if lic.any() else np.nan
    there = compact[lic].mean() if lic.any() else np.nan
    gain = compact - jpeg
    figures = (*means, lic_mean), lic.sum(), (there, gain[both].mean(), gain[both].min())
    enhanced = (compact - values[:, 1])[both]
    texts = [f"{one:.3f}" for one in figures[0]], [figures[1]], [f"{one:.3f}" for one in figures[2]]
    return dict(
        zip(COLUMNS, (rate, int(both.sum()), *texts[0], *texts[1], *texts[2], f"{enhanced.mean():.3f}"), strict=True)
    )


def timed(megapixels=12):
    """Seconds of the processor to make a compact file of noise and gradients, and to bring it back; one thread."""
    import pillow_lic

    pillow_lic.set_threads(1)
    width, height = 4000, round(megapixels * 250)
    ramp = np.add.outer(np.arange(height), np.arange(width)) // 30
    noise = np.random.default_rng(1).integers(0, 40, (height, width))
    image = Image.fromarray(((ramp + noise) % 256).astype(np.uint8)).convert("RGB")
    start = time.process_time()
    data = pillow_lic.compact(image)
    made = time.process_time()
    pillow_lic.enhance(data)
    return made - start, time.process_time() - made


def picture(path):
    """The guide's: a crop of scikit-image's coffee at about 0.15 bits a pixel: JPEG, compact file, brought back."""
    from skimage.data import coffee

    import pillow_lic

    original = Image.fromarray(coffee())
    data = next(made for q in range(60, 1, -1) if len(made := pillow_lic.compact(original, quality=q)) < 4500)
    files = [as_jpeg(original, quality) for quality in range(1, 40)]
    jpeg = max((one for one in files if len(one) <= len(data)), key=len, default=files[0])
    page, side = Image.new("RGB", (3 * 300 + 20, 300), "white"), 150
    shown = opened(jpeg), opened(data).resize(original.size, Image.Resampling.NEAREST), pillow_lic.enhance(data)
    for number, image in enumerate(shown):
        crop = image.crop((330, 70, 330 + side, 70 + side)).resize((300, 300), Image.Resampling.NEAREST)
        page.paste(crop, (310 * number, 0))
    page.save(path, optimize=True)
    print(f"JPEG {len(jpeg)} bytes, compact {len(data)}")


def main():
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=pathlib.Path, nargs="?")
    parser.add_argument("--picture", type=pathlib.Path, help="make the guide's picture, and nothing else")
    parser.add_argument("--lic", type=int, default=6, metavar="N", help="pictures with which .lic is compared")
    parser.add_argument("--set", default="kodak", help="name of the set, for the results")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--results", type=pathlib.Path, default=machine.RESULTS)
    options = parser.parse_args()
    if options.picture:
        picture(options.picture)
        return
    pictures = []
    for number, path in enumerate(images_in(options.images, options.limit)):
        pictures.append(curves(Image.open(path).convert("RGB"), number < options.lic))
        print(
            pathlib.Path(path).name,
            f"{at(pictures[-1]['compact'], 0.2):.2f} {at(pictures[-1]['jpeg'], 0.2):.2f}",
            flush=True,
        )
    rows = [row(rate, pictures) for rate in RATES]
    for one in rows:
        print("  ".join(f"{key} {value}" for key, value in one.items()), flush=True)
    write(options.results / f"compact-{options.set}.csv", COLUMNS, rows)
    made, back = timed()
    figures = {"pictures": len(pictures), "compact_12_mp": round(made, 2), "enhance_12_mp": round(back, 2)}
    machine.write_description(options.results / f"compact-{options.set}.json", **figures)


if __name__ == "__main__":
    main()
