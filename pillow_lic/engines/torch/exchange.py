"""The networks of the `photo` family between floats and the integers of FORMAT 8: one list of layers, read in both
directions.

In integers a value is an i16 whose unit is chosen for each channel; units are folded into weights, multipliers and
biases, so that a decoder never sees them. A layer is R = (acc * scale + bias + 2^31) >> 32, acc the i32 sum of i16
weights times i16 values, with sum |weight| <= 65535 for each output: no sum can overflow, whatever the values are. To
floats the units are needed again: a model's files hold them beside, as `unit.` and the name of the place. Imports
numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...constants import (
    LIC_MANTISSA_BITS,
    LIC_MEAN_BITS,
    LIC_OCTAVE_BITS,
    LIC_SAMPLE_BITS,
    LIC_SCALE_BITS,
    LIC_TANH_STEPS,
    LIC_WEIGHT_SUM_MAX,
    LIC_Z_STEP_BITS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

Array = NDArray[Any]
Units = Mapping[str, Array]  # of each channel, by the name of a place in the networks
Held = Mapping[str, tuple[Array, Array]]  # by layers' names: weights as integers, and their steps

I16_MAX = 32767
BIAS_MAX = 2**53
GAIN_STEPS = 8  # rows of a table of gains, which are geometric in the rate, between two trained rates
HYPER_ONE = 1 << LIC_Z_STEP_BITS  # z_hat is in 1/32
MEAN_ONE = 1 << LIC_MEAN_BITS  # means and y are in 1/16 of y_hat's unit
TANH_ONE = 4096  # the argument of the tabulated tanh is in 1/4096
TANH_END = 8.0  # where the table of tanh ends
OCTAVE = 1 << LIC_OCTAVE_BITS  # logarithms of steps are in 1/256 of an octave
LEVEL_ONE = 1 << LIC_SAMPLE_BITS  # samples are in 1/16 of a level
PIXEL_ONE = 128  # an encoder takes the sample p as PIXEL_ONE * (p - 127.5)
NOISE_ONE = 64  # the networks' unit of noise, whose standard deviation is then 1.15
NOISE = "synthesis.noise"  # a layer that a second synthesis may have
HYPER_FINE = 8192  # an encoder's z before rounding is in 1/8192
SAMPLE = 255.0 * 0.25  # levels of the networks' unit: a sample in 0..1 is x * 0.25 + 0.5
BANDS, SIDE = 3, 8  # of the pixels that a position at an eighth of the resolution holds


@dataclass(frozen=True)
class Layer:
    """A convolution under its name in the integers and its path in the float networks."""

    name: str
    path: str
    inputs: Callable[[Units], Array]  # the unit of each input
    outputs: Callable[[Units], Array]  # and of each output
    tone: str | None = None  # path of a table (P, 2, outputs): 1 + [0] scales by rate, [1] shifts
    gain: str | None = None  # path of a table (P, outputs) of logarithms that scale by rate
    order: str = "plain"  # how weights (outputs, inputs, k, k) stand: plain, pixels, strided, strided pixels
    add: float = 0.0  # to every output


def place(name: str) -> Callable[[Units], Array]:
    return lambda units: units[name]


def depthwise(inputs: Callable[[Units], Array]) -> Callable[[Units], Array]:
    """The inputs of a convolution that has one for each output."""
    return lambda units: inputs(units)[:, None]


def block(name: str, path: str, stream: str) -> Iterator[Layer]:
    """A residual block, whose stream has one unit all along."""
    x = place(stream)
    mix, spatial, expand = (place(f"{name}.{part}") for part in ("mix", "spatial", "expand"))
    yield Layer(f"{name}.mix", f"{path}.mix", x, mix, tone=f"{path}.mix_tone")
    yield Layer(f"{name}.spatial", f"{path}.spatial", depthwise(mix), spatial)
    yield Layer(f"{name}.join", f"{path}.join", spatial, x)
    yield Layer(f"{name}.expand", f"{path}.expand", x, expand, tone=f"{path}.expand_tone")
    yield Layer(f"{name}.contract", f"{path}.contract", expand, x)


def repeated(name: str, times: int) -> Callable[[Units], Array]:
    return lambda units: units[name].repeat(times)


def constant(value: float) -> Callable[[Units], Array]:
    return lambda _: np.array([value])


def mean_unit(units: Units) -> Array:
    return units["y_hat"] / MEAN_ONE


def decoder_layers(body_blocks: int, detail_blocks: int) -> Iterator[Layer]:
    """prior, refine and synthesis."""
    features, y = place("prior.x"), place("y_hat")
    yield Layer("prior.up", "prior.up", constant(1 / HYPER_ONE), repeated("prior.up", 16))
    yield Layer("prior.enter", "prior.enter", place("prior.up"), features)
    yield from block("prior.block", "prior.block", "prior.x")
    yield Layer("prior.mean", "prior.mean", features, mean_unit)
    yield Layer("prior.step", "prior.step", features, constant(1.5 / TANH_ONE))
    for group in (1, 2, 3):
        name, path = f"refine{group}", f"refine.groups.{group - 1}"
        enter, spatial, expand = (place(f"{name}.{part}") for part in ("enter", "spatial", "expand"))
        known = lambda units: np.concatenate([units["prior.x"], units["y_hat"]])  # noqa: E731
        yield Layer(f"{name}.enter", f"{path}.enter", known, enter)
        yield Layer(f"{name}.spatial", f"{path}.spatial", depthwise(enter), spatial)
        yield Layer(f"{name}.join", f"{path}.join", spatial, features)
        yield Layer(f"{name}.expand", f"{path}.expand", features, expand)
        yield Layer(f"{name}.contract", f"{path}.contract", expand, features)
        yield Layer(f"{name}.mean", f"{path}.mean", features, mean_unit)
        yield Layer(f"{name}.step", f"{path}.step", features, constant(1.0 / TANH_ONE))
    x16, x8, x4 = (place(f"synthesis.{part}") for part in ("x16", "x8", "x4"))
    yield Layer("synthesis.enter", "synthesis.enter", y, x16, gain="synthesis.tone")
    for k in range(body_blocks):
        yield from block(f"synthesis.body{k}", f"synthesis.body.{k}", "synthesis.x16")
    yield Layer("synthesis.up8", "synthesis.up8", x16, repeated("synthesis.x8", 4))
    for k in range(detail_blocks):
        yield from block(f"synthesis.detail{k}", f"synthesis.detail.{k}", "synthesis.x8")
    yield Layer("synthesis.up4", "synthesis.up4", x8, repeated("synthesis.x4", 4))
    yield from block("synthesis.render", "synthesis.render", "synthesis.x4")
    level = constant(1 / (SAMPLE * LEVEL_ONE))
    yield Layer("synthesis.out", "synthesis.out", x4, level, add=0.5 / 0.25)
    yield Layer("synthesis.direct", "synthesis.direct", y, level)


def encoder_layers(high_blocks: int, low_blocks: int) -> Iterator[Layer]:
    """analysis and hyper-analysis."""
    pixel = constant(4.0 / 255.0 / PIXEL_ONE)
    x8, x16 = place("analysis.x8"), place("analysis.x16")
    yield Layer("analysis.patch", "analysis.patch", pixel, x8, order="pixels")
    for k in range(high_blocks):
        yield from block(f"analysis.high{k}", f"analysis.high.{k}", "analysis.x8")
    yield Layer("analysis.down", "analysis.down", lambda units: np.tile(x8(units), 4), x16, order="strided")
    for k in range(low_blocks):
        yield from block(f"analysis.low{k}", f"analysis.low.{k}", "analysis.x16")
    yield Layer("analysis.out", "analysis.out", x16, mean_unit)
    yield Layer("analysis.direct", "analysis.direct", pixel, mean_unit, order="strided pixels")
    x16, x32, x64 = (place(f"hyper.{part}") for part in ("x16", "x32", "x64"))
    yield Layer("hyper.enter", "hyper_analysis.enter", place("hyper.y"), x16)
    yield from block("hyper.first", "hyper_analysis.first", "hyper.x16")
    down1 = lambda units: np.tile(units["hyper.x16"], 4)  # noqa: E731
    down2 = lambda units: np.tile(units["hyper.x32"], 4)  # noqa: E731
    yield Layer("hyper.down1", "hyper_analysis.down1", down1, x32, order="strided")
    yield from block("hyper.second", "hyper_analysis.second", "hyper.x32")
    yield Layer("hyper.down2", "hyper_analysis.down2", down2, x64, order="strided")
    yield Layer("hyper.out", "hyper_analysis.out", x64, constant(1 / HYPER_FINE))


# ---- Weights as they stand --------------------------------------------------------------------------------------


def pixel_order() -> Array:
    """Channels of pixel_unshuffle by 8, c * 64 + u * 8 + v, as they stand in rows of pixels: u * 24 + v * 3 + c."""
    n = np.arange(BANDS * SIDE * SIDE)
    return n % BANDS * SIDE * SIDE + n // (BANDS * SIDE) * SIDE + n % (BANDS * SIDE) // BANDS


def arranged(weight: Array, order: str) -> Array:
    """Weights (outputs, inputs, k, k) as a matrix (outputs, taps)."""
    if "pixels" in order:
        weight = weight[:, pixel_order()]
    if "strided" in order:  # two rows of two positions, channels last
        weight = weight.transpose(0, 2, 3, 1)
    return weight.reshape(len(weight), -1)


def disarranged(matrix: Array, shape: tuple[int, ...], order: str) -> Array:
    """The inverse: a matrix to weights of a shape."""
    if "strided" in order:
        outputs, inputs, rows, columns = shape
        matrix = matrix.reshape(outputs, rows, columns, inputs).transpose(0, 3, 1, 2)
    weight = matrix.reshape(shape)
    if "pixels" in order:
        weight = weight[:, np.argsort(pixel_order())]
    return weight


# ---- Floats to integers -----------------------------------------------------------------------------------------


def gain_table(log_gain: Array) -> Array:
    """exp of a table (P, C) of logarithms between which the rate interpolates: GAIN_STEPS rows for each interval, so
    that lines will do.
    """
    points = len(log_gain)
    at = np.arange((points - 1) * GAIN_STEPS + 1) / GAIN_STEPS
    low = np.minimum(at.astype(int), points - 2)
    part = (at - low)[:, None]
    return np.exp(log_gain[low] * (1 - part) + log_gain[low + 1] * part)


def integer_layer(
    layer: Layer, floats: Mapping[str, Array], units: Units, held: Held | None = None
) -> dict[str, Array]:
    """weight, scale and bias of a layer. held: by layers' names, those whose weights are to be the integers that they
    are in another model; see `kept_layer`.
    """
    if held is not None and layer.name in held:
        whole, step = held[layer.name]
    else:
        whole, step = _whole(arranged(floats[f"{layer.path}.weight"], layer.order) * layer.inputs(units))
    bias = floats.get(f"{layer.path}.bias", np.zeros(len(whole)))
    gain, shift = np.ones((1, 1)), np.zeros((1, 1))
    if layer.tone:
        table = floats[layer.tone]
        gain, shift = 1.0 + table[:, 0], table[:, 1]
    if layer.gain:
        gain = gain_table(floats[layer.gain])
    outputs = layer.outputs(units)
    scale = np.round(gain * step / outputs * 2.0**LIC_SCALE_BITS)
    if np.abs(scale).max() >= 2**31:
        print(f"{layer.name}: {int((np.abs(scale) >= 2**31).sum())} multipliers clipped")
    value = (gain * bias + shift + layer.add) / outputs * 2.0**LIC_SCALE_BITS
    value = np.broadcast_to(value, scale.shape)
    return {
        f"{layer.name}.weight": np.ascontiguousarray(whole, np.int16),
        f"{layer.name}.scale": scale.clip(1 - 2**31, 2**31 - 1).astype(np.int32),
        f"{layer.name}.bias": np.round(value).clip(-BIAS_MAX, BIAS_MAX).astype(np.int64),
    }


def _whole(folded: Array) -> tuple[Array, Array]:
    """Weights as integers, and the step of each output."""
    step = np.maximum(np.maximum(np.abs(folded).sum(1) / LIC_WEIGHT_SUM_MAX, np.abs(folded).max(1) / I16_MAX), 1e-30)
    whole = np.round(folded / step[:, None])
    while (excess := np.abs(whole).sum(1) > LIC_WEIGHT_SUM_MAX).any():  # rounding went up more than down
        step[excess] *= 1.0 + 1e-4
        whole = np.round(folded / step[:, None])
    return whole, step


def kept_layer(layer: Layer, tensors: Mapping[str, Array], units: Units) -> tuple[Array, Array]:
    """The integers of a layer's weights in a model, and the step of each output, by that model's tensors and units."""
    scale = np.asarray(tensors[f"{layer.name}.scale"], np.float64) / 2.0**LIC_SCALE_BITS
    return tensors[f"{layer.name}.weight"], _relative(scale * layer.outputs(units))


def _relative(scale: Array) -> Array:
    """What gains by rate are relative to, of the multipliers (P, outputs) of a layer."""
    step: Array = np.take_along_axis(scale, np.abs(scale).argmax(0)[None], 0)[0]
    return np.where(step == 0.0, 1.0, step)


def integer_decoder(
    floats: Mapping[str, Array], units: Units, blocks: tuple[int, int], held: Held | None = None
) -> dict[str, Array]:
    """All tensors of prior, refine and synthesis, float64 arrays by their paths. prior.gain: of the unit in which r is
    coded. blocks: of body and detail. held: see integer_layer.
    """
    tensors: dict[str, Array] = {}
    for layer in decoder_layers(*blocks):
        tensors |= integer_layer(layer, floats, units, held)
    # log2 of a step before the networks change it, in 1/16 of y_hat's unit
    octaves = -floats["prior.gain"] / np.log(2) - np.log2(mean_unit(units))
    tensors["prior.gain"] = np.round(octaves * OCTAVE).astype(np.int32)
    tensors["tanh"] = np.round(I16_MAX * np.tanh(np.linspace(0.0, TANH_END, LIC_TANH_STEPS + 1))).astype(np.int16)
    tensors["exp2"] = np.round((1 << LIC_MANTISSA_BITS) * 2.0 ** (np.arange(OCTAVE) / OCTAVE)).astype(np.uint16)
    return tensors | stored_units(units, of_encoder=False)


def synthesis_layers(body_blocks: int, detail_blocks: int) -> Iterator[Layer]:
    """Those of a second synthesis."""
    yield from (one for one in decoder_layers(body_blocks, detail_blocks) if one.name.startswith("synthesis."))
    yield Layer(NOISE, NOISE, constant(1 / NOISE_ONE), place("synthesis.x8"))


def integer_synthesis(
    floats: Mapping[str, Array], units: Units, body_blocks: int, detail_blocks: int
) -> dict[str, Array]:
    """All tensors of a second synthesis. units: of its places, and y_hat's of the model, which are not stored again."""
    tensors: dict[str, Array] = {}
    for layer in synthesis_layers(body_blocks, detail_blocks):
        tensors |= integer_layer(layer, floats, units)
    own = {name: unit for name, unit in units.items() if name.startswith("synthesis.")}
    return tensors | stored_units(own, of_encoder=False)


def integer_encoder(
    floats: Mapping[str, Array], units: Units, blocks: tuple[int, int], held: Held | None = None
) -> dict[str, Array]:
    """All tensors of analysis and hyper-analysis. blocks: at an eighth and at a sixteenth. held: see integer_layer."""
    tensors: dict[str, Array] = {}
    for layer in encoder_layers(*blocks):
        tensors |= integer_layer(layer, floats, units, held)
    # y in 1/16 of its unit times gain / 2^24 is what enters the hyper-analysis.
    gain = gain_table(floats["hyper_analysis.gain"]) * mean_unit(units) / units["hyper.y"] * 2.0**24
    tensors["hyper.gain"] = np.round(gain).clip(0, 2**31 - 1).astype(np.int32)
    return tensors | stored_units(units, of_encoder=True)


def stored_units(units: Units, of_encoder: bool) -> dict[str, Array]:
    """The units of an encoder's or a decoder's places, as their file holds them."""
    return {
        f"unit.{name}": np.asarray(unit, np.float32)
        for name, unit in units.items()
        if name.startswith(("analysis.", "hyper.")) == of_encoder
    }


# ---- Integers to floats -----------------------------------------------------------------------------------------


def float_layer(
    layer: Layer, tensors: Mapping[str, Array], units: Units, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Array]:
    """The floats of a layer by their paths; shapes: those of the networks that want them."""
    whole = np.asarray(tensors[f"{layer.name}.weight"], np.float64)
    scale = np.asarray(tensors[f"{layer.name}.scale"], np.float64) / 2.0**LIC_SCALE_BITS * layer.outputs(units)
    bias = (
        np.asarray(tensors[f"{layer.name}.bias"], np.float64) / 2.0**LIC_SCALE_BITS * layer.outputs(units) - layer.add
    )
    step = _relative(scale)
    matrix = whole * step[:, None] / layer.inputs(units)
    floats = {f"{layer.path}.weight": disarranged(matrix, shapes[f"{layer.path}.weight"], layer.order)}
    if layer.tone:
        floats[layer.tone] = np.stack([scale / step - 1.0, bias], 1)
        bias = np.zeros_like(bias[:1])
    if layer.gain:
        gain = (scale / step)[::GAIN_STEPS].clip(1e-9)
        floats[layer.gain] = np.log(gain)
        bias = (bias / (scale / step))[:1]  # what is scaled has the bias in it
    if f"{layer.path}.bias" in shapes:
        floats[f"{layer.path}.bias"] = np.broadcast_to(bias[0], len(whole)).copy()
    return floats


def units_of(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """The units that a model's files hold, under their places' names."""
    return {name[5:]: np.asarray(t, np.float64) for name, t in tensors.items() if name.startswith("unit.")}


def count(tensors: Mapping[str, Array], prefix: str) -> int:
    """Blocks of a name that there are."""
    n = 0
    while f"{prefix}{n}.mix.weight" in tensors:
        n += 1
    return n


def float_decoder(
    tensors: Mapping[str, Array], units: Units, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Array]:
    """The inverse of integer_decoder, but for rounding."""
    floats: dict[str, Array] = {}
    for layer in decoder_layers(count(tensors, "synthesis.body"), count(tensors, "synthesis.detail")):
        floats |= float_layer(layer, tensors, units, shapes)
    octaves = np.asarray(tensors["prior.gain"], np.float64) / OCTAVE + np.log2(mean_unit(units))
    return floats | {"prior.gain": -octaves * np.log(2)}


def float_synthesis(
    tensors: Mapping[str, Array], units: Units, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Array]:
    """The inverse of integer_synthesis, but for rounding. One without a layer for noise has zeros there."""
    floats: dict[str, Array] = {name: np.zeros(shapes[name]) for name in shapes if name.startswith(f"{NOISE}.")}
    for layer in synthesis_layers(count(tensors, "synthesis.body"), count(tensors, "synthesis.detail")):
        if layer.name != NOISE or f"{NOISE}.weight" in tensors:
            floats |= float_layer(layer, tensors, units, shapes)
    return floats


def float_encoder(
    tensors: Mapping[str, Array], units: Units, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Array]:
    """The inverse of integer_encoder, but for rounding."""
    floats: dict[str, Array] = {}
    for layer in encoder_layers(count(tensors, "analysis.high"), count(tensors, "analysis.low")):
        floats |= float_layer(layer, tensors, units, shapes)
    gain = np.asarray(tensors["hyper.gain"], np.float64)[::GAIN_STEPS].clip(1) / 2.0**24
    return floats | {"hyper_analysis.gain": np.log(gain / mean_unit(units) * units["hyper.y"])}
