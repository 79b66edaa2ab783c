"""The codecs of the source paper on a GPU: GDN's kernels and the mixtures' map within the codec, against the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from on_gpu import encoded, level, nothing_chosen  # noqa: F401
from pictures import picture
from PIL import Image
from shortcuts import symbols
from small_families import CASES, SMALL

import pillow_lic
from pillow_lic.engines.torch import networks
from pillow_lic.models import registry
from pillow_lic.models.manifest import DECODER
from train import train
from train.export import export
from train.families import gdn

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.fixture(scope="module", params=CASES)
def name(request, tmp_path_factory) -> str:
    """A small network of the family, trained on the CPU for four steps, exported and registered."""
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(3):
        Image.fromarray(picture(180, 240, 3, number)).save(folder / f"{number}.png")
    network = gdn.Config(family=request.param, **{**SMALL, **CASES[request.param]})
    settings = {"steps": 4, "batch": 2, "crop": 64, "final_crop": 64, "warmup": 1, "bfloat16": False}
    called = f"gpu-{request.param}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        train.Trainer(train.TrainConfig(name=called, network=network, **settings), folder, folder / "run").run(None)
        export(folder / "run" / "checkpoint.pt", folder, folder / "model", called, batches=1)
    return pillow_lic.register_model(folder / "model")


@pytest.mark.parametrize("quality", [10, 60, 95])
def test_gpu_to_cpu(name, quality):
    for shape in ((1, 1), (17, 130), (256, 384)):
        data, z, r = encoded(picture(*shape, 3, 6), name, quality)
        for found, wanted in zip(symbols(data), (z, r), strict=True):
            assert np.array_equal(found, wanted)


@pytest.mark.parametrize("quality", [10, 60, 95])
def test_cpu_to_gpu(name, quality, monkeypatch):
    """Pixels as near to float32's as the CPU's own bfloat16, GDN's kernels mixing channels in bfloat16."""
    data = pillow_lic.encode(picture(256, 384, 3, 7), quality=quality, model=name)
    wanted, found = pillow_lic.decode(data), pillow_lic.decode(data, device="cuda")
    monkeypatch.setattr(networks, "precision", lambda name="cpu": "bfloat16")
    rounded = pillow_lic.decode(data)
    assert level(found, wanted) <= max(1, level(rounded, wanted) + 1)
    difference = np.abs(found.astype(int) - wanted).mean()
    assert difference <= max(0.05, 1.5 * np.abs(rounded.astype(int) - wanted).mean())


def test_batches(name):
    arrays = [
        picture(*shape, 3, seed) for seed, shape in enumerate([(64, 96), (100, 65), (64, 96), (60, 90), (1, 1)] * 3)
    ]
    files = pillow_lic.encode_batch(arrays, model=name, quality=70, device="cuda")
    one_by_one = [pillow_lic.decode(data, device="cuda") for data in files]
    for a, b, array in zip(pillow_lic.decode_batch(files, device="cuda"), one_by_one, arrays, strict=True):
        assert a.shape == array.shape
        assert level(a, b) <= 1


def test_mean_is_not_rounded_to_tf32(name):
    """The mean stays in float32 in every precision; TF32 would show as 2^-11 of it."""
    loaded = registry.by_name(name)
    z = torch.randn(1, loaded.manifest.hyper, 5, 6, generator=torch.Generator().manual_seed(1))
    t = torch.tensor([0.6])
    there, here = (networks.load(loaded, DECODER, device) for device in ("cuda:0", "cpu"))
    with torch.inference_mode(), networks.running("cuda:0"):
        _, mean, step = (part.cpu() for part in there.prior(z.cuda(), t.cuda()))
        _, wanted, wanted_step = here.prior(z, t)
    assert (mean - wanted).abs().max() <= 3e-5 * wanted.abs().max()
    assert (step - wanted_step).abs().max() <= 1e-5 * wanted_step.abs().max()
