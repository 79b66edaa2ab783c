"""The mixture coder (FORMAT 7.8) against big integers, its twins, and damaged streams."""

from __future__ import annotations

import mixture_sets
import mixture_twin
import numpy as np
import pytest
from code_paths import same_or_corrupt
from hypothesis import given
from hypothesis import strategies as st
from mixed_case import NORMAL, MixedCase, inverses
from on_host import COMPILER, intervals
from random_tables import Case, random_symbols

from pillow_lic import _core_test
from pillow_lic.entropy import CELL, PLANES, Tables
from pillow_lic.errors import LicModelMissing


def reference(planes: np.ndarray, inverse: np.ndarray, components: int, x: int) -> tuple[int, int]:
    """G(x) and rho of one position by the words of FORMAT 7.8, in Python's integers."""
    b = [int(v) for v in planes]
    scale = [min(v, len(inverse) - 1) for v in b[:components]]
    offset = [v - 128 for v in b[components : 2 * components]]
    a = [max(v, 1) for v in b[2 * components :]]
    weight = [v * 65535 // sum(a) for v in a]
    weight[0] = 65535 - sum(weight[1:])
    one = [int(inverse[s]) for s in scale]
    end = [-(-(1 << 24) // i) for i in one]
    rho = max(4, *((d + 23) // 16 + (abs(o) + 15) // 16 for d, o in zip(end, offset)))
    x = min(max(x, -rho), rho + 1)
    total = 0
    for k in range(components):
        d = 16 * x - 8 - offset[k]
        t = abs(d) * one[k]
        i, f = t >> 16, (t >> 8) & 255
        v = 32768 if abs(d) >= end[k] else int(NORMAL[i]) + ((int(NORMAL[i + 1]) - int(NORMAL[i])) * f >> 8)
        total += (32768 - v if d < 0 else min(32768 + v, 65535)) * weight[k] >> 16
    return (total * (65534 - 2 * rho) >> 16) + x + rho, rho


@pytest.mark.parametrize("components", [1, 2, 3, 4])
def test_cumulative(components: int):
    """Table, window, lic_cdf.h and Python agree, at random and at the ends of every parameter."""
    rng = np.random.default_rng(components)
    inverse = np.append(inverses(rng, 30), [2048, 1 << 24]).astype(np.uint32)
    mixture = _core_test.Mixture(NORMAL, inverse, components)
    n = 20000
    planes = rng.integers(0, 256, (PLANES * components, n)).astype(np.uint8)
    ends = rng.random(planes.shape) < 0.2
    planes[ends] = rng.choice([0, 255], ends.sum())
    planes[components : 2 * components, ::3] = rng.integers(120, 137, planes[components : 2 * components, ::3].shape)
    x = np.round(rng.normal(0, rng.choice([2, 40, 400], n))).astype(np.int16)
    fast, window, slow, radius = mixture.cumulative(planes, x)
    assert np.array_equal(fast, slow)
    assert np.array_equal(window, slow)
    twin, reach = mixture_twin.below(planes, inverse, x)
    assert np.array_equal(slow, twin)
    assert np.array_equal(radius, reach)
    for i in range(0, n, 97):
        assert (slow[i], radius[i]) == reference(planes[:, i], inverse, components, int(x[i]))


@given(st.integers(0, 1 << 30), st.integers(1, 4))
def test_every_symbol_is_possible(seed: int, components: int):
    """G starts at 0, rises by at least 1 with every symbol, and leaves room for the escape."""
    rng = np.random.default_rng(seed)
    mixture = _core_test.Mixture(NORMAL, inverses(rng, 5), components)
    one = rng.integers(0, 256, (PLANES * components, 1)).astype(np.uint8)
    radius = int(mixture.cumulative(one, np.zeros(1, np.int16))[3][0])
    x = np.arange(-radius, radius + 2).astype(np.int16)
    below = mixture.cumulative(np.ascontiguousarray(np.repeat(one, len(x), 1)), x)[0].astype(int)
    assert below[0] == 0
    assert (np.diff(below) >= 1).all()
    assert below[-1] < 65536


@given(st.integers(0, 1 << 30), st.integers(1, 4), st.integers(0, 900))
def test_run_of_given_mixtures(seed: int, components: int, n: int):
    rng = np.random.default_rng(seed)
    mixture = _core_test.Mixture(NORMAL, inverses(rng, 7), components)
    planes = rng.integers(0, 256, (PLANES * components, n)).astype(np.uint8)
    symbols = random_symbols(rng, (n,))
    assert np.array_equal(mixture.decode(mixture.encode(planes, symbols), planes), symbols)


@pytest.mark.parametrize("seed", range(4))
def test_sets_on_every_code_path(seed: int, tmp_path):
    """A part of `make fuzz`: bytes from the map, frequencies and streams, on all code paths of this machine, and in the
    kernels' source.
    """
    kernels = mixture_sets.Kernels(tmp_path) if COMPILER else None
    assert mixture_sets.round_of(seed, mixture_sets.levels(), kernels) == 24 * 96 * 96


@given(st.integers(0, 1 << 30), st.integers(1, 19), st.integers(1, 33), st.integers(1, 4), st.integers(0, 2))
def test_round_trip(seed: int, h: int, w: int, components: int, hidden: int):
    case = MixedCase(seed, h, w, components, hidden)
    data = case.encode()
    assert data == case.encode_slow()
    for decoded in (case.decode(data), case.decode_slow(data)):
        assert np.array_equal(decoded[0], case.z)
        assert np.array_equal(decoded[1], case.r)


@pytest.mark.parametrize("seed", range(6))
def test_beside_the_slow_decoder(seed: int):
    """The decoder that was written from the document alone finds the same integers."""
    case = MixedCase(seed, 5, 7, components=1 + seed % 4, hidden=seed % 3)
    z, r = case.decode_by_the_document(case.encode())
    assert np.array_equal(z, case.z)
    assert np.array_equal(r, case.r)


@pytest.mark.parametrize("seed", range(3))
def test_damaged(seed: int):
    """A cut or a flipped bit is refused, by both twins for the same reason."""
    case = MixedCase(seed, 7, 9)
    (data,) = case.encode()
    assert not any(same_or_corrupt(case, data[:n]) for n in range(0, len(data), 3))
    for bit in range(0, 8 * len(data), 11):
        copy = bytearray(data)
        copy[bit // 8] ^= 1 << bit % 8
        assert not same_or_corrupt(case, bytes(copy))


def test_one_stage_and_no_map():
    """Neither stages nor a quality map are of models of mixtures."""
    case = MixedCase(1, 5, 6)
    assert not case.model.staged
    assert case.model.stages(case.q, case.z, (5, 6), [0.5]) == b""
    for coding in ((case.q, b"\3", None), (case.q, b"", np.zeros((2, 2), np.int8))):
        with pytest.raises(ValueError, match="mixtures"):
            _core_test.encode(case.model, coding, case.z, case.r)


def test_hidden_layers():
    """The map behind hidden layers, by NumPy."""
    case = MixedCase(5, 12, 20, components=1, hidden=2)
    t, arrays = case.tables, case.arrays
    v = t.dequantised(case.q, case.z).astype(np.int64)
    for n in (1, 2):
        acc = np.einsum("kc,cab->kab", arrays[f"hidden{n}_weight"].astype(np.int64), v)
        acc = (acc + arrays[f"hidden{n}_offset"][:, None, None]) >> 11
        v = np.clip(np.where(acc < 0, acc >> 3, acc), -4096, 4095)
    acc = np.einsum("kc,cab->kab", arrays["weight"].astype(np.int64), v) + arrays["offset"][:, None, None]
    channels = len(acc) // CELL
    grid = acc.reshape(channels, 4, 4, case.a, case.b).transpose(0, 3, 1, 4, 2)
    grid = grid.reshape(channels, 4 * case.a, 4 * case.b)[:, : case.h, : case.w]
    wanted = np.clip((grid + t.bias(case.q)[:, None, None]) >> 11, 0, 255)
    assert np.array_equal(t.scale_index(case.q, case.z, case.h, case.w), wanted)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("normal", NORMAL[::-1].copy(), "normal falls"),
        ("normal", np.zeros(257, np.uint16), "normal does not run"),
        ("normal", NORMAL[:-1].copy(), "array normal is"),
        ("inverse", np.full(9, 2047, np.uint32), "array inverse is|inverse is out of range"),
        ("weight", np.zeros((CELL * PLANES * 5 + 1, 1), np.int16), "weight has"),
        ("hidden1_weight", np.zeros((3, 99), np.int16), "hidden1_weight is"),
    ],
)
def test_wrong_tables(name: str, value: np.ndarray, words: str):
    case = MixedCase(5, 4, 4)
    with pytest.raises(LicModelMissing, match=words):
        Tables({**case.arrays, name: value}, *case.numbers)


def test_skip_is_refused():
    case = MixedCase(5, 4, 4)
    latent, hyper, points, rows, _ = case.numbers
    with pytest.raises(LicModelMissing, match="skip"):
        Tables(case.arrays, latent, hyper, points, rows, 1)


# ---- Intervals that are given -------------------------------------------------------------------------------------


def known(case: MixedCase) -> np.ndarray:
    """(2, M, h, w) int32: the intervals of r, by the core's definition, as a GPU makes them by the same source."""
    components = case.tables.components
    mixture = _core_test.Mixture(NORMAL, case.arrays["inverse"], components)
    planes = case.tables.scale_index(case.q, case.z, case.h, case.w).reshape(PLANES * components, -1)
    return np.stack(intervals(mixture, planes, case.r.ravel())).reshape(2, *case.r.shape).astype(np.int32)


def tiles(case: MixedCase, side: int, given: np.ndarray | None = None) -> list[list[bytes]]:
    """All tiles of `side` hyper positions, as bytes."""
    count = -(-case.a // side) * -(-case.b // side)
    places = [(case.h, case.w, side, number) for number in range(count)]
    return [case.model.write_tile(case.q, place, case.z, case.r, given) for place in places]


@pytest.mark.parametrize("components", [1, 2, 3, 4])
@pytest.mark.parametrize("wild", [False, True])
def test_given_intervals_make_the_same_bytes(components: int, wild: bool):
    """One tile and several, symbols within their mixtures and escapes of one and of two words."""
    escapes = far = 0
    for seed in range(12):
        case = MixedCase(10 * seed + components, 1 + 3 * seed, 2 + 5 * (seed % 5), components, hidden=seed % 2)
        spread = np.random.default_rng(seed).standard_t(0.7, case.r.shape) * (300 if wild else 1)
        case.r = np.round(spread).clip(-32768, 32767).astype(np.int16) if wild else case.r.clip(-1, 1)
        given = known(case)
        beyond = np.abs(case.r.astype(np.int32))[given.sum(0) == 65536]
        escapes, far = escapes + len(beyond), far + int((beyond > 17000).sum())
        for side in (case.a + case.b, 2):
            assert tiles(case, side, given) == tiles(case, side)
    assert escapes > 1000 and far > 50 if wild else escapes == 0


def test_given_intervals_spare_the_map():
    """Without escapes nothing is looked up: intervals that are other than the map's are believed."""
    case = MixedCase(3, 9, 10, 2)
    case.r = np.zeros_like(case.r)
    other = np.stack([np.full(case.r.shape, start, np.int32) for start in (7, 1000)])
    assert tiles(case, 4, other) != tiles(case, 4)


@pytest.mark.parametrize(
    ("start", "freq"),
    [(-1, 5), (0, 0), (0, -3), (65536, 1), (65535, 2), (1, 65536), (1 << 30, 1 << 30), (5, 2**31 - 1)],
)
def test_intervals_that_are_none(start: int, freq: int):
    case = MixedCase(4, 6, 9, 3)
    for side in (1, 3):
        given = known(case)
        given[:, -1, -1, -1] = start, freq
        with pytest.raises(ValueError, match="an interval does not lie within 65536"):
            tiles(case, side, given)


def test_intervals_of_other_shapes_and_kinds():
    case = MixedCase(4, 6, 9, 3)
    given = known(case)
    for wrong in (given[0], given[:, :, :, :-1].copy(), given.astype(np.int64), given[::-1]):
        with pytest.raises(ValueError, match="argument intervals"):
            tiles(case, 3, wrong)
    rows = Case(1, 6, 9)
    assert not rows.model.takes_intervals
    place, given = (6, 9, 3, 0), np.zeros((2, *rows.r.shape), np.int32)
    with pytest.raises(ValueError, match="argument intervals: this residual kind takes none"):
        rows.model.write_tile(rows.q, place, rows.z, rows.r, given)
