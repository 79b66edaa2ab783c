"""The `photo` family as training runs it: the product's networks, what codes their latents, and where they start.

Imports torch and numpy; of pillow_lic the networks, how its encoder rounds and what is refined after what. Shapes as in
pillow_lic/engines/torch/photo.py.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pillow_lic.constants import GROUPS
from pillow_lic.engines.torch import exchange, latents, quantise
from pillow_lic.engines.torch.photo import PhotoConfig, Refine, interpolate
from pillow_lic.entropy import CELL
from train.families import photo_ranges
from train.families.photo_designs import DESIGNS
from train.layers import (
    ROWS,
    SIGMA_MAX,
    SIGMA_MIN,
    HyperRate,
    add_noise,
    gaussian_bits,
    gaussian_bits_more,
    reach,
    start_gain,
    straight_through_round,
)
from train.residuals import Trellis

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from train.calibration import Ranges

TRELLIS = 12  # the scale index, sigma = 0.37, from which this family quantises dependently (FORMAT 7.9)


@dataclasses.dataclass(frozen=True)
class Config(PhotoConfig):
    """The product's widths, and of which design the networks are: that of the product, or one to compare with it."""

    design: str = "shipped"

    def __post_init__(self) -> None:
        if self.design not in DESIGNS:
            msg = f"network: there is no design {self.design!r}, want one of {', '.join(DESIGNS)}"
            raise ValueError(msg)


class ScaleMap(nn.Module):
    """The linear map from z to log sigma of the residual, its bias a function of quality.

    Linear because the exported twin is integer arithmetic (FORMAT 7): z_hat and the weights become integers.
    """

    def __init__(self, c: Config):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16 * c.latent, c.hyper) * 0.02)
        self.bias = nn.Parameter(torch.zeros(c.points, c.latent))
        self.offset = nn.Parameter(torch.full((16 * c.latent,), 0.7))

    def forward(self, z_hat: Tensor, t: Tensor) -> Tensor:
        s = F.conv2d(z_hat, self.weight[:, :, None, None], self.offset)
        return F.pixel_shuffle(s, 4).float() + interpolate(self.bias, t)[:, :, None, None]


class Model(nn.Module):
    """All stages together: train.families.Model."""

    map_name = "scale_map"
    integer = True
    residual = Trellis(TRELLIS)

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        design = DESIGNS[config.design]
        parts = design.parts
        self.analysis = design.analysis(config, parts)
        self.hyper_analysis = design.hyper_analysis(config, parts)
        self.hyper_rate = HyperRate(config.points, config.hyper)
        self.scale_map = ScaleMap(config)
        self.prior = design.prior(config, parts)
        self.refine = Refine(config, parts)
        self.synthesis = design.synthesis(config, parts)
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
        y = self.analysis(x, t)
        z_hat, z_bits = self.hyper_rate.coded(self.hyper_analysis(y, t), t, hard)
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

    @property
    def map(self) -> nn.Module:
        return self.scale_map

    def start(self, x: Tensor, lowest: float, highest: float) -> None:
        start_from_block_transform(self, x, lowest, highest)

    def start_further(self, further: int, x: Tensor, lowest: float, highest: float) -> None:
        start_further_channels(self, further, x, lowest, highest)

    def reach(self) -> tuple[int, int]:
        prior = reach([self.prior.block])
        pixels = (
            reach(self.synthesis.body) + reach(self.synthesis.detail, 1 / 2) + reach([self.synthesis.render], 1 / 4)
        )
        decoder = prior + refinement_reach(self.refine.groups) + pixels
        y = reach(self.analysis.high, 1 / 2) + reach(self.analysis.low)
        z = reach([self.hyper_analysis.first]) + reach([self.hyper_analysis.second], 2)
        return math.ceil(decoder), math.ceil(max(y, z))

    @torch.no_grad()
    def share(self, x: Tensor, t: Tensor) -> float:
        linear, learned = self.analysis.paths(x, t)
        return float(learned.var((0, 2, 3)).mean() / (linear + learned).var((0, 2, 3)).mean())

    def observe_encoder(self, x: Tensor, t: Tensor, ranges: Ranges) -> None:
        photo_ranges.observe_encoder(self, x, t, ranges)

    def observe_decoder(self, y_hat: Tensor, z_hat: Tensor, residuals: Callable, t: Tensor, ranges: Ranges) -> None:
        photo_ranges.observe_decoder(self, y_hat, z_hat, residuals, t, ranges)

    def stored(
        self, units: dict[str, np.ndarray], held: exchange.Held | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        c = self.config
        if c.design != "shipped":
            msg = f"the design {c.design!r} is for comparisons: FORMAT 8 has no integers of it, so none can be exported"
            raise ValueError(msg)
        floats = {name: value.double().numpy() for name, value in self.state_dict().items()}
        decoder = exchange.integer_decoder(floats, units, (c.body_blocks, c.detail_blocks), held)
        return decoder, exchange.integer_encoder(floats, units, (c.encoder_blocks, c.encoder_low_blocks), held)

    def widths(self) -> dict[str, object]:
        widths = dataclasses.asdict(self.config)
        del widths["design"]
        return {"family": "photo", **widths}


def refinement_reach(groups: nn.ModuleList) -> int:
    """How far refinement sees, along rows or columns: each group sees those before it, and what they see.

    By parity: what lies an even number of columns away is of the same columns' group, so group 3, two positions wide,
    meets group 2 only one away.
    """

    def along(axis: int) -> int:
        far = {GROUPS[0]: 0}
        for number, group in enumerate(groups, start=1):
            around = range(-group.reach, group.reach + 1)
            steps = [(down, right) for down in around for right in around]
            met = [(step, tuple((own + by) % 2 for own, by in zip(GROUPS[number], step))) for step in steps]
            far[GROUPS[number]] = max(abs(step[axis]) + far[place] for step, place in met if place in far)
        return max(far.values())

    return max(along(0), along(1))


# ---- Where it starts --------------------------------------------------------------------------------------------
#
# The block transform: the linear paths as the Karhunen-Loeve transform of 16x16 pixel blocks, matched steps and scales.
# From random weights, channels of y whose spread is below their step round to zero everywhere, get no gradient through
# the decoder and stay dead (160 of 256 in the first long run). From here every channel carries what it can from step
# one.

BLOCK = 16
SAMPLES = 3 * BLOCK * BLOCK  # 768 samples of a block


def encoder_order(x: Tensor) -> Tensor:
    """Blocks of images (N, 3, H, W) as rows (N*H/16*W/16, 768), in the order in which Analysis.direct weighs them."""
    u = F.pixel_unshuffle(x, 8).unfold(2, 2, 2).unfold(3, 2, 2)  # (N, 192, H/16, W/16, 2, 2)
    return u.permute(0, 2, 3, 1, 4, 5).reshape(-1, SAMPLES)


def decoder_order() -> Tensor:
    """(768,) positions in encoder_order of what Synthesis.direct puts out, channel by channel."""
    places = torch.arange(SAMPLES, dtype=torch.float32).reshape(1, 3, BLOCK, BLOCK)
    inner = F.pixel_unshuffle(F.pixel_unshuffle(places, 4), 4).flatten()  # place of each output of the decoder
    outer = encoder_order(places).flatten()  # place of each input of the encoder
    return torch.argsort(outer)[inner.long()]


@torch.no_grad()
def start_from_block_transform(model: Model, x: Tensor, lowest: float, highest: float) -> None:
    """Set the linear paths, gains, steps and scales of a fresh model. x: crops (N, 3, H, W) in 0..1, a few hundred."""
    u = encoder_order((x - 0.5) * 4.0).double()
    mean = u.mean(0)
    covariance = (u - mean).T @ (u - mean) / len(u)
    variance, basis = torch.linalg.eigh(covariance)
    basis = basis.flip(1)[:, : model.config.latent]  # (768, M), leading directions first
    spread = variance.flip(0)[: model.config.latent].clamp_min(1e-8).sqrt()
    analysis, synthesis = model.analysis, model.synthesis
    analysis.direct.weight.copy_(basis.T.reshape_as(analysis.direct.weight))
    analysis.out.weight.mul_(0.1)
    analysis.out.bias.copy_(-(basis.T @ mean))
    order = decoder_order()
    synthesis.direct.weight.copy_(basis[order][:, :, None, None])
    synthesis.direct.bias.copy_(mean[order])
    synthesis.out.weight.mul_(0.1)
    gain = start_gain(model.config.points, lowest, highest)
    for table in (model.prior.gain, model.hyper_analysis.gain, model.scale_map.bias):
        table.copy_(gain.expand_as(table))
    model.scale_map.offset.copy_(spread.log().repeat_interleave(16))


@torch.no_grad()
def start_further_channels(model: Model, further: int, x: Tensor, lowest: float, highest: float) -> None:
    """Have the last channels of y carry what the others leave over. x: crops (N, 3, H, W) in 0..1, a hundred or more.

    Reduced-rank regression (Izenman 1975) from blocks of pixels to what is lost of them at the highest rate: the best
    linear encoder and decoder of so few channels, in the linear paths. The rest of the network does not know of them
    yet.
    """
    t = torch.ones(8)
    lost = torch.cat(
        [
            encoder_order((part - model(part, t[: len(part)], hard=True)["x_hat"].clamp(0, 1)) * 4.0)
            for part in x.split(8)
        ]
    ).double()
    u = encoder_order((x - 0.5) * 4.0).double()
    mean = u.mean(0)
    u = u - mean
    ridge = 1e-4 * len(u) * u.var() * torch.eye(SAMPLES, dtype=u.dtype)
    weights = torch.linalg.solve(u.T @ u + ridge, u.T @ lost)  # (768, 768), u to what is lost
    variance, basis = torch.linalg.eigh(weights.T @ (u.T @ u) @ weights / len(u))
    basis = basis.flip(1)[:, :further]  # (768, further)
    spread = variance.flip(0)[:further].clamp_min(1e-8).sqrt()
    encoder = weights @ basis  # (768, further)
    model.analysis.direct.weight[-further:] = encoder.T.reshape_as(model.analysis.direct.weight[-further:]).float()
    model.prior.mean.bias[-further:] = (mean @ encoder).float()
    order = decoder_order()
    model.synthesis.direct.weight[:, -further:] = basis[order][:, :, None, None].float()
    model.synthesis.direct.bias -= (basis @ (mean @ encoder))[order].float()
    gain = start_gain(model.config.points, lowest, highest)
    for table in (model.prior.gain, model.hyper_analysis.gain, model.scale_map.bias):
        table[:, -further:] = gain
    model.scale_map.offset[-CELL * further :] = spread.log().repeat_interleave(CELL).float()
