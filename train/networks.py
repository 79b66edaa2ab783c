"""The `photo` family as training runs it: the product's networks, what codes their latents, and the loss's rates.

Imports torch and numpy; of pillow_lic the networks, how its encoder rounds and what is refined after what. `export.py`
turns a trained model into a model directory. Shapes as in pillow_lic/engines/torch/photo.py.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pillow_lic.constants import LIC_PROB_BITS
from pillow_lic.engines.torch import latents, quantise
from pillow_lic.engines.torch.photo import (
    Analysis,
    Block,
    HyperAnalysis,
    PhotoConfig,
    Prior,
    Refine,
    RefineGroup,
    Synthesis,
    conv1x1,
    interpolate,
    toned,
)

__all__ = ["Analysis", "Block", "PhotoConfig", "PhotoModel", "RefineGroup", "conv1x1", "interpolate", "toned"]


class ScaleMap(nn.Module):
    """The linear map from z to log sigma of the residual, its bias a function of quality.

    Linear because the exported twin is integer arithmetic (FORMAT 7): z_hat and the weights become integers.
    """

    def __init__(self, c: PhotoConfig):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16 * c.latent, c.hyper) * 0.02)
        self.bias = nn.Parameter(torch.zeros(c.points, c.latent))
        self.offset = nn.Parameter(torch.full((16 * c.latent,), 0.7))

    def forward(self, z_hat: Tensor, t: Tensor) -> Tensor:
        s = F.conv2d(z_hat, self.weight[:, :, None, None], self.offset)
        return F.pixel_shuffle(s, 4).float() + interpolate(self.bias, t)[:, :, None, None]


class HyperRate(nn.Module):
    """Mixture of logistics, the prior of z per channel and trained rate, and the gain of z before rounding."""

    def __init__(self, points: int, hyper: int):
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(points, hyper))  # log
        spread = torch.arange(Z_COMPONENTS, dtype=torch.float32) - (Z_COMPONENTS - 1) / 2
        self.mean = nn.Parameter(torch.zeros(points, hyper * Z_COMPONENTS))
        self.log_scale = nn.Parameter(0.7 * spread.repeat(points, hyper))
        self.logit = nn.Parameter(torch.zeros(points, hyper * Z_COMPONENTS))

    def bits(self, z: Tensor, t: Tensor) -> Tensor:
        """Bits per sample (N,) of z (N, Cz, h, w) over unit bins."""
        tables = (interpolate(table, t) for table in (self.mean, self.log_scale, self.logit))
        mean, log_scale, logit = (rows.reshape(*z.shape[:2], Z_COMPONENTS, 1, 1) for rows in tables)
        mass = logistic_mass(z[:, :, None], mean, log_scale)
        return -bounded((mass * logit.softmax(2)).sum(2), 2.0**-16, 1.0).log2().sum((1, 2, 3))


class PhotoModel(nn.Module):
    """All stages together, as training runs them."""

    def __init__(self, config: PhotoConfig):
        super().__init__()
        self.config = config
        self.analysis = Analysis(config)
        self.hyper_analysis = HyperAnalysis(config)
        self.hyper_rate = HyperRate(config.points, config.hyper)
        self.scale_map = ScaleMap(config)
        self.prior = Prior(config)
        self.refine = Refine(config)
        self.synthesis = Synthesis(config)
        self.register_buffer("bits_more", gaussian_bits_more(), persistent=False)

    def codec_round(self, residual: Tensor, log_sigma: Tensor) -> Tensor:
        """Integers as an encoder without a trellis chooses them under the Gaussian rows of the bank: towards zero
        unless the bits are worth it.
        """
        low, high = math.log(SIGMA_MIN), math.log(SIGMA_MAX)
        row = ((log_sigma - low) / (high - low) * (ROWS - 1)).round().clamp(0, ROWS - 1).long()
        return quantise.residual_symbols(residual, row, self.bits_more, 0).to(residual.dtype)

    def forward(self, x: Tensor, t: Tensor, hard: bool = False) -> dict[str, Tensor]:
        """Training pass (`hard=False`: noise for the rate, straight-through rounding for the distortion).

        `hard=True` rounds towards the cheaper integer, for the rate as well, as a codec without a trellis does; no
        gradient passes that. What export makes of the weights quantises dependently (FORMAT 7.9) and so gains some per
        cent more. Returns x_hat, and the bits of y and of z per sample.
        """
        rate = self.hyper_rate
        y = self.analysis(x, t)
        z_gain = interpolate(rate.gain, t).exp()[:, :, None, None]
        z = self.hyper_analysis(y, t) * z_gain
        z_int = straight_through_round(z)
        z_bits = rate.bits(z_int if hard else add_noise(z), t)
        z_hat = z_int / z_gain
        h, w = y.shape[2], y.shape[3]
        log_sigma = self.scale_map(z_hat, t)[:, :, :h, :w]
        features, mean, step = self.prior(z_hat, t)
        features = features[:, :, :h, :w]
        mean, step = mean[:, :, :h, :w], step[:, :, :h, :w]
        y_bits: list[Tensor] = []  # of each group

        y_hat = torch.zeros_like(mean)
        for at, own_mean, own_step in latents.groups(self.refine, features, mean, step, y_hat):
            residual, sigma = (y[at] - own_mean) / own_step, log_sigma[at]
            rounded = self.codec_round(residual, sigma) if hard else straight_through_round(residual)
            y_bits.append(gaussian_bits(rounded if hard else add_noise(residual), sigma))
            y_hat[at] = own_mean + rounded * own_step
        return {"x_hat": self.synthesis(y_hat, t), "y_bits": sum(y_bits), "z_bits": z_bits}


def add_noise(x: Tensor) -> Tensor:
    return x + torch.rand_like(x) - 0.5


def straight_through_round(x: Tensor) -> Tensor:
    """To the nearest integer, the gradient as if nothing had happened."""
    return x + (x.round() - x).detach()


Z_COMPONENTS = 3  # logistics in the prior of each channel of z
# The unit of r in an exported model, where training has steps of 1: levels of the trellis are 1.3 apart, others 0.975
# (FORMAT 7.9).
LEVEL_STEP = 0.325
SIGMA_MIN, SIGMA_MAX, ROWS = 0.11, 64.0, 64  # the bank of Gaussians, geometric: export.py makes it from the same three


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
