"""What the families share: the prior of z, the bits of residuals, rounding that gradients pass, and how far layers see.

Imports torch and numpy; of pillow_lic constants and how a table of rates is interpolated.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pillow_lic.constants import LIC_LATENT_STRIDE, LIC_PROB_BITS
from pillow_lic.engines.torch.photo import interpolate
from pillow_lic.quality import geometric

if TYPE_CHECKING:
    from collections.abc import Iterable

Z_COMPONENTS = 3  # logistics in the prior of each channel of z
SIGMA_MIN, SIGMA_MAX, ROWS = 0.11, 64.0, 64  # the bank of Gaussians, geometric: residuals/ makes it from the same


class HyperRate(nn.Module):
    """Mixture of logistics, the prior of z per channel and trained rate, and the gain of z before rounding."""

    def __init__(self, points: int, hyper: int):
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(points, hyper))  # log
        spread = torch.arange(Z_COMPONENTS, dtype=torch.float32) - (Z_COMPONENTS - 1) / 2
        self.mean = nn.Parameter(torch.zeros(points, hyper * Z_COMPONENTS))
        self.log_scale = nn.Parameter(0.7 * spread.repeat(points, hyper))
        self.logit = nn.Parameter(torch.zeros(points, hyper * Z_COMPONENTS))

    def coded(self, z: Tensor, t: Tensor, hard: bool) -> tuple[Tensor, Tensor]:
        """z_hat (N, Cz, h, w), rounded, of z, and its bits per sample (N,): of z with noise, or hard as it is."""
        gain = interpolate(self.gain, t).exp()[:, :, None, None]
        z = z * gain
        rounded = straight_through_round(z)
        return rounded / gain, self.bits(rounded if hard else add_noise(z), t)

    def bits(self, z: Tensor, t: Tensor) -> Tensor:
        """Bits per sample (N,) of z (N, Cz, h, w) over unit bins."""
        tables = (interpolate(table, t) for table in (self.mean, self.log_scale, self.logit))
        mean, log_scale, logit = (rows.reshape(*z.shape[:2], Z_COMPONENTS, 1, 1) for rows in tables)
        mass = logistic_mass(z[:, :, None], mean, log_scale)
        return -bounded((mass * logit.softmax(2)).sum(2), 2.0**-16, 1.0).log2().sum((1, 2, 3))


def add_noise(x: Tensor) -> Tensor:
    return x + torch.rand_like(x) - 0.5


def straight_through_round(x: Tensor) -> Tensor:
    """To the nearest integer, the gradient as if nothing had happened."""
    return x + (x.round() - x).detach()


def gaussian_bits_more() -> Tensor:
    """(ROWS, 2): bits_more of engines/torch/rate.py of the bank before it is bent towards counts."""
    sigma = torch.linspace(math.log(SIGMA_MIN), math.log(SIGMA_MAX), ROWS, dtype=torch.float64).exp()
    edges = torch.special.ndtr(torch.arange(-0.5, 3.0) / sigma[:, None])  # around 0, 1 and 2
    bits = -edges.diff().clamp_min(2.0**-LIC_PROB_BITS).log2().numpy()
    return torch.from_numpy(np.diff(bits).clip(0.0)).float()


def gaussian_bits(residual: Tensor, log_sigma: Tensor) -> Tensor:
    """Bits per sample (N,) of residuals under zero-mean Gaussians integrated over unit bins (Balle 2018, eq. 7)."""
    low, high = math.log(SIGMA_MIN), math.log(SIGMA_MAX)
    inverse = (-bounded(log_sigma, low, high)).exp()
    centre = residual.abs()
    upper = torch.special.ndtr((0.5 - centre) * inverse)
    lower = torch.special.ndtr((-0.5 - centre) * inverse)
    return -bounded(upper - lower, 2.0**-16, 1.0).log2().sum((1, 2, 3))


def logistic_mass(z: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Probability of the unit bin around each z under logistic distributions; all broadcast."""
    inverse = (-log_scale).clamp(-6.0, 4.0).exp()
    centre = (z - mean).abs()
    return torch.sigmoid((0.5 - centre) * inverse) - torch.sigmoid((-0.5 - centre) * inverse)


class _Bounded(torch.autograd.Function):
    """Clamp whose gradient still flows when it would move the value back into the range."""

    @staticmethod
    def forward(ctx, x, low, high):
        ctx.save_for_backward(x)
        ctx.low, ctx.high = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        keep = ((x >= ctx.low) | (gradient < 0)) & ((x <= ctx.high) | (gradient > 0))
        return gradient * keep, None, None


def bounded(x: Tensor, low: float, high: float) -> Tensor:
    return _Bounded.apply(x, low, high)


def start_gain(points: int, lowest: float, highest: float) -> Tensor:
    """(points, 1): minus the logarithm of the best step of an orthonormal block transform of 4 * (x - 0.5) into y, at
    lambda from lowest to highest.

    At high rate a coefficient costs lambda * 255^2 * (step^2 / 12) / (16 * 768) of loss and its rate falls by
    log2(step) / 256 bits per pixel; the sum is least where the derivatives cancel.
    """
    weight = geometric((lowest, highest), torch.linspace(0, 1, points))
    samples = 3 * LIC_LATENT_STRIDE**2  # of a block
    step = torch.sqrt(12.0 * 16 * samples / (256.0 * 2 * math.log(2) * 255.0**2 * weight))
    return -step.log()[:, None]


def reach(layers: Iterable[nn.Module], position: float = 1.0) -> float:
    """How far the convolutions in `layers`, one after the other, see beyond a position, in latent positions.

    position: the side of a position of their input, in latent positions. What has patches that do not overlap (a stride
    as wide as the kernel) sees its own alone.
    """
    far = 0.0
    for layer in (part for one in layers for part in one.modules()):
        if isinstance(layer, nn.ConvTranspose2d):
            position /= layer.stride[0]
            far += layer.kernel_size[0] // 2 * position
        elif isinstance(layer, nn.Conv2d):
            if layer.kernel_size != layer.stride:
                far += layer.kernel_size[0] // 2 * position
            position *= layer.stride[0]
    return far
