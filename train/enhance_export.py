"""Writes what train.enhance has learnt as the package reads it:
`python -m train.enhance_export RUN FILE --data FOLDER`.

Integers, as csrc/nn/enhance.h takes them: weights of 8 bits, multipliers and biases of FORMAT 8.1, in units that follow
from the values of examples. Imports torch, NumPy and pillow_lic's writer.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from pillow_lic.constants import LIC_SCALE_BITS
from pillow_lic.models import weights
from train.calibration import HEADROOM
from train.data import Crops, load_split
from train.enhance import BATCH, BLOCK, CROP, Batch, Config, Enhancer, batch_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST = 127
I16_MOST = 32767
BIAS_MOST = 1000  # units of a bias under a tone
INPUT = 1 / 4096  # what the integers of samples, levels and conditions count in
CHANGE = 1 / 32  # of a level, or of the step that tables state
FACTOR = 1 / (1 << 14)  # of a tone
EIGHTH = 8  # of the unit that a tone's shift is added to


def quantised(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 (outputs, inputs) and the scales (outputs,): those of least squared error, from a few."""
    rows = weight.reshape(len(weight), -1)
    best = np.full(len(rows), np.inf)
    kept = np.zeros(rows.shape, np.int8), np.ones(len(rows), np.float32)
    for share in (1.0, 0.9, 0.8, 0.7):
        scale = np.maximum(np.abs(rows).max(1) * share / MOST, 1e-12).astype(np.float32)
        whole = np.round(rows / scale[:, None]).clip(-MOST, MOST)
        error = np.square(whole * scale[:, None] - rows).sum(1)
        better = error < best
        best[better] = error[better]
        kept[0][better], kept[1][better] = whole[better].astype(np.int8), scale[better]
    return kept


class Units:
    """What the integers of each place count in: HEADROOM times the largest value seen is the largest i16."""

    def __init__(self, net: Enhancer):
        self.net = net
        self.most: dict[str, float] = {}
        self._hooks = []
        for name, module in net.named_modules():
            place, before = _place(name)
            if place and before:
                self._hooks.append(module.register_forward_pre_hook(self._seen_before(place)))
            elif place:
                self._hooks.append(module.register_forward_hook(self._seen_after(place)))

    def _see(self, place: str, x: torch.Tensor) -> None:
        self.most[place] = max(self.most.get(place, 1e-3), float(x.detach().abs().max()))

    def _seen_before(self, place: str):
        return lambda _, inputs: self._see(place, inputs[0])

    def _seen_after(self, place: str):
        return lambda _, __, output: self._see(place, output)

    @torch.no_grad()
    def see(self, batches: Iterable[Batch]) -> dict[str, float]:
        """The unit of each place, by examples."""
        self.net.eval()
        for batch in batches:
            self.net(batch.found, batch.tables, batch.flags)
        for hook in self._hooks:
            hook.remove()
        units = {place: most * HEADROOM / I16_MOST for place, most in self.most.items()}
        for name, module in self.net.named_modules():
            if name.endswith(".depthwise"):  # the engine multiplies this bias, and takes it below BIAS_MOST
                place = name.replace("depthwise", "inner")
                units[place] = max(units[place], float(module.bias.detach().abs().max()) / BIAS_MOST)
        return units


def _place(name: str) -> tuple[str | None, bool]:
    """Where a module's values are kept as i16, and whether it is its input."""
    part, _, rest = name.partition(".")
    if part in ("body", "detail") and rest:
        block, _, layer = rest.partition(".")
        return {"": (part, False), "out": (f"{part}.{block}.inner", True), "back": (f"{part}.{block}.wide", True)}.get(
            layer, (None, False)
        )
    if part in ("enter", "conditions"):
        return {"enter": "body", "conditions": "hidden"}[part], False
    return {"up": "detail", "samples": "detail", "tones": "tone"}.get(name), False


def units_of_layer(name: str, outputs: int, units: Mapping[str, float]) -> tuple[float, np.ndarray]:
    """Of a layer's inputs, and of each output."""
    part, _, rest = name.partition(".")
    fixed = {
        "conditions": (INPUT, units["hidden"]),
        "tones": (units["hidden"], units["tone"]),
        "enter": (INPUT, units["body"]),
        "coefficients": (units["body"], CHANGE),
        "chroma": (units["body"], CHANGE),
        "up": (units["body"], units["detail"]),
        "samples": (INPUT, units["detail"]),
        "render": (units["detail"], CHANGE),
    }
    if part in fixed:
        given, found = fixed[part]
        return given, np.full(outputs, found)
    block, layer = rest.split(".")
    inner, wide = (units[f"{part}.{block}.{place}"] for place in ("inner", "wide"))
    if layer == "tone":
        return units["tone"], np.repeat([FACTOR, inner / EIGHTH], outputs // 2)
    given, found = {"depthwise": (units[part], inner), "out": (inner, wide), "back": (wide, units[part])}[layer]
    return given, np.full(outputs, found)


def tensors_of(net: Enhancer, units: dict[str, float]) -> weights.Tensors:
    """By name, as csrc/nn/enhance.cpp knows them."""
    state = {name: value.double().numpy() for name, value in net.state_dict().items()}
    found: weights.Tensors = {}
    for name in (name.removesuffix(".weight") for name in state if name.endswith(".weight")):
        whole, scale = quantised(state[f"{name}.weight"])
        given, unit = units_of_layer(name, len(whole), units)
        multiplier = np.round(scale * given / unit * 2.0**LIC_SCALE_BITS)
        if multiplier.max() >= 2**31:
            msg = f"the layer {name} multiplies by {multiplier.max() / 2**LIC_SCALE_BITS:.2f}, want below 0.5"
            raise ValueError(msg)
        bias = np.round(state[f"{name}.bias"] / unit * 2.0**LIC_SCALE_BITS)
        found[f"{name}.weight"] = weights.Tensor("I8", memoryview(whole))
        found[f"{name}.scale"] = weights.Tensor("I32", memoryview(multiplier.astype(np.int32)[None]))
        found[f"{name}.bias"] = weights.Tensor("I64", memoryview(bias.astype(np.int64)[None]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="what training had")
    parser.add_argument("--batches", type=int, default=40, help="of examples, for the units")
    args = parser.parse_args()
    kept = torch.load(args.run / "state.pt", map_location="cpu")
    net = Enhancer(Config(*kept["config"]))
    net.load_state_dict(kept["mean"])
    crops = Crops(load_split(args.data)[0], CROP + BLOCK, BATCH, 27, grey=0.0)
    units = Units(net).see(tqdm([batch_at(crops, step) for step in range(args.batches)], desc="calibrating"))
    args.file.write_bytes(weights.write(tensors_of(net, units)))
    print(f"{args.file}: {args.file.stat().st_size} bytes, after {kept['step']} steps")


if __name__ == "__main__":
    main()
