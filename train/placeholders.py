"""Count the probabilities of placeholders on photographs: python -m train.placeholders PHOTOS.

Writes pillow_lic/placeholders.bin: how likely an amplitude is not zero, and is more than one, for each band of steps,
frequency and neighbourhood. Pictures are whole photographs and random parts of them. Imports numpy and Pillow.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from pillow_lic import placeholders
from train.data import load_split

PARTS = 3  # of each photograph, beside the whole
EVERY = 2  # steps


def pictures(photographs: list[np.ndarray], seed: int = 5):
    """Whole photographs, and parts of a third to all of the shorter side."""
    rng = np.random.default_rng(seed)
    for photo in photographs:
        yield Image.fromarray(photo)
        height, width = photo.shape[:2]
        for _ in range(PARTS):
            side = int(min(height, width) * rng.uniform(0.33, 1.0))
            top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
            yield Image.fromarray(photo[top : top + side, left : left + side])


def counted(photographs: list[np.ndarray]) -> list[list[int]]:
    counter = placeholders.Counter([[0, 0] for _ in range(placeholders.TABLE)])
    for im in tqdm(list(pictures(photographs)), desc="counting"):
        small = im.resize((placeholders.SIDE, placeholders.SIDE), Image.Resampling.BOX)
        spectra = placeholders.amplitudes(small)
        for step in range(0, placeholders.STEPS, EVERY):
            levels = placeholders.levels_of(spectra, step, placeholders.ROUNDINGS[1])
            placeholders.coded(None, levels, step, counter)
    return counter.counts


def table(counts: list[list[int]]) -> bytes:
    """Probabilities of 1 to 255 in 256; of what was hardly seen, nearer to a third."""
    chances = [(true + 2.0) / (false + true + 6.0) for false, true in counts]
    return bytes(min(max(round(chance * placeholders.ONE), 1), placeholders.ONE - 1) for chance in chances)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="what train.train gets as --data")
    parser.add_argument("--limit", type=int, help="so many photographs alone, at equal distances")
    a = parser.parse_args()
    training, _ = load_split(a.photos)
    chosen = training[:: max(1, len(training) // a.limit)] if a.limit else training
    path = Path(placeholders.__file__).with_name("placeholders.bin")
    path.write_bytes(table(counted(chosen)))
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
