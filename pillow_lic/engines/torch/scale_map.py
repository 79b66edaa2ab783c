"""The map from z to the scale index (FORMAT 7.5) for an encoder's tensors: by the C++ core or, where they are on a GPU,
by its CUDA twin; integers alone, the same bit for bit.

Imports numpy, torch, entropy and models, and cuda/ when a tensor on a GPU arrives.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...constants import LIC_HYPER_STRIDE, LIC_OCTAVE_BITS, LIC_ROW_OCTAVE, LIC_Z_MAX, LIC_Z_MIN
from . import place as places
from .latents import stacked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...container import Header
    from ...models.store import Model
    from .place import Place


def scale_index(model: Model, place: Place, q: int, z: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """v (N, C, hz, wz) int16 and the index (N, M, hy, wy) uint8, of mixtures (N, 3 K M, hy, wy), of z (N, C, hz, wz)
    int16.
    """
    one = _on_gpu if place.gpu else _on_cpu
    found = [one(model, place, q, part, grid) for part in z]
    return stacked([v for v, _ in found]), stacked([index for _, index in found])


def dequantised(z: Tensor, d: Tensor) -> Tensor:
    """v of FORMAT 7.5 (N, C, hz, wz) int16 of z, as its shape, and the steps d (N, C) int32: z in units of 1/32."""
    product = z.to(torch.int32) * d[..., None, None]  # |z d| <= 2^15 * 255
    return product.clamp_(LIC_Z_MIN, LIC_Z_MAX).to(torch.int16)


def _on_cpu(model: Model, _place: Place, q: int, z: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    symbols = np.ascontiguousarray(z.numpy())
    v, index = model.core.dequantise(q, symbols), model.core.scale_index(q, symbols, *grid)
    return torch.from_numpy(v), torch.from_numpy(index)


def _on_gpu(model: Model, place: Place, q: int, z: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    from .cuda import scale_map as kernels

    *hidden, (weight, offset) = _layers(model, place.name)
    d, bias = (place.up(torch.from_numpy(values)) for values in (model.tables.z_steps(q), model.tables.bias(q)))
    z = z.contiguous()
    c, a, b = z.shape
    v, where = torch.empty_like(z), places.where(z)
    kernels.dequantise((z.data_ptr(), d.data_ptr(), v.data_ptr()), c, a * b, where)
    inputs = v
    for layer, add in hidden:
        outputs = torch.empty((len(add), a, b), dtype=torch.int16, device=z.device)
        pointers = inputs.data_ptr(), layer.data_ptr(), add.data_ptr(), outputs.data_ptr()
        kernels.hidden_layer(pointers, len(inputs), len(add), a * b, where)
        inputs = outputs
    index = torch.empty((len(offset) // LIC_HYPER_STRIDE**2, *grid), dtype=torch.uint8, device=z.device)
    shape = kernels.Shape(len(index), len(inputs), (a, b), grid, model.tables.values)
    addresses = inputs.data_ptr(), weight.data_ptr(), offset.data_ptr(), bias.data_ptr(), index.data_ptr()
    kernels.scale_map(addresses, shape, where)
    return v, index


@lru_cache(maxsize=8)
def _layers(model: Model, device: str) -> list[tuple[Tensor, Tensor]]:
    """Weights (outputs, inputs) int16 and offsets (outputs,) int32 of the hidden layers and of the map."""
    names = [""]
    while f"hidden{len(names)}_weight" in model.arrays:
        names.insert(-1, f"hidden{len(names)}_")
    arrays = ((model.arrays[f"{name}weight"], model.arrays[f"{name}offset"]) for name in names)
    return [(_uploaded(weight, device), _uploaded(offset, device)) for weight, offset in arrays]


def _uploaded(array: np.ndarray, device: str) -> Tensor:
    return torch.from_numpy(np.array(array, order="C")).to(device)


def shifted(
    index: Tensor, place: Place, header: Header, maps: Sequence[bytes | None], model: Model
) -> tuple[Tensor, Tensor | None]:
    """The index (N, M, hy, wy) as pictures' quality maps move it, and `finer`; both as they were where none has any."""
    if all(one is None for one in maps):
        return index, None
    rows = _rows(place, header, maps)
    moved = (index.to(torch.int16) + rows).clamp_(0, model.tables.values - 1).to(torch.uint8)
    return moved, _finer(rows)


def finer(place: Place, header: Header, maps: Sequence[bytes | None]) -> Tensor | None:
    """Factors (N, 1, hy, wy) of the steps by quality maps (FORMAT 8.2), or None."""
    return None if all(one is None for one in maps) else _finer(_rows(place, header, maps))


def _rows(place: Place, header: Header, maps: Sequence[bytes | None]) -> Tensor:
    """(N, 1, hy, wy) int16."""
    flat = [np.frombuffer(one or bytes(header.hyper_grid[0] * header.hyper_grid[1]), np.int8) for one in maps]
    blocks = np.stack(flat).reshape(len(maps), 1, *header.hyper_grid).astype(np.int16)
    whole = blocks.repeat(LIC_HYPER_STRIDE, 2).repeat(LIC_HYPER_STRIDE, 3)
    return place.up(torch.from_numpy(whole[:, :, : header.latent_grid[0], : header.latent_grid[1]].copy()))


def _finer(rows: Tensor) -> Tensor:
    octaves = -((rows.to(torch.int32) * LIC_ROW_OCTAVE + (1 << LIC_OCTAVE_BITS - 1)) >> LIC_OCTAVE_BITS)
    return torch.exp2(octaves.float() / (1 << LIC_OCTAVE_BITS))
