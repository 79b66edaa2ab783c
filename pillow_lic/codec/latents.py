"""Runs the networks over images of any size, piece by piece with a margin, so that memory stays bounded (FORMAT 8).

Imports numpy and torch; gets its networks from a loaded model and leaves bytes to others. Tensors are on the device of the networks,
and the first axis, N, counts images with the same latent grid (hy, wy). `side` is that of a piece, None for PIECE.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..constants import GROUPS, LIC_HYPER_STRIDE, LIC_LATENT_STRIDE, LIC_QUALITY_MAX, LIC_QUALITY_MIN, LIC_Z_STEP_BITS
from . import boundary
from .device import Place

PIECE = 96  # side of a piece in latent positions, without its margin: 1536 pixels, some 300 MB of activations with a margin of 8


class Piece(NamedTuple):
    """A rectangle of the latent grid: `inner` is what it yields, `outer` what the network must see for that."""

    top: int
    left: int
    bottom: int
    right: int
    outer_top: int
    outer_left: int
    outer_bottom: int
    outer_right: int

    @property
    def outer(self) -> tuple[slice, slice]:
        """Rows and columns that the network must see."""
        return slice(self.outer_top, self.outer_bottom), slice(self.outer_left, self.outer_right)

    @property
    def inner(self) -> tuple[slice, slice]:
        """Rows and columns that it yields."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def within(self, scale: int = 1) -> tuple[slice, slice]:
        """The inner rectangle relative to the outer one, in units of 1/scale latent positions."""
        rows = slice((self.top - self.outer_top) * scale, (self.bottom - self.outer_top) * scale)
        return rows, slice((self.left - self.outer_left) * scale, (self.right - self.outer_left) * scale)

    @property
    def hyper(self) -> tuple[slice, slice]:
        """The hyper positions over the outer rectangle, whose corner is aligned to them."""
        s = LIC_HYPER_STRIDE
        rows = slice(self.outer_top // s, -(-self.outer_bottom // s))
        return rows, slice(self.outer_left // s, -(-self.outer_right // s))


def pieces(hy: int, wy: int, margin: int, side: int | None = None) -> Iterator[Piece]:
    """Cover a latent grid of (hy, wy) by pieces; corners and margins are aligned to the hyper grid."""
    s = LIC_HYPER_STRIDE
    side = side or PIECE
    margin = -(-margin // s) * s
    for top in range(0, hy, side):
        for left in range(0, wy, side):
            bottom, right = min(top + side, hy), min(left + side, wy)
            yield Piece(
                top, left, bottom, right,
                max(top - margin, 0), max(left - margin, 0), min(bottom + margin, hy), min(right + margin, wy),
            )  # fmt: skip


def analyse(
    encoder, images: Sequence[np.ndarray], hy: int, wy: int, t: Tensor, halo: int, place: Place, side: int | None = None
) -> Tensor:
    """g_a over uint8 pixels, each (height, width, 3): y (N, M, hy, wy) float32. t (N,): FORMAT 8. halo: the encoder's, in latent positions."""
    y = None
    for piece in pieces(hy, wy, halo, side):
        part = encoder.analysis(padded_pixels(images, piece, place), t)[(..., *piece.within())]
        if y is None:
            y = part.new_empty(part.shape[0], part.shape[1], hy, wy)
        y[(..., *piece.inner)] = part
    return y


def padded_pixels(images: Sequence[np.ndarray], piece: Piece, place: Place) -> Tensor:
    """The piece's pixels as (N, 3, 16h, 16w) in 0..1, each image's last row and column repeated beyond its edge."""
    s = LIC_LATENT_STRIDE
    rows, columns = (piece.outer_bottom - piece.outer_top) * s, (piece.outer_right - piece.outer_left) * s
    buffer = place.host(len(images), rows, columns, 3, dtype=torch.uint8)
    for target, pixels in zip(buffer.numpy(), images):
        part = pixels[piece.outer_top * s : piece.outer_bottom * s, piece.outer_left * s : piece.outer_right * s]
        height, width = part.shape[:2]
        target[:height, :width] = part
        target[:height, width:] = target[:height, width - 1 : width]
        target[height:] = target[height - 1]
    return place.up(buffer).permute(0, 3, 1, 2).float().div_(255.0)  # channels last in memory


def hyper_analyse(encoder, y: Tensor, t: Tensor, d: Tensor, halo: int, side: int | None = None) -> Tensor:
    """h_a over y (N, M, hy, wy): integers z (N, C, hz, wz) int16. d (C,): FORMAT 7.5. halo: the encoder's."""
    hy, wy = y.shape[2:]
    s = LIC_HYPER_STRIDE
    z = None
    for piece in pieces(hy, wy, halo, 4 * (side or PIECE)):
        symbols = boundary.rounded_hyper(encoder.hyper_analysis(y[(..., *piece.outer)], t), d)
        if z is None:
            z = symbols.new_empty(symbols.shape[0], symbols.shape[1], -(-hy // s), -(-wy // s))
        height, width = -(-(piece.bottom - piece.top) // s), -(-(piece.right - piece.left) // s)
        row, column = (piece.top - piece.outer_top) // s, (piece.left - piece.outer_left) // s
        target = z[..., piece.top // s : piece.top // s + height, piece.left // s : piece.left // s + width]
        target.copy_(symbols[..., row : row + height, column : column + width])
    return z


def positions(*q: int) -> Tensor:
    """t of FORMAT 8 for each image, shape (N,)."""
    return torch.tensor(
        [(one - LIC_QUALITY_MIN) / (LIC_QUALITY_MAX - LIC_QUALITY_MIN) for one in q], dtype=torch.float32, device="cpu"
    )


def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """torch.stack, without a copy where there is one."""
    return tensors[0][None] if len(tensors) == 1 else torch.stack(tensors)


def prior(decoder, v: Tensor, piece: Piece, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Features, mean and step over the outer rectangle of a piece (FORMAT 8, steps 1 and 2)."""
    z_hat = v[(..., *piece.hyper)].float() / (1 << LIC_Z_STEP_BITS)
    h, w = piece.outer_bottom - piece.outer_top, piece.outer_right - piece.outer_left
    return tuple(part[:, :, :h, :w] for part in decoder.prior(z_hat, t))


def reconstruct(
    refine: Callable, features: Tensor, mean: Tensor, step: Tensor, symbols: Callable[[tuple, Tensor, Tensor], Tensor]
) -> Tensor:
    """y_hat (N, M, h, w), group after group, the mean and step of each refined from those before (FORMAT 8, steps 3 and 4).

    symbols(at, mean, step) yields the r of a group: `at` are its positions, as an index of (N, M, h, w), mean and step its own.
    """
    y_hat = torch.zeros_like(mean)
    for group, (row, column) in enumerate(GROUPS):
        at = (..., slice(row, None, 2), slice(column, None, 2))
        own_mean, own_step = mean[at], step[at]
        if not own_mean.numel():
            continue  # a grid of one row or column
        if group:
            change, log_step = refine(features, y_hat, group)
            own_mean, own_step = own_mean + change, own_step * log_step.exp()
        y_hat[at] = own_mean + symbols(at, own_mean, own_step) * own_step
    return y_hat


def residuals(
    decoder,
    y: Tensor,
    v: Tensor,
    index: Tensor,
    t: Tensor,
    halo: int,
    quantise: Callable[[Tensor, Tensor], Tensor],
    side: int | None = None,
    also: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """r (N, M, hy, wy) int16 of y, given dequantised z v (N, C, hz, wz) and scale indices (N, M, hy, wy) uint8, or (N, 3 K M, hy, wy).

    also: two tensors like y, to be filled with what decoders reconstruct, and with the steps.
    """
    r = torch.empty_like(y, dtype=torch.int16)
    for piece in pieces(y.shape[2], y.shape[3], halo, side):
        outer = (..., *piece.outer)
        features, mean, step = prior(decoder, v, piece, t)
        scale = index[outer].to(torch.int32)
        target = y[outer]
        symbols, steps = torch.empty_like(target, dtype=torch.int16), torch.empty_like(target) if also else None

        def rounded(at: tuple, mean: Tensor, step: Tensor) -> Tensor:
            symbols[at] = quantise((target[at] - mean) / step, scale[at])
            if steps is not None:
                steps[at] = step
            return symbols[at]

        y_hat = reconstruct(decoder.refine, features, mean, step, rounded)
        for whole, part in zip((r, *(also or ())), (symbols, y_hat, steps)):
            whole[(..., *piece.inner)] = part[(..., *piece.within())]
    return r


def synthesise(
    decoder, r: Tensor, v: Tensor, t: Tensor, halo: int, images: Sequence[Tensor], side: int | None = None
) -> None:
    """Fill images, uint8 (height, width, 3) or (height, width) each, from r (N, M, hy, wy) and v (N, C, hz, wz), both int16 (FORMAT 8)."""
    s = LIC_LATENT_STRIDE
    for piece in pieces(r.shape[2], r.shape[3], halo, side):
        features, mean, step = prior(decoder, v, piece, t)
        symbols = r[(..., *piece.outer)].float()
        y_hat = reconstruct(decoder.refine, features, mean, step, lambda at, *_: symbols[at])
        x = decoder.synthesis(y_hat, t)[(..., *piece.within(s))]
        for pixels, image in zip(x, images):  # (3, 16h, 16w) each
            target = image[piece.top * s : piece.bottom * s, piece.left * s : piece.right * s]
            target.copy_(boundary.samples(pixels[:, : target.shape[0], : target.shape[1]], grey=image.dim() == 2))
