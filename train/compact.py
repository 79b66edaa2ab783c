"""Trains the network that brings compact JPEGs back to size, twice theirs a side:
`python -m train.compact --data FOLDER --out FOLDER`.

It begins as the enhancer that the package ships, with blocks more that say nothing yet. Examples are made once and kept
in the run's folder: a crop, reduced and saved as the package does it, or as WebP or AVIF, which have no tables to know.
The schedule follows processor time, so a run may be as nice as it likes. Imports torch, NumPy and Pillow.
"""

from __future__ import annotations

import argparse
import io
import math
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from pillow_lic.constants import LIC_SCALE_BITS
from pillow_lic.jpeg.tables import UNKNOWN, tables_of
from pillow_lic.models import weights
from train.data import Crops, load_split
from train.enhance import BLOCK, TABLE, Config, Enhancer
from train.enhance_export import units_of_layer
from train.timed import TimedRun

CROP, BATCH = 192, 10  # before reduction
FITTED = 24  # batches that the beginning is fitted to
OTHERS = 0.08  # of the examples: WebP and AVIF
CONFIG = Config(body=128, body_blocks=4, detail=64, detail_blocks=6)
PHASES = (-9 / 128, 111 / 128, 29 / 128, -3 / 128)  # a cubic of -1/2, a quarter of a sample behind the second tap
COLOURS = torch.tensor([[1.0, 0.0, 1.402], [1.0, -0.344136, -0.714136], [1.0, 1.772, 0.0]])  # of Y, Cb, Cr
ENHANCER = Path("pillow_lic/jpeg/enhance.safetensors")


def to_rgb(ycc: Tensor) -> Tensor:
    """(N, 3, H, W) levels, of JFIF's Y, Cb, Cr around 128."""
    return torch.einsum("ij,njhw->nihw", COLOURS, ycc - torch.tensor([0.0, 128.0, 128.0])[:, None, None])


def doubled(x: Tensor) -> Tensor:
    """(N, C, H, W) to twice the size by PHASES; beyond the edges the last samples again."""
    for axis in (3, 2):
        last = x.shape[axis]
        at = torch.arange(-2, last + 2).clamp(0, last - 1)
        shifted = [x.index_select(axis, at[k : k + last]) for k in range(5)]  # those two before to two behind
        before = sum(tap * one for tap, one in zip(PHASES[::-1], shifted))
        behind = sum(tap * one for tap, one in zip(PHASES, shifted[1:]))
        x = torch.stack([before, behind], axis + 1).flatten(axis, axis + 1)
    return x


class Enlarger(Enhancer):
    """A decoded JPEG (N, 3, H, W: Y, Cb, Cr in levels) at twice its size."""

    def __init__(self, config: Config):
        super().__init__(config, TABLE, half=False)

    def forward(self, x: Tensor, tables: Tensor, flags: Tensor) -> Tensor:
        """(N, 3, 2H, 2W). tables, flags: as of Enhancer."""
        blocks, near = self.changes(x, tables, flags)
        colour = torch.stack([torch.ones_like(flags[:, 1]), flags[:, 1], flags[:, 1]], 1)[:, :, None, None]
        large = doubled(x + blocks * colour)
        return torch.cat([large[:, :1] + F.pixel_shuffle(near, BLOCK), large[:, 1:]], 1)


def as_shipped(path: Path) -> dict[str, Tensor]:
    """The weights of an exported Enhancer, in floats; units are free, but for those that are stated."""
    state, tensors = {}, weights.read(path.read_bytes(), str(path))
    for name in (name.removesuffix(".weight") for name in tensors if name.endswith(".weight")):
        whole, multiplier, bias = (np.asarray(tensors[f"{name}.{part}"].view) for part in ("weight", "scale", "bias"))
        given, unit = units_of_layer(name, len(whole), defaultdict(lambda: 1 / 1024))
        weight = whole * (multiplier[0] / 2.0**LIC_SCALE_BITS * unit / given)[:, None]
        state[f"{name}.weight"] = torch.from_numpy(weight.astype(np.float32))
        state[f"{name}.bias"] = torch.from_numpy((bias[0] / 2.0**LIC_SCALE_BITS * unit).astype(np.float32))
    like = Enhancer(Config()).state_dict()
    return {name: value.reshape(like[name].shape) for name, value in state.items()}


def begun(enhancer: Path) -> Enlarger:
    """An enlarger with the layers of a shipped enhancer, but for what it renders."""
    torch.manual_seed(26)
    net, known = Enlarger(CONFIG), as_shipped(enhancer)
    own = net.state_dict()
    net.load_state_dict({name: v for name, v in known.items() if own[name].shape == v.shape}, strict=False)
    for part, first in ((net.body, Config().body_blocks), (net.detail, Config().detail_blocks)):
        for block in part[first:]:
            nn.init.zeros_(block.back.weight)
            nn.init.zeros_(block.back.bias)
    return net


# ---- Examples -----------------------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """wanted (N, 3, 2H, 2W), R, G, B, and found (N, 3, H, W), Y, Cb, Cr, in levels; tables (N, 2, 64), flags (N, 2)."""

    wanted: Tensor
    found: Tensor
    tables: Tensor
    flags: Tensor


def saved(image: Image.Image, tables: list[list[int]], subsampling: int) -> tuple[int, np.ndarray]:
    """Bytes of a JPEG, and its Y, Cb, Cr (H, W, 3) as decoded."""
    file = io.BytesIO()
    image.save(file, "JPEG", qtables=tables, subsampling=subsampling, optimize=True)
    read = Image.open(io.BytesIO(file.getvalue()))
    if read.mode == "L":
        plane = np.asarray(read)
        return file.tell(), np.dstack([plane, *[np.full_like(plane, 128)] * 2])
    read.draft("YCbCr", read.size)
    return file.tell(), np.asarray(read)


def _drawn_tables(rng: np.random.Generator) -> list[list[int]]:
    """As the package makes them, or others about them."""
    quality = round(math.exp(rng.uniform(math.log(6), math.log(75))))
    if rng.random() < 0.6:
        return tables_of(quality)
    return tables_of(quality, flat=rng.uniform(0, 0.9), chroma=rng.uniform(0.4, 1.1))


def _other(image: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Y, Cb, Cr of what was saved as WebP or AVIF."""
    file = io.BytesIO()
    if rng.random() < 0.5:
        image.save(file, "WEBP", quality=int(rng.integers(1, 80)))
    else:
        image.save(file, "AVIF", quality=int(rng.integers(10, 70)), speed=9)
    return np.asarray(Image.open(file).convert("RGB").convert("YCbCr"))


def example(pixels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """wanted (3, H, W), found (3, H/2, W/2): uint8; tables (2, 64), flags (2): float32. Of pixels (H, W, 3)."""
    image = Image.fromarray(pixels)
    grey = rng.random() < 0.06
    if grey:
        image = image.convert("L")
    small = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    if not grey and rng.random() < OTHERS:
        found, tables, flags = _other(small, rng), np.full((2, TABLE), UNKNOWN), (1, 1)
    else:
        drawn, halved = _drawn_tables(rng), rng.random() < 0.92 and not grey
        found = saved(small, drawn, 2 if halved else 0)[1]
        tables, flags = np.array(drawn[:1] * 2 if grey else drawn), (halved, not grey)
    planes = (np.ascontiguousarray(one.transpose(2, 0, 1)) for one in (np.asarray(image.convert("RGB")), found))
    return *planes, tables.astype(np.float32), np.array(flags, np.float32)


def prepared(data: Path, path: Path, count: int) -> dict[str, np.ndarray]:
    """Examples, kept at `path`."""
    if not path.exists():
        crops = Crops(load_split(data)[0], CROP, 1, 36, grey=0.0)
        rng = np.random.default_rng(26)
        made = [example(np.ascontiguousarray(crops.at(n)[0].transpose(1, 2, 0)), rng) for n in range(count)]
        np.savez(path, **{name: np.stack(part) for name, part in zip(Batch._fields, zip(*made))})
    return dict(np.load(path))


def batch_of(kept: dict[str, np.ndarray], step: int) -> Batch:
    """A function of the step: so many of all, some mirrored."""
    rng = np.random.default_rng([26, step])
    chosen = rng.integers(0, len(kept["flags"]), BATCH)
    wanted, found, tables, flags = (torch.from_numpy(kept[name][chosen]).float() for name in Batch._fields)
    mirrored = [axis for axis in (2, 3) if rng.random() < 0.5]
    return Batch(wanted.flip(mirrored), found.flip(mirrored), tables, flags)


@torch.no_grad()
def fit_render(net: Enlarger, examples: dict[str, np.ndarray], count: int) -> None:
    """What is rendered, by least squares from the features that there are: a start that costs a few seconds."""
    seen: list[Tensor] = []
    hook = net.render.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    width = net.config.detail + 1
    square, product = torch.zeros(width, width, dtype=torch.float64), torch.zeros(width, TABLE, dtype=torch.float64)
    net.render.weight.zero_()
    net.render.bias.zero_()
    for step in range(count):
        batch = batch_of(examples, step)
        large = net(batch.found, batch.tables, batch.flags)
        base = (to_rgb(doubled(batch.found)) - batch.wanted).square().mean((1, 2, 3))
        luma = torch.einsum("c,nchw->nhw", torch.tensor([0.299, 0.587, 0.114]), batch.wanted)
        scale = batch.tables[:, 0, :10].mean(1)[:, None, None, None]
        lacks = F.pixel_unshuffle((luma - large[:, 0])[:, None], BLOCK) / scale  # (N, 64, h, w)
        weight = (scale.square() / (base + 10)[:, None, None, None]).sqrt()
        features = torch.cat([seen.pop(), torch.ones_like(lacks[:, :1])], 1) * weight
        x, y = (one.transpose(0, 1).flatten(1).double() for one in (features, lacks * weight))
        square += x @ x.T
        product += x @ y.T
    hook.remove()
    square += torch.eye(width, dtype=torch.float64) * square.diagonal().mean() * 1e-5
    found = torch.linalg.solve(square, product).float()  # (width, 64)
    net.render.weight.copy_(found[:-1].T[:, :, None, None])
    net.render.bias.copy_(found[-1])


# ---- Training -----------------------------------------------------------------------------------------------------


def loss_of(net: Enlarger, batch: Batch) -> Tensor:
    """The squared error of R, G, B, of what a cubic enlargement has."""
    base = (to_rgb(doubled(batch.found)) - batch.wanted).square().mean((1, 2, 3))
    error = (to_rgb(net(batch.found, batch.tables, batch.flags)) - batch.wanted).square().mean((1, 2, 3))
    return (error / (base + 10)).mean()


def psnr(found: Tensor, wanted: np.ndarray) -> float:
    """Of R, G, B (1, 3, H, W), rounded to levels."""
    pixels = found[0].numpy().transpose(1, 2, 0).round().clip(0, 255)
    return 10 * math.log10(255**2 / (np.square(pixels - wanted).mean() + 1e-4))


@torch.no_grad()
def measured(net: Enlarger, pictures: list[np.ndarray], quality: int) -> list[float]:
    """Means over pictures (their middles), of real files: bits a pixel, PSNR of cubic enlargement, of the network."""
    tables, rows = tables_of(quality), []
    for picture in pictures:
        height, width = (min(side, 320) // 16 * 16 for side in picture.shape[:2])
        top, left = ((side - part) // 2 for side, part in zip(picture.shape[:2], (height, width)))
        pixels = np.ascontiguousarray(picture[top : top + height, left : left + width])
        small = Image.fromarray(pixels).resize((width // 2, height // 2), Image.Resampling.LANCZOS)
        size, read = saved(small, tables, 2)
        x = torch.from_numpy(read.astype(np.float32).transpose(2, 0, 1))[None]
        large = net(x, torch.tensor(tables)[None].float(), torch.ones(1, 2))
        rows.append((8 * size / (height * width), *(psnr(to_rgb(one), pixels) for one in (doubled(x), large))))
    return np.round(np.mean(rows, 0), 3).tolist()


class Run(TimedRun):
    """A training by the time of the processor."""

    def __init__(self, out: Path, enhancer: Path, minutes: float, rate: float):
        super().__init__(begun(enhancer), out, minutes, rate, warmup=50, keep=0.99)

    def begin(self, examples: dict[str, np.ndarray]) -> None:
        """Where a run has not begun."""
        if not self.step:
            fit_render(self.net, examples, FITTED)
            self.mean.load_state_dict(self.net.state_dict())

    def report(self, loss: float, pictures: list[np.ndarray]) -> None:
        self.keep_state(loss, {f"q{quality}": measured(self.mean, pictures, quality) for quality in (10, 22, 46)})

    def train(self, examples: dict[str, np.ndarray], pictures: list[np.ndarray], every: int) -> None:
        """pictures: for reports; every: steps between them."""
        last, loss = time.process_time(), 1.0
        while not self.over:
            loss += 0.03 * (self.advance(loss_of(self.net, batch_of(examples, self.step))) - loss)
            now = time.process_time()
            self.spent, last = self.spent + now - last, now
            if self.step % every == 0 or self.over:
                self.report(loss, pictures)
                last = time.process_time()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="photographs, in folders or tar files")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--enhancer", type=Path, default=ENHANCER, help="what it begins as")
    parser.add_argument("--examples", type=int, default=3000)
    parser.add_argument("--prepare", action="store_true", help="make the examples and nothing else")
    parser.add_argument("--minutes", type=float, default=60, help="of the processor")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--every", type=int, default=100, help="steps between reports")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    examples = prepared(args.data, args.out / "examples.npz", args.examples)
    held_out = args.out / "held-out.npz"
    if not held_out.exists():
        np.savez(held_out, *load_split(args.data)[1][::4])
    if args.prepare:
        return
    pictures = list(np.load(held_out).values())
    run = Run(args.out, args.enhancer, args.minutes, args.rate)
    run.begin(examples)
    run.report(1.0, pictures)
    run.train(examples, pictures, args.every)


if __name__ == "__main__":
    main()
