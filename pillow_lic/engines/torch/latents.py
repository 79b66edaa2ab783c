"""Runs the networks over images of any size, piece by piece with a margin, so that memory stays bounded (FORMAT 8).

Imports numpy and torch; gets its networks loaded and leaves bytes to others. Tensors are on the device of the networks,
and the first axis, N, counts images with the same latent grid (hy, wy). `side` is that of a piece, None for
pieces.PIECE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ... import quality
from ...constants import GROUPS, LIC_HYPER_STRIDE, LIC_LATENT_STRIDE, LIC_Z_STEP_BITS
from .. import pieces as cuts
from ..base import Latents, white_of
from ..pieces import Piece, pieces
from .quantise import Quantiser, hyper_symbols

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .networks import Network
    from .place import Place

Pixels = NDArray[Any]  # (height, width, 3), uint8, or of more than 8 bits uint16
At = tuple[Any, slice, slice]  # an index of (N, M, h, w): the positions of a group


def analyse(
    encoder: Network, images: Sequence[Pixels], grid: tuple[int, int], t: Tensor, side: int | None = None
) -> Tensor:
    """g_a over the images: y (N, M, hy, wy) float32. t (N,): FORMAT 8."""
    y = None
    for piece in pieces(*grid, encoder.halo, side):
        part = encoder.stages.analysis(padded_pixels(images, piece, encoder.place), t)[(..., *piece.within())]
        if y is None:
            y = part.new_empty(part.shape[0], part.shape[1], *grid)
        y[(..., *piece.inner)] = part
    assert y is not None
    return y


def padded_pixels(images: Sequence[Pixels], piece: Piece, place: Place) -> Tensor:
    """The piece's pixels as (N, 3, 16h, 16w) in 0..1, each image's last row and column repeated beyond its edge."""
    s = LIC_LATENT_STRIDE
    rows, columns = (piece.outer_bottom - piece.outer_top) * s, (piece.outer_right - piece.outer_left) * s
    white = white_of(images[0])
    buffer = place.host(len(images), rows, columns, 3, dtype=torch.uint16 if white > 255 else torch.uint8)
    for target, pixels in zip(buffer.numpy(), images):
        part = pixels[piece.outer_top * s : piece.outer_bottom * s, piece.outer_left * s : piece.outer_right * s]
        height, width = part.shape[:2]
        target[:height, :width] = part
        target[:height, width:] = target[:height, width - 1 : width]
        target[height:] = target[height - 1]
    return place.up(buffer).permute(0, 3, 1, 2).float().div_(white)  # channels last in memory


def hyper_analyse(encoder: Network, y: Tensor, t: Tensor, d: Tensor, side: int | None = None) -> Tensor:
    """h_a over y (N, M, hy, wy): integers z (N, C, hz, wz) int16. d (C,): FORMAT 7.5."""
    hy, wy = y.shape[2:]
    s = LIC_HYPER_STRIDE
    z = None
    for piece in pieces(hy, wy, encoder.halo, 4 * (side or cuts.PIECE)):
        symbols = hyper_symbols(encoder.stages.hyper_analysis(y[(..., *piece.outer)], t), d)
        if z is None:
            z = symbols.new_empty(symbols.shape[0], symbols.shape[1], -(-hy // s), -(-wy // s))
        height, width = -(-(piece.bottom - piece.top) // s), -(-(piece.right - piece.left) // s)
        row, column = (piece.top - piece.outer_top) // s, (piece.left - piece.outer_left) // s
        target = z[..., piece.top // s : piece.top // s + height, piece.left // s : piece.left // s + width]
        target.copy_(symbols[..., row : row + height, column : column + width])
    assert z is not None
    return z


def positions(q: Sequence[int]) -> Tensor:
    """t of FORMAT 8 for the Q of each image, (N,)."""
    return torch.tensor([quality.position(one) for one in q], dtype=torch.float32, device="cpu")


def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """torch.stack, without a copy where there is one."""
    return tensors[0][None] if len(tensors) == 1 else torch.stack(list(tensors))


def joined(parts: Sequence[Latents]) -> Latents:
    """Parts of a group as one, in the smallest of their pieces."""
    if len(parts) == 1:
        return parts[0]
    pictures = [picture for part in parts for picture in part.pictures]
    t, y, z, v, index = (torch.cat([getattr(part, name) for part in parts]) for name in ("t", "y", "z", "v", "index"))
    side = min((part.side for part in parts if part.side), default=None)
    fine = None if parts[0].fine is None else torch.cat([part.fine for part in parts])
    return Latents(pictures, t, y, z, v, index, side, fine)


def prior(stages: Any, v: Tensor, piece: Piece, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Features, mean and step over the outer rectangle of a piece (FORMAT 8, steps 1 and 2)."""
    z_hat = v[(..., *piece.hyper)].float() / (1 << LIC_Z_STEP_BITS)
    h, w = piece.outer_bottom - piece.outer_top, piece.outer_right - piece.outer_left
    features, mean, step = (part[:, :, :h, :w] for part in stages.prior(z_hat, t))
    return features, mean, step


def groups(
    refine: Any, features: Tensor, mean: Tensor, step: Tensor, y_hat: Tensor
) -> Iterator[tuple[At, Tensor, Tensor]]:
    """The positions of each group, with their mean and step, refined from the groups before (FORMAT 8, steps 3 and 4).

    Who takes them writes y_hat (N, M, h, w) at these positions before asking for the next.
    """
    for group, (row, column) in enumerate(GROUPS):
        at = (..., slice(row, None, 2), slice(column, None, 2))
        own_mean, own_step = mean[at], step[at]
        if not own_mean.numel():
            continue  # a grid of one row or column
        if group:
            change, log_step = refine(features, y_hat, group)
            own_mean, own_step = own_mean + change, own_step * log_step.exp()
        yield at, own_mean, own_step


def quantise(
    decoder: Network,
    latents: Latents,
    quantiser: Quantiser,
    weight: float | Tensor | None = None,
    also: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """r (N, M, hy, wy) int16 of latents.y.

    weight: of a bit, as of Quantiser. also: two tensors like y, to be filled with what decoders reconstruct, and with
    the steps.
    """
    y, t = latents.y, latents.t
    stages = [picture.thresholds for picture in latents.pictures]
    r = torch.empty_like(y, dtype=torch.int16)
    for piece in pieces(y.shape[2], y.shape[3], decoder.halo, latents.side):
        outer = (..., *piece.outer)
        features, mean, step = prior(decoder.stages, latents.v, piece, t)
        step = step if latents.fine is None else step * latents.fine[outer]
        scale = latents.index[outer].to(torch.int32)
        target = y[outer]
        symbols, y_hat = torch.empty_like(target, dtype=torch.int16), torch.zeros_like(mean)
        steps = torch.empty_like(target) if also else None
        for at, own_mean, own_step in groups(decoder.stages.refine, features, mean, step, y_hat):
            symbols[at] = quantiser.quantise((target[at] - own_mean) / own_step, scale[at], weight, stages)
            y_hat[at] = own_mean + symbols[at] * own_step
            if steps is not None:
                steps[at] = own_step
        r[(..., *piece.inner)] = symbols[(..., *piece.within())]
        if also is not None and steps is not None:
            for whole, part in zip(also, (y_hat, steps), strict=True):
                whole[(..., *piece.inner)] = part[(..., *piece.within())]
    return r


def render(
    decoder: Network,
    symbols: tuple[Tensor, Tensor],
    t: Tensor,
    images: Sequence[Tensor],
    those: Sequence[Piece],
    fine: Tensor | None = None,
    most: int = 255,
) -> None:
    """Fill pieces of images, uint8 or uint16 (height, width, 3) or (height, width) each, from symbols: r (N, M, hy, wy)
    and v (N, C, hz, wz), both int16 (FORMAT 8). fine: factors (N, 1, hy, wy) of the steps, by quality maps. most:
    white.
    """
    s, (r, v) = LIC_LATENT_STRIDE, symbols
    for piece in those:
        features, mean, step = prior(decoder.stages, v, piece, t)
        step = step if fine is None else step * fine[(..., *piece.outer)]
        own_r, y_hat = r[(..., *piece.outer)].float(), torch.zeros_like(mean)
        for at, own_mean, own_step in groups(decoder.stages.refine, features, mean, step, y_hat):
            y_hat[at] = own_mean + own_r[at] * own_step
        x = decoder.samples(y_hat, t, (piece.outer_top, piece.outer_left))[(..., *piece.within(s))]
        for pixels, image in zip(x, images, strict=True):  # (3, 16h, 16w) each
            target = image[piece.top * s : piece.bottom * s, piece.left * s : piece.right * s]
            target.copy_(samples(pixels[:, : target.shape[0], : target.shape[1]], image.dim() == 2, most))


def samples(x: Tensor, grey: bool, most: int = 255) -> Tensor:
    """Synthesised x (3, h, w) to samples up to `most`, (h, w, 3), or (h, w) for grey (FORMAT 8, steps 5 and 6)."""
    x, dtype = x.clamp(0.0, 1.0), torch.uint8 if most == 255 else torch.int32
    if grey:
        return torch.floor(x.mean(0) * float(most) + 0.5).to(dtype)
    return torch.floor(x * float(most) + 0.5).to(dtype).permute(1, 2, 0)
