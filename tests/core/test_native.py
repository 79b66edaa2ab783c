"""The native engine beside FORMAT 8 in NumPy's integers (slow_photo.py): equal to the bit on every kernel set, in any
number of threads, for any weights that the format allows; other weights are refused.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from native_models import (
    KINDS,
    RANDOM,
    SIZES,
    WIDTHS,
    case,
    every_model,
    every_set,
    latents_of,
    layer,
    name_of,
    photo,
    random_decoder,
    rendered,
    rendered_deep,
    shipped,
    tensors_of,
)
from slow_photo import SlowPhoto, seed_of

from pillow_lic import _core
from pillow_lic.constants import LIC_NOISE_CHANNELS

pytestmark = [pytest.mark.network, pytest.mark.slow]


@every_set
@every_model
def test_samples_of_any_size(model, kernels):
    """Colour and grey, at the ends of quality and between, in 1, 2 and 4 threads."""
    net = photo(model, kernels)
    for size, q in zip(SIZES, (100, 10000, 6235, 5000, 101)):
        grid, v, r, _, colour, grey = case(model, size, q)
        for threads in (1, 2, 4):
            assert np.array_equal(rendered(net, q, v, r, grid, (0, 0, *size), 3, threads), colour), (size, threads)
        assert np.array_equal(rendered(net, q, v, r, grid, (0, 0, *size), 1, 2), grey), size


@every_set
@every_model
def test_y_hat(model, kernels):
    for size, q in zip(SIZES, (100, 10000, 6235, 5000, 101)):
        grid, v, r, y_hat, *_ = case(model, size, q)
        out = np.empty(y_hat.shape, np.int16)
        photo(model, kernels).latents(q, v, r, grid, out)
        assert np.array_equal(out, y_hat), size


@every_set
@every_model
def test_boxes(model, kernels):
    """A box is what the whole picture has there, wherever it begins and ends."""
    net, rng = photo(model, kernels), np.random.default_rng(len(kernels))
    for size, q in zip(SIZES[2:], (6235, 5000, 101)):
        grid, v, r, _, colour, grey = case(model, size, q)
        for threads in (1, 2, 4):
            top, left = (int(rng.integers(0, side)) for side in size)
            bottom, right = int(rng.integers(top, size[0])) + 1, int(rng.integers(left, size[1])) + 1
            box = (top, left, bottom, right)
            found = rendered(net, q, v, r, grid, box, 3, threads)
            assert np.array_equal(found, colour[top:bottom, left:right]), (size, box)
            assert np.array_equal(rendered(net, q, v, r, grid, box, 1, threads), grey[top:bottom, left:right]), (
                size,
                box,
            )


def other_than(model) -> dict:
    """Tensors of another kind in the same shape, with a layer for noise."""
    widths, kind = model
    kind = KINDS[(KINDS.index(kind) + 1) % len(KINDS)]
    noise = layer(np.random.default_rng(9), "synthesis.noise", widths[4], LIC_NOISE_CHANNELS, kind)
    return random_decoder(widths, kind) | noise


@cache
def mixed(model, size, q: int, strength: int, bands: int) -> np.ndarray:
    """Samples of a case under two syntheses, by the slow twin."""
    _, v, r, *_ = case(model, size, q)
    slow, second = SlowPhoto(random_decoder(*model), q), SlowPhoto(other_than(model), q)
    return slow.samples(v, r, size, bands == 1, style=(second, strength))


@cache
def deep(model, size, q: int, depth: int, bands: int) -> np.ndarray:
    """Samples of a case of `depth` bits, by the slow twin."""
    _, v, r, *_ = case(model, size, q)
    return SlowPhoto(tensors_of(model), q).samples(v, r, size, grey=bands == 1, depth=depth)


@every_set
@pytest.mark.parametrize("model", RANDOM, ids=name_of)
def test_another_synthesis(model, kernels):
    """FORMAT 8.5: none, all and parts of a second synthesis, whole pictures and boxes, in 1 and 3 threads."""
    net, other = photo(model, kernels), _core.Photo(other_than(model), kernels=kernels)
    for size, q in zip(SIZES[1:], (10000, 6235, 5000, 101)):
        grid, v, r, *_ = case(model, size, q)
        for strength in (0, 1, 128, 254, 255):
            for bands in (1, 3):
                wanted = mixed(model, size, q, strength, bands)
                box = (0, 0, *size) if bands == 3 else (size[0] // 3, size[1] // 2, *size)
                out = np.full((box[2] - box[0], box[3] - box[1], bands), 77, np.uint8)
                net.render(q, v, r, grid, box, out, 2 * bands - 1, (other, strength, seed_of(size, q), (0, 0)))
                part = wanted[box[0] : box[2], box[1] : box[3]].reshape(out.shape)
                assert np.array_equal(out, part), (size, strength, bands)


def test_a_synthesis_of_another_shape():
    net, other = (_core.Photo(random_decoder(WIDTHS[k], "gentle")) for k in (1, 2))
    assert net.fits(net)
    assert not net.fits(other)
    grid, v, r, *_ = case((WIDTHS[1], "gentle"), (16, 16), 10000)
    with pytest.raises(ValueError, match="synthesis of another shape"):
        net.render(10000, v, r, grid, (0, 0, 16, 16), np.empty((16, 16, 3), np.uint8), 1, (other, 255, 0, (0, 0)))
    for style, word in (
        ((net, 256, 0, (0, 0)), "strength"),
        ((net, 9, -1, (0, 0)), "seed"),
        ((net, 9, 2**32, (0, 0)), "seed"),
        ((net, 9, 0, (-1, 0)), "row"),
        ((net, 9, 0, (0, 2**31)), "column"),
    ):
        with pytest.raises(ValueError, match=word):
            net.render(10000, v, r, grid, (0, 0, 16, 16), np.empty((16, 16, 3), np.uint8), 1, style)


@every_set
@every_model
def test_samples_of_any_depth(model, kernels):
    """Of 9 to 16 bits, whole and of a box, colour and grey."""
    net, rng = photo(model, kernels), np.random.default_rng(7)
    for size, q, depth in zip(SIZES[2:], (10000, 6235, 101), (16, 12, 9)):
        grid, v, r, *_ = case(model, size, q)
        top, left = (int(rng.integers(0, side)) for side in size)
        for bands in (1, 3):
            wanted = deep(model, size, q, depth, bands)
            assert wanted.max() < 1 << depth
            found = rendered_deep(net, (q, v, r, grid), (0, 0, *size), bands, 2, depth)
            assert np.array_equal(found, wanted), (size, bands)
            part = rendered_deep(net, (q, v, r, grid), (top, left, *size), bands, 1, depth)
            assert np.array_equal(part, wanted[top:, left:]), (size, bands)


@pytest.mark.parametrize("model", RANDOM, ids=name_of)
def test_a_model_is_not_a_constant(model):
    """What the tests above compare differs from place to place, and the worst weights do reach the ends of an i32."""
    _, _, _, y_hat, colour, _ = case(model, (100, 37), 5000)
    assert len(np.unique(y_hat)) > 1
    assert len(np.unique(colour)) > 1
    if model[1] == "gentle":
        assert not {y_hat.min(), y_hat.max()} & {-32768, 32767}
    else:
        sums = [
            np.abs(t.astype(int)).sum(1).max() for name, t in random_decoder(*model).items() if name.endswith(".weight")
        ]
        assert max(sums) == 65535
        assert model[0][0] == 1 or {y_hat.min(), y_hat.max()} & {-32768, 32767}
    if model[1] != "worst":
        assert np.mean((colour > 0) & (colour < 255)) > 0.2


@pytest.mark.parametrize("name", ["toy", "random"])
def test_samples_depend_on_no_more_than_the_halo(name):
    """FORMAT 8.3, 9.1: what one latent or hyper position changes lies within `halo` of it; the engine takes no less."""
    tensors = (
        shipped("toy").arrays if name == "toy" else random_decoder((12, 6, 16, 6, 8, 6, 1, 1), "gentle")
    )  # one depth
    halo = shipped("toy").manifest.halo
    net, side, q, rng = _core.Photo(tensors), 40, 5000, np.random.default_rng(1)
    assert net.halo >= halo
    box, grid = (0, 0, 16 * side, 16 * side), (side, side)
    v, r = latents_of(tensors, grid, wild=False)
    whole = rendered(net, q, v, r, grid, box, 3, 1)
    far = 0
    for trial in range(16):
        other_v, other_r, first = v.copy(), r.copy(), 20
        if trial % 2:
            other_v[:, 5, 5] += rng.integers(-900, 900, len(v), np.int16)
            last = first + 3
        else:
            first = last = int(first + trial // 2 % 4)
            other_r[:, first, first] += rng.integers(-300, 300, len(r), np.int16)
        changed = np.argwhere((rendered(net, q, other_v, other_r, grid, box, 3, 1) != whole).any(2)) // 16
        far = max(far, int(first - changed.min()), int(changed.max() - last))
    assert 3 <= far <= halo


def test_unknown_kernels():
    with pytest.raises(ValueError, match="'mmx', which this CPU has not"):
        _core.Photo(random_decoder(*RANDOM[0]), kernels="mmx")
