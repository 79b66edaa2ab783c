"""Launches those kernels of kernels/scale_map.cu that the product does not launch: packing of coded symbols, for tests
of them.
"""

from __future__ import annotations

from pillow_lic.engines.torch.cuda.compile import each, ints
from pillow_lic.engines.torch.cuda.scale_map import SOURCE


def coded_symbols(index: int, n: int, skip: int, coded: int, where) -> None:
    """coded (n,) uint8: 1 where index (n,) uint8 reaches `skip` (FORMAT 7.6). Its running sums (n,) int64 are the
    `place` of the next two.
    """
    each(SOURCE, "coded_symbols", n, (index, n, *ints(skip), coded), where)


def pack_symbols(index: int, r: int, place: int, n: int, skip: int, rows: int, symbols: int, where) -> None:
    """Of index (n,) uint8 and r (n,) int16 what is coded, in order: rows uint8 and symbols int16."""
    each(SOURCE, "pack_symbols", n, (index, r, place, n, *ints(skip), rows, symbols), where)


def spread_symbols(index: int, symbols: int, place: int, n: int, skip: int, r: int, where) -> None:
    """The inverse: r (n,) int16, 0 where nothing was coded."""
    each(SOURCE, "spread_symbols", n, (index, symbols, place, n, *ints(skip), r), where)
