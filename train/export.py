"""Turn a checkpoint into a model directory: python -m train.export RUN/checkpoint.pt --data PHOTOS --out MODEL.

Writes model.safetensors, encoder.safetensors and manifest.json (FORMAT 9). The bank's rows start as its residual kind's
(y) and as mixtures of logistics (z) and are then bent towards what the network really produces on the training
photographs, rounded as the encoder rounds; those of z by levels (FORMAT 7.4).
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch

from pillow_lic import quality
from pillow_lic.codec.options import DEFAULT_EFFORT
from pillow_lic.models import manifest as manifests
from train import derive
from train.calibration import Calibration
from train.data import Crops, load_split
from train.exchange import stored_prior
from train.families import Model, build, network_config
from train.fitting import Fitter
from train.layers import ROWS
from train.losses import SEARCHED, SEARCHED_VISUAL
from train.pack import write_model
from train.rows import Rows


def trained(state: dict) -> Model:
    """The network of a checkpoint with its averaged weights, for nothing but use."""
    model = build(network_config(state["config"]["network"])).eval()
    model.load_state_dict(state["average"])
    model.requires_grad_(False)
    if base := state["config"].get("base"):
        derive.saturate(model, base)
    if not model.integer:
        model.half().float()  # as they are shipped: fit the tables to what they do
    return model


def manifest_of(model: Model, training: dict, name: str | None) -> dict:
    """What is known before rows are fitted. training: the run's configuration."""
    halo, encoder_halo = model.reach()
    manifest = {
        "format": manifests.FORMAT,
        "name": name or training["name"],
        "latent": model.config.latent,
        "hyper": model.config.hyper,
        "points": model.config.points,
        "rows": ROWS,
        "skip": 0,
        "halo": halo,
        "encoder_halo": encoder_halo,
        "quality": [quality.q_at(t) for t in training.get("rates", (0, 1))],
    }
    further = {key: training[key] for key in ("base", "asked") if training.get(key)}
    return manifest | further | searched(training)


def searched(training: dict) -> dict[str, list[float]]:
    """What the manifest says of what encoders search for: nothing of MS-SSIM, which they do not know."""
    metric, ends = training.get("metric", "mse"), (training["lowest"], training["highest"])
    if metric == "visual":
        return {
            "lambda": [float(f"{end * share:.6g}") for end, share in zip(ends, SEARCHED)],
            "visual": list(SEARCHED_VISUAL),
        }
    return {"lambda": list(ends)} if metric == "mse" else {}


def export(
    checkpoint: Path, data: Path, out: Path, name: str | None, batches: int, with_encoder: bool = True, crop: int = 256
) -> None:
    """The model of a checkpoint as files in `out`, fitted to `batches` of 8 crops of `data`, squares of side `crop`."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model = trained(state)
    manifest = manifest_of(model, state["config"], name)
    fitter = Fitter(model, manifest)
    training, _ = load_split(data)
    crops = Crops(training, crop, 8, seed=11, grey=0.02)
    rows = Rows.parametric(model.residual, model.hyper_rate)
    model.prior.gain -= math.log(model.residual.unit)
    rows = fitter.fit(rows, crops, batches)
    # Again: rounding depends on the rows, the rows on the rounding; and the activities of z have been seen.
    effort = DEFAULT_EFFORT if "lambda" in manifest and rows.scale_rows else 0
    rows = fitter.fit(rows.split(fitter.z_level()), crops, batches, effort)
    manifest["skip"] = rows.skip()
    manifest["network"] = model.widths()
    manifest["training"] = {"steps": state["step"], **{k: v for k, v in state["config"].items() if k != "network"}}
    arrays = fitter.tables(rows)
    units = Calibration(fitter, arrays).units(crops, 2) if model.integer else {}
    base = state["config"].get("base")
    decoder, encoder = derive.stored(model, base, units) if base else model.stored(units)
    encoder |= stored_prior(model.hyper_rate)
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
