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
from pillow_lic.models.store import SHIPPED, SHIPPED_NUMBER, read_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pillow_lic.models.store import Model

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
BIAS_BITS, SCALE_BITS = 24, 12  # of a bias the lowest that are zero, of a multiplier those that are kept
ENCODER_BIAS_BITS = 30  # of an encoder, which need not be exact: to a quarter of a unit
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


def fewer_bits(tensors: Mapping[str, Array], bias_bits: int = BIAS_BITS) -> dict[str, Array]:
    """The same with biases and multipliers of layers that have fewer bits, which planes of bytes pack better.

    bias_bits: of a bias the lowest that are zero; a unit of what a layer gives is 2^32.
    """
    found = dict(tensors)
    for name, value in tensors.items():
        if name.endswith(".bias"):
            found[name] = _rounded(value, np.full(value.shape, bias_bits))
        elif name.endswith(".scale"):
            bits = np.ceil(np.log2(np.maximum(np.abs(value.astype(np.int64)), 1))).astype(np.int64) - (SCALE_BITS - 1)
            found[name] = _rounded(value, np.maximum(bits, 0)).clip(1 - 2**31, SCALE_MAX).astype(np.int32)
    return found


def _rounded(value: Array, bits: Array) -> Array:
    """To multiples of 2^bits."""
    return (value.astype(np.int64) + ((1 << bits) >> 1)) >> bits << bits


def left(arrays: Mapping[str, Array], base: Mapping[str, Array]) -> dict[str, Array]:
    """Those that a base has not, or has otherwise."""

    def same(name: str) -> bool:
        known, one = base.get(name), arrays[name]
        return known is not None and known.dtype == one.dtype and np.array_equal(known, one)

    return {name: array for name, array in arrays.items() if not same(name)}


def base_for(decoder: Mapping[str, Array], manifest: dict[str, Any]) -> Model | None:
    """The base that a model's manifest or training names, and `base` in the manifest as it is to be written. None while
    the base has tensors that the model lacks: until z_rows.py has run, those of z's neighbours.
    """
    name = manifest.pop("base", None) or manifest.get("training", {}).get("base")
    base = read_model(SHIPPED_NUMBER, SHIPPED / name) if name else None
    if base is None or (lacks := sorted(set(base.arrays) - set(decoder))):
        if base is not None:
            print(f"written whole: {name!r} has {', '.join(lacks)}, which this model lacks")
        return None
    manifest["base"] = name
    return base


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
    """A model directory (FORMAT 9): its files, without what a base has, and the manifest that names them. Without an
    encoder it opens files alone.
    """
    out.mkdir(parents=True, exist_ok=True)
    manifest = dict(manifest)
    base = base_for(decoder, manifest)
    own = decoder if base is None else fewer_bits(left(decoder, base.arrays))
    whole = tensors_of({**decoder, **own})
    manifest["identity"] = weights.identity(whole, [manifest[key] for key in MODEL_LIMITS]).hex()
    (out / DECODER).write_bytes(weights.write(tensors_of(own)))
    if encoder is None:
        manifest.pop("encoder", None)
    else:
        encoder = coarse(encoder)
        own = encoder if base is None else fewer_bits(left(encoder, base.encoder_arrays), ENCODER_BIAS_BITS)
        data = weights.write(tensors_of(own))
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
