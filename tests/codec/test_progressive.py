"""Files in stages, files that are cut, and quality maps, by the toy models: what is shown of them, and what is said.

The container's part is in tests/container, the coder's in tests/core/test_stages.py.
"""

from __future__ import annotations

import dataclasses
import io
import warnings
from pathlib import Path

import numpy as np
import pytest
import slow_decoder as slow
from commands import lic
from pictures import picture
from PIL import Image, ImageFile
from shortcuts import mapped, nothing_registered, symbols, written  # noqa: F401

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.cli import DONE, USAGE
from pillow_lic.codec import encode as encode_module
from pillow_lic.codec.decode import decode_symbols
from pillow_lic.container.cut import cut
from pillow_lic.engines import choice
from pillow_lic.engines.base import SHARES
from pillow_lic.models import registry

pytestmark = pytest.mark.network

TRELLIS = Path(__file__).parents[1] / "golden" / "models" / "toy-trellis"
FOLDERS = {"toy": Path(pillow_lic.__file__).parent / "models" / "toy", "toy-trellis": TRELLIS}


@pytest.fixture(params=FOLDERS)
def model(request, nothing_registered) -> str:  # noqa: F811
    """A model of either kind of residuals."""
    return request.param if request.param == "toy" else pillow_lic.register_model(TRELLIS)


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(encode_module, "TILE_SIDE", 1)


def staged(seed: int = 3, **options) -> bytes:
    """A file of six tiles, where tiles are small."""
    options = {"model": "toy", "quality": 70, "effort": 0, "progressive": True} | options
    return pillow_lic.encode(picture(100, 150, seed=seed), **options)


def end_of_stage(data: bytes, stage: int) -> int:
    """Where in the file it ends, of all tiles."""
    tiles, head = container.read(data).tiles, container.read_head(data)
    last = head.chunk("T")
    behind = sum(len(part) for tile in tiles for part in tile.stages[stage + 1 :])
    return last.offset + last.length - behind - 2 * (head.header.stage_count - 1 - stage)


def error_of(array: np.ndarray, quality: int, data: bytes, **options) -> float:
    found = pillow_lic.decode(data, **options)
    return float(np.square(found.astype(float) - array).mean())


# ---- Files in stages -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("effort", [0, 2])
def test_a_progressive_file(model, engine, effort, small_tiles):
    """Its stages begin where the model says, and the second decoder reads it."""
    data = staged(model=model, effort=effort)
    header = container.read(data).header
    z, r = symbols(data)
    core = registry.by_name(model).core
    assert header.thresholds == core.stages(header.quality_q, z, header.latent_grid, SHARES)
    assert 2 <= header.stage_count <= 4
    assert not header.cut
    for tile, (tile_z, tile_r) in zip(header.tiles(), slow.decode_symbols(data, FOLDERS[model])):
        assert np.array_equal(z[(slice(None), *tile.hyper)], tile_z)
        assert np.array_equal(r[(slice(None), *tile.latent)], tile_r)
    plain = staged(model=model, effort=effort, progressive=None)
    assert container.read(plain).header.stage_count == 1
    assert np.array_equal(symbols(plain)[0], z)
    assert len(data) < 1.2 * len(plain) + 60 * 4


def test_the_order_costs_nothing_but_order(engine):
    """Of plain residuals the symbols are the same; of a trellis pixels are as near as without stages."""
    array, name = picture(100, 150, seed=3), pillow_lic.register_model(TRELLIS)
    for effort in (0, 2):
        assert all(
            np.array_equal(*pair) for pair in zip(*(symbols(staged(effort=effort, progressive=p)) for p in (0, 1)))
        )
    errors_of = [error_of(array, 70, staged(model=name, progressive=wanted)) for wanted in (False, True)]
    assert errors_of[1] == pytest.approx(errors_of[0], rel=0.1)


def test_progressive_options():
    for wrong in (2, "yes", 0.5):
        with pytest.raises(errors.LicBadOption, match="progressive"):
            staged(progressive=wrong)
    with pytest.raises(errors.LicBadOption, match="mixtures"):
        staged(model="gdn-mixture", progressive=True)
    data = io.BytesIO()
    Image.fromarray(picture(64, 64, seed=2)).save(data, "LIC", model="toy", progressive=True)
    assert container.read(data.getvalue()).header.stage_count > 1


# ---- Cut on purpose --------------------------------------------------------------------------------------------------


def test_each_stage_is_nearer(model, small_tiles):
    """And a file that is cut at a stage shows what the whole one shows as far as there."""
    array, data = picture(100, 150, seed=3), staged(model=model)
    count, shown = container.read(data).header.stage_count, []
    for stages in range(1, count + 1):
        part = cut(data, stages=stages)
        container.verify(part)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            shown.append(error_of(array, 70, part))
            found = pillow_lic.decode(part)
        assert np.array_equal(found, slow.decode(part, FOLDERS[model]))
        if stages < count:
            with pytest.warns(UserWarning, match="coarsely"):
                broken = pillow_lic.decode(data[: end_of_stage(data, stages - 1)], truncated=True)
            assert np.array_equal(found, broken)
    assert shown == sorted(shown, reverse=True)
    assert shown[0] > 1.5 * shown[-1]


def test_cut_to_a_size(model, engine, small_tiles):
    """Every size from the least on gives a file, and it shows what the second decoder says."""
    data = staged(model=model)
    least = len(cut(data, stages=1))
    for size in (least - 60, least, (least + len(data)) // 2, len(data) - 1):
        part = cut(data, size=size)
        assert len(part) <= size
        assert size - len(part) < 40  # steps of a word in each of six tiles, and of their lengths
        container.verify(part)
        z, r = symbols(part)
        for tile, (tile_z, tile_r) in zip(
            container.read(part).header.tiles(), slow.decode_symbols(part, FOLDERS[model])
        ):
            assert np.array_equal(z[(slice(None), *tile.hyper)], tile_z)
            assert np.array_equal(r[(slice(None), *tile.latent)], tile_r)
        assert pillow_lic.decode(part).shape == (100, 150, 3)


def test_only_a_file_that_says_so_may_break_off():
    """The same stages under a header without `cut` are refused."""
    data = staged()
    part = container.read(cut(data, stages=1))
    with pytest.raises(errors.LicCorruptTile, match="tile 0"):
        pillow_lic.decode(written(part, cut=False))
    assert pillow_lic.decode(written(part)).shape == (100, 150, 3)


def test_metadata_stays():
    data = pillow_lic.encode(
        picture(80, 90, 4, seed=1), model="toy", progressive=True, exif=b"II*\0\x08\0\0\0\0\0\0\0\0\0", xmp=b"<x/>"
    )
    part = cut(data, stages=1)
    whole, found = container.read(data), container.read(part)
    for name in ("exif", "xmp", "alpha", "icc", "map"):
        assert getattr(found, name) == getattr(whole, name)
    assert np.array_equal(pillow_lic.decode(part)[..., 3], pillow_lic.decode(data)[..., 3])


# ---- Broken off ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("progressive", [False, True])
def test_what_is_there_is_shown_when_asked(progressive, engine):
    """A cut file of one stage or several, a third of its stream missing: no grey, and no error without a warning."""
    array, data = picture(100, 150, seed=3), staged(progressive=progressive)
    broken = data[: len(data) * 2 // 3]
    with pytest.raises(errors.LicTruncated, match="stages are whole" if progressive else "no more data"):
        pillow_lic.decode(broken)
    with pytest.warns(UserWarning, match="1 of 1 tiles are shown as coarsely"):
        far = error_of(array, 70, broken, truncated=True)
    assert error_of(array, 70, data) < far < array.var()


def test_pillow_shows_it_too(monkeypatch):
    data = staged()
    broken = data[: len(data) * 2 // 3]
    with pytest.raises(errors.LicTruncated), Image.open(io.BytesIO(broken)) as im:
        im.load()
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with Image.open(io.BytesIO(broken)) as im, pytest.warns(UserWarning, match="coarsely"):
        im.load()
    with pytest.warns(UserWarning, match="coarsely"):
        assert np.array_equal(np.asarray(im), pillow_lic.decode(broken, truncated=True))
    with pytest.raises(errors.LicTruncated, match=r"\d of \d stages are whole"):
        Image.open(io.BytesIO(broken)).verify()


def test_every_cut_of_a_file_is_shown(small_tiles):
    """With as many bytes as there are: nothing but named errors and pixels of the right shape."""
    data = staged(quality=30)
    first = container.read_head(data).chunk("T").offset
    for size in range(first, len(data), 23):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = pillow_lic.decode(data[:size], truncated=True)
        assert found.shape == (100, 150, 3)
        assert caught or size >= len(data) - 4  # the last checksum
        assert all("grey" in str(one.message) or "coarsely" in str(one.message) for one in caught)


@pytest.mark.parametrize("stage", [1, 2])
def test_a_damaged_stage_costs_its_tile_alone(stage, engine, small_tiles):
    """It shows the stages before that; all other tiles, which are right, are whole."""
    data = staged()
    place = end_of_stage(data, stage) - 3
    damaged = data[:place] + bytes([data[place] ^ 64]) + data[place + 1 :]
    with pytest.raises(errors.LicCorruptChunk):
        pillow_lic.decode(damaged)
    with pytest.warns(UserWarning, match="1 of 6 tiles are shown as coarsely"):
        pillow_lic.decode(damaged, truncated=True)
    chunks = container.read(damaged, truncated=True)
    (hurt,) = [k for k, tile in enumerate(container.read(data).tiles) if chunks.tiles[k].stages != tile.stages]
    z, r, missing = decode_symbols(chunks, truncated=True)
    assert not missing
    whole, kept = symbols(data), symbols(cut(data, stages=stage))
    for k, tile in enumerate(chunks.header.tiles()):
        wanted = kept if k == hurt else whole
        assert np.array_equal(z[(slice(None), *tile.hyper)], wanted[0][(slice(None), *tile.hyper)])
        assert np.array_equal(r[(slice(None), *tile.latent)], wanted[1][(slice(None), *tile.latent)])


def test_a_damaged_first_stage_is_grey(small_tiles):
    data = staged()
    header = container.read_head(data).header
    place = container.read_head(data).chunk("T").offset + 60
    damaged = data[:place] + bytes([data[place] ^ 64]) + data[place + 1 :]
    with pytest.warns(UserWarning, match="1 of 6 tiles are painted grey"):
        shown = pillow_lic.decode(damaged, truncated=True)
    painted = [(shown[tile.pixel_rows(header), tile.pixel_columns(header)] == 128).all() for tile in header.tiles()]
    assert sum(painted) == 1


# ---- Quality maps ----------------------------------------------------------------------------------------------------


SHIFT = np.array([[0, 6, -7], [-32, 20, 1]], np.int8)


@pytest.mark.parametrize("effort", [0, 2])
def test_a_quality_map_beside_the_slow_decoder(model, effort, small_tiles):
    """Pixels of the native engine are those of the document."""
    data = mapped(model, SHIFT, effort, progressive=True)
    assert container.read(data).map == SHIFT.tobytes()
    assert np.array_equal(pillow_lic.decode(data), slow.decode(data, FOLDERS[model]))


def test_a_quality_map_on_both_engines(model, monkeypatch):
    """Symbols made by either are decoded by both, to within a level."""
    monkeypatch.setenv("PILLOW_LIC_PRECISION", "float32")
    for maker in ("auto", "torch"):
        monkeypatch.setenv(choice.ENGINE_VARIABLE, maker)
        data, shown = mapped(model, SHIFT), []
        for reader in ("auto", "torch"):
            monkeypatch.setenv(choice.ENGINE_VARIABLE, reader)
            shown.append(pillow_lic.decode(data).astype(int))
        assert np.abs(shown[0] - shown[1]).max() <= 1


def test_finer_is_finer(engine):
    """Blocks get what their value says; a map of zeros changes no symbol."""
    array = picture(120, 150, seed=5)
    level, finer, coarser = (mapped("toy", np.full((2, 3), k, np.int8)) for k in (0, 8, -8))
    assert all(np.array_equal(*pair) for pair in zip(symbols(level), symbols(written(container.read(level)))))
    plain = pillow_lic.encode(array, model="toy", quality=60, effort=0)
    assert all(np.array_equal(*pair) for pair in zip(symbols(level), symbols(plain)))
    assert len(coarser) < 0.9 * len(level) < 0.9 * 0.9 * len(finer)
    errors_of = [error_of(array, 60, data) for data in (finer, level, coarser)]
    assert errors_of == sorted(errors_of)
    half = mapped("toy", np.array([[12, 12, -12], [12, 12, -12]], np.int8))
    far = np.square(pillow_lic.decode(half).astype(float) - array).mean((0, 2))
    plainly = np.square(pillow_lic.decode(level).astype(float) - array).mean((0, 2))
    assert far[:100].mean() < plainly[:100].mean()
    assert far[140:].mean() > plainly[140:].mean()


def test_maps_that_do_not_fit():
    data = mapped("toy", SHIFT)
    chunks = container.read(data)
    with pytest.raises(errors.LicBadOption, match="quality map"):
        written(dataclasses.replace(chunks, map=bytes(5)))
    with pytest.raises(errors.LicCorruptTile):  # the index is another without it
        pillow_lic.decode(written(dataclasses.replace(chunks, map=None)))


def test_command(tmp_path, capsys):
    data = pillow_lic.encode(picture(256, 256), model="toy", quality=90, progressive=True, screen="off")
    (tmp_path / "a.lic").write_bytes(data)
    assert lic("cut", tmp_path / "a.lic", "--size", "0.8k") == DONE
    short = (tmp_path / "a.cut.lic").read_bytes()
    assert 790 < len(short) <= 800 < len(data)
    assert pillow_lic.decode(short).shape == (256, 256, 3)
    assert lic("cut", tmp_path / "a.lic", "--layers", "2", "-o", tmp_path / "b.lic") == DONE
    assert (tmp_path / "b.lic").read_bytes() == cut(data, stages=2)
    capsys.readouterr()
    assert lic("cut", tmp_path / "a.lic", "--stages", "2") == USAGE
    assert "--force" in capsys.readouterr().err
    assert lic("cut", tmp_path / "a.lic", "--stages", "9", "-f") == USAGE
    assert "has 4" in capsys.readouterr().err
    for wrong in ("x", "5ki5", "-3"):
        assert lic("cut", tmp_path / "a.lic", f"--size={wrong}") == USAGE
