"""Weights as they are shipped: an encoder's no finer than it needs, files in planes of bytes (FORMAT 9.2).

python -m train.pack MODEL... writes the files of model directories again, in place. The identity stays: it is over the
tensors, and a decoder's are not touched. Imports numpy and pillow_lic.models; never torch.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pillow_lic.constants import LIC_WEIGHT_SUM_MAX, MODEL_LIMITS
from pillow_lic.models import weights
from pillow_lic.models.manifest import DECODER, ENCODER
from pillow_lic.models.store import read_model

if TYPE_CHECKING:
    from collections.abc import Mapping

Array = np.ndarray

# How much smaller than LIC_WEIGHT_SUM_MAX the weights of an encoder's layer sum to: about in inverse proportion to what
# their rounding costs in y (docs/research-log.md). The linear path carries the picture, and is left as it is.
COARSENESS = (
    (re.compile(r"analysis\.(patch|down|out|high\d+\.contract)"), 4),
    (re.compile(r"analysis\.high\d+\.\w+"), 8),
    (re.compile(r"analysis\.low\d+\.(mix|join|expand)"), 32),
    (re.compile(r"analysis\.low\d+\.contract"), 16),
    (re.compile(r"analysis\.low\d+\.spatial"), 8),
    (re.compile(r"hyper\.\w+(\.\w+)?"), 8),
)
SCALE_MAX = 2**31 - 1
ROUNDED = (
    1.5  # weights whose sum is at most so many times what it may be have been divided before: rounding goes up, too
)


def coarseness(layer: str) -> int:
    """By what the weights of a layer of the encoder are divided."""
    return next((times for pattern, times in COARSENESS if pattern.fullmatch(layer)), 1)


def coarse_layer(weight: Array, scale: Array, times: int) -> tuple[Array, Array]:
    """Weights int16 (outputs, taps) whose magnitudes sum to about LIC_WEIGHT_SUM_MAX / times, and the multipliers int32
    (T, outputs) to them. Outputs that are as coarse already stay as they are, so coarse weights do not get coarser.
    """
    most = LIC_WEIGHT_SUM_MAX // times
    sums = np.abs(weight.astype(np.int64)).sum(1)
    by = np.minimum(sums / most, SCALE_MAX / np.maximum(np.abs(scale.astype(np.int64)).max(0), 1))
    by = np.where(by > ROUNDED, by, 1.0)
    return np.round(weight / by[:, None]).astype(np.int16), np.round(scale * by).astype(np.int32)


def coarse(encoder: Mapping[str, Array]) -> dict[str, Array]:
    """The tensors of an encoder of the `photo` family with coarser weights; those of another family as they are."""
    found = dict(encoder)
    for name in encoder:
        layer = name.removesuffix(".weight")
        if f"{layer}.scale" in encoder and (times := coarseness(layer)) > 1:
            parts = coarse_layer(encoder[name], encoder[f"{layer}.scale"], times)
            found[name], found[f"{layer}.scale"] = parts
    return found


def tensors_of(arrays: Mapping[str, Array]) -> weights.Tensors:
    """Arrays as models/weights.py writes them."""
    found: weights.Tensors = {}
    for name, array in arrays.items():
        kind = {"i": "I", "u": "U", "f": "F"}[array.dtype.kind] + str(8 * array.itemsize)
        flat = memoryview(np.ascontiguousarray(array).view(np.uint8).reshape(-1))
        found[name] = weights.Tensor(kind, flat.cast(weights.FORMATS[kind], array.shape))
    return found


def write_model(
    out: Path, manifest: dict[str, Any], decoder: Mapping[str, Array], encoder: Mapping[str, Array] | None
) -> None:
    """A model directory (FORMAT 9): its files, and the manifest that names them. Without an encoder it opens files
    alone.
    """
    out.mkdir(parents=True, exist_ok=True)
    tensors, manifest = tensors_of(decoder), dict(manifest)
    manifest["identity"] = weights.identity(tensors, [manifest[key] for key in MODEL_LIMITS]).hex()
    (out / DECODER).write_bytes(weights.write(tensors))
    if encoder is None:
        manifest.pop("encoder", None)
    else:
        data = weights.write(tensors_of(coarse(encoder)))
        (out / ENCODER).write_bytes(data)
        manifest["encoder"] = hashlib.sha256(data).hexdigest()
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def pack(path: Path) -> None:
    """Writes a model's files again, in place, and its manifest."""
    model = read_model(0, path)
    encoder = None if model.manifest.encoder is None else model.encoder_arrays
    write_model(path, dict(model.manifest.stated), model.arrays, encoder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", help="model directories")
    for path in parser.parse_args().models:
        pack(path)
        sizes = [f"{len(zlib.compress(file.read_bytes())) / 1e6:.2f}" for file in sorted(path.glob("*.safetensors"))]
        print(f"{path}: {' + '.join(sizes)} MB deflated")


if __name__ == "__main__":
    main()
