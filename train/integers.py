"""Float networks of the `photo` family to the integers of FORMAT 8: weights, multipliers and biases of every layer.

A value is an i16, its unit chosen for each channel so that HEADROOM times the largest value of the calibration pictures still fits;
the units are folded into weights and multipliers, so that a decoder never sees them. A layer is

    R = (acc * scale + bias + 2^31) >> 32,      acc the i32 sum of i16 weights times i16 values

with sum |weight| <= 65535 for each output, so that no sum can overflow whatever the values are.

Imports torch and numpy; of train the networks. What it makes, train/export.py writes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.networks import Block, PhotoModel, interpolate

HEADROOM = 4.0  # of values against the largest of calibration
LATENT_HEADROOM = 4.0  # of y_hat, whose largest values come from pictures that nobody calibrates on
I16 = 32767
L1_MAX = 65535  # sum of |weight|: times 32768 it is below 2^31
GAIN_STEPS = 8  # rows of a table of gains, which are geometric in the rate, between two trained rates
MEAN_ONE = 16  # means are in 1/16 of y_hat's unit
TANH_ONE = 4096  # the argument of the tabulated tanh is in 1/4096
OCTAVE = 256  # log steps are in 1/256 of an octave
LEVEL = 16  # pixels are in 1/16 of a level before they are rounded
SHIFT = 32  # of the product


@dataclass
class Integers:
    """The tensors of a network under their names."""

    tensors: dict[str, np.ndarray] = field(default_factory=dict)

    def add(
        self,
        name: str,
        weight: np.ndarray,
        inputs: np.ndarray,
        gain: np.ndarray,
        shift: np.ndarray,
    ) -> None:
        """A layer: weight (outputs, taps), inputs (taps,) or (outputs, taps) the units of what they meet; gain and shift (rows, outputs),
        in units of the output: value = gain * (weight . x) + shift.
        """
        folded = weight * inputs
        step = np.maximum(np.maximum(np.abs(folded).sum(1) / L1_MAX, np.abs(folded).max(1) / I16), 1e-30)
        whole = np.round(folded / step[:, None])
        excess = np.abs(whole).sum(1) > L1_MAX
        while excess.any():  # rounding went up more than down
            step[excess] *= 1.0 + 1e-4
            whole = np.round(folded / step[:, None])
            excess = np.abs(whole).sum(1) > L1_MAX
        scale = np.round(gain * step * 2.0**SHIFT)
        bias = np.round(shift * 2.0**SHIFT)
        if np.abs(scale).max() >= 2**31:
            clipped = int((np.abs(scale) >= 2**31).sum())
            print(f"{name}: {clipped} multipliers clipped")
            scale = scale.clip(-(2**31) + 1, 2**31 - 1)
        self.tensors[f"{name}.weight"] = np.ascontiguousarray(whole, np.int16)
        self.tensors[f"{name}.scale"] = scale.astype(np.int32)
        self.tensors[f"{name}.bias"] = bias.clip(-(2**61), 2**61).astype(np.int64)


def numbers(x: Tensor) -> np.ndarray:
    return x.detach().double().numpy()


def of_conv(layer: nn.Conv2d) -> tuple[np.ndarray, np.ndarray]:
    """Weight (outputs, inputs * kernel), as a matrix, and bias (outputs,)."""
    weight = numbers(layer.weight).reshape(layer.out_channels, -1)
    bias = numbers(layer.bias) if layer.bias is not None else np.zeros(layer.out_channels)
    return weight, bias


class Ranges:
    """The largest values that each channel takes at named places, over all calibration pictures and rates."""

    def __init__(self) -> None:
        self.most: dict[str, Tensor] = {}

    def see(self, name: str, x: Tensor) -> Tensor:
        found = x.detach().abs().amax((0, 2, 3)).float()
        self.most[name] = torch.maximum(self.most[name], found) if name in self.most else found
        return x

    def unit(self, name: str, headroom: float = HEADROOM) -> np.ndarray:
        """(channels,): so many of it make a value. Quiet channels get a twentieth of the loudest's at least."""
        most = numbers(self.most[name])
        return np.maximum(most, max(most.max() / 64.0, 1e-6)) * headroom / I16


def toned_table(table: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Scale (P, C) and shift (P, C) of a tone table (P, 2, C)."""
    values = numbers(table)
    return 1.0 + values[:, 0], values[:, 1]


def gain_table(log_gain: np.ndarray) -> np.ndarray:
    """exp of a table (P, C) of logarithms between which the rate interpolates: GAIN_STEPS rows for each interval, so that lines between them will do."""
    points = len(log_gain)
    at = np.arange((points - 1) * GAIN_STEPS + 1) / GAIN_STEPS
    low = np.minimum(at.astype(int), points - 2)
    part = (at - low)[:, None]
    return np.exp(log_gain[low] * (1 - part) + log_gain[low + 1] * part)


def observe_block(block: Block, x: Tensor, t: Tensor, ranges: Ranges, name: str, stream: str) -> Tensor:
    """Block.forward, with its values seen."""
    from train.networks import toned

    hidden = ranges.see(f"{name}.mix", F.leaky_relu(toned(block.mix(x), block.mix_tone, t), 0.1))
    x = ranges.see(stream, x + block.join(ranges.see(f"{name}.spatial", block.spatial(hidden))))
    hidden = ranges.see(f"{name}.expand", F.leaky_relu(toned(block.expand(x), block.expand_tone, t), 0.1))
    return ranges.see(stream, x + block.contract(hidden))


def add_block(out: Integers, block: Block, ranges: Ranges, name: str, stream: str) -> None:
    x, mix, spatial, expand = (ranges.unit(n) for n in (stream, f"{name}.mix", f"{name}.spatial", f"{name}.expand"))

    def toned_layer(part: str, layer: nn.Conv2d, table: Tensor, unit: np.ndarray) -> None:
        weight, bias = of_conv(layer)
        gain, shift = toned_table(table)
        out.add(f"{name}.{part}", weight, x, gain / unit, (gain * bias + shift) / unit)

    def plain_layer(part: str, layer: nn.Conv2d, inputs: np.ndarray, unit: np.ndarray) -> None:
        weight, bias = of_conv(layer)
        out.add(f"{name}.{part}", weight, inputs, 1.0 / unit[None], bias[None] / unit)

    toned_layer("mix", block.mix, block.mix_tone, mix)
    weight, bias = of_conv(block.spatial)
    out.add(f"{name}.spatial", weight, mix[:, None], 1.0 / spatial[None], bias[None] / spatial)
    plain_layer("join", block.join, spatial, x)
    toned_layer("expand", block.expand, block.expand_tone, expand)
    plain_layer("contract", block.contract, expand, x)


@torch.no_grad()
def observe_decoder(model: PhotoModel, y_hat: Tensor, z_hat: Tensor, residuals: Callable, t: Tensor, ranges: Ranges) -> None:
    """One decoding in floats with every value seen. residuals(at, mean, step): r, as latents.reconstruct asks for them."""
    from pillow_lic.codec import latents

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

    y_hat = ranges.see("y_hat", latents.reconstruct(refine, features, mean, step, residuals))
    net = model.synthesis
    x = net.enter(y_hat) * interpolate(net.tone, t).exp()[:, :, None, None]
    ranges.see("synthesis.x16", x)
    for k, block in enumerate(net.body):
        x = observe_block(block, x, t, ranges, f"synthesis.body{k}", "synthesis.x16")
    x = ranges.see("synthesis.x8", F.pixel_shuffle(net.up8(x), 2))
    for k, block in enumerate(net.detail):
        x = observe_block(block, x, t, ranges, f"synthesis.detail{k}", "synthesis.x8")
    x = ranges.see("synthesis.x4", F.pixel_shuffle(net.up4(x), 2))
    observe_block(net.render, x, t, ranges, "synthesis.render", "synthesis.x4")


def integer_decoder(model: PhotoModel, ranges: Ranges) -> dict[str, np.ndarray]:
    """All tensors of prior, refine and synthesis. model.prior.gain: of the unit in which r is coded."""
    out = Integers()
    one = np.ones((1, 1))
    y = ranges.unit("y_hat", LATENT_HEADROOM)
    prior, c = model.prior, model.config

    def plain(name: str, layer: nn.Conv2d, inputs: np.ndarray, unit: np.ndarray, gain: np.ndarray = one) -> None:
        weight, bias = of_conv(layer)
        out.add(name, weight, inputs, gain / unit, gain * bias / unit)

    spread, features = ranges.unit("prior.up"), ranges.unit("prior.x")
    plain("prior.up", prior.up, np.full(c.hyper, 1 / 32), spread.repeat(16))
    plain("prior.enter", prior.enter, spread, features)
    add_block(out, prior.block, ranges, "prior.block", "prior.x")
    plain("prior.mean", prior.mean, features, y / MEAN_ONE)
    plain("prior.step", prior.step, features, np.full(c.latent, 1.5 / TANH_ONE))
    gain = -numbers(prior.gain) / np.log(2) - np.log2(y / MEAN_ONE)  # log2 of a step before the networks change it, in 1/16 of y_hat's unit
    out.tensors["prior.gain"] = np.round(gain * OCTAVE).astype(np.int32)
    for group, net in enumerate(model.refine.groups, start=1):
        name = f"refine{group}"
        enter, spatial, expand = (ranges.unit(f"{name}.{part}") for part in ("enter", "spatial", "expand"))
        x = features
        plain(f"{name}.enter", net.enter, np.concatenate([features, y]), enter)
        weight, bias = of_conv(net.spatial)
        out.add(f"{name}.spatial", weight, enter[:, None], 1.0 / spatial[None], bias[None] / spatial)
        plain(f"{name}.join", net.join, spatial, x)
        plain(f"{name}.expand", net.expand, x, expand)
        plain(f"{name}.contract", net.contract, expand, x)
        plain(f"{name}.mean", net.mean, x, y / MEAN_ONE)
        plain(f"{name}.step", net.step, x, np.full(c.latent, 1.0 / TANH_ONE))
    net = model.synthesis
    x16, x8, x4 = (ranges.unit(f"synthesis.{part}") for part in ("x16", "x8", "x4"))
    plain("synthesis.enter", net.enter, y, x16, gain_table(numbers(net.tone)))
    for k, block in enumerate(net.body):
        add_block(out, block, ranges, f"synthesis.body{k}", "synthesis.x16")
    plain("synthesis.up8", net.up8, x16, x8.repeat(4))
    for k, block in enumerate(net.detail):
        add_block(out, block, ranges, f"synthesis.detail{k}", "synthesis.x8")
    plain("synthesis.up4", net.up4, x8, x4.repeat(4))
    add_block(out, net.render, ranges, "synthesis.render", "synthesis.x4")
    to_level = 255.0 * 0.25 * LEVEL  # x * 0.25 + 0.5 is a sample in 0..1
    weight, bias = of_conv(net.out)
    out.add("synthesis.out", weight, x4, one * to_level, bias[None] * to_level + 127.5 * LEVEL)
    plain("synthesis.direct", net.direct, y, np.full(768, 1.0 / to_level))
    return out.tensors


def functions() -> dict[str, np.ndarray]:
    """tanh at multiples of 1/32, in 1/32767, and powers of two at multiples of 1/OCTAVE, in 1/32768."""
    return {
        "tanh": np.round(32767 * np.tanh(np.arange(257) / 32)).astype(np.int16),
        "exp2": np.round(32768 * 2.0 ** (np.arange(OCTAVE) / OCTAVE)).astype(np.uint16),
    }


# --- the encoder ------------------------------------------------------------------------------------------------
# Nothing of it decides what a file means: its integers only make the analysis as fast as the synthesis.

PIXEL_ONE = 128  # a sample p is taken as PIXEL_ONE * (p - 127.5)
Z_ONE = 32 * 256  # z before rounding is in 1/8192
BANDS, SIDE = 3, 8  # of the pixels that one position at an eighth of the resolution holds


def strided(layer: nn.Conv2d, inputs: np.ndarray) -> np.ndarray:
    """Weight (outputs, 4 * inputs) of a 2x2 convolution over two rows of two positions, channels last; inputs: how channels are reordered."""
    return numbers(layer.weight)[:, inputs].transpose(0, 2, 3, 1).reshape(layer.out_channels, -1)


def pixel_order() -> np.ndarray:
    """Channels of pixel_unshuffle by 8, c * 64 + u * 8 + v, as they stand in rows of pixels: u * 24 + v * 3 + c."""
    n = np.arange(BANDS * SIDE * SIDE)
    return n % BANDS * SIDE * SIDE + n // (BANDS * SIDE) * SIDE + n % (BANDS * SIDE) // BANDS


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


def integer_encoder(model: PhotoModel, ranges: Ranges, y: np.ndarray) -> dict[str, np.ndarray]:
    """All tensors of analysis and hyper-analysis. y (M,): the units of y_hat, as in `integer_decoder`."""
    out = Integers()
    one = np.ones((1, 1))

    def plain(name: str, weight: np.ndarray, bias: np.ndarray, inputs: np.ndarray, unit: np.ndarray) -> None:
        out.add(name, weight, inputs, one / unit, bias[None] / unit)

    net, order = model.analysis, pixel_order()
    x8, x16 = ranges.unit("analysis.x8"), ranges.unit("analysis.x16")
    pixel = np.full(len(order), 4.0 / 255.0 / PIXEL_ONE)
    weight, bias = of_conv(net.patch)
    plain("analysis.patch", weight[:, order], bias, pixel, x8)
    for k, block in enumerate(net.high):
        add_block(out, block, ranges, f"analysis.high{k}", "analysis.x8")
    plain("analysis.down", strided(net.down, np.arange(len(x8))), numbers(net.down.bias), np.tile(x8, 4), x16)
    for k, block in enumerate(net.low):
        add_block(out, block, ranges, f"analysis.low{k}", "analysis.x16")
    plain("analysis.out", *of_conv(net.out), x16, y / MEAN_ONE)
    plain("analysis.direct", strided(net.direct, order), np.zeros(len(y)), np.tile(pixel, 4), y / MEAN_ONE)
    net = model.hyper_analysis
    unit, x16, x32, x64 = (ranges.unit(f"hyper.{part}") for part in ("y", "x16", "x32", "x64"))
    # gain (rows, M): y in 1/16 of its unit times gain / 2^24 is what enters.
    gain = gain_table(numbers(net.gain)) * y / MEAN_ONE / unit * 2.0**24
    out.tensors["hyper.gain"] = np.round(gain).clip(0, 2**31 - 1).astype(np.int32)
    plain("hyper.enter", *of_conv(net.enter), unit, x16)
    add_block(out, net.first, ranges, "hyper.first", "hyper.x16")
    plain("hyper.down1", strided(net.down1, np.arange(len(x16))), numbers(net.down1.bias), np.tile(x16, 4), x32)
    add_block(out, net.second, ranges, "hyper.second", "hyper.x32")
    plain("hyper.down2", strided(net.down2, np.arange(len(x32))), numbers(net.down2.bias), np.tile(x32, 4), x64)
    plain("hyper.out", *of_conv(net.out), x64, np.full(model.config.hyper, 1.0 / Z_ONE))
    return out.tensors
