"""Turn a checkpoint into a model directory: python -m train.export RUN/checkpoint.pt --data PHOTOS --out MODEL.

Writes tables.npz (integers), decoder.pt and encoder.pt (TorchScript, float16 weights) and manifest.json (FORMAT 9).
The bank's rows start as Gaussians (y) and mixtures of logistics (z) and are then bent towards what the network really produces on
the training photographs, rounded as the encoder rounds.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from pillow_lic.codec import boundary, latents
from pillow_lic.constants import (
    LIC_BIAS_MAX,
    LIC_INVERSE_MAX,
    LIC_INVERSE_MIN,
    LIC_MAP_SHIFT,
    LIC_NORMAL_ARGUMENT_BITS,
    LIC_NORMAL_STEPS,
    LIC_OFFSET_ONE,
    LIC_OFFSET_ZERO,
    LIC_PROB_BITS,
    LIC_QUALITY_SCALE,
    LIC_ROW_MAX,
    LIC_WEIGHT_MAX,
    LIC_Z_STEP_BITS,
)
from pillow_lic.entropy import CELL, Tables, rate_point
from train.data import Crops, load_split
from train.gdn import WEIGHT_UNIT, GdnConfig, GdnModel
from train.networks import ROWS, SIGMA_MAX, SIGMA_MIN, Z_COMPONENTS, PhotoConfig, PhotoModel, checkerboard
from train.train import build, network_config

QUALITIES = (1, 12, 25, 38, 50, 62, 75, 88, 100)  # at which the rows are fitted
PRIOR_COUNT = 400.0  # weight, in symbols, of the parametric shape against the counted one
FLAT_SKIP = 0.001  # rows in which a symbol is non-zero more rarely than this are not coded


class DecoderStages(nn.Module):
    """The decoder half as one scripted object (FORMAT 9.3)."""

    def __init__(self, model: PhotoModel | GdnModel):
        super().__init__()
        self.prior_net, self.refine_net, self.synthesis_net = model.prior, model.refine, model.synthesis

    @torch.jit.export
    def prior(self, z_hat: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.prior_net(z_hat, t)

    @torch.jit.export
    def refine(self, features: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        return self.refine_net(features, known)

    @torch.jit.export
    def synthesis(self, y_hat: Tensor, t: Tensor) -> Tensor:
        return self.synthesis_net(y_hat, t)


class EncoderStages(nn.Module):
    """The encoder half as one scripted object (FORMAT 9.3)."""

    def __init__(self, model: PhotoModel | GdnModel):
        super().__init__()
        self.analysis_net, self.hyper_net = model.analysis, model.hyper_analysis

    @torch.jit.export
    def analysis(self, x: Tensor, t: Tensor) -> Tensor:
        return self.analysis_net(x, t)

    @torch.jit.export
    def hyper_analysis(self, y: Tensor, t: Tensor) -> Tensor:
        return self.hyper_net(y, t)


# --- integers from floats ---------------------------------------------------------------------------------------


def scale_grid() -> np.ndarray:
    """Standard deviations of the scale rows, geometric (ROWS,)."""
    return np.geomspace(SIGMA_MIN, SIGMA_MAX, ROWS)


UNIT = np.log(SIGMA_MAX / SIGMA_MIN) / (ROWS - 1)  # log sigma from one scale row to the next
ONE = 1 << LIC_MAP_SHIFT
Z_ONE = 1 << LIC_Z_STEP_BITS


def _numbers(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def _limited(name: str, values: np.ndarray, most: int, dtype: type) -> np.ndarray:
    """Rounded integers within +-most; says how many had to be clipped."""
    clipped = int((np.abs(values) > most).sum())
    if clipped:
        print(f"{name}: {clipped} of {values.size} values clipped")
    return values.round().clip(-most, most).astype(dtype)


def integer_map(model: PhotoModel | GdnModel) -> dict[str, np.ndarray]:
    """weight, offset, bias and z_step of FORMAT 7.5, of mixtures and hidden layers also those of 7.8.

    acc >> LIC_MAP_SHIFT is the rounded byte, so every plane has a scale (units of the byte) and a zero.
    """
    shape = model.shape if isinstance(model, GdnModel) else model.scale_map
    components = model.config.components if isinstance(model, GdnModel) else 0
    scale, zero = np.array([1 / UNIT]), np.array([-np.log(SIGMA_MIN) / UNIT])
    if components:
        scale = np.repeat([1 / UNIT, LIC_OFFSET_ONE, 1 / WEIGHT_UNIT], components)
        zero = np.repeat([zero[0], LIC_OFFSET_ZERO, 0], components)
    latent = model.config.latent
    rows = np.repeat(scale, CELL * latent)
    arrays = {
        "weight": _limited("weight", _numbers(shape.weight) * rows[:, None] * ONE / Z_ONE, LIC_WEIGHT_MAX, np.int16),
        "offset": (_numbers(shape.offset) * rows + np.repeat(zero, CELL * latent) + 0.5) * ONE,
        "bias": _numbers(shape.bias) * np.repeat(scale, latent) * ONE,
    }
    for name in ("offset", "bias"):
        arrays[name] = _limited(name, arrays[name], LIC_BIAS_MAX, np.int32)
    for n, layer in enumerate(getattr(shape, "hidden", ()), start=1):
        arrays[f"hidden{n}_weight"] = _limited("a hidden weight", _numbers(layer.weight[:, :, 0, 0]) * ONE, LIC_WEIGHT_MAX, np.int16)
        arrays[f"hidden{n}_offset"] = _limited("a hidden offset", (_numbers(layer.bias) * Z_ONE + 0.5) * ONE, LIC_BIAS_MAX, np.int32)
    if components:
        arrays |= mixture_tables()
    z_step = Z_ONE * np.exp(-_numbers(model.hyper_rate.gain))
    return {**arrays, "z_step": z_step.round().clip(1, 255).astype(np.uint8)}


NORMAL_END = 4.25  # standard deviations at which the tabulated normal ends


def mixture_tables() -> dict[str, np.ndarray]:
    """normal and inverse of FORMAT 7.8, for the scales of `scale_grid`."""
    edge = NORMAL_END * np.arange(LIC_NORMAL_STEPS) / LIC_NORMAL_STEPS
    half = 1 << LIC_PROB_BITS - 1
    normal = np.append(((_ndtr(edge) - 0.5) * 2 * half).round(), half).astype(np.uint16)
    inverse = (1 << LIC_NORMAL_ARGUMENT_BITS) / (NORMAL_END * LIC_OFFSET_ONE * scale_grid())
    return {"normal": normal, "inverse": inverse.round().clip(LIC_INVERSE_MIN, LIC_INVERSE_MAX).astype(np.uint32)}


def _ndtr(x: np.ndarray) -> np.ndarray:
    return torch.special.ndtr(torch.from_numpy(x)).numpy()


def gaussian_row(sigma: float) -> tuple[int, np.ndarray]:
    """First value and probabilities of a zero-mean Gaussian over integers, the tails as last entry."""
    radius = min(max(1, int(np.ceil(4.2 * sigma))), (LIC_ROW_MAX - 2) // 2)
    edges = np.arange(-radius, radius + 2) - 0.5
    mass = np.diff(_ndtr(edges / sigma))
    return -radius, np.append(mass, max(0.0, 1.0 - mass.sum()))


def logistic_row(mean: np.ndarray, log_scale: np.ndarray, weight: np.ndarray) -> tuple[int, np.ndarray]:
    """First value and probabilities of a mixture of logistics (K,) over integers, the tails as last entry."""
    scale = np.exp(np.clip(log_scale, -4.0, 6.0))
    reach = np.maximum(2, np.ceil(9.0 * scale))
    first = max(-boundary.Z_LIMIT, int(np.floor((mean - reach).min())))
    last = min(boundary.Z_LIMIT, int(np.ceil((mean + reach).max())))
    edges = (np.arange(first, last + 2) - 0.5 - mean[:, None]) / scale[:, None]
    mass = weight @ np.diff(torch.from_numpy(edges).sigmoid().numpy())
    return first, np.append(mass, max(0.0, 1.0 - mass.sum()))


def to_frequencies(mass: np.ndarray) -> np.ndarray:
    """Probabilities to integers >= 1 that sum to 65536, the rounding's remainder going to the largest ones."""
    total = 1 << LIC_PROB_BITS
    scaled = mass / mass.sum() * (total - len(mass))
    freq = np.floor(scaled).astype(np.int64) + 1
    order = np.argsort(scaled - np.floor(scaled))[::-1]
    freq[order[: total - freq.sum()]] += 1
    return freq.astype(np.uint16)


@dataclass
class Rows:
    """The bank while it is made: parametric shapes, and counts of what was seen."""

    shapes: list[tuple[int, np.ndarray]]
    counts: list[np.ndarray]
    scale_rows: int  # ROWS, or 0 where r is coded under mixtures

    @classmethod
    def parametric(cls, model: PhotoModel | GdnModel, scale_rows: int) -> Rows:
        shapes = [gaussian_row(sigma) for sigma in scale_grid()][:scale_rows]
        rate = model.hyper_rate
        weight = rate.logit.unflatten(1, (-1, Z_COMPONENTS)).softmax(2)
        tables = (rate.mean, rate.log_scale, weight)
        mean, log_scale, weight = (part.detach().double().numpy().reshape(-1, Z_COMPONENTS) for part in tables)
        shapes += [logistic_row(*row) for row in zip(mean, log_scale, weight)]
        return cls(shapes, [np.zeros(len(mass)) for _, mass in shapes], scale_rows)

    def count(self, row: int, symbols: np.ndarray) -> None:
        first, mass = self.shapes[row]
        place = symbols.astype(np.int64) - first
        place[(place < 0) | (place >= len(mass) - 1)] = len(mass) - 1  # escapes
        self.counts[row] += np.bincount(place, minlength=len(mass))

    def arrays(self) -> dict[str, np.ndarray]:
        """freq, count, first of FORMAT 9.2. Scale rows are made symmetric: nothing prefers a sign."""
        freqs = []
        for row, ((_, mass), seen) in enumerate(zip(self.shapes, self.counts)):
            if row < self.scale_rows:
                seen = np.append((seen[:-1] + seen[:-1][::-1]) / 2, seen[-1])
            freqs.append(to_frequencies(seen + PRIOR_COUNT * (mass + 1e-7)))
        return {
            "freq": np.concatenate(freqs),
            "count": np.array([len(f) for f in freqs], np.int32),
            "first": np.array([first for first, _ in self.shapes], np.int16),
        }

    def skip(self) -> int:
        """Number of lowest rows that are almost surely zero."""
        for row in range(self.scale_rows):
            first, _ = self.shapes[row]
            seen = self.counts[row]
            if seen.sum() > 0 and 1.0 - seen[-first] / seen.sum() > FLAT_SKIP:
                return row
        return self.scale_rows


# --- fitting the rows -------------------------------------------------------------------------------------------


class Fitter:
    """Runs the encoder's path over training crops and counts symbols by row."""

    def __init__(self, model: PhotoModel | GdnModel, manifest: dict, integers: dict[str, np.ndarray]):
        self.model, self.manifest, self.integers = model, manifest, integers

    def tables(self, rows: Rows) -> dict[str, np.ndarray]:
        return {**rows.arrays(), **self.integers}

    @torch.inference_mode()
    def fit(self, rows: Rows, crops: Crops, batches: int) -> Rows:
        """Counts under the rounding that `rows` imply."""
        arrays = self.tables(rows)
        tables = Tables.from_model(self.manifest, arrays)
        rounding = boundary.rounding(tables, arrays, 0)
        counted = Rows(rows.shapes, [np.zeros(len(mass)) for _, mass in rows.shapes], rows.scale_rows)
        for step in tqdm(range(batches), desc="fitting rows"):
            x = torch.from_numpy(crops.at(step)).float().div(255)
            for quality in QUALITIES:
                q = quality * LIC_QUALITY_SCALE
                t = latents.positions(q)
                for one in self.model.analysis(x, t.expand(len(x))):
                    self._count(counted, tables, rounding, one, q, t)
        return counted

    def _count(self, rows: Rows, tables: Tables, rounding: boundary.Rounding, y: Tensor, q: int, t: Tensor) -> None:
        model = self.model
        z = boundary.hyper_symbols(model.hyper_analysis(y[None], t)[0], tables.z_steps(q))
        nearest = rate_point(q, self.manifest["points"])[2]
        for channel, values in enumerate(z):
            rows.count(rows.scale_rows + nearest * len(z) + channel, values.ravel())
        if not rows.scale_rows:
            return
        index = tables.scale_index(q, z, *y.shape[1:])
        flat, symbols = index.ravel(), self._residuals(tables, rounding, y, z, index, q, t).ravel()
        order = np.argsort(flat, kind="stable")
        ends = np.searchsorted(flat[order], np.arange(ROWS + 1))
        for row in range(ROWS):
            if ends[row] < ends[row + 1]:
                rows.count(row, symbols[order[ends[row] : ends[row + 1]]])

    def _residuals(self, tables: Tables, rounding: boundary.Rounding, y: Tensor, z, index, q: int, t: Tensor) -> np.ndarray:
        """r of one y (M, h, w), nothing skipped."""
        model = self.model
        z_hat = torch.from_numpy(tables.dequantised(q, z).astype(np.float32)) / Z_ONE
        h, w = y.shape[1:]
        features, mean, step = (part[:, :, :h, :w] for part in model.prior(z_hat[None], t))
        scale = torch.from_numpy(index.astype(np.int32))
        even = checkerboard(mean)
        first = rounding(((y - mean) / step)[0], scale)
        mean2, log_step2 = model.refine(features, (mean + first * step) * even)
        odd = rounding(((y - mean - mean2) / (step * log_step2.exp()))[0], scale)
        return torch.where(even[0] > 0, first, odd).numpy()


# --- writing ----------------------------------------------------------------------------------------------------


def halo_of(config: PhotoConfig | GdnConfig) -> int:
    """Latent positions beyond a piece that its pixels depend on: prior 1, refine 2, synthesis its blocks.

    Of a GDN network: the mean 7 (1 + 2 + 4), synthesis 30 pixels.
    """
    if isinstance(config, GdnConfig):
        return 9 if config.components else 2
    reach = 1 + 2 + config.body_blocks + config.detail_blocks / 2 + 0.25
    return int(np.ceil(reach))


def encoder_halo_of(config: PhotoConfig | GdnConfig) -> int:
    """Latent positions beyond a piece that its y depends on, or beyond a piece of y that its z depends on (3: FORMAT 9.1).

    Of a GDN network: 7 (1 + 2 + 4) for z; y sees 30 pixels, and through its attention a little of the whole piece.
    """
    if isinstance(config, GdnConfig):
        return 7
    return max(int(np.ceil(config.encoder_blocks / 2 + config.encoder_low_blocks)), 3)


def save_script(stages: nn.Module, path: Path) -> None:
    """TorchScript archive without its debug files, which are larger than a small network and name source paths."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(stages.eval()), buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            if not name.endswith(".debug_pkl"):
                target.writestr(zipfile.ZipInfo(name), source.read(name), zipfile.ZIP_DEFLATED)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def export(checkpoint: Path, data: Path, out: Path, name: str | None, batches: int) -> None:
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    config = network_config(state["config"]["network"])
    model = build(config).eval()
    model.load_state_dict(state["average"])
    model.half().float()  # the shipped weights are float16: fit the tables to what they do
    manifest = {
        "format": 1,
        "name": name or state["config"]["name"],
        "latent": config.latent,
        "hyper": config.hyper,
        "points": config.points,
        "rows": ROWS,
        "skip": 0,
        "halo": halo_of(config),
        "encoder_halo": encoder_halo_of(config),
    }
    if state["config"].get("metric", "mse") == "mse":  # lambda of another distortion means nothing to an encoder that knows squared errors
        manifest["lambda"] = [state["config"]["lowest"], state["config"]["highest"]]
    fitter = Fitter(model, manifest, integer_map(model))
    training, _ = load_split(data)
    crops = Crops(training, 256, 8, seed=11, grey=0.02)
    rows = Rows.parametric(model, 0 if getattr(config, "components", 0) else ROWS)
    for _ in range(2 if rows.scale_rows else 1):  # rounding depends on the rows, the rows on the rounding
        rows = fitter.fit(rows, crops, batches)
    manifest["skip"] = rows.skip()
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out / "tables.npz", **fitter.tables(rows))
    model.half()
    save_script(DecoderStages(model), out / "decoder.pt")
    save_script(EncoderStages(model), out / "encoder.pt")
    manifest["decoder"] = {file: sha256(out / file) for file in ("tables.npz", "decoder.pt")}
    manifest["encoder"] = {"encoder.pt": sha256(out / "encoder.pt")}
    manifest["training"] = {"steps": state["step"], **state["config"]}
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    total = sum(p.stat().st_size for p in out.iterdir())
    halos = f"halo {manifest['halo']}, the encoder's {manifest['encoder_halo']}"
    print(f"{out}: {total / 1e6:.2f} MB, skip below row {manifest['skip']}, {halos}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="photographs to fit the probability rows to")
    parser.add_argument("--out", type=Path, required=True, help="model directory to write")
    parser.add_argument("--name", help="the model's name (default: that of its configuration)")
    parser.add_argument("--batches", type=int, default=16, help="batches of 8 crops of 256x256 to count symbols on")
    a = parser.parse_args()
    export(a.checkpoint, a.data, a.out, a.name, a.batches)


if __name__ == "__main__":
    main()
