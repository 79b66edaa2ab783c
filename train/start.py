"""Where training starts: from a block transform, or from a model that exists.

The block transform: the linear paths as the Karhunen-Loeve transform of 16x16 pixel blocks, matched steps and scales.

From random weights, channels of y whose spread is below their step round to zero everywhere, get no gradient through
the decoder and stay dead (160 of 256 in the first long run). From here every channel carries what it can from step one.
Imports torch and numpy; of pillow_lic constants.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from pillow_lic.constants import LIC_MAP_SHIFT, LIC_Z_STEP_BITS
from pillow_lic.engines.torch.networks import stages
from pillow_lic.entropy import CELL
from pillow_lic.models import store
from pillow_lic.models.manifest import DECODER, ENCODER
from train.losses import rate_weight
from train.networks import LEVEL_STEP, SIGMA_MAX, SIGMA_MIN, Z_COMPONENTS, HyperRate, PhotoModel, logistic_mass

if TYPE_CHECKING:
    from pathlib import Path

    from train.gdn import GdnModel

BLOCK = 16
SAMPLES = 3 * BLOCK * BLOCK  # 768 samples of a block


def encoder_order(x: torch.Tensor) -> torch.Tensor:
    """Blocks of images (N, 3, H, W) as rows (N*H/16*W/16, 768), in the order in which Analysis.direct weighs them."""
    u = F.pixel_unshuffle(x, 8).unfold(2, 2, 2).unfold(3, 2, 2)  # (N, 192, H/16, W/16, 2, 2)
    return u.permute(0, 2, 3, 1, 4, 5).reshape(-1, SAMPLES)


def decoder_order() -> torch.Tensor:
    """(768,) positions in encoder_order of what Synthesis.direct puts out, channel by channel."""
    places = torch.arange(SAMPLES, dtype=torch.float32).reshape(1, 3, BLOCK, BLOCK)
    inner = F.pixel_unshuffle(F.pixel_unshuffle(places, 4), 4).flatten()  # place of each output of the decoder
    outer = encoder_order(places).flatten()  # place of each input of the encoder
    return torch.argsort(outer)[inner.long()]


def step_of(weight: torch.Tensor) -> torch.Tensor:
    """Best uniform step of an orthonormal block transform of 4 * (x - 0.5), at rate weight lambda.

    At high rate a coefficient costs lambda * 255^2 * (step^2 / 12) / (16 * 768) of loss and its rate falls by
    log2(step) / 256 bits per pixel; the sum is least where the derivatives cancel.
    """
    return torch.sqrt(12.0 * 16 * SAMPLES / (256.0 * 2 * math.log(2) * 255.0**2 * weight))


@torch.no_grad()
def start_from_block_transform(model: PhotoModel, x: torch.Tensor, lowest: float, highest: float) -> None:
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
    gain = -step_of(rate_weight(torch.linspace(0, 1, model.config.points), lowest, highest)).log()[:, None]
    for table in (model.prior.gain, model.hyper_analysis.gain, model.scale_map.bias):
        table.copy_(gain.expand_as(table))
    model.scale_map.offset.copy_(spread.log().repeat_interleave(16))


@torch.no_grad()
def start_from_cascade(model: GdnModel, x: torch.Tensor, lowest: float, highest: float) -> None:
    """The same for the GDN networks: every convolution a Karhunen-Loeve transform of 2x2 blocks, each transposed one
    its inverse.

    A convolution of 5x5 and stride 2 sees the block of its output at rows and columns 2 and 3 of its kernel.
    """
    u = (x - 0.5) * 4.0
    convs = [layer for layer in model.analysis.layers if isinstance(layer, torch.nn.Conv2d)]
    opposites = [layer for layer in model.synthesis.layers if isinstance(layer, torch.nn.ConvTranspose2d)][::-1]
    for conv, opposite in zip(convs, opposites):
        blocks = F.pixel_unshuffle(u, 2)  # (N, 4 C, h, w), channel by channel, each as its 2 x 2
        rows = blocks.movedim(1, 3).flatten(0, 2).double()
        mean = rows.mean(0)
        variance, basis = torch.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
        basis, variance = basis.flip(1)[:, : conv.out_channels], variance.flip(0)
        used, channels = basis.shape[1], u.shape[1]
        patch = basis.T.reshape(used, channels, 2, 2).float()
        conv.weight.mul_(0.05)
        conv.bias.zero_()
        conv.weight[:used, :channels, 2:4, 2:4] = patch
        conv.bias[:used] = -(basis.T @ mean).float()
        opposite.weight.mul_(0.05)
        opposite.weight[:used, :channels, 2:4, 2:4] = patch
        opposite.bias[:channels] = mean.reshape(channels, 4).mean(1).float()
        u = F.conv2d(blocks, patch.reshape(used, -1, 1, 1), conv.bias[:used])
    spread = variance[:used].clamp_min(1e-8).sqrt().log().float()
    gain = -step_of(rate_weight(torch.linspace(0, 1, model.config.points), lowest, highest)).log()[:, None]
    tables = [model.prior.gain]
    if hasattr(model.hyper_analysis, "gain"):
        tables.append(model.hyper_analysis.gain)
    for table in tables:
        table.copy_(gain.expand_as(table))
    scales = max(1, model.config.components)  # the first planes of the parameters are those of log sigma
    parameters = model.shape
    parameters.bias.unflatten(1, (parameters.planes, -1))[:, :scales] += gain[:, :, None]
    parameters.offset.unflatten(0, (parameters.planes, -1))[:scales] += spread.repeat_interleave(16)


@torch.no_grad()
def start_from_model(model: PhotoModel, folder: Path, prior: bool = True) -> int:
    """Weights of an exported model: what export.py did, backwards. Returns how many channels of y the model has beyond
    it.

    These channels are the last, and zero (`start_further_channels` gives them something to do); blocks beyond those of
    the exported model change nothing at first; all other widths are the same. The prior of z, of which a model
    directory has tables alone, is fitted to them; unless `prior` is False, for who has no use for it.
    """
    networks: dict[str, torch.Tensor] = {}
    whole = model.state_dict()
    further = model.config.latent - json.loads((folder / "manifest.json").read_text())["latent"]
    exported = store.read_model(0, folder)
    for file in (DECODER, ENCODER):
        for name, value in stages(exported, file).state_dict().items():
            networks[name] = _padded(value, whole.get(name, value), further)
    odd = [name for name, value in networks.items() if name in whole and value.shape != whole[name].shape]
    missing, unexpected = model.load_state_dict(
        {name: value for name, value in networks.items() if name not in odd}, strict=False
    )
    added = {
        name.rpartition(".")[0].rpartition(".")[0] for name in missing if name.endswith(".mix.weight")
    }  # further blocks
    for name in added:
        block = model.get_submodule(name)
        for layer in (block.join, block.contract):  # changes nothing at first
            layer.weight.zero_()
    known = ("scale_map.", "hyper_rate.", *(f"{name}." for name in added))
    foreign = [name for name in missing if not name.startswith(known) and not name.endswith("_tone")] + unexpected + odd
    if foreign:
        msg = f"{folder} holds another network than the configuration's: {', '.join(foreign[:5])}"
        raise ValueError(msg)
    names = ("weight", "offset", "bias", "z_step", "z_level", "trellis", "freq", "count", "first")
    arrays = {name: exported.arrays[name] for name in names if name in exported.arrays}
    tables = {name: torch.from_numpy(array.astype(np.float64)) for name, array in arrays.items()}
    levels = 1 + (tables["z_level"].shape[2] if "z_level" in tables else 0)
    z_rows = model.hyper_rate.gain.numel() * levels
    scale_rows = len(tables["count"]) - z_rows
    if "trellis" in tables:
        scale_rows //= 2
        model.prior.gain += math.log(LEVEL_STEP)
    unit = math.log(SIGMA_MAX / SIGMA_MIN) / (scale_rows - 1)
    one = 1 << LIC_MAP_SHIFT
    cells = len(tables["offset"])
    model.scale_map.weight.zero_()[:cells] = tables["weight"] * unit * (1 << LIC_Z_STEP_BITS) / one
    model.scale_map.offset.zero_()[:cells] = (tables["offset"] / one - 0.5) * unit + math.log(SIGMA_MIN)
    model.scale_map.bias.zero_()[:, : tables["bias"].shape[1]] = tables["bias"] * unit / one
    rate = model.hyper_rate
    rate.gain.copy_(-(tables["z_step"] / (1 << LIC_Z_STEP_BITS)).log())
    if not prior:
        return further
    counts = tables["count"].long()[-z_rows:].tolist()
    rows = tables["freq"][-sum(counts) :].split(counts)
    rows = [
        sum(rows[k : k + levels]) for k in range(0, z_rows, levels)
    ]  # of one length and about as frequent, as export makes them
    fit_hyper_rate(rate, rows, tables["first"][-z_rows::levels])
    return further


def fit_hyper_rate(rate: HyperRate, rows: list[torch.Tensor], firsts: torch.Tensor, steps: int = 400) -> None:
    """Mixtures of logistics for rows of z: frequencies, that of the escape last, of values from `firsts` on.

    They begin at the mean and around the spread of each row; Adam lowers the cross-entropy.
    """
    count, length = len(rows), max(map(len, rows)) - 1
    share, value = torch.zeros(count, length), torch.zeros(count, length)
    for k, (freq, first) in enumerate(zip(rows, firsts)):
        share[k, : len(freq) - 1] = freq[:-1] / freq[:-1].sum()
        value[k, : len(freq) - 1] = first + torch.arange(len(freq) - 1)
    middle = (share * value).sum(1, keepdim=True)
    spread = (
        ((share * (value - middle).square()).sum(1, keepdim=True) + 0.02).sqrt() * 3**0.5 / math.pi
    )  # of a logistic
    mean = middle.expand(count, Z_COMPONENTS).clone()
    log_scale = rate.log_scale.view(count, Z_COMPONENTS) + spread.log()
    fitted = [part.requires_grad_() for part in (mean, log_scale, torch.zeros(count, Z_COMPONENTS))]
    optimizer = torch.optim.Adam(fitted, lr=0.03)
    with torch.enable_grad():
        for _ in range(steps):
            mean, log_scale, logit = fitted
            mass = logistic_mass(value[:, None], mean[:, :, None], log_scale[:, :, None])  # (rows, components, values)
            mass = (mass * logit.softmax(1)[:, :, None]).sum(1).clamp_min(2.0**-16)
            optimizer.zero_grad()
            (-share * mass.log2()).sum().backward()
            optimizer.step()
    for table, part in zip((rate.mean, rate.log_scale, rate.logit), fitted):
        table.copy_(part.detach().view_as(table))


def _padded(value: torch.Tensor, like: torch.Tensor, further: int) -> torch.Tensor:
    """value with zeros behind it where `like` has `further` more of something, else value."""
    if (
        further <= 0
        or value.dim() != like.dim()
        or any(b - a not in (0, further) for a, b in zip(value.shape, like.shape))
    ):
        return value
    whole = torch.zeros_like(like)
    whole[tuple(slice(size) for size in value.shape)] = value
    return whole


@torch.no_grad()
def start_further_channels(model: PhotoModel, further: int, x: torch.Tensor, lowest: float, highest: float) -> None:
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
    gain = -step_of(rate_weight(torch.linspace(0, 1, model.config.points), lowest, highest)).log()[:, None]
    for table in (model.prior.gain, model.hyper_analysis.gain, model.scale_map.bias):
        table[:, -further:] = gain
    model.scale_map.offset[-CELL * further :] = spread.log().repeat_interleave(CELL).float()
