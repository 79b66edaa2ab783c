"""What is not worked for where little of a file is there; memory of large and of wide pictures."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from fresh import fresh
from hostile import forged
from saved_images import opened

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.codec import alpha, overlay
from pillow_lic.engines import native, pieces
from pillow_lic.engines.torch import engine as torch_engine
from pillow_lic.engines.torch import latents
from pillow_lic.models import registry
from pillow_lic.plugins import pixels as plugin


@pytest.mark.network
def test_missing_tiles_are_not_rendered(make_picture, monkeypatch):
    """One good tile: networks see it with its surroundings, not the picture; its pixels are what they were."""
    data = pillow_lic.encode(make_picture(2200, 2100), quality=3, model="toy", effort=0, screen="off")
    whole, chunks = pillow_lic.decode(data), container.read(data)
    area, render = [], native._core.Photo.render

    def watched(self, *given):
        top, left, bottom, right = given[4]
        area.append((bottom - top) * (right - left))
        return render(self, *given)

    monkeypatch.setattr(native._core.Photo, "render", watched)
    for there in ([8], [0, 1], [0, 3], [3, 4, 5], [4], list(range(8)), [0, 1, 2, 3, 6]):
        area.clear()
        symbols = native.NativeEngine().blank(chunks.header, registry.by_name("toy"))
        for tile in chunks.header.tiles():
            if tile.number in there:
                assert symbols.decode(tile, chunks.tiles[tile.number]) is None
            else:
                symbols.missing.append(tile)
        (arrival,) = native.NativeEngine().render([symbols])
        found, expected = np.asarray(arrival.value), np.full_like(whole, 128)
        for tile in chunks.header.tiles():
            if tile.number in there:
                part = tile.pixel_rows(chunks.header), tile.pixel_columns(chunks.header)
                expected[part] = whole[part]
        reach = 64 * 5
        inner = [tile for tile in chunks.header.tiles() if tile.number in there]
        for tile in inner:  # but for where a neighbour is missing, whose integers networks see
            rows, columns = tile.pixel_rows(chunks.header), tile.pixel_columns(chunks.header)
            part = slice(rows.start + reach, rows.stop - reach), slice(columns.start + reach, columns.stop - reach)
            assert (found[part] == expected[part]).all()
        assert (found[expected == 128] == 128).mean() > 0.99
        assert sum(area) <= sum(1024 * 1024 for _ in there) or sum(area) == whole.shape[0] * whole.shape[1]


@pytest.mark.network
def test_pytorch_skips_pieces_without_a_tile(make_picture, monkeypatch, on_torch):
    monkeypatch.setattr(pieces, "PIECE", 16)
    data = pillow_lic.encode(make_picture(600, 600), quality=3, model="toy", screen="off")
    chunks = container.read(data)
    header = dataclasses.replace(chunks.header, tile_side=4)  # of 256 pixels, as a piece
    seen, prior = [], latents.prior
    monkeypatch.setattr(latents, "prior", lambda *given: seen.append(given[2]) or prior(*given))
    engine = torch_engine.on("cpu")
    symbols = engine.blank(header, registry.by_name("toy"))
    symbols.z[...], symbols.r[...] = 0, 0
    symbols.missing += [tile for tile in header.tiles() if tile.number not in (0, 7)]
    (arrival,) = engine.render([symbols])
    assert [(piece.top, piece.left) for piece in seen] == [(0, 0), (32, 16)]
    assert (np.asarray(arrival.value)[:256, 256:] == 128).all()


@pytest.mark.network
def test_truncated_files_cost_what_is_there(tmp_path):
    """One good tile of 64 x 64 pixels in a picture of 17 megapixels (research: 137 bytes took 7 seconds)."""
    chunks = container.read(forged("photo-low", 4112, 4112))
    streams = [[bytes(16)]] * (len(chunks.tiles) - 1) + [chunks.tiles[-1].stages]
    small = container.write(chunks.header, streams)
    assert len(small) < 400
    (tmp_path / "a.lic").write_bytes(small)
    code = f"""
    import warnings
    from PIL import Image, ImageFile
    import pillow_lic
    pillow_lic.preload(models=["photo-low"], saving=False)
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    warnings.simplefilter("ignore")
    from pillow_lic.engines import native
    calls, render = [], native._core.Photo.render
    def watched(self, *given):
        calls.append(given[4])
        return render(self, *given)
    native._core.Photo.render = watched
    Image.open({str(tmp_path / "a.lic")!r}).load()
    print([tuple(box) for box in calls])
    """
    assert fresh(code) == "[(4096, 4096, 4112, 4112)]\n"


@pytest.mark.network
def test_wide_pictures_take_no_memory_for_their_width(tmp_path):
    """16 x 131072 pixels took 620 MB, all of it rows."""
    (tmp_path / "a.lic").write_bytes(forged("photo-low", 16, 131072))
    code = f"""
    import resource
    from PIL import Image
    import pillow_lic
    pillow_lic.preload(models=["photo-low"], saving=False)
    pillow_lic.set_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    Image.open({str(tmp_path / "a.lic")!r}).load()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    assert int(fresh(code)) < 120_000


@pytest.mark.network
@pytest.mark.parametrize("shape", [(40, 16400, 3), (24, 9000)])
def test_wide_pictures_have_no_seams(shape):
    """What is rendered in parts side by side is what the whole is; rendering an area shows the same pixels."""
    pixels = np.random.default_rng(3).integers(0, 256, shape, np.uint8)
    data = pillow_lic.encode(pixels, model="toy", quality=60, screen="off", effort=0)
    whole, chunks = pillow_lic.decode(data), container.read(data)
    symbols = native.NativeEngine().blank(chunks.header, registry.by_name("toy"))
    for tile in chunks.header.tiles():
        assert symbols.decode(tile, chunks.tiles[tile.number]) is None
    for left in (0, 4000, 8100, shape[1] - 600):
        area = container.Area(slice(0, shape[0]), slice(left, left + 600))
        (arrival,) = native.NativeEngine().render([symbols], area=area)
        assert (np.asarray(arrival.value) == whole[:, left : left + 600]).all()


# ---- Memory of large pictures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(101, 37, 3), (1, 50, 3), (64, 64), (257, 3)])
def test_samples_move_bit_by_bit(shape, monkeypatch):
    monkeypatch.setattr(plugin, "_LARGE", 100)
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    memory = bytearray(pixels.tobytes())
    image = plugin._moved(memory, "RGB" if len(shape) == 3 else "L", (shape[1], shape[0]))
    assert (np.asarray(image) == pixels).all()
    assert not memory


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA"])
def test_large_pictures_are_what_small_ones_are(mode, image, monkeypatch):
    buffer = io.BytesIO()
    im = image(mode)
    im.save(buffer, "LIC", quality=40, screen="off")
    plain = opened(buffer.getvalue())
    plain.load()
    for module, name in ((plugin, "_LARGE"), (alpha, "STRIP"), (overlay, "STRIP")):
        monkeypatch.setattr(module, name, 1000)
    assert opened(buffer.getvalue()).tobytes() == plain.tobytes()


def test_painting_in_strips(monkeypatch):
    """Rectangles of every method over a picture, invisible pixels: in one go and in strips."""
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (90, 110, 4), np.uint8)
    pixels[20:70, 30:80, :3] = rng.integers(0, 2, (50, 50, 1)) * 255
    pixels[..., 3] = np.where(rng.random((90, 110)) < 0.3, 0, 255)
    data = pillow_lic.encode(pixels, quality=50)
    whole = pillow_lic.decode(data)
    monkeypatch.setattr(alpha, "STRIP", 700)
    monkeypatch.setattr(overlay, "STRIP", 700)
    assert (pillow_lic.decode(data) == whole).all()


def test_lossless_parts_are_small_enough_for_readers_of_webp(monkeypatch):
    monkeypatch.setattr(overlay, "WEBP_PIXELS_MAX", 3000)
    pixels = np.random.default_rng(4).integers(0, 9, (100, 120, 3), np.uint8)
    data = pillow_lic.encode(pixels, lossless=True)
    assert [one.width * one.height for one in container.read(data).overlay] == [3000, 3000, 3000, 3000]
    assert (pillow_lic.decode(data) == pixels).all()


def test_large_webp_is_refused_by_name():
    side = 3000
    mark = 0x2F | (side - 1) << 8 | (side - 1) << 22
    data = mark.to_bytes(5, "little")
    header = container.Header.of_overlay(side, side, "RGB")
    with pytest.raises(errors.LicBadOption, match="8388608 pixels"):
        container.write(header, [], overlay=[container.Rectangle(0, 0, side, side, container.overlay.WEBP, data)])
