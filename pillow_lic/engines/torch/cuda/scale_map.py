"""Launches scale_map.cu: the integer map from z to the scale index (FORMAT 7.5). Arrays are dense and given by their
addresses.

Imports compile.py.
"""

from __future__ import annotations

from typing import NamedTuple

from .compile import Where, each, ints

SOURCE = "scale_map.cu"


class Shape(NamedTuple):
    """Of the last layer: to `channels` planes of `latent` (rows, columns) bytes, each below `rows`, from `inputs`
    planes of `hyper`.
    """

    channels: int
    inputs: int
    hyper: tuple[int, int]
    latent: tuple[int, int]
    rows: int


def dequantise(addresses: tuple[int, int, int], channels: int, positions: int, where: Where) -> None:
    """addresses: z (channels, positions) int16, d (channels,) int32, v as z: z times d, clamped."""
    z, d, v = addresses
    each(SOURCE, "dequantise", channels * positions, (z, d, *ints(channels), positions, v), where)


def hidden_layer(addresses: tuple[int, int, int, int], inputs: int, outputs: int, positions: int, where: Where) -> None:
    """addresses: v (inputs, positions) int16, weight, offset, and what follows, (outputs, positions) int16."""
    *given, following = addresses
    each(SOURCE, "hidden_layer", outputs * positions, (*given, *ints(inputs, outputs), positions, following), where)


def scale_map(addresses: tuple[int, int, int, int, int], shape: Shape, where: Where) -> None:
    """addresses: v (inputs, *hyper) int16, weight, offset, bias, and the index (channels, *latent) uint8."""
    *given, out = addresses
    sizes = ints(shape.channels, shape.inputs, *shape.hyper, *shape.latent, shape.rows)
    count = shape.channels * shape.latent[0] * shape.latent[1]
    each(SOURCE, "scale_map", count, (*given, *sizes, out), where)
