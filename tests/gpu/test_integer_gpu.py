"""The integer kernels on a GPU against the C++ core: 10^8 symbols of mixtures, the map of each model, no difference."""

from __future__ import annotations

import numpy as np
import on_host
import pytest
import torch
from integer_twins import MANY, case_model, compare_maps, compare_mixtures
from mixed_case import MixedCase
from pictures import picture

import pillow_lic
from pillow_lic import _core_test
from pillow_lic.codec.encode import Encoding
from pillow_lic.codec.options import EncodeOptions
from pillow_lic.engines import choice
from pillow_lic.engines.torch import intervals, scale_map
from pillow_lic.engines.torch import place as places
from pillow_lic.engines.torch.engine import TorchEngine
from pillow_lic.models import registry

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize("components", [1, 2, 3, 4])
def test_mixtures(components):
    """Seven times four million symbols for each number of components."""
    for seed in range(7):
        assert compare_mixtures("cuda:0", 10 * components + seed, components, MANY["cuda"]) == 0


@pytest.mark.parametrize("seed", range(6))
def test_maps_with_hidden_layers(seed):
    case = MixedCase(seed, 33 + seed, 70, components=1 + seed % 4, hidden=seed % 3)
    z = np.ascontiguousarray(case.z)
    assert compare_maps(places.at("cuda:0"), case_model(case), case.q, z, case.h, case.w) == 0


@pytest.mark.parametrize("name", ["toy", "photo", "gdn-mixture"])
@pytest.mark.parametrize("grid", [(1, 1), (68, 120), (250, 188)])
def test_maps_of_models(name, grid):
    """One position, 1080p, 12 megapixels; small z as there are, and ones beyond every clamp."""
    model = registry.by_name(name)
    rng = np.random.default_rng(1)
    shape = (model.manifest.hyper, -(-grid[0] // 4), -(-grid[1] // 4))
    for spread in (3, 3000):
        z = np.round(rng.normal(0, spread, shape)).clip(-32768, 32767).astype(np.int16)
        for q in (100, 5017, 10000):
            assert compare_maps(places.at("cuda:0"), model, q, z, *grid) == 0


def test_maps_on_a_stream_of_their_own():
    """z is written late on another stream: a launch on any other would read what was there before."""
    model, place = registry.by_name("toy"), places.at("cuda:0")
    rng = np.random.default_rng(2)
    z = np.round(rng.normal(0, 8, (1, model.manifest.hyper, 5, 6))).astype(np.int16)
    late = torch.zeros(z.shape, dtype=torch.int16, device=place.name)
    source = torch.from_numpy(z).to(place.name)
    scale_map.scale_index(model, place, 5000, source, (20, 24))  # compiles, and uploads the weights
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(100_000_000)
        late.copy_(source)
        _, index = scale_map.scale_index(model, place, 5000, late, (20, 24))
    stream.synchronize()
    assert np.array_equal(index[0].cpu().numpy(), model.tables.scale_index(5000, z[0], 20, 24))


@pytest.mark.parametrize("quality", [5, 20, 50, 80, 95])
def test_files_of_mixtures_by_given_intervals(quality, monkeypatch):
    """The coder takes the kernel's intervals: byte for byte what it finds by itself, escapes included."""
    noise = np.random.default_rng(quality).integers(0, 256, (200, 300, 3), np.uint8)
    pictures = [picture(300, 420, 3, 1), noise]
    options = {"model": "gdn-mixture", "quality": quality, "effort": 0, "device": "cuda", "screen": "off"}
    found = [pillow_lic.encode(one, **options) for one in pictures]
    monkeypatch.setattr(TorchEngine, "_intervals", lambda self, latents, r: [None] * len(latents))
    assert found == [pillow_lic.encode(one, **options) for one in pictures]


@pytest.mark.parametrize("quality", [20, 80])
def test_intervals_of_a_picture(quality):
    """Of a real picture's symbols, from the tensors that the encoder has: the core's, to the bit."""
    model = registry.by_name("gdn-mixture")
    engine = choice.encoder(model, "cuda:0")
    options = EncodeOptions(model="gdn-mixture", quality=quality, effort=0, device="cuda").checked()
    latents = engine.analyse([Encoding(picture(300, 420, 3, 1), options).picture])
    (arrival,) = engine.quantise(latents, 0)
    arrival.wait()
    r, index = arrival.value.r, latents.index[0]
    found = intervals.intervals(model, index, torch.from_numpy(r).cuda())
    components = len(index) // (3 * len(r))
    mixture = _core_test.Mixture(model.arrays["normal"], model.arrays["inverse"], components)
    planes = np.ascontiguousarray(index.cpu().numpy().reshape(3 * components, -1))
    for one, two in zip(found, on_host.intervals(mixture, planes, r.ravel()), strict=True):
        assert np.array_equal(one.cpu().numpy().ravel().view(np.uint32), two)
