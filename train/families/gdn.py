"""Networks of the source paper and of the two codecs it stands on, over shared blocks.

`factorized`: Balle et al. 2017, GDN transforms, one fixed prior a channel. `hyperprior`: Balle et al. 2018, zero-mean
normals whose scale comes from z. `gdn-mixture`: Zhu et al. 2020, global context attention in the encoder, a discretised
mixture of K normals. What shapes a probability is, in all three, a function of z that FORMAT 7.5 and 7.8 can run in
integers: at every hyper position two hidden layers and a linear map to the 4 x 4 latent positions below it. The float
mean stays outside. Imports torch, the networks of pillow_lic and train.layers.

Shapes: x (N, 3, H, W), y (N, M, H/16, W/16), z (N, Cz, H/64, W/64 rounded up), t (N,).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pillow_lic.engines.torch.gdn import FAMILIES as NAMES
from pillow_lic.engines.torch.gdn import (
    Analysis,
    GdnConfig,
    HyperAnalysis,
    NoHyperAnalysis,
    NoRefine,
    Prior,
    Synthesis,
    ZeroMean,
)
from pillow_lic.engines.torch.photo import interpolate
from train.layers import (
    SIGMA_MAX,
    SIGMA_MIN,
    HyperRate,
    add_noise,
    bounded,
    gaussian_bits,
    reach,
    start_gain,
    straight_through_round,
)
from train.residuals import Gaussian, Mixture
from train.residuals.mixture import WEIGHT_UNIT

Config = GdnConfig

LEAK = 0.125  # of the hidden layers: a shift by 3 in integers (FORMAT 7.5)
HIDDEN_MAX = 128.0  # their clamp, 4096 / 32


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


class Model(nn.Module):
    """All stages together: train.families.Model."""

    map_name = "shape"
    integer = False

    def __init__(self, config: GdnConfig):
        super().__init__()
        if config.family not in NAMES or (config.family == "gdn-mixture") != (config.components > 0):
            found = f"family {config.family!r} with {config.components} components"
            msg = f"{found}: want one of {NAMES}, components only in the last"
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
        y = self.analysis(x, t)
        z_hat, z_bits = self.hyper_rate.coded(self.hyper_analysis(y, t), t, hard)
        h, w = y.shape[2], y.shape[3]
        planes = self.shape(z_hat, t)[..., :h, :w]
        _, mean, step = self.prior(z_hat, t)
        mean, step = mean[:, :, :h, :w], step[:, :, :h, :w]
        residual = (y - mean) / step
        rounded = straight_through_round(residual)
        value = rounded if hard else add_noise(residual)
        y_bits = mixture_bits(value, planes) if self.config.components else gaussian_bits(value, planes[:, 0])
        return {"x_hat": self.synthesis(mean + rounded * step, t), "y_bits": y_bits, "z_bits": z_bits}

    @property
    def map(self) -> nn.Module:
        return self.shape

    @property
    def residual(self) -> Gaussian | Mixture:
        return Mixture(self.config.components) if self.config.components else Gaussian()

    def start(self, x: Tensor, lowest: float, highest: float) -> None:
        start_from_cascade(self, x, lowest, highest)

    def start_further(self, further: int, x: Tensor, lowest: float, highest: float) -> None:
        msg = f"a network of this family starts from a model with as many channels of y, found {further} fewer"
        raise ValueError(msg)

    def reach(self) -> tuple[int, int]:
        mean = reach([self.prior], 4)
        y, z = reach([self.analysis], 1 / 16), reach([self.hyper_analysis])
        return math.ceil(mean + reach([self.synthesis])), math.ceil(max(y, z))

    def share(self, x: Tensor, t: Tensor) -> float:
        return 1.0

    def stored(self, units: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        half = {name: value.double().numpy().astype(np.float16) for name, value in self.state_dict().items()}
        parts = ("prior.", "synthesis."), ("analysis.", "hyper_analysis.")
        decoder, encoder = ({n: v for n, v in half.items() if n.startswith(part)} for part in parts)
        return decoder, encoder

    def widths(self) -> dict[str, object]:
        return dataclasses.asdict(self.config)


@torch.no_grad()
def start_from_cascade(model: Model, x: Tensor, lowest: float, highest: float) -> None:
    """Set transforms, gains, steps and scales of a fresh model: every convolution a Karhunen-Loeve transform of 2x2
    blocks, each transposed one its inverse. x: crops (N, 3, H, W) in 0..1, a few hundred.

    A convolution of 5x5 and stride 2 sees the block of its output at rows and columns 2 and 3 of its kernel.
    """
    u = (x - 0.5) * 4.0
    convs = [layer for layer in model.analysis.layers if isinstance(layer, nn.Conv2d)]
    opposites = [layer for layer in model.synthesis.layers if isinstance(layer, nn.ConvTranspose2d)][::-1]
    for conv, opposite in zip(convs, opposites):
        blocks = F.pixel_unshuffle(u, 2)  # (N, 4 C, h, w), channel by channel, each as its 2 x 2
        rows = blocks.movedim(1, 3).flatten(0, 2).double()
        mean = rows.mean(0)
        variance, basis = torch.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
        basis, variance = basis.flip(1)[:, : conv.out_channels], variance.flip(0)
        used, channels = basis.shape[1], u.shape[1]
        patch = basis.T.reshape(used, channels, 2, 2).float()
        conv.weight.mul_(0.05)
        conv.bias.zero_()
        conv.weight[:used, :channels, 2:4, 2:4] = patch
        conv.bias[:used] = -(basis.T @ mean).float()
        opposite.weight.mul_(0.05)
        opposite.weight[:used, :channels, 2:4, 2:4] = patch
        opposite.bias[:channels] = mean.reshape(channels, 4).mean(1).float()
        u = F.conv2d(blocks, patch.reshape(used, -1, 1, 1), conv.bias[:used])
    spread = variance[:used].clamp_min(1e-8).sqrt().log().float()
    gain = start_gain(model.config.points, lowest, highest)
    tables = [model.prior.gain]
    if hasattr(model.hyper_analysis, "gain"):
        tables.append(model.hyper_analysis.gain)
    for table in tables:
        table.copy_(gain.expand_as(table))
    scales = max(1, model.config.components)  # the first planes of the parameters are those of log sigma
    parameters = model.shape
    parameters.bias.unflatten(1, (parameters.planes, -1))[:, :scales] += gain[:, :, None]
    parameters.offset.unflatten(0, (parameters.planes, -1))[:scales] += spread.repeat_interleave(16)
