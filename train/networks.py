"""Networks of the `photo` family: a hyperprior autoencoder with a cheap decoder.

Imports torch and numpy; of pillow_lic how its encoder rounds and what is refined after what. Every stage is scriptable; `export.py` turns the stages into a model directory.

Cost is counted in multiply-adds per pixel of the image (MAC/px). A 1x1 convolution of C to D channels costs
C*D/64 at 1/8 resolution and C*D/256 at 1/16.

Shapes: x (N, 3, H, W) with H and W multiples of 16, y (N, M, H/16, W/16), z (N, Cz, ceil(H/64), ceil(W/64)),
t (N,) in 0..1, the position of `quality` between the lowest and the highest trained rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pillow_lic.constants import GROUPS, LIC_PROB_BITS
from pillow_lic.engines.torch import latents, quantise


@dataclass(frozen=True)
class PhotoConfig:
    """Widths and depths. The defaults are the shipped `photo` model; `configs/toy.toml` narrows them."""

    latent: int = 256  # M, channels of y
    hyper: int = 128  # Cz, channels of z
    encoder: int = 192  # width of the analysis at 1/8
    encoder_low: int = 256  # width of the analysis at 1/16
    encoder_blocks: int = 3
    encoder_low_blocks: int = 6
    body: int = 192  # width of the synthesis and of the mean networks at 1/16
    spread: int = 64  # channels in which z reaches the latent grid in the mean networks
    body_blocks: int = 2
    detail: int = 128  # width of the synthesis at 1/8
    detail_blocks: int = 4
    render: int = 32  # width of the synthesis at 1/4
    points: int = 8  # trained rates between which quality interpolates


def interpolate(table: Tensor, t: Tensor) -> Tensor:
    """Rows of table (P, C) at positions t (N,) in 0..1, linearly interpolated; returns (N, C)."""
    last = table.shape[0] - 1
    position = t.clamp(0.0, 1.0) * last
    near = (
        1.0 - (position[:, None] - torch.arange(table.shape[0], device=t.device)).abs()
    )  # (N, P), at most two of each row above 0
    return (near.clamp_min(0.0)[:, :, None] * table).sum(1)


def conv1x1(inputs: int, outputs: int, gain: float = 1.0) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, 1)
    nn.init.normal_(layer.weight, std=gain / inputs**0.5)
    nn.init.zeros_(layer.bias)
    return layer


class Block(nn.Module):
    """Depthwise-separable residual block: 6*C*C + k*k*C multiply-adds per position.

    The rate scales and shifts its hidden channels, as in the conditional autoencoder of Choi et al. 2019 (arXiv 1909.04802).
    """

    def __init__(self, width: int, points: int, kernel: int = 3):
        super().__init__()
        self.mix = conv1x1(width, width, 1.4)
        self.mix_tone = nn.Parameter(torch.zeros(points, 2, width))
        self.spatial = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
        self.join = conv1x1(width, width, 0.3)
        self.expand = conv1x1(width, 2 * width, 1.4)
        self.expand_tone = nn.Parameter(torch.zeros(points, 2, 2 * width))
        self.contract = conv1x1(2 * width, width, 0.3)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        x = x + self.join(self.spatial(F.leaky_relu(toned(self.mix(x), self.mix_tone, t), 0.1)))
        return x + self.contract(F.leaky_relu(toned(self.expand(x), self.expand_tone, t), 0.1))


def toned(x: Tensor, table: Tensor, t: Tensor) -> Tensor:
    """x (N, C, h, w) scaled and shifted by channel, as table (P, 2, C) says for the rates t (N,)."""
    scale, shift = interpolate(table.flatten(1), t).to(x.dtype)[:, :, None, None].chunk(2, 1)
    return torch.addcmul(shift, x, 1.0 + scale)


class Blocks(nn.ModuleList):
    """Blocks one after the other."""

    def __init__(self, count: int, width: int, points: int):
        super().__init__([Block(width, points) for _ in range(count)])

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        for block in self:
            x = block(x, t)
        return x


class Analysis(nn.Module):
    """g_a: x (N, 3, H, W) in 0..1 to y (N, M, H/16, W/16).

    `direct` is a linear path beside the network, as is the synthesis' own: together a learned block transform of 16x16
    pixels. Without it, channels of y that round to zero early never find a use, and high rates stay out of reach.
    """

    def __init__(self, c: PhotoConfig):
        super().__init__()
        self.patch = conv1x1(192, c.encoder)
        self.high = Blocks(c.encoder_blocks, c.encoder, c.points)
        self.down = nn.Conv2d(c.encoder, c.encoder_low, 2, stride=2)
        self.low = Blocks(c.encoder_low_blocks, c.encoder_low, c.points)
        self.out = conv1x1(c.encoder_low, c.latent)
        self.direct = nn.Conv2d(192, c.latent, 2, stride=2, bias=False)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        linear, learned = self.paths(x, t)
        return learned + linear

    def paths(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """What the linear path and the network contribute to y."""
        x = F.pixel_unshuffle((x - 0.5) * 4.0, 8)  # (N, 192, H/8, W/8)
        x = x.to(self.patch.weight.dtype)
        return self.direct(x).float(), self.out(self.low(self.down(self.high(self.patch(x), t)), t)).float()


class HyperAnalysis(nn.Module):
    """h_a: y to z before rounding. y is scaled by the gain first, so z sees what the coder will see."""

    def __init__(self, c: PhotoConfig):
        super().__init__()
        self.gain = nn.Parameter(torch.linspace(-2.0, 1.2, c.points).unsqueeze(1).repeat(1, c.latent))
        self.enter = conv1x1(c.latent, c.body)
        self.first = Block(c.body, c.points)
        self.down1 = nn.Conv2d(c.body, c.hyper, 2, stride=2)
        self.second = Block(c.hyper, c.points)
        self.down2 = nn.Conv2d(c.hyper, c.hyper, 2, stride=2)
        self.out = conv1x1(c.hyper, c.hyper, 2.0)

    def forward(self, y: Tensor, t: Tensor) -> Tensor:
        y = y * interpolate(self.gain, t).exp()[:, :, None, None]
        bottom = (4 - y.shape[2] % 4) % 4
        right = (4 - y.shape[3] % 4) % 4
        if bottom + right > 0:
            y = F.pad(y, [0, right, 0, bottom], mode="replicate")
        y = y.to(self.enter.weight.dtype)
        return self.out(self.down2(self.second(self.down1(self.first(self.enter(y), t)), t))).float()


class Prior(nn.Module):
    """First step of the mean: z_hat to features, mean and step of y. The step carries the gain of `quality`.

    Returned mean and step are (N, M, 4h, 4w) for z_hat (N, Cz, h, w); residual = (y - mean) / step.
    """

    def __init__(self, c: PhotoConfig):
        super().__init__()
        self.gain = nn.Parameter(torch.linspace(-2.0, 1.2, c.points).unsqueeze(1).repeat(1, c.latent))
        self.up = conv1x1(c.hyper, 16 * c.spread)
        self.enter = conv1x1(c.spread, c.body)
        self.block = Block(c.body, c.points)
        self.mean = conv1x1(c.body, c.latent)
        self.step = conv1x1(c.body, c.latent, 0.1)

    def forward(self, z_hat: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z_hat = z_hat.to(self.up.weight.dtype)
        features = self.block(self.enter(F.pixel_shuffle(self.up(z_hat), 4)), t).float()
        log_gain = interpolate(self.gain, t)[:, :, None, None]
        step = (1.5 * torch.tanh(self.step(features).float() / 1.5) - log_gain).exp()
        return features, self.mean(features).float(), step


class RefineGroup(nn.Module):
    """Mean and log-step change of one group of positions, those of (row, column) modulo 2, from the groups before it."""

    def __init__(self, c: PhotoConfig, group: int):
        super().__init__()
        self.row, self.column = GROUPS[group]
        kernel = 3 if group == 1 else 5  # of group 1, what is known lies at the four diagonal neighbours
        self.reach = kernel // 2
        self.enter = conv1x1(c.latent + c.body, c.body, 1.4)
        self.spatial = nn.Conv2d(c.body, c.body, kernel, stride=2, groups=c.body)
        self.join = conv1x1(c.body, c.body)
        self.expand = conv1x1(c.body, 2 * c.body, 1.4)
        self.contract = conv1x1(2 * c.body, c.body, 0.3)
        self.mean = conv1x1(c.body, c.latent, 0.3)
        self.step = conv1x1(c.body, c.latent, 0.1)

    def forward(self, features: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        own = features[:, :, self.row :: 2, self.column :: 2]
        x = torch.cat([features, known], 1).to(self.enter.weight.dtype)
        x = F.leaky_relu(self.enter(x), 0.1)
        x = F.pad(
            x, [self.reach - self.column, self.reach, self.reach - self.row, self.reach]
        )  # so that stride 2 meets the group
        x = own.to(x.dtype) + self.join(self.spatial(x))
        x = (x + self.contract(F.leaky_relu(self.expand(x), 0.1))).float()
        return self.mean(x).float(), 0.5 * torch.tanh(self.step(x).float())


class Refine(nn.Module):
    """The mean and the log-step change of each group of positions after the first. Never touches a probability.

    The multistage context of Lu et al. 2022 (arXiv 2202.01446) and He et al. 2021, of means alone: FORMAT 8.
    known (N, M, h, w) is y_hat at the positions of earlier groups and zero elsewhere; what returns has the group's positions.
    """

    def __init__(self, c: PhotoConfig):
        super().__init__()
        self.groups = nn.ModuleList([RefineGroup(c, group) for group in range(1, len(GROUPS))])

    def forward(self, features: Tensor, known: Tensor, group: int) -> tuple[Tensor, Tensor]:
        assert 1 <= group <= len(self.groups), "no such group"
        result = features, known
        for number, network in enumerate(self.groups):
            if number + 1 == group:
                result = network(features, known)
        return result


class Synthesis(nn.Module):
    """g_s: y_hat to pixels (N, 3, 16h, 16w), about 0..1, not clipped."""

    def __init__(self, c: PhotoConfig):
        super().__init__()
        self.tone = nn.Parameter(torch.zeros(c.points, c.body))
        self.enter = conv1x1(c.latent, c.body)
        self.body = Blocks(c.body_blocks, c.body, c.points)
        self.up8 = conv1x1(c.body, 4 * c.detail)
        self.detail = Blocks(c.detail_blocks, c.detail, c.points)
        self.up4 = conv1x1(c.detail, 4 * c.render)
        self.render = Block(c.render, c.points)
        self.out = conv1x1(c.render, 48, 0.5)
        self.direct = conv1x1(c.latent, 768, 0.1)

    def forward(self, y_hat: Tensor, t: Tensor) -> Tensor:
        y_hat = y_hat.to(self.enter.weight.dtype)
        x = self.enter(y_hat)
        x = x * interpolate(self.tone, t).exp()[:, :, None, None].to(x.dtype)
        x = F.pixel_shuffle(self.up8(self.body(x, t)), 2)  # (N, detail, 2h, 2w)
        x = F.pixel_shuffle(self.up4(self.detail(x, t)), 2)  # (N, render, 4h, 4w)
        x = self.out(self.render(x, t)) + F.pixel_shuffle(self.direct(y_hat), 4)  # (N, 48, 4h, 4w)
        return F.pixel_shuffle(x.float(), 4) * 0.25 + 0.5


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
        """Integers as an encoder without a trellis chooses them under the Gaussian rows of the bank: towards zero unless the bits are worth it."""
        low, high = math.log(SIGMA_MIN), math.log(SIGMA_MAX)
        row = ((log_sigma - low) / (high - low) * (ROWS - 1)).round().clamp(0, ROWS - 1).long()
        return quantise.residual_symbols(residual, row, self.bits_more, 0).to(residual.dtype)

    def forward(self, x: Tensor, t: Tensor, hard: bool = False) -> dict[str, Tensor]:
        """Training pass (`hard=False`: noise for the rate, straight-through rounding for the distortion).

        `hard=True` rounds towards the cheaper integer, for the rate as well, as a codec without a trellis does; no gradient passes that. What export
        makes of the weights quantises dependently (FORMAT 7.9) and so gains some per cent more.
        Returns x_hat, and the bits of y and of z per sample.
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
LEVEL_STEP = 0.325  # the unit of r in an exported model, where training has steps of 1: levels of the trellis are 1.3 apart, others 0.975 (FORMAT 7.9)
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
