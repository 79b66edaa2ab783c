"""Dependent quantisation: tiles of both coders, and what is refused (FORMAT 7.9).

Imports no torch.
"""

from __future__ import annotations

import numpy as np
import pytest
from code_paths import same_or_corrupt
from hypothesis import given, settings
from hypothesis import strategies as st
from mixed_case import MixedCase
from random_tables import Case, levels_of, random_arrays

from pillow_lic import _core_test
from pillow_lic.entropy import Tables
from pillow_lic.errors import LicCorruptTile, LicModelMissing

pytestmark = pytest.mark.quick

BEYOND = "a symbol is outside i16"


# ---- tiles -----------------------------------------------------------------------------------------------------------


def case_of(
    seed: int, h: int, w: int, latent: int, hyper: int, rows: int, shares: tuple[float, float], further: int = 0
) -> Case:
    """A case whose skip and trellis are those shares of the rows, and of the rows from skip on. With stages there are
    classes of neighbours and a quality map, too.
    """
    skip = round(shares[0] * rows)
    trellis, more = skip + round(shares[1] * (rows - skip)), further > 0
    return Case(seed, h, w, latent, hyper, rows, skip, 2, trellis, near=more, further=further, shifted=more)


share = st.sampled_from([0.0, 0.2, 0.5, 1.0])
cases = st.builds(
    case_of,
    st.integers(0, 1 << 30),
    st.integers(1, 21),
    st.integers(1, 37),
    latent=st.integers(1, 9),
    hyper=st.integers(1, 5),
    rows=st.integers(1, 12),
    shares=st.tuples(share, share),
    further=st.sampled_from([0, 1, 3, 15]),
)


def check_round_trip(case: Case) -> list[bytes]:
    """decode(encode(x)) is x; the slow twins say the same, to the byte."""
    data = case.encode()
    assert data == case.encode_slow()
    for z, r in (case.decode(data), case.decode_slow(data)):
        assert z.dtype == r.dtype == np.int16
        assert np.array_equal(z, case.z)
        assert np.array_equal(r, case.r)
    return data


@given(cases)
@settings(max_examples=150, deadline=None)
def test_round_trip(case: Case):
    check_round_trip(case)


@pytest.mark.parametrize(
    ("h", "w", "skip", "trellis"),
    [(1, 1, 0, 0), (1, 1, 2, 3), (52, 61, 2, 3), (5, 13, 4, 4), (16, 16, 8, 8), (9, 32, 0, 8)],
)
def test_tiles_of_all_paths(simd: str, h: int, w: int, skip: int, trellis: int):
    """Neither the bytes nor the levels depend on the code path."""
    case = Case(11, h, w, latent=6, hyper=7, skip=skip, trellis=trellis)
    data = check_round_trip(case)
    _core_test.set_simd("scalar")
    assert case.encode() == data


def test_large_tile():
    """Of many turns of the fast loops, in as many rows as there can be."""
    case = Case(7, 64, 120, latent=24, hyper=16, rows=128, skip=6, trellis=12)
    assert len(np.unique(case.tables.symbols(case.r.reshape(24, -1), case.index.reshape(24, -1))[1])) > 200
    check_round_trip(case)


@pytest.mark.parametrize("seed", range(8))
def test_beside_the_slow_decoder(seed: int):
    """The decoder of the document's words alone finds the same integers."""
    case = case_of(seed, 6, 9, 5, 3, 7, ((0, 0.3, 1)[seed % 3], (0, 0.4, 1)[seed // 3]), further=seed % 4)
    z, r = case.decode_by_the_document(case.encode())
    assert np.array_equal(z, case.z)
    assert np.array_equal(r, case.r)


def test_all_skipped():
    case = Case(3, 9, 10, rows=4, skip=4, trellis=4)
    assert not case.r.any()
    check_round_trip(case)


def test_none_in_the_trellis():
    """Levels are three times the symbols, and the stream is that of the symbols by a model without a trellis, but for
    its runs.
    """
    case = Case(5, 9, 10, latent=1, trellis=8)
    assert not (case.r % 3).any()
    assert _core_test.encode(without_trellis(case).model, case.q, case.z, case.r // 3) == check_round_trip(case)


def boundary_bits(case: Case) -> np.ndarray:
    """Bits of the sizes 0 to 511 under each scale row, by NumPy."""
    starts, table = np.concatenate([[0], case.arrays["count"].cumsum()]), []
    for row in range(case.tables.scale_rows):
        bits = 16 - np.log2(case.arrays["freq"][starts[row] : starts[row + 1]].astype(np.float64))
        place = np.arange(512) - int(case.arrays["first"][row])
        beyond = np.where(place < 0, -place - 1, place - (len(bits) - 1))
        escape = bits[-1] + np.where(beyond < 16384, 16, 32)
        table.append(np.where(beyond < 0, bits[place.clip(0, len(bits) - 2)], escape))
    return np.array(table, np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_sought_is_coded(seed: int):
    """Model.quantise gives levels that encode, Tables.symbols those whose bits were weighed, Tables.price their
    sum.
    """
    case = Case(seed, 9, 14, latent=12, rows=20, skip=2, trellis=5)
    x, index = np.random.default_rng(seed).normal(0, 9, (12, 126)).astype(np.float32), case.index.reshape(12, 126)
    r = case.tables.model.quantise(x, index, np.ones(12, np.float32))
    listed = boundary_bits(case)
    numbers = {"rows": 20, "trellis": 5, "skip": 2}
    assert np.array_equal(r, _core_test.trellis_search(x, index, listed, np.ones(12, np.float32), **numbers))
    assert np.abs(x - r)[index >= 2].max() < 9
    assert not r[index < 2].any()
    case.r = r.reshape(case.r.shape)
    check_round_trip(case)
    symbols, rows = case.tables.symbols(np.asfortranarray(r), np.asfortranarray(index))
    assert np.array_equal(levels_of(symbols, index, 5), r)
    paid = listed[rows, np.minimum(np.abs(symbols.astype(int)), 511)].astype(float)
    assert case.tables.price(r, index) == pytest.approx(paid[index >= 2].sum(), rel=1e-12)
    assert rows.max() < 40
    assert np.array_equal(rows % 20, index)


# ---- what is refused -------------------------------------------------------------------------------------------------


def without_trellis(case: Case) -> Tables:
    """Tables with the same rows, of a model whose r are symbols. A tile of one channel has the same runs under both."""
    t, arrays = case.tables, dict(case.arrays)
    bounds = np.concatenate([[0], arrays["count"].cumsum()])
    del arrays["trellis"]
    keep = np.r_[: t.rows, 2 * t.rows : len(arrays["count"])]
    arrays["freq"] = np.concatenate([arrays["freq"][bounds[k] : bounds[k + 1]] for k in keep])
    arrays["count"], arrays["first"] = arrays["count"][keep], arrays["first"][keep]
    return Tables(arrays, t.latent, t.hyper, t.points, t.rows, t.skip)


@pytest.mark.parametrize(("trellis", "least", "most"), [(2, -8192, 8191), (8, -10922, 10922)], ids=["trellis", "plain"])
def test_levels_beyond_i16(trellis: int, least: int, most: int):
    """A symbol that i16 holds and its level does not is refused, in the last position of a tile as in all others."""
    case = Case(4, 5, 7, latent=1, trellis=trellis)
    plain = without_trellis(case)
    y, x = np.argwhere(case.index[0] >= 2)[-1]
    for symbol in (least, most, least - 1, most + 1, 10923, -32768, 32767):
        r = np.zeros_like(case.r)
        r[0, y, x] = symbol
        data = _core_test.encode(plain.model, case.q, case.z, r)
        if least <= symbol <= most:
            assert case.decode(data)[1][0, y, x] == (4 if trellis == 2 else 3) * symbol
            continue
        for decode in (case.decode, case.decode_slow):
            with pytest.raises(LicCorruptTile, match=BEYOND):
                decode(data)


def test_wrong_levels():
    """An encoder is told of each level that its state forbids."""
    case = Case(3, 8, 8, latent=2, rows=6, skip=0, trellis=0)
    good = case.r.copy()
    for place in np.argwhere(np.abs(good) < 32700):
        case.r = good.copy()
        case.r[tuple(place)] += 1
        for encode in (case.encode, case.encode_slow):
            with pytest.raises(ValueError, match="no level that its state allows"):
                encode()


def test_not_zero_where_skipped():
    case = Case(3, 8, 8, rows=4, skip=4, trellis=4)
    case.r[2, 7, 7] = 3
    with pytest.raises(ValueError, match="skipped"):
        case.encode()


@pytest.mark.parametrize("seed", range(4))
def test_damaged(seed: int):
    """A cut or a flipped bit is refused, by both twins for the same reason, or is the one stream of other symbols."""
    case = Case(seed, 7, 9, latent=5, trellis=(2, 3, 5, 8)[seed])
    (data,) = case.encode()
    assert same_or_corrupt(case, data)
    for n in range(len(data)):
        assert not same_or_corrupt(case, data[:n])
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        assert not same_or_corrupt(case, bytes(damaged))
    assert not same_or_corrupt(case, data + b"\0")


@given(st.integers(0, 1 << 20), st.binary(max_size=600))
@settings(max_examples=100, deadline=None)
def test_random_bytes(seed: int, data: bytes):
    case = Case(seed, 6, 11, latent=4, trellis=3)
    assert not same_or_corrupt(case, data)
    assert not same_or_corrupt(case, b"\xff" * 16 + data)


@pytest.mark.parametrize(
    "value", [[-1], [0], [6], [1 << 30], 3, [3, 3], [], np.array([3], np.int64), np.array([3], np.uint8)], ids=repr
)
def test_wrong_tables(value: list[int] | np.ndarray):
    arrays = random_arrays(np.random.default_rng(5), 2, 3, 2, 5, trellis=3)
    tables = Tables(arrays, 2, 3, 2, 5, 1)
    assert (tables.kind, tables.model.unit, tables.model.spacings) == ("trellis", 3, [3, 3, 3, 4, 4])
    with pytest.raises(LicModelMissing, match=r"tables are not intact: .*trellis"):
        Tables({**arrays, "trellis": np.asarray(value, getattr(value, "dtype", np.int32))}, 2, 3, 2, 5, 1)


def test_rows_of_a_trellis():
    """128 scales at most, and two rows for each."""
    for rows in (128, 129):
        arrays = random_arrays(np.random.default_rng(5), 1, 2, 2, rows, most=4, trellis=3)
        if rows == 128:
            assert Tables(arrays, 1, 2, 2, rows, 1).scale_rows == 256
            continue
        with pytest.raises(LicModelMissing, match="at most 128"):
            Tables(arrays, 1, 2, 2, rows, 1)
    arrays = random_arrays(np.random.default_rng(5), 1, 2, 2, 5)
    tables = Tables(arrays, 1, 2, 2, 5, 1)
    assert (tables.kind, tables.model.unit, tables.model.spacings) == ("gaussian", 1, [1] * 5)
    with pytest.raises(LicModelMissing, match="count"):
        Tables({**arrays, "trellis": np.array([3], np.int32)}, 1, 2, 2, 5, 1)


def test_no_trellis_of_mixtures():
    case = MixedCase(5, 4, 4)
    arrays = {**case.arrays, "trellis": np.array([0], np.int32)}
    with pytest.raises(LicModelMissing, match="trellis"):
        Tables(arrays, *case.numbers)
