"""A page for eyes: crops in pairs, in random order and on random sides, and a person says which is nearer the original.

    python bench/held_out.py PHOTOS runs/held-out
    python bench/eyes.py runs/held-out [--bpp 0.15,0.3,0.6] [--codecs lic~visual,avif-default,jxl-default]
        [--side 320] [--limit 12] [--out eyes.html]
    python bench/eyes.py --read answers.csv [MORE.csv ...]

The first codec stands against each of the others. Every codec's quality is searched until its file of the whole image
is as near as it gets to the same size; the crop is the window with the most detail. The page holds everything, shows no
names, and gives the answers as CSV. --read counts them, with the chance of counts as uneven or more if nobody saw
anything (sign test, two-sided, "no difference" left out).
"""

import argparse
import csv
import math
import pathlib
import sys
from concurrent.futures import ThreadPoolExecutor

import crops
import peers
from PIL import Image

from pillow_lic.cli import page, progress

COLUMNS = ("picture", "bpp", "left", "right", "answer", "seconds", "seed")


def crops_of(path, rates, codecs, side):
    """(original, {rate: {codec name: (crop, bytes)}}) of one image."""
    with Image.open(path) as source:
        image = source.convert("RGB")
    x, y = crops.busiest(image, side)
    box = (x, y, min(x + side, image.width), min(y + side, image.height))
    found = {}
    for rate in rates:
        found[rate] = {}
        for codec in codecs:
            _, data = codec.fit(image, rate * image.width * image.height / 8)
            found[rate][codec.name] = (codec.decode(data).convert("RGB").crop(box), len(data))
    return image.crop(box), found


def data_of(paths, results):
    """What the page's script is given: pictures once each, and the trials."""
    sources, trials = [], []

    def kept(image):
        sources.append(page.source(image))
        return len(sources) - 1

    for path, (original, found) in zip(paths, results):
        first = kept(original)
        for rate, by_codec in found.items():
            places = {name: kept(image) for name, (image, _) in by_codec.items()}
            ours, *others = places
            for other in others:
                pair = [{"codec": name, "source": places[name]} for name in (ours, other)]
                trials.append({"picture": path.stem, "bpp": rate, "original": first, "pair": pair})
    return {"sources": sources, "trials": trials, "columns": COLUMNS}


def chosen_paths(folder, limit):
    """The images of a folder, of many `limit` at equal distances."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"))
    if not paths:
        msg = f"no pictures in {folder}"
        raise SystemExit(msg)
    count = min(limit, len(paths))
    return [paths[number * len(paths) // count] for number in range(count)]


def write(chosen):
    """The page."""
    paths = chosen_paths(chosen.images, chosen.limit)
    codecs = [peers.find(name) for name in chosen.codecs.split(",")]
    rates = [float(rate) for rate in chosen.bpp.split(",")]
    with ThreadPoolExecutor(chosen.jobs) as pool:
        work = pool.map(lambda path: crops_of(path, rates, codecs, chosen.side), paths)
        results = list(progress.shown(work, len(paths)))
    data = data_of(paths, results)
    for rate in rates:
        sizes = {codec.name: sum(found[rate][codec.name][1] for _, found in results) for codec in codecs}
        print(f"{rate:g} bpp: " + ", ".join(f"{name} {size} bytes" for name, size in sizes.items()))
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_bytes(page.filled(pathlib.Path(__file__).with_suffix(".html"), data))
    print(f"{chosen.out}: {len(data['trials'])} pairs, {chosen.out.stat().st_size} bytes")


def chance(wins, losses):
    """That a fair coin falls as unevenly as that, or more."""
    count, few = wins + losses, min(wins, losses)
    return min(1.0, 2 * sum(math.comb(count, k) for k in range(few + 1)) / 2**count)


def counted(rows):
    """{(bpp, one codec, other): [for one, no difference, for the other]}, names in alphabetical order."""
    counts = {}
    for row in rows:
        one, other = sorted((row["left"], row["right"]))
        places = {one: 0, "same": 1, other: 2}
        counts.setdefault((float(row["bpp"]), one, other), [0, 0, 0])[places[row["answer"]]] += 1
    return dict(sorted(counts.items()))


def read(paths):
    """Print what the answers come to."""
    rows = []
    for path in paths:
        with open(path, newline="", encoding="utf-8") as file:
            rows += csv.DictReader(file)
    for (bpp, one, other), (wins, same, losses) in counted(rows).items():
        print(f"{bpp:g} bpp: {one} {wins}, no difference {same}, {other} {losses}; chance {chance(wins, losses):.3f}")


def options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="?", type=pathlib.Path, help="a folder of images")
    parser.add_argument("--bpp", default="0.15,0.3,0.6", help="sizes of every file, bits per pixel")
    parser.add_argument("--codecs", default="lic,avif-default,jxl-default", help="the first against the others")
    parser.add_argument("--side", type=int, default=320, help="side of the crops, pixels")
    parser.add_argument("--limit", type=int, default=12, help="images at most")
    parser.add_argument("--jobs", type=int, default=1, help="images at a time")
    parser.add_argument("--out", default="eyes.html", type=pathlib.Path)
    parser.add_argument("--read", nargs="+", type=pathlib.Path, metavar="CSV", help="count answers instead")
    chosen = parser.parse_args()
    if not chosen.read and not chosen.images:
        parser.error("name a folder of images, or answers to --read")
    return chosen


def main():
    """Write the page, or read answers."""
    chosen = options()
    read(chosen.read) if chosen.read else write(chosen)


if __name__ == "__main__":
    sys.exit(main())
