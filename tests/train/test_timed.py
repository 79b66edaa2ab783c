"""Trainings that follow time (train/timed.py): resumed as they stood, and those of the JPEG networks on files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from train import compact, enhance
from train.timed import TimedRun

ENHANCER = Path(__file__).parents[2] / compact.ENHANCER


def run_in(folder, **options) -> TimedRun:
    torch.manual_seed(3)
    settings = {"minutes": 1.0, "rate": 0.1, "warmup": 2, "keep": 0.9} | options
    return TimedRun(torch.nn.Linear(4, 4), folder, **settings)


def step(run: TimedRun) -> float:
    x = torch.ones(2, 4) * (1 + run.step)
    return run.advance((run.net(x) - 1).square().mean())


def test_resumed_as_it_stood(tmp_path):
    (tmp_path / "a").mkdir()
    run = run_in(tmp_path / "a")
    first = [step(run) for _ in range(3)]
    run.spent = 30.0
    run.keep_state(first[-1], {"gain": 1.5}, config=(1, 2))
    again = run_in(tmp_path / "a")
    assert (again.step, again.spent) == (3, 30.0)
    assert step(again) == step(run)
    for one, two in zip(
        [*run.net.parameters(), *run.mean.parameters()], [*again.net.parameters(), *again.mean.parameters()]
    ):
        assert torch.equal(one, two)
    row = json.loads((tmp_path / "a" / "log.jsonl").read_text())
    assert (row["step"], row["minutes"], row["gain"]) == (3, 0.5, 1.5)
    assert torch.load(run.state)["config"] == (1, 2)


def test_the_rate_rises_and_falls(tmp_path):
    run = run_in(tmp_path)
    assert run.learning_rate() == 0.05
    run.step = 1
    assert run.learning_rate() == 0.1
    run.spent = 30.0
    assert abs(run.learning_rate() - 0.051) < 1e-9
    assert not run.over
    run.spent = 60.0
    assert run.over
    assert abs(run.learning_rate() - 0.002) < 1e-9


def test_an_enhancer_trains(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(enhance, "BATCH", 2)
    config = enhance.Config(body=16, body_blocks=1, detail=8, detail_blocks=1, tone=4)
    run = enhance.Run(photographs, tmp_path, config, 0.01, 1e-3)
    run.train(60.0)
    assert run.over
    assert run.step > 0
    row = json.loads((tmp_path / "log.jsonl").read_text())
    assert row["worst40"] <= row["q40"]
    assert torch.load(tmp_path / "state.pt")["config"] == tuple(config)


def test_an_enlarger_trains(photographs, tmp_path, monkeypatch):
    """From the shipped enhancer; what it renders at first is fitted, and no worse than a cubic."""
    monkeypatch.setattr(compact, "BATCH", 2)
    monkeypatch.setattr(compact, "FITTED", 3)
    examples = compact.prepared(photographs, tmp_path / "examples.npz", 6)
    assert examples["wanted"].shape == (6, 3, compact.CROP, compact.CROP)
    pictures = [np.ascontiguousarray(examples["wanted"][0].transpose(1, 2, 0))]
    run = compact.Run(tmp_path, ENHANCER, 0.02, 1e-3)
    run.begin(examples)
    bpp, cubic, network = compact.measured(run.mean, pictures, 22)
    assert bpp > 0
    assert network > cubic - 0.1
    run.train(examples, pictures, 1000)
    assert run.step > 0
    row = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert row["q22"][:2] == [bpp, cubic]
