"""Turn a checkpoint into a model directory: python -m train.export RUN/checkpoint.pt --data PHOTOS --out MODEL.

Writes model.safetensors, encoder.safetensors and manifest.json (FORMAT 9). The bank's rows start as Gaussians (y) and
mixtures of logistics (z) and are then bent towards what the network really produces on the training photographs,
rounded as the encoder rounds; those of z by levels (FORMAT 7.4).
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from pillow_lic import quality
from pillow_lic.codec.options import DEFAULT_EFFORT
from pillow_lic.constants import (
    LIC_ACTIVITY_MAX,
    LIC_BIAS_MAX,
    LIC_INVERSE_MAX,
    LIC_INVERSE_MIN,
    LIC_LEVEL_PLAIN,
    LIC_LEVEL_TRELLIS,
    LIC_MAP_SHIFT,
    LIC_NORMAL_ARGUMENT_BITS,
    LIC_NORMAL_STEPS,
    LIC_OFFSET_ONE,
    LIC_OFFSET_ZERO,
    LIC_PROB_BITS,
    LIC_ROW_MAX,
    LIC_WEIGHT_MAX,
    LIC_Z_STEP_BITS,
)
from pillow_lic.engines import base
from pillow_lic.engines.base import Latents, Picture
from pillow_lic.engines.torch import exchange, latents, place, quantise, search
from pillow_lic.engines.torch.networks import Network
from pillow_lic.entropy import CELL, Tables, rate_point
from pillow_lic.models import manifest as manifests
from train.data import Crops, load_split
from train.gdn import WEIGHT_UNIT, GdnConfig, GdnModel
from train.integers import Ranges, hard_pictures, observe_decoder, observe_encoder
from train.networks import LEVEL_STEP, ROWS, SIGMA_MAX, SIGMA_MIN, Z_COMPONENTS, PhotoConfig, PhotoModel
from train.pack import write_model
from train.train import build, network_config

RATES = 9  # rates, over those that were trained, at which the rows are fitted
PRIOR_COUNT = 400.0  # weight, in symbols, of the parametric shape against the counted one
LEVELS = 4  # rows of each channel of z at each rate, by the activity of earlier channels (FORMAT 7.4)
LEVEL_COUNT = 20.0  # weight, in symbols, of the channel's shape at all levels against the one counted at a level
TRELLIS = 12  # the scale index, sigma = 0.37, from which the photo family quantises dependently (FORMAT 7.9)
FLAT_SKIP = 0.001  # rows in which a symbol is non-zero more rarely than this are not coded


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
        arrays[f"hidden{n}_weight"] = _limited(
            "a hidden weight", _numbers(layer.weight[:, :, 0, 0]) * ONE, LIC_WEIGHT_MAX, np.int16
        )
        arrays[f"hidden{n}_offset"] = _limited(
            "a hidden offset", (_numbers(layer.bias) * Z_ONE + 0.5) * ONE, LIC_BIAS_MAX, np.int32
        )
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


def gaussian_row(sigma: float, odd: bool = False) -> tuple[int, np.ndarray]:
    """First value and probabilities of a zero-mean Gaussian over integers, the tails as last entry.

    odd: over the levels of an odd state (FORMAT 7.9), 0 and those half an integer nearer to it, which cells lie around.
    """
    radius = min(max(1, int(np.ceil(4.2 * sigma))), (LIC_ROW_MAX - 2) // 2)
    edges = np.arange(-radius, radius + 2) - 0.5
    if odd:
        edges -= 0.5 * np.sign(edges)
        edges[[radius, radius + 1]] = -0.25, 0.25
    mass = np.diff(_ndtr(edges / sigma))
    return -radius, np.append(mass, max(0.0, 1.0 - mass.sum()))


def scale_shapes(trellis: int | None) -> list[tuple[int, np.ndarray]]:
    """Those of the scale rows; with a trellis from a scale index on, rows of odd states after them."""
    if trellis is None:
        return [gaussian_row(sigma) for sigma in scale_grid()]
    plain, dependent = LIC_LEVEL_PLAIN * LEVEL_STEP, LIC_LEVEL_TRELLIS * LEVEL_STEP
    low = [gaussian_row(sigma / plain) for sigma in scale_grid()[:trellis]]
    return [
        row
        for odd in (False, True)
        for row in (*low, *(gaussian_row(sigma / dependent, odd) for sigma in scale_grid()[trellis:]))
    ]


def logistic_row(mean: np.ndarray, log_scale: np.ndarray, weight: np.ndarray) -> tuple[int, np.ndarray]:
    """First value and probabilities of a mixture of logistics (K,) over integers, the tails as last entry."""
    scale = np.exp(np.clip(log_scale, -4.0, 6.0))
    reach = np.maximum(2, np.ceil(9.0 * scale))
    first = max(-quantise.Z_LIMIT, int(np.floor((mean - reach).min())))
    last = min(quantise.Z_LIMIT, int(np.ceil((mean + reach).max())))
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


class Rows:
    """The bank while it is made: parametric shapes, and how often each of their values was seen."""

    def __init__(
        self,
        shapes: list[tuple[int, np.ndarray]],
        scale_rows: int,
        z_level: np.ndarray | None = None,
        trellis: int | None = None,
    ):
        """shapes: first value and probabilities of each row, the tails as last entry. scale_rows: ROWS, or 0 where r is
        coded under mixtures. trellis: the scale index from which r is quantised dependently, and then there are twice
        as many scale rows; None: none.

        z_level: FORMAT 7.4 (P, C, X - 1), and shapes has each row of z X times; None for one level.
        """
        self.shapes, self.scale_rows, self.z_level, self.trellis = shapes, scale_rows, z_level, trellis
        self.first = np.array([first for first, _ in shapes], np.int64)
        self.length = np.array([len(mass) for _, mass in shapes], np.int64)
        self.start = self.length.cumsum() - self.length
        self.seen = np.zeros(self.length.sum())  # all rows, one after the other

    @classmethod
    def parametric(cls, model: PhotoModel | GdnModel) -> Rows:
        trellis = TRELLIS if isinstance(model, PhotoModel) else None
        shapes = [] if getattr(model.config, "components", 0) else scale_shapes(trellis)
        rate = model.hyper_rate
        weight = rate.logit.unflatten(1, (-1, Z_COMPONENTS)).softmax(2)
        tables = (rate.mean, rate.log_scale, weight)
        mean, log_scale, weight = (part.detach().double().numpy().reshape(-1, Z_COMPONENTS) for part in tables)
        return cls(shapes + [logistic_row(*row) for row in zip(mean, log_scale, weight)], len(shapes), trellis=trellis)

    @property
    def levels(self) -> int:
        return 1 if self.z_level is None else self.z_level.shape[2] + 1

    def split(self, z_level: np.ndarray) -> Rows:
        """The same with levels of z, at each of which the whole channel's values were seen."""
        repeats = np.ones(len(self.shapes), np.int64)
        repeats[self.scale_rows :] = z_level.shape[2] + 1
        source = np.arange(len(repeats)).repeat(repeats)
        rows = Rows([self.shapes[row] for row in source], self.scale_rows, z_level, self.trellis)
        rows.seen = np.concatenate([self.of(row) for row in source])
        return rows

    def of(self, row: int) -> np.ndarray:
        """How often each value of a row was seen, beyond them as last entry."""
        return self.seen[self.start[row] : self.start[row] + self.length[row]]

    def count(self, row: np.ndarray, symbols: np.ndarray) -> None:
        """Adds symbols, each under its row."""
        place, last = symbols - self.first[row], self.length[row] - 1
        place = np.where((place < 0) | (place > last), last, place)  # escapes
        self.seen += np.bincount((self.start[row] + place).ravel(), minlength=len(self.seen))

    def arrays(self) -> dict[str, np.ndarray]:
        """freq, count, first and z_level of FORMAT 9.2. Scale rows are made symmetric: nothing prefers a sign."""
        freqs = []
        for row in range(self.scale_rows):
            seen = self.of(row)
            seen = np.append((seen[:-1] + seen[:-1][::-1]) / 2, seen[-1])
            freqs.append(to_frequencies(seen + PRIOR_COUNT * (self.shapes[row][1] + 1e-7)))
        for row in range(self.scale_rows, len(self.shapes), self.levels):
            seen = [self.of(row + level) for level in range(self.levels)]
            channel = sum(seen) + PRIOR_COUNT * (self.shapes[row][1] + 1e-7)
            own = [one + LEVEL_COUNT * channel / channel.sum() for one in seen] if self.levels > 1 else [channel]
            freqs += [to_frequencies(one) for one in own]
        levels = {} if self.z_level is None else {"z_level": self.z_level}
        if self.trellis is not None:
            levels["trellis"] = np.array([self.trellis], np.int32)
        return {
            "freq": np.concatenate(freqs),
            "count": self.length.astype(np.int32),
            "first": self.first.astype(np.int16),
            **levels,
        }

    def skip(self) -> int:
        """Number of lowest rows that are almost surely zero."""
        first = self.scale_rows if self.trellis is None else self.trellis
        for row in range(first):
            seen = self.of(row)
            if seen.sum() > 0 and 1.0 - seen[-self.first[row]] / seen.sum() > FLAT_SKIP:
                return row
        return first


# --- fitting the rows -------------------------------------------------------------------------------------------


class Fitter:
    """Runs the encoder's path over training crops and counts symbols by row."""

    def __init__(self, model: PhotoModel | GdnModel, manifest: dict):
        self.model, self.manifest, self.integers = model, manifest, integer_map(model)
        self.qualities = np.linspace(*manifest["quality"], RATES).round().astype(int).tolist()
        self.activities = np.zeros(
            (manifest["points"], manifest["hyper"], LIC_ACTIVITY_MAX * manifest["hyper"])
        )  # how often each was seen

    def tables(self, rows: Rows) -> dict[str, np.ndarray]:
        return {**rows.arrays(), **self.integers}

    def z_level(self) -> np.ndarray:
        """Activities at which the levels begin: LEVELS of them about equally frequent, as far as `fit` has seen."""
        share = self.activities.cumsum(2) / self.activities.sum(2, keepdims=True).clip(1)
        below = share[:, :, None] < (np.arange(1, LEVELS) / LEVELS)[:, None]
        return (1 + below.sum(3)).astype(np.uint16)

    @torch.inference_mode()
    def fit(self, rows: Rows, crops: Crops, batches: int, effort: int = 0) -> Rows:
        """Counts of the symbols that an encoder of that effort finds by `rows`. effort above 0: of models with a
        lambda.
        """
        arrays = self.tables(rows)
        tables = Tables.from_model(self.manifest, arrays)
        quantiser = quantise.of_tables(tables, arrays, 0)
        counted = Rows(rows.shapes, rows.scale_rows, rows.z_level, rows.trellis)
        decoder = Network(self.model, self.manifest["halo"], place.at("cpu"))
        for step in tqdm(range(batches), desc="fitting rows"):
            pixels = crops.at(step)
            pictures = [Picture(None, None, np.ascontiguousarray(one.transpose(1, 2, 0))) for one in pixels]
            x = torch.from_numpy(pixels).float().div(255)
            for q in self.qualities:
                t = latents.positions([q] * len(x))
                y = self.model.analysis(x, t)
                z = self._hyper_symbols(counted, tables, y, q, t)
                if rows.scale_rows:
                    v = torch.from_numpy(tables.dequantised(q, z))
                    index = torch.from_numpy(np.stack([tables.scale_index(q, one, *y.shape[2:]) for one in z]))
                    bit = base.error_of_bit(quality.lambda_at(self.manifest["lambda"], q) if effort else None)
                    found = Latents(pictures, t, y, torch.from_numpy(z), v, index)
                    r, _ = search.quantise(decoder, quantiser, found, effort, bit)
                    for levels, where in zip(r.flatten(2).numpy(), index.flatten(2).numpy()):
                        symbols, row = (levels, where) if rows.trellis is None else tables.symbols(levels, where)
                        counted.count(row.astype(np.int64), symbols)
        return counted

    def _hyper_symbols(self, rows: Rows, tables: Tables, y: Tensor, q: int, t: Tensor) -> np.ndarray:
        """z (N, C, hz, wz) of y (N, M, h, w); it and the activities are counted."""
        nearest = rate_point(q, self.manifest["points"])[2]
        d = torch.from_numpy(tables.z_steps(q))
        found = [quantise.hyper_symbols(one, d).numpy() for one in self.model.hyper_analysis(y, t)]
        for z in found:
            rows.count(rows.scale_rows + tables.z_rows(q, z), z)
            for seen, values in zip(self.activities[nearest], tables.activity(z)):
                seen += np.bincount(values.ravel(), minlength=len(seen))
        return np.stack(found)


# --- writing ----------------------------------------------------------------------------------------------------


def halo_of(config: PhotoConfig | GdnConfig) -> int:
    """Latent positions beyond a piece that its pixels depend on: prior 1, refine 4, synthesis its blocks.

    Refine, along columns: group 3 looks 2 positions far, but meets group 2 only 1 away; that looks 2 far, and group 1
    then 1. Of a GDN network: the mean 7 (1 + 2 + 4), synthesis 30 pixels.
    """
    if isinstance(config, GdnConfig):
        return 9 if config.components else 2
    reach = 1 + 4 + config.body_blocks + config.detail_blocks / 2 + 0.25
    return int(np.ceil(reach))


def encoder_halo_of(config: PhotoConfig | GdnConfig) -> int:
    """Latent positions beyond a piece that its y depends on, or beyond a piece of y that its z depends on (3: FORMAT
    9.1).

    Of a GDN network: 7 (1 + 2 + 4) for z; y sees 30 pixels, and through its attention a little of the whole piece.
    """
    if isinstance(config, GdnConfig):
        return 7
    return max(int(np.ceil(config.encoder_blocks / 2 + config.encoder_low_blocks)), 3)


class Calibration:
    """Ranges of the values of a `photo` network, from photographs and from pictures that ask for more than those."""

    def __init__(self, fitter: Fitter, arrays: dict[str, np.ndarray]):
        self.model, self.qualities = fitter.model, fitter.qualities[::2]
        self.tables = Tables.from_model(fitter.manifest, arrays)
        self.quantiser = quantise.of_tables(self.tables, arrays, 0)
        self.ranges = Ranges()

    @torch.inference_mode()
    def see(self, x: Tensor, q: int) -> None:
        """x (1, 3, H, W) in 0..1, sides multiples of 64, as an encoder and a decoder see it."""
        t = latents.positions([q])
        observe_encoder(self.model, x, t, self.ranges)
        y = self.model.analysis(x, t)
        z = quantise.hyper_symbols(self.model.hyper_analysis(y, t)[0], torch.from_numpy(self.tables.z_steps(q))).numpy()
        v = torch.from_numpy(self.tables.dequantised(q, z))[None]
        index = torch.from_numpy(self.tables.scale_index(q, z, *y.shape[2:]))[None].int()

        def residuals(at: tuple, mean: Tensor, step: Tensor) -> Tensor:
            return self.quantiser.quantise((y[at] - mean) / step, index[at]).float()

        observe_decoder(self.model, y, v.float() / (1 << LIC_Z_STEP_BITS), residuals, t, self.ranges)

    def units(self, crops: Crops, batches: int) -> dict[str, np.ndarray]:
        """The units of all places."""
        for step in tqdm(range(batches), desc="calibrating"):
            for k, q in enumerate(self.qualities):
                for one in crops.at(1000 + step * len(self.qualities) + k):
                    self.see(torch.from_numpy(one[None]).float().div(255), q)
        for picture in tqdm(hard_pictures(), desc="calibrating on hard pictures"):
            for q in self.qualities:
                self.see(picture, q)
        return self.ranges.units()


def network_arrays(
    model: PhotoModel | GdnModel, units: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What a decoder's and an encoder's file hold of the networks: integers of the photo family, float16 of others."""
    floats = {name: value.double().numpy() for name, value in model.state_dict().items()}
    if isinstance(model, PhotoModel):
        c = model.config
        decoder = exchange.integer_decoder(floats, units, c.body_blocks, c.detail_blocks)
        return decoder, exchange.integer_encoder(floats, units, c.encoder_blocks, c.encoder_low_blocks)
    half = {name: value.astype(np.float16) for name, value in floats.items()}
    parts = ("prior.", "synthesis."), ("analysis.", "hyper_analysis.")
    decoder, encoder = ({n: v for n, v in half.items() if n.startswith(part)} for part in parts)
    return decoder, encoder


def network_widths(config: PhotoConfig | GdnConfig) -> dict[str, object]:
    """What the manifest says of the networks."""
    widths = dataclasses.asdict(config)
    return widths if isinstance(config, GdnConfig) else {"family": "photo", **widths}


def export(checkpoint: Path, data: Path, out: Path, name: str | None, batches: int, with_encoder: bool = True) -> None:
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    config = network_config(state["config"]["network"])
    model = build(config).eval()
    model.load_state_dict(state["average"])
    model.requires_grad_(False)
    if isinstance(model, GdnModel):
        model.half().float()  # as they are shipped: fit the tables to what they do
    manifest = {
        "format": manifests.FORMAT,
        "name": name or state["config"]["name"],
        "latent": config.latent,
        "hyper": config.hyper,
        "points": config.points,
        "rows": ROWS,
        "skip": 0,
        "halo": halo_of(config),
        "encoder_halo": encoder_halo_of(config),
        "quality": [quality.q_at(t) for t in state["config"].get("rates", (0, 1))],
    }
    if (
        state["config"].get("metric", "mse") == "mse"
    ):  # lambda of another distortion means nothing to an encoder that knows squared errors
        manifest["lambda"] = [state["config"]["lowest"], state["config"]["highest"]]
    fitter = Fitter(model, manifest)
    training, _ = load_split(data)
    crops = Crops(training, 256, 8, seed=11, grey=0.02)
    rows = Rows.parametric(model)
    if rows.trellis is not None:
        model.prior.gain -= math.log(LEVEL_STEP)
    rows = fitter.fit(rows, crops, batches)
    # Again: rounding depends on the rows, the rows on the rounding; and the activities of z have been seen.
    effort = DEFAULT_EFFORT if "lambda" in manifest and rows.scale_rows else 0
    rows = fitter.fit(rows.split(fitter.z_level()), crops, batches, effort)
    manifest["skip"] = rows.skip()
    manifest["network"] = network_widths(config)
    manifest["training"] = {"steps": state["step"], **{k: v for k, v in state["config"].items() if k != "network"}}
    arrays = fitter.tables(rows)
    units = Calibration(fitter, arrays).units(crops, 2) if isinstance(model, PhotoModel) else {}
    decoder, encoder = network_arrays(model, units)
    write_model(out, manifest, arrays | decoder, encoder if with_encoder else None)
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
    parser.add_argument("--without-encoder", action="store_true", help="a model that opens files and saves none")
    a = parser.parse_args()
    export(a.checkpoint, a.data, a.out, a.name, a.batches, not a.without_encoder)


if __name__ == "__main__":
    main()
