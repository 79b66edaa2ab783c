"""The native engine against PyTorch's float32 networks: pixels of the same files, and the encoders' files.

    python bench/engines.py IMAGES [--qualities 10,30,57,75,95] [--limit N]

Every picture is encoded by both engines at the default effort, and both files are decoded by both. Written for each
quality: the PSNR of the native decoder less that of the float networks, on files of either encoder, mean and worst
picture; the files' sizes; and over all qualities the BD-rate of the native encoder against PyTorch's, each with its own
decoder. Writes bench/results/engines-<set>.csv and a JSON.
"""

import argparse
import os
import pathlib

import machine
import metrics
import numpy as np
from PIL import Image
from rd import images_in, write
from tqdm import tqdm

from pillow_lic.engines.choice import ENGINE_VARIABLE

COLUMNS = ("quality", "images", "native_file", "native_file_worst", "float_file", "float_file_worst", "bytes")
ENGINES = ("auto", "torch")


def both(array: np.ndarray, quality: float) -> tuple[dict[str, int], dict[tuple[str, str], float]]:
    """Bytes of each encoder's file, and PSNR by encoder and decoder."""
    import pillow_lic

    sizes, psnr = {}, {}
    for encoder in ENGINES:
        os.environ[ENGINE_VARIABLE] = encoder
        data = pillow_lic.encode(array, quality=quality, tune="psnr")
        sizes[encoder] = len(data)
        for decoder in ENGINES:
            os.environ[ENGINE_VARIABLE] = decoder
            psnr[encoder, decoder] = metrics.psnr(array, pillow_lic.decode(data))
    return sizes, psnr


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("--set", default="kodak", help="name of the set, for the results")
    parser.add_argument("--qualities", default="10,30,57,75,95")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--results", type=pathlib.Path, default=machine.RESULTS)
    options = parser.parse_args()
    os.environ.setdefault("PILLOW_LIC_PRECISION", "float32")
    qualities = [float(one) for one in options.qualities.split(",")]
    paths = images_in(options.images, options.limit)
    found = {quality: [] for quality in qualities}
    rates = []
    for path in tqdm(paths, unit="picture"):
        array = np.asarray(Image.open(path).convert("RGB"))
        curves = {engine: [] for engine in ENGINES}
        for quality in qualities:
            sizes, psnr = both(array, quality)
            found[quality].append((sizes, psnr))
            for engine in ENGINES:
                bpp = 8 * sizes[engine] / (array.shape[0] * array.shape[1])
                curves[engine].append((bpp, psnr[engine, engine]))
        rates.append(metrics.bd_rate(curves["torch"], curves["auto"]))
    rows = []
    for quality, each in found.items():
        row = {"quality": f"{quality:g}", "images": len(paths)}
        for encoder, name in zip(ENGINES, ("native_file", "float_file"), strict=True):
            less = [psnr[encoder, "auto"] - psnr[encoder, "torch"] for _, psnr in each]
            row |= {name: f"{np.mean(less):+.4f}", f"{name}_worst": f"{min(less):+.4f}"}
        ratio = sum(sizes["auto"] for sizes, _ in each) / sum(sizes["torch"] for sizes, _ in each)
        rows.append(row | {"bytes": f"{100 * (ratio - 1):+.2f}"})
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()))
    print(f"BD-rate of the native encoder: {np.mean(rates):+.3f} %, worst {max(rates):+.3f} %")
    write(options.results / f"engines-{options.set}.csv", COLUMNS, rows)
    machine.write_description(
        options.results / f"engines-{options.set}.json",
        images=[pathlib.Path(path).name for path in paths],
        bd_rate=round(float(np.mean(rates)), 3),
        bd_rate_worst=round(float(max(rates)), 3),
    )


if __name__ == "__main__":
    main()
