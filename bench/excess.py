"""What files take that serve more than one purpose, beyond files made for one: cut ones, and ones with a region.

    python bench/excess.py IMAGES [--limit N] [--qualities 30,60,85] [--effort 0]

A progressive file at each quality is cut to shares of its bytes; its excess is over a file that is not progressive, and
has the PSNR that is left. A quarter of the picture as region, the background seven rows down: its excess is over the
ideal of two files, the bits that one with the PSNR inside spends there and one with the PSNR outside spends there
(codec/cost.py). Writes bench/results/excess-cut.csv, excess-region.csv, and a JSON.
"""

import argparse
import pathlib

import machine
import numpy as np
from PIL import Image
from rd import images_in, write

SHARES = (1.0, 0.85, 0.65, 0.5)
BACKGROUND = -24.0  # quality points: seven rows
NEAR, TRIES = 0.01, 8  # dB, of a search for a PSNR of a part
POINT = 0.13  # dB, of a point of quality
CUT = ("quality", "share", "files", "psnr", "excess_mean", "excess_worst")
REGION = ("quality", "files", "excess_mean", "excess_worst", "psnr_inside", "psnr_outside")


def psnr_of(a, b):
    """In dB, of samples in any shape."""
    return float(20 * np.log10(255 / np.sqrt(np.square(a.astype(float) - b).mean())))


def cut_excess(array, quality, share, effort):
    """PSNR of a cut file, and what it takes more than one made for that, in parts of it."""
    import pillow_lic
    from pillow_lic.container.cut import cut

    whole = pillow_lic.encode(array, quality=quality, effort=effort, progressive=True, tune="psnr")
    part = cut(whole, size=int(share * len(whole)))
    psnr = psnr_of(array, pillow_lic.decode(part, truncated=True))
    made = pillow_lic.encode(array, target_psnr=psnr, effort=effort)
    return psnr, len(part) / len(made) - 1


def part_at(array, inside, wanted, quality, effort):
    """The bits that a plain file spends on a part of the picture where that has a PSNR."""
    import pillow_lic
    from pillow_lic.codec.cost import spent

    found = []
    for _ in range(TRIES):
        data = pillow_lic.encode(array, quality=quality, effort=effort, tune="psnr")
        psnr = psnr_of(array[inside], pillow_lic.decode(data)[inside])
        found.append((psnr, np.log(float(spent(data).bits[inside].sum()))))
        if abs(psnr - wanted) <= NEAR or len(found) > 3:
            break
        quality = float(np.clip(quality + (wanted - psnr) / POINT, 1, 100))
    psnrs, bits = zip(*sorted(found), strict=True)
    return float(np.exp(np.interp(wanted, psnrs, bits)))


def region_excess(array, quality, effort):
    """Excess in parts of the ideal, and the PSNR inside and outside."""
    import pillow_lic
    from pillow_lic.codec.cost import spent

    height, width = array.shape[:2]
    box = (width // 4 // 64 * 64, height // 4 // 64 * 64)
    box = (*box, box[0] + width // 2 // 64 * 64, box[1] + height // 2 // 64 * 64)
    inside = np.zeros((height, width), bool)
    inside[box[1] : box[3], box[0] : box[2]] = True
    data = pillow_lic.encode(array, quality=quality, roi=box, background=BACKGROUND, effort=effort, tune="psnr")
    shown, ideal, psnrs = pillow_lic.decode(data), 0.0, []
    for where, guess in ((inside, quality), (~inside, max(1.0, quality + BACKGROUND))):
        psnrs.append(psnr_of(array[where], shown[where]))
        ideal += part_at(array, where, psnrs[-1], guess, effort)
    return float(spent(data).bits.sum()) / ideal - 1, *psnrs


def main():
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--qualities", default="30,60,85")
    parser.add_argument("--effort", type=int, default=0)
    parser.add_argument("--results", type=pathlib.Path, default=machine.RESULTS)
    options = parser.parse_args()
    paths = images_in(options.images, options.limit)
    arrays = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    cuts, regions = [], []
    for quality in map(float, options.qualities.split(",")):
        for share in SHARES:
            psnrs, excess = np.array([cut_excess(array, quality, share, options.effort) for array in arrays]).T
            figures = f"{psnrs.mean():.2f}", f"{excess.mean():.4f}", f"{excess.max():.4f}"
            cuts.append(dict(zip(CUT, (f"{quality:g}", share, len(arrays), *figures), strict=True)))
            print(cuts[-1], flush=True)
        excess, inside, outside = np.array([region_excess(array, quality, options.effort) for array in arrays]).T
        figures = f"{excess.mean():.4f}", f"{excess.max():.4f}", f"{inside.mean():.2f}", f"{outside.mean():.2f}"
        regions.append(dict(zip(REGION, (f"{quality:g}", len(arrays), *figures), strict=True)))
        print(regions[-1], flush=True)
    write(options.results / "excess-cut.csv", CUT, cuts)
    write(options.results / "excess-region.csv", REGION, regions)
    names = [pathlib.Path(path).name for path in paths]
    described = {"qualities": options.qualities, "effort": options.effort, "background": BACKGROUND}
    machine.write_description(options.results / "excess.json", images=names, **described)


if __name__ == "__main__":
    main()
