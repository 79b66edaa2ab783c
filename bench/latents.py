"""What latents carry for a machine, and what time they save: a linear probe, and decoding beside them.

    python bench/latents.py [--quality 30] [--repeats 7]

Two sets with true labels, made of what installed packages ship: letters in matplotlib's fonts, tested in fonts that
were not trained on, and crops of scikit-image's pictures, tested on the other half of each. The probe is ridge
regression on y_hat, and on decoded pixels of as many values. Writes bench/results/latents.csv and a JSON.
"""

import argparse
import pathlib
import string
import time

import machine
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rd import write

COLUMNS = ("set", "classes", "trained_on", "tested_on", "values", "latents", "pixels")
TEXTURES = (
    "astronaut brick camera chelsea coffee coins grass gravel hubble_deep_field immunohistochemistry moon page retina "
    "rocket"
)
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1)  # of the mean of the kernel's diagonal


def letters(rng):
    """Capitals (64, 64, 3) with labels, in fonts for training and in others."""
    from matplotlib import get_data_path

    folder = pathlib.Path(get_data_path()) / "fonts" / "ttf"
    names = [path for path in sorted(folder.glob("*.ttf")) if path.name.startswith(("DejaVu", "STIXGeneral", "cm"))]
    names = [
        path for path in names if not path.name.startswith(("cmex", "cmsy", "cmmi")) and "Display" not in path.name
    ]
    sets = [], []
    for number, path in enumerate(names):
        for label, letter in enumerate(string.ascii_uppercase):
            for _ in range(3):
                font = ImageFont.truetype(str(path), int(rng.integers(36, 48)))
                ground, ink = rng.integers(150, 256), rng.integers(0, 100)
                image = Image.new("L", (64, 64), int(ground))
                place = tuple(32 + rng.integers(-5, 6, 2))
                ImageDraw.Draw(image).text(place, letter, fill=int(ink), font=font, anchor="mm")
                sets[number % 3 == 2].append((np.asarray(image.convert("RGB")), label))
    return sets


def textures(rng):
    """Crops (128, 128, 3) with the number of their picture, of its left half and of its right one."""
    import skimage.data

    sets = [], []
    for label, name in enumerate(TEXTURES.split()):
        picture = Image.fromarray(np.asarray(getattr(skimage.data, name)())).convert("RGB")
        if min(picture.size) < 257:
            picture = picture.resize([max(257, side * 257 // min(picture.size)) for side in picture.size])
        array = np.asarray(picture)
        middle = array.shape[1] // 2
        for half, found in zip((array[:, :middle], array[:, middle:]), sets, strict=True):
            for _ in range(60):
                top, left = (int(rng.integers(0, side - 127)) for side in half.shape[:2])
                found.append((np.ascontiguousarray(half[top : top + 128, left : left + 128]), label))
    return sets


def features(samples, quality):
    """(N, values) y_hat, (N, values) pixels, and labels."""
    import pillow_lic

    latents, pixels = [], []
    for array, _ in samples:
        data = pillow_lic.encode(array, quality=quality, effort=0, screen="off")
        latents.append(pillow_lic.latents(data).y_hat.ravel())
        pixels.append(of_size(pillow_lic.decode(data), latents[-1].size))
    return np.array(latents), np.array(pixels), np.array([label for _, label in samples])


def of_size(pixels, values):
    """Decoded pixels as so many values: grey where that fits, else RGB of as many pixels."""
    image = Image.fromarray(pixels)
    if image.width * image.height == values:
        return np.asarray(image.convert("L"), np.float32).ravel()
    side = round((values / 3) ** 0.5)
    return np.asarray(image.resize((side, side), Image.Resampling.BOX), np.float32).ravel()


def probe(train, labels, test, truth):
    """The share of right answers, in per cent. The ridge is chosen on a fifth of the training set."""
    mean = train.mean(0)
    scale = train.std(0) + 1e-3 * train.std()
    train, test = (train - mean) / scale, (test - mean) / scale
    own = np.arange(len(train)) % 5 > 0
    tried = [accuracy(train[own], labels[own], train[~own], labels[~own], ridge) for ridge in RIDGES]
    return accuracy(train, labels, test, truth, RIDGES[int(np.argmax(tried))])


def accuracy(train, labels, test, truth, ridge):
    """Of ridge regression to one value for each class, in its dual form."""
    kernel = train @ train.T
    targets = np.eye(labels.max() + 1)[labels] - 1 / (labels.max() + 1)
    weights = np.linalg.solve(kernel + ridge * np.trace(kernel) / len(kernel) * np.eye(len(kernel)), targets)
    return 100 * float(np.mean((test @ train.T @ weights).argmax(1) == truth))


def times(quality, repeats):
    """Seconds of one thread, the least of several, of latents with and without scales and of pixels, of scikit-image's
    astronaut.
    """
    from skimage.data import astronaut

    import pillow_lic

    data = pillow_lic.encode(astronaut(), quality=quality)
    ways = (pillow_lic.latents, {}), (pillow_lic.latents, {"scales": False}), (pillow_lic.decode, {})
    found = [], [], []
    for _ in range(repeats):
        for (function, how), seconds in zip(ways, found, strict=True):
            start = time.process_time()
            function(data, **how)
            seconds.append(time.process_time() - start)
    return [min(seconds) for seconds in found]


def main():
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quality", type=float, default=30)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--results", type=pathlib.Path, default=machine.RESULTS)
    options = parser.parse_args()
    import pillow_lic

    pillow_lic.set_threads(1)
    rows = []
    for make in (letters, textures):
        train, test = make(np.random.default_rng(26))
        latents, pixels, labels = features(train, options.quality)
        other_latents, other_pixels, truth = features(test, options.quality)
        shares = probe(latents, labels, other_latents, truth), probe(pixels, labels, other_pixels, truth)
        counts = make.__name__, labels.max() + 1, len(train), len(test), latents.shape[1]
        rows.append(dict(zip(COLUMNS, (*counts, *(f"{share:.1f}" for share in shares)), strict=True)))
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    ratios = {}
    for quality in (10, 30, 50, 75):
        both, bare, slow = times(quality, options.repeats)
        ratios[quality] = {"with_scales": round(both / slow, 3), "without": round(bare / slow, 3)}
        print(f"quality {quality}: {ratios[quality]} of {1000 * slow:.1f} ms for pixels")
    write(options.results / "latents.csv", COLUMNS, rows)
    machine.write_description(options.results / "latents.json", quality=options.quality, time_ratio=ratios)


if __name__ == "__main__":
    main()
