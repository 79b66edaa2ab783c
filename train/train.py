"""Train a model of any family: python -m train.train CONFIG.toml --data FOLDER --out RUN [--over gpu.toml] [--minutes
M] [--set key=value].

Stops after `steps`, after --minutes, on Ctrl-C or SIGTERM, between two steps and with a checkpoint; the same command
resumes it exactly.
Several GPUs: torchrun --nproc-per-node N -m train.train ...
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import os
import signal
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from pillow_lic.engines.torch.precision import fast_bfloat16
from pillow_lic.quality import geometric
from train import derive
from train.data import Crops, load_split
from train.exchange import start_from_checkpoint, start_from_model
from train.families import build, network_config, photo
from train.gpu_data import DeviceCrops
from train.losses import METRICS, MS_SSIM_SIDE, STRUCTURAL, rate_distortion
from train.optim import Soap

if TYPE_CHECKING:
    from collections.abc import Iterator

BEYOND = 0.03  # how far rates are drawn beyond the ends of 0..1, and then clamped
AGREE_EVERY = 10  # steps from one agreement on stopping to the next, where several processes train


@dataclass(frozen=True)
class TrainConfig:
    name: str = "photo"
    steps: int = 20000
    batch: int = 8
    crop: int = 192
    final_share: float = 0.15  # last part of the steps, on crops of final_crop
    final_crop: int = 256
    final_batch: int | None = None  # crops a batch there; None: as many as before
    lr: float = 2e-3
    warmup: int = 100
    decay_share: float = 0.45  # last part of the steps, over which the rate falls linearly to 1 %
    clip: float = 1.0
    ema: float = 0.999
    metric: str = "mse"  # what distortion means: "mse", "ms-ssim" or "visual", see train/losses.py
    lowest: float = 0.0008  # lambda at quality 1
    highest: float = 0.25  # lambda at quality 100
    rates: tuple[float, float] = (0.0, 1.0)  # lowest and highest position t that is trained
    settle: int = 0  # last steps, in which the synthesis alone learns, from symbols as the encoder really rounds them
    free_until: int = 0  # up to this step the rate counts only 10^(-t^2), so that no channel dies before it is of use
    seed: int = 1
    validate_every: int = 1000
    checkpoint_every: int = 500
    bfloat16: bool = True  # where the machine is fast at it; else, and with false, float32
    compiled: bool = False  # torch.compile: worth it on a GPU, slower on a CPU
    turn_every: int = 24  # steps between two turns of SOAP's basis, see train/optim.py
    base: str | None = None  # a shipped model whose weights stay: tables alone are trained, see train/derive.py
    asked: tuple[float, float] | None = None  # what users call qualities 1 and 100 of the model, where not that
    fresh_synthesis: bool = False  # of a start from a model: its synthesis begins anew, but for the linear path
    network: Any = field(default_factory=photo.Config)  # a Config of train/families/

    def __post_init__(self):
        low, high = self.rates
        if not 0.0 <= low <= high <= 1.0:
            msg = f"rates must be two positions from 0 to 1 that do not fall, found {list(self.rates)}"
            raise ValueError(msg)


def load_config(path: Path, overrides: list[str], over: Path | None = None) -> TrainConfig:
    """A configuration; what `over` says instead; what `overrides` ("key=value") say instead."""
    table = tomllib.loads(path.read_text()) | (tomllib.loads(over.read_text()) if over else {})
    for item in overrides:
        key, _, value = item.partition("=")
        *parents, last = key.split(".")
        node = table
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = tomllib.loads(f"v = {value}")["v"]
    rates = tuple(table.pop("rates", TrainConfig.rates))
    asked = tuple(table.pop("asked", ())) or None
    return TrainConfig(network=network_config(table.pop("network", {})), rates=rates, asked=asked, **table)


def positions(count: int, low: float, high: float) -> torch.Tensor:
    """Positions t (count,) in low..high for a batch, stratified; a little beyond the ends too, whose rows would else be
    seen half as often.
    """
    t = (torch.arange(count) + torch.rand(count)) / count
    return (low + (high - low) * (t * (1 + 2 * BEYOND) - BEYOND)).clamp(low, high)


def settles(config: TrainConfig, step: int) -> bool:
    return config.settle > 0 and step >= config.steps - config.settle


def learning_rate(config: TrainConfig, step: int) -> float:
    """Warm-up, then constant, then linear to 1 %: the constant part can be prolonged when resuming. Settling: from 30 %
    to 1 %.
    """
    if settles(config, step):
        return config.lr * max(0.01, 0.3 * (config.steps - step) / config.settle)
    steps = config.steps - config.settle
    decay = max(1.0, steps * config.decay_share)
    fall = min(1.0, (steps - step) / decay)
    return config.lr * min(1.0, (step + 1) / config.warmup) * max(0.01, fall)


class Trainer:
    def __init__(self, config: TrainConfig, data: Path, out: Path, model: Path | None = None):
        """data: photographs. out: the run's folder. model: a model directory or a checkpoint to start from, instead of
        a block transform.
        """
        if config.metric not in METRICS or (
            config.metric in STRUCTURAL and min(config.crop, config.final_crop) < MS_SSIM_SIDE
        ):
            wanted = f"one of {', '.join(METRICS)}, {' and '.join(STRUCTURAL)} with crops of {MS_SSIM_SIDE} and more"
            msg = f"metric must be {wanted}; found {config.metric!r}"
            raise ValueError(msg)
        self.config, self.out = config, out
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if config.settle and self.world > 1:
            msg = "settle wants one process: set it to 0, and settle afterwards on one GPU"
            raise ValueError(msg)  # DistributedDataParallel waits for gradients of every weight
        cuda = torch.cuda.is_available()
        self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")
        if self.world > 1:
            torch.distributed.init_process_group("nccl" if cuda else "gloo")
        out.mkdir(parents=True, exist_ok=True)
        self.training, self.validation = load_split(data)
        torch.manual_seed(config.seed)
        self.model = build(config.network)
        self.start(model)
        if config.base:
            derive.saturate(self.model, config.base)
        self.model.to(self.device, memory_format=torch.channels_last)
        self.parallel = torch.nn.parallel.DistributedDataParallel(self.model) if self.world > 1 else self.model
        if config.compiled:
            self.parallel = torch.compile(self.parallel, dynamic=False)  # a graph for each size of crop
        self.bfloat16 = config.bfloat16 and (cuda or fast_bfloat16())
        rotations = torch.bfloat16 if cuda or fast_bfloat16() else torch.float32
        self.optimizer = Soap(self.model.parameters(), lr=config.lr, every=config.turn_every, rotations=rotations)
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.step = 0
        self.stop_asked = False

    def start(self, start: Path | None) -> None:
        """The weights before the first step."""
        config = self.config
        if config.base:
            derive.start(self.model, config.base, config.lowest, config.highest)
            return
        if start and start.is_file():
            start_from_checkpoint(self.model, start)
            return
        further = start_from_model(self.model, start, fresh_synthesis=config.fresh_synthesis) if start else 0
        if start and not further:
            return
        sample = Crops(self.training, 256, 144 if further else 48, config.seed).at(0)
        x = torch.from_numpy(sample).float().div(255)
        if further:
            self.model.start_further(further, x, config.lowest, config.highest)
        else:
            self.model.start(x, config.lowest, config.highest)

    @property
    def checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def save(self) -> None:
        if self.rank:
            return
        state = {
            "config": dataclasses.asdict(self.config),
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, self.checkpoint.with_suffix(".new"))
        self.checkpoint.with_suffix(".new").replace(self.checkpoint)

    def resume(self) -> None:
        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        if network_config(state["config"]["network"]) != self.config.network:
            msg = f"{self.checkpoint} holds a network of other widths; choose another --out"
            raise ValueError(msg)
        if tuple(state["config"].get("rates", TrainConfig.rates)) != self.config.rates:
            msg = f"{self.checkpoint} is of a training of other rates; choose another --out, or start from its export"
            raise ValueError(msg)
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        saved = state["optimizer"]["state"]
        self.optimizer.load_state_dict(state["optimizer"])
        for number, p in enumerate(self.model.parameters()):
            if number in saved:  # load_state_dict has cast every state to the type of its parameter: undo that
                self.optimizer.state[p].update(saved[number])
        self.step = state["step"]

    def phase(self, step: int) -> tuple[int, int]:
        """Side and number of the crops of a batch at a step."""
        c = self.config
        final = step >= c.steps * (1 - c.final_share)
        return (c.final_crop, c.final_batch or c.batch) if final else (c.crop, c.batch)

    def run(self, minutes: float | None) -> None:
        deadline = time.monotonic() + minutes * 60 if minutes else float("inf")
        begun, first = time.monotonic(), self.step
        bar = tqdm(total=self.config.steps, initial=self.step, disable=self.rank > 0, mininterval=5, smoothing=0.02)
        batches, phase, pixels = None, None, 0
        while self.step < self.config.steps and not self.stops(deadline):
            if self.phase(self.step) != phase:
                phase, batches = self.phase(self.step), None  # None: on a GPU the photographs lie beside the crops
                batches = self.crops(*phase)
            batch = next(batches)
            figures = self.train_step(batch)
            pixels += batch.numel() // 3
            self.step += 1
            bar.update()
            if self.step % 50 == 0:
                figures = {name: value.mean().item() for name, value in figures.items()}
                self.log("train", figures)
                bar.set_postfix(loss=f"{figures['loss']:.3f}", bpp=f"{figures['bpp']:.3f}")
            if self.step % self.config.validate_every == 0:
                self.validate()
            if self.step % self.config.checkpoint_every == 0:
                self.save()
        bar.close()
        self.save()  # not after an error: the state may be half updated, and the last checkpoint is whole
        if self.step > first and not self.rank:
            seconds = time.monotonic() - begun
            rate = self.pixel_cost() * pixels * self.world / seconds / 1e12
            took = f"{self.step - first} steps in {seconds:.0f} s, validation and compilation included"
            print(f"{took}: {rate:.2f} TFLOP/s in convolutions")

    def pixel_cost(self) -> float:
        """Floating-point operations of a step for each pixel: two for each multiply-add of the convolutions, three
        times for the gradients.

        While the synthesis alone learns (`settle`) they are fewer.
        """
        from torch.utils.flop_counter import FlopCounterMode

        x = torch.zeros(1, 3, 256, 256, device=self.device).contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            self.model(x, torch.full((1,), self.config.rates[0], device=self.device))
        return 3.0 * counter.get_total_flops() / 256**2

    def crops(self, size: int, batch: int) -> Iterator[torch.Tensor]:
        """Batches (batch, 3, size, size) uint8 on the device, from this step on."""
        seed = self.config.seed * 1000 + self.rank
        if self.device.type == "cuda":
            return DeviceCrops(self.training, size, batch, seed, self.device).iterate(self.step)
        return map(torch.from_numpy, Crops(self.training, size, batch, seed).iterate(self.step))

    def ask_to_stop(self, *_: object) -> None:
        """Handler of SIGINT and SIGTERM."""
        self.stop_asked = True

    def stops(self, deadline: float) -> bool:
        """Whether to stop now. Where several processes train, all do when one wants to: left alone, the others would
        wait for it.
        """
        wants = self.stop_asked or time.monotonic() >= deadline
        if self.world == 1:
            return wants
        if self.step % AGREE_EVERY:
            return False
        any_wants = torch.tensor(float(wants), device=self.device)
        torch.distributed.all_reduce(any_wants, torch.distributed.ReduceOp.MAX)
        return bool(any_wants.item())

    def train_step(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """One step on a batch (N, 3, size, size) uint8; returns the figures of the loss, (N,) each, on the device."""
        config = self.config
        torch.manual_seed(config.seed + 7919 * self.step + self.rank)  # noise and t depend on the step alone
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, self.step)
        x = batch.to(self.device).float().div(255)
        x = x.contiguous(memory_format=torch.channels_last)  # (N, 3, size, size)
        t = positions(len(x), *config.rates).to(self.device, non_blocking=True)
        settling = settles(config, self.step)
        for name, p in self.model.named_parameters():
            learns = config.base is None or derive.learns(name)
            p.requires_grad_(learns and (not settling or name.startswith("synthesis.")))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            out = self.parallel(x, t, settling)
        share = 10.0 ** -t.square() if self.step < config.free_until else 1.0
        weight = geometric((config.lowest, config.highest), t)
        figures = rate_distortion(x, out, weight, share, config.metric, t)
        loss = figures["loss"].mean()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)
        for p in self.model.parameters():
            if p.grad is not None:  # one bad batch must not end a run; asking whether it is one would make a GPU wait
                p.grad.nan_to_num_(0.0, 0.0, 0.0)
        self.optimizer.step()
        keep = min(config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            current = self.model.state_dict()
            torch._foreach_lerp_(list(self.average.values()), [current[k] for k in self.average], 1 - keep)
        return {name: value.detach() for name, value in figures.items()}

    @torch.no_grad()
    def validate(self) -> None:
        """Loss, rate and PSNR of the averaged weights at five qualities, with hard rounding; one picture."""
        if self.rank:
            return
        model = build(self.config.network)
        if self.config.base:
            derive.saturate(model, self.config.base)
        model.to(self.device, memory_format=torch.channels_last).load_state_dict(self.average)
        crops = Crops(self.validation, 256, 8, 0, grey=0.0)
        losses = []
        low, high = self.config.rates
        for part in (0.1, 0.3, 0.5, 0.7, 0.9):
            t = round(low + (high - low) * part, 3)
            rows = []
            for k in range(6):
                x = torch.from_numpy(crops.at(k)).to(self.device).float().div(255)
                position = torch.full((len(x),), t, device=self.device)
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                    out = model(x, position, hard=True)
                weight = geometric((self.config.lowest, self.config.highest), position)
                figures = rate_distortion(x, out, weight, 1.0, self.config.metric, position)
                rows.append([figures[k].mean().item() for k in ("loss", "mse", "bpp", "z_bpp", "psnr")])
            row = np.mean(rows, 0)
            losses.append(row[0])
            self.log(f"validate-{t}", dict(zip(("loss", "mse", "bpp", "z_bpp", "psnr"), row)))
            if part == 0.5:
                self.picture(x, out["x_hat"])
        share = model.share(x, position)
        self.log("validate", {"loss": float(np.mean(losses)), "share": share})
        if share < 1e-3:
            found = f"the analysis network has died: it is {share:.1e} of y's variance"
            tqdm.write(f"step {self.step}: {found}; start again, slower")

    def picture(self, x: torch.Tensor, x_hat: torch.Tensor) -> None:
        pair = torch.cat([x, x_hat.clamp(0, 1)], 2)  # (N, 3, 2 * size, size): original above decoded
        row = pair.permute(2, 0, 3, 1).reshape(pair.shape[2], -1, 3)
        Image.fromarray((row.cpu().numpy() * 255).round().astype(np.uint8)).save(self.out / "validation.png")

    def log(self, kind: str, figures: dict[str, float]) -> None:
        if self.rank:
            return
        path = self.out / "log.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["kind", "step", "time", "loss", "mse", "bpp", "z_bpp", "psnr", "share"])
            names = ("loss", "mse", "bpp", "z_bpp", "psnr", "share")
            values = [f"{figures[k]:.6g}" if k in figures else "" for k in names]
            writer.writerow([kind, self.step, round(time.time()), *values])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs or of tar files of them")
    parser.add_argument("--out", type=Path, required=True, help="folder of this run: checkpoint, log, pictures")
    parser.add_argument(
        "--start",
        type=Path,
        help="model directory, or another run's checkpoint of the same network, whose weights a fresh run starts from; "
        "with more channels of y than a model of the photo family has, the further ones get what it leaves over",
    )
    parser.add_argument(
        "--over",
        type=Path,
        help="another configuration, whose values replace those of the first: train/configs/gpu.toml",
    )
    parser.add_argument("--minutes", type=float, help="stop, with a checkpoint, after so many minutes")
    parser.add_argument(
        "--set", action="append", default=[], metavar="key=value", help="override a config value, also network.KEY"
    )
    arguments = parser.parse_args()
    trainer = Trainer(
        load_config(arguments.config, arguments.set, arguments.over), arguments.data, arguments.out, arguments.start
    )
    for number in (signal.SIGINT, signal.SIGTERM):  # also when started in the background, where SIGINT is ignored
        signal.signal(number, trainer.ask_to_stop)
    trainer.resume()
    trainer.run(arguments.minutes)
    if trainer.world > 1:
        torch.distributed.destroy_process_group()  # else its threads may abort the process as it ends


if __name__ == "__main__":
    main()
