"""Tiles in stages, cut anywhere, with neighbours' classes and quality maps: the core, its twin and the second decoder
say the same (FORMAT 5.3, 6.3, 6.4, 7.4).

Imports no torch.
"""

from __future__ import annotations

import numpy as np
import pytest
from mixed_case import MixedCase
from random_tables import Case, first_bytes

from pillow_lic.errors import LicCorruptTile

pytestmark = pytest.mark.quick

KINDS = {"plain": {}, "trellis": {"trellis": 3}, "all trellis": {"trellis": 0, "skip": 0}}


def staged(kind: str, seed: int, h: int = 5, w: int = 9, **changes) -> Case:
    """A small tile in up to five stages."""
    options = {"latent": 3, "hyper": 3, "levels": 2, "near": True, "further": 4, "shifted": True}
    return Case(seed, h, w, **(options | KINDS[kind] | changes))


def agree(case: Case | MixedCase, stages: list[bytes]) -> tuple[np.ndarray, np.ndarray, bool]:
    """What is there of a tile that may break off, by all three decoders."""
    z, r, whole = case.decode_cut(stages)
    for other in (case.decode_cut_slow(stages), case.decode_by_the_document(stages, cut=True)):
        assert np.array_equal(other[0], z)
        assert np.array_equal(other[1], r)
    return z, r, whole


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", KINDS)
def test_beside_the_slow_decoder(kind, seed):
    case = staged(kind, seed, 4 + seed, 12 - seed)
    stages = case.encode()
    assert len(stages) == len(case.thresholds) + 1
    assert stages == case.encode_slow()
    for z, r in (case.decode(stages), case.decode_slow(stages), case.decode_by_the_document(stages)):
        assert np.array_equal(z, case.z)
        assert np.array_equal(r, case.r)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", [*KINDS, "mixture"])
def test_cut_at_every_byte(kind, seed):
    """What the words that are there tell is right, all else 0; asked for, and never a surprise."""
    case = MixedCase(seed, 3, 4) if kind == "mixture" else staged(kind, seed)
    stages = case.encode()
    size, before = sum(map(len, stages)), 0
    for count in range(size):
        part = first_bytes(stages, count)
        if count < 16:
            with pytest.raises(LicCorruptTile, match="shorter than its states"):
                case.decode_cut(part)
            continue
        with pytest.raises(LicCorruptTile):
            case.decode(part)
        z, r, whole = agree(case, part)
        assert not whole
        assert ((z == case.z) | (z == 0)).all()
        assert ((r == case.r) | (r == 0)).all()
        assert np.array_equal(z, case.z) or not r.any()
        right = (z == case.z).sum() + (r == case.r).sum()
        assert right >= before
        before = right
    z, r, whole = agree(case, stages)
    assert whole
    assert np.array_equal(z, case.z)
    assert np.array_equal(r, case.r)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stage_is_worth_its_place(kind):
    """The stages before a threshold tell all residuals of indices from there on, of others those that take no word."""
    case = staged(kind, 7)
    stages = case.encode()
    for count in range(1, len(stages)):
        z, r, _ = case.decode_cut([part if k < count else b"" for k, part in enumerate(stages)])
        assert np.array_equal(z, case.z)
        inside = case.index >= case.thresholds[count - 1]
        assert np.array_equal(r[inside], case.r[inside])
        assert ((r == case.r) | (r == 0)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_stages_hold_their_own_words_alone(kind):
    """A word more or less in one, a word moved to the next, a gap: refused by all, whether cut or not."""
    case = staged(kind, 6)
    good = case.encode()
    busy = [k for k in range(len(good) - 1) if len(good[k]) > (18 if k == 0 else 2) and good[k + 1]]
    assert busy
    for k in busy:
        for changed in (
            [*good[:k], good[k] + good[k + 1][:2], good[k + 1][2:], *good[k + 2 :]],
            [*good[:k], good[k][:-2], good[k][-2:] + good[k + 1], *good[k + 2 :]],
            [*good[:k], good[k][:-2], *good[k + 1 :]],
            [*good[:k], good[k] + b"\0\0", *good[k + 1 :]],
            [*good[:k], good[k] + b"\0", *good[k + 1 :]],
        ):
            for decode in (case.decode, case.decode_slow, case.decode_cut, case.decode_cut_slow):
                with pytest.raises(LicCorruptTile):
                    decode(changed)


@pytest.mark.parametrize("seed", range(8))
def test_neighbours_that_are_escaped(seed):
    """They count as 0, those before them and behind them as what they are."""
    case = Case(seed, 20, 24, latent=1, hyper=3, near=True, levels=1)
    rng = np.random.default_rng(seed)
    case.z = np.where(rng.random(case.z.shape) < 0.4, rng.integers(-9999, 9999, case.z.shape), 1).astype(np.int16)
    case.r[:] = 0
    stages = case.encode()
    assert stages == case.encode_slow()
    for z, _ in (case.decode(stages), case.decode_slow(stages), case.decode_by_the_document(stages)):
        assert np.array_equal(z, case.z)


def test_a_quality_map_moves_the_index():
    plain, moved = (Case(5, 9, 14, rows=60, shifted=shifted) for shifted in (False, True))
    index = plain.tables.scale_index(moved.q, moved.z, 9, 14).astype(int)
    by = moved.shift.repeat(4, 0).repeat(4, 1)[:9, :14]
    assert np.array_equal(moved.index, np.clip(index + by, 0, 59))


# ---- Where stages begin ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_thresholds_of_shares(kind):
    """They fall, and about so many of the bits lie before each."""
    case = staged(kind, 2, 40, 40, latent=8, rows=60, shifted=False)
    shares = [0.3, 0.6, 0.85]
    thresholds = case.model.stages(case.q, case.z, (40, 40), shares)
    assert sorted(set(thresholds), reverse=True) == list(thresholds)
    assert 1 <= len(thresholds) <= 3
    index = case.tables.scale_index(case.q, case.z, 40, 40)
    for share, low, high in zip(shares, thresholds, (t + 1 for t in thresholds)):
        assert bits_from(case, index, low) >= share > bits_from(case, index, high)


def bits_from(case: Case, index: np.ndarray, low: int) -> float:
    """The share of the bits, by the entropy of each row, of indices from `low` on."""
    bounds = np.concatenate([[0], case.arrays["count"].cumsum()])
    entropy = []
    for row in range(case.tables.rows):
        freq = case.arrays["freq"][bounds[row] : bounds[row + 1]] / 65536
        entropy.append(-(freq * np.log2(freq)).sum())
    bits = np.array(entropy)[index] * (index >= case.tables.skip)
    return float(bits[index >= low].sum() / bits.sum())


def test_no_thresholds():
    case = staged("plain", 2)
    assert case.model.stages(case.q, case.z, (5, 9), []) == b""
    skipped = Case(3, 9, 10, rows=4, skip=4)
    assert skipped.model.stages(skipped.q, skipped.z, (9, 10), [0.3, 0.6]) == b""
