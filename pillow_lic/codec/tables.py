"""A model's integer tables at work: the coder's, how an encoder rounds by them, and the map from z to the scale index (FORMAT 7.5),
by the C++ core or, where the encoder's tensors are on a GPU, by its CUDA twin: integers alone, the same bit for bit.

Imports numpy and torch, and gpu when a tensor on one arrives.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..constants import LIC_HYPER_STRIDE
from ..entropy import Tables
from ..models.loader import Model
from . import boundary
from .device import Place
from .latents import stacked


@lru_cache(maxsize=8)
def of(model: Model) -> Tables:
    """The coder's tables, one object for each model."""
    return Tables.from_model(model.entry.manifest, model.arrays)


@lru_cache(maxsize=8)
def quantiser(model: Model, device: str) -> boundary.Quantiser:
    """How an encoder quantises residuals on a device, and what they cost."""
    return boundary.quantiser(of(model), model.arrays, model.entry.manifest["skip"], device)


def mapped(model: Model, place: Place, q: int, z: Tensor, hy: int, wy: int) -> tuple[Tensor, Tensor]:
    """v (N, C, hz, wz) int16 and the index (N, M, hy, wy) uint8, of mixtures (N, 3 K M, hy, wy), of z (N, C, hz, wz) int16."""
    one = _on_gpu if place.gpu else _on_cpu
    found = [one(model, place, q, part, hy, wy) for part in z]
    return stacked([v for v, _ in found]), stacked([index for _, index in found])


def _on_cpu(model: Model, _place: Place, q: int, z: Tensor, hy: int, wy: int) -> tuple[Tensor, Tensor]:
    tables, symbols = of(model), z.numpy()
    return torch.from_numpy(tables.dequantised(q, symbols)), torch.from_numpy(tables.scale_index(q, symbols, hy, wy))


def _on_gpu(model: Model, place: Place, q: int, z: Tensor, hy: int, wy: int) -> tuple[Tensor, Tensor]:
    from .. import gpu

    tables = of(model)
    *hidden, (weight, offset) = _layers(model, place.name)
    d, bias = (place.up(torch.from_numpy(values)) for values in (tables.z_steps(q), tables.bias(q)))
    z = z.contiguous()
    c, a, b = z.shape
    v = torch.empty_like(z)
    where = _where(z)
    gpu.dequantise(z.data_ptr(), d.data_ptr(), c, a * b, v.data_ptr(), *where)
    inputs = v
    for layer, add in hidden:
        outputs = torch.empty((len(add), a, b), dtype=torch.int16, device=z.device)
        pointers = inputs.data_ptr(), layer.data_ptr(), add.data_ptr(), outputs.data_ptr()
        gpu.hidden_layer(*pointers, len(inputs), len(add), a * b, *where)
        inputs = outputs
    index = torch.empty((len(offset) // LIC_HYPER_STRIDE**2, hy, wy), dtype=torch.uint8, device=z.device)
    pointers = inputs.data_ptr(), weight.data_ptr(), offset.data_ptr(), bias.data_ptr(), index.data_ptr()
    gpu.scale_map(*pointers, len(index), len(inputs), (a, b), (hy, wy), tables.values, *where)
    return v, index


def _where(x: Tensor) -> tuple[int, int, str | None]:
    """Device, handle of torch's current stream there, CUDA release: where a kernel is to run."""
    return x.device.index, torch.cuda.current_stream(x.device).cuda_stream, torch.version.cuda


@lru_cache(maxsize=8)
def _layers(model: Model, device: str) -> list[tuple[Tensor, Tensor]]:
    """Weights (outputs, inputs) int16 and offsets (outputs,) int32 of the hidden layers and of the map, on the device."""
    names = []
    while f"hidden{len(names) + 1}_weight" in model.arrays:
        names.append(f"hidden{len(names) + 1}_")
    pairs = [(model.arrays[f"{name}weight"], model.arrays[f"{name}offset"]) for name in (*names, "")]
    return [tuple(torch.from_numpy(np.array(array, order="C")).to(device) for array in pair) for pair in pairs]
