"""Small pictures from y_hat (FORMAT 8.6): equal to the document's words in NumPy's integers on every kernel set, in any
number of threads, for any weights; other weights and arguments are refused.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
import slow_photo
from native_models import KINDS, RANDOM, SIZES, case, every_set, latents_of, layer, name_of, photo, random_decoder

from pillow_lic import _core
from pillow_lic.errors import LicModelMissing

pytestmark = pytest.mark.network
every_model = pytest.mark.parametrize("model", RANDOM, ids=name_of)


@functools.cache
def tensors_of(model: tuple) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([*model[0], KINDS.index(model[1])])
    name = "synthesis.direct" if model[1] == "full" else "thumbnail.direct"  # for its range
    made = layer(rng, name, 48, model[0][0], model[1])
    return {key.replace("synthesis", "thumbnail"): value for key, value in made.items()}


def rendered(model: tuple, kernels: str, q: int, v, r, grid, scale: int, size, bands: int, threads: int = 1):
    """In memory that was not zero before."""
    shape = tuple(-(-side // scale) for side in size)
    out = np.full(shape if bands == 1 else (*shape, 3), 77, np.uint8)
    network = _core.Thumbnail(tensors_of(model), kernels=kernels)
    network.render(photo(model, kernels), q, v, r, grid, scale, shape, out, threads)
    return out


@every_set
@every_model
@pytest.mark.parametrize("scale", [4, 8, 16])
def test_samples_of_any_size(model, kernels, scale):
    different = 0
    for size, q in zip(SIZES, (100, 10000, 6235, 5000, 101)):
        grid, v, r, y_hat, *_ = case(model, size, q)
        slow = slow_photo.SlowPhoto(random_decoder(*model) | tensors_of(model), q)
        colour, grey = (slow.small(y_hat, scale, size, grey) for grey in (False, True))
        for threads in (1, 2, 4):
            assert np.array_equal(rendered(model, kernels, q, v, r, grid, scale, size, 3, threads), colour), size
        assert np.array_equal(rendered(model, kernels, q, v, r, grid, scale, size, 1, 2), grey), size
        different += len(np.unique(colour))
    assert different > len(SIZES)


def test_wide_pictures_are_rendered_in_parts():
    model, size = RANDOM[0], (30, 16 * 1100)
    grid = (2, 1100)
    v, r = latents_of(random_decoder(*model), grid, wild=False)
    slow = slow_photo.SlowPhoto(random_decoder(*model) | tensors_of(model), 5000)
    found = rendered(model, "auto", 5000, v, r, grid, 8, size, 3, 2)
    assert np.array_equal(found, slow.small(slow.y_hat(v, r), 8, size))


def test_refusals():
    model = RANDOM[0]
    grid, v, r, *_ = case(model, (100, 37), 5000)
    net, base = _core.Thumbnail(tensors_of(model)), photo(model, "auto")
    good = {"scale": 8, "size": (13, 5), "out": np.empty((13, 5, 3), np.uint8)}
    net.render(base, 5000, v, r, grid, **good)
    wrong = [
        {"scale": 2},
        {"scale": 0},
        {"size": (14, 5)},  # of out
        {"size": (15, 5), "out": np.empty((15, 5, 3), np.uint8)},  # beyond the grid
        {"size": (0, 5), "out": np.empty((0, 5, 3), np.uint8)},
        {"out": np.empty((13, 5, 2), np.uint8)},
        {"out": np.empty((13, 5, 3), np.int16)},
        {"threads": 0},
    ]
    for change in wrong:
        with pytest.raises(ValueError, match="argument"):
            net.render(base, 5000, v, r, grid, **(good | change))
    other = _core.Thumbnail(tensors_of(RANDOM[4]))
    with pytest.raises(ValueError, match="other latents"):
        other.render(base, 5000, v, r, grid, **good)


@pytest.mark.parametrize("name", ["weight", "scale", "bias"])
def test_layers_that_are_not_as_the_format_says(name):
    tensors = tensors_of(RANDOM[0])
    key = f"thumbnail.direct.{name}"
    for change in (
        None,
        tensors[key][:, :-1] if name != "weight" else tensors[key][:-1],
        tensors[key].astype(np.uint8),
    ):
        rest = {k: value for k, value in tensors.items() if k != key}
        with pytest.raises(LicModelMissing):
            _core.Thumbnail(rest if change is None else rest | {key: np.ascontiguousarray(change)})
