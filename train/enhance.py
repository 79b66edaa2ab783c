"""Trains the network that takes JPEG's artefacts out of pictures: `python -m train.enhance --data FOLDER --out FOLDER`.

Every example is made on the way: a crop, saved by Pillow as a JPEG of some quality and subsampling, some of them twice.
The schedule follows the clock, so a run ends when it should on a busy machine too. Imports torch, NumPy and Pillow.
"""

from __future__ import annotations

import argparse
import io
import math
import queue
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from train.data import Crops, load_split
from train.timed import TimedRun

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 8  # of JPEG
LEVEL = 64.0  # levels of a sample that are 1 inside of the network
TABLE = BLOCK * BLOCK
CONDITION = 2 * TABLE + 2  # logarithms of both tables; whether chroma is halved, and whether there is any
SLOPE = 0.1  # of the leaky ReLU
CROP, BATCH = 128, 16


class Config(NamedTuple):
    """Widths and depths: `body` at an eighth of the resolution, `detail` at a quarter."""

    body: int = 128
    body_blocks: int = 3
    detail: int = 64
    detail_blocks: int = 4
    tone: int = 16


def dct_matrix() -> np.ndarray:
    """(8, 8) float32: rows are the orthonormal basis of JPEG's transform."""
    k = np.arange(BLOCK)
    basis = np.cos((2 * k[None] + 1) * k[:, None] * math.pi / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    basis[0] = math.sqrt(1 / BLOCK)
    return basis.astype(np.float32)


def block_transform() -> Tensor:
    """(64, 64): from a block's samples, row by row, to its coefficients, row by row."""
    basis = dct_matrix()
    return torch.from_numpy(np.kron(basis, basis))


class Block(nn.Module):
    """A residual block: depthwise, tone (scale and bias a channel, from the tables), twice the width and back."""

    def __init__(self, width: int, tone: int):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.tone = nn.Linear(tone, 2 * width)
        self.out = nn.Conv2d(width, 2 * width, 1)
        self.back = nn.Conv2d(2 * width, width, 1)
        nn.init.zeros_(self.tone.weight)
        nn.init.zeros_(self.tone.bias)
        with torch.no_grad():
            self.back.weight.mul_(0.3)

    def forward(self, x: Tensor, tone: Tensor) -> Tensor:
        scale, bias = self.tone(tone)[:, :, None, None].chunk(2, 1)
        inner = self.depthwise(x) * (1 + scale) + bias
        return x + self.back(F.leaky_relu(self.out(inner), SLOPE))


class Enhancer(nn.Module):
    """What a decoded JPEG (N, 3, H, W: Y, Cb, Cr in levels) lacks. Sides are multiples of 8.

    rendered: samples that `render` has for each quarter of a block. half: whether training multiplies in bfloat16.
    """

    def __init__(self, config: Config, rendered: int = TABLE // 4, *, half: bool = True):
        super().__init__()
        self.half = half
        c = self.config = config
        self.conditions = nn.Linear(CONDITION, 2 * c.tone)
        self.tones = nn.Linear(2 * c.tone, c.tone)
        self.enter = nn.Conv2d(4 * TABLE, c.body, 1)
        self.body = nn.ModuleList(Block(c.body, c.tone) for _ in range(c.body_blocks))
        self.coefficients = nn.Conv2d(c.body, TABLE, 1)
        self.chroma = nn.Conv2d(c.body, 2 * TABLE, 1)
        self.up = nn.Conv2d(c.body, 4 * c.detail, 1)
        self.samples = nn.Conv2d(TABLE // 4, c.detail, 1)
        self.detail = nn.ModuleList(Block(c.detail, c.tone) for _ in range(c.detail_blocks))
        self.render = nn.Conv2d(c.detail, rendered, 1)
        for last in (self.coefficients, self.chroma, self.render):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.register_buffer("transform", block_transform(), persistent=False)

    def forward(self, x: Tensor, tables: Tensor, flags: Tensor) -> Tensor:
        """Corrections like x, in levels. tables: (N, 2, 64) steps of luma and chroma; flags: (N, 2) 0 or 1."""
        blocks, near = self.changes(x, tables, flags)
        return torch.cat([blocks[:, :1] + F.pixel_shuffle(near, 4), blocks[:, 1:]], 1)

    def changes(self, x: Tensor, tables: Tensor, flags: Tensor) -> tuple[Tensor, Tensor]:
        """What blocks say (N, 3, H, W), and what quarters of them say of luma (N, outputs of render, H/4, W/4)."""
        condition = torch.cat([tables.log2().flatten(1) / 4 - 1, flags], 1)
        tone = F.leaky_relu(self.tones(F.leaky_relu(self.conditions(condition), SLOPE)), SLOPE)
        centred = (x - 128.0) / LEVEL
        u = F.pixel_unshuffle(centred, BLOCK)  # (N, 192, h, w)
        steps = tables[:, :, :, None, None] / LEVEL
        levels = torch.einsum("ij,njhw->nihw", self.transform, u[:, :TABLE]) / steps[:, 0]
        u = torch.cat([u, levels.round().clamp(-3, 3)], 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.training and self.half):
            coefficients, chroma, near = self.networks(u, F.pixel_unshuffle(centred[:, :1], 4), tone)
        low = torch.einsum("ji,njhw->nihw", self.transform, coefficients.float() * steps[:, 0])
        scale = steps[:, :, :10].mean(2)  # (N, 2, 1, 1), of the low frequencies
        planes = torch.cat([low, chroma.float() * scale[:, 1:]], 1)
        return F.pixel_shuffle(planes, BLOCK) * LEVEL, near.float() * scale[:, :1] * LEVEL

    def networks(self, u: Tensor, luma: Tensor, tone: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients (N, 64, h, w) and chroma (N, 128, h, w) of blocks, luma (N, 16, 2h, 2w) of quarters of them."""
        body = self.enter(u)
        for block in self.body:
            body = block(body, tone)
        near = F.pixel_shuffle(self.up(body), 2) + self.samples(luma)
        for block in self.detail:
            near = block(near, tone)
        return self.coefficients(body), self.chroma(body), self.render(near)


# ---- Examples ---------------------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """Examples: what was saved and what was read back, (N, 3, H, W) Y, Cb, Cr in levels; tables and flags."""

    wanted: Tensor
    found: Tensor
    tables: Tensor
    flags: Tensor


def through_jpeg(pixels: np.ndarray, **how) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) as Y, Cb, Cr before it saw JPEG's colours, and the tables (2, 64) in rows of frequencies."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **how)
    file.seek(0)
    with Image.open(file) as im:
        tables = im.quantization
        im.draft("L" if im.mode == "L" else "YCbCr", im.size)
        found = np.asarray(im)
    if found.ndim == 2:
        found = np.dstack([found, np.full((*found.shape, 2), 128, np.uint8)])
    return found, np.array([tables[0], tables.get(1, tables[0])], np.float32)


def _options(rng: np.random.Generator) -> dict:
    quality = int(rng.integers(5, 45 if rng.random() < 0.6 else 96))
    options = {"quality": quality, "subsampling": 2 if rng.random() < 0.75 else 0}
    if rng.random() < 0.1:  # tables of other programs: between the usual one and a flat one
        _, tables = through_jpeg(np.zeros((8, 8, 3), np.uint8), quality=quality)
        flat, share = rng.uniform(0.3, 1.0), rng.random()
        mixed = tables ** (1 - share * 0.5) * (flat * tables.mean(1, keepdims=True)) ** (share * 0.5)
        del options["quality"]
        options["qtables"] = [[int(v) for v in table] for table in mixed.round().clip(1, 255)]
    return options


def example(crop: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """wanted, found (3, CROP, CROP), tables, flags of a crop (H, W, 3), larger than CROP by a block."""
    pixels = crop
    if rng.random() < 0.15:  # saved before, on a grid of its own
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=int(rng.integers(60, 96)))
        pixels = np.asarray(Image.open(file).convert("RGB"))
    top, left = rng.integers(0, BLOCK, 2)
    pixels = np.ascontiguousarray(pixels[top : top + CROP, left : left + CROP])
    options = _options(rng)
    grey = rng.random() < 0.1
    if grey:
        pixels = np.asarray(Image.fromarray(pixels).convert("L"))
    found, tables = through_jpeg(
        pixels, **({k: v for k, v in options.items() if k != "subsampling"} if grey else options)
    )
    wanted = np.dstack([pixels, *[np.full_like(pixels, 128)] * 2]) if grey else to_ycc(pixels)
    flags = np.array([options["subsampling"] == 2 and not grey, not grey], np.float32)
    return wanted.astype(np.float32).transpose(2, 0, 1), found.astype(np.float32).transpose(2, 0, 1), tables, flags


def to_ycc(pixels: np.ndarray) -> np.ndarray:
    """JFIF's Y, Cb, Cr of RGB, not rounded."""
    r, g, b = (pixels[:, :, i].astype(np.float32) for i in range(3))
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return np.dstack([y, 128 + (b - y) / 1.772, 128 + (r - y) / 1.402])


def batch_at(crops: Crops, step: int) -> Batch:
    rng = np.random.default_rng([crops.seed + 1, step])
    made = [example(crop.transpose(1, 2, 0), rng) for crop in crops.at(step)]
    return Batch(*(torch.from_numpy(np.stack(part)) for part in zip(*made)))


def batches(crops: Crops, start: int) -> Iterator[Batch]:
    made: queue.Queue[Batch] = queue.Queue(3)

    def produce() -> None:
        step = start
        while True:
            made.put(batch_at(crops, step))
            step += 1

    threading.Thread(target=produce, daemon=True).start()
    while True:
        yield made.get()


# ---- Training ---------------------------------------------------------------------------------------------------


def loss_of(net: Enhancer, batch: Batch) -> Tensor:
    """What is left of the squared error, of 1: luma, and a fifth of it chroma."""
    error = (batch.found - batch.wanted).square().mean((2, 3))
    left = (batch.found + net(batch.found, batch.tables, batch.flags) - batch.wanted).square().mean((2, 3))
    luma = left[:, 0] / (error[:, 0] + 1.0)
    chroma = left[:, 1:].sum(1) / (error[:, 1:].sum(1) + 1.0) * batch.flags[:, 1]
    return (luma + 0.2 * chroma).mean()


@torch.no_grad()
def gains(net: Enhancer, pictures: list[np.ndarray], quality: int, subsampling: int = 2) -> list[float]:
    """dB of luma that each picture (its middle) gains, rounded to samples."""
    found = []
    for picture in pictures:
        height, width = (min(side, 256) // BLOCK * BLOCK for side in picture.shape[:2])
        top, left = ((side - part) // 2 for side, part in zip(picture.shape[:2], (height, width)))
        pixels = np.ascontiguousarray(picture[top : top + height, left : left + width])
        jpeg, tables = through_jpeg(pixels, quality=quality, subsampling=subsampling)
        x = torch.from_numpy(jpeg.astype(np.float32).transpose(2, 0, 1))[None]
        flags = torch.tensor([[float(subsampling == 2), 1.0]])
        better = (x + net(x, torch.from_numpy(tables)[None], flags))[0, 0].numpy().round().clip(0, 255)
        wanted = to_ycc(pixels)[:, :, 0].round()
        before, after = (np.square(one - wanted).mean() for one in (jpeg[:, :, 0].astype(np.float32), better))
        found.append(10 * math.log10((before + 1e-4) / (after + 1e-4)))
    return found


class Run(TimedRun):
    """A training by the clock."""

    def __init__(self, data: Path, out: Path, config: Config, minutes: float, rate: float):
        training, self.validation = load_split(data)
        self.crops = Crops(training, CROP + BLOCK, BATCH, 26, grey=0.0)
        torch.manual_seed(26)
        super().__init__(Enhancer(config), out, minutes, rate, warmup=200, keep=0.998)

    def report(self, loss: float) -> None:
        figures = {}
        for quality in (5, 10, 20, 40, 75, 90):
            found = gains(self.mean, self.validation, quality)
            figures[f"q{quality}"], figures[f"worst{quality}"] = round(sum(found) / len(found), 3), round(min(found), 3)
        self.keep_state(loss, figures, config=tuple(self.net.config))

    def train(self, every: float) -> None:
        """every: seconds between reports."""
        last, loss = time.monotonic(), 1.0
        since = 0.0
        for batch in batches(self.crops, self.step):
            loss += 0.02 * (self.advance(loss_of(self.net, batch)) - loss)
            now = time.monotonic()
            self.spent += now - last
            since += now - last
            last = now
            if since >= every or self.over:
                self.report(loss)
                since, last = 0.0, time.monotonic()
            if self.over:
                return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="photographs, in folders or tar files")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--every", type=float, default=300, help="seconds between reports")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    Run(args.data, args.out, Config(), args.minutes, args.rate).train(args.every)


if __name__ == "__main__":
    main()
