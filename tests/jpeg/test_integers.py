"""The network of enhanced JPEGs in the core: equal to NumPy's integers on every kernel set, in any number of threads,
for any weights; near to the float network it was exported from; other weights and arguments are refused.
"""

from __future__ import annotations

import io

import numpy as np
import pytest
import slow_enhance
from enhancers import random_network
from native_models import KINDS, every_set
from pictures import picture
from PIL import Image

from pillow_lic import _core
from pillow_lic.errors import LicModelMissing
from pillow_lic.jpeg import network, source
from pillow_lic.models import weights

pytestmark = pytest.mark.network
# body, detail, tone, hidden, blocks of both
WIDTHS = [(2, 2, 2, 2, 0, 0), (6, 34, 4, 2, 2, 1), (34, 18, 2, 8, 1, 4)]
SIZES = [(1, 1), (8, 8), (9, 300), (200, 37)]


def shipped_tensors() -> weights.Tensors:
    return weights.read(network.WEIGHTS.read_bytes(), str(network.WEIGHTS), network.NAMES)


def decoded(array: np.ndarray, mode: str, **options) -> source.Jpeg:
    file = io.BytesIO()
    Image.fromarray(array).convert(mode).save(file, "JPEG", **options)
    return source.read(file.getvalue())[0]


def arrays_of(jpeg: source.Jpeg) -> tuple[np.ndarray, np.ndarray]:
    """Its samples and tables."""
    width, height = jpeg.size
    pixels = np.frombuffer(jpeg.pixels, np.uint8).reshape((height, width, jpeg.bands)[: 2 + (jpeg.bands > 1)])
    return pixels, np.array(jpeg.tables, np.uint16).reshape(2, 64)


def run(tensors, kernels: str, pixels: np.ndarray, tables: np.ndarray, rgb: bool, halved: bool, threads: int):
    """In memory that was not zero before."""
    out = np.full_like(pixels, 77)
    shape = (*pixels.shape, 1)[:3]
    _core.Enhancer(tensors, kernels).enhance(
        pixels.reshape(shape), shape, rgb, tables, halved, out.reshape(shape), threads
    )
    return out


@every_set
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("widths", WIDTHS)
def test_it_is_the_slow_one(widths, kind, kernels):
    tensors, rng = random_network(widths, kind), np.random.default_rng(5)
    slow = slow_enhance.SlowEnhancer(tensors)
    different = 0
    for size, most in zip(SIZES, (1, 40, 255, 65535)):
        tables = rng.integers(1, most + 1, (2, 64)).astype(np.uint16)
        for rgb, halved, pixels in (
            (False, True, rng.integers(1, 255, (*size, 3)).astype(np.uint8)),
            (True, False, picture(*size, seed=7)),
            (False, False, rng.integers(0, 256, size).astype(np.uint8)),
        ):
            wanted = slow.enhance(pixels, tables, rgb=rgb, halved=halved)
            different += not np.array_equal(wanted, pixels)
            for threads in (1, 3):
                assert np.array_equal(run(tensors, kernels, pixels, tables, rgb, halved, threads), wanted)
    assert different > len(SIZES)


@every_set
@pytest.mark.parametrize("options", [{"quality": 10}, {"quality": 70, "subsampling": 0}, {"quality": 30, "mode": "L"}])
def test_the_shipped_one_is_the_slow_one(options, kernels):
    options = dict(options)
    jpeg = decoded(picture(390, 75, seed=2), options.pop("mode", "RGB"), **options)
    pixels, tables = arrays_of(jpeg)
    slow = slow_enhance.SlowEnhancer({name: np.asarray(view) for name, (_, view) in shipped_tensors().items()})
    wanted = slow.enhance(pixels, tables, rgb=False, halved=jpeg.halved)
    made = network.widened(shipped_tensors())
    for threads in (1, 2, 8):
        assert np.array_equal(run(made, kernels, pixels, tables, False, jpeg.halved, threads), wanted)
    assert network.enhanced(jpeg) == wanted.tobytes()


def trained(kind, pixels):
    """The grey samples and tables of a JPEG, the tensors of a small network with weights of its own, and what PyTorch
    makes of the JPEG with it.
    """
    import torch

    from train.enhance import Batch, Config
    from train.enhance_export import Units, quantised, tensors_of

    torch.manual_seed(1)
    net = kind(Config(body=24, body_blocks=2, detail=12, detail_blocks=1, tone=6)).eval()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.add_(torch.randn_like(parameter) * 0.03)
            if name.endswith("weight"):  # as they are written
                whole, scale = quantised(parameter.numpy())
                parameter.copy_(torch.from_numpy(whole * scale[:, None]).reshape(parameter.shape))
    grey, tables = arrays_of(decoded(pixels, "L", quality=30))
    planes = torch.from_numpy(np.stack([grey, *[np.full_like(grey, 128)] * 2]).astype(np.float32))[None]
    batch = Batch(planes, planes, torch.from_numpy(tables.astype(np.float32))[None], torch.zeros(1, 2))
    tensors = tensors_of(net, Units(net).see([batch]))
    with torch.no_grad():
        return grey, tables, tensors, net(planes, batch.tables, batch.flags)[0, 0].numpy()


def test_it_is_the_trained_one():
    """PyTorch's, with weights of its own: integers are a hundredth of the change away at most, and on the mean a
    tenth of that.
    """
    pytest.importorskip("torch")
    from train.enhance import Enhancer

    grey, tables, tensors, wanted = trained(Enhancer, picture(96, 128, seed=4))
    slow = slow_enhance.SlowEnhancer({name: np.asarray(view) for name, (_, view) in tensors.items()})
    found = slow.changes(grey, tables, rgb=False, halved=False)[0] / 32
    most = np.abs(wanted).max()
    assert most > 4
    assert np.abs(found - wanted).max() < 0.01 * most + 1 / 16
    assert np.abs(found - wanted).mean() < 0.001 * most + 1 / 32


def test_other_tensors_are_refused():
    tensors = random_network(WIDTHS[1], "gentle")
    for name, value, match in (
        ("enter.weight", tensors["enter.weight"][:, :-2].copy(), "shape"),
        ("up.scale", np.repeat(tensors["up.scale"], 2, 0), "rows"),
        ("body.1.depthwise.bias", np.full((1, 6), 2**43), "beyond 2\\^42"),
        ("render.bias", None, "missing"),
        ("samples.weight", np.zeros((3, 16), np.int16), "even"),
    ):
        changed = {key: array for key, array in {**tensors, name: value}.items() if array is not None}
        with pytest.raises(LicModelMissing, match=match):
            _core.Enhancer(changed)


def test_other_arguments_are_refused():
    made = _core.Enhancer(random_network(WIDTHS[0], "gentle"))
    pixels, tables = np.zeros((9, 5, 3), np.uint8), np.ones((2, 64), np.uint16)
    out = np.zeros_like(pixels)
    good = pixels, pixels.shape, False, tables, True, out, 1
    made.enhance(*good)
    for at, value, match in (
        (0, pixels.astype(np.uint16), "want uint8"),
        (1, (9, 5, 2), "bands"),
        (1, (0, 5, 3), "height"),
        (3, tables * 0, "step of 0"),
        (3, tables.astype(np.int16), "tables"),
        (5, out[:-1], "out"),
        (6, 0, "threads"),
    ):
        with pytest.raises(ValueError, match=match):
            made.enhance(*good[:at], value, *good[at + 1 :])


def run_large(tensors, kernels: str, pixels: np.ndarray, tables: np.ndarray, how: tuple, threads: int):
    """how: rgb, halved, size."""
    rgb, halved, size = how
    shape = (*pixels.shape, 1)[:3]
    out = np.full((*size, *pixels.shape[2:]), 77, np.uint8)
    made = _core.Enlarger(tensors, kernels)
    made.enlarge(pixels.reshape(shape), shape, rgb, tables, halved, size, out.reshape(*size, shape[2]), threads)
    return out


@every_set
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("widths", WIDTHS)
def test_the_enlarger_is_the_slow_one(widths, kind, kernels):
    tensors, rng = random_network(widths, kind, 64), np.random.default_rng(5)
    slow = slow_enhance.SlowEnlarger(tensors)
    for size, most in zip(SIZES, (1, 40, 255, 65535)):
        tables = rng.integers(1, most + 1, (2, 64)).astype(np.uint16)
        for n, (rgb, halved, pixels) in enumerate(
            (
                (False, True, rng.integers(1, 255, (*size, 3)).astype(np.uint8)),
                (True, False, picture(*size, seed=7)),
                (False, False, rng.integers(0, 256, size).astype(np.uint8)),
            )
        ):
            large = 2 * size[0] - n % 2, 2 * size[1] - n // 2
            wanted = slow.enlarge(pixels, tables, large, rgb=rgb, halved=halved)
            for threads in (1, 3):
                assert np.array_equal(
                    run_large(tensors, kernels, pixels, tables, (rgb, halved, large), threads), wanted
                )


@every_set
@pytest.mark.parametrize("options", [{"quality": 10}, {"quality": 70, "subsampling": 0}, {"quality": 30, "mode": "L"}])
def test_the_shipped_enlarger_is_the_slow_one(options, kernels):
    options = dict(options)
    jpeg = decoded(picture(190, 75, seed=2), options.pop("mode", "RGB"), **options)
    pixels, tables = arrays_of(jpeg)
    read = weights.read(network.LARGE.read_bytes(), str(network.LARGE), network.NAMES)
    slow = slow_enhance.SlowEnlarger({name: np.asarray(view) for name, (_, view) in read.items()})
    wanted = slow.enlarge(pixels, tables, (379, 150), rgb=False, halved=jpeg.halved)
    for threads in (1, 2, 8):
        how = False, jpeg.halved, (379, 150)
        assert np.array_equal(run_large(network.widened(read), kernels, pixels, tables, how, threads), wanted)
    assert network.enlarged(jpeg, (150, 379)) == wanted.tobytes()


def test_without_anything_to_say_the_enlarger_is_a_cubic():
    tensors = random_network(WIDTHS[1], "gentle", 64)
    for name in ("coefficients", "chroma", "render"):
        for part in ("weight", "bias"):
            tensors[f"{name}.{part}"] = np.zeros_like(tensors[f"{name}.{part}"])
    grey = picture(40, 56, seed=8)[:, :, 0] // 2 + 60  # Pillow rounds between the directions, and clips
    found = run_large(tensors, "auto", grey, np.ones((2, 64), np.uint16), (False, False, (80, 112)), 1)
    wanted = np.asarray(Image.fromarray(grey).resize((112, 80), Image.Resampling.BICUBIC))
    assert np.abs(found.astype(int) - wanted)[4:-4, 4:-4].max() <= 1


def test_other_tensors_and_arguments_are_refused_by_the_enlarger():
    with pytest.raises(LicModelMissing, match="shape"):
        _core.Enlarger(random_network(WIDTHS[0], "gentle"))
    made = _core.Enlarger(random_network(WIDTHS[0], "gentle", 64))
    pixels, tables = np.zeros((9, 5, 3), np.uint8), np.ones((2, 64), np.uint16)
    good = pixels, pixels.shape, False, tables, True, (18, 9), np.zeros((18, 9, 3), np.uint8), 1
    made.enlarge(*good)
    for at, value, match in (
        (5, (16, 9), "height"),
        (5, (18, 11), "width"),
        (5, (17, 9), "out"),
        (6, np.zeros((18, 10, 3), np.uint8), "out"),
        (7, 0, "threads"),
    ):
        with pytest.raises(ValueError, match=match):
            made.enlarge(*good[:at], value, *good[at + 1 :])


def test_the_enlarger_is_the_trained_one():
    """As above, at twice the size."""
    pytest.importorskip("torch")
    from train.compact import Enlarger

    grey, tables, tensors, wanted = trained(Enlarger, picture(96, 128, seed=4) // 2 + 60)
    slow = slow_enhance.SlowEnlarger({name: np.asarray(view) for name, (_, view) in tensors.items()})
    found = slow.enlarge(grey, tables, (192, 256), rgb=False, halved=False)
    inside = (wanted > 1) & (wanted < 254)
    assert inside.mean() > 0.9
    assert np.abs(found - wanted)[inside].max() < 1
    assert np.abs(found - wanted)[inside].mean() < 0.3  # a quarter is what rounding to levels leaves
