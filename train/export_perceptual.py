"""Put a second synthesis into a model's directory: python -m train.export_perceptual RUN/checkpoint.pt --data PHOTOS
--model DIRECTORY.

Writes perceptual.safetensors (FORMAT 9.5) there, and names it in manifest.json. The model's identity stays: files, and
what the default synthesis makes of them, do not change.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from pillow_lic.engines.torch import exchange, latents
from pillow_lic.models import registry, weights
from pillow_lic.models.manifest import PERCEPTUAL
from pillow_lic.models.store import Model, read_model
from pillow_lic.quality import from_q
from train.calibration import Ranges, hard_pictures
from train.data import load_split
from train.families.photo_ranges import observe_synthesis
from train.pack import coarse_layer, fewer_bits, tensors_of
from train.perceptual import Files, PerceptualConfig, noise_for, second_synthesis

if TYPE_CHECKING:
    from pillow_lic.engines.torch.photo import PerceptualSynthesis

CALIBRATED = 5  # qualities at which hard pictures are seen
# By what weights are coarser than they could be, so that the file is half as large: samples differ at 50 dB from those
# of the finest (docs/research-log.md).
COARSENESS = ((re.compile(r".*\.direct"), 16), (re.compile(r".*\.out"), 8), (re.compile(r".*\.body\d+\..*"), 64))
COARSE = 32  # of others


def coarse(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same with coarser numbers."""
    found = dict(tensors)
    for name in tensors:
        layer, _, part = name.rpartition(".")
        if part == "weight":
            times = next((by for pattern, by in COARSENESS if pattern.fullmatch(layer)), COARSE)
            found[name], found[f"{layer}.scale"] = coarse_layer(tensors[name], tensors[f"{layer}.scale"], times)
    return fewer_bits(found)


def units(model: Model, files: Files, synthesis: PerceptualSynthesis, batches: int) -> dict[str, np.ndarray]:
    """The units of all places of a synthesis, from crops of photographs and from hard pictures."""
    ranges = Ranges()

    def observe(y_hat: torch.Tensor, t: torch.Tensor) -> None:
        observe_synthesis(synthesis, y_hat, t, ranges, synthesis.noise(noise_for(y_hat)))

    for step in tqdm(range(batches), desc="calibrating"):
        _, y_hat, t = files.at(1000 + step)
        for one, at in zip(y_hat, t):
            observe(one[None], at[None])
    low, high = model.manifest.quality
    for q in np.linspace(low, high, CALIBRATED).round().astype(int).tolist():
        for picture in hard_pictures():
            pixels = (picture[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            observe(files.y_hat(pixels, from_q(q))[None], latents.positions([q]))
    return ranges.units() | {"y_hat": np.asarray(model.arrays["unit.y_hat"], np.float64)}


def export(checkpoint: Path, data: Path, path: Path, batches: int) -> None:
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model = read_model(0, path)
    if model.hash.hex() != state["hash"]:
        msg = f"{checkpoint} is of files of another model, {state['model']!r} with hash {state['hash'][:16]}"
        raise ValueError(msg)
    model = registry.by_name(model.name)
    synthesis = second_synthesis(model)
    synthesis.load_state_dict(state["average"])
    config = PerceptualConfig(qualities=tuple(value / 100 for value in model.manifest.quality), crop=256, seed=11)
    files = Files(model, config, load_split(data)[0], 11)
    floats = {f"synthesis.{name}": value.double().numpy() for name, value in synthesis.state_dict().items()}
    widths = model.manifest.widths
    places = units(model, files, synthesis, batches)
    tensors = coarse(exchange.integer_synthesis(floats, places, widths["body_blocks"], widths["detail_blocks"]))
    written = weights.write(tensors_of(tensors))
    (path / PERCEPTUAL).write_bytes(written)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["perceptual"] = hashlib.sha256(written).hexdigest()
    manifest["perceptual_training"] = {"steps": state["step"], **state["config"]}
    (path / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    print(f"{path / PERCEPTUAL}: {len(written) / 1e6:.2f} MB after {state['step']} steps")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="photographs to fit the integers' units to")
    parser.add_argument(
        "--model", type=Path, required=True, help="directory of the model whose files it was trained on"
    )
    parser.add_argument("--batches", type=int, default=16, help="batches of 4 crops of 256x256 to see values on")
    a = parser.parse_args()
    export(a.checkpoint, a.data, a.model, a.batches)


if __name__ == "__main__":
    main()
