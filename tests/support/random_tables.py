"""Random tables and tiles of FORMAT 7, for the tests of the coder and of its tables."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from slow_decoder import level_of, next_state

from pillow_lic import _core_test
from pillow_lic.entropy import Tables


def random_row(rng: np.random.Generator, most: int) -> np.ndarray:
    """Frequencies with sum 65536, each at least 1: from even to one symbol that has nearly everything."""
    count = int(rng.integers(2, most + 1))
    mass = rng.random(count) ** rng.choice([0.5, 2, 40])
    freq = 1 + np.floor(mass / mass.sum() * (65536 - count)).astype(np.int64)
    freq[np.argmax(freq)] += 65536 - freq.sum()
    return freq.astype(np.uint16)


def random_arrays(
    rng, latent: int, hyper: int, points: int, rows: int, most: int = 40, levels: int = 1, trellis: int | None = None
) -> dict[str, np.ndarray]:
    """The arrays of FORMAT 9.2, with scale indices that spread over all rows."""
    scale_rows = rows if trellis is None else 2 * rows
    bank = [random_row(rng, most) for _ in range(scale_rows + points * hyper * levels)]
    count = np.array([len(row) for row in bank], np.int32)
    near = -(count // 2)
    first = np.where(rng.random(len(bank)) < 0.9, near, rng.choice([-32768, 32767], len(bank)))
    return {
        **(
            {"z_level": rng.integers(0, 3 * hyper, (points, hyper, levels - 1)).astype(np.uint16)} if levels > 1 else {}
        ),
        **({} if trellis is None else {"trellis": np.array([trellis], np.int32)}),
        "freq": np.concatenate(bank),
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


def levels_of(symbols: np.ndarray, index: np.ndarray, trellis: int) -> np.ndarray:
    """The levels (M, ...) of symbols, of which those beyond what i16 allows are made smaller (FORMAT 7.9)."""
    levels, states = np.empty(symbols.shape, np.int16), np.zeros(symbols.shape[1:], int)
    for place in np.ndindex(symbols.shape):
        symbol, state = int(symbols[place]), int(states[place[1:]])
        while not -32768 <= (level := level_of(symbol, index[place], state, trellis)) <= 32767:
            symbol = int(symbol / 2)
        levels[place] = level
        if index[place] >= trellis:
            states[place[1:]] = next_state(state, symbol)
    return levels


class Case:
    """Random tables and a tile that they can hold. trellis: the first index of dependent quantisation, None for a model
    without.
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
    ):
        rng = np.random.default_rng(seed)
        self.h, self.w, self.a, self.b = h, w, -(-h // 4), -(-w // 4)
        self.points = int(rng.integers(2, 6))
        self.arrays = random_arrays(rng, latent, hyper, self.points, rows, levels=levels, trellis=trellis)
        self.tables = Tables(self.arrays, latent, hyper, self.points, rows, skip)
        self.q = int(rng.choice([100, 10000, rng.integers(100, 10001)]))
        self.z = random_symbols(rng, (hyper, self.a, self.b))
        self.r = random_symbols(rng, (latent, h, w))
        self.index = self.tables.scale_index(self.q, self.z, h, w)
        self.r[self.index < skip] = 0
        if trellis is not None:
            self.r = levels_of(self.r, self.index, trellis)

    def encode(self) -> bytes:
        return self.tables.encode(self.q, self.z, self.r)

    def decode(self, data: bytes) -> tuple[np.ndarray, np.ndarray]:
        return self.tables.decode(self.q, data, self.a, self.b, self.h, self.w)

    def encode_slow(self) -> bytes:
        return _core_test.encode_slow(self.tables.model, self.q, self.z, self.r)

    def decode_slow(self, data: bytes) -> tuple[np.ndarray, np.ndarray]:
        return _core_test.decode_slow(self.tables.model, self.q, data, (self.h, self.w))


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
)
