"""Encoder effort: a search for cheaper or truer symbols of the image at hand, through the frozen decoder. No file changes its meaning.

Stochastic Gumbel annealing (Yang, Bamler, Mandt 2020, "Improving inference for neural image compression", section 3.2): every residual is
a continuous value that is rounded up or down at random, the likelier the nearer, relaxed so that gradients pass; as the temperature
falls, the values settle on integers. z, and with it every probability, stays as the encoder's one pass found it.

Imports numpy and torch; gets networks, tables and tensors from others, and leaves rounding and prices to boundary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..constants import LIC_LATENT_STRIDE
from . import boundary, latents
from .device import Place

ITERATIONS = (0, 40, 60, 80, 100, 130, 170, 220, 300, 400)  # of effort 0 to 9
SIDE = 48  # of a piece in latent positions without its margin: 768 pixels, some 800 MB of activations with a margin of 8
HOT, COLD = 0.7, 0.2  # temperatures at the start and at the end
RATE, STEADY = 0.05, 0.03  # Adam's rate of learning, in steps of the quantiser: below 200 iterations, and from there on
SEED = 1  # the same picture and options give the same file on the same machine


class Problem(NamedTuple):
    """A piece of a picture: all that its cost depends on besides the symbols."""

    decoder: torch.nn.Module
    t: Tensor
    features: Tensor
    mean: Tensor
    step: Tensor
    pixels: Tensor  # (N, 3, 16h, 16w) in 0..1
    counted: Tensor  # (N, 1, 16h, 16w): 1, or 0 beyond the picture
    bit: float  # the squared error, of samples in 0..1, that a bit is worth
    price: boundary.Price
    index: Tensor  # for the price
    free: Tensor  # (N, M, h, w) bool: which residuals may change; the others are the piece's margin and what is not coded

    def reconstructed(self, symbols: Callable[[tuple, Tensor, Tensor], Tensor]) -> Tensor:
        """y_hat (N, M, h, w); symbols: as of latents.reconstruct."""
        return latents.reconstruct(self.decoder.refine, self.features, self.mean, self.step, symbols)

    def distortion(self, r: Tensor, clipped: bool = False) -> Tensor:
        """Squared error (N,) of residuals r (N, M, h, w), integers or between. clipped: to 0..1, as decoders do."""
        x = self.decoder.synthesis(self.reconstructed(lambda at, *_: r[at]), self.t)
        x = x.clamp(0.0, 1.0) if clipped else x  # where it is clipped no gradient would lead back
        return ((x - self.pixels).square() * self.counted).sum((1, 2, 3))

    def cost(self, r: Tensor) -> Tensor:
        """Squared error (N,) with the bits of what is free, of symbols."""
        bits = self.price.bits(r, self.index) * self.free
        return self.distortion(r, clipped=True) + self.bit * bits.sum((1, 2, 3))

    def ratio(self, y: Tensor, r: Tensor) -> Tensor:
        """Where y lies between the integers around r: (y - mean) / step, kept within half a step of r."""
        ratio = torch.empty_like(r)

        def given(at: tuple, mean: Tensor, step: Tensor) -> Tensor:
            ratio[at] = (y[at] - mean) / step
            return r[at]

        self.reconstructed(given)
        return r + (ratio - r).clamp(-0.49, 0.49)


def improve(
    decoder,
    images: Sequence[np.ndarray],
    y: Tensor,
    v: Tensor,
    index: Tensor,
    r: Tensor,
    t: Tensor,
    halo: int,
    bit: float,
    price: boundary.Price,
    effort: int,
    place: Place,
    side: int | None = None,
) -> Tensor:
    """Better residuals (N, M, hy, wy) int16 than r for images of one latent grid; arguments as of latents.residuals.

    bit: see `error_of_bit`. effort: 1 to 9. A piece whose cost did not fall stays as it was. Images of a batch share their random numbers.
    """
    r = r.clone()
    random = torch.Generator(r.device).manual_seed(SEED)
    for piece in latents.pieces(r.shape[2], r.shape[3], halo, min(side or SIDE, SIDE)):
        outer, inner = (..., *piece.outer), (..., *piece.inner)
        scale = index[outer].to(torch.int32)
        free = torch.zeros_like(y[outer], dtype=torch.bool)
        free[(..., *piece.within())] = True
        free &= price.coded(scale)
        with torch.inference_mode(False), torch.enable_grad():
            # Copies: tensors of inference mode cannot be a part of what is differentiated.
            tensors = (t, *_fixed(decoder, images, piece, v, t, place))
            problem = Problem(decoder, *(part.clone() for part in tensors), bit, price, scale.clone(), free.clone())
            found = _anneal(problem, r[outer].clone().float(), y[outer].clone(), ITERATIONS[effort], random)
        r[inner] = found[(..., *piece.within())].to(torch.int16)
    return r


@torch.no_grad()
def _fixed(decoder, images, piece: latents.Piece, v: Tensor, t: Tensor, place: Place) -> tuple[Tensor, ...]:
    """Features, mean, step, pixels and counted of a Problem."""
    features, mean, step = latents.prior(decoder, v, piece, t)
    pixels = latents.padded_pixels(images, piece, place)
    counted = torch.zeros_like(pixels[:, :1])
    s = LIC_LATENT_STRIDE
    for part, image in zip(counted, images):
        height, width = image.shape[0] - piece.outer_top * s, image.shape[1] - piece.outer_left * s
        part[:, : max(height, 0), : max(width, 0)] = 1.0
    return features, mean, step, pixels, counted


def _anneal(problem: Problem, start: Tensor, target: Tensor, iterations: int, random: torch.Generator) -> Tensor:
    """The better of the symbols `start` (N, M, h, w) and of what annealing makes of them, for each image; target: y."""
    free, index, bits_of = problem.free, problem.index, problem.price.bits
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
        bits = (1.0 - share) * bits_of(low, index) + share * bits_of(low + 1.0, index)
        optimizer.zero_grad()
        # In squared error, not in bits: gradients on their way through 16-bit layers must not overflow.
        (problem.distortion(relaxed).sum() + problem.bit * (bits * free).sum()).backward()
        optimizer.step()
    with torch.no_grad():
        end = torch.where(free, boundary.settled(u), start)
        better = problem.cost(end) < problem.cost(start)
        return torch.where(better[:, None, None, None], end, start)


def _up(fraction: Tensor, tau: float, random: torch.Generator) -> Tensor:
    """Relaxed share (N, M, h, w) of rounding up values that are `fraction` above an integer: 0 to 1 (section 3.2, Gumbel softmax of two)."""
    inside = fraction.clamp(1e-4, 1.0 - 1e-4)
    uniform = torch.rand((2, *inside.shape[1:]), generator=random, device=inside.device).clamp_(1e-6, 1.0 - 1e-6)
    up, down = -torch.log(-torch.log(uniform))  # the same for all images
    return torch.sigmoid(((torch.atanh(inside) - torch.atanh(1.0 - inside)) / tau + up - down) / tau)


def error_of_bit(weight: float) -> float:
    """The squared error of samples in 0..1 that a bit is worth: 3 / (lambda 255^2), weight being lambda.

    lambda 255^2 MSE + bits per pixel, times the pixels, is lambda 255^2 / 3 of the squared error of three samples a pixel, and the bits.
    """
    return 3.0 / (weight * 255.0**2)
