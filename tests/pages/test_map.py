"""`lic map`, and the bits that it draws: they are those of the file, and they lie where the detail is."""

from __future__ import annotations

import chromium
import numpy as np
import pytest
from commands import lic
from PIL import Image

import pillow_lic
from pillow_lic import container
from pillow_lic.cli import DONE, FAILED, USAGE, map
from pillow_lic.codec import cost, encode
from pillow_lic.container.cut import cut

MODELS = ("toy", "photo", "photo-low", "gdn-mixture")


def half_busy(height=150, width=230) -> np.ndarray:
    """Smooth on the left, blocks of 8 pixels on the right."""
    rows, columns = np.mgrid[0:height, 0:width]
    smooth = np.stack([rows / 2, columns / 3, (rows + columns) / 4], -1)
    blocks = np.random.default_rng(0).uniform(-90, 90, (height // 8 + 1, width // 8 + 1, 3))
    busy = blocks[rows // 8, columns // 8] * (columns >= width // 2)[..., None]
    return np.clip(smooth + busy + 60, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_bits_are_those_of_the_file(model, progressive, monkeypatch):
    if progressive and model == "gdn-mixture":
        pytest.skip("mixtures have no stages")
    monkeypatch.setattr(encode, "TILE_SIDE", 1)  # several tiles, cut at both ends
    quality = 15 if model == "photo-low" else 60
    data = encode.encode(half_busy(), model=model, quality=quality, effort=0, screen="off", progressive=progressive)
    spent = cost.spent(data)
    chunks = container.read(data)
    assert spent.tiles == sum(len(stage) for stream in chunks.tiles for stage in stream.stages)
    assert spent.tiles + spent.rest == len(data)
    assert spent.bits.shape == (150, 230)
    drawn, own = spent.bits.sum() / 8, 16 * len(chunks.tiles)  # of each tile: four states
    assert 0.97 * (spent.tiles - own) < drawn < 1.01 * spent.tiles
    assert spent.bits[:, 130:].mean() > 2 * spent.bits[:, :100].mean()


def test_cut_files_have_no_more_than_is_there():
    data = encode.encode(half_busy(), model="photo", quality=60, effort=0, screen="off", progressive=True)
    part = cut(data, size=len(data) // 2)
    spent = cost.spent(part)
    assert 0.5 * spent.tiles < spent.bits.sum() / 8 <= 1.001 * spent.tiles
    assert spent.tiles < 0.6 * cost.spent(data).tiles


def test_rectangles_have_their_own(make_picture):
    array = make_picture(64, 96)
    data = pillow_lic.encode(array, lossless=True)
    spent = cost.spent(data)
    assert spent.tiles == 0
    assert spent.bits.sum() == pytest.approx(8 * spent.rectangles, rel=1e-4)
    assert (spent.bits == spent.bits[0, 0]).all()


def test_symbols_cost_what_the_core_says():
    """z by the tables here, r by the core: the former against the latter, over rows that both know."""
    from pillow_lic.models import registry

    model = registry.by_name("toy")
    rows = np.arange(model.tables.skip, model.tables.scale_rows, dtype=np.int64)[:, None]
    levels = np.arange(-30, 31)
    mine = cost._of_symbols(
        model.arrays, np.broadcast_to(rows, (len(rows), 61)), np.broadcast_to(levels, (len(rows), 61))
    )
    latent = model.tables.latent
    for row, level in ((0, 0), (5, -3), (len(rows) // 2, 30), (len(rows) - 1, 1)):
        r = np.zeros((latent, 1), np.int16)
        index = np.full((latent, 1), model.tables.skip + row, np.uint8)
        base = model.tables.price(r, index) / latent
        r[0] = level
        assert model.tables.price(r, index) - base * (latent - 1) == pytest.approx(mine[row, level + 30], abs=1e-3)


def test_command(tmp_path, capsys):
    path = tmp_path / "a.lic"
    path.write_bytes(encode.encode(half_busy(), model="toy", quality=60, screen="off"))
    assert lic("map", path) == DONE
    said = capsys.readouterr().out
    assert "a.bits.png: black is 0" in said
    assert f"tiles {cost.spent(path.read_bytes()).tiles}," in said
    with Image.open(tmp_path / "a.bits.png") as image:
        assert image.size == (230, 150)
        grey = np.asarray(image.convert("L"), float)
    assert grey[:, 130:].mean() > 2 * grey[:, :100].mean()
    assert grey.max() > 240
    assert lic("map", path) == USAGE
    assert lic("map", path, "-f", "--max", "1000") == DONE
    with Image.open(tmp_path / "a.bits.png") as image:
        assert np.asarray(image.convert("L")).max() < 40
    for wrong in ("0", "-1", "nan", "x"):
        assert lic("map", path, "-f", f"--max={wrong}") == USAGE
    assert lic("map", path, "-o", tmp_path / "a.nothing") == USAGE


def test_damaged_and_foreign_files(tmp_path, capsys):
    path = tmp_path / "a.lic"
    data = bytearray(encode.encode(half_busy(), model="toy", screen="off"))
    path.write_bytes(data[:-20])
    assert lic("map", path) == FAILED
    assert "fetch the file again" in capsys.readouterr().err
    path.write_bytes(b"no picture")
    assert lic("map", path) == FAILED
    assert lic("map", tmp_path / "none.lic") == FAILED
    assert [one.name for one in tmp_path.iterdir()] == ["a.lic"]


def test_heat_rises():
    image = np.asarray(map.heated(np.linspace(0, 2, 256, dtype=np.float32)[None], 2.0).convert("L"), int)[0]
    assert (np.diff(image) >= 0).all()
    assert np.asarray(map.heated(np.zeros((2, 2), np.float32), 0.0)).max() <= 4  # of a file without any bits


def test_compare_shows_them(tmp_path):
    """Turned as the picture is, and within the area."""
    picture = Image.fromarray(half_busy())
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.png", exif=exif)
    picture.save(tmp_path / "a.lic", model="toy", quality=60, screen="off", exif=exif)
    out, area = tmp_path / "page.html", ("--area", "10,20,100,200")
    command = ("compare", tmp_path / "a.png", tmp_path / "a.lic", "-o", out, "--measures", "none", *area)
    assert lic(*command) == DONE
    if why := chromium.reason():
        pytest.skip(why)
    with chromium.Browser() as browser:
        tab = browser.open(out.as_uri(), "document.body && document.body.dataset.ready === 'yes'")
        tab.press("b")
        code = "[...document.getElementById('picture').getContext('2d').getImageData(0, 0, 100, 200).data]"
        shown = np.array(tab.run(code), np.uint8).reshape(200, 100, 4)[..., :3]
    bits = cost.spent((tmp_path / "a.lic").read_bytes()).bits
    turned = np.asarray(map.heated(np.rot90(bits, -1), float(bits.max())))
    assert (shown == turned[20:220, 10:110]).all()
