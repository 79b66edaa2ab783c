"""Training crops cut on a GPU from photographs that lie there. Imports torch, numpy and train.data.

At start every photograph is copied to the device at each of SCALES (about three times its own bytes); after that a
batch is slices and flips alone, so that the loader never keeps the device waiting. As train.data.Crops: every batch is
a function of (seed, step).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterator

SCALES = (1.0, 0.87, 0.75, 0.63, 0.5)  # fractions of the original resolution; half of the crops are of the first


class DeviceCrops:
    """Batches (N, 3, size, size) uint8 on a device: random crops, flips, transposition, rescaling, some grey ones."""

    def __init__(
        self, photographs: list[np.ndarray], size: int, batch: int, seed: int, device: torch.device, grey: float = 0.03
    ):
        self.size, self.batch, self.seed, self.grey = size, batch, seed, grey
        chosen = [p for p in photographs if min(p.shape[:2]) >= size]
        if not chosen:
            msg = f"no photograph is as large as a crop of {size}; choose a smaller crop"
            raise ValueError(msg)
        self.levels = [_levels(p, size, device) for p in tqdm(chosen, desc="to the device", mininterval=5)]
        areas = np.array([p.shape[0] * p.shape[1] for p in chosen], float)
        self.weights = np.sqrt(areas) / np.sqrt(areas).sum()  # as Crops

    def at(self, step: int) -> Tensor:
        """Batch `step`, channels last."""
        rng = np.random.default_rng([self.seed, step])
        chosen = rng.choice(len(self.levels), self.batch, p=self.weights)
        batch = torch.stack([self._crop(self.levels[i], rng) for i in chosen])
        return batch.contiguous(memory_format=torch.channels_last)

    def _crop(self, levels: list[Tensor], rng: np.random.Generator) -> Tensor:
        whole = rng.random() < 0.5 or len(levels) == 1
        photo = levels[0 if whole else rng.integers(1, len(levels))]
        top, left = (int(rng.integers(0, side - self.size + 1)) for side in photo.shape[1:])
        crop = photo[:, top : top + self.size, left : left + self.size]
        if rng.random() < 0.5:
            crop = crop.flip(2)
        if rng.random() < 0.5:
            crop = crop.transpose(1, 2)
        if rng.random() < self.grey:
            crop = crop.float().mean(0, keepdim=True).round().to(torch.uint8).expand(3, -1, -1)
        return crop

    def iterate(self, start: int) -> Iterator[Tensor]:
        """Batches from step `start` on."""
        while True:
            yield self.at(start)
            start += 1


def _levels(photo: np.ndarray, size: int, device: torch.device) -> list[Tensor]:
    """(3, H, W) uint8 at all scales at which a crop fits."""
    full = torch.tensor(photo).to(device).permute(2, 0, 1).contiguous()
    levels = [full]
    for scale in SCALES[1:]:
        shape = [round(side * scale) for side in photo.shape[:2]]
        if min(shape) >= size:
            small = F.interpolate(full[None].float(), shape, mode="bicubic", antialias=True)
            levels.append(small[0].round().clamp(0, 255).to(torch.uint8))
    return levels
