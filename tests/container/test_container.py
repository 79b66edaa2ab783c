"""The container: literal files, round trips of any content, what its reader ignores (FORMAT 2-6.2)."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal_files import (
    GOOD,
    GOOD_H,
    STAGED_H,
    STAGED_T,
    STATES,
    T,
    chunk,
    header,
    header_bytes,
)

import pillow_lic.container.cut  # noqa: F401  (its name: container.cut)
from pillow_lic import constants, container, errors

pytestmark = pytest.mark.quick


def test_literal_file_reads_and_writes_back():
    chunks = container.read(GOOD)
    assert chunks.header == header()
    assert chunks.header.quality == 75.0
    assert chunks.tiles == [([STATES], True, 1)]
    assert (chunks.icc, chunks.exif, chunks.xmp, chunks.alpha) == (None, None, None, None)
    assert container.write(chunks.header, [[STATES]]) == GOOD


def test_literal_stages():
    data = header_bytes(STAGED_H) + chunk(b"T", STAGED_T)
    chunks = container.read(data)
    assert chunks.header == header(thresholds=b"\x09\x04")
    assert chunks.header.stage_count == 3
    assert chunks.tiles == [([STATES, b"ab", b""], True, 3)]
    assert container.write(chunks.header, [tile.stages for tile in chunks.tiles]) == data
    cut = header_bytes(GOOD_H[:-1] + b"\x12\x09\x04") + chunk(b"T", STAGED_T)
    assert container.read(cut).header == header(thresholds=b"\x09\x04", cut=True)


def test_deep_samples_are_written_down():
    """Of the header alone: no decoder shows them yet."""
    for depth in range(8, 17):
        data = container.write(header(depth=depth), [[STATES]])
        assert container.read(data).header.depth == depth
        assert data[10] == 1 | depth - 8 << 3


def test_head_reads_no_tiles():
    class Counting(io.BytesIO):
        total = 0

        def read(self, count=-1):
            data = super().read(count)
            Counting.total += len(data)
            return data

    data = container.write(header(width=5000, height=5000, tile_side=4), [[bytes(100_000)]] * 400, icc=b"profile")
    head = container.read_head(Counting(data))
    assert head.icc == b"profile"
    assert head.complete
    assert head.size == len(data)
    assert Counting.total < 300
    tiles = head.chunk("T")
    assert tiles.end == len(data)
    assert data[tiles.start : tiles.start + 1] == b"T"


def test_what_is_ignored():
    later = b"\x8dLID\x00\x63"  # a minor version still to come
    assert container.read(later + chunk(b"H", GOOD_H, later) + T).header == header()
    unknown = header_bytes(GOOD_H) + chunk(b"z", b"abc") + chunk(b"s", b"") + chunk(b"z", b"") + T
    assert container.read(unknown).tiles == container.read(GOOD).tiles
    assert [c.type for c in container.read_head(unknown).chunks] == ["H", "z", "s", "z", "T"]


BEHIND = {
    "nothing": b"",
    "one byte": b"\0",
    "newline": b"\r\n",
    "padding": bytes(4096),
    "a chunk": chunk(b"x", b"\0\1a"),
    "second tiles": T,
    "critical chunk": chunk(b"G", b""),
    "what looks cut": b"T\x91",
    "another file": GOOD,
    "an uploader's trailer": b"\xff--boundary--",
}


@pytest.mark.parametrize("name", BEHIND)
@pytest.mark.parametrize("truncated", [False, True])
def test_what_follows_the_last_chunk_is_ignored(name, truncated):
    data = GOOD + BEHIND[name]
    assert container.read(data, truncated=truncated) == container.read(GOOD)
    head = container.read_head(data, truncated=truncated)
    assert (head.complete, head.size, head.trailing) == (True, len(GOOD), len(BEHIND[name]))
    notes = container.verify(data)
    assert len(notes) == bool(BEHIND[name])
    assert all(str(len(BEHIND[name])) in note and "fetch" not in note for note in notes)


def test_damage_is_found_before_what_follows():
    for damaged in (GOOD[:-5] + b"\1" + GOOD[-4:], GOOD[:10] + b"\x7f" + GOOD[11:]):
        with pytest.raises(errors.LicCorruptChunk):
            container.verify(damaged + bytes(100))


@pytest.mark.parametrize("preview", [("JPEG", 1, 4096, b""), ("WEBP", 4096, 1, b"RIFF" * 1000)])
def test_previews_round_trip(preview):
    data = container.write(header(), [[STATES]], preview=container.Preview(*preview))
    assert container.read_head(data).preview == preview
    assert container.read_head(data).chunk("p").length > len(preview[3])
    container.verify(data)


# ---- any content -----------------------------------------------------------------------------------------------------


metadata = st.none() | st.binary(max_size=300)
headers = st.builds(
    container.Header,
    width=st.integers(1, 700),
    height=st.integers(1, 700),
    layout=st.sampled_from(["L", "LA", "RGB", "RGBA"]),
    model=st.integers(0, 2**31 - 1),
    model_hash=st.binary(min_size=8, max_size=8),
    quality_q=st.integers(100, 10000),
    tile_side=st.integers(1, 64),
    depth=st.integers(8, 16),
    thresholds=st.sets(st.integers(1, 255), max_size=15).map(lambda found: bytes(sorted(found, reverse=True))),
    cut=st.booleans(),
)
previews = st.builds(
    container.Preview, st.sampled_from(["JPEG", "WEBP"]), st.integers(1, 4096), st.integers(1, 4096), st.binary()
)


bytes_ = st.integers(0, 255)
cicps = st.none() | st.builds(container.Cicp, bytes_, bytes_, bytes_, st.integers(0, 1))
ends = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2).map(sorted)
values = st.none() | ends.map(lambda two: container.Values(container.FLOATS, *two))


@given(headers, st.data(), metadata, metadata, metadata, st.none() | previews)
@settings(deadline=None)
def test_round_trip(h, data, icc, exif, xmp, preview):
    count = h.stage_count
    stages = [[data.draw(st.binary(max_size=20)) for _ in range(count)] for _ in range(min(h.tile_count, 3))]
    stages = [[STATES + one[0], *one[1:]] for one in stages]
    stages += [[STATES, *[b""] * (count - 1)]] * (h.tile_count - len(stages))
    value = data.draw(st.integers(0, (1 << h.depth) - 1))
    alpha = b"\0" + value.to_bytes(1 if h.depth == 8 else 2, "little") if h.has_alpha else None
    cells = h.hyper_grid.rows * h.hyper_grid.columns
    rows = data.draw(st.none() | st.integers(-32, 32).map(lambda by: struct.pack("b", by) * cells))
    beside = {"cicp": data.draw(cicps), "values": data.draw(values)}
    written = container.write(h, stages, alpha=alpha, icc=icc, exif=exif, xmp=xmp, map=rows, preview=preview, **beside)
    tiles = [container.TileStream(one, True, count) for one in stages]
    for truncated in (False, True):
        chunks = container.read(io.BytesIO(written), truncated=truncated)
        assert chunks == container.Container(h, icc, exif, xmp, alpha, rows, tiles, **beside)
    head = container.read_head(written)
    assert (head.cicp, head.values) == tuple(beside.values())
    assert (head.header, head.icc, head.exif, head.xmp, head.preview) == (h, icc, exif, xmp, preview)
    container.verify(written)


@given(headers)
def test_geometry_covers_everything_once(h):
    hy, wy = h.latent_grid
    hz, wz = h.hyper_grid
    assert 16 * (hy - 1) < h.height <= 16 * hy
    assert 4 * (wz - 1) < wy <= 4 * wz
    tiles = h.tiles()
    assert [tile.number for tile in tiles] == list(range(h.tile_count))
    assert sum(a * b for a, b in (tile.latent_shape for tile in tiles)) == hy * wy
    assert sum(a * b for a, b in (tile.hyper_shape for tile in tiles)) == hz * wz
    pixels = 0
    for tile in tiles:
        rows, columns = tile.pixel_rows(h), tile.pixel_columns(h)
        pixels += (rows.stop - rows.start) * (columns.stop - columns.start)
        assert tile.latent.rows.start == 4 * tile.hyper.rows.start
        assert tile.hyper_shape.rows <= h.tile_side
        assert tile.latent_shape.columns <= 4 * h.tile_side
    assert pixels == h.width * h.height


# ---- what is not written ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "arguments"),
    [
        ({"width": 0}, {}),
        ({"height": 2**31}, {}),
        ({"layout": "P"}, {}),
        ({"model": -1}, {}),
        ({"model_hash": b"short"}, {}),
        ({"quality_q": 99}, {}),
        ({"tile_side": 65}, {}),
        ({"layout": "LA"}, {}),
        ({}, {"alpha": b"\0\0"}),
        ({"layout": "LA"}, {"alpha": b"\1not a PNG"}),
        ({}, {"tiles": []}),
        ({}, {"tiles": [[b"short"]]}),
        ({}, {"tiles": [[STATES, b""]]}),
        ({"depth": 7}, {}),
        ({"depth": 17}, {}),
        ({"thresholds": b"\4\4"}, {}),
        ({"thresholds": b"\0"}, {}),
        ({"thresholds": bytes(range(16, 0, -1))}, {}),
        ({"thresholds": b"\4"}, {"tiles": [[STATES]]}),
        ({}, {"map": b""}),
        ({}, {"map": bytes(2)}),
        ({}, {"map": b"\x21"}),
        ({}, {"preview": container.Preview("PNG", 3, 3, b"")}),
        ({}, {"preview": container.Preview("JPEG", 0, 3, b"")}),
        ({}, {"preview": container.Preview("WEBP", 3, 4097, b"")}),
    ],
)
def test_writer_refuses(changes, arguments):
    with pytest.raises(errors.LicBadOption):
        container.write(header(**changes), **({"tiles": [[STATES]]} | arguments))


def test_writer_limits():
    with pytest.raises(errors.LicLimitExceeded):
        container.write(header(width=2**20, height=2**11), [[STATES]])
    with pytest.raises(errors.LicLimitExceeded):
        container.write(header(), [[STATES]], icc=bytes(constants.LIC_METADATA_MAX + 1))
