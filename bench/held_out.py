"""The held-out photographs as a folder of PNG, a second set for rd.py: python bench/held_out.py PHOTOS OUT [--side 512]

Each is reduced by Lanczos until its shorter side is --side at most, which also takes away most traces of the JPEG it
came as.
"""

import argparse
import pathlib
import sys

from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from train.data import load_split


def main():
    """Write them, numbered in the order in which training lists them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=pathlib.Path, help="what train.py gets as --data")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--side", type=int, default=512)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    for number, photo in enumerate(load_split(chosen.photos)[1]):
        image = Image.fromarray(photo)
        scale = min(1.0, chosen.side / min(image.size))
        size = [max(1, round(scale * side)) for side in image.size]
        image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0).save(chosen.out / f"{number:03}.png")


if __name__ == "__main__":
    main()
