"""A training whose schedule follows time, with its state on disk: what train/enhance.py and train/compact.py share.
Imports torch.
"""

from __future__ import annotations

import copy
import json
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from train.optim import Soap

if TYPE_CHECKING:
    from pathlib import Path


class TimedRun:
    """Weights, their mean over time, the optimiser, steps and seconds spent. Resumes what stands in `out`.

    rate: the highest learning rate; it rises over `warmup` steps and falls by a cosine to 2 % when `minutes` are spent.
    keep: of the mean, at most.
    """

    def __init__(self, net: nn.Module, out: Path, minutes: float, rate: float, *, warmup: int, keep: float):
        self.out, self.minutes, self.rate, self.warmup, self.keep = out, minutes, rate, warmup, keep
        self.net = net.to(memory_format=torch.channels_last)
        self.mean = copy.deepcopy(self.net).eval()
        self.optimiser = Soap(self.net.parameters(), lr=rate, rotations=torch.float32)
        self.step, self.spent = 0, 0.0
        if self.state.exists():
            kept = torch.load(self.state)
            self.net.load_state_dict(kept["net"])
            self.mean.load_state_dict(kept["mean"])
            self.optimiser.load_state_dict(kept["optimiser"])
            self.step, self.spent = kept["step"], kept["spent"]

    @property
    def state(self) -> Path:
        return self.out / "state.pt"

    @property
    def over(self) -> bool:
        return self.spent >= self.minutes * 60

    def learning_rate(self) -> float:
        share = min(self.spent / (self.minutes * 60), 1.0)
        risen = min((self.step + 1) / self.warmup, 1.0)
        return self.rate * risen * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))

    def advance(self, loss: Tensor) -> float:
        """A step down the gradient of a loss of `net`."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        keep = min(self.keep, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, own in zip(self.mean.parameters(), self.net.parameters()):
                mean.lerp_(own, 1 - keep)
        self.step += 1
        return float(loss.detach())

    def keep_state(self, loss: float, figures: dict[str, Any], **also: Any) -> None:
        """Print and log figures of the mean, and write the state whole. also: what else it holds."""
        row = {"minutes": round(self.spent / 60, 2), "step": self.step, "loss": round(loss, 4), **figures}
        print(json.dumps(row), flush=True)
        with (self.out / "log.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        kept = {"net": self.net.state_dict(), "mean": self.mean.state_dict(), "optimiser": self.optimiser.state_dict()}
        torch.save(kept | {"step": self.step, "spent": self.spent, **also}, self.state.with_suffix(".tmp"))
        self.state.with_suffix(".tmp").rename(self.state)
