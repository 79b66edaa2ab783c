"""Training and export: exact resume, and a model that anyone trained can be registered and used."""

from __future__ import annotations

import dataclasses
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pillow_lic
from pillow_lic import codec
from pillow_lic.models import registry

pytest.importorskip("tqdm", reason="the train extra is not installed")
from train import data, networks, start, train  # noqa: E402
from train.export import export  # noqa: E402

CONFIG = Path(train.__file__).parent / "configs" / "toy.toml"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    """A folder with loose pictures and one tar part, as `--data` takes it."""
    from conftest import picture

    folder = tmp_path_factory.mktemp("photographs")
    for number in range(4):
        Image.fromarray(picture(180, 240, 3, number)).save(folder / f"{number}.png")
    with tarfile.open(folder / "part.tar", "w") as archive:
        buffer = io.BytesIO()
        Image.fromarray(picture(200, 200, 3, 9)).save(buffer, "JPEG")
        member = tarfile.TarInfo("nine.jpg")
        member.size = buffer.tell()
        buffer.seek(0)
        archive.addfile(member, buffer)
    return folder


def run(photographs: Path, out: Path, steps: int, stop: int | None = None) -> train.Trainer:
    settings = [f"steps={steps}", "batch=2", "crop=64", "final_crop=64", "validate_every=1000", 'name="mine"']
    torch.set_num_threads(1)  # sums in another order would not be the same run
    trainer = train.Trainer(train.load_config(CONFIG, settings), photographs, out)
    trainer.resume()
    if stop is not None:
        for _ in range(trainer.step, stop):
            crops = data.Crops(trainer.training, 64, 2, trainer.config.seed * 1000)
            trainer.train_step(crops.at(trainer.step))
            trainer.step += 1
        trainer.save()
    else:
        trainer.run(None)
    return trainer


def test_reads_folders_and_tar_parts(photographs):
    names = [name for name, _ in data.read_photographs(photographs)]
    assert names == ["0.png", "1.png", "2.png", "3.png", "part.tar/nine.jpg"]
    with pytest.raises(FileNotFoundError, match="no photographs"):
        data.load_split(photographs / "nowhere")


def test_crops_depend_on_the_step_alone(photographs):
    training, _ = data.load_split(photographs)
    crops = data.Crops(training, 64, 4, seed=3)
    iterated = crops.iterate(5)
    assert np.array_equal(next(iterated), crops.at(5)) and np.array_equal(next(iterated), crops.at(6))
    assert crops.at(5).shape == (4, 3, 64, 64)


def test_resume_is_exact(photographs, tmp_path):
    straight = run(photographs, tmp_path / "straight", 30)
    run(photographs, tmp_path / "parts", 30, stop=26)  # beyond a change of the optimiser's basis
    resumed = run(photographs, tmp_path / "parts", 30)
    assert resumed.step == straight.step == 30
    for key, value in straight.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key
    for key, value in straight.average.items():
        assert torch.equal(value, resumed.average[key]), key


def test_trained_model_can_be_exported_registered_and_used(photographs, tmp_path, make_picture):
    run(photographs, tmp_path / "run", 4)
    export(tmp_path / "run" / "checkpoint.pt", photographs, tmp_path / "model", None, batches=1)
    name = pillow_lic.register_model(tmp_path / "model")
    try:
        assert name == "mine" and "mine" in registry.names()
        array = make_picture(70, 50)
        encoded = pillow_lic.encode(array, model="mine")
        assert pillow_lic.decode(encoded).shape == array.shape
        moved = codec.decode_symbols(pillow_lic.format.read(encoded))
        assert moved[0].shape[0] == 8
    finally:
        registry._registered.clear()


def test_gradients_reach_every_parameter():
    config = train.load_config(CONFIG, []).network
    model = networks.PhotoModel(config)
    x = torch.rand(2, 3, 64, 64)
    out = model(x, torch.tensor([0.2, 0.9]))
    (out["x_hat"].square().mean() + (out["y_bits"] + out["z_bits"]).mean() * 1e-3).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    assert silent == []


def test_learning_rate_falls_to_one_percent():
    config = train.TrainConfig(steps=1000, warmup=10, lr=1.0)
    rates = [train.learning_rate(config, step) for step in (0, 9, 500, 999)]
    assert rates[0] == pytest.approx(0.1) and rates[1] == rates[2] == 1.0 and rates[3] <= 0.011


def test_start_is_a_working_block_transform(photographs):
    """The linear paths alone, before any training: analysis and synthesis invert each other on the leading directions."""
    training, _ = data.load_split(photographs)
    x = torch.from_numpy(data.Crops(training, 64, 16, seed=1).at(0)).float().div(255)
    config = train.load_config(CONFIG, []).network
    model = networks.PhotoModel(dataclasses.replace(config, latent=192))
    start.start_from_block_transform(model, x, 0.0008, 0.25)
    model.analysis.out.weight.data.zero_()
    model.synthesis.out.weight.data.zero_()
    model.synthesis.out.bias.data.zero_()
    with torch.inference_mode():
        x_hat = model.synthesis(model.analysis(x), torch.tensor([1.0] * len(x)))
    assert (x_hat - x).square().mean() < 0.02 * x.var()
