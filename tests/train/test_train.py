"""Training: exact resume, stopping between steps, losses and rates."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys

import pytest
import torch

pytest.importorskip("tqdm", reason="the train extra is not installed")
from toy_runs import CONFIG, run

from train import losses, train

pytestmark = [pytest.mark.network, pytest.mark.slow]


def test_a_bad_batch_changes_nothing(photographs, tmp_path, monkeypatch):
    trainer = run(photographs, tmp_path, 3)
    before = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    for state in trainer.optimizer.state.values():
        state["mean"].zero_()
    monkeypatch.setattr(train, "rate_distortion", lambda x, out, *_: {"loss": out["y_bits"] * float("nan")})
    trainer.train_step(torch.zeros(2, 3, 64, 64, dtype=torch.uint8))
    for key, value in trainer.model.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_ms_ssim_as_the_distortion(photographs, tmp_path):
    pytest.importorskip("pytorch_msssim", reason="the train extra is not installed")
    x = torch.rand(2, 3, 176, 176)
    out = {"x_hat": torch.stack([x[0], x[1].roll(3, 1)]), "y_bits": torch.zeros(2), "z_bits": torch.zeros(2)}
    figures = losses.rate_distortion(x, out, torch.full((2,), 16.0), metric="ms-ssim")
    assert figures["loss"][0].abs() < 1e-5
    assert 0.3 < figures["loss"][1] <= 1.0
    settings = ["steps=1", "batch=2", "crop=176", "final_crop=176", 'metric="ms-ssim"', "lowest=2.0", "highest=150.0"]
    trainer = train.Trainer(train.load_config(CONFIG, settings), photographs, tmp_path)
    trainer.run(None)
    assert all(value.isfinite().all() for value in trainer.model.state_dict().values())
    for wrong in ({"crop": 128}, {"crop": 128, "metric": "visual"}, {"metric": "psnr"}):
        with pytest.raises(ValueError, match="metric"):
            train.Trainer(dataclasses.replace(trainer.config, **wrong), photographs, tmp_path)


def test_what_visual_training_weighs():
    """Nothing of equal pictures; of a picture that is brighter all over, the mean colours of its blocks most."""
    pytest.importorskip("pytorch_msssim", reason="the train extra is not installed")
    x, nothing = torch.rand(2, 3, 192, 192) * 0.9, torch.zeros(2)
    brighter, busier = x + 2 / 255, x + 2 / 255 * (torch.rand_like(x) > 0.5).float().mul(2).sub(1)
    weight, t = torch.full((2,), 0.01), torch.tensor([0.2, 0.6])
    outs = [{"x_hat": one, "y_bits": nothing, "z_bits": nothing} for one in (x, brighter)]
    loss = [losses.rate_distortion(x, out, weight, 1.0, "visual", t)["loss"] for out in outs]
    assert loss[0].abs().max() < 1e-4 < loss[1].min()
    expected = sum(losses.BLOCKS.values()) * (2 / 255) ** 2
    torch.testing.assert_close(losses.mean_colours(x, brighter), torch.full((2,), expected), rtol=1e-3, atol=0)
    assert (losses.mean_colours(x, busier) < 0.1 * expected).all()  # of the same squared error, pixel by pixel


def test_resume_is_exact(photographs, tmp_path):
    straight = run(photographs, tmp_path / "straight", 30)
    run(photographs, tmp_path / "parts", 30, stop=26)  # beyond a change of the optimiser's basis
    resumed = run(photographs, tmp_path / "parts", 30)
    assert resumed.step == straight.step == 30
    for key, value in straight.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key
    for key, value in straight.average.items():
        assert torch.equal(value, resumed.average[key]), key


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_stops_after_a_whole_step_when_told_to(photographs, tmp_path, monkeypatch, stop):
    """A signal in the middle of a step; the checkpoint is that of so many steps without it."""
    step = train.Trainer.train_step

    def interrupted(self, batch):
        figures = step(self, batch)
        if self.step == 1:
            signal.raise_signal(stop)
        return figures

    monkeypatch.setattr(train.Trainer, "train_step", interrupted)
    settings = ["--set", "batch=2", "--set", "crop=64"]
    monkeypatch.setattr(
        "sys.argv", ["train", str(CONFIG), "--data", str(photographs), "--out", str(tmp_path), *settings]
    )
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        train.main()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 2


def test_processes_stop_together(photographs, tmp_path):
    """Two processes train; one of them runs out of time. The other stops at the same step instead of waiting for it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        **os.environ,
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", "from train import train; train.AGREE_EVERY = 3; train.main()", str(CONFIG)]
    command += ["--data", str(photographs), "--out", str(tmp_path)]
    command += ["--set", "batch=2", "--set", "crop=64", "--set", "steps=100000", "--set", "bfloat16=false"]
    root = CONFIG.parents[2]
    processes = [
        subprocess.Popen([*command, *more], cwd=root, env={**common, "RANK": rank}, stderr=subprocess.PIPE, text=True)
        for rank, more in (("0", []), ("1", ["--minutes", "0.001"]))
    ]
    try:
        for process in processes:
            _, said = process.communicate(timeout=240)
            assert process.returncode == 0, said
    finally:
        for process in processes:
            process.kill()
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] % 3 == 0


def test_settling_moves_the_synthesis_alone(photographs, tmp_path):
    trainer = run(photographs, tmp_path / "run", 4)
    settled = run(photographs, tmp_path / "run", 8, settle=4)
    before, after = (t.model.state_dict() for t in (trainer, settled))
    moved = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"synthesis"}
    assert settled.step == 8


def test_learning_rate_falls_to_one_percent():
    config = train.TrainConfig(steps=1000, warmup=10, lr=1.0)
    rates = [train.learning_rate(config, step) for step in (0, 9, 500, 999)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[1] == rates[2] == 1.0
    assert rates[3] <= 0.011


def test_one_configuration_over_another():
    """What `make train-gpu` trains: the model and rates of one file, the batches of the other, the command's word above
    both.
    """
    both = train.load_config(CONFIG.with_name("photo-low.toml"), ["steps=7"], CONFIG.with_name("gpu.toml"))
    low, gpu = (train.load_config(CONFIG.with_name(name), []) for name in ("photo-low.toml", "gpu.toml"))
    assert both == dataclasses.replace(gpu, name=low.name, rates=low.rates, seed=low.seed, steps=7)
    assert both.batch != low.batch
    assert both.rates != gpu.rates
