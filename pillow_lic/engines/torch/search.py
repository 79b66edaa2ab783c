"""Encoder effort: a search for better symbols of the image at hand, through the frozen decoder. No file changes its
meaning.

The one pass rounds y as if every element's error were on its own, and as if the analysis had found the best y. Here
each pass asks the
decoder: the gradient of the squared error at what it would reconstruct points to where y had better be, a damped Newton
step with the diagonal of the Hessian, and y is quantised anew, rate against distortion, with the price of a bit that
its curvature says. So elements make up for each other's errors. After Campos et al. 2019, "Content adaptive
optimization for neural image compression", which descends on y alone. z, and with it every probability, stays as the
encoder's one pass found it.

Imports numpy and torch; gets networks, quantisation and tensors from others.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...constants import LIC_LATENT_STRIDE
from ..base import BIT_WEIGHT, PASSES, white_of
from ..pieces import Piece, pieces
from . import latents as steps
from . import visual as visuals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..base import Latents
    from .networks import Network
    from .quantise import Quantiser

SIDE, MARGIN = 48, 4  # of a piece of the gradient, in latent positions; the pixels beyond change it by some millionths
STEP = 0.42  # what part of the Newton step the first pass takes; it falls linearly to nothing
DITHER, DITHERED = 0.8, 6  # steps by which y is shaken at first, where there are so many passes
SEED = 1  # the same picture gives the same file
WEIGHT = 0.74  # of a bit against the curvature that was found; quantise.BIT_WEIGHT is half of what theory says
SHRINK = 50.0  # squared steps of error that a channel's curvature by theory counts for, against what was found
SPREAD = 3.0  # by how much it may differ from theory
LOCAL = 10.0  # of a visual distance: squared steps that theory counts for at a position
FORKED = (
    "encoded with effort 0: this process was forked from one that had used torch's gradients beside a GPU, "
    "and torch refuses them here; "
    "say effort=0, or start processes by 'spawn' or 'forkserver'"
)


class Found(NamedTuple):
    """What a search found, and what there is to say about it."""

    r: Tensor  # (N, M, hy, wy) int16
    y: Tensor  # as that of the latents, where it had better be
    weight: Tensor | None  # (N, M, 1, 1) of a bit in quantising that; None: as Quantiser has it
    notes: tuple[str, ...] = ()


def quantise(
    decoder: Network, quantiser: Quantiser, latents: Latents, effort: int, bit: float, visual: float = 0.0
) -> Found:
    """As steps.quantise, which effort 0 is, and as much better as effort says.

    bit: see `error_of_bit`; unused by effort 0. visual: that squared error which a visual distance of 1 counts for, a
    pixel; 0: it does not count. An image whose cost, squared error and bits, did not fall keeps the
    symbols of effort 0: stripes of single pixels, to which the decoder answers far more strongly than to what curvature
    was found in.
    """
    passes = PASSES[effort]
    if not passes:
        return Found(steps.quantise(decoder, latents, quantiser), latents.y, None)
    y, index = latents.y.clone(), latents.index
    stages = [picture.thresholds for picture in latents.pictures]
    y_hat, step = also = torch.empty_like(y), torch.empty_like(y)
    r = start = steps.quantise(decoder, latents, quantiser, also=also)
    curvature: Tensor | None = None
    random = torch.Generator(y.device).manual_seed(SEED)
    for k in range(passes):
        try:
            gradient, error = _gradient(decoder, latents, y_hat, visual=visual)
        except RuntimeError as problem:
            if "fork" not in str(problem):
                raise
            return Found(start, latents.y, None, (FORKED,))
        step.mul_(quantiser.unit)
        gradient.mul_(step)  # by r in whole steps
        if curvature is None:
            before = error + bit * quantiser.bits(start, index, stages)
            curvature = _curvature(gradient, (y_hat - y).div_(step), bit)
        if visual:
            gradient.mul_(_slower(gradient, (y_hat - latents.y).div_(step), bit))
        best = gradient.div_(curvature).mul_(step).neg_().add_(y_hat)
        y.lerp_(best, STEP * (1.0 - k / passes))
        shaken = DITHER * (1.0 - (k + 1) / (0.8 * passes)) if passes >= DITHERED else 0.0
        those = replace(latents, y=_shaken(y, step, shaken, random))
        weight = WEIGHT * 2.0 * bit / curvature
        r = steps.quantise(decoder, those, quantiser, weight, also)
    _, error = _gradient(decoder, latents, y_hat, back=False, visual=visual)
    better = (error + bit * quantiser.bits(r, index, stages) < before)[:, None, None, None]
    weight = torch.where(better, weight, BIT_WEIGHT)
    return Found(torch.where(better, r, start), torch.where(better, y, latents.y), weight)


def _shaken(y: Tensor, step: Tensor, width: float, random: torch.Generator) -> Tensor:
    """y moved at random, by so much of a step at most in all: out of the first solution that is met into better ones.
    Images share the numbers.
    """
    if width <= 0.0:
        return y
    return torch.rand(y.shape[1:], generator=random, device=y.device).sub_(0.5).mul_(width).mul(step).add_(y)


def _slower(gradient: Tensor, error: Tensor, bit: float) -> Tensor:
    """What a step is multiplied by (N, 1, hy, wy), of a visual distance, which bends far more at some positions than at
    others.

    By how much more than theory says, the sizes of gradients and errors tell, over a position's channels together.
    """
    slopes = gradient.mul(math.log(2.0) / (12.0 * bit)).square_().sum(1, keepdim=True).add_(LOCAL)
    return error.square().sum(1, keepdim=True).add_(LOCAL).div_(slopes).sqrt_()


def _visual(decoder: Network, latents: Latents, y_hat: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """The visual distance times the pixels times the weight (N,), and its gradient by the samples (N, 3, 16 hy,
    16 wy): of whole pictures, whatever the pieces.
    """
    images = [picture.colour for picture in latents.pictures]
    s = LIC_LATENT_STRIDE
    x = y_hat.new_empty((len(images), 3, s * y_hat.shape[2], s * y_hat.shape[3]))
    for piece in pieces(y_hat.shape[2], y_hat.shape[3], MARGIN, min(latents.side or SIDE, SIDE)):
        part = decoder.stages.synthesis(y_hat[(..., *piece.outer)], latents.t)
        rows, columns = (slice(one.start * s, one.stop * s) for one in piece.inner)
        x[..., rows, columns] = part[(..., *piece.within(s))]
    errors, gradient = torch.zeros(len(images), device=x.device), torch.zeros_like(x)
    for k, image in enumerate(images):
        height, width = image.shape[:2]
        there = decoder.place.up(torch.from_numpy(np.ascontiguousarray(image)))
        pixels = there.permute(2, 0, 1).float().div_(white_of(image))
        far, by_x = visuals.apart(pixels, x[k, :, :height, :width])
        errors[k] = weight * far
        gradient[k, :, :height, :width] = weight * by_x
    return errors, gradient


def _gradient(
    decoder: Network, latents: Latents, y_hat: Tensor, back: bool = True, visual: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Of the squared error of samples in 0..1 by y_hat (N, M, hy, wy), and that error (N,); with a weight of the visual
    distance, of both together. back: whether the gradient is wanted; else it has no meaning.
    """
    images = [picture.colour for picture in latents.pictures]
    gradient, squared = torch.empty_like(y_hat), torch.zeros(len(y_hat), device=y_hat.device)
    by_x: Tensor | None = None
    if visual:
        far, by_x = _visual(decoder, latents, y_hat, visual)
        squared += far
    for piece in pieces(y_hat.shape[2], y_hat.shape[3], MARGIN, min(latents.side or SIDE, SIDE)):
        pixels = steps.padded_pixels(images, piece, decoder.place)
        with torch.inference_mode(False), torch.set_grad_enabled(back):
            # Copies: tensors of inference mode cannot be a part of what is differentiated.
            part = y_hat[(..., *piece.outer)].clone().requires_grad_(back)
            x = decoder.stages.synthesis(part, latents.t.clone())
            with torch.no_grad():  # decoders clip x, which is no reason not to lead it back
                error = x.clamp(0.0, 1.0).sub_(pixels).mul_(2.0)
                _blank_beyond(error, images, piece)
            wanted = error if by_x is None else error + _of(by_x, piece)
            found = torch.autograd.grad(x, part, wanted)[0] if back else part
        squared += error[(..., *piece.within(LIC_LATENT_STRIDE))].square().sum((1, 2, 3)) / 4.0
        gradient[(..., *piece.inner)] = found[(..., *piece.within())]
    return gradient.nan_to_num_(0.0, 0.0, 0.0), squared  # sixteen-bit layers may overflow


def _of(by_x: Tensor, piece: Piece) -> Tensor:
    """The part of a piece with its margin."""
    rows, columns = (slice(one.start * LIC_LATENT_STRIDE, one.stop * LIC_LATENT_STRIDE) for one in piece.outer)
    return by_x[..., rows, columns]


def _blank_beyond(error: Tensor, images: Sequence[steps.Pixels], piece: Piece) -> None:
    """0 beyond each picture's last row and column: nobody sees what is there."""
    for part, image in zip(error, images, strict=True):
        height, width = (
            image.shape[0] - piece.outer_top * LIC_LATENT_STRIDE,
            image.shape[1] - piece.outer_left * LIC_LATENT_STRIDE,
        )
        part[:, max(height, 0) :] = 0.0
        part[:, :, max(width, 0) :] = 0.0


def _curvature(gradient: Tensor, error: Tensor, bit: float) -> Tensor:
    """Second derivative (N, M, 1, 1) of the squared error by r: how the gradient by r follows the rounding error, in
    steps.

    Where there is little error to go by, what it is at high rate: an error D = c / 24 of a step falls by 2 ln 2 D with
    a bit more, which is the bit's worth.
    """
    theory = 12.0 * bit / math.log(2.0)
    found = (gradient * error).sum((2, 3), keepdim=True).add_(SHRINK * theory)
    return found.div_(error.square_().sum((2, 3), keepdim=True).add_(SHRINK)).clamp_(theory / SPREAD, theory * SPREAD)
