"""Quality maps from regions, importance and even quality, by the toy model."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from pictures import picture
from PIL import Image

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.cli import main as lic
from pillow_lic.codec import detect, regions
from pillow_lic.codec.pipeline import Item, encode_many
from pillow_lic.container import Header

pytestmark = pytest.mark.network


def encoded(array, **options) -> bytes:
    return pillow_lic.encode(array, model="toy", quality=60, screen="off", effort=0, **options)


def rows(data: bytes) -> np.ndarray | None:
    chunks = container.read(data)
    return None if chunks.map is None else np.frombuffer(chunks.map, np.int8).reshape(chunks.header.hyper_grid)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(65025 / np.mean((a.astype(float) - b) ** 2)))


@pytest.fixture(scope="module")
def busy() -> np.ndarray:
    return picture(330, 460, seed=3)


def test_region_is_as_good_and_the_rest_is_not(busy):
    data, whole = encoded(busy, roi=(128, 64, 320, 256), background=-30), encoded(busy)
    assert len(data) < 0.9 * len(whole)
    inside, outside = np.s_[80:240, 144:304], np.s_[:, :40]
    seen, plain = pillow_lic.decode(data), pillow_lic.decode(whole)
    assert psnr(busy[inside], seen[inside]) > psnr(busy[inside], plain[inside]) - 0.2
    assert psnr(busy[outside], seen[outside]) < psnr(busy[outside], plain[outside]) - 0.2
    found = rows(data)
    assert found.shape == (6, 8)
    assert not found[1:4, 2:5].any()
    away = round(-30 * regions.ROWS_POINT)
    assert found[0, 0] == away == found[5, 7]
    assert found[0, 2] == round(away / 2)  # beside the region


def test_forms_of_one_region(busy):
    box = (128, 64, 320, 256)
    mask = np.zeros(busy.shape[:2], np.uint8)
    mask[64:256, 128:320] = 255
    files = [
        encoded(busy, roi=what)
        for what in (box, [box], mask, mask > 0, mask / 255, mask[..., None], Image.fromarray(mask))
    ]
    assert len(set(files)) == 1
    assert rows(encoded(busy, roi=[box, (0, 0, 1, 1)]))[0, 0] == 0


def test_masks_of_other_sizes_are_stretched():
    header = Header.of_overlay(460, 330, "RGB")
    for h, w in ((1, 1), (3, 2), (6, 8), (64, 64), (330, 460), (999, 1201)):
        values = np.random.default_rng(h).integers(0, 256, (h, w), np.uint8)
        mask = regions._mask("roi", values)
        most, mean = (regions._blocks(mask, header, how) for how in (np.maximum, np.add))
        for i, j in np.ndindex(6, 8):
            top, left = 64 * i * h // 330, 64 * j * w // 460
            bottom = max(-(-min(64 * i + 64, 330) * h // 330), top + 1)
            right = max(-(-min(64 * j + 64, 460) * w // 460), left + 1)
            assert most[i, j] == values[top:bottom, left:right].max()
            assert mean[i, j] == pytest.approx(values[top:bottom, left:right].mean())


def test_a_region_of_everything_is_no_map(busy):
    assert encoded(busy, roi=(0, 0, 10**6, 10**6)) == encoded(busy)
    assert encoded(busy, importance=np.full((2, 2), 128, np.uint8)) == encoded(busy)


def test_importance(busy):
    stated = np.zeros((1, 2), np.uint8)
    stated[0, 1] = 255
    found = rows(encoded(busy, importance=stated))
    assert (found[:, 0] == -regions.COARSER).all()
    assert (found[:, 7] == regions.FINER).all()
    calm = busy.copy()
    calm[:, :230] = 100
    found = rows(encoded(calm, importance="auto"))
    assert (found[:, :3] > 0).all()
    assert (found[:, 5:] < 0).all()
    assert container.read(pillow_lic.encode(calm, importance="auto", effort=0)).map is None  # that tune does so itself


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (8, 8), (65, 63), (200, 5)])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_odd_pictures(size, bands):
    array = (
        picture(*size, bands, seed=1)
        if bands in (1, 3)
        else np.dstack([picture(*size, bands - 1, seed=1), np.full(size, 99, np.uint8)])
    )
    for options in ({"importance": "auto"}, {"uniform": True}, {"roi": (0, 0, 1, 1)}):
        assert pillow_lic.decode(encoded(array, **options)).shape[:2] == size


def test_even_quality():
    array = picture(256, 256, seed=4)
    array[:128] = array[:128] // 16 + 100
    errors_of = [regions._block_errors(array, pillow_lic.decode(encoded(array, **o))) for o in ({}, {"uniform": True})]
    plain, even = (np.log2(one).std() for one in errors_of)
    assert even < 0.75 * plain


def test_errors_of_blocks():
    a = np.random.default_rng(0).integers(0, 256, (70, 130, 3), np.uint8)
    b = np.random.default_rng(1).integers(0, 256, (70, 130, 3), np.uint8)
    found = regions._block_errors(a, b)
    assert found.shape == (2, 3)
    assert found[1, 2] == pytest.approx(np.mean((a[64:, 128:].astype(float) - b[64:, 128:]) ** 2), rel=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"background": -3},
        {"roi": (0, 0, 1, 1), "background": 3},
        {"roi": (0, 0, 1, 1), "background": "low"},
        {"roi": (5, 5, 5, 9)},
        {"roi": (500, 0, 600, 9)},
        {"roi": []},
        {"roi": [(0, 0, 1, 1)] * (regions.BOXES_MAX + 1)},
        {"roi": [(0, 0, 1)]},
        {"roi": "cats"},
        {"roi": np.zeros((2, 2, 3), np.uint8)},
        {"roi": np.zeros((0, 2), np.uint8)},
        {"roi": np.full((2, 2), 2.0)},
        {"roi": np.zeros((2, 2), np.int32)},
        {"importance": "much"},
        {"uniform": 3},
        {"uniform": True, "importance": "auto"},
    ],
)
def test_refusals(options, busy):
    with pytest.raises(errors.LicBadOption):
        encoded(busy, **options)


def test_lossless_has_no_regions(busy):
    with pytest.raises(errors.LicBadOption, match="lossless"):
        pillow_lic.encode(busy, lossless=True, roi=(0, 0, 9, 9))


def test_many_pictures_share_options(busy):
    jobs = [Item(k, busy) for k in range(3)]
    mask = np.zeros((4, 4), bool)
    mask[0] = True
    found = dict(encode_many(jobs, model="toy", quality=60, screen="off", roi=mask, effort=0))
    assert set(found.values()) == {encoded(busy, roi=mask)}


def test_command(tmp_path, busy, capsys):
    Image.fromarray(busy).save(tmp_path / "a.png")
    mask = Image.new("L", (460, 330))
    mask.paste(255, (128, 64, 320, 256))
    mask.save(tmp_path / "mask.png")
    command = ["encode", str(tmp_path / "a.png"), "-f", "-m", "toy", "-q", "60", "-e", "0", "--screen", "off", "--roi"]
    for region in ("128,64,192,192", str(tmp_path / "mask.png")):
        assert lic([*command, region]) == 0
        assert (tmp_path / "a.lic").read_bytes() == encoded(busy, roi=(128, 64, 320, 256))
    for wrong in ("1,2,3", str(tmp_path / "none.png")):
        assert lic([*command, wrong]) == 2
    capsys.readouterr()


# ---- Regions that are looked for ----------------------------------------------------------------------------------


def lines_of_text(array: np.ndarray) -> np.ndarray:
    """Two lines of dark letters on a light ground, at the left, from row 64 to 128."""
    from PIL import ImageDraw, ImageFont

    image = Image.fromarray(array)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 64, 255, 127), fill=(240, 235, 230))
    font = ImageFont.load_default(22)
    draw.text((8, 68), "Prices from 19.90 a night", fill=(20, 20, 40), font=font)
    draw.text((8, 96), "Breakfast at half past six", fill=(20, 20, 40), font=font)
    return np.asarray(image)


def test_text_is_found():
    from skimage.data import chelsea

    photograph = chelsea()[:256, :384]
    assert rows(pillow_lic.encode(photograph, model="toy", roi="text", screen="off", effort=0)) is None
    found = rows(pillow_lic.encode(lines_of_text(photograph), model="toy", roi="text", screen="off", effort=0))
    assert (found[1, :3] == 0).all()
    assert (found[3] < -3).all()
    assert (found[:, 5] < -3).all()


def test_a_face_is_found():
    data = pytest.importorskip("skimage.data")
    found = rows(pillow_lic.encode(data.astronaut(), model="toy", roi="faces", screen="off", effort=0))
    assert (found[1:2, 3:4] == 0).all()
    assert found.min() < -3
    assert rows(pillow_lic.encode(data.coffee(), model="toy", roi="faces", screen="off", effort=0)) is None
    assert pillow_lic.encode(np.zeros((1, 1, 3), np.uint8), model="toy", roi="faces", effort=0)


def test_faces_want_a_package(monkeypatch, busy):
    monkeypatch.setitem(sys.modules, "skimage.feature", None)
    with pytest.raises(errors.LicPackageMissing, match=r"pillow-lic\[machine\]"):
        pillow_lic.encode(busy, model="toy", roi="faces", screen="off")


def test_boxes_of_strokes_are_those_of_any_size():
    for shape in ((1, 1, 3), (17, 300, 3), (16, 16, 3)):
        assert detect.boxes("text", np.full(shape, 77, np.uint8), 255) == ()
