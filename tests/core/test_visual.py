"""The native visual distance and its gradient, against PyTorch's; the search over it, natively and in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pictures import picture
from shortcuts import symbols

import pillow_lic
from pillow_lic import _core, _core_test, metrics
from pillow_lic.engines import choice
from pillow_lic.engines.torch import visual
from pillow_lic.models import registry

SIZES = [(61, 77), (9, 40), (7, 30), (98, 65), (30, 800)]


def levels_of(samples: np.ndarray) -> np.ndarray:
    """Samples (H, W, 3) in 1/16 of a level as a decoder's rows hold them, (4 hy, 4 wy, 48); beyond them nonsense."""
    height, width = samples.shape[:2]
    hy, wy = -(-height // 16), -(-width // 16)
    whole = np.full((16 * hy, 16 * wy, 3), 3000, np.int16)
    whole[:height, :width] = samples
    return whole.reshape(4 * hy, 4, 4 * wy, 4, 3).transpose(0, 2, 1, 3, 4).reshape(4 * hy, 4 * wy, 48).copy()


def samples_of(levels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The inverse, of any type."""
    rows, columns = levels.shape[:2]
    whole = levels.reshape(rows, columns, 4, 4, 3).transpose(0, 2, 1, 3, 4).reshape(4 * rows, 4 * columns, 3)
    return whole[:height, :width]


def both(height: int, width: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A picture and samples near it in 1/16 of a level, some beyond white and black."""
    rng = np.random.default_rng(seed)
    array = picture(height, width, 3, seed)
    return array, ((array + rng.normal(0.0, 9.0, array.shape)) * 16).clip(-120, 4200).astype(np.int16)


@pytest.mark.quick
def test_weights_are_the_published_ones():
    published = pytest.importorskip("ssimulacra2.ssimulacra2").weights
    assert np.allclose(_core.visual_weights(), published, rtol=1e-6)


@pytest.mark.parametrize("kernels", _core_test.kernel_sets())
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_twins_agree(height, width, kernels):
    """Of odd sides and sides below the smallest scale, and of more than a block; whatever the threads."""
    array, samples = both(height, width)
    pixels = torch.from_numpy(array).permute(2, 0, 1).float() / 255.0
    far, by_x = visual.apart(pixels, torch.from_numpy(samples.astype(np.float32)).permute(2, 0, 1) / 4080.0)
    levels = levels_of(samples)
    out = np.ones(levels.shape, np.float32)
    shape = (height, width, 3)
    assert _core_test.visual(levels, array, shape, out, kernels, 1) == pytest.approx(far, rel=1e-3, abs=1e-6)
    gradient = samples_of(out, height, width) - 1.0  # added to what was there
    wanted = by_x.permute(1, 2, 0).numpy() / 4080.0
    assert np.abs(gradient - wanted).max() <= 5e-3 * max(1e-9, np.abs(wanted).max()) + 1e-6
    again = np.ones(levels.shape, np.float32)
    assert _core_test.visual(levels, array, shape, again, kernels, 3) == _core_test.visual(
        levels, array, shape, None, kernels, 1
    )
    assert np.array_equal(out, again)


def test_grey_counts_as_three_equal_channels():
    array, samples = both(40, 50)
    grey = np.ascontiguousarray(array[..., 0])
    levels = levels_of(samples)
    three = np.repeat(grey[..., None], 3, 2)
    assert _core_test.visual(levels, grey[..., None], (40, 50, 1)) == _core_test.visual(levels, three, (40, 50, 3))


def test_equal_pictures_are_no_distance_apart():
    array = picture(64, 64, 3, 2)
    assert _core_test.visual(levels_of(array.astype(np.int16) * 16), array, (64, 64, 3)) == pytest.approx(0.0, abs=1e-3)


def test_arguments_are_checked():
    array, samples = both(16, 16)
    levels = levels_of(samples)
    for wrong in (levels[:2], levels.astype(np.int32)):
        with pytest.raises(ValueError, match="levels"):
            _core_test.visual(wrong, array, (16, 16, 3))
    with pytest.raises(ValueError, match="kernels"):
        _core_test.visual(levels, array, (16, 16, 3), None, "none")
    with pytest.raises(ValueError, match="out"):
        _core_test.visual(levels, array, (16, 16, 3), np.zeros((4, 4, 48), np.float64))


def visual_cost(array: np.ndarray, data: bytes, quality: int) -> float:
    """What the search of `photo-visual` makes smaller: bits, and both distortions in bits."""
    manifest, shown = registry.by_name("photo-visual").manifest, pillow_lic.decode(data)
    pixels, x_hat = (torch.from_numpy(one.astype(np.float32)).permute(2, 0, 1) / 255.0 for one in (array, shown))
    squares = float((pixels - x_hat).square().sum()) * manifest.lambda_at(100 * quality) * 255.0**2 / 3.0
    return 8 * len(data) + squares + manifest.visual_at(100 * quality) * visual.apart(pixels, x_hat)[0]


@pytest.mark.network
def test_effort_lowers_the_visual_cost():
    array = picture(96, 130, 3, 4)
    for quality in (25, 75):
        none, one, four = (
            visual_cost(array, pillow_lic.encode(array, quality=quality, tune="visual", effort=effort), quality)
            for effort in (0, 1, 4)
        )
        assert one < 0.995 * none
        assert four < min(0.98 * none, one)


@pytest.mark.network
def test_default_effort_of_visual_models():
    array = picture(48, 64, 3, 3)
    assert pillow_lic.encode(array, tune="visual") == pillow_lic.encode(array, tune="visual", effort=2)


@pytest.mark.network
@pytest.mark.parametrize("shape", [(500, 40), (70, 200)])
def test_search_is_the_same_on_any_threads(shape, request):
    """What a strip keeps of its way forward is what its way back needs, at both ends."""
    request.addfinalizer(lambda: pillow_lic.set_threads(None))
    array, files = picture(*shape, 3, 5), []
    for count in (1, 2, 3, 5):
        pillow_lic.set_threads(count)
        files.append(pillow_lic.encode(array, quality=60, tune="visual", effort=2, screen="off"))
    assert files[1:] == files[:1] * 3


@pytest.mark.network
def test_engines_search_alike(monkeypatch):
    """PyTorch's search over the same distance gains as much as the native one."""
    array = picture(96, 130, 3, 4)
    native = pillow_lic.encode(array, quality=50, tune="visual", effort=2)
    plain = visual_cost(array, pillow_lic.encode(array, quality=50, tune="visual", effort=0), 50)
    monkeypatch.setenv(choice.ENGINE_VARIABLE, "torch")
    torchs = pillow_lic.encode(array, quality=50, tune="visual", effort=2)
    assert visual_cost(array, torchs, 50) == pytest.approx(visual_cost(array, native, 50), rel=0.02)
    assert visual_cost(array, torchs, 50) < 0.985 * plain
    assert symbols(torchs)[1].shape == symbols(native)[1].shape


@pytest.mark.network
@pytest.mark.parametrize("kind", ["noise", "flat", "stripes"])
def test_pictures_unlike_photographs(kind):
    """Where the distance bends unlike that of photographs, a file is never worse than that of effort 0."""
    array = np.random.default_rng(1).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    if kind == "flat":
        array[:] = (200, 30, 90)
    elif kind == "stripes":
        array[:, ::2], array[:, 1::2] = 0, 255
    none, two = (
        visual_cost(array, pillow_lic.encode(array, quality=60, tune="visual", effort=effort), 60) for effort in (0, 2)
    )
    assert two < 1.01 * none + 64.0


@pytest.mark.network
def test_effort_raises_the_score():
    """By a measure of its own making: SSIMULACRA2's package on files of about equal size."""
    pytest.importorskip("ssimulacra2")
    array = pytest.importorskip("skimage.data").astronaut()[:256, :256]
    files = [pillow_lic.encode(array, quality=50, tune="visual", effort=effort) for effort in (0, 3)]
    scores = [metrics.ssimulacra2(array, pillow_lic.decode(data)) for data in files]
    assert len(files[1]) < 1.02 * len(files[0])
    assert scores[1] > scores[0] + 0.3
