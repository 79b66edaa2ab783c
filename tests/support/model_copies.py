"""Copies of models with something else in them, for tests of what is refused; and what two have in common."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

from pillow_lic.constants import MODEL_LIMITS
from pillow_lic.models import registry, weights
from pillow_lic.models.manifest import DECODER, ENCODER, PERCEPTUAL, THUMBNAIL

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Changes = "Mapping[str, np.ndarray | None] | bytes"
NONE: Mapping[str, np.ndarray | None] = {}


def tensor(array: np.ndarray) -> weights.Tensor:
    """As models/weights.py has it."""
    kind = {"i": "I", "u": "U", "f": "F"}[array.dtype.kind] + str(8 * array.itemsize)
    flat = memoryview(np.ascontiguousarray(array).view(np.uint8).reshape(-1))
    return weights.Tensor(kind, flat.cast(weights.FORMATS[kind], array.shape))


def _changed(tensors: weights.Tensors, changes: Mapping[str, np.ndarray | None]) -> weights.Tensors:
    kept = {name: one for name, one in tensors.items() if name not in changes}
    return kept | {name: tensor(array) for name, array in changes.items() if array is not None}


def copied(
    folder: Path,
    name: str = "copy",
    *,
    of: str = "toy",
    tensors: Changes = NONE,
    encoder_tensors: Changes = NONE,
    perceptual: Mapping[str, np.ndarray] | None = None,
    thumbnail_tensors: Mapping[str, np.ndarray] | None = None,
    **stated: object,
) -> Path:
    """A model's directory under another name.

    tensors, encoder_tensors: those that stand in the place of its own, None for those that are left out; or the bytes
    of a whole file, whatever they are. perceptual: those of a second synthesis. thumbnail_tensors: of small
    pictures. stated: other entries of the manifest,
    None for those that are left out. The manifest names what is there.
    """
    model = registry.by_name(of)
    manifest = {**model.manifest.stated, "name": name, **stated}
    if isinstance(tensors, bytes):
        data = tensors
    else:
        changed = _changed(model.tensors, tensors)
        data = weights.write(changed)
        if "identity" not in stated:
            integers = [manifest[key] or 0 for key in MODEL_LIMITS]
            manifest["identity"] = weights.identity(changed, integers).hex()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DECODER).write_bytes(data)
    if isinstance(encoder_tensors, bytes):
        data = encoder_tensors
    else:
        data = weights.write(_changed(model.encoder_tensors, encoder_tensors))
    (folder / ENCODER).write_bytes(data)
    if "encoder" not in stated:
        manifest["encoder"] = hashlib.sha256(data).hexdigest()
    if perceptual is not None:
        data = weights.write(_changed({}, perceptual))
        (folder / PERCEPTUAL).write_bytes(data)
        manifest["perceptual"] = hashlib.sha256(data).hexdigest()
    if "thumbnail" not in stated:
        manifest.pop("thumbnail", None)
    if thumbnail_tensors is not None:
        data = weights.write(_changed({}, thumbnail_tensors))
        (folder / THUMBNAIL).write_bytes(data)
        manifest |= {"thumbnail": hashlib.sha256(data).hexdigest()} | stated
    manifest = {key: value for key, value in manifest.items() if value is not None}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def compare_layers(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    """Each tensor within 1 % of its channel's largest value; multipliers times weights, as a step may be another."""
    assert set(found) <= set(wanted)
    for key, array in found.items():
        if key.endswith((".weight", ".scale")) and f"{key.rpartition('.')[0]}.scale" in found:
            continue
        far = np.abs(array.astype(float) - wanted[key]).max()
        assert far <= 0.01 * np.abs(wanted[key]).max() + 1e-6, key
    for key in (key.removesuffix(".scale") for key in found if key.endswith(".scale")):
        parts = [t[f"{key}.weight"].astype(float) * np.abs(t[f"{key}.scale"]).max(0)[:, None] for t in (found, wanted)]
        most = np.abs(parts[1]).max(1, keepdims=True)
        assert (np.abs(parts[0] - parts[1]) <= 0.01 * most + 1e-6).all(), key
