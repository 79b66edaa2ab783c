"""What is no photograph: stripes, flat colours, text in a photograph, invisible pixels. Photographs are left alone."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import picture

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.codec import fill, screen

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
from drawn import checkers, code, interface, logo, page, pictures, stripes, zone_plate

pytestmark = pytest.mark.network

QUALITIES = (5, 30, 75, 100)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = ((a.astype(float) - b) ** 2).mean()
    return 100.0 if error == 0 else 10 * np.log10(255**2 / error)


def coded(array: np.ndarray, **options) -> tuple[container.Container, np.ndarray, int]:
    data = pillow_lic.encode(array, **options)
    return container.read(data), np.asarray(pillow_lic.decode(data)), len(data)


FAILING = {
    "stripes": stripes(1, "across"),
    "diagonals": stripes(1, "rising"),
    "checkers of one pixel": checkers(1),
    "checkers of eight": checkers(8),
    "zone plate": zone_plate(),
    "code": np.asarray(code(25, 8, 2)),
    "page": np.asarray(page(14, (0, 0, 0), (255, 255, 255), 1)),
}


@pytest.mark.parametrize("name", FAILING)
def test_quality_never_falls_and_the_file_is_small(name):
    """15.4, 10.0, 5.6 and 4.9 dB without an overlay, of stripes."""
    array, reached, before = FAILING[name], [], None
    for quality in QUALITIES:
        _, found, size = coded(array, quality=quality)
        reached.append(psnr(array, found))
        before = min(before or size, size)
        assert size <= 1.03 * len(pillow_lic.encode(array, lossless=True)) + 1
    assert all(later >= earlier - 0.3 for earlier, later in itertools.pairwise(reached)), reached
    assert reached[-1] == 100.0


def test_stripes_inside_a_photograph():
    """At one place of a picture that is otherwise the networks': they end as a rectangle, exact, and the rest is as it
    would be.
    """
    array = picture(320, 384, seed=3)
    array[96:192, 128:256] = stripes(1, "down", 128)[:96]
    chunks, found, size = coded(array, quality=60)
    assert not chunks.header.alone
    assert chunks.overlay
    assert np.array_equal(found[96:192, 128:256], array[96:192, 128:256])
    _, worse, larger = coded(array, quality=60, screen="off")
    assert psnr(array[96:192, 128:256], worse[96:192, 128:256]) < 30
    assert size < 0.8 * larger
    outside = np.ones(array.shape[:2], bool)
    outside[80:208, 112:272] = False
    assert psnr(array[outside], found[outside]) > psnr(array[outside], worse[outside]) - 0.2


def test_a_window_in_a_photograph():
    array = picture(448, 576, seed=4)
    array[32:416, 32:544] = np.asarray(interface(2))
    chunks, found, size = coded(array, quality=50)
    assert chunks.overlay
    assert np.array_equal(found[64:384, 64:512], array[64:384, 64:512])
    assert size < len(pillow_lic.encode(array, quality=50, screen="off"))


@pytest.mark.parametrize("side", [(1, 1), (1, 300), (64, 64), (300, 300)])
def test_flat_colours_are_exact_and_tiny(side):
    rng = np.random.default_rng(5)
    corners = [[255 * (n >> bit & 1) for bit in range(3)] for n in range(8)]
    for colour in [*corners, *rng.integers(0, 256, (16, 3)).tolist()]:
        array = np.full((*side, 3), colour, np.uint8)
        for quality in (50, 100):
            _, found, size = coded(array, quality=quality)
            assert np.array_equal(found, array)
            assert size <= 120


def test_photographs_are_left_alone():
    """Equal files; and of noise, which nothing makes smaller."""
    noise = np.random.default_rng(6).integers(0, 256, (100, 120, 3)).astype(np.uint8)
    for array in (picture(200, 256), picture(130, 90, 1, seed=2), noise // 8 + 100):
        for quality in (20, 90):
            assert pillow_lic.encode(array, quality=quality) == pillow_lic.encode(array, quality=quality, screen="off")


def test_a_blown_sky_is_left_alone():
    array = picture(256, 256, seed=7)
    array[:100] = 255
    assert not coded(array, quality=75)[0].overlay


@pytest.mark.parametrize("model", ["toy", "photo-ms-ssim"])
def test_any_model(model):
    """Also one that was not trained for squared errors."""
    assert coded(stripes(1, "down"), model=model, quality=70)[0].header.alone


def test_grey_and_alpha():
    grey = stripes(1, "down")[:, :, 0]
    chunks, found, _ = coded(grey, quality=70)
    assert chunks.header.layout == "L"
    assert np.array_equal(found, grey)
    alpha = picture(256, 256, 1, seed=8)
    for array in (np.dstack([grey, alpha]), np.dstack([stripes(1, "across"), alpha])):
        assert np.array_equal(coded(array, quality=70)[1], array)


def test_batches_mix_all_ways():
    arrays = [stripes(1, "down", 96), picture(96, 96), stripes(2, "across", 96), picture(96, 96, seed=1)]
    files = pillow_lic.encode_batch(arrays, quality=70)
    assert files == [pillow_lic.encode(array, quality=70) for array in arrays]
    for array, found, file in zip(arrays, pillow_lic.decode_batch(files), files):
        assert np.array_equal(found, pillow_lic.decode(file))
        assert found.shape == array.shape


def test_a_tensor_holds_the_same():
    torch = pytest.importorskip("torch")
    array = picture(128, 160, seed=3)
    array[32:96, 32:128] = stripes(1, "down", 96)[:64]
    for one in (array, stripes(1, "down"), np.asarray(logo(1))):
        data = pillow_lic.encode(one, quality=60)
        tensor = pillow_lic.decode(data, output="torch")
        assert isinstance(tensor, torch.Tensor)
        assert np.abs(tensor.numpy().astype(int) - pillow_lic.decode(data)).max() <= 3
        if not container.read(data).tiles:
            assert np.array_equal(tensor.numpy(), pillow_lic.decode(data))


# ---- Invisible pixels ---------------------------------------------------------------------------------------------


def disc(side: int = 160, soft: bool = False) -> np.ndarray:
    """A picture that is seen through a disc; noise around it."""
    y, x = np.mgrid[0:side, 0:side] - side / 2 + 0.5
    r = np.hypot(x, y)
    alpha = np.clip((side * 0.35 - r) * (32 if soft else 1e9), 0, 255).astype(np.uint8)
    noise = np.random.default_rng(9).integers(0, 256, (side, side, 3)).astype(np.uint8)
    colour = np.where(alpha[:, :, None] > 0, picture(side, side, seed=10), noise)
    return np.dstack([colour, alpha]).astype(np.uint8)


def test_invisible_pixels_cost_nothing_and_are_one_colour():
    array = disc(soft=True)
    chunks, found, size = coded(array, quality=75)
    _, kept, larger = coded(array, quality=75, exact=True, screen="off")
    seen = array[..., 3] > 0
    assert not chunks.header.alone
    assert size < 0.45 * larger
    assert np.array_equal(found[..., 3], array[..., 3])
    assert (found[~seen][:, :3] == 0).all()
    assert psnr(array[seen], found[seen]) >= psnr(array[seen], kept[seen]) - 0.1
    assert psnr(array[~seen], kept[~seen]) > 13  # noise, as the networks have it


def test_the_one_colour_is_that_of_the_picture():
    array = disc()
    array[array[..., 3] == 0, :3] = (200, 30, 7)
    _, found, _ = coded(array, quality=60)
    assert (found[array[..., 3] == 0] == (200, 30, 7, 0)).all()
    lossless = coded(disc(), lossless=True)[1]
    assert np.array_equal(lossless, disc())
    dropped = coded(disc(), lossless=True, exact=False)
    assert (dropped[1][disc()[..., 3] == 0] == 0).all()
    assert dropped[2] < 0.7 * len(pillow_lic.encode(disc(), lossless=True))


def test_grey_with_alpha_and_nothing_visible():
    array = disc()[..., [0, 3]]
    found = coded(array, quality=60)[1]
    assert (found[array[..., 1] == 0] == 0).all()
    array[..., 1] = 0
    for options in ({}, {"screen": "off"}, {"lossless": True, "exact": False}):
        assert (coded(array, quality=60, **options)[1] == 0).all()


def test_filled():
    """What is known stays; what is not lies between its neighbours."""
    array, known = picture(37, 50), np.random.default_rng(1).random((37, 50)) < 0.3
    found = fill.filled(array, known)
    assert np.array_equal(found[known], array[known])
    assert int(found.min()) >= int(array[known].min()) - 1
    assert int(found.max()) <= int(array[known].max()) + 1
    known[:] = False
    known[20, 3] = True
    assert (fill.filled(array, known) == array[20, 3]).all()


# ---- The finding --------------------------------------------------------------------------------------------------


def test_boxes_cover_what_is_marked_and_nothing_else():
    rng = np.random.default_rng(2)
    for _ in range(20):
        marked = rng.random((9, 13)) < rng.random()
        count = np.zeros(marked.shape, int)
        for top, left, bottom, right in screen._boxes(marked):
            count[top:bottom, left:right] += 1
        assert np.array_equal(count, marked)


@pytest.mark.parametrize("side", [(1, 1), (33, 31), (64, 1), (200, 97)])
def test_looks_have_a_value_for_every_block(side):
    looks = screen.look(np.zeros((*side, 3), np.uint8))
    for found in looks:
        assert found.shape == (-(-side[0] // screen.BLOCK), -(-side[1] // screen.BLOCK))


def test_options_are_checked():
    array = np.zeros((4, 4), np.uint8)
    for options in ({"screen": "on"}, {"screen": True}, {"exact": "no"}, {"lossless": 1.0}):
        with pytest.raises(errors.LicBadOption):
            pillow_lic.encode(array, **options)


def test_the_sixty_pictures_are_sixty():
    drawn = pictures()
    assert len(drawn) == 60
    assert all(array.dtype == np.uint8 and array.shape[2] in (3, 4) for array in drawn.values())


def test_noise_is_left_to_the_networks():
    """Grey noise, which a lossless file keeps in 7 bits a pixel."""
    noise = np.random.default_rng(3).normal(128, 40, (128, 160)).clip(0, 255).astype(np.uint8)
    data = pillow_lic.encode(noise, quality=60, effort=0)
    assert not container.read(data).overlay
    assert 8 * len(data) < 4 * noise.size < 8 * len(pillow_lic.encode(noise, lossless=True))
