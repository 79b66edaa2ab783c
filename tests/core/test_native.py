"""The native engine beside FORMAT 8 in NumPy's integers (slow_photo.py): equal to the bit on every kernel set, in any
number of threads, for any weights that the format allows; other weights are refused.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import slow_photo
from pictures import picture
from random_tables import random_arrays

from pillow_lic import _core
from pillow_lic.engines import native
from pillow_lic.errors import LicModelMissing
from pillow_lic.models import store, weights

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "pillow_lic" / "models"
KERNELS = _core.kernel_sets()
I16, I32 = np.iinfo(np.int16), np.iinfo(np.int32)
BIAS_MOST = 2**53

pytestmark = pytest.mark.network

# latent, hyper, body, spread, detail, render, body_blocks, detail_blocks: below, at and beyond what kernels hold
WIDTHS = [
    (1, 1, 2, 1, 1, 1, 0, 0),
    (5, 3, 6, 3, 7, 3, 1, 2),
    (24, 17, 34, 9, 33, 18, 2, 1),
    (16, 8, 64, 16, 32, 16, 1, 1),
]
KINDS = ["gentle", "full", "worst"]  # what `layer` makes of them
SHIPPED = ["toy", "photo"]
SIZES = [(1, 1), (16, 16), (17, 400), (100, 37), (330, 50)]


# ---- random models ---------------------------------------------------------------------------------------------------


def gentle_weight(rng: np.random.Generator, outputs: int, inputs: int) -> np.ndarray:
    """Weights whose sum is near the limit, or well below it."""
    raw = rng.normal(0, 1, (outputs, inputs))
    whole = raw / np.abs(raw).sum(1, keepdims=True) * rng.choice([65000, 20000, 500], (outputs, 1))
    return whole.clip(I16.min, I16.max).astype(np.int16)


def worst_weight(rng: np.random.Generator, outputs: int, inputs: int) -> np.ndarray:
    """Weights whose absolute values sum to 65535 exactly wherever so many inputs can: values at the ends of i16."""
    weight = np.zeros((outputs, inputs), np.int16)
    for row in weight:
        ends = [32767, 32767, 1] if rng.random() < 0.5 else [-32768, 32767]
        values = np.array(ends) * (1 if -32768 in ends else rng.choice([-1, 1], 3))
        at = rng.permutation(inputs)[: len(values)]
        row[at] = values[: len(at)]
        if rng.random() < 0.5 and inputs > 2 and -32768 not in ends:
            row[at] = values * np.sign(values)  # all of one sign
    return weight


def layer(rng: np.random.Generator, name: str, outputs: int, inputs: int, kind: str) -> dict[str, np.ndarray]:
    """Tensors of a layer. gentle: outputs about as large as inputs. full: the largest weights, under which the largest
    inputs give outputs that i16 just holds. worst: anything up to the limits.
    """
    rows = int(rng.choice([1, 2, 5]))
    weight = (gentle_weight if kind == "gentle" else worst_weight)(rng, outputs, inputs)
    if kind == "gentle":
        size = np.maximum(np.sqrt((weight.astype(float) ** 2).sum(1)), 1)
        scale = rng.choice([-1, 1], (rows, outputs)) * rng.uniform(0.2, 1.2, (rows, outputs)) / size * 2.0**32
        bias = rng.normal(0, 500, (rows, outputs)) * 2.0**32
    elif kind == "full":
        part = 1 / 8 if name in ("synthesis.out", "synthesis.direct") else 1  # of samples: in the range of bytes
        scale = rng.choice([-1, 1], (rows, outputs)) * rng.uniform(0.4, 1, (rows, outputs)) * part * 2.0**16
        bias = rng.normal(1000, 2000, (rows, outputs)) * part * 2.0**32
    else:
        scale = rng.choice([I32.min, I32.max, 65538, -65538, 1 << 20, 0], (rows, outputs))
        bias = rng.choice([-BIAS_MOST, BIAS_MOST, 0, -(2**31), 2**31 - 1, 1 << 46], (rows, outputs))
    return {
        f"{name}.weight": weight,
        f"{name}.scale": np.clip(scale, I32.min, I32.max).astype(np.int32),
        f"{name}.bias": bias.astype(np.int64),
    }


@functools.cache
def random_decoder(widths: tuple[int, ...], kind: str) -> dict[str, np.ndarray]:
    """Tensors of a decoder as FORMAT 8 allows them."""
    rng = np.random.default_rng([*widths, KINDS.index(kind)])
    tensors: dict[str, np.ndarray] = {}
    for name, outputs, inputs in slow_photo.layers(*widths):
        tensors |= layer(rng, name, outputs, inputs, kind)
    latent, hyper, points = widths[0], widths[1], 3
    most = 2**20 if kind == "worst" else 2500
    tensors["prior.gain"] = rng.integers(-most, most + 1, (points, latent)).astype(np.int32)
    if kind == "worst":
        tensors["tanh"] = rng.choice([0, 1, 32767], 257).astype(np.int16)
        tensors["exp2"] = rng.choice([0, 32768, 65535], 256).astype(np.uint16)
    else:
        tensors["tanh"] = np.round(32767 * np.tanh(np.linspace(0, 8, 257))).astype(np.int16)
        tensors["exp2"] = np.round(32768 * 2.0 ** (np.arange(256) / 256)).astype(np.uint16)
    slow_photo.check(tensors, latent, hyper, points)
    return tensors


@functools.cache
def shipped(name: str) -> store.Model:
    return store.read_model(1, MODELS / name)


def tensors_of(model: tuple) -> dict[str, np.ndarray]:
    """Of ("shipped", name), or of a random decoder."""
    return shipped(model[1]).arrays if model[0] == "shipped" else random_decoder(*model)


def latents_of(tensors: dict[str, np.ndarray], grid: tuple[int, int], wild: bool) -> tuple[np.ndarray, np.ndarray]:
    """v (C, hz, wz) and r (M, hy, wy) as 7.5 and 7.6 allow them."""
    rng = np.random.default_rng(grid)
    hyper, latent = tensors["prior.up.weight"].shape[1], tensors["prior.gain"].shape[1]
    over = tuple(-(-side // 4) for side in grid)
    v, r = rng.normal(0, 60, (hyper, *over)), np.round(rng.normal(0, 4, (latent, *grid)))
    if wild:
        v = np.where(rng.random(v.shape) < 0.5, v, rng.choice([-4096, 4095], v.shape))
        r = np.where(rng.random(r.shape) < 0.5, r, rng.choice([-32768, 32767, 700], r.shape))
    return v.astype(np.int16), r.astype(np.int16)


@functools.cache
def case(model: tuple, size: tuple[int, int], q: int) -> tuple:
    """(grid, v, r, y_hat, samples, grey samples) with what FORMAT 8 says of them."""
    tensors = tensors_of(model)
    grid = (-(-size[0] // 16), -(-size[1] // 16))
    v, r = latents_of(tensors, grid, wild=model[1] in ("full", "worst"))
    slow = slow_photo.SlowPhoto(tensors, q)
    return grid, v, r, slow.y_hat(v, r), slow.samples(v, r, *size), slow.samples(v, r, *size, grey=True)


@functools.cache
def photo(model: tuple, kernels: str) -> _core.Photo:
    return _core.Photo(tensors_of(model), kernels=kernels)


def rendered(net: _core.Photo, q: int, v, r, grid, box, bands: int, threads: int) -> np.ndarray:
    """Samples of a box, in memory that was not zero before."""
    shape = (box[2] - box[0], box[3] - box[1])
    out = np.full(shape if bands == 1 else (*shape, 3), 77, np.uint8)
    net.render(q, v, r, grid, box, out, threads)
    return out


RANDOM = [(widths, kind) for widths in WIDTHS for kind in KINDS]
EVERY = [*RANDOM, *(("shipped", name) for name in SHIPPED)]


def name_of(model: tuple) -> str:
    return model[1] if model[0] == "shipped" else f"{model[1]}-{model[0][0]}-{model[0][2]}"


every_model = pytest.mark.parametrize("model", EVERY, ids=name_of)
every_set = pytest.mark.parametrize("kernels", KERNELS)


# ---- samples ---------------------------------------------------------------------------------------------------------


@every_set
@every_model
def test_samples_of_any_size(model, kernels):
    """Colour and grey, at the ends of quality and between, in 1, 2 and 4 threads."""
    net = photo(model, kernels)
    for size, q in zip(SIZES, (100, 10000, 6235, 5000, 101)):
        grid, v, r, _, colour, grey = case(model, size, q)
        for threads in (1, 2, 4):
            assert np.array_equal(rendered(net, q, v, r, grid, (0, 0, *size), 3, threads), colour), (size, threads)
        assert np.array_equal(rendered(net, q, v, r, grid, (0, 0, *size), 1, 2), grey), size


@every_set
@every_model
def test_y_hat(model, kernels):
    for size, q in zip(SIZES, (100, 10000, 6235, 5000, 101)):
        grid, v, r, y_hat, *_ = case(model, size, q)
        out = np.empty(y_hat.shape, np.int16)
        photo(model, kernels).latents(q, v, r, grid, out)
        assert np.array_equal(out, y_hat), size


@every_set
@every_model
def test_boxes(model, kernels):
    """A box is what the whole picture has there, wherever it begins and ends."""
    net, rng = photo(model, kernels), np.random.default_rng(len(kernels))
    for size, q in zip(SIZES[2:], (6235, 5000, 101)):
        grid, v, r, _, colour, grey = case(model, size, q)
        for threads in (1, 2, 4):
            top, left = (int(rng.integers(0, side)) for side in size)
            bottom, right = int(rng.integers(top, size[0])) + 1, int(rng.integers(left, size[1])) + 1
            box = (top, left, bottom, right)
            found = rendered(net, q, v, r, grid, box, 3, threads)
            assert np.array_equal(found, colour[top:bottom, left:right]), (size, box)
            assert np.array_equal(rendered(net, q, v, r, grid, box, 1, threads), grey[top:bottom, left:right]), (
                size,
                box,
            )


@pytest.mark.parametrize("model", RANDOM, ids=name_of)
def test_a_model_is_not_a_constant(model):
    """What the tests above compare differs from place to place, and the worst weights do reach the ends of an i32."""
    _, _, _, y_hat, colour, _ = case(model, (100, 37), 5000)
    assert len(np.unique(y_hat)) > 1
    assert len(np.unique(colour)) > 1
    if model[1] == "gentle":
        assert not {y_hat.min(), y_hat.max()} & {-32768, 32767}
    else:
        sums = [
            np.abs(t.astype(int)).sum(1).max() for name, t in random_decoder(*model).items() if name.endswith(".weight")
        ]
        assert max(sums) == 65535
        assert model[0][0] == 1 or {y_hat.min(), y_hat.max()} & {-32768, 32767}
    if model[1] != "worst":
        assert np.mean((colour > 0) & (colour < 255)) > 0.2


@pytest.mark.parametrize("name", ["toy", "random"])
def test_samples_depend_on_no_more_than_the_halo(name):
    """FORMAT 8.3, 9.1: what one latent or hyper position changes lies within `halo` of it; the engine takes no less."""
    tensors = (
        shipped("toy").arrays if name == "toy" else random_decoder((12, 6, 16, 6, 8, 6, 1, 1), "gentle")
    )  # one depth
    halo = shipped("toy").manifest.halo
    net, side, q, rng = _core.Photo(tensors), 40, 5000, np.random.default_rng(1)
    assert net.halo >= halo
    box, grid = (0, 0, 16 * side, 16 * side), (side, side)
    v, r = latents_of(tensors, grid, wild=False)
    whole = rendered(net, q, v, r, grid, box, 3, 1)
    far = 0
    for trial in range(16):
        other_v, other_r, first = v.copy(), r.copy(), 20
        if trial % 2:
            other_v[:, 5, 5] += rng.integers(-900, 900, len(v), np.int16)
            last = first + 3
        else:
            first = last = int(first + trial // 2 % 4)
            other_r[:, first, first] += rng.integers(-300, 300, len(r), np.int16)
        changed = np.argwhere((rendered(net, q, other_v, other_r, grid, box, 3, 1) != whole).any(2)) // 16
        far = max(far, int(first - changed.min()), int(changed.max() - last))
    assert 3 <= far <= halo


def test_unknown_kernels():
    with pytest.raises(ValueError, match="'mmx', which this CPU has not"):
        _core.Photo(random_decoder(*RANDOM[0]), kernels="mmx")


# ---- an encoder's part -----------------------------------------------------------------------------------------------


@functools.cache
def random_encoder(kind: str) -> dict[str, np.ndarray]:
    """Tensors of analysis and hyper-analysis, of odd widths."""
    rng = np.random.default_rng(KINDS.index(kind))
    latent, hyper, high, low, body = 5, 3, 7, 9, 11
    layers = [
        ("analysis.patch", high, 192),
        *slow_photo.block_layers("analysis.high0", high),
        ("analysis.down", low, 4 * high),
        *slow_photo.block_layers("analysis.low0", low),
        *slow_photo.block_layers("analysis.low1", low),
        ("analysis.out", latent, low),
        ("analysis.direct", latent, 768),
        ("hyper.enter", body, latent),
        *slow_photo.block_layers("hyper.first", body),
        ("hyper.down1", hyper, 4 * body),
        *slow_photo.block_layers("hyper.second", hyper),
        ("hyper.down2", hyper, 4 * hyper),
        ("hyper.out", hyper, hyper),
    ]
    tensors: dict[str, np.ndarray] = {"hyper.gain": rng.integers(0, 1 << 24, (3, latent)).astype(np.int32)}
    for name, outputs, inputs in layers:
        tensors |= layer(rng, name, outputs, inputs, kind)
    return tensors


@functools.cache
def random_core() -> _core.Model:
    return _core.Model(random_arrays(np.random.default_rng(2), 5, 3, 2, 8), 5, 3, 2, 8, 1)


@pytest.mark.parametrize("model", [*KINDS, *SHIPPED])
def test_analysis_of_every_kernel_set(model):
    """y and z of every set are those of the plain one, in any number of threads."""
    tensors = random_encoder(model) if model in KINDS else shipped(model).encoder_arrays
    core = random_core() if model in KINDS else shipped(model).core
    for size, bands, q in (((1, 1), 3, 100), ((17, 130), 3, 6235), ((100, 37), 1, 5000), ((200, 70), 3, 10000)):
        pixels = np.ascontiguousarray(picture(*size, bands, 3)).reshape(*size, bands)
        grid = (-(-size[0] // 16), -(-size[1] // 16))
        found = []
        for kernels in KERNELS:
            analysis = _core.Analysis(tensors, kernels=kernels)
            for threads in (1, 2, 4):
                y = np.full((*grid, analysis.latent), 7, np.int32)
                analysis.analyse(q, pixels, (*size, bands), y, threads)
                z = np.full((analysis.hyper, -(-grid[0] // 4), -(-grid[1] // 4)), 7, np.int16)
                analysis.hyper_symbols(core, q, y, grid, z)
                found.append((y.tobytes(), z.tobytes()))
        assert len(set(found)) == 1, size


@pytest.mark.parametrize("name", SHIPPED)
def test_quantisation_of_every_kernel_set(name):
    """r of a picture is one whatever the set and the threads, and what a decoder may be given."""
    model, size, q = shipped(name), (100, 170), 7000
    grid = (-(-size[0] // 16), -(-size[1] // 16))
    analysis, pixels = _core.Analysis(model.encoder_arrays), picture(*size, 3, 4)
    y = np.empty((*grid, model.manifest.latent), np.int32)
    analysis.analyse(q, pixels, (*size, 3), y)
    z = np.empty((model.manifest.hyper, -(-grid[0] // 4), -(-grid[1] // 4)), np.int16)
    analysis.hyper_symbols(model.core, q, y, grid, z)
    found = set()
    for kernels in KERNELS:
        for threads in (1, 2, 4):
            r = np.full((model.manifest.latent, *grid), 7, np.int16)
            _core.Photo(model.arrays, kernels=kernels).quantise(
                model.core, q, z, y, r, grid, native.bit_weight(model), threads
            )
            found.add(r.tobytes())
    assert len(found) == 1
    back = model.core.decode(q, model.core.encode(q, z, r), grid)
    assert np.array_equal(back[1], r)


def test_a_bit_weighs_the_same_in_both_engines():
    """Of Gaussian rows r counts steps, of a trellis thirds of them."""
    assert shipped("toy").core.trellis is None
    assert native.bit_weight(shipped("toy")) == 0.05
    assert native.bit_weight(shipped("photo")) == pytest.approx(0.45)


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
    found = native.networks(store.read_model(0, tmp_path))
    assert found.model.core.latent == 8
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
