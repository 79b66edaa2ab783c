"""Networks that the native engine refuses, by name; and what it imports."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest
import slow_photo
from native_models import (
    BIAS_MOST,
    ROOT,
    WIDTHS,
    every_set,
    layer,
    random_decoder,
    shipped,
)

from pillow_lic import _core
from pillow_lic.engines import native
from pillow_lic.errors import LicModelMissing
from pillow_lic.models import store, weights

pytestmark = pytest.mark.network


# ---- what is refused -------------------------------------------------------------------------------------------------


def put(name: str, at, value):
    def change(tensors: dict[str, np.ndarray]) -> None:
        tensors[name] = tensors[name].copy()
        tensors[name][at] = value

    return change


def remade(name: str, function):
    def change(tensors: dict[str, np.ndarray]) -> None:
        tensors[name] = np.ascontiguousarray(function(tensors[name]))

    return change


def odd_body(tensors: dict[str, np.ndarray]) -> None:
    """A whole decoder of an odd width, right in all else."""
    tensors.clear()
    rng = np.random.default_rng(0)
    for name, outputs, inputs in slow_photo.layers(5, 3, 7, 3, 6, 3, 1, 1):
        tensors.update(layer(rng, name, outputs, inputs, "gentle"))
    tensors["prior.gain"] = np.zeros((3, 5), np.int32)
    tensors["tanh"], tensors["exp2"] = np.zeros(257, np.int16), np.zeros(256, np.uint16)


BODY, MIX = "synthesis.enter.weight", "prior.block.mix"
WRONG = {
    "a sum of 65536": (
        remade(BODY, lambda w: np.where(np.arange(w.shape[1]) < 2, -32768, 0).astype(np.int16) + 0 * w),
        "synthesis.enter sum to more than 65535",
    ),
    "a sum of 65536 in one output": (
        put(f"{MIX}.weight", 5, [32767, 32767, 2, 0, 0, 0]),
        "output 5 of prior.block.mix sum to more",
    ),
    "a depthwise sum": (put("refine2.spatial.weight", 0, 32767), "refine2.spatial sum to more"),
    "no weight": (lambda tensors: tensors.pop("refine3.join.weight"), "refine3.join.weight"),
    "no scale": (lambda tensors: tensors.pop("synthesis.out.scale"), "synthesis.out.scale is missing"),
    "no bias": (lambda tensors: tensors.pop("synthesis.direct.bias"), "synthesis.direct.bias is missing"),
    "no gain": (lambda tensors: tensors.pop("prior.gain"), "prior.gain is missing"),
    "no tanh": (lambda tensors: tensors.pop("tanh"), "tanh"),
    "no exp2": (lambda tensors: tensors.pop("exp2"), "exp2"),
    "half a block": (lambda tensors: tensors.pop("synthesis.detail1.contract.weight"), "synthesis.detail1.contract"),
    "a column too few": (
        remade(BODY, lambda w: w[:, :-1]),
        r"synthesis.enter.weight has shape \(6, 4\), want \(6, 5\)",
    ),
    "a row too many": (
        remade("synthesis.up8.weight", lambda w: np.vstack([w, w[:1]])),
        "synthesis.up8.weight has shape",
    ),
    "three axes": (remade("prior.mean.weight", lambda w: w[..., None]), "prior.mean.weight"),
    "a scale too few": (remade(f"{MIX}.scale", lambda s: s[:, :-1]), "prior.block.mix.scale has shape"),
    "rows of scale and bias": (
        remade(f"{MIX}.bias", lambda b: np.vstack([b, b[:1]])),
        "prior.block.mix differ in their rows",
    ),
    "taps": (remade("refine1.spatial.weight", lambda w: np.hstack([w, w[:, :1]])), "refine1.spatial.weight has shape"),
    "type of a weight": (remade(BODY, lambda w: w.astype(np.int32)), "synthesis.enter.weight"),
    "type of a scale": (remade(f"{MIX}.scale", lambda s: s.astype(np.int64)), "prior.block.mix.scale"),
    "type of a bias": (remade(f"{MIX}.bias", lambda b: (b >> 32).astype(np.int32)), "prior.block.mix.bias"),
    "type of exp2": (remade("exp2", lambda e: (e >> 1).astype(np.int16)), "exp2"),
    "a bias above 2^53": (put(f"{MIX}.bias", (0, 2), BIAS_MOST + 1), "a bias of prior.block.mix is beyond 2.53"),
    "a bias below -2^53": (
        put(f"{MIX}.bias", (0, 2), np.iinfo(np.int64).min),
        "a bias of prior.block.mix is beyond 2.53",
    ),
    "a gain": (put("prior.gain", (1, 2), 2**20 + 1), "prior.gain is beyond 2.20"),
    "a negative tanh": (put("tanh", 256, -1), "tanh is below 0"),
    "a short tanh": (remade("tanh", lambda t: t[:-1]), "tanh has shape"),
    "an odd body": (odd_body, "width 7 at a sixteenth of the resolution is odd"),
}


@every_set
@pytest.mark.parametrize("what", WRONG)
def test_wrong_networks(what, kernels):
    """Refused by name, with the tensor's name and what is wrong with it, whatever the kernels."""
    change, said = WRONG[what]
    tensors = dict(random_decoder(WIDTHS[1], "gentle"))
    change(tensors)
    with pytest.raises(LicModelMissing, match=rf"the model's networks are not intact: .*{said}.*; reinstall the model"):
        _core.Photo(tensors, kernels=kernels)


def test_limits_themselves_are_allowed():
    tensors = dict(random_decoder(WIDTHS[1], "gentle"))
    for name, at, value in (
        (f"{MIX}.weight", 5, [32767, 32767, 1, 0, 0, 0]),
        (f"{MIX}.bias", (0, 2), BIAS_MOST),
        (f"{MIX}.bias", (0, 1), -BIAS_MOST),
        ("prior.gain", (1, 2), 2**20),
    ):
        put(name, at, value)(tensors)
    assert _core.Photo(tensors).latent == 5


def test_model_directory_with_wrong_networks(tmp_path):
    """A directory whose hashes are right, and whose networks are not: refused when they are wanted, not before."""
    model = shipped("toy")
    tensors = dict(model.tensors)
    spoilt = model.arrays[f"{MIX}.bias"].copy()
    spoilt[0, 0] = BIAS_MOST + 1
    tensors[f"{MIX}.bias"] = weights.Tensor("I64", memoryview(spoilt))
    for file in model.path.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(weights.write(tensors))
    identity = weights.identity(tensors, model.manifest.integers.values()).hex()
    text = (model.path / "manifest.json").read_text("utf-8").replace(model.hash.hex(), identity)
    (tmp_path / "manifest.json").write_text(text, "utf-8")
    held = store.read_model(0, tmp_path)  # networks do not hold their model
    found = native.networks(held)
    assert found.model.tables.latent == 8
    with pytest.raises(LicModelMissing, match=r"a bias of prior.block.mix is beyond"):
        assert found.photo


# ---- what is imported ------------------------------------------------------------------------------------------------

DECODE = """
import sys
import pillow_lic
from PIL import Image
image = Image.open(sys.argv[1])
image.load()
assert image.size == (1, 1), image.size
assert image.getpixel((0, 0)) == (189, 194, 222), image.getpixel((0, 0))
print(*sorted({"torch", "numpy"} & set(sys.modules)))
"""


@pytest.mark.install
def test_decoding_imports_neither_torch_nor_numpy():
    command = [sys.executable, "-c", DECODE, str(ROOT / "tests" / "golden" / "one-pixel.lic")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
