"""Networks of the source paper and of the two codecs it stands on, over shared blocks.

`factorized`: Balle et al. 2017, GDN transforms, one fixed prior a channel. `hyperprior`: Balle et al. 2018, zero-mean
normals whose scale comes from z. `gdn-mixture`: Zhu et al. 2020, global context attention in the encoder, a discretised
mixture of K normals. What shapes a probability is, in all three, a function of z that FORMAT 7.5 and 7.8 can run in
integers: at every hyper position two hidden layers and a linear map to the 4 x 4 latent positions below it. The float
mean stays outside. Imports torch, the networks of pillow_lic and train.networks.

Shapes as in train/networks.py: x (N, 3, H, W), y (N, M, H/16, W/16), z (N, Cz, H/64, W/64 rounded up), t (N,).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pillow_lic.engines.torch.gdn import (
    FAMILIES,
    Analysis,
    Gdn,
    GdnConfig,
    GlobalContext,
    HyperAnalysis,
    NoHyperAnalysis,
    NoRefine,
    Prior,
    Synthesis,
    ZeroMean,
)
from train.networks import (
    SIGMA_MAX,
    SIGMA_MIN,
    HyperRate,
    add_noise,
    bounded,
    gaussian_bits,
    interpolate,
    straight_through_round,
)

__all__ = ["Gdn", "GdnConfig", "GdnModel", "GlobalContext"]

LEAK = 0.125  # of the hidden layers: a shift by 3 in integers (FORMAT 7.5)
HIDDEN_MAX = 128.0  # their clamp, 4096 / 32
WEIGHT_UNIT = 1 / 32  # the byte a of FORMAT 7.8 counts the unnormalised weight in this


class Parameters(nn.Module):
    """z_hat to what shapes the probability of the residual: log sigma, and for a mixture offsets and weights as well.

    Two hidden layers and a linear map, each at one hyper position alone, the bias of the map a function of quality.
    Returns (N, planes, M, 4h, 4w): K planes of log sigma, K of offsets, K of unnormalised weights; or one of log sigma.
    """

    def __init__(self, c: GdnConfig):
        super().__init__()
        self.latent, self.components = c.latent, c.components
        self.planes = 3 * c.components if c.components else 1
        inputs = 1 if c.family == "factorized" else c.hyper
        self.hidden = nn.ModuleList()
        if c.family != "factorized":
            self.hidden.append(nn.Conv2d(inputs, c.hidden, 1))
            self.hidden.append(nn.Conv2d(c.hidden, c.hidden, 1))
            inputs = c.hidden
        for layer in self.hidden:
            nn.init.normal_(layer.weight, std=1.0 / layer.in_channels**0.5)
        rows = self.planes * c.latent
        self.weight = nn.Parameter(torch.randn(16 * rows, inputs) * 0.02 / inputs**0.5)
        start = torch.zeros(self.planes, c.latent)
        for k in range(c.components):  # spread the components: from half to twice the scale, centred
            start[k] = 0.7 * (k - (c.components - 1) / 2)
            start[2 * c.components + k] = 1.0 + (k == c.components // 2)
        self.offset = nn.Parameter(start.flatten().repeat_interleave(16))
        self.bias = nn.Parameter(torch.zeros(c.points, rows))

    def forward(self, z_hat: Tensor, t: Tensor) -> Tensor:
        v = z_hat
        for layer in self.hidden:
            v = F.leaky_relu(layer(v), LEAK).clamp(-HIDDEN_MAX, HIDDEN_MAX)
        s = F.conv2d(v, self.weight[:, :, None, None], self.offset)
        s = F.pixel_shuffle(s, 4).float() + interpolate(self.bias, t)[:, :, None, None]
        return s.unflatten(1, (self.planes, self.latent))


def mixture_bits(residual: Tensor, planes: Tensor) -> Tensor:
    """Bits per sample (N,) of residuals (N, M, h, w) under mixtures of normals over unit bins (Zhu et al. 2020, eq.
    9).
    """
    log_sigma, offset, weight = planes.chunk(3, 1)
    inverse = (-bounded(log_sigma, math.log(SIGMA_MIN), math.log(SIGMA_MAX))).exp()
    weight = bounded(weight, WEIGHT_UNIT, 255 * WEIGHT_UNIT)
    distance = (residual.unsqueeze(1) - bounded(offset, -8.0, 7.9375)).abs()
    mass = torch.special.ndtr((0.5 - distance) * inverse) - torch.special.ndtr((-0.5 - distance) * inverse)
    mass = (mass * weight).sum(1) / weight.sum(1)
    return -bounded(mass, 2.0**-16, 1.0).log2().sum((1, 2, 3))


class GdnModel(nn.Module):
    """All stages together, as training runs them: the interface of train.networks.PhotoModel."""

    def __init__(self, config: GdnConfig):
        super().__init__()
        if config.family not in FAMILIES or (config.family == "gdn-mixture") != (config.components > 0):
            found = f"family {config.family!r} with {config.components} components"
            msg = f"{found}: want one of {FAMILIES}, components only in the last"
            raise ValueError(msg)
        plain = config.family == "factorized"
        self.config = config
        self.analysis = Analysis(config)
        self.hyper_analysis = NoHyperAnalysis() if plain else HyperAnalysis(config)
        self.hyper_rate = HyperRate(config.points, 1 if plain else config.hyper)
        self.shape = Parameters(config)
        self.prior = Prior(config) if config.components else ZeroMean(config)
        self.refine = NoRefine()
        self.synthesis = Synthesis(config)

    def forward(self, x: Tensor, t: Tensor, hard: bool = False) -> dict[str, Tensor]:
        """Noise for the rate, straight-through rounding for the distortion; `hard` rounds for the rate as well."""
        rate = self.hyper_rate
        y = self.analysis(x, t)
        z_gain = interpolate(rate.gain, t).exp()[:, :, None, None]
        z = self.hyper_analysis(y, t) * z_gain
        z_int = straight_through_round(z)
        z_bits = rate.bits(z_int if hard else add_noise(z), t)
        z_hat = z_int / z_gain
        h, w = y.shape[2], y.shape[3]
        planes = self.shape(z_hat, t)[..., :h, :w]
        _, mean, step = self.prior(z_hat, t)
        mean, step = mean[:, :, :h, :w], step[:, :, :h, :w]
        residual = (y - mean) / step
        rounded = straight_through_round(residual)
        value = rounded if hard else add_noise(residual)
        y_bits = mixture_bits(value, planes) if self.config.components else gaussian_bits(value, planes[:, 0])
        return {"x_hat": self.synthesis(mean + rounded * step, t), "y_bits": y_bits, "z_bits": z_bits}
