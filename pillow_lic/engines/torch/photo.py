"""The networks of the `photo` family in floats: a hyperprior autoencoder with a cheap decoder. What a GPU runs and
training trains; the integers of FORMAT 8 are the same networks.

Imports torch and constants. Cost is counted in multiply-adds per pixel of the image (MAC/px). A 1x1 convolution of C to
D channels costs C*D/64 at 1/8 resolution and C*D/256 at 1/16.

Shapes: x (N, 3, H, W) with H and W multiples of 16, y (N, M, H/16, W/16), z (N, Cz, ceil(H/64), ceil(W/64)),
t (N,) in 0..1, the position of `quality` between the lowest and the highest trained rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...constants import GROUPS, LIC_NOISE_CHANNELS
from ...models.manifest import DECODER, PERCEPTUAL
from . import exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from numpy.typing import NDArray

    from ...models.store import Model


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
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


class Block(nn.Module):
    """Depthwise-separable residual block: 6*C*C + k*k*C multiply-adds per position.

    The rate scales and shifts its hidden channels, as in the conditional autoencoder of Choi et al. 2019 (arXiv
    1909.04802).
    """

    def __init__(self, width: int, points: int, kernel: int = 3, conv: Callable[..., nn.Conv2d] = conv1x1):
        super().__init__()
        self.mix = conv(width, width, 1.4)
        self.mix_tone = nn.Parameter(torch.zeros(points, 2, width))
        self.spatial = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
        self.join = conv(width, width, 0.3)
        self.expand = conv(width, 2 * width, 1.4)
        self.expand_tone = nn.Parameter(torch.zeros(points, 2, 2 * width))
        self.contract = conv(2 * width, width, 0.3)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        x = x + self.join(self.spatial(F.leaky_relu(toned(self.mix(x), self.mix_tone, t), 0.1)))
        return x + self.contract(F.leaky_relu(toned(self.expand(x), self.expand_tone, t), 0.1))


def toned(x: Tensor, table: Tensor, t: Tensor) -> Tensor:
    """x (N, C, h, w) scaled and shifted by channel, as table (P, 2, C) says for the rates t (N,)."""
    scale, shift = interpolate(table.flatten(1), t).to(x.dtype)[:, :, None, None].chunk(2, 1)
    return torch.addcmul(shift, x, 1.0 + scale)


class Blocks(nn.ModuleList):
    """Blocks one after the other."""

    def __init__(self, count: int, width: int, points: int, block: Callable[[int, int], nn.Module] = Block):
        super().__init__([block(width, points) for _ in range(count)])

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        for block in self:
            x = block(x, t)
        return x


class RefineGroup(nn.Module):
    """Mean and log-step change of one group of positions, those of (row, column) modulo 2, from the groups before
    it.
    """

    def __init__(self, c: PhotoConfig, group: int, conv: Callable[..., nn.Conv2d] = conv1x1):
        super().__init__()
        self.row, self.column = GROUPS[group]
        kernel = 3 if group == 1 else 5  # of group 1, what is known lies at the four diagonal neighbours
        self.reach = kernel // 2
        self.enter = conv(c.latent + c.body, c.body, 1.4)
        self.spatial = nn.Conv2d(c.body, c.body, kernel, stride=2, groups=c.body)
        self.join = conv(c.body, c.body)
        self.expand = conv(c.body, 2 * c.body, 1.4)
        self.contract = conv(2 * c.body, c.body, 0.3)
        self.mean = conv(c.body, c.latent, 0.3)
        self.step = conv(c.body, c.latent, 0.1)

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


class Parts(NamedTuple):
    """What stages are made of. Models have SHIPPED; training compares others (train/families/photo_designs.py)."""

    block: Callable[[int, int], nn.Module] = Block  # of a width and of points
    conv: Callable[..., nn.Conv2d] = conv1x1  # of inputs, outputs and a gain
    group: Callable[[PhotoConfig, int], nn.Module] = RefineGroup


SHIPPED = Parts()


class Analysis(nn.Module):
    """g_a: x (N, 3, H, W) in 0..1 to y (N, M, H/16, W/16).

    `direct` is a linear path beside the network, as is the synthesis' own: together a learned block transform of 16x16
    pixels. Without it, channels of y that round to zero early never find a use, and high rates stay out of reach.
    """

    def __init__(self, c: PhotoConfig, parts: Parts = SHIPPED):
        super().__init__()
        self.patch = parts.conv(192, c.encoder)
        self.high = Blocks(c.encoder_blocks, c.encoder, c.points, parts.block)
        self.down = nn.Conv2d(c.encoder, c.encoder_low, 2, stride=2)
        self.low = Blocks(c.encoder_low_blocks, c.encoder_low, c.points, parts.block)
        self.out = parts.conv(c.encoder_low, c.latent)
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

    def __init__(self, c: PhotoConfig, parts: Parts = SHIPPED):
        super().__init__()
        self.gain = nn.Parameter(torch.linspace(-2.0, 1.2, c.points).unsqueeze(1).repeat(1, c.latent))
        self.enter = parts.conv(c.latent, c.body)
        self.first = parts.block(c.body, c.points)
        self.down1 = nn.Conv2d(c.body, c.hyper, 2, stride=2)
        self.second = parts.block(c.hyper, c.points)
        self.down2 = nn.Conv2d(c.hyper, c.hyper, 2, stride=2)
        self.out = parts.conv(c.hyper, c.hyper, 2.0)

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

    def __init__(self, c: PhotoConfig, parts: Parts = SHIPPED):
        super().__init__()
        self.gain = nn.Parameter(torch.linspace(-2.0, 1.2, c.points).unsqueeze(1).repeat(1, c.latent))
        self.up = parts.conv(c.hyper, 16 * c.spread)
        self.enter = parts.conv(c.spread, c.body)
        self.block = parts.block(c.body, c.points)
        self.mean = parts.conv(c.body, c.latent)
        self.step = parts.conv(c.body, c.latent, 0.1)

    def forward(self, z_hat: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z_hat = z_hat.to(self.up.weight.dtype)
        features = self.block(self.enter(F.pixel_shuffle(self.up(z_hat), 4)), t).float()
        log_gain = interpolate(self.gain, t)[:, :, None, None]
        step = (1.5 * torch.tanh(self.step(features).float() / 1.5) - log_gain).exp()
        return features, self.mean(features).float(), step


class Refine(nn.Module):
    """The mean and the log-step change of each group of positions after the first. Never touches a probability.

    The multistage context of Lu et al. 2022 (arXiv 2202.01446) and He et al. 2021, of means alone: FORMAT 8. known (N,
    M, h, w) is y_hat at the positions of earlier groups and zero elsewhere; what returns has the group's positions.
    """

    def __init__(self, c: PhotoConfig, parts: Parts = SHIPPED):
        super().__init__()
        self.groups = nn.ModuleList([parts.group(c, group) for group in range(1, len(GROUPS))])

    def forward(self, features: Tensor, known: Tensor, group: int) -> tuple[Tensor, Tensor]:
        assert 1 <= group <= len(self.groups), "no such group"
        result = features, known
        for number, network in enumerate(self.groups):
            if number + 1 == group:
                result = network(features, known)
        return result


class Synthesis(nn.Module):
    """g_s: y_hat to pixels (N, 3, 16h, 16w), about 0..1, not clipped."""

    def __init__(self, c: PhotoConfig, parts: Parts = SHIPPED):
        super().__init__()
        self.tone = nn.Parameter(torch.zeros(c.points, c.body))
        self.enter = parts.conv(c.latent, c.body)
        self.body = Blocks(c.body_blocks, c.body, c.points, parts.block)
        self.up8 = parts.conv(c.body, 4 * c.detail)
        self.detail = Blocks(c.detail_blocks, c.detail, c.points, parts.block)
        self.up4 = parts.conv(c.detail, 4 * c.render)
        self.render = parts.block(c.render, c.points)
        self.out = parts.conv(c.render, 48, 0.5)
        self.direct = parts.conv(c.latent, 768, 0.1)

    def forward(self, y_hat: Tensor, t: Tensor) -> Tensor:
        return self.rendered(y_hat, t, None)

    def rendered(self, y_hat: Tensor, t: Tensor, noise: Tensor | None) -> Tensor:
        """noise: what is added at 1/8 of the resolution (N, detail, 2h, 2w)."""
        y_hat = y_hat.to(self.enter.weight.dtype)
        x = self.enter(y_hat)
        x = x * interpolate(self.tone, t).exp()[:, :, None, None].to(x.dtype)
        x = F.pixel_shuffle(self.up8(self.body(x, t)), 2)  # (N, detail, 2h, 2w)
        x = x if noise is None else x + noise
        x = F.pixel_shuffle(self.up4(self.detail(x, t)), 2)  # (N, render, 4h, 4w)
        x = self.out(self.render(x, t)) + F.pixel_shuffle(self.direct(y_hat), 4)  # (N, 48, 4h, 4w)
        return F.pixel_shuffle(x.float(), 4) * 0.25 + 0.5


class PerceptualSynthesis(Synthesis):
    """Another g_s of the same widths, with noise to make texture of (FORMAT 8.5)."""

    def __init__(self, c: PhotoConfig, parts: Parts = SHIPPED):
        super().__init__(c, parts)
        self.noise = parts.conv(LIC_NOISE_CHANNELS, c.detail, 0.05)

    def forward(self, y_hat: Tensor, t: Tensor, noise: Tensor) -> Tensor:  # type: ignore[override]
        """noise (N, LIC_NOISE_CHANNELS, 2h, 2w): of `noise`."""
        return self.rendered(y_hat, t, self.noise(noise.to(self.noise.weight.dtype)))


# ---- networks.Family ------------------------------------------------------------------------------------------------


def config(_family: str, widths: Mapping[str, int | bool]) -> PhotoConfig:
    return PhotoConfig(**widths)


def parts(c: PhotoConfig, file: str) -> dict[str, nn.Module]:
    if file == DECODER:
        return {"prior": Prior(c), "refine": Refine(c), "synthesis": Synthesis(c)}
    if file == PERCEPTUAL:
        return {"synthesis": PerceptualSynthesis(c)}
    return {"analysis": Analysis(c), "hyper_analysis": HyperAnalysis(c)}


def floats(model: Model, file: str, shapes: Mapping[str, tuple[int, ...]]) -> Mapping[str, NDArray[Any]]:
    if file == DECODER:
        return exchange.float_decoder(model.arrays, exchange.units_of(model.arrays), shapes)
    if file == PERCEPTUAL:
        arrays = model.perceptual_arrays
        return exchange.float_synthesis(arrays, exchange.units_of(arrays), shapes)
    units = exchange.units_of(model.arrays | model.encoder_arrays)
    return exchange.float_encoder(model.encoder_arrays, units, shapes)
