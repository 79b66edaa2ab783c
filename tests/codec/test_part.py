"""A box of a picture: equal to the crop of the whole, and as little of the file is read as it takes."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.codec.decode import _margin

BOXES = [(0, 0, 1, 1), (5, 3, 90, 60), (60, 40, 300, 70), (250, 0, 256, 64), (199, 63, 330, 131), (0, 0, 330, 131)]


def tiled(array: np.ndarray, tile_side: int = 1, **options) -> bytes:
    """A file of tiles of so many times 64 pixels; encoders write larger ones."""
    from pillow_lic.codec import encode

    before, encode.TILE_SIDE = encode.TILE_SIDE, tile_side
    try:
        return pillow_lic.encode(array, **{"model": "toy", "quality": 60} | options)
    finally:
        encode.TILE_SIDE = before


class Counted(io.BytesIO):
    """Counts the bytes that are read."""

    read_bytes = 0

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        self.read_bytes += len(found)
        return found


@pytest.mark.parametrize("shape", [(131, 330), (131, 330, 2), (131, 330, 3), (131, 330, 4)])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"tile_side": 2}])
def test_boxes_are_crops(make_picture, shape, options):
    array = make_picture(*shape[:2], shape[2] if len(shape) == 3 else 1)
    if array.ndim == 3 and array.shape[2] in (2, 4):
        array[40:100, 50:280, -1] = 0  # drawn in one colour
    data = tiled(array, **options)
    whole = pillow_lic.decode(data)
    for left, top, right, bottom in BOXES:
        found = pillow_lic.decode(data, box=(left, top, right, bottom))
        assert np.array_equal(found, whole[top:bottom, left:right])


def test_boxes_of_a_map(make_picture):
    """A quality map is cut with its tiles."""
    from dataclasses import replace

    from pillow_lic.codec.encode import NO_METADATA, Encoding
    from pillow_lic.codec.options import EncodeOptions

    job = Encoding(make_picture(131, 330), EncodeOptions(model="toy", quality=60, effort=0).checked(), NO_METADATA)
    job.begin()
    header = replace(job.picture.header, tile_side=1)
    rows = bytes(np.random.default_rng(5).integers(-7, 4, header.hyper_grid.rows * header.hyper_grid.columns, np.int8))
    job.header, job.picture = header, replace(job.picture, header=header, shift=rows)
    data = job.end(job.run([job])[0])
    whole = pillow_lic.decode(data)
    for left, top, right, bottom in BOXES:
        assert np.array_equal(pillow_lic.decode(data, box=(left, top, right, bottom)), whole[top:bottom, left:right])


@pytest.mark.network
@pytest.mark.parametrize(
    "options", [{}, {"roi": (300, 200, 640, 500)}, {"tile_side": 4}, {"tile_side": 4, "roi": (0, 0, 300, 300)}]
)
def test_no_more_is_held_than_a_box_depends_on(make_picture, options):
    """What is dropped of its tiles makes no difference, wherever it begins and ends."""
    from pillow_lic.codec.decode import Decoding, read
    from pillow_lic.codec.decode_options import DecodeOptions

    data = tiled(make_picture(710, 905), **({"tile_side": 16} | options), effort=0, screen="off")
    whole = pillow_lic.decode(data)
    for box in ((0, 0, 20, 30), (450, 333, 480, 350), (885, 690, 905, 710), (3, 400, 905, 401), (500, 0, 501, 710)):
        left, top, right, bottom = box
        assert np.array_equal(pillow_lic.decode(data, box=box), whole[top:bottom, left:right])
        checked = DecodeOptions(box=box).checked()
        job = Decoding(read(data, checked), checked)
        job.begin()
        halo = 16 * job.model.manifest.halo
        most = (right - left + 2 * halo + 2 * 64) * (bottom - top + 2 * halo + 2 * 64) / 256 * job.model.manifest.latent
        assert len(job.symbols.r) <= 2 * most
        job.run([job])


@pytest.mark.network
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_boxes_of_rectangles(make_picture, bands):
    """Exact rectangles over the networks' picture, in it, at its edges, before it."""
    from pillow_lic.codec import overlay

    array = make_picture(131, 330, bands)
    chunks = container.read(tiled(array))
    colour = array[..., None] if bands == 1 else array[..., :3]
    over = [
        one
        for left, top, right, bottom in ((10, 10, 100, 50), (190, 60, 330, 131), (150, 0, 170, 131))
        for one in overlay.pack(overlay.image_of(np.ascontiguousarray(colour[top:bottom, left:right])), left, top)
    ]
    streams = [tile.stages for tile in chunks.tiles]
    data = container.write(chunks.header, streams, chunks.alpha, overlay=over)
    whole = pillow_lic.decode(data)
    for left, top, right, bottom in BOXES:
        assert np.array_equal(pillow_lic.decode(data, box=(left, top, right, bottom)), whole[top:bottom, left:right])


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_boxes_of_what_is_lossless(make_picture, bands):
    array = make_picture(131, 330, bands)
    data = pillow_lic.encode(array, lossless=True)
    for left, top, right, bottom in BOXES:
        found = pillow_lic.decode(data, box=(left, top, right, bottom))
        assert np.array_equal(found, array[top:bottom, left:right])


def test_little_is_read(make_picture, tmp_path):
    """Of a path and of a file; no symbol of another tile is decoded."""
    array = make_picture(64 * 6, 64 * 40)
    data = tiled(array, icc=b"\0" * 2000)
    whole = pillow_lic.decode(data)
    source, box = Counted(data), (1000, 100, 1080, 180)
    crop = whole[100:180, 1000:1080]
    assert np.array_equal(pillow_lic.decode(source, box=box), crop)
    assert source.read_bytes < 0.25 * len(data)
    path = tmp_path / "a.lic"
    path.write_bytes(data)
    for one in (path, str(path)):
        assert np.array_equal(pillow_lic.decode(one, box=box), crop)
        assert np.array_equal(pillow_lic.decode(one), whole)
    assert container.read(data, box=box, margin=_margin).part.whole.tile_count == 240
    assert len(container.read(data, box=box, margin=_margin).tiles) == 5 * 6


def test_other_tiles_may_be_damaged(make_picture):
    """Damage is found in the tiles that are read, and does not hinder elsewhere."""
    data = bytearray(tiled(make_picture(64 * 6, 64 * 12)))
    whole = pillow_lic.decode(bytes(data))
    data[-20] ^= 1  # of the last tile
    with pytest.raises(errors.LicCorruptChunk):
        pillow_lic.decode(bytes(data))
    assert np.array_equal(pillow_lic.decode(bytes(data), box=(0, 0, 64, 64)), whole[:64, :64])
    box = (64 * 12 - 40, 64 * 6 - 40, 64 * 12, 64 * 6)
    with pytest.raises(errors.LicCorruptTile):
        pillow_lic.decode(bytes(data), box=box)
    with pytest.warns(UserWarning, match="painted grey"):
        assert (pillow_lic.decode(bytes(data), box=box, truncated=True) == 128).all()


@pytest.mark.parametrize("cut", [0.4, 0.7, 0.95])
def test_cut_files(make_picture, cut):
    data = tiled(make_picture(131, 330), progressive=True)
    data = data[: int(cut * len(data))]
    box = (70, 20, 300, 120)
    with pytest.raises(errors.LicTruncated):
        pillow_lic.decode(data, box=box)
    with pytest.warns(UserWarning, match="coarsely|grey"):
        whole = pillow_lic.decode(data, truncated=True)
    with pytest.warns(UserWarning, match="coarsely|grey"):
        assert np.array_equal(pillow_lic.decode(data, box=box, truncated=True), whole[20:120, 70:300])


def test_lengths_that_lie(make_picture):
    """Lengths beyond the chunk are refused, whatever its checksum says."""
    data = tiled(make_picture(131, 330))
    chunk = container.read_head(data).chunk("T")
    payload = bytearray(data[chunk.offset : chunk.offset + chunk.length])
    payload[0] ^= 0x07
    wrong = data[: chunk.offset] + payload
    wrong += zlib.crc32(payload, zlib.crc32(data[chunk.start : chunk.offset])).to_bytes(4, "little")
    with pytest.raises(errors.LicCorruptChunk, match="tiles of"):
        pillow_lic.decode(wrong, box=(0, 0, 5, 5))


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((0, 0, 331, 5), "does not lie in the picture of 330 x 131"),
        ((-1, 0, 5, 5), "does not lie"),
        ((5, 0, 5, 5), "holds none"),
        ((0, 0, 5), "four whole numbers"),
        ((0, 0, 5, 5.5), "four whole numbers"),
        ("abcd", "four whole numbers"),
        (7, "four whole numbers"),
    ],
)
def test_wrong_boxes(make_picture, box, words):
    for data in (tiled(make_picture(131, 330)), pillow_lic.encode(make_picture(131, 330), lossless=True)):
        with pytest.raises(errors.LicBadOption, match=words):
            pillow_lic.decode(data, box=box)


def test_batches(make_picture):
    files = [tiled(make_picture(131, 330, seed=seed)) for seed in range(3)]
    box = (70, 20, 130, 60)
    found = pillow_lic.decode_batch(files, box=box)
    assert all(np.array_equal(a, pillow_lic.decode(b, box=box)) for a, b in zip(found, files, strict=True))


def test_torch_cuts_boxes(make_picture, on_torch):
    array = make_picture(131, 330, 4)
    data = tiled(array)
    whole = pillow_lic.decode(data).astype(int)
    for left, top, right, bottom in BOXES[2:4]:
        found = pillow_lic.decode(data, box=(left, top, right, bottom))
        assert np.abs(found - whole[top:bottom, left:right]).max() <= 1


def test_tensors_of_boxes(make_picture):
    torch = pytest.importorskip("torch")
    for data in (tiled(make_picture(131, 330, 4)), pillow_lic.encode(make_picture(131, 330, 4), lossless=True)):
        whole = pillow_lic.decode(data, output="torch")
        found = pillow_lic.decode(data, box=(70, 20, 130, 60), output="torch")
        assert torch.equal(found, whole[20:60, 70:130]) or (found.int() - whole[20:60, 70:130].int()).abs().max() <= 1


def test_commands_crop(make_picture, tmp_path, capsys):
    from pillow_lic import cli

    source, target = tmp_path / "a.lic", tmp_path / "a.png"
    source.write_bytes(tiled(make_picture(131, 330)))
    assert cli.main(["decode", str(source), "--crop", "60x40+70+20", "-f"]) == 0
    assert np.array_equal(np.asarray(Image.open(target)), pillow_lic.decode(Path(source), box=(70, 20, 130, 60)))
    assert cli.main(["decode", str(source), "--crop", "60x40+300+20", "-f"]) == 1
    assert "does not lie" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["decode", str(source), "--crop", "60x40", "-f"])
