"""Random tables and tiles of FORMAT 7, for the tests of the coder and of its tables."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import slow_tables
import slow_tile
from hypothesis import strategies as st
from slow_residual import level_of, next_state

from pillow_lic import _core_test
from pillow_lic.constants import LIC_NEIGHBOUR_CLASSES, LIC_SHIFT_MAX, LIC_TILE_SIDE_MAX
from pillow_lic.entropy import Tables

if TYPE_CHECKING:
    from collections.abc import Sequence


def random_bank(rng: np.random.Generator, rows: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies of rows, one row after the other, and how many each has, 2 to `most`: of sum 65536, each at least 1,
    from even to one symbol that has nearly everything.
    """
    count = rng.integers(2, most + 1, rows)
    there = np.arange(most) < count[:, None]
    mass = there * rng.random((rows, most)) ** rng.choice([0.5, 2, 40], (rows, 1))
    freq = there + np.floor(mass / mass.sum(1, keepdims=True) * (65536 - count[:, None])).astype(np.int64)
    freq[np.arange(rows), freq.argmax(1)] += 65536 - freq.sum(1)
    return freq[there].astype(np.uint16), count.astype(np.int32)


def random_arrays(
    rng,
    latent: int,
    hyper: int,
    points: int,
    rows: int,
    most: int = 40,
    levels: int = 1,
    trellis: int | None = None,
    near: bool = False,
) -> dict[str, np.ndarray]:
    """The arrays of FORMAT 9.2, with scale indices that spread over all rows. near: with classes of neighbours."""
    scale_rows = rows if trellis is None else 2 * rows
    classes = LIC_NEIGHBOUR_CLASSES if near else 1
    freq, count = random_bank(rng, scale_rows + points * hyper * levels * classes, most)
    around = -(count // 2)
    first = np.where(rng.random(len(count)) < 0.9, around, rng.choice([-32768, 32767], len(count)))
    return {
        **(
            {"z_level": rng.integers(0, 3 * hyper, (points, hyper, levels - 1)).astype(np.uint16)} if levels > 1 else {}
        ),
        **({} if trellis is None else {"trellis": np.array([trellis], np.int32)}),
        **({"z_near": np.array([classes], np.int32)} if near else {}),
        "freq": freq,
        "count": count,
        "first": first.astype(np.int16),
        "weight": rng.integers(-1023, 1024, (16 * latent, hyper)).astype(np.int16),
        "offset": rng.integers(-(1 << 17), rows << 12, 16 * latent).astype(np.int32),
        "bias": rng.integers(-(1 << 15), 1 << 15, (points, latent)).astype(np.int32),
        "z_step": rng.integers(1, 256, (points, hyper)).astype(np.uint8),
    }


def random_symbols(rng, shape: tuple[int, ...]) -> np.ndarray:
    """Mostly small, some anywhere in i16, some at its ends: small rows make escapes of many of them."""
    small = np.round(rng.normal(0, rng.choice([0.3, 3, 30]), shape))
    wild = rng.integers(-32768, 32768, shape)
    ends = rng.choice([-32768, 32767], shape)
    kind = rng.random(shape)
    share = rng.choice([0.0, 0.02, 0.5])
    return np.where(kind < share, np.where(kind < share / 2, ends, wild), small).astype(np.int16)


def random_thresholds(rng, count: int, most: int) -> bytes:
    """Thresholds of `count` + 1 stages, or of fewer: of indices up to `most`, some beyond it."""
    reach = np.arange(1, min(most + 3, 255))
    return bytes(sorted(rng.permutation(reach)[:count].tolist(), reverse=True))


def levels_of(symbols: np.ndarray, index: np.ndarray, trellis: int, thresholds: bytes = b"") -> np.ndarray:
    """The levels (M, ...) of symbols, of which those beyond what i16 allows are made smaller (FORMAT 7.9), in the order
    of their stages.
    """
    levels, states = np.empty(symbols.shape, np.int16), np.zeros(symbols.shape[1:], int)
    for high, low in pairwise((256, *thresholds, 0)):
        for place in np.argwhere((index >= low) & (index < high)):
            at = tuple(place)
            symbol, state = int(symbols[at]), int(states[at[1:]])
            while not -32768 <= (level := level_of(symbol, index[at], state, trellis)) <= 32767:
                symbol = int(symbol / 2)
            levels[at] = level
            if index[at] >= trellis:
                states[at[1:]] = next_state(state, symbol)
    return levels


class Tile:
    """What both kinds of cases do with their tile. The class has model, coding, z and r."""

    def encode(self) -> list[bytes]:
        return _core_test.encode(self.model, self.coding, self.z, self.r)

    def encode_slow(self) -> list[bytes]:
        return _core_test.encode_slow(self.model, self.coding, self.z, self.r)

    def decode(self, stages: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        return _core_test.decode(self.model, self.coding, stages, self.r.shape[1:])

    def decode_slow(self, stages: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        return _core_test.decode_slow(self.model, self.coding, stages, self.r.shape[1:])

    def decode_cut(self, stages: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray, bool]:
        """z, r and whether they are all there, of a stream that may break off."""
        z, r = np.full_like(self.z, 7), np.full_like(self.r, 7)
        whole = self.model.read_tile(self.coding, stages, (*r.shape[1:], LIC_TILE_SIDE_MAX, 0), z, r, cut=True)
        return z, r, whole

    def decode_cut_slow(self, stages: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        return _core_test.decode_slow(self.model, self.coding, stages, self.r.shape[1:], cut=True)

    def decode_by_the_document(self, stages: Sequence[bytes], cut: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """By the second decoder."""
        q, thresholds, shift = (self.coding, b"", None) if isinstance(self.coding, int) else self.coding
        shapes, shift = (self.z.shape[1:], self.r.shape[1:]), None if shift is None else shift.tolist()
        z, r = slow_tile.decode_tile(stages, self.document, (q, list(thresholds), cut), *shapes, shift)
        return np.array(z), np.array(r)

    @cached_property
    def document(self) -> slow_tables.Tables:
        """The second decoder's tables."""
        return slow_tables.Tables(self.arrays, *self.numbers)


def first_bytes(stages: Sequence[bytes], size: int) -> list[bytes]:
    """So many of a tile's bytes, in its stages."""
    part = []
    for stage in stages:
        part.append(stage[:size])
        size -= len(part[-1])
    return part


class Case(Tile):
    """Random tables and a tile that they can hold. trellis: the first index of dependent quantisation, None for a model
    without. near: whether z has classes of neighbours. further: stages after the first, at most. shifted: with a
    quality map.
    """

    def __init__(
        self,
        seed: int,
        h: int,
        w: int,
        latent: int = 3,
        hyper: int = 5,
        rows: int = 8,
        skip: int = 2,
        levels: int = 4,
        trellis: int | None = None,
        near: bool = False,
        further: int = 0,
        shifted: bool = False,
    ):
        rng = np.random.default_rng(seed)
        self.h, self.w, self.a, self.b = h, w, -(-h // 4), -(-w // 4)
        self.points = int(rng.integers(2, 6))
        self.arrays = random_arrays(rng, latent, hyper, self.points, rows, levels=levels, trellis=trellis, near=near)
        self.numbers = latent, hyper, self.points, rows, skip
        self.tables = Tables(self.arrays, *self.numbers)
        self.model = self.tables.model
        self.q = int(rng.choice([100, 10000, rng.integers(100, 10001)]))
        self.z = random_symbols(rng, (hyper, self.a, self.b))
        self.r = random_symbols(rng, (latent, h, w))
        self.thresholds = random_thresholds(rng, further, rows)
        self.shift = rng.integers(-LIC_SHIFT_MAX, LIC_SHIFT_MAX + 1, (self.a, self.b)).astype(np.int8)
        if not shifted:
            self.shift = None
        self.coding = (self.q, self.thresholds, self.shift) if shifted or further else self.q
        self.index = self.tables.scale_index(self.coding, self.z, h, w)
        self.r[self.index < skip] = 0
        if trellis is not None:
            self.r = levels_of(self.r, self.index, trellis, self.thresholds)


cases = st.builds(
    Case,
    st.integers(0, 1 << 30),
    st.integers(1, 37),
    st.integers(1, 37),
    latent=st.integers(1, 6),
    hyper=st.integers(1, 9),
    rows=st.integers(1, 12),
    levels=st.sampled_from([1, 2, 4, 16]),
    skip=st.sampled_from([0, 1]),
    near=st.booleans(),
    further=st.sampled_from([0, 0, 1, 3, 15]),
    shifted=st.booleans(),
)
