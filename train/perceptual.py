"""Train a second synthesis for a model's files: python -m train.perceptual CONFIG.toml --model MODEL --data PHOTOS
--out RUN [--minutes M] [--set key=value].

Encoder, tables, prior and refinement stay as they are: each crop is a real file of the model, of a quality drawn for
it, and its y_hat is what a decoder has, to the bit. What learns is the synthesis alone, from the model's own. Stops
after `steps`, after --minutes, on Ctrl-C or SIGTERM, with a checkpoint; the same command resumes it exactly.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import signal
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from pillow_lic import encode, quality, threads
from pillow_lic.codec import decode
from pillow_lic.codec.decode_options import DecodeOptions
from pillow_lic.constants import LIC_NOISE_CHANNELS
from pillow_lic.engines import native
from pillow_lic.engines.torch import latents, networks, photo, visual
from pillow_lic.engines.torch.exchange import NOISE_ONE
from pillow_lic.engines.torch.photo import PerceptualSynthesis
from pillow_lic.engines.torch.precision import fast_bfloat16
from pillow_lic.models import registry
from pillow_lic.models.manifest import DECODER, ENCODER, PERCEPTUAL
from train.data import Crops, load_split
from train.optim import Soap
from train.texture import (
    Discriminator,
    analysis_features,
    block_colour,
    features_apart,
    hinge,
    statistics_apart,
    wasserstein,
)

if TYPE_CHECKING:
    from pillow_lic.models.store import Model

FIGURES = ("loss", "psnr", "squares", "visual", "colour", "texture", "features", "adversary", "matching", "judge")


@dataclass(frozen=True)
class PerceptualConfig:
    name: str = "perceptual"
    steps: int = 4000
    batch: int = 4
    crop: int = 192
    qualities: tuple[float, float] = (1.0, 57.0)
    low_share: float = 0.7  # of the crops that are of the lower half of the qualities
    lr: float = 4e-4
    warmup: int = 50
    decay_share: float = 0.6
    clip: float = 1.0
    ema: float = 0.998
    effort: int = 0  # of the encoder that makes the files
    squares: float = 1.0  # weights of the loss's parts
    visual: float = 0.3
    colour: float = 4.0
    texture: float = 1.0
    features: float = 0.5
    adversary: float = 0.05
    matching: float = 0.5
    judged_from: int = 300  # the step from which the discriminator counts
    judge_lr: float = 2e-4
    judge_width: int = 32
    seed: int = 1
    validate_every: int = 250
    checkpoint_every: int = 100


def load_config(path: Path, overrides: list[str]) -> PerceptualConfig:
    """A configuration, and what "key=value" say instead."""
    table = tomllib.loads(path.read_text())
    for item in overrides:
        key, _, value = item.partition("=")
        table[key] = tomllib.loads(f"v = {value}")["v"]
    if "qualities" in table:
        table["qualities"] = tuple(table["qualities"])
    return PerceptualConfig(**table)


def expected_error(t: Tensor) -> Tensor:
    """About the mean square of the default synthesis at positions t of quality, of samples in 0..1: 26.5 dB at the
    lowest, 0.11 dB more for each point of quality.
    """
    return 10.0 ** (-(26.5 + 0.11 * 99.0 * t) / 10.0)


def second_synthesis(model: Model, like: Model | None = None) -> PerceptualSynthesis:
    """One that begins as the model's own, with noise of its own. like: a model of the same widths that has one: what
    that one differs by from the first synthesis of `like` is added (Ilharco et al. 2023, task arithmetic).
    """
    made = PerceptualSynthesis(photo.config(model.manifest.family, model.manifest.widths))
    start = made.state_dict() | networks.stages(model, DECODER).synthesis.state_dict()
    if like is not None:
        first = networks.stages(like, DECODER).synthesis.state_dict()
        second = networks.stages(like, PERCEPTUAL).synthesis.state_dict()
        start = {name: start[name] + second[name] - first[name] if name in first else second[name] for name in start}
    made.load_state_dict(start)
    return made


class Files:
    """Files of crops, and what a decoder makes of them before the synthesis."""

    def __init__(self, model: Model, config: PerceptualConfig, photographs: list[np.ndarray], seed: int):
        self.model, self.config = model, config
        self.crops = Crops(photographs, config.crop, config.batch, seed)
        self.unit = torch.from_numpy(np.array(model.arrays["unit.y_hat"], np.float32))

    def qualities(self, step: int) -> list[float]:
        rng = np.random.default_rng([self.config.seed, step, 1])
        low, high = self.config.qualities
        middle = (low + high) / 2
        spans = [
            (low, middle) if rng.random() < self.config.low_share else (middle, high) for _ in range(self.config.batch)
        ]
        return [round(float(rng.uniform(*span)), 2) for span in spans]

    def at(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """x (N, 3, S, S) in 0..1, y_hat (N, M, S/16, S/16) and t (N,): a function of the step."""
        pixels, wanted = self.crops.at(step), self.qualities(step)
        found = [self.y_hat(one.transpose(1, 2, 0), q) for one, q in zip(pixels, wanted)]
        t = latents.positions([quality.to_q(q) for q in wanted])
        return torch.from_numpy(pixels).float().div(255), torch.stack(found), t

    def y_hat(self, pixels: np.ndarray, q: float) -> Tensor:
        """(M, h, w) of a picture (H, W, 3) saved at a quality."""
        data = encode(
            np.ascontiguousarray(pixels), quality=q, model=self.model.name, effort=self.config.effort, screen="off"
        )
        return integers(self.model, data).float() * self.unit[:, None, None]


def integers(model: Model, data: bytes) -> Tensor:
    """y_hat (M, h, w) int16 of a file, as its decoder has it."""
    job = decode.Decoding(decode.read(data, DecodeOptions()), DecodeOptions().checked())
    job.begin()
    symbols, grid = job.symbols, job.chunks.header.latent_grid
    v = bytearray(len(symbols.z))
    model.core.dequantise_into(job.chunks.header.quality_q, symbols.z, grid, v)
    out = np.zeros((model.manifest.latent, *grid), np.int16)
    native.networks(model).photo.latents(job.chunks.header.quality_q, v, symbols.r, grid, out)
    return torch.from_numpy(out)


def features_far(of_x: list[Tensor], of_x_hat: list[Tensor]) -> Tensor:
    """(N,): by their statistics, relative to those of the original."""
    far = [statistics_apart(a, b, 0.1 * a.var((2, 3), keepdim=True)).mean(1) for a, b in zip(of_x, of_x_hat)]
    return sum(far, torch.zeros_like(far[0])) / len(far)


def noise_for(y_hat: Tensor) -> Tensor:
    """Like that of FORMAT 8.5, of other pictures: (N, LIC_NOISE_CHANNELS, 2h, 2w)."""
    shape = len(y_hat), LIC_NOISE_CHANNELS, 2 * y_hat.shape[2], 2 * y_hat.shape[3]
    return torch.randint(-128, 128, shape, device=y_hat.device).float() / NOISE_ONE


class Trainer:
    def __init__(self, config: PerceptualConfig, model: Model, data: Path, out: Path, like: Model | None = None):
        self.config, self.model, self.out = config, model, out
        out.mkdir(parents=True, exist_ok=True)
        threads.set_threads(torch.get_num_threads())
        training, validation = load_split(data)
        self.files = Files(model, config, training, config.seed)
        still = dataclasses.replace(config, qualities=(3.0, 30.0), low_share=0.5, seed=7)
        self.held_out = Files(model, still, validation, 7)
        torch.manual_seed(config.seed)
        self.synthesis = second_synthesis(model, like)
        self.analysis = networks.stages(model, ENCODER).analysis.requires_grad_(False)
        self.judge = Discriminator(model.manifest.latent, config.judge_width)
        for one in (self.synthesis, self.analysis, self.judge):
            one.to(memory_format=torch.channels_last)
        self.bfloat16 = fast_bfloat16()
        rotations = torch.bfloat16 if self.bfloat16 else torch.float32
        self.optimizer = Soap(self.synthesis.parameters(), lr=config.lr, rotations=rotations)
        self.judge_optimizer = torch.optim.Adam(self.judge.parameters(), lr=config.judge_lr, betas=(0.5, 0.9))
        self.average = {k: v.detach().clone() for k, v in self.synthesis.state_dict().items()}
        self.step, self.stop_asked = 0, False

    @property
    def checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def save(self) -> None:
        state = {
            "config": dataclasses.asdict(self.config),
            "model": self.model.name,
            "hash": self.model.hash.hex(),
            "step": self.step,
            "synthesis": self.synthesis.state_dict(),
            "judge": self.judge.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "judge_optimizer": self.judge_optimizer.state_dict(),
        }
        torch.save(state, self.checkpoint.with_suffix(".new"))
        self.checkpoint.with_suffix(".new").replace(self.checkpoint)

    def resume(self) -> None:
        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, weights_only=True)
        if state["hash"] != self.model.hash.hex():
            msg = f"{self.checkpoint} is of files of another model, {state['model']!r}; choose another --out"
            raise ValueError(msg)
        self.synthesis.load_state_dict(state["synthesis"])
        self.judge.load_state_dict(state["judge"])
        self.average, self.step = state["average"], state["step"]
        saved = state["optimizer"]["state"]
        self.optimizer.load_state_dict(state["optimizer"])
        for number, p in enumerate(self.synthesis.parameters()):
            if number in saved:  # load_state_dict has cast every state to the type of its parameter: undo that
                self.optimizer.state[p].update(saved[number])
        self.judge_optimizer.load_state_dict(state["judge_optimizer"])

    def ask_to_stop(self, *_: object) -> None:
        self.stop_asked = True

    def run(self, minutes: float | None) -> None:
        deadline = time.monotonic() + minutes * 60 if minutes else float("inf")
        bar = tqdm(total=self.config.steps, initial=self.step, mininterval=10, smoothing=0.02)
        sums: dict[str, float] = {}
        while self.step < self.config.steps and not self.stop_asked and time.monotonic() < deadline:
            figures = self.train_step()
            for name, value in figures.items():
                sums[name] = sums.get(name, 0.0) + value
            self.step += 1
            bar.update()
            if self.step % 25 == 0:
                means = {name: value / 25 for name, value in sums.items()}
                sums = {}
                self.log("train", means)
                bar.set_postfix(
                    loss=f"{means['loss']:.3f}", psnr=f"{means['psnr']:.2f}", texture=f"{means['texture']:.3f}"
                )
            if self.step % self.config.validate_every == 0:
                self.validate()
            if self.step % self.config.checkpoint_every == 0:
                self.save()
        bar.close()
        self.save()

    def rate(self) -> float:
        c = self.config
        fall = min(1.0, (c.steps - self.step) / max(1.0, c.steps * c.decay_share))
        return min(1.0, (self.step + 1) / c.warmup) * max(0.01, fall)

    def train_step(self) -> dict[str, float]:
        config, judged = self.config, self.step >= self.config.judged_from
        torch.manual_seed(config.seed + 7919 * self.step)
        self.optimizer.param_groups[0]["lr"] = config.lr * self.rate()
        self.judge_optimizer.param_groups[0]["lr"] = config.judge_lr * self.rate()
        x, y_hat, t = self.files.at(self.step)
        x, y_hat = (one.contiguous(memory_format=torch.channels_last) for one in (x, y_hat))
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            x_hat = self.synthesis(y_hat, t, noise_for(y_hat))
            parts = self.parts(x, x_hat, t)
            judge_loss = torch.zeros(())
            if config.adversary or config.matching:
                judge_loss = self.judged(x, x_hat, y_hat, parts, judged)
        loss = sum(getattr(config, name) * value.mean() for name, value in parts.items())
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.synthesis.parameters(), config.clip)
        for p in self.synthesis.parameters():
            p.grad.nan_to_num_(0.0, 0.0, 0.0)
        self.optimizer.step()
        keep = min(config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            current = self.synthesis.state_dict()
            torch._foreach_lerp_(list(self.average.values()), [current[k] for k in self.average], 1 - keep)
        means = {name: float(value.detach().mean()) for name, value in parts.items()}
        squares = (x_hat.detach() - x).square().mean((1, 2, 3))
        return means | {
            "loss": float(loss.detach()),
            "psnr": float(-10 * squares.log10().mean()),
            "judge": float(judge_loss.detach()),
        }

    def parts(self, x: Tensor, x_hat: Tensor, t: Tensor) -> dict[str, Tensor]:
        """Of the loss, (N,) each, but for what the discriminator says."""
        with torch.no_grad():
            of_x = analysis_features(self.analysis, x, t)
        of_x_hat = analysis_features(self.analysis, x_hat.clamp(-0.1, 1.1), t)
        expected = expected_error(t)
        return {
            "squares": (x_hat - x).square().mean((1, 2, 3)) / expected,
            "visual": visual.distance(x, x_hat) / 10.0,
            "colour": block_colour(x, x_hat) / expected.sqrt(),
            "texture": wasserstein(x, x_hat),
            "features": features_far(of_x, of_x_hat),
        }

    def judged(self, x: Tensor, x_hat: Tensor, y_hat: Tensor, parts: dict[str, Tensor], counts: bool) -> Tensor:
        """Lets the discriminator learn, and adds what it says of x_hat, if that counts already. Returns its loss."""
        seen = (y_hat / (y_hat.square().mean().sqrt() + 1e-6)).detach()
        both = torch.cat([x, x_hat.detach()]).contiguous(memory_format=torch.channels_last)
        said, features = self.judge(both, torch.cat([seen, seen]))
        loss = hinge(*said.chunk(2))
        self.judge_optimizer.zero_grad()
        loss.backward()
        self.judge_optimizer.step()
        if counts:
            self.judge.requires_grad_(False)
            said, made = self.judge(x_hat, seen)
            self.judge.requires_grad_(True)
            real = [feature[: len(x)].detach() for feature in features]
            parts["adversary"] = -said.mean((1, 2, 3))
            parts["matching"] = features_apart(real, made)
        return loss

    @torch.no_grad()
    def validate(self) -> None:
        current = {k: v.clone() for k, v in self.synthesis.state_dict().items()}
        self.synthesis.load_state_dict(self.average)
        rows = []
        for k in range(6):
            x, y_hat, t = self.held_out.at(k)
            x_hat = self.synthesis(y_hat, t, noise_for(y_hat)).clamp(0, 1)
            means = {name: float(value.mean()) for name, value in self.parts(x, x_hat, t).items()}
            rows.append(means | {"psnr": float(-10 * (x_hat - x).square().mean((1, 2, 3)).log10().mean())})
        self.synthesis.load_state_dict(current)
        self.log("validate", {name: float(np.mean([row[name] for row in rows])) for name in rows[0]})

    def log(self, kind: str, figures: dict[str, float]) -> None:
        path = self.out / "log.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["kind", "step", "time", *FIGURES])
            values = [f"{figures[k]:.6g}" if k in figures else "" for k in FIGURES]
            writer.writerow([kind, self.step, round(time.time()), *values])


def found(model: str) -> Model:
    """By a name or a directory."""
    path = Path(model)
    return registry.by_name(registry.register(path) if path.is_dir() else model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--model", default="photo-low", help="a model's name or directory (default: photo-low)")
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs or of tar files of them")
    parser.add_argument("--out", type=Path, required=True, help="folder of this run: checkpoint, log")
    parser.add_argument("--like", help="begin from another model's second synthesis: its name or directory")
    parser.add_argument("--minutes", type=float, help="stop, with a checkpoint, after so many minutes")
    parser.add_argument("--set", action="append", default=[], metavar="key=value", help="override a config value")
    arguments = parser.parse_args()
    config = load_config(arguments.config, arguments.set)
    like = found(arguments.like) if arguments.like else None
    trainer = Trainer(config, found(arguments.model), arguments.data, arguments.out, like)
    for number in (signal.SIGINT, signal.SIGTERM):  # also when started in the background, where SIGINT is ignored
        signal.signal(number, trainer.ask_to_stop)
    trainer.resume()
    if trainer.step == 0:
        trainer.validate()
    trainer.run(arguments.minutes)


if __name__ == "__main__":
    main()
