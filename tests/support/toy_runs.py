"""Short runs of train/train.py in the toy's configuration."""

from __future__ import annotations

from pathlib import Path

import torch

from train import data, train

CONFIG = Path(train.__file__).parent / "configs" / "toy.toml"


def run(photographs: Path, out: Path, steps: int, stop: int | None = None, settle: int = 0) -> train.Trainer:
    settings = [
        f"steps={steps}",
        f"settle={settle}",
        "batch=2",
        "crop=64",
        "final_crop=64",
        "validate_every=1000",
        'name="mine"',
    ]
    torch.set_num_threads(1)  # sums in another order would not be the same run
    trainer = train.Trainer(train.load_config(CONFIG, settings), photographs, out)
    trainer.resume()
    if stop is not None:
        for _ in range(trainer.step, stop):
            crops = data.Crops(trainer.training, 64, 2, trainer.config.seed * 1000)
            trainer.train_step(torch.from_numpy(crops.at(trainer.step)))
            trainer.step += 1
        trainer.save()
    else:
        trainer.run(None)
    return trainer
