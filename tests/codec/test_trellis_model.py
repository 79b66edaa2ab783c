"""A model with dependent quantisation, from pixels to pixels: `toy-trellis` has the weights of `toy`, its own tables
and a step of its own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slow_decoder as slow
import torch
from make_golden import integers
from pictures import picture
from shortcuts import cost, threads

import pillow_lic
from pillow_lic import _core_test, container
from pillow_lic.codec import encode
from pillow_lic.codec.decode import decode_symbols
from pillow_lic.engines import choice
from pillow_lic.engines.torch import latents, networks, quantise
from pillow_lic.models import registry
from pillow_lic.models.manifest import DECODER

pytestmark = pytest.mark.network

MODEL = Path(__file__).parents[1] / "golden" / "models" / "toy-trellis"


@pytest.fixture(scope="module")
def name() -> str:
    return pillow_lic.register_model(MODEL)


@pytest.mark.parametrize(
    ("height", "width", "quality", "effort"),
    [(1, 1, 75, 2), (96, 130, 30, 0), (130, 96, 90, 5), (70, 20, 1, 2), (33, 47, 100, 0)],
)
def test_beside_the_slow_decoder(name, monkeypatch, height, width, quality, effort):
    """Symbols and pixels, exactly."""
    monkeypatch.setattr(encode, "TILE_SIDE", 1)  # several tiles
    options = {"model": name, "quality": quality, "effort": effort, "screen": "off"}
    data = pillow_lic.encode(picture(height, width, 3, quality), **options)
    z, r, _ = decode_symbols(container.read(data))
    wanted_z, wanted_r = integers(data, MODEL)
    assert np.array_equal(z, wanted_z)
    assert np.array_equal(r, wanted_r)
    assert np.array_equal(pillow_lic.decode(data), slow.decode(data, MODEL))


def test_smaller_than_rounding(name):
    """Files are smaller than those of `toy`, which rounds, and squared errors no larger to speak of."""
    arrays = [picture(120, 150, 3, seed) for seed in range(4)]
    for effort in (0, 2):
        files = [[pillow_lic.encode(a, quality=90, model=m, effort=effort) for a in arrays] for m in ("toy", name)]
        sizes = [sum(map(len, one)) for one in files]
        costs = [sum(cost(a, data, 90, name) for a, data in zip(arrays, one)) for one in files]
        assert sizes[1] < 0.97 * sizes[0]
        assert costs[1] < 1.002 * costs[0]


@pytest.mark.parametrize("effort", [1, 5])
def test_effort_lowers_the_cost(name, effort):
    array = picture(96, 130, 3, 1)
    plain, searched = (pillow_lic.encode(array, quality=60, model=name, effort=one) for one in (0, effort))
    assert cost(array, searched, model=name) < cost(array, plain, model=name)


@pytest.mark.parametrize("wish", choice.ENGINES)
def test_threads_and_batches_change_nothing(name, monkeypatch, wish):
    monkeypatch.setenv(choice.ENGINE_VARIABLE, wish)
    arrays = [picture(400, 330, 3, seed) for seed in range(3)]
    monkeypatch.setattr(quantise, "PART", 64)
    files = []
    for number in (1, 3):
        with threads(number):
            files.append([bytes(one) for one in pillow_lic.encode_batch(arrays, model=name, quality=50)])
    assert files[0] == files[1]
    assert files[0][1] == pillow_lic.encode(arrays[1], model=name, quality=50)


def test_bits_are_what_the_coder_takes(name):
    """The difference between a tile with levels and one without is their price, but for the coder's last bytes."""
    model = registry.by_name(name)
    own, quantiser = model.tables, quantise.quantiser(model, "cpu")
    z, r, _ = decode_symbols(container.read(pillow_lic.encode(picture(160, 136, 3, 6), quality=80, model=name)))
    index = torch.from_numpy(own.scale_index(8000, z, *r.shape[1:]).astype(np.int32))[None]
    taken = [8 * len(_core_test.encode(own.model, 8000, z, levels)[0]) for levels in (r, np.zeros_like(r))]
    told = [float(quantiser.bits(torch.from_numpy(levels)[None], index)) for levels in (r, np.zeros_like(r))]
    assert taken[0] - taken[1] > 500
    assert abs((taken[0] - taken[1]) - (told[0] - told[1])) < 48


def test_one_step_is_three_units(name):
    """The network's step is a third of a scalar step, 0.325 of that of `toy`, whose weights it has."""
    steps = []
    for one in ("toy", name):
        decoder = networks.load(registry.by_name(one), DECODER)
        with torch.inference_mode():
            steps.append(decoder.prior(torch.zeros(1, 8, 2, 3), latents.positions([5000]))[2].float())
    assert torch.allclose(steps[1] / steps[0], torch.tensor(0.325), rtol=0.01)


def test_training_goes_on_from_it():
    """What export made of the gain, start_from_model takes back: but for its integers' steps, 1/256 of an octave."""
    from train.exchange import start_from_model
    from train.families import photo
    from train.train import load_config

    config = load_config(Path(__file__).parents[2] / "train" / "configs" / "toy.toml", []).network
    models = []
    for folder in (registry.by_name("toy").path, MODEL):
        model = photo.Model(config)
        with torch.no_grad():
            start_from_model(model, Path(folder))
        models.append(model.state_dict())
    for key, value in models[0].items():
        if not key.startswith("hyper_rate.") or key.endswith("gain"):
            assert torch.allclose(models[1][key], value, atol=3e-3), key


def test_golden(name):
    """What was decoded once is decoded for ever."""
    stored, data = np.load(MODEL.parent / "trellis.npz"), (MODEL.parent / "trellis.lic").read_bytes()
    z, r, _ = decode_symbols(container.read(data))
    assert np.array_equal(z, stored["z"])
    assert np.array_equal(r, stored["r"])
    assert np.array_equal(pillow_lic.decode(data), stored["pixels"])
