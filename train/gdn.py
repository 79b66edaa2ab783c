"""Networks of the source paper and of the two codecs it stands on, over shared blocks.

`factorized`: Balle et al. 2017, GDN transforms, one fixed prior a channel. `hyperprior`: Balle et al. 2018, zero-mean normals
whose scale comes from z. `gdn-mixture`: Zhu et al. 2020, global context attention in the encoder, a discretised mixture of K
normals. What shapes a probability is, in all three, a function of z that FORMAT 7.5 and 7.8 can run in integers: at
every hyper position two hidden layers and a linear map to the 4 x 4 latent positions below it. The float mean stays
outside. Imports torch, the operators of pillow_lic and train.networks.

Shapes as in train/networks.py: x (N, 3, H, W), y (N, M, H/16, W/16), z (N, Cz, H/64, W/64 rounded up), t (N,).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pillow_lic.constants import GROUPS
from pillow_lic.engines.torch import operators  # noqa: F401  registers torch.ops.pillow_lic.gdn and igdn
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

FAMILIES = ("factorized", "hyperprior", "gdn-mixture")
LEAK = 0.125  # of the hidden layers: a shift by 3 in integers (FORMAT 7.5)
HIDDEN_MAX = 128.0  # their clamp, 4096 / 32
WEIGHT_UNIT = 1 / 32  # the byte a of FORMAT 7.8 counts the unnormalised weight in this


@dataclass(frozen=True)
class GdnConfig:
    """Widths. The defaults are the paper's."""

    family: str = "gdn-mixture"
    filters: int = 192  # N, of the transforms
    latent: int = 192  # M, channels of y
    hyper: int = 192  # Cz, channels of z
    hidden: int = 192  # width of the two hidden layers from z to the parameters
    components: int = 3  # K; 0 for one zero-mean normal
    attention: bool = True  # global context attention in the encoder
    points: int = 8  # trained rates between which quality interpolates


class Gdn(nn.Module):
    """Generalised divisive normalisation (Balle et al. 2016, eq. 5) or its inverse, over (N, C, H, W).

    beta >= 1e-6 and gamma >= 0 by squares of what is learned.
    """

    def __init__(self, channels: int, inverse: bool):
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter(torch.ones(channels))
        self.gamma = nn.Parameter((1e-3 * torch.eye(channels) + 1e-6).sqrt())

    def forward(self, x: Tensor) -> Tensor:
        beta, gamma = self.beta.square() + 1e-6, self.gamma.square()
        if self.inverse:
            return torch.ops.pillow_lic.igdn(x, beta, gamma)
        return torch.ops.pillow_lic.gdn(x, beta, gamma)


class GlobalContext(nn.Module):
    """Global context attention (Zhu et al. 2020, eq. 2 and 3): x (N, C, H, W) plus one vector for the whole picture.

    A softmax over all positions pools x; two 1x1 convolutions with layer norm and ReLU between transform the pooled vector.
    """

    def __init__(self, channels: int, ratio: int = 4):
        super().__init__()
        inner = max(1, channels // ratio)
        self.key = nn.Conv2d(channels, 1, 1)
        self.down = nn.Conv2d(channels, inner, 1)
        self.norm = nn.LayerNorm([inner, 1, 1])
        self.up = nn.Conv2d(inner, channels, 1)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        share = self.key(x).flatten(2).softmax(2)  # (N, 1, H * W)
        pooled = (x.flatten(2) @ share.transpose(1, 2)).unsqueeze(3)  # (N, C, 1, 1)
        inner = F.relu(self.norm(self.down(pooled).float()))
        return x + self.up(inner.to(x.dtype))


def down(inputs: int, outputs: int, stride: int = 2) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 5, stride, 2)


def up(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 5, 2, 2, output_padding=1)


class Analysis(nn.Module):
    """g_a: x in 0..1 to y. Four 5x5 convolutions of stride 2, GDN between them; attention before the last."""

    def __init__(self, c: GdnConfig):
        super().__init__()
        n = c.filters
        layers: list[nn.Module] = []
        for inputs in (3, n, n):
            layers += [down(inputs, n), Gdn(n, False)]
        if c.attention:
            layers.append(GlobalContext(n))
        self.layers = nn.Sequential(*layers, down(n, c.latent))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.layers(((x - 0.5) * 4.0).to(self.layers[0].weight.dtype)).float()


class HyperAnalysis(nn.Module):
    """h_a: y, scaled by the gain of the quality, to z before rounding. |y| where the residual has no mean (Balle 2018)."""

    def __init__(self, c: GdnConfig):
        super().__init__()
        self.absolute = c.components == 0
        self.gain = nn.Parameter(torch.zeros(c.points, c.latent))
        self.layers = nn.Sequential(
            nn.Conv2d(c.latent, c.filters, 3, padding=1),
            nn.LeakyReLU(0.1),
            down(c.filters, c.filters),
            nn.LeakyReLU(0.1),
            down(c.filters, c.hyper),
        )

    def forward(self, y: Tensor, t: Tensor) -> Tensor:
        y = y * interpolate(self.gain, t).exp()[:, :, None, None]
        y = y.to(self.layers[0].weight.dtype)
        return self.layers(y.abs() if self.absolute else y).float()


class NoHyperAnalysis(nn.Module):
    """For `factorized`: a z of one channel that is 0 everywhere and costs next to nothing."""

    def forward(self, y: Tensor, t: Tensor) -> Tensor:
        return torch.zeros([y.shape[0], 1, (y.shape[2] + 3) // 4, (y.shape[3] + 3) // 4], device=y.device)


class Prior(nn.Module):
    """Mean and step of y from z_hat; the step is that of the quality alone. Features are of no use here: one plane of zeros."""

    def __init__(self, c: GdnConfig):
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(c.points, c.latent))
        self.mean = nn.Sequential(
            up(c.hyper, c.filters), nn.LeakyReLU(0.1), up(c.filters, c.filters), nn.LeakyReLU(0.1),
            nn.Conv2d(c.filters, c.latent, 3, padding=1),
        )  # fmt: skip

    def forward(self, z_hat: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean = self.mean(z_hat).float()
        step = (-interpolate(self.gain, t)).exp()[:, :, None, None].expand_as(mean)
        return torch.zeros_like(mean[:, :1]), mean, step


class ZeroMean(nn.Module):
    """The same without a mean."""

    def __init__(self, c: GdnConfig):
        super().__init__()
        self.latent = c.latent
        self.gain = nn.Parameter(torch.zeros(c.points, c.latent))

    def forward(self, z_hat: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shape = [z_hat.shape[0], self.latent, 4 * z_hat.shape[2], 4 * z_hat.shape[3]]
        mean = torch.zeros(shape, device=z_hat.device)
        step = (-interpolate(self.gain, t)).exp()[:, :, None, None].expand_as(mean)
        return mean[:, :1], mean, step


class NoRefine(nn.Module):
    """These codecs have no context model: nothing changes at the positions of any group (FORMAT 8)."""

    def __init__(self):
        super().__init__()
        self.groups = list(GROUPS)

    def forward(self, features: Tensor, known: Tensor, group: int) -> tuple[Tensor, Tensor]:
        row, column = self.groups[group]
        nothing = torch.zeros_like(known[:, :, row::2, column::2])
        return nothing, nothing


class Synthesis(nn.Module):
    """g_s: y_hat to pixels. Four transposed 5x5 convolutions of stride 2, inverse GDN between them."""

    def __init__(self, c: GdnConfig):
        super().__init__()
        n = c.filters
        layers: list[nn.Module] = []
        for inputs in (c.latent, n, n):
            layers += [up(inputs, n), Gdn(n, True)]
        self.layers = nn.Sequential(*layers, up(n, 3))

    def forward(self, y_hat: Tensor, t: Tensor) -> Tensor:
        return self.layers(y_hat.to(self.layers[0].weight.dtype)).float() * 0.25 + 0.5


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
    """Bits per sample (N,) of residuals (N, M, h, w) under mixtures of normals over unit bins (Zhu et al. 2020, eq. 9)."""
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
            msg = f"family {config.family!r} with {config.components} components: want one of {FAMILIES}, components only in the last"
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
