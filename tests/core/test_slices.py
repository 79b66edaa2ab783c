"""An encoder slice by slice: the same symbols as of the whole picture where its results allow it, memory of a slice."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest

import pillow_lic
from pillow_lic import _core
from pillow_lic.engines import native
from pillow_lic.engines.native import bit_weight
from pillow_lic.models import registry
from pillow_lic.models.store import buffers

pytestmark = pytest.mark.network
Q, PASSES = 6000, 7  # so many that y is shaken, in each slice in its own way
HALO, LEAST = 8, 16  # rows of y: of csrc/nn/encoder.cpp
FLAT = 1e9  # what a bit is worth: the curvature of every channel is as flat as can be, and one weight serves all slices
WEIGHT = 0.74 * 2.0 * FLAT / (12.0 * FLAT / math.log(2.0) / 3.0)  # which that is, of squared steps


class Setup(NamedTuple):
    analysis: _core.Analysis
    photo: _core.Photo
    core: _core.Model
    unit: int  # what r counts to a step
    channels: tuple[int, int]  # C and M

    def blank(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        hy, wy = -(-height // 16), -(-width // 16)
        C, M = self.channels
        return np.zeros((C, -(-hy // 4), -(-wy // 4)), np.int16), np.zeros((M, hy, wy), np.int16)

    def encode(self, pixels: np.ndarray, effort: tuple[int, ...], rows: int | None = None, threads: int = 1, q=Q):
        """rows: of y in a slice, halo included."""
        symbols = z, r = self.blank(*pixels.shape[:2])
        most = {} if rows is None else {"slice": rows * r.shape[2] * r.shape[0]}
        args = self.photo, self.core, q, pixels, pixels.shape, symbols, effort, threads
        self.analysis.encode(*args, **most)
        return z, r


@pytest.fixture(scope="module")
def toy() -> Setup:
    model = registry.by_name("toy")
    unit = model.core.unit
    analysis, photo = _core.Analysis(buffers(model.encoder_tensors)), _core.Photo(buffers(model.tensors))
    return Setup(analysis, photo, model.core, unit, (photo.hyper, photo.latent))


def test_without_effort_slices_change_nothing(toy, make_picture):
    """The toy's networks see less far than the halo."""
    for height, width in ((900, 50), (16 * 61 - 3, 33)):
        pixels = make_picture(height, width)
        effort = 0, 0.0, bit_weight(registry.by_name("toy")), 0.0
        whole = toy.encode(pixels, effort)
        for rows in (0, 33, 40):
            for threads in (1, 3):
                found = toy.encode(pixels, effort, rows, threads)
                assert all(np.array_equal(a, b) for a, b in zip(found, whole))


@pytest.mark.parametrize("rows", [32, 40])
def test_r_is_what_the_whole_of_the_moved_latents_gives(toy, make_picture, rows: int):
    """Bands by hand: each as a picture of its own, then one pass over all that they moved, which must be what came out.
    And without that pass, rows at the seams would be another's.
    """
    weight = WEIGHT * toy.unit * toy.unit
    pixels = make_picture(16 * 64 - 5, 1100)  # wide: so much error that its curvature is as flat as can be
    z, r = toy.encode(pixels, (PASSES, FLAT, weight, 0.0), rows, 2)
    own = toy.blank(*pixels.shape[:2])
    hy, wy, m = r.shape[1], r.shape[2], r.shape[0]
    moved, step = np.empty((hy, wy, m), np.int32), max(LEAST, rows - 2 * HALO)
    for begin in range(0, hy, step):
        end = min(hy, begin + step)
        above, below = max(0, begin - HALO), min(hy, end + HALO)
        part = np.ascontiguousarray(pixels[above * 16 : below * 16])
        part_z, part_r = toy.blank(*part.shape[:2])
        y = np.empty((below - above, wy, m), np.int32)
        toy.analysis.analyse(Q, part, part.shape, y)
        toy.analysis.hyper_symbols(toy.core, Q, y, y.shape[:2], part_z)
        to = np.empty_like(y)
        toy.photo.search(toy.core, Q, part_z, y, part_r, part, part.shape, PASSES, FLAT, weight, moved=to)
        inside = slice(begin - above, end - above)
        moved[begin:end] = to[inside]
        own[1][:, begin:end] = part_r[:, inside]
        cells = slice((begin - above) // 4, -(-(end - above) // 4))
        own[0][:, begin // 4 : -(-end // 4)] = part_z[:, cells]
    assert np.array_equal(z, own[0])
    wanted = np.empty_like(r)
    toy.photo.quantise(toy.core, Q, z, moved, wanted, (hy, wy), weight)
    assert np.array_equal(r, wanted)
    assert not np.array_equal(r, own[1])


@pytest.mark.parametrize(("passes", "visual"), [(1, 0.0), (2, 0.0), (2, 0.01)])
def test_slices_with_effort_are_the_same_on_any_threads(toy, make_picture, passes: int, visual: float):
    pixels = make_picture(16 * 50, 40)
    effort = passes, 0.002, 0.05 * toy.unit**2, visual
    found = toy.encode(pixels, effort, 32)
    assert all(np.array_equal(a, b) for a, b in zip(found, toy.encode(pixels, effort, 32, 3)))
    whole = toy.encode(pixels, effort)
    assert np.mean(found[1] != whole[1]) < 0.2


def test_encode_refuses(toy):
    pixels = np.zeros((32, 32, 3), np.uint8)
    z, r = toy.blank(32, 32)
    args = toy.photo, toy.core, Q, pixels, pixels.shape, (z, r)
    wrong = (
        ((-1, 1.0, 1.0, 0.0), "passes"),
        ((1, 0.0, 1.0, 0.0), "bit"),
        ((1, math.nan, 1.0, 0.0), "bit"),
        ((1, 1.0, 1.0, -1.0), "visual"),
    )
    for effort, problem in wrong:
        with pytest.raises(ValueError, match=problem):
            toy.analysis.encode(*args, effort)
    with pytest.raises(ValueError, match="argument r has"):
        toy.analysis.encode(*args[:-1], (z, r[:, :1]), (0, 0.0, 1.0, 0.0))
    with pytest.raises(ValueError, match="argument q"):
        toy.analysis.encode(*args[:2], 99, *args[3:], (0, 0.0, 1.0, 0.0))
    staged = (Q, bytes([20]), None)
    with pytest.raises(ValueError, match="stages"):
        toy.analysis.encode(*args[:2], staged, *args[3:], (0, 0.0, 1.0, 0.0))


def test_slices_with_a_quality_map_change_nothing(toy, make_picture):
    pixels = make_picture(16 * 61 - 3, 70)
    rows = np.random.default_rng(3).integers(-7, 4, (16, 2), np.int8)
    effort = 0, 0.0, bit_weight(registry.by_name("toy")), 0.0
    whole = toy.encode(pixels, effort, q=(Q, b"", rows))
    assert not np.array_equal(whole[1], toy.encode(pixels, effort)[1])
    for rows_of_slice in (33, 40):
        found = toy.encode(pixels, effort, rows_of_slice, q=(Q, b"", rows))
        assert all(np.array_equal(a, b) for a, b in zip(found, whole))


@pytest.mark.parametrize(
    "options",
    [{"quality": 60}, {"quality": 60, "effort": 0}, {"quality": 60, "roi": [(0, 0, 40, 40)]}, {"target_size": 9000}],
)
def test_files_of_large_pictures(options, make_picture, monkeypatch):
    """A picture counted as large, and yet of one slice, gives the file of one that is not, whatever is asked for."""
    pixels = make_picture(300, 60)
    whole = pillow_lic.encode(pixels, model="toy", **options)
    calls, sliced = [], native.NativeEngine._sliced
    monkeypatch.setattr(native._core, "SLICE_MOST", 0)
    monkeypatch.setattr(native.NativeEngine, "_sliced", lambda *args: calls.append(args) or sliced(*args))
    assert pillow_lic.encode(pixels, model="toy", **options) == whole
    assert calls
