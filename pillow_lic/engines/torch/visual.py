"""A differentiable distance after SSIMULACRA2 (Sneyers 2022, libjxl/ssimulacra2): what the visual models are trained
for,
and what the search of encoders lowers for them. Its twin without torch is csrc/nn/visual.cpp.

Both pictures go from sRGB through linear light to an opsin colour space (XYB, channels made positive). On six scales,
each half of the one before in linear light, three maps say how they differ: structure (SSIM without its luminance
constant), edges that the distorted picture has and the original has not (ringing), and edges that it lost (blur). The
mean and the 4-norm of each map are weighed by 108 numbers that the authors fitted to people's judgements; they come
from the core, so that they have one home.

Imports torch and the core.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from ... import _core

SCALES = 6
LEAST_SIDE = 8  # of a scale that still counts
BLOCK = 768  # pixels: a larger side is cut into parts about alike, each a picture of its own
SIGMA, RADIUS = 1.5, 5  # of the blur
C2 = 0.0009  # of SSIM
OUTSIDE = 0.02  # how far beyond 0..1 a sample still counts, so that its gradient leads it back
TINY = 1e-20  # under roots, whose gradient is infinite at 0

# sRGB in linear light to the responses of three kinds of cones, and what is added before the cube root (libjxl,
# opsin_params.h)
OPSIN = ((0.30, 0.622, 0.078), (0.23, 0.692, 0.078), (0.24342268924547819, 0.20476744424496821, 0.5518098665095536))
BIAS = 0.0037930732552754493
# The sum of weighted maps to the score: score = 100 - 10 d^POWER, d a cubic of the sum
SCALE, CUBIC, POWER = (
    0.9562382616834844,
    (2.326765642916932, -0.020884521182843837, 6.248496625763138e-05),
    0.6276336467831387,
)


@cache
def weights() -> Tensor:
    """The published weights (3 channels, SCALES, 2 norms, 3 maps: structure, ringing, blur)."""
    return torch.tensor(_core.visual_weights(), dtype=torch.float32).reshape(3, SCALES, 2, 3)


def to_linear(x: Tensor) -> Tensor:
    """sRGB in about 0..1 to linear light."""
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)


def to_xyb(linear: Tensor) -> Tensor:
    """Linear light (N, 3, H, W) to the metric's positive XYB."""
    matrix = torch.tensor(OPSIN, dtype=linear.dtype, device=linear.device)
    mixed = torch.einsum("ij,njhw->nihw", matrix, linear).add(BIAS).clamp_min(1e-6)
    long, medium, short = (mixed.pow(1.0 / 3.0) - BIAS ** (1.0 / 3.0)).unbind(1)
    x, y = 0.5 * (long - medium), 0.5 * (long + medium)
    return torch.stack([x * 14.0 + 0.42, y + 0.01, short - y + 0.55], 1)


@cache
def _kernel(device: torch.device) -> Tensor:
    offset = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float32, device=device)
    kernel = (-0.5 * (offset / SIGMA) ** 2).exp()
    return kernel / kernel.sum()


@cache
def _blur_matrix(side: int, device: torch.device) -> Tensor:
    """(side, side): the blur of a row, its ends mirrored. Crops are small, and a product of matrices is faster than a
    convolution.
    """
    matrix = torch.zeros(side, side)
    for place in range(side):
        for k, share in enumerate(_kernel(torch.device("cpu")).tolist()):
            at = place + k - RADIUS
            at = -1 - at if at < 0 else 2 * side - 1 - at if at >= side else at
            matrix[place, min(max(at, 0), side - 1)] += share
    return matrix.to(device)


def blur(x: Tensor) -> Tensor:
    """Gaussian blur of x (..., H, W)."""
    rows, columns = _blur_matrix(x.shape[-2], x.device), _blur_matrix(x.shape[-1], x.device)
    return rows @ (x @ columns.T)


def _norms(x: Tensor) -> Tensor:
    """Mean and 4-norm (N, 3, 2) of maps (N, 3, H, W)."""
    fourth = x.square().square().mean((2, 3))
    return torch.stack([x.mean((2, 3)), (fourth + TINY).pow(0.25) - TINY**0.25], 2)


def _maps(a: Tensor, b: Tensor) -> Tensor:
    """(N, 3, 2, 3): the norms of structure, ringing and blur between an original a and what became of it, b, both
    XYB.
    """
    with torch.no_grad():
        mean_a = blur(a)
        spread_a = blur(a * a) - mean_a.square()
        edge_a = 1.0 + (a - mean_a).abs()
    mean_b = blur(b)
    spread_b = blur(b * b) - mean_b.square()
    shared = blur(a * b) - mean_a * mean_b
    structure = 1.0 - (1.0 - (mean_a - mean_b).square()) * (2.0 * shared + C2) / (spread_a + spread_b + C2)
    edge = (1.0 + (b - mean_b).abs()) / edge_a - 1.0
    return torch.stack(
        [_norms(structure.clamp_min(0.0)), _norms(edge.clamp_min(0.0)), _norms((-edge).clamp_min(0.0))], 3
    )


def distance(x: Tensor, x_hat: Tensor) -> Tensor:
    """(N,) of images (N, 3, H, W) in 0..1, x the originals: 0 for equal ones; `score` makes it SSIMULACRA2. Float32
    whatever surrounds it.
    """
    with torch.autocast(x.device.type, enabled=False):
        a, b = to_linear(x.float()), to_linear(_within(x_hat.float()))
        total = torch.zeros(len(x), device=x.device)
        share = weights().to(x.device)
        for scale in range(SCALES):
            if min(a.shape[-2:]) < LEAST_SIDE:
                break
            with torch.no_grad():
                of_a = to_xyb(a)
            total = total + (_maps(of_a, to_xyb(b)) * share[:, scale]).sum((1, 2, 3))
            a, b = _halved(a), _halved(b)
        total = total * SCALE
        first, second, third = CUBIC
        return total * (first + total * (second + total * third))


def apart(pixels: Tensor, x_hat: Tensor) -> tuple[float, Tensor]:
    """The distance times the pixels of one picture (3, H, W), block by block, and its gradient by x_hat: 0
    of what is smaller than the smallest scale.
    """
    total, gradient = 0.0, torch.zeros_like(x_hat)
    for rows in _parts(pixels.shape[1]):
        for columns in _parts(pixels.shape[2]):
            block = (slice(None), rows, columns)
            if min(rows.stop - rows.start, columns.stop - columns.start) < LEAST_SIDE:
                continue
            with torch.inference_mode(False), torch.enable_grad():
                part = x_hat[block].clone().float().requires_grad_()
                far = distance(pixels[block].clone()[None], part[None]).sum() * (part.shape[1] * part.shape[2])
                found = torch.autograd.grad(far, part)[0]
            gradient[block] = found
            total += float(far.detach())
    return total, gradient


def _parts(size: int) -> list[slice]:
    count = -(-size // BLOCK)
    return [slice(size * k // count, size * (k + 1) // count) for k in range(count)]


def _halved(x: Tensor) -> Tensor:
    """Means of 2x2; an odd last row or column of what there is."""
    height, width = x.shape[-2:]
    if height % 2 or width % 2:
        x = F.pad(x, [0, width % 2, 0, height % 2], mode="replicate")
    return F.avg_pool2d(x, 2)


def _within(x: Tensor) -> Tensor:
    """x clipped to a little beyond 0..1."""
    return x.clamp(-OUTSIDE, 1.0 + OUTSIDE)


def score(distance: Tensor) -> Tensor:
    """SSIMULACRA2's score of a distance: 100 for equal pictures, 90 invisible, 70 high, 50 medium quality; may be
    negative.
    """
    return 100.0 - 10.0 * distance.clamp_min(0.0) ** POWER
