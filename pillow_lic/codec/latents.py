"""Runs the networks over images of any size, piece by piece with a margin, so that memory stays bounded (FORMAT 8).

Imports numpy and torch; gets its networks from a loaded model and leaves bytes to others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..constants import LIC_HYPER_STRIDE, LIC_LATENT_STRIDE, LIC_Z_STEP_BITS
from . import boundary

PIECE = 96  # side of a piece in latent positions, without its margin: 1536 pixels, some 300 MB of activations


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
        return slice(self.outer_top, self.outer_bottom), slice(self.outer_left, self.outer_right)

    @property
    def inner(self) -> tuple[slice, slice]:
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


def analyse(encoder, pixels: np.ndarray, hy: int, wy: int, halo: int) -> Tensor:
    """g_a over uint8 pixels (height, width, 3): y (M, hy, wy) float32. halo: the encoder's, in latent positions."""
    y = None
    for piece in pieces(hy, wy, halo):
        x = _padded_pixels(pixels, piece)  # (1, 3, rows, columns)
        part = encoder.analysis(x)[0][(slice(None), *piece.within())]
        if y is None:
            y = torch.empty(part.shape[0], hy, wy)
        y[(slice(None), *piece.inner)] = part
    return y


def _padded_pixels(pixels: np.ndarray, piece: Piece) -> Tensor:
    """The piece's pixels as (1, 3, 16h, 16w) in 0..1, the image's last row and column repeated beyond its edge."""
    s = LIC_LATENT_STRIDE
    rows = np.minimum(np.arange(piece.outer_top * s, piece.outer_bottom * s), pixels.shape[0] - 1)
    columns = np.minimum(np.arange(piece.outer_left * s, piece.outer_right * s), pixels.shape[1] - 1)
    part = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    pad = ((0, len(rows) - part.shape[0]), (0, len(columns) - part.shape[1]), (0, 0))
    if pad[0][1] or pad[1][1]:
        part = np.pad(part, pad, mode="edge")
    x = torch.from_numpy(part.astype(np.float32)).permute(2, 0, 1)[None]  # channels last in memory
    return x.div_(255.0)


def hyper_analyse(encoder, y: Tensor, t: Tensor, d: np.ndarray, halo: int) -> np.ndarray:
    """h_a over y (M, hy, wy): integers z (C, hz, wz) int16. halo: the encoder's."""
    _, hy, wy = y.shape
    s = LIC_HYPER_STRIDE
    z = None
    for piece in pieces(hy, wy, halo, side=4 * PIECE):
        part = encoder.hyper_analysis(y[(slice(None), *piece.outer)][None], t)[0]
        symbols = boundary.hyper_symbols(part, d)
        if z is None:
            z = np.empty((symbols.shape[0], -(-hy // s), -(-wy // s)), np.int16)
        height, width = -(-(piece.bottom - piece.top) // s), -(-(piece.right - piece.left) // s)
        row, column = (piece.top - piece.outer_top) // s, (piece.left - piece.outer_left) // s
        z[:, piece.top // s : piece.top // s + height, piece.left // s : piece.left // s + width] = symbols[
            :, row : row + height, column : column + width
        ]
    return z


def even_positions(h: int, w: int) -> Tensor:
    """(1, h, w) mask of the positions whose row + column is even (FORMAT 8, step 3)."""
    return ((torch.arange(h)[:, None] + torch.arange(w)[None, :]) % 2 == 0)[None]


def _prior(decoder, v: np.ndarray, piece: Piece, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Features, mean and step over the outer rectangle of a piece (FORMAT 8, steps 1 and 2)."""
    z_hat = torch.from_numpy(v[(slice(None), *piece.hyper)].astype(np.float32)) / (1 << LIC_Z_STEP_BITS)
    h, w = piece.outer_bottom - piece.outer_top, piece.outer_right - piece.outer_left
    return tuple(part[:, :, :h, :w] for part in decoder.prior(z_hat[None], t))


def residuals(
    decoder, y: Tensor, v: np.ndarray, index: np.ndarray, t: Tensor, halo: int, rounding: boundary.Rounding
) -> np.ndarray:
    """r (M, hy, wy) int16 of y, given dequantised z v (C, hz, wz) and scale indices (M, hy, wy) uint8, or (3 K M, hy, wy)."""
    r = np.empty(y.shape, np.int16)
    for piece in pieces(y.shape[1], y.shape[2], halo):
        outer = (slice(None), *piece.outer)
        features, mean, step = _prior(decoder, v, piece, t)
        scale = torch.from_numpy(index[outer].astype(np.int32))
        target = y[outer]
        even = even_positions(*target.shape[1:])
        symbols = rounding((target - mean[0]) / step[0], scale)
        known = (mean[0] + symbols * step[0]) * even
        mean2, log_step2 = decoder.refine(features, known[None])
        odd = rounding((target - mean[0] - mean2[0]) / (step[0] * log_step2[0].exp()), scale)
        symbols = torch.where(even, symbols, odd)
        r[(slice(None), *piece.inner)] = symbols[(slice(None), *piece.within())].numpy()
    return r


def synthesise(decoder, r: np.ndarray, v: np.ndarray, t: Tensor, halo: int, out: np.ndarray) -> None:
    """Fill out, uint8 (height, width, 3) or (height, width), from r (M, hy, wy) and v (C, hz, wz) (FORMAT 8)."""
    s = LIC_LATENT_STRIDE
    for piece in pieces(r.shape[1], r.shape[2], halo):
        features, mean, step = _prior(decoder, v, piece, t)
        symbols = torch.from_numpy(r[(slice(None), *piece.outer)].astype(np.float32))
        even = even_positions(*symbols.shape[1:])
        known = (mean[0] + symbols * step[0]) * even
        mean2, log_step2 = decoder.refine(features, known[None])
        odd = mean[0] + mean2[0] + symbols * step[0] * log_step2[0].exp()
        x = decoder.synthesis(torch.where(even, known, odd)[None], t)[0]
        x = x[(slice(None), *piece.within(s))]
        target = out[piece.top * s : piece.bottom * s, piece.left * s : piece.right * s]
        target[...] = boundary.samples(x[:, : target.shape[0], : target.shape[1]], grey=out.ndim == 2)
