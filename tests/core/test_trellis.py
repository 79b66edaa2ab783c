"""Dependent quantisation: the decoder's rules and the encoder's search (FORMAT 7.9); tiles are in
test_trellis_tiles.py.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from random_tables import levels_of, random_symbols
from slow_residual import level_of, next_state

from pillow_lic import _core_test, constants

pytestmark = pytest.mark.quick

STATES = 128
NEXT = np.array([[next_state(state, parity) for parity in (0, 1)] for state in range(STATES)])


# ---- symbols and levels ----------------------------------------------------------------------------------------------


def symbols_of(levels: np.ndarray, index: np.ndarray, rows: int, trellis: int) -> tuple[np.ndarray, np.ndarray]:
    """The symbols and rows of levels (M, n): each symbol the one of all that could be it whose level it is."""
    symbols, row = np.empty_like(levels), np.empty_like(index)
    for at in range(levels.shape[1]):
        state = 0
        for m in range(len(levels)):
            level, scale = int(levels[m, at]), int(index[m, at])
            near = level // (3 if scale < trellis else 4)
            (symbol,) = (k for k in range(near - 2, near + 3) if level_of(k, scale, state, trellis) == level)
            symbols[m, at], row[m, at] = symbol, scale + (rows if scale >= trellis and state & 1 else 0)
            state = next_state(state, symbol) if scale >= trellis else state
    return symbols, row


def test_states():
    """Two ways from each state and two into each, of an even and an odd symbol, from states of one parity."""
    assert (constants.LIC_TRELLIS_STATES, constants.LIC_LEVEL_PLAIN, constants.LIC_LEVEL_TRELLIS) == (STATES, 3, 4)
    assert (constants.LIC_TRELLIS_CHECK, constants.LIC_TRELLIS_PATH) == (0o235, 0o126)
    for state in range(STATES):
        sources, parities = np.nonzero(state == NEXT)
        assert sorted(parities) == [0, 1]
        assert sources[0] % 2 == sources[1] % 2


@pytest.mark.parametrize("trellis", [0, 3, 8])
@pytest.mark.parametrize("seed", range(6))
def test_symbols_of_levels(seed: int, trellis: int):
    rng = np.random.default_rng(seed)
    index = rng.integers(0, 8, (9, 1 + 13 * seed)).astype(np.uint8)
    levels = levels_of(random_symbols(rng, index.shape), index, trellis)
    symbols, rows = _core_test.trellis_symbols(levels, index, 8, trellis)
    assert symbols.dtype == np.int16
    assert rows.dtype == np.uint8
    wanted = symbols_of(levels, index, 8, trellis)
    assert np.array_equal(symbols, wanted[0])
    assert np.array_equal(rows, wanted[1])
    assert np.array_equal(levels_of(symbols, index, trellis), levels)


@pytest.mark.parametrize(
    ("before", "scale", "state"), [((), 5, 0), ((4,), 5, 43), ((4, 2), 1, 0)], ids=["even", "odd", "plain"]
)
def test_forbidden_levels(before: tuple[int, ...], scale: int, state: int):
    """All levels that the rules make of a symbol, to the ends of i16, and no others."""
    index = np.array([[5], [5], [1]], np.uint8)[: len(before) + 1]
    allowed = {level_of(k, scale, state, 2) for k in range(-11000, 11000)}
    for level in (*range(-32768, -32700), *range(-40, 41), *range(32700, 32768)):
        r = np.array([*before, level], np.int16)[:, None]
        if level in allowed:
            symbols, _ = _core_test.trellis_symbols(r, index, 6, 2)
            assert np.array_equal(symbols, symbols_of(r, index, 6, 2)[0])
        else:
            with pytest.raises(ValueError, match="no level"):
                _core_test.trellis_symbols(r, index, 6, 2)


# ---- the search ------------------------------------------------------------------------------------------------------

Candidates = Callable[[int, int, int], Iterable[tuple[int, float]]]  # channel, position, state: symbols and costs


class Sought:
    """What a search is given: random values, indices on both sides of skip and trellis, bits that mostly rise with the
    size.
    """

    def __init__(
        self,
        seed: int,
        M: int,
        n: int,
        rows: int = 9,
        skip: int = 2,
        trellis: int = 4,
        weight: float = 1.0,
        spread: float = 9.0,
    ):
        rng = np.random.default_rng(seed)
        self.rows, self.skip, self.trellis = rows, skip, trellis
        self.x = rng.normal(0, spread, (M, n)).astype(np.float32)
        self.x[rng.random((M, n)) < 0.1] = 0
        self.index = rng.integers(0, rows, (M, n)).astype(np.uint8)
        self.bits = (rng.random((2 * rows, 7)) + rng.random((2 * rows, 1)) * 3 * np.arange(7)).astype(np.float32)
        self.weight = (weight * rng.random(M)).astype(np.float32)

    def search(self) -> np.ndarray:
        return _core_test.trellis_search(self.x, self.index, self.bits, self.weight, self.rows, self.trellis, self.skip)

    def cost(self, m: int, at: int, state: int, symbol: int) -> float:
        scale = int(self.index[m, at])
        error = float(self.x[m, at]) - level_of(symbol, scale, state, self.trellis)
        row = scale + (self.rows if scale >= self.trellis and state & 1 else 0)
        bits = float(self.bits[row, min(abs(symbol), self.bits.shape[1] - 1)])
        return error**2 + (float(self.weight[m]) * bits if scale >= self.skip else 0.0)

    def near(self, m: int, at: int, state: int) -> list[tuple[int, float]]:
        """The search's own candidates, with the sign of x."""
        scale, size, sign = self.index[m, at], abs(self.x[m, at]), -1 if self.x[m, at] < 0 else 1
        if scale < self.skip:
            sizes = [0]
        elif scale < self.trellis:
            low = int(size / np.float32(3))
            sizes = [0, low, low + 1]
        else:
            low = int((size + np.float32(2 * (state & 1))) / np.float32(4))
            sizes = [max(low - 1, 0), low, low + 1]
        return [(sign * k, self.cost(m, at, state, sign * k)) for k in sizes]

    def any(self, m: int, at: int, state: int) -> list[tuple[int, float]]:
        """Every small symbol."""
        return [(k, self.cost(m, at, state, k)) for k in (range(-5, 6) if self.index[m, at] >= self.skip else (0,))]

    def paid(self, levels: np.ndarray) -> np.ndarray:
        """What levels cost (n,), by the rules."""
        symbols, _ = symbols_of(levels, self.index, self.rows, self.trellis)
        total = np.zeros(levels.shape[1])
        for at in range(levels.shape[1]):
            state = 0
            for m, symbol in enumerate(symbols[:, at].tolist()):
                total[at] += self.cost(m, at, state, symbol)
                state = next_state(state, symbol) if self.index[m, at] >= self.trellis else state
        return total

    def least(self) -> np.ndarray:
        """The least cost (n,) of any path through the candidates: Viterbi over all states."""
        n = self.x.shape[1]
        total = np.full((STATES, n), np.inf)
        total[0] = 0
        for m in range(len(self.x)):
            step = np.full((2, 2, n), np.inf)  # by the parities of state and symbol
            for at in range(n):
                for odd in (0, 1):
                    for symbol, cost in self.near(m, at, odd):
                        step[odd, symbol & 1, at] = min(step[odd, symbol & 1, at], cost)
            ways = total[:, None] + step[np.arange(STATES) % 2]
            moved = np.full_like(total, np.inf)
            np.minimum.at(moved, NEXT, ways)
            total = np.where(self.index[m] >= self.trellis, moved, total + step[0].min(0))
        return total.min(0)

    def least_of_all(self, candidates: Candidates, at: int, m: int = 0, state: int = 0) -> float:
        """The same of one position by trying all paths."""
        if m == len(self.x):
            return 0.0
        inside = self.index[m, at] >= self.trellis
        ways = candidates(m, at, state)
        return min(
            cost + self.least_of_all(candidates, at, m + 1, next_state(state, k) if inside else state)
            for k, cost in ways
        )


@pytest.mark.parametrize("weight", [0.0, 0.5, 20.0])
@pytest.mark.parametrize(("M", "n"), [(1, 1), (3, 15), (24, 16), (40, 17), (12, 53)])
def test_search_finds_the_least_cost(M: int, n: int, weight: float):
    for seed, trellis in enumerate((2, 4, 9)):
        sought = Sought(seed, M, n, trellis=trellis, weight=weight, spread=(1, 9, 400)[seed])
        assert sought.paid(sought.search()) == pytest.approx(sought.least(), rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_search_against_all_paths(seed: int):
    """Those through its candidates; and where bits cost nothing, those through any symbols."""
    for M, skip, trellis in ((4, 0, 0), (5, 1, 2)):
        sought = Sought(seed, M, 6, skip=skip, trellis=trellis, weight=2.0, spread=4)
        wanted = [sought.least_of_all(sought.near, at) for at in range(6)]
        assert sought.paid(sought.search()) == pytest.approx(wanted, rel=1e-5, abs=1e-4)
        assert sought.least() == pytest.approx(wanted)
    sought = Sought(seed, 4, 3, skip=1, trellis=1, weight=0.0, spread=3)
    wanted = [sought.least_of_all(sought.any, at) for at in range(3)]
    assert sought.paid(sought.search()) == pytest.approx(wanted, rel=1e-5, abs=1e-4)


def test_search_of_all_paths(simd: str):
    """The levels do not depend on the code path."""
    for seed, n in enumerate((1, 16, 333)):
        sought = Sought(seed, 64, n, weight=3.0, spread=30)
        found = sought.search()
        _core_test.set_simd("scalar")
        assert np.array_equal(found, sought.search())
        _core_test.set_simd(simd)


def test_search_of_wild_values(simd: str):
    """NaN is taken for 0, what is beyond all levels for the last of them; the positions beside it are what they
    were.
    """
    sought = Sought(1, 12, 37, skip=1, trellis=3)
    wild = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 32760, -32760, 32768, -32769, 1e9], np.float32)
    at = np.random.default_rng(2).random(sought.x.shape) < 0.3
    sought.x[at] = np.resize(wild, at.sum())
    levels = sought.search()
    symbols, _ = _core_test.trellis_symbols(levels, sought.index, sought.rows, sought.trellis)
    assert np.array_equal(levels_of(symbols, sought.index, sought.trellis), levels)
    large = (np.abs(sought.x) > 32768) & (sought.index >= sought.skip)
    assert np.array_equal(np.sign(levels[large]), np.sign(sought.x[large]))
    assert np.abs(levels[large].astype(int)).min() > 32750
    sought.x = np.nan_to_num(sought.x, nan=0.0).clip(-32760, 32760)
    assert np.array_equal(sought.search(), levels)
    for spoilt in (np.nan, np.inf, -np.inf, -1e30, 1e38):
        sought.weight[3] = sought.bits[5, 2] = spoilt
        _core_test.trellis_symbols(sought.search(), sought.index, sought.rows, sought.trellis)


def test_search_of_indices_beyond_the_rows():
    """They are taken for the last one."""
    sought = Sought(3, 6, 20)
    sought.index[sought.index == 8] = 255
    found = sought.search()
    sought.index[sought.index == 255] = 8
    assert np.array_equal(found, sought.search())


def test_granular_gain():
    """The error of uniform noise is that of a scalar quantiser of spacing 4 but for 1.29 dB, of 1.53 that there can be.

    Measured 1.289 +- 0.001; states are few in the first channels, so 320 channels have 1.254, and 64 have 1.064.
    """
    x = np.random.default_rng(4).uniform(-3000, 3000, (1024, 256)).astype(np.float32)
    index, free = np.ones(x.shape, np.uint8), np.zeros(1024, np.float32)
    levels = _core_test.trellis_search(x, index, np.zeros((4, 1), np.float32), free, 2, 1, 0)
    gain = -10 * np.log10(np.square(levels - x.astype(float)).mean() / (4**2 / 12))
    assert 1.24 < gain < 1.53


@pytest.mark.parametrize(
    "change",
    [
        {"x": np.zeros((4, 5), np.float64)},
        {"x": np.zeros((4, 10), np.float32)[:, ::2]},
        {"x": np.zeros(20, np.float32)},
        {"index": np.zeros((4, 5), np.int16)},
        {"index": np.zeros((4, 6), np.uint8)},
        {"bits": np.zeros((18, 3), np.float64)},
        {"bits": np.zeros((9, 3), np.float32)},
        {"bits": np.zeros((18, 0), np.float32)},
        {"weight": np.zeros(5, np.float32)},
        {"weight": np.zeros(4)},
        {"rows": 0},
        {"rows": 129, "bits": np.zeros((258, 3), np.float32)},
        *({"trellis": n} for n in (-1, 1, 10)),
        {"skip": 5},
    ],
    ids=str,
)
def test_wrong_arguments(change: dict):
    own = vars(Sought(0, 4, 5)) | change
    with pytest.raises(ValueError, match=r"^argument "):
        _core_test.trellis_search(**own)
    shared = {key: own[key] for key in ("index", "rows", "trellis")}
    if shared.keys() & change.keys() and change != {"trellis": 1}:  # which is wrong for its skip alone
        with pytest.raises(ValueError, match=r"^argument "):
            _core_test.trellis_symbols(r=np.zeros((4, 5), np.int16), **shared)
