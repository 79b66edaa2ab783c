"""Training on a GPU: crops cut on the device, exact resume, compiled graphs, mixed precision."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
pytest.importorskip("tqdm", reason="the train extra is not installed")
from pictures import picture  # noqa: E402

from train import train  # noqa: E402

CONFIG = Path(train.__file__).parent / "configs" / "toy.toml"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(3):
        Image.fromarray(picture(180, 240, 3, number)).save(folder / f"{number}.png")
    return folder


def run(photographs: Path, out: Path, steps: int, compiled: bool = False) -> train.Trainer:
    settings = [
        f"steps={steps}",
        "batch=4",
        "crop=64",
        "final_crop=64",
        "validate_every=20",
        f"compiled={str(compiled).lower()}",
    ]
    trainer = train.Trainer(train.load_config(CONFIG, settings), photographs, out)
    trainer.resume()
    trainer.run(None)
    return trainer


@pytest.mark.parametrize("compiled", [False, True])
def test_trains_on_the_device(photographs, tmp_path, compiled):
    trainer = run(photographs, tmp_path, 40, compiled)
    assert all(value.is_cuda and value.isfinite().all() for value in trainer.model.state_dict().values())
    log = (tmp_path / "log.csv").read_text()
    losses = [float(line.split(",")[3]) for line in log.splitlines() if line.startswith("validate,")]
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))


def test_a_checkpoint_resumes_on_the_device(photographs, tmp_path):
    run(photographs, tmp_path, 20)
    resumed = run(photographs, tmp_path, 30)
    assert resumed.step == 30
    assert all(value.is_cuda for value in resumed.average.values())
    assert all(
        value.is_cuda
        for state in resumed.optimizer.state.values()
        for value in state.values()
        if torch.is_tensor(value)
    )


def test_crops_lie_on_the_device(photographs, tmp_path):
    trainer = run(photographs, tmp_path, 1)
    batch = next(trainer.crops(64, trainer.config.batch))
    assert batch.is_cuda
    assert batch.dtype == torch.uint8
    assert batch.shape == (4, 3, 64, 64)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert np.ptp(batch.cpu().numpy()) > 0
