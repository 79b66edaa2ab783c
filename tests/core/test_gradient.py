"""The native gradient of the synthesis, against NumPy's integers and a chain rule by hand, and the search over it."""

from __future__ import annotations

import numpy as np
import pytest
from random_tables import Case
from slow_photo import SlowPhoto, blocks, clip, leaky, shuffle

from pillow_lic import _core, _core_test

SLOPE = 3277 / 32768
WHITE = 255 * 16
BIT_WEIGHT = 0.05
SIZES = [(1, 1), (16, 16), (37, 53), (150, 70), (300, 33)]


def random_networks(seed: int, latent=6, hyper=5, body=10, detail=7, render=3, bodies=2, details=3, points=3) -> dict:
    """Integer tensors of FORMAT 9.2 whose values stay well within an i16."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}

    def layer(name: str, outputs: int, inputs: int, gain: float = 1.0, offset: float = 0.0) -> None:
        weight = np.round(rng.normal(0, 60, (outputs, inputs))).clip(-200, 200)
        table = rng.uniform(0.7, 1.3, (points, outputs)) * gain / (60 * inputs**0.5)
        tensors[f"{name}.weight"] = weight.astype(np.int16)
        tensors[f"{name}.scale"] = np.round(table * 2.0**32).astype(np.int32)
        tensors[f"{name}.bias"] = np.round((offset + rng.normal(0, 100, (points, outputs))) * 2.0**32).astype(np.int64)

    def block(name: str, width: int) -> None:
        layer(f"{name}.mix", width, width)
        layer(f"{name}.spatial", width, 9)
        layer(f"{name}.join", width, width, 0.4)
        layer(f"{name}.expand", 2 * width, width)
        layer(f"{name}.contract", width, 2 * width, 0.4)

    layer("prior.up", 16 * 4, hyper)
    layer("prior.enter", body, 4)
    block("prior.block", body)
    layer("prior.mean", latent, body, 4.0)
    layer("prior.step", latent, body)
    for group in (1, 2, 3):
        layer(f"refine{group}.enter", body, body + latent)
        layer(f"refine{group}.spatial", body, 9 if group == 1 else 25)
        layer(f"refine{group}.join", body, body, 0.4)
        layer(f"refine{group}.expand", 2 * body, body)
        layer(f"refine{group}.contract", body, 2 * body, 0.4)
        layer(f"refine{group}.mean", latent, body, 4.0)
        layer(f"refine{group}.step", latent, body)
    layer("synthesis.enter", body, latent)
    layer("synthesis.up8", 4 * detail, body)
    layer("synthesis.up4", 4 * render, detail)
    block("synthesis.render", render)
    layer("synthesis.out", 48, render, 0.7, offset=WHITE / 2)
    layer("synthesis.direct", 768, latent, 0.7)
    for k in range(bodies):
        block(f"synthesis.body{k}", body)
    for k in range(details):
        block(f"synthesis.detail{k}", detail)
    tensors["prior.gain"] = rng.integers(2000, 2600, (points, latent)).astype(np.int32)
    tensors["tanh"] = np.round(32767 * np.tanh(np.linspace(0.0, 8.0, 257))).astype(np.int16)
    tensors["exp2"] = np.round((1 << 15) * 2.0 ** (np.arange(256) / 256)).astype(np.uint16)
    return tensors


class SlowGradient(SlowPhoto):
    """The squared error of samples by y_hat: integers forward, float64 back."""

    def back(self, name: str, g: np.ndarray) -> np.ndarray:
        """Gradients (outputs, h, w) to (inputs, h, w)."""
        scale = self.at(f"{name}.scale") / 2.0**32
        return np.einsum("oi,ohw->ihw", self.tensors[f"{name}.weight"] * scale[:, None], g)

    def depthwise_back(self, name: str, g: np.ndarray) -> np.ndarray:
        weight = self.tensors[f"{name}.weight"] * (self.at(f"{name}.scale") / 2.0**32)[:, None]
        padded, (h, w) = np.pad(g, ((0, 0), (1, 1), (1, 1))), g.shape[1:]
        taps = [padded[:, 2 - k // 3 :, 2 - k % 3 :][:, :h, :w] * weight[:, k, None, None] for k in range(9)]
        return sum(taps)

    def block(self, name: str, x: np.ndarray) -> np.ndarray:
        hidden = leaky(clip(self.conv(f"{name}.mix", x)))
        x = clip(x + clip(self.conv(f"{name}.join", clip(self.depthwise(f"{name}.spatial", hidden)))))
        wide = leaky(clip(self.conv(f"{name}.expand", x)))
        self.slopes[name] = [np.where(part > 0, 1.0, SLOPE) for part in (hidden, wide)]
        return clip(x + clip(self.conv(f"{name}.contract", wide)))

    def block_back(self, name: str, g: np.ndarray) -> np.ndarray:
        hidden, wide = self.slopes[name]
        g = g + self.back(f"{name}.expand", wide * self.back(f"{name}.contract", g))
        spatial = self.depthwise_back(f"{name}.spatial", self.back(f"{name}.join", g))
        return g + self.back(f"{name}.mix", hidden * spatial)

    def gradient(self, y_hat: np.ndarray, pixels: np.ndarray) -> tuple[float, np.ndarray]:
        """Of y_hat (M, hy, wy): the error and the gradient (M, hy, wy)."""
        self.slopes: dict[str, list[np.ndarray]] = {}
        levels = np.clip(self.levels(y_hat), 0, WHITE)
        (height, width), g = pixels.shape[:2], np.zeros(levels.shape)
        g[:, :height, :width] = levels[:, :height, :width] / WHITE - pixels.transpose(2, 0, 1) / 255.0
        error = float((g**2).sum())
        g = unshuffle(2.0 * g / WHITE, 4)
        linear = self.back("synthesis.direct", unshuffle(g, 4))
        g = self.block_back("synthesis.render", self.back("synthesis.out", g))
        g = self.back("synthesis.up4", unshuffle(g, 2))
        for name in reversed(blocks(self.tensors, "synthesis.detail")):
            g = self.block_back(name, g)
        g = self.back("synthesis.up8", unshuffle(g, 2))
        for name in reversed(blocks(self.tensors, "synthesis.body")):
            g = self.block_back(name, g)
        return error, self.back("synthesis.enter", g) + linear


def unshuffle(x: np.ndarray, factor: int) -> np.ndarray:
    c, h, w = x.shape
    x = x.reshape(c, h // factor, factor, w // factor, factor).transpose(0, 2, 4, 1, 3)
    return x.reshape(c * factor**2, h // factor, w // factor)


def random_picture(rng: np.random.Generator, height: int, width: int, bands: int = 3) -> np.ndarray:
    return rng.integers(0, 256, (height, width, bands), dtype=np.uint8)


def grid_of(height: int, width: int) -> tuple[int, int]:
    return -(-height // 16), -(-width // 16)


def test_unshuffle():
    x = np.arange(3 * 8 * 12).reshape(3, 8, 12)
    assert np.array_equal(shuffle(unshuffle(x, 4), 4), x)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("kernels", _core_test.kernel_sets())
def test_gradient(kernels: str, height: int, width: int):
    """Every kernel set, edges of every kind, and bit for bit the same on any number of threads."""
    rng = np.random.default_rng(height)
    tensors, q = random_networks(height), int(rng.integers(100, 10001))
    hy, wy = grid_of(height, width)
    y_hat = np.round(rng.normal(0, 1500, (hy, wy, 6))).astype(np.int16)
    pixels = random_picture(rng, height, width)
    photo = _core.Photo(tensors, kernels)
    found = np.empty(y_hat.shape, np.float32)
    error = _core_test.gradient(photo, q, y_hat, pixels, pixels.shape, found)
    slow_error, slow = SlowGradient(tensors, q).gradient(y_hat.transpose(2, 0, 1).astype(np.int64), pixels)
    assert error == pytest.approx(slow_error, rel=1e-9)
    slow = slow.transpose(1, 2, 0)
    assert np.abs(found - slow).max() <= 1e-5 * np.abs(slow).max()
    for threads in (2, 3, 8):
        again = np.empty_like(found)
        assert _core_test.gradient(photo, q, y_hat, pixels, pixels.shape, again, threads) == error
        assert np.array_equal(again, found)
        assert _core_test.gradient(photo, q, y_hat, pixels, pixels.shape, None, threads) == error


@pytest.mark.parametrize(
    "shape",
    [
        {"bodies": 0, "details": 0},
        {"bodies": 3, "details": 1, "body": 34, "detail": 20},
        {"bodies": 1, "details": 4, "body": 68, "detail": 50, "render": 17, "latent": 40},
    ],
)
def test_depths_and_widths(shape: dict):
    rng = np.random.default_rng(len(shape))
    tensors = random_networks(3, **shape)
    pixels = random_picture(rng, 290, 40)
    y_hat = np.round(rng.normal(0, 1000, (19, 3, shape.get("latent", 6)))).astype(np.int16)
    error, slow = SlowGradient(tensors, 4321).gradient(y_hat.transpose(2, 0, 1).astype(np.int64), pixels)
    for kernels in _core_test.kernel_sets():
        found = np.empty(y_hat.shape, np.float32)
        photo = _core.Photo(tensors, kernels)
        assert _core_test.gradient(photo, 4321, y_hat, pixels, pixels.shape, found, 2) == pytest.approx(error, rel=1e-9)
        assert np.abs(found.transpose(2, 0, 1) - slow).max() <= 1e-5 * np.abs(slow).max()


def test_grey_counts_three_times():
    rng = np.random.default_rng(5)
    photo, y_hat = _core.Photo(random_networks(5)), np.zeros((3, 3, 6), np.int16)
    pixels = random_picture(rng, 40, 37, 1)
    found = [np.empty((3, 3, 6), np.float32) for _ in range(2)]
    errors = [
        _core_test.gradient(photo, 900, y_hat, part, part.shape, to)
        for part, to in zip((pixels, pixels.repeat(3, 2)), found)
    ]
    assert errors[0] == errors[1]
    assert np.array_equal(*found)


# ---- The search -------------------------------------------------------------------------------------------------


class Searched:
    """A picture and random networks and tables: what `search` makes of them, and what that costs."""

    def __init__(self, seed: int, trellis: int | None, height: int = 150, width: int = 90):
        hy, wy = self.grid = grid_of(height, width)
        self.case = Case(seed, hy, wy, latent=6, hyper=5, skip=1, levels=1, trellis=trellis)
        self.case.z[:] = np.random.default_rng(seed).integers(-3, 4, self.case.z.shape)
        self.photo = _core.Photo(random_networks(seed))
        rng = np.random.default_rng(seed)
        self.pixels = random_picture(rng, height, width)
        self.y = np.round(rng.normal(0, 1500 * 16, (hy, wy, 6))).astype(np.int32)
        self.model, self.q, self.bit = self.case.tables.model, self.case.q, 0.02
        self.weight = BIT_WEIGHT * (1 if trellis is None else 9)

    def residuals(self, passes: int, threads: int = 1) -> tuple[np.ndarray, bool]:
        r = np.empty((6, *self.grid), np.int16)
        inputs = self.model, self.q, self.case.z, self.y, r, self.pixels, self.pixels.shape
        better = self.photo.search(*inputs, passes, self.bit, self.weight, threads=threads)
        return r, better

    def cost(self, r: np.ndarray) -> float:
        y_hat = np.empty(r.shape, np.int16)
        self.photo.latents(self.q, self.case.tables.dequantised(self.q, self.case.z), r, self.grid, y_hat)
        rows = np.ascontiguousarray(y_hat.transpose(1, 2, 0))
        index = self.case.tables.scale_index(self.q, self.case.z, *self.grid)
        bits = self.model.price(r.reshape(6, -1), index.reshape(6, -1))
        return _core_test.gradient(self.photo, self.q, rows, self.pixels, self.pixels.shape) + self.bit * bits


@pytest.mark.parametrize("trellis", [None, 2])
def test_search_never_costs_more(trellis: int | None):
    gains = []
    for seed in range(6):
        case = Searched(seed, trellis)
        start, _ = case.residuals(0)
        plain = np.empty_like(start)
        case.photo.quantise(case.model, case.q, case.case.z, case.y, plain, case.grid, case.weight)
        assert np.array_equal(start, plain)
        for passes in (1, 2, 6):
            r, better = case.residuals(passes)
            before, after = case.cost(start), case.cost(r)
            assert after < before if better else np.array_equal(r, start)
            gains.append(1.0 - after / before)
        case.case.r = r
        assert np.array_equal(case.case.decode(case.case.encode())[1], r)
    assert max(gains) > 0.01


@pytest.mark.parametrize("trellis", [None, 2])
@pytest.mark.parametrize("visual", [0.0, 1e-3])
@pytest.mark.parametrize("passes", [0, 1, 2, 7])
def test_search_leaves_what_its_residuals_are_made_of(trellis: int | None, passes: int, visual: float):
    found = set()
    for seed in range(4):
        case = Searched(seed, trellis)
        r, again = np.empty((6, *case.grid), np.int16), np.empty((6, *case.grid), np.int16)
        moved, weights = np.empty_like(case.y), np.empty(6, np.float32)
        inputs = case.model, case.q, case.case.z, case.y, r, case.pixels, case.pixels.shape
        better = case.photo.search(*inputs, passes, case.bit, case.weight, visual, 2, moved, weights)
        case.photo.quantise(case.model, case.q, case.case.z, moved, again, case.grid, weights)
        assert np.array_equal(r, again)
        assert better or (np.array_equal(moved, case.y) and (weights == np.float32(case.weight)).all())
        found.add(better)
    assert visual or (True in found) == (passes > 0)


@pytest.mark.parametrize("passes", [2, 7])
def test_search_is_the_same_on_any_threads(passes: int):
    case = Searched(2, 2, 330, 50)
    r, _ = case.residuals(passes)
    for threads in (1, 2, 5):
        assert np.array_equal(case.residuals(passes, threads)[0], r)


def test_search_refuses():
    case = Searched(1, None)
    other = Case(1, 10, 6, latent=5).tables.model
    args = case.q, case.case.z, case.y, np.empty((6, *case.grid), np.int16), case.pixels, case.pixels.shape
    with pytest.raises(ValueError, match="other latents"):
        case.photo.search(other, *args, 2, 0.1, 0.1)
    with pytest.raises(ValueError, match="passes is -1"):
        case.photo.search(case.model, *args, -1, 0.1, 0.1)
    for bit in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="argument bit"):
            case.photo.search(case.model, *args, 2, bit, 0.1)
    for left, words in [
        ((case.y[1:], None), "moved has shape"),
        ((None, np.zeros(5, np.float32)), "weights has shape"),
    ]:
        with pytest.raises(ValueError, match=words):
            case.photo.search(case.model, *args, 2, 0.1, 0.1, 0.0, 1, *left)
    with pytest.raises(ValueError, match="weight has shape"):
        case.photo.quantise(case.model, *args[:4], case.grid, np.zeros(5, np.float32))
    with pytest.raises(ValueError, match="pixels has shape"):
        case.photo.search(case.model, *args[:-1], (150, 91, 3), 2, 0.1, 0.1)
    y_hat = np.zeros((*case.grid, 6), np.int16)
    with pytest.raises(ValueError, match="argument out"):
        _core_test.gradient(case.photo, case.q, y_hat, case.pixels, case.pixels.shape, y_hat)
