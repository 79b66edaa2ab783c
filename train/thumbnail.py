"""Fits the layer that gives thumbnails of a model's files without its synthesis (FORMAT 8.6), and writes it beside the
model: python -m train.thumbnail MODEL... --data PHOTOS

Least squares: a quarter of the resolution of what the model decodes, from y_hat at each position alone. Crops of the
training photographs are saved at random qualities; those held out say what came of it. Imports numpy, Pillow and
pillow_lic; never torch.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pillow_lic import container
from pillow_lic.codec.decode import decode, decode_symbols
from pillow_lic.codec.encode import encode
from pillow_lic.constants import LIC_SAMPLE_BITS
from pillow_lic.engines.native import networks
from pillow_lic.engines.torch.exchange import Layer, constant, integer_layer
from pillow_lic.models import choice, registry, store, weights
from pillow_lic.models.manifest import THUMBNAIL
from train.data import load_split
from train.pack import tensors_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pillow_lic.models.store import Model

Array = np.ndarray[Any, Any]

SIDE = 384  # of a crop, in pixels
ZOOM = (0.7, 1.6)  # by which photographs are resized before
CELL, BANDS = 4, 3  # samples of a position on a side at a quarter of the resolution, and of each
OUTPUTS = CELL * CELL * BANDS
TAPS = OUTPUTS // BANDS


def crops(photographs: list[Array], count: int, rng: np.random.Generator) -> Iterator[Array]:
    """(SIDE, SIDE, 3) each."""
    for k in range(count):
        photo = photographs[k % len(photographs)]
        zoom = rng.uniform(*ZOOM)
        if min(photo.shape[:2]) * zoom < SIDE:
            zoom = SIDE / min(photo.shape[:2]) + 1e-3
        height, width = (max(SIDE, round(side * zoom)) for side in photo.shape[:2])
        image = Image.fromarray(photo).resize((width, height), Image.Resampling.BICUBIC)
        left, top = rng.integers(0, width - SIDE + 1), rng.integers(0, height - SIDE + 1)
        yield np.asarray(image.crop((left, top, left + SIDE, top + SIDE)))


def latents(model: Model, data: bytes) -> Array:
    """y_hat (M, hy, wy) of a file."""
    chunks = container.read(data)
    z, r, _ = decode_symbols(chunks)
    header, v = chunks.header, np.empty(z.shape, np.int16)
    found = np.empty(r.shape, np.int16)
    model.core.dequantise_into(header.quality_q, z, header.latent_grid, v)
    networks(model).photo.latents(header.quality_q, v, r, tuple(header.latent_grid), found)
    return found


def positions(model: Model, crop: Array, quality: float) -> tuple[Array, Array]:
    """Of a crop that is saved and opened: y_hat (n, M), and the OUTPUTS means of 4x4 pixels of each position as levels
    (n, OUTPUTS), band after band.
    """
    data = encode(crop, quality=quality, model=model.name, effort=0)
    y, side = latents(model, data), SIDE // CELL
    small = decode(data).reshape(side, CELL, side, CELL, BANDS).mean((1, 3))
    cells = small.reshape(side // CELL, CELL, side // CELL, CELL, BANDS).transpose(0, 2, 4, 1, 3)
    return y.reshape(len(y), -1).T, cells.reshape(-1, OUTPUTS)


class Squares:
    """What least squares need of all positions."""

    def __init__(self, channels: int):
        self.left, self.right = np.zeros((channels + 1, channels + 1)), np.zeros((channels + 1, OUTPUTS))

    def add(self, y: Array, levels: Array) -> None:
        one = np.concatenate([y, np.ones((len(y), 1))], 1).astype(np.float64)
        self.left += one.T @ one
        self.right += one.T @ levels

    def solved(self) -> tuple[Array, Array]:
        """Weights (OUTPUTS, M) and offsets (OUTPUTS,). Channels that are always 0 weigh nothing."""
        size = np.sqrt(np.diagonal(self.left)).clip(1.0)
        scaled = self.left / np.outer(size, size) + 1e-9 * np.eye(len(size))
        found = np.linalg.solve(scaled, self.right / size[:, None]) / size[:, None]
        return found[:-1].T, found[-1]


def layer_of(weight: Array, offset: Array) -> dict[str, Array]:
    """The tensors of the file, int16, int32 and int64."""
    layer = Layer("thumbnail.direct", "direct", constant(1.0), constant(1.0 / (1 << LIC_SAMPLE_BITS)))
    return integer_layer(layer, {"direct.weight": weight[:, :, None, None], "direct.bias": offset}, {})


def psnrs(levels: Array, wanted: Array) -> list[float]:
    """In dB at 1/4, 1/8 and 1/16."""
    shape = (-1, BANDS, 2, 2, 2, 2)
    a, b = (one.clip(0, 255).reshape(shape) for one in (levels, wanted))
    errors = [a - b, (a - b).mean((3, 5)), (a - b).mean((2, 3, 4, 5))]
    return [float(20 * np.log10(255 / np.sqrt((error**2).mean()))) for error in errors]


def fit(model: Model, photographs: tuple[list[Array], list[Array]], count: int, seed: int) -> dict[str, Array]:
    """The tensors of a model's layer; prints what they give on the photographs that are held out."""
    training, held_out = photographs
    rng = np.random.default_rng(seed)
    low, high = choice.spoken(model)
    order = rng.permutation(len(training))
    squares = Squares(model.manifest.latent)
    for crop in crops([training[k] for k in order], count, rng):
        squares.add(*positions(model, crop, rng.uniform(low, high)))
    weight, offset = squares.solved()
    found = []
    for crop in crops(held_out, len(held_out), rng):
        y, wanted = positions(model, crop, rng.uniform(low, high))
        found.append(psnrs(y @ weight.T + offset, wanted))
    mean, least = np.mean(found, 0).round(2), np.min(found, 0).round(2)
    print(f"{model.name}: 1/4, 1/8, 1/16 against the decode: mean {mean}, least {least} dB", flush=True)
    return layer_of(weight, offset)


def write(path: Path, tensors: dict[str, Array]) -> None:
    """Beside a model's other files; the manifest names it."""
    data, file = weights.write(tensors_of(tensors)), path / "manifest.json"
    (path / THUMBNAIL).write_bytes(data)
    stated = json.loads(file.read_text()) | {"thumbnail": hashlib.sha256(data).hexdigest()}
    file.write_text(json.dumps(stated, indent=1) + "\n")
    store.read_model(0, path)  # checks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="names of models with an encoder")
    parser.add_argument("--data", type=Path, required=True, help="photographs, as train.py takes them")
    parser.add_argument("--crops", type=int, default=160)
    parser.add_argument("--seed", type=int, default=5)
    chosen = parser.parse_args()
    for name in chosen.models:
        model = registry.by_name(name)
        write(model.path, fit(model, load_split(chosen.data), chosen.crops, chosen.seed))


if __name__ == "__main__":
    main()
