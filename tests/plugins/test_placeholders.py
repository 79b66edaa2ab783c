"""Placeholders: pictures in a few bytes, what they look like, what is refused, and that no bytes are."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from pictures import picture
from PIL import Image

import pillow_lic
from pillow_lic import metrics, placeholders
from pillow_lic.cli import main
from pillow_lic.errors import LicBadOption, LicTruncated
from pillow_lic.plugins import saving

SIDE = 64


def scene(seed: int) -> Image.Image:
    """Soft shapes and a gradient, as thumbnails have them."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def test_28_bytes_show_the_picture():
    """Soft pictures come back at more than 20 dB, their quarters in about their colours."""
    for seed in range(5):
        im = scene(seed)
        data = pillow_lic.placeholder(im)
        assert len(data) == 28
        shown = pillow_lic.placeholder_image(data, im.size)
        assert (shown.mode, shown.size) == ("RGB", im.size)
        assert metrics.psnr(im, shown) > 20
        means = [np.asarray(one).reshape(2, 32, 2, 32, 3).mean((1, 3)) for one in (im, shown)]
        assert np.abs(means[0] - means[1]).max() < 20


def test_more_bytes_show_more():
    im = scene(9)
    found = [
        metrics.psnr(im, pillow_lic.placeholder_image(pillow_lic.placeholder(im, n), im.size)) for n in (8, 16, 64)
    ]
    assert found == sorted(found)
    assert found[2] > found[0] + 3


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"]


@pytest.mark.parametrize(("mode", "size"), [*((mode, 28) for mode in MODES), ("RGBA", 8), ("L", 64)])
def test_every_mode_and_extreme_pictures(mode, size):
    for fill in (
        np.zeros((5, 300, 3)),
        np.full((70, 3, 3), 255),
        picture(40, 60),
        (np.indices((64, 64)).sum(0) % 2) * 255,
    ):
        array = np.asarray(fill, np.uint8)
        im = Image.fromarray(array).convert("RGB")
        im = im.convert("L").convert("I").convert("I;16") if mode == "I;16" else im.convert(mode)
        data = pillow_lic.placeholder(im, size)
        assert len(data) == size
        assert pillow_lic.placeholder_image(data, im.size).size == im.size


RAMP = np.linspace(0, 1, 3000).reshape(50, 60)
NUMBERS = [
    *((RAMP * most).astype(np.uint16) for most in (0, 200, 1000, 1023, 1024, 4095, 16000, 65535)),
    *((RAMP * (high - low) + low).astype(np.int32) for low, high in ((0, 900), (-100, 1000), (70000, 71000))),
    *((RAMP * (high - low) + low).astype(np.int32) for low, high in ((0, 2e6), (-(2**31), 2**31 - 129), (5, 65535))),
    *((RAMP * (high - low) + low).astype(np.float32) for low, high in ((0, 1), (0.2, 0.3), (-3, 5), (1e9, 1.1e9))),
    np.full((5, 6), 7.5, np.float32),
    np.full((5, 6), np.nan, np.float32),
    np.where(RAMP < 0.3, np.nan, RAMP * 90).astype(np.float32),
    np.where(RAMP > 0.9, np.inf, np.where(RAMP < 0.1, -np.inf, RAMP * 90)).astype(np.float32),
]


@pytest.mark.parametrize("array", NUMBERS)
def test_more_than_8_bits_are_reduced_as_the_codec_does(array):
    """Of the picture, and of its file: with the depth that it states."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, "LIC", lossless=True)
    wanted = pillow_lic.decode(file.getvalue(), dtype="uint8").astype(int)
    for im in (Image.fromarray(array), Image.open(file)):
        found = saving.in_eight(im)
        assert found.mode == "L"
        assert np.array_equal(np.asarray(found), wanted)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L", "I", "F"])
def test_deep_pictures_look_like_themselves(mode):
    grey = scene(5).convert("L")
    deep = grey.convert("I").point(lambda value: value * 257)
    deep = deep.convert(mode) if mode in ("I", "F") else deep.convert("I;16").convert("I").convert(mode)
    shown = pillow_lic.placeholder_image(pillow_lic.placeholder(deep), grey.size)
    wanted = pillow_lic.placeholder_image(pillow_lic.placeholder(grey), grey.size)
    assert np.abs(np.asarray(shown).mean() - np.asarray(wanted).mean()) < 12
    assert metrics.psnr(grey.convert("RGB"), shown) > 18


def test_a_stated_depth_is_white():
    file = io.BytesIO()
    Image.fromarray((RAMP * 1000).astype(np.uint16)).save(file, "LIC", lossless=True, depth=12)
    assert np.asarray(saving.in_eight(Image.open(file))).max() == 62


def test_a_transparent_grey_is_white():
    im = Image.new("I;16", (40, 30), 3000)
    im.info["transparency"] = 3000
    shown = np.asarray(pillow_lic.placeholder_image(pillow_lic.placeholder(im)))
    assert shown.min() > 250


def test_one_colour_comes_back():
    for colour in ((0, 0, 0), (255, 255, 255), (200, 30, 90), (10, 250, 120)):
        shown = np.asarray(pillow_lic.placeholder_image(pillow_lic.placeholder(Image.new("RGB", (50, 40), colour))))
        assert np.abs(shown.astype(int) - colour).max() <= 3


def test_transparent_pixels_are_white():
    im = scene(2).convert("RGBA")
    im.putalpha(0)
    shown = np.asarray(pillow_lic.placeholder_image(pillow_lic.placeholder(im)))
    assert shown.min() > 250


def test_shape_without_a_size():
    for size, wanted in (
        ((640, 480), (64, 48)),
        ((480, 640), (48, 64)),
        ((100, 100), (64, 64)),
        ((9000, 10), (64, 16)),
    ):
        data = pillow_lic.placeholder(Image.new("RGB", size))
        found = pillow_lic.placeholder_image(data).size
        assert np.abs(np.subtract(found, wanted)).max() <= 2


def test_what_is_read_is_what_was_written():
    """All amplitudes, at every step, through writer and reader."""
    rng = np.random.default_rng(0)
    for step in range(placeholders.STEPS):
        spectra = placeholders.amplitudes(Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)))
        levels = placeholders.levels_of(spectra, step, 0.5)
        writer = placeholders.Writer(2000)
        placeholders.coded(writer, levels, step, placeholders.chances())
        data = writer.done(2000)
        assert data is not None
        assert placeholders.coded(placeholders.Reader(data), None, step, placeholders.chances()) == levels


def test_the_finest_step_that_fits():
    """No placeholder leaves a step out that would have fitted and been nearer."""
    im = scene(3)
    spectra, table = placeholders.amplitudes(im), placeholders.chances()
    tried = list(placeholders._tried(spectra, 16, 28, table))
    assert len(tried) > 3
    found = metrics.psnr(im, pillow_lic.placeholder_image(pillow_lic.placeholder(im), im.size))
    others = [metrics.psnr(im, placeholders.placeholder_image(data, im.size)) for _, data in tried]
    assert found >= max(others) - 0.2


def test_the_same_bytes_for_ever():
    """The bytes of a picture, and what bytes show: whoever keeps them in a database reads them with later versions."""
    data = bytes.fromhex(KEPT)
    shown = np.asarray(placeholders.placeholder_image(data, (4, 4)))
    assert np.abs(shown.astype(int) - np.array(SHOWN)).max() <= 1


def test_any_bytes_are_a_picture():
    rng = np.random.default_rng(4)
    for size in (8, 28, 64):
        for fill in (bytes(size), b"\xff" * size, *(rng.bytes(size) for _ in range(15))):
            im = pillow_lic.placeholder_image(fill, (20, 10))
            assert im.size == (20, 10)


def test_refusals():
    im = scene(1)
    for size in (7, 65, 28.0, True, "28"):
        with pytest.raises(LicBadOption, match="whole number of bytes from 8 to 64"):
            pillow_lic.placeholder(im, size)
    with pytest.raises(LicBadOption, match=r"Image\.fromarray makes one"):
        pillow_lic.placeholder(np.asarray(im))
    with pytest.raises(LicBadOption, match="an empty image"):
        pillow_lic.placeholder(Image.new("RGB", (0, 5)))
    with pytest.raises(LicTruncated, match="8 to 64 bytes, found 7"):
        pillow_lic.placeholder_image(bytes(7))
    with pytest.raises(LicBadOption, match="found 65"):
        pillow_lic.placeholder_image(bytes(65))
    with pytest.raises(LicBadOption, match="a placeholder is bytes, found str"):
        pillow_lic.placeholder_image("text")
    for size in ((0, 5), 7, (1,), "ab", (5, -1)):
        with pytest.raises(LicBadOption, match="width and height in pixels"):
            pillow_lic.placeholder_image(bytes(28), size)


def test_the_command_line(tmp_path, capsys):
    path, target = tmp_path / "a.png", tmp_path / "b.png"
    scene(7).save(path)
    assert main(["placeholder", str(path), str(tmp_path / "none.png")]) == 1
    out, err = capsys.readouterr()
    text, name = out.split()
    assert name == str(path)
    assert "none.png" in err
    assert base64.b64decode(text) == pillow_lic.placeholder(scene(7))
    assert main(["placeholder", "--show", text, "-o", str(target), "--size", "30x20"]) == 0
    with Image.open(target) as im:
        assert im.size == (30, 20)
    assert main(["placeholder", "--show", text, "-o", str(target)]) == 1  # it is there
    assert main(["placeholder", "--show", "?", "-o", str(target)]) == 2
    assert main(["placeholder"]) == 2


def test_of_a_file_of_ours():
    buffer = io.BytesIO()
    scene(8).save(buffer, "LIC", model="toy")
    with Image.open(buffer) as im:
        assert len(pillow_lic.placeholder(im)) == 28


KEPT = "8326ba91e5879a3e967297b416323ea37a7c14bb1227ce9e63e02208"
SHOWN = [
    [[86, 186, 117], [69, 51, 195], [185, 37, 121], [151, 39, 194]],
    [[156, 181, 156], [128, 118, 154], [71, 122, 172], [170, 190, 154]],
    [[219, 215, 89], [166, 139, 38], [108, 70, 154], [216, 89, 146]],
    [[202, 128, 162], [80, 92, 76], [118, 110, 148], [88, 127, 192]],
]
