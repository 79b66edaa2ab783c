"""Launches mixture_cdf.cu: what the range coder needs of symbols under mixtures of normals (FORMAT 7.8), equal to the
bit to the core's.

Imports compile.py.
"""

from __future__ import annotations

from .compile import Where, each, ints

SOURCE = "mixture_cdf.cu"


def intervals(
    addresses: tuple[int, int, int, int, int, int], n: int, components: int, scales: int, where: Where
) -> None:
    """start and frequency, (n,) uint32 each, of n symbols.

    addresses: planes (3 components, n) uint8, symbols (n,) int16, inverse (scales,), normal (257,), start, frequency.
    """
    planes, symbols, inverse, normal, start, frequency = addresses
    arguments = planes, n, symbols, *ints(components), inverse, *ints(scales), normal, start, frequency
    each(SOURCE, "mixture_intervals", n, arguments, where)
