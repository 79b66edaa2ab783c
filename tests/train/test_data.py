"""Photographs and the crops that training sees of them."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

pytest.importorskip("tqdm", reason="the train extra is not installed")
from toy_runs import CONFIG

from train import data, gpu_data, train

pytestmark = pytest.mark.network


def test_reads_folders_and_tar_parts(photographs):
    names = [name for name, _ in data.read_photographs(photographs)]
    assert names == ["0.png", "1.png", "2.png", "3.png", "part.tar/nine.jpg"]
    with pytest.raises(FileNotFoundError, match="no photographs"):
        data.load_split(photographs / "nowhere")


def test_crops_depend_on_the_step_alone(photographs):
    training, _ = data.load_split(photographs)
    crops = data.Crops(training, 64, 4, seed=3)
    iterated = crops.iterate(5)
    assert np.array_equal(next(iterated), crops.at(5))
    assert np.array_equal(next(iterated), crops.at(6))
    assert crops.at(5).shape == (4, 3, 64, 64)


def test_the_last_steps_have_crops_of_their_own(photographs, tmp_path, monkeypatch):
    settings = [
        "steps=4",
        "batch=3",
        "crop=64",
        "final_crop=128",
        "final_batch=2",
        "final_share=0.5",
        "validate_every=1000",
    ]
    trainer = train.Trainer(train.load_config(CONFIG, settings), photographs, tmp_path)
    shapes = []
    monkeypatch.setattr(trainer, "train_step", lambda batch: shapes.append(tuple(batch.shape)))
    trainer.run(None)
    assert shapes == [(3, 3, 64, 64)] * 2 + [(2, 3, 128, 128)] * 2


def test_device_crops_depend_on_the_step_alone(photographs):
    training, _ = data.load_split(photographs)
    crops = gpu_data.DeviceCrops(training, 64, 5, 3, torch.device("cpu"), grey=0.5)
    batch = crops.at(5)
    iterated = crops.iterate(5)
    assert torch.equal(next(iterated), batch)
    assert torch.equal(next(iterated), crops.at(6))
    assert batch.shape == (5, 3, 64, 64)
    assert batch.dtype == torch.uint8
    assert not torch.equal(batch, crops.at(6))
    with pytest.raises(ValueError, match="smaller crop"):
        gpu_data.DeviceCrops(training, 4096, 1, 1, torch.device("cpu"))


def test_device_crops_are_parts_of_the_photographs():
    ramp = np.arange(90 * 100, dtype=np.uint32).reshape(90, 100)
    photo = np.stack([ramp % 251, ramp // 251, np.zeros_like(ramp)], 2).astype(np.uint8)
    crops = gpu_data.DeviceCrops([photo], 80, 6, 1, torch.device("cpu"), grey=0.0)
    assert len(crops.levels[0]) == 1  # at no other scale does a crop of 80 fit
    known = {photo[y, x].tobytes() for y in range(90) for x in range(100)}
    pixels = crops.at(0).permute(0, 2, 3, 1).reshape(-1, 3).numpy()
    assert {pixel.tobytes() for pixel in pixels} <= known


def test_no_thread_outlives_the_crops(photographs):
    before = threading.active_count()
    crops = data.Crops(data.load_split(photographs)[0], 64, 2, seed=1)
    batches = crops.iterate(3)
    assert np.array_equal(next(batches), crops.at(3))
    assert np.array_equal(next(batches), crops.at(4))
    assert threading.active_count() == before + 1
    batches.close()
    assert threading.active_count() == before
