"""Between trained networks and a model's arrays: what export writes of them, and what a run that starts from a model
reads. One is the inverse of the other, but for rounding.

Imports numpy and torch; of pillow_lic constants, the engine's stages and how models are read. pack.py writes files.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pillow_lic.constants import LIC_BIAS_MAX, LIC_MAP_SHIFT, LIC_WEIGHT_MAX, LIC_Z_STEP_BITS
from pillow_lic.engines.torch.networks import stages
from pillow_lic.entropy import CELL
from pillow_lic.models import manifest as manifests
from pillow_lic.models import store
from train.layers import ROWS, Z_COMPONENTS, HyperRate, logistic_mass
from train.residuals import kind_of
from train.residuals.kind import SCALE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn

    from pillow_lic.models.store import Model as Exported
    from train.families import Model
    from train.residuals.kind import Residual

ONE = 1 << LIC_MAP_SHIFT
Z_ONE = 1 << LIC_Z_STEP_BITS
PRIOR = "hyper_rate."  # names, in the encoder's file, of the prior of z as training knows it
PRIOR_TABLES = ("mean", "log_scale", "logit")
ROUNDS = 20  # until the shares of classes of z's neighbours and the distribution of z agree

Arrays = dict[str, np.ndarray]


# ---- The map from z, the steps of z ---------------------------------------------------------------------------------


def _numbers(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def _limited(name: str, values: np.ndarray, most: int, dtype: type) -> np.ndarray:
    """Rounded integers within +-most; says how many had to be clipped."""
    clipped = int((np.abs(values) > most).sum())
    if clipped:
        print(f"{name}: {clipped} of {values.size} values clipped")
    return values.round().clip(-most, most).astype(dtype)


def integer_map(model: Model) -> Arrays:
    """weight, offset, bias and z_step of FORMAT 7.5, and its hidden layers.

    acc >> LIC_MAP_SHIFT is the rounded byte, so every plane has a scale (units of the byte) and a zero.
    """
    scale, zero = model.residual.planes().T
    latent = model.config.latent
    rows = np.repeat(scale, CELL * latent)
    arrays = {
        "weight": _limited(
            "weight", _numbers(model.map.weight) * rows[:, None] * ONE / Z_ONE, LIC_WEIGHT_MAX, np.int16
        ),
        "offset": (_numbers(model.map.offset) * rows + np.repeat(zero, CELL * latent) + 0.5) * ONE,
        "bias": _numbers(model.map.bias) * np.repeat(scale, latent) * ONE,
    }
    for name in ("offset", "bias"):
        arrays[name] = _limited(name, arrays[name], LIC_BIAS_MAX, np.int32)
    for n, layer in enumerate(getattr(model.map, "hidden", ()), start=1):
        weight, bias = _numbers(layer.weight[:, :, 0, 0]) * ONE, (_numbers(layer.bias) * Z_ONE + 0.5) * ONE
        arrays[f"hidden{n}_weight"] = _limited("a hidden weight", weight, LIC_WEIGHT_MAX, np.int16)
        arrays[f"hidden{n}_offset"] = _limited("a hidden offset", bias, LIC_BIAS_MAX, np.int32)
    z_step = Z_ONE * np.exp(-_numbers(model.hyper_rate.gain))
    return {**arrays, "z_step": z_step.round().clip(1, 255).astype(np.uint8)}


@torch.no_grad()
def read_map(model: Model, arrays: Arrays, kind: Residual, rows: int) -> None:
    """The inverse of integer_map. kind, rows: of the exported model. Channels of y that it has not are zero."""
    tables = {name: torch.from_numpy(array.astype(np.float64)) for name, array in arrays.items()}
    planes = torch.from_numpy(kind.planes())
    if rows != ROWS:  # the exported bank is as wide, with other rows
        planes[planes[:, 0] == SCALE[0]] *= (rows - 1) / (ROWS - 1)
    channels = tables["bias"].shape[1] // len(planes)
    scale, zero = planes.repeat_interleave(channels, 0).T
    cell_scale, cell_zero = scale.repeat_interleave(CELL), zero.repeat_interleave(CELL)
    cells = len(tables["offset"])
    found = model.map
    found.weight.zero_()[:cells] = tables["weight"] / cell_scale[:, None] * Z_ONE / ONE
    found.offset.zero_()[:cells] = (tables["offset"] / ONE - 0.5 - cell_zero) / cell_scale
    found.bias.zero_()[:, : tables["bias"].shape[1]] = tables["bias"] / scale / ONE
    for n, layer in enumerate(getattr(found, "hidden", ()), start=1):
        layer.weight.copy_(tables[f"hidden{n}_weight"][:, :, None, None] / ONE)
        layer.bias.copy_((tables[f"hidden{n}_offset"] / ONE - 0.5) / Z_ONE)
    model.hyper_rate.gain.copy_(-(tables["z_step"] / Z_ONE).log())


# ---- The prior of z -------------------------------------------------------------------------------------------------


def stored_prior(rate: HyperRate) -> Arrays:
    """The mixtures of z as floats, which nothing but a further training reads."""
    return {PRIOR + name: _numbers(getattr(rate, name)).astype(np.float16) for name in PRIOR_TABLES}


@torch.no_grad()
def read_prior(rate: HyperRate, exported: Exported) -> None:
    """The prior of z of an exported model: as it was trained where its encoder's file has it, else fitted to the rows
    of its bank.
    """
    stored = {name: exported.encoder_arrays.get(PRIOR + name) for name in PRIOR_TABLES}
    if all(array is not None and array.shape == getattr(rate, name).shape for name, array in stored.items()):
        for name, array in stored.items():
            getattr(rate, name).copy_(torch.from_numpy(array.astype(np.float32)))
        return
    arrays = exported.arrays
    levels = 1 + (arrays["z_level"].shape[2] if "z_level" in arrays else 0)
    classes = int(arrays["z_near"][0]) if "z_near" in arrays else 1
    together = levels * classes
    z_rows = rate.gain.numel() * together
    counts = arrays["count"][-z_rows:].astype(np.int64).tolist()
    freq, first = (torch.from_numpy(arrays[name].astype(np.float64)) for name in ("freq", "first"))
    rows = freq[-sum(counts) :].split(counts)
    firsts = first[-z_rows:].long()
    parts = [merged(rows[k : k + together], firsts[k : k + together], classes) for k in range(0, z_rows, together)]
    fit_hyper_rate(rate, [row for row, _ in parts], torch.tensor([low for _, low in parts]))


def merged(rows: Sequence[Tensor], firsts: Tensor, classes: int = 1) -> tuple[Tensor, int]:
    """One row of frequencies of one channel of z, that of the escape last, and the value that it begins with, from its
    rows at all levels and in all classes of neighbours (FORMAT 7.4), the classes of a level together.

    Levels are about as frequent, as export makes them. Classes are taken to be as frequent as independent neighbours
    with the distribution that comes of it would make them.
    """
    low = int(firsts.min())
    high = max(int(start) + len(row) - 1 for row, start in zip(rows, firsts))
    each = rows[0].new_zeros(len(rows), high - low + 1)
    for found, row, start in zip(each, rows, firsts):
        at = int(start) - low
        found[at : at + len(row) - 1] = row[:-1]
        found[-1] = row[-1]
    each = each.view(-1, classes, each.shape[1]).sum(0)  # (classes, values)
    if classes == 1:
        return each[0], low
    of_pair = neighbour_class(torch.arange(low, high))
    whole = each[0]
    for _ in range(ROUNDS):
        value = whole[:-1] / whole[:-1].sum()
        share = torch.zeros(classes, dtype=value.dtype)
        share.index_add_(0, of_pair.flatten(), torch.outer(value, value).flatten())
        whole = share @ each
    return whole, low


def neighbour_class(values: Tensor) -> Tensor:
    """(n, n): the class of FORMAT 7.4 of each pair of neighbours with these values."""
    size = (values[:, None].abs() + values.abs()).clamp(max=3)
    return torch.where(size == 0, 0, 3 * size - 1 + (values[:, None] + values).sign())


def fit_hyper_rate(rate: HyperRate, rows: list[Tensor], firsts: Tensor, steps: int = 400) -> None:
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


# ---- A start from a model -------------------------------------------------------------------------------------------


@torch.no_grad()
def start_from_model(model: Model, folder: Path, prior: bool = True, fresh_synthesis: bool = False) -> int:
    """Weights of an exported model: what export.py did, backwards. Returns how many channels of y the model has beyond
    it.

    These channels are the last, and zero (`start_further` gives them something to do); blocks beyond those of the
    exported model change nothing at first; all other widths are the same. prior: whether that of z is wanted, which may
    have to be fitted. fresh_synthesis: leaves the synthesis as it is but for its linear path, whatever its design is.
    """
    exported = store.read_model(0, folder)
    further = model.config.latent - exported.manifest.latent
    added = _read_networks(model, exported, further, fresh_synthesis)
    for name in added:
        block = model.get_submodule(name)
        for layer in (block.join, block.contract):  # changes nothing at first
            layer.weight.zero_()
    kind = kind_of(exported.arrays, exported.manifest.latent)
    model.prior.gain += math.log(kind.unit)
    read_map(model, exported.arrays, kind, exported.manifest.rows)
    if prior:
        read_prior(model.hyper_rate, exported)
    return further


def _read_networks(model: Model, exported: Exported, further: int, fresh_synthesis: bool) -> set[str]:
    """Fills the stages. Returns the names of the blocks that the exported model has not."""
    whole = model.state_dict()
    networks: dict[str, Tensor] = {}
    for file in (manifests.DECODER, manifests.ENCODER):
        for name, value in stages(exported, file).state_dict().items():
            networks[name] = _padded(value, whole.get(name, value), further)
    known = (f"{model.map_name}.", "hyper_rate.")
    if fresh_synthesis:
        kept = lambda name: not name.startswith("synthesis.") or name.startswith("synthesis.direct.")  # noqa: E731
        networks = {name: value for name, value in networks.items() if kept(name)}
        known = (*known, "synthesis.")
        model.synthesis.out.weight.mul_(0.1)
    odd = [name for name, value in networks.items() if name in whole and value.shape != whole[name].shape]
    fitting = {name: value for name, value in networks.items() if name not in odd}
    missing, unexpected = model.load_state_dict(fitting, strict=False)
    missing = [name for name in missing if not name.startswith(known)]
    added = {name.rpartition(".")[0].rpartition(".")[0] for name in missing if name.endswith(".mix.weight")}
    known = tuple(f"{name}." for name in added)
    foreign = [name for name in missing if not name.startswith(known) and not name.endswith("_tone")] + unexpected + odd
    if foreign or further < 0:
        msg = f"{exported.path} holds another network than the configuration's: {', '.join(foreign[:5])}"
        raise ValueError(msg)
    return added


def _padded(value: Tensor, like: Tensor, further: int) -> Tensor:
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
def start_from_checkpoint(model: nn.Module, checkpoint: Path) -> None:
    """The averaged weights of a run of the same network, its prior of z among them."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    try:
        model.load_state_dict(state["average"])
    except RuntimeError as error:
        msg = f"{checkpoint} holds another network than the configuration's: {str(error).splitlines()[-1].strip()}"
        raise ValueError(msg) from error
