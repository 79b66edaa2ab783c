"""What a perceptual synthesis is trained for: the statistics of texture, and a discriminator of patches.

Wasserstein distortion (Qiu et al. 2023, arXiv 2310.03629): of each feature, means and standard deviations within
windows are compared, and not the feature itself, so texture may come back as other texture of its kind. The features
are of a fixed pyramid of oriented filters, and the first layers of the codec's own analysis: no network of others.
Imports torch.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from pillow_lic.engines.torch.photo import Analysis

SCALES = 4  # of the pyramid
WINDOWS = (4, 8)  # sides over which statistics are taken, in samples of a scale
FLOOR = 2e-5  # of a feature's variance, of samples in 0..1: what is less is as good as flat
FLAT = 1e-4  # of the same: about where texture begins to be seen; in flat areas, texture that is not there counts
FEATURE_BLOCKS = 2  # of the analysis, whose features are compared
CHROMA = 0.5  # weight of a band of chroma against one of luma

# RGB to luma and two differences of colour (BT.601)
OPPONENTS = ((0.299, 0.587, 0.114), (-0.169, -0.331, 0.5), (0.5, -0.419, -0.081))
# Filters of 3 x 3: slopes across and down, along both diagonals, and a spot
FILTERS = (
    ((-0.25, 0.0, 0.25), (-0.5, 0.0, 0.5), (-0.25, 0.0, 0.25)),
    ((-0.25, -0.5, -0.25), (0.0, 0.0, 0.0), (0.25, 0.5, 0.25)),
    ((0.0, 0.35, 0.0), (-0.35, 0.0, 0.35), (0.0, -0.35, 0.0)),
    ((-0.25, 0.0, 0.25), (0.0, 0.0, 0.0), (0.25, 0.0, -0.25)),
    ((-0.125, -0.125, -0.125), (-0.125, 1.0, -0.125), (-0.125, -0.125, -0.125)),
)


@cache
def _kernels(device: torch.device) -> tuple[Tensor, Tensor]:
    """Colours (3, 3, 1, 1) and the filters of all three (3 F, 1, 3, 3)."""
    colours = torch.tensor(OPPONENTS, device=device)[:, :, None, None]
    filters = torch.tensor(FILTERS, device=device)[:, None].repeat(len(OPPONENTS), 1, 1, 1)
    return colours, filters


def pyramid(x: Tensor) -> list[Tensor]:
    """Features (N, 3 F, h, w) of each scale of pictures (N, 3, H, W) in 0..1, finest first."""
    colours, filters = _kernels(x.device)
    x = F.conv2d(x, colours)
    found = []
    for _ in range(SCALES):
        found.append(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), filters, groups=len(OPPONENTS)))
        x = F.avg_pool2d(x, 2)
    return found


def _moments(feature: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Means and standard deviations within windows, half a side apart."""
    mean = F.avg_pool2d(feature, side, side // 2)
    variance = F.avg_pool2d(feature.square(), side, side // 2) - mean.square()
    return mean, (variance.clamp_min(0.0) + FLOOR).sqrt()


def statistics_apart(one: Tensor, two: Tensor, flat: Tensor | float) -> Tensor:
    """(N, C): squared differences of means and standard deviations of features, relative to the original's variance, to
    which `flat` is added.
    """
    total = torch.zeros(one.shape[:2], device=one.device)
    for side in WINDOWS:
        if min(one.shape[2:]) < side:
            continue
        with torch.no_grad():
            mean, spread = _moments(one, side)
        own_mean, own_spread = _moments(two, side)
        apart = (mean - own_mean).square() + (spread - own_spread).square()
        total = total + (apart / (spread.square() + flat)).mean((2, 3))
    return total


def wasserstein(x: Tensor, x_hat: Tensor) -> Tensor:
    """(N,) over the pyramid of pictures (N, 3, H, W) in 0..1, x the originals."""
    with torch.autocast(x.device.type, enabled=False):
        weight = torch.tensor([1.0, CHROMA, CHROMA], device=x.device).repeat_interleave(len(FILTERS))
        with torch.no_grad():
            of_x = pyramid(x.float())
        of_x_hat = pyramid(x_hat.float())
        apart = [statistics_apart(one, two, FLAT) for one, two in zip(of_x, of_x_hat)]
        return sum(((one * weight).sum(1) / weight.sum() for one in apart), torch.zeros(len(x))) / SCALES


def analysis_features(analysis: Analysis, x: Tensor, t: Tensor) -> list[Tensor]:
    """What the first blocks of the codec's analysis make of pictures: (N, C, H/8, W/8) each."""
    u = analysis.patch(F.pixel_unshuffle((x - 0.5) * 4.0, 8))
    found = []
    for block in list(analysis.high)[:FEATURE_BLOCKS]:
        u = block(u, t)
        found.append(u.float())
    return found


def block_colour(x: Tensor, x_hat: Tensor) -> Tensor:
    """(N,) mean absolute differences of pictures averaged over blocks of 4, 16 and 64: so colours stay, and seams do
    not show.
    """
    total = torch.zeros(len(x), device=x.device)
    apart = x_hat.float() - x
    for side in (4, 16, 64):
        total = total + F.avg_pool2d(apart, side).abs().mean((1, 2, 3)) * (side / 4) ** 0.5
    return total


# ---- The discriminator --------------------------------------------------------------------------------------------


class Discriminator(nn.Module):
    """Says of each patch whether it is of a photograph, knowing y_hat: (N, 1, H/8, W/8), and what it saw on the way."""

    def __init__(self, latent: int, width: int = 32):
        super().__init__()
        normed = nn.utils.parametrizations.spectral_norm
        self.first = normed(nn.Conv2d(12, width, 3, padding=1))
        self.second = normed(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1))
        self.third = normed(nn.Conv2d(2 * width, 3 * width, 4, stride=2, padding=1))
        self.known = normed(nn.Conv2d(latent, width, 1))
        self.joined = normed(nn.Conv2d(4 * width, 3 * width, 3, padding=1))
        self.out = normed(nn.Conv2d(3 * width, 1, 1))

    def forward(self, x: Tensor, y_hat: Tensor) -> tuple[Tensor, list[Tensor]]:
        one = F.leaky_relu(self.first(F.pixel_unshuffle((x - 0.5) * 4.0, 2)), 0.2)
        two = F.leaky_relu(self.second(one), 0.2)
        three = F.leaky_relu(self.third(two), 0.2)
        known = F.interpolate(F.leaky_relu(self.known(y_hat), 0.2), scale_factor=2.0)
        four = F.leaky_relu(self.joined(torch.cat([three, known], 1)), 0.2)
        return self.out(four).float(), [one, two, three]


def hinge(real: Tensor, made: Tensor) -> Tensor:
    """What a discriminator learns from."""
    return F.relu(1.0 - real).mean() + F.relu(1.0 + made).mean()


def features_apart(real: list[Tensor], made: list[Tensor]) -> Tensor:
    """(N,) mean absolute difference of what a discriminator saw, relative to the original's."""
    apart = [(b - a).float().abs().mean((1, 2, 3)) / (a.float().abs().mean() + 1e-3) for a, b in zip(real, made)]
    return sum(apart, torch.zeros_like(apart[0])) / len(apart)
