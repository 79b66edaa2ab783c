"""One encoding and one decoding of the `photo` family in floats with every value seen, for the units of its integers.

Imports torch and the family's networks; the places have the names of pillow_lic/engines/torch/exchange.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from pillow_lic.engines.torch import latents
from pillow_lic.engines.torch.exchange import SIDE
from pillow_lic.engines.torch.photo import Block, Synthesis, interpolate, toned

if TYPE_CHECKING:
    from collections.abc import Callable

    from train.calibration import Ranges
    from train.families.photo import PhotoModel


def observe_block(block: Block, x: Tensor, t: Tensor, ranges: Ranges, name: str, stream: str) -> Tensor:
    """Block.forward, with its values seen."""
    hidden = ranges.see(f"{name}.mix", F.leaky_relu(toned(block.mix(x), block.mix_tone, t), 0.1))
    x = ranges.see(stream, x + block.join(ranges.see(f"{name}.spatial", block.spatial(hidden))))
    hidden = ranges.see(f"{name}.expand", F.leaky_relu(toned(block.expand(x), block.expand_tone, t), 0.1))
    return ranges.see(stream, x + block.contract(hidden))


@torch.no_grad()
def observe_decoder(
    model: PhotoModel, y_hat: Tensor, z_hat: Tensor, residuals: Callable, t: Tensor, ranges: Ranges
) -> None:
    """One decoding in floats with every value seen. residuals(at, mean, step): r, as latents.reconstruct asks for
    them.
    """
    prior = model.prior
    up = prior.up(z_hat)
    spread = ranges.see("prior.up", F.pixel_shuffle(up, 4))
    x = ranges.see("prior.x", prior.enter(spread))
    features = observe_block(prior.block, x, t, ranges, "prior.block", "prior.x")
    log_gain = interpolate(prior.gain, t)[:, :, None, None]
    step = (1.5 * torch.tanh(prior.step(features) / 1.5) - log_gain).exp()
    h, w = y_hat.shape[2:]
    features, mean, step = features[:, :, :h, :w], prior.mean(features)[:, :, :h, :w], step[:, :, :h, :w]

    def refine(features: Tensor, known: Tensor, group: int) -> tuple[Tensor, Tensor]:
        net = model.refine.groups[group - 1]
        name = f"refine{group}"
        own = features[:, :, net.row :: 2, net.column :: 2]
        x = ranges.see(f"{name}.enter", F.leaky_relu(net.enter(torch.cat([features, known], 1)), 0.1))
        x = F.pad(x, [net.reach - net.column, net.reach, net.reach - net.row, net.reach])
        x = own + net.join(ranges.see(f"{name}.spatial", net.spatial(x)))
        x = ranges.see("prior.x", x)  # what it adds to is the prior's features: one unit
        x = ranges.see("prior.x", x + net.contract(ranges.see(f"{name}.expand", F.leaky_relu(net.expand(x), 0.1))))
        return net.mean(x), 0.5 * torch.tanh(net.step(x))

    found = torch.zeros_like(mean)
    for at, own_mean, own_step in latents.groups(refine, features, mean, step, found):
        found[at] = own_mean + residuals(at, own_mean, own_step) * own_step
    observe_synthesis(model.synthesis, ranges.see("y_hat", found), t, ranges)


@torch.no_grad()
def observe_synthesis(net: Synthesis, y_hat: Tensor, t: Tensor, ranges: Ranges, noise: Tensor | None = None) -> None:
    """The last part of a decoding. noise: what a second synthesis adds (N, detail, 2h, 2w)."""
    x = net.enter(y_hat) * interpolate(net.tone, t).exp()[:, :, None, None]
    ranges.see("synthesis.x16", x)
    for k, block in enumerate(net.body):
        x = observe_block(block, x, t, ranges, f"synthesis.body{k}", "synthesis.x16")
    x = ranges.see("synthesis.x8", F.pixel_shuffle(net.up8(x), 2))
    x = x if noise is None else ranges.see("synthesis.x8", x + noise)
    for k, block in enumerate(net.detail):
        x = observe_block(block, x, t, ranges, f"synthesis.detail{k}", "synthesis.x8")
    x = ranges.see("synthesis.x4", F.pixel_shuffle(net.up4(x), 2))
    observe_block(net.render, x, t, ranges, "synthesis.render", "synthesis.x4")


@torch.no_grad()
def observe_encoder(model: PhotoModel, x: Tensor, t: Tensor, ranges: Ranges) -> None:
    """One encoding of x (1, 3, H, W) in 0..1, sides multiples of 64, with every value seen."""
    net = model.analysis
    u = F.pixel_unshuffle((x - 0.5) * 4.0, SIDE)
    a = ranges.see("analysis.x8", net.patch(u))
    for k, block in enumerate(net.high):
        a = observe_block(block, a, t, ranges, f"analysis.high{k}", "analysis.x8")
    a = ranges.see("analysis.x16", net.down(a))
    for k, block in enumerate(net.low):
        a = observe_block(block, a, t, ranges, f"analysis.low{k}", "analysis.x16")
    y = net.out(a) + net.direct(u)
    net = model.hyper_analysis
    y = ranges.see("hyper.y", y * interpolate(net.gain, t).exp()[:, :, None, None])
    a = ranges.see("hyper.x16", net.enter(y))
    a = observe_block(net.first, a, t, ranges, "hyper.first", "hyper.x16")
    a = ranges.see("hyper.x32", net.down1(a))
    a = observe_block(net.second, a, t, ranges, "hyper.second", "hyper.x32")
    ranges.see("hyper.x64", net.down2(a))
