"""Encoder effort: a search for cheaper or truer symbols of the image at hand, through the frozen decoder. No file changes its meaning.

Stochastic Gumbel annealing (Yang, Bamler, Mandt 2020, "Improving inference for neural image compression", section 3.2): every residual is
a continuous value that is rounded up or down at random, the likelier the nearer, relaxed so that gradients pass; as the temperature
falls, the values settle on integers. z, and with it every probability, stays as the encoder's one pass found it.

Imports numpy and torch; gets networks, tables and tensors from others, and leaves rounding and prices to boundary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..constants import LIC_LATENT_STRIDE
from . import boundary, latents
from .device import Place

ITERATIONS = (0, 40, 60, 80, 100, 130, 170, 220, 300, 400)  # of effort 0 to 9
SIDE = 48  # of a piece in latent positions: 768 pixels, some 400 MB of activations
HOT, COLD = 0.5, 0.1  # temperatures at the start and at the end
RATE, STEADY = 0.05, 0.03  # Adam's rate of learning, in steps of the quantiser: at 60 iterations, and from 200 on
SEED = 1  # the same picture and options give the same file


class Problem(NamedTuple):
    """A piece of a picture: all that its cost depends on besides the symbols."""

    decoder: torch.nn.Module
    t: Tensor
    features: Tensor
    mean: Tensor
    step: Tensor
    even: Tensor
    pixels: Tensor  # (N, 3, 16h, 16w) in 0..1
    counted: Tensor  # (N, 1, 16h, 16w): bits that a squared error in each place is worth, 0 beyond the picture

    def distortion(self, r: Tensor) -> Tensor:
        """In bits, of residuals r (N, M, h, w), integers or between."""
        known = (self.mean + r * self.step) * self.even
        mean2, log_step2 = self.decoder.refine(self.features, known)
        odd = self.mean + mean2 + r * self.step * log_step2.exp()
        x = self.decoder.synthesis(torch.where(self.even, known, odd), self.t)
        return ((x - self.pixels).square() * self.counted).sum()

    def ratio(self, y: Tensor, r: Tensor) -> Tensor:
        """Where y lies between the integers around r: (y - mean) / step, kept within half a step of r."""
        known = (self.mean + r * self.step) * self.even
        mean2, log_step2 = self.decoder.refine(self.features, known)
        odd = (y - self.mean - mean2) / (self.step * log_step2.exp())
        u = torch.where(self.even, (y - self.mean) / self.step, odd)
        return r + (u - r).clamp(-0.49, 0.49)


def improve(
    decoder,
    images: Sequence[np.ndarray],
    y: Tensor,
    v: Tensor,
    index: Tensor,
    r: Tensor,
    t: Tensor,
    halo: int,
    worth: float,
    price: boundary.Price,
    effort: int,
    place: Place,
    side: int | None = None,
) -> Tensor:
    """Better residuals (N, M, hy, wy) int16 than r for images of one latent grid; arguments as of latents.residuals.

    worth: bits that a squared error of one sample, in 0..1, is worth. effort: 1 to 9. A piece whose cost did not fall stays as it was.
    """
    r = r.clone()
    random = torch.Generator(r.device).manual_seed(SEED)
    for piece in latents.pieces(r.shape[2], r.shape[3], halo, min(side or SIDE, SIDE)):
        outer, inner = (..., *piece.outer), (..., *piece.inner)
        problem = _problem(decoder, images, piece, v, t, worth, place)
        with torch.inference_mode(False), torch.enable_grad():
            start, target, scale = r[outer].clone().float(), y[outer].clone(), index[outer].clone().to(torch.int32)
            free = torch.zeros_like(start, dtype=torch.bool)
            free[(..., *piece.within())] = True
            free &= price.coded(scale)
            found = _anneal(problem, start, target, scale, free, price, ITERATIONS[effort], random)
        r[inner] = found[(..., *piece.within())].to(torch.int16)
    return r


def _problem(decoder, images, piece: latents.Piece, v: Tensor, t: Tensor, worth: float, place: Place) -> Problem:
    features, mean, step = latents.prior(decoder, v, piece, t)
    pixels = latents.padded_pixels(images, piece, place)
    even = latents.even_positions(*mean.shape[2:], mean.device)
    counted = torch.zeros_like(pixels[:, :1])
    s = LIC_LATENT_STRIDE
    for part, image in zip(counted, images):
        height, width = image.shape[0] - piece.outer_top * s, image.shape[1] - piece.outer_left * s
        part[:, : max(height, 0), : max(width, 0)] = worth
    with torch.inference_mode(False):  # copies: tensors of inference mode cannot be a part of what is differentiated
        own = (part.clone() for part in (features, mean, step, even, pixels, counted))
        return Problem(decoder, t.clone(), *own)


def _anneal(problem, start, target, scale, free, price, iterations: int, random: torch.Generator) -> Tensor:
    """The best of `start` (N, M, h, w) and what annealing makes of it, where `free`; scale: the indices, for the price."""
    with torch.no_grad():
        u = torch.where(free, problem.ratio(target, start), start)
    u.requires_grad_()
    top = RATE if iterations < 200 else STEADY
    optimizer = torch.optim.Adam([u], lr=top, betas=(0.9, 0.99))
    for k in range(iterations):
        done = k / max(1, iterations - 1)
        optimizer.param_groups[0]["lr"] = top * min(1.0, 2.0 * (1.0 - done) + 0.02)
        tau = HOT * (COLD / HOT) ** done
        low = u.detach().floor()
        share = _up(u - low, tau, random)
        relaxed = torch.where(free, low + share, start)
        bits = (1.0 - share) * price.bits(low, scale) + share * price.bits(low + 1.0, scale)
        optimizer.zero_grad()
        (problem.distortion(relaxed) + (bits * free).sum()).backward()
        optimizer.step()
    with torch.no_grad():
        end = torch.where(free, u.round(), start)
        before, after = (problem.distortion(r) + (price.bits(r, scale) * free).sum() for r in (start, end))
        return end if after < before else start


def _up(fraction: Tensor, tau: float, random: torch.Generator) -> Tensor:
    """Relaxed share of rounding up a value that is `fraction` above an integer: 0 to 1."""
    inside = fraction.clamp(1e-4, 1.0 - 1e-4)
    noise = [-torch.log(-torch.log(torch.rand(inside.shape, generator=random, device=inside.device).clamp(1e-6, 1 - 1e-6))) for _ in "ud"]
    up, down = -torch.atanh(1.0 - inside) / tau + noise[0], -torch.atanh(inside) / tau + noise[1]
    return torch.sigmoid((up - down) / tau)


def worth(lowest: float, highest: float, t: float) -> float:
    """Bits that a squared error of one sample in 0..1 is worth at position t: lambda * 255^2 / 3, lambda geometric between the ends."""
    return lowest * (highest / lowest) ** t * 255.0**2 / 3.0
