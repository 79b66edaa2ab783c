"""Models that keep another's weights: other rates, or another kind of picture, from what a few tables say of it.

Trained are the tables by rate, biases, offsets, the taps of depthwise convolutions and the last layers of the
synthesis: some hundred kilobytes. All other weights stay those of a shipped model, the base, to the bit, and export
leaves them out (FORMAT 9.1, `base`). Imports torch; of pillow_lic how models are read.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import TYPE_CHECKING

import torch

from pillow_lic.engines.torch import exchange
from pillow_lic.models import store
from pillow_lic.models.manifest import NATIVE
from pillow_lic.quality import geometric
from train.calibration import HEADROOM
from train.exchange import start_from_model
from train.families import build, network_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from torch import Tensor

    from pillow_lic.models.store import Model as Exported
    from train.families import Model

STEPS = ("prior.gain", "hyper_analysis.gain", "scale_map.bias")  # tables that follow the step of y
Z_COARSER = 0.5  # how much faster than that of y the step of z grows below the rates of the base
HELD = ".weight"  # what stays, but for
LEAK, BEHIND_LEAKY = 0.1, (".contract", ".spatial")  # of leaky ReLUs, and the layers that take what they give
SMALL = (".spatial.", "synthesis.render.", "synthesis.out.")  # weights that are few


def learns(name: str) -> bool:
    """Whether a parameter of that name is trained."""
    return not name.endswith(HELD) or any(part in name for part in SMALL)


def base_of(name: str) -> Exported:
    """The shipped model of that name. Raises LicModelMissing."""
    return store.read_model(store.SHIPPED_NUMBER, store.SHIPPED / name)


@torch.no_grad()
def start(model: Model, name: str, lowest: float, highest: float) -> None:
    """Weights before the first step: those of the base; its tables at the lambdas from lowest to highest, and below
    what it was trained for with larger steps of y and z.
    """
    exported = base_of(name)
    manifest = exported.manifest
    if manifest.family != NATIVE or manifest.lambdas is None:
        msg = f"the base {name!r} is not of the family {NATIVE!r}, or was not trained for squared errors"
        raise ValueError(msg)
    config = network_config(dict(manifest.widths))
    if dataclasses.replace(model.config, points=config.points) != config:
        msg = f"the base {name!r} has other widths than the configuration's network"
        raise ValueError(msg)
    base = build(config).eval()
    start_from_model(base, exported.path)
    own, ends = model.state_dict(), manifest.lambdas
    wanted = geometric((lowest, highest), torch.linspace(0, 1, model.config.points))
    at = (wanted / ends[0]).log() / math.log(ends[1] / ends[0])
    coarser = 0.5 * (wanted / ends[0]).log().clamp(max=0.0)  # of the logarithm of a gain
    for key, value in base.state_dict().items():
        own[key] = rows_at(value, at) if by_rate(key) else value
        if key in STEPS:
            own[key] += coarser[:, None]
    of_z = Z_COARSER * coarser[:, None]
    own["hyper_rate.gain"] += of_z
    own["hyper_rate.mean"] *= of_z.exp()
    own["hyper_rate.log_scale"] += of_z
    model.load_state_dict(own)


def by_rate(name: str) -> bool:
    """Whether a parameter of that name has a row for each trained rate."""
    return name.endswith(("tone", ".gain")) or name.startswith("hyper_rate.") or name == "scale_map.bias"


def rows_at(table: Tensor, at: Tensor) -> Tensor:
    """A table (P, ...) at positions in 0..1, linear between its rows; the first and the last serve beyond."""
    place = at.clamp(0.0, 1.0) * (len(table) - 1)
    low = place.long().clamp(max=len(table) - 2)
    part = (place - low).view(-1, *[1] * (table.dim() - 1))
    return table[low] * (1 - part) + table[low + 1] * part


def stored(
    model: Model, name: str, wanted: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What the decoder's and the encoder's file would hold of the networks, the base's weights and units as they are.

    wanted: the units that the model would have of itself. Values beyond the base's saturate (FORMAT 8.1), as they did
    while it was trained; where, is told.
    """
    base = base_of(name)
    tensors = base.arrays | base.encoder_arrays
    units = exchange.units_of(tensors)
    beyond = {place: float((unit / units[place]).max() / HEADROOM) for place, unit in wanted.items()}
    narrow = [f"{place} {times:.1f}" for place, times in beyond.items() if times > 1.0]
    if narrow:
        print(f"beyond the units of {name!r}, so many times at most: {', '.join(narrow)}")
    return model.stored(units, held(model, tensors))


def saturate(model: Model, name: str) -> None:
    """From now on, what goes into layers is clipped as their integers will clip it, whose weights are made for the
    base's units: a leaky ReLU's values where they stood before it.
    """
    base = base_of(name)
    tensors = base.arrays | base.encoder_arrays
    units = exchange.units_of(tensors)
    for layer in layers_of(model):
        if layer.order == "plain":
            most = torch.from_numpy(exchange.I16_MAX * layer.inputs(units)).float().view(1, -1, 1, 1)
            least = -LEAK * most if layer.name.endswith(BEHIND_LEAKY) else -most
            model.get_submodule(layer.path).register_forward_pre_hook(partial(_clipped, least, most))


def _clipped(least: Tensor, most: Tensor, _: torch.nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
    (x,) = given
    return (torch.minimum(torch.maximum(x, least.to(x)), most.to(x)),)


def layers_of(model: Model) -> list[exchange.Layer]:
    """All that is exported as integers."""
    c = model.config
    return [
        *exchange.decoder_layers(c.body_blocks, c.detail_blocks),
        *exchange.encoder_layers(c.encoder_blocks, c.encoder_low_blocks),
    ]


def held(model: Model, tensors: Mapping[str, np.ndarray]) -> exchange.Held:
    """The layers that are not trained, as they are in the base with these tensors."""
    units = exchange.units_of(tensors)
    kept = [layer for layer in layers_of(model) if not learns(f"{layer.path}{HELD}")]
    return {layer.name: exchange.kept_layer(layer, tensors, units) for layer in kept}
