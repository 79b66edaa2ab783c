"""Training of a second synthesis: on files of a model, resumed exactly, exported into a model's directory."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from model_copies import copied
from pictures import picture

import pillow_lic
from pillow_lic.engines import native
from pillow_lic.models import registry
from train import export_perceptual, perceptual, texture

CONFIG = perceptual.PerceptualConfig(steps=4, batch=2, crop=128, qualities=(5.0, 60.0), judged_from=2, judge_width=8)


@pytest.fixture
def model(tmp_path):
    folder = copied(tmp_path / "toy-styled", "toy-styled")
    registry.register(folder)
    yield folder
    registry.forget_registered()


def test_y_hat_is_what_a_decoder_has(model):
    """The synthesis of the model itself, over y_hat of a file, gives the file's pixels but for rounding."""
    toy = registry.by_name("toy-styled")
    files = perceptual.Files(toy, CONFIG, [picture(150, 170)], 1)
    x, y_hat, t = files.at(3)
    assert np.array_equal(x, files.at(3)[0])
    net = perceptual.networks.stages(toy, perceptual.DECODER).synthesis
    pixels = (x[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    quality = files.qualities(3)[0]
    shown = pillow_lic.decode(pillow_lic.encode(pixels, quality=quality, model="toy-styled", effort=0, screen="off"))
    made = net(y_hat[:1], t[:1])[0].detach().permute(1, 2, 0).clamp(0, 1).numpy() * 255
    assert np.abs(made - shown).mean() < 1


def test_resumed_and_exported(model, photographs, tmp_path):
    toy = registry.by_name("toy-styled")
    whole = perceptual.Trainer(CONFIG, toy, photographs, tmp_path / "whole")
    before = {name: value.clone() for name, value in whole.synthesis.state_dict().items()}
    whole.run(None)
    assert any(not torch.equal(value, before[name]) for name, value in whole.synthesis.state_dict().items())
    half = perceptual.Trainer(dataclasses.replace(CONFIG), toy, photographs, tmp_path / "half")
    half.stop_asked = False
    for _ in range(2):
        half.train_step()
        half.step += 1
    half.save()
    again = perceptual.Trainer(CONFIG, toy, photographs, tmp_path / "half")
    again.resume()
    assert again.step == 2
    again.run(None)
    for name, value in whole.synthesis.state_dict().items():
        assert torch.equal(value, again.synthesis.state_dict()[name]), name
    for name, value in whole.average.items():
        assert torch.equal(value, again.average[name]), name
    export_perceptual.export(tmp_path / "whole" / "checkpoint.pt", photographs, model, 2)
    registry.forget_registered()
    registry.register(model)
    data = pillow_lic.encode(picture(90, 70, seed=5), model="toy-styled", quality=30)
    plain, styled = pillow_lic.decode(data), pillow_lic.decode(data, style="perceptual")
    apart = np.abs(plain.astype(int) - styled)
    assert 0 < apart.mean() < 8  # hardly trained, and rounded
    exported = registry.by_name("toy-styled")
    assert native.networks(exported).perceptual is not None
    begun = perceptual.second_synthesis(exported, exported).state_dict()  # from a model's own second synthesis
    second = perceptual.networks.stages(exported, perceptual.PERCEPTUAL).synthesis.state_dict()
    assert begun.keys() == second.keys()
    assert all(torch.allclose(begun[name], second[name], atol=1e-6) for name in begun)


def test_another_models_checkpoint(model, photographs, tmp_path):
    trainer = perceptual.Trainer(CONFIG, registry.by_name("toy-styled"), photographs, tmp_path / "run")
    trainer.save()
    state = torch.load(trainer.checkpoint, weights_only=True)
    torch.save(state | {"hash": "00" * 32}, trainer.checkpoint)
    with pytest.raises(ValueError, match="files of another model"):
        trainer.resume()
    with pytest.raises(ValueError, match="files of another model"):
        export_perceptual.export(trainer.checkpoint, photographs, model, 1)


def test_what_texture_is():
    """Noise of the same kind is near, a blur and a lattice are far, and flat areas count."""
    noise = torch.from_numpy(np.random.default_rng(0).normal(0.5, 0.1, (2, 3, 64, 64)).astype(np.float32))
    one, two = noise[:1], noise[1:]
    blurred = torch.nn.functional.avg_pool2d(one, 5, 1, 2, count_include_pad=False)
    assert texture.wasserstein(one, one).item() == pytest.approx(0, abs=1e-6)
    assert texture.wasserstein(one, two) < 0.5 * texture.wasserstein(one, blurred)
    flat = torch.full((1, 3, 64, 64), 0.5)
    lattice = flat.clone()
    lattice[..., ::4, ::4] += 0.1
    assert texture.wasserstein(flat, lattice) > 0.05
    assert texture.block_colour(flat, flat + 0.1) > 10 * texture.block_colour(flat, lattice - (lattice - flat).mean())
