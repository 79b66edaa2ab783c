"""What the integer path and the file cost: real file sizes against the float model's own estimate for the same symbols.

    python bench/estimate.py IMAGES CHECKPOINT MODEL [--qualities 10,30,50,70,90] [--limit N]

CHECKPOINT is that from which MODEL, a directory or the name of a shipped model, was exported. Every image is encoded to
a real file; its symbols are then priced by the checkpoint's averaged weights in float32: mixtures of logistics for z,
normals or mixtures of normals for the residuals, no table, no integer, no container. With dependent quantisation a
level costs what the normal has between the middles to its neighbours. Writes bench/results/estimate-<model>.csv.
"""

import argparse
import csv
import pathlib
import sys

import machine
import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

COLUMNS = ("quality", "images", "bpp", "estimate_bpp", "excess_percent", "z_share_percent")
SUFFIXES = {".png", ".webp", ".tif", ".tiff", ".bmp", ".jpg"}


def load_checkpoint(path):
    """The network with its averaged weights."""
    from train.families import build, network_config

    state = torch.load(path, map_location="cpu", weights_only=True)
    model = build(network_config(state["config"]["network"])).eval()
    model.load_state_dict(state["average"])
    return model


def level_bits(own, first, r, index, log_sigma):
    """Bits of levels r (M, h, w) of a model with a trellis, under normals of standard deviations in training's
    steps.
    """
    from train.residuals.trellis import LEVEL_STEP

    symbols, rows = (part.reshape(r.shape) for part in own.symbols(r.reshape(len(r), -1), index.reshape(len(r), -1)))
    size, odd = np.abs(r.astype(float)), rows >= own.rows
    half = np.where(index < first, 1.5, 2.0)
    lower, upper = size - half, size + half
    lower[odd & (symbols == 0)], upper[odd & (symbols == 0)] = -1.0, 1.0
    lower[odd & (np.abs(symbols) == 1)] = 1.0
    lower, upper = (torch.from_numpy(edge * LEVEL_STEP) for edge in (lower, upper))
    inverse = (-log_sigma[0].double()).exp()
    mass = torch.special.ndtr(-lower * inverse) - torch.special.ndtr(-upper * inverse)
    return float(-mass.clamp_min(2.0**-16).log2().sum())


def float_bits(model, own, q, z, r, t):
    """Bits of z (C, a, b) and of r (M, h, w) under the float model at position t (1,)."""
    from pillow_lic.engines.torch.photo import interpolate
    from train.families.gdn import mixture_bits
    from train.layers import gaussian_bits

    index = own.scale_index(q, z, *r.shape[1:]) if own.kind == "trellis" else None
    levels = r
    z, r = (torch.from_numpy(symbols.astype(np.float32))[None] for symbols in (z, r))
    z_hat = z / interpolate(model.hyper_rate.gain, t).exp()[:, :, None, None]
    z_bits = model.hyper_rate.bits(z, t)
    h, w = r.shape[2:]
    planes = model.map(z_hat, t)[..., :h, :w]
    if own.kind == "mixture":
        r_bits = mixture_bits(r, planes)
    elif index is not None:
        r_bits = level_bits(own, model.residual.first, levels, index, planes)
    else:
        r_bits = gaussian_bits(r, planes[:, 0] if planes.dim() == 5 else planes)
    return float(z_bits), float(r_bits)


def measure(path, quality, name, model):
    """Pixels, bits of the file, and the float model's bits of z and r."""
    import pillow_lic
    from pillow_lic import container
    from pillow_lic import quality as qualities
    from pillow_lic.codec.decode import decode_symbols
    from pillow_lic.models import registry

    array = np.asarray(Image.open(path).convert("RGB"))
    data = pillow_lic.encode(array, quality=quality, model=name)
    z, r, _ = decode_symbols(container.read(data))
    t = torch.tensor([qualities.position(qualities.to_q(quality))])
    with torch.inference_mode():
        own = registry.by_name(name).tables
        z_bits, r_bits = float_bits(model, own, round(100 * quality), z, r, t)
    return array.shape[0] * array.shape[1], 8 * len(data), z_bits, r_bits


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("model", help="directory of an exported model, or the name of a shipped one")
    parser.add_argument("--qualities", default="10,30,50,70,90")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--results", type=pathlib.Path, default=machine.RESULTS)
    options = parser.parse_args()
    import pillow_lic
    from pillow_lic.models import registry

    name = pillow_lic.register_model(options.model) if pathlib.Path(options.model).is_dir() else options.model
    model = load_checkpoint(options.checkpoint)
    paths = sorted(path for path in options.images.iterdir() if path.suffix.lower() in SUFFIXES)[: options.limit]
    rows = []
    for quality in map(float, options.qualities.split(",")):
        if not registry.by_name(name).manifest.fits(round(100 * quality)):
            continue
        pixels, bits, z_bits, r_bits = np.sum([measure(path, quality, name, model) for path in paths], 0)
        estimate = z_bits + r_bits
        rows.append(
            dict(
                zip(
                    COLUMNS,
                    (
                        f"{quality:g}",
                        len(paths),
                        f"{bits / pixels:.5f}",
                        f"{estimate / pixels:.5f}",
                        f"{100 * (bits / estimate - 1):.2f}",
                        f"{100 * z_bits / estimate:.1f}",
                    ),
                )
            )
        )
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    mean = np.mean([float(row["excess_percent"]) for row in rows])
    print(f"{name}: files are {mean:+.2f} % against the float model's estimate")
    with (options.results / f"estimate-{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    machine.write_description(options.results / f"estimate-{name}.json", images=len(paths), model=name)


if __name__ == "__main__":
    main()
