"""The document proved: the literal encoder beside the second decoder, and files by hand. Nothing of pillow_lic."""

import random
import struct
import zlib

import numpy as np
import pytest
import slow_container as container
import slow_stream
import slow_tables
import slow_tile
from slow_encoder import chunk, encode_tile, escape_words, header_bytes, varint
from slow_random import random_stages, random_tile, shapes

SEEDS = range(24)


@pytest.mark.parametrize("seed", SEEDS)
def test_tile_there_and_back(seed):
    """What the rules encode backwards, they decode; the final states carry the checksum; front meets back."""
    rng = random.Random(seed)
    tables, _, quality, z, r = random_tile(rng)
    thresholds, shift = random_stages(rng, tables, z)
    stream = encode_tile(z, r, tables, quality, thresholds=thresholds, shift=shift)
    assert slow_tile.decode_tile(stream, tables, (quality, thresholds, False), *shapes(z, r), shift) == (z, r)


@pytest.mark.parametrize("seed", range(8))
def test_tile_damage_is_refused(seed):
    """A wrong checksum, a cut, a byte more: refused. A flipped bit: refused too (each escapes with chance 2^-64)."""
    rng = random.Random(seed)
    tables, _, quality, z, r = random_tile(rng)
    (good,) = encode_tile(z, r, tables, quality)
    (wrong,) = encode_tile(z, r, tables, quality, checksum=rng.randrange(2**32))
    bad = [wrong, good[:-1], good + b"\0", good[:15], b""]
    for _ in range(10):
        flipped = bytearray(good)
        flipped[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
        bad.append(bytes(flipped))
    for stream in bad:
        with pytest.raises(container.Refused):
            slow_tile.decode_tile([stream], tables, (quality, [], False), *shapes(z, r))


def test_checksum_costs_nothing():
    """The stream's length does not depend on the checksum by more than what two states' start values can move."""
    tables, _, quality, z, r = random_tile(random.Random(1))
    sizes = {len(encode_tile(z, r, tables, quality, checksum=k)[0]) for k in (0, 2**16, 2**31, 2**32 - 1)}
    assert max(sizes) - min(sizes) <= 4


@pytest.mark.parametrize(
    ("value", "first", "n"), [(5, 0, 6), (-1, 0, 6), (32767, -32768, 2), (-32768, 32767, 2), (-32768, 0, 9)]
)
def test_escape_values(value, first, n):
    """Both sides and both ends of i16 fit the 17 bits."""
    words = escape_words(value, first, n)
    stream = slow_stream.TileStream([struct.pack(f"<4I{len(words)}H", *[65536] * 4, *words)])
    assert stream.escape(first, n) == value
    assert stream.front == len(stream.data)


@pytest.mark.parametrize("words", [[32768, 0], [65535, 0], [32768, 4], [65535, 65535]])
def test_escapes_have_one_form(words):
    """A second word of 0 would be a longer form of a first one alone; above 3 no value of i16 lies."""
    with pytest.raises(container.Refused, match="escape"):
        slow_stream.TileStream([struct.pack("<4I2H", *[65536] * 4, *words)]).escape(0, 5)


def test_rates_at_the_ends():
    """FORMAT 7.1: the first and the last quality are the first and the last trained rate."""
    assert slow_tables.rate_point(100, 5) == (0, 0, 0)
    assert slow_tables.rate_point(10000, 5) == (3, 256, 4)
    for a, b in ((-7, 12), (1, 255), (-5, -5)):
        assert slow_tables.lerp(a, b, 0) == a
        assert slow_tables.lerp(a, b, 256) == b


@pytest.mark.parametrize(("width", "height", "side"), [(1, 1, 1), (64, 65, 1), (1000, 700, 3), (4097, 33, 64)])
def test_tiles_cover_the_grids_once(width, height, side):
    """FORMAT 6.1: every hyper and every latent position belongs to one tile, and lies above its own hyper position."""
    header = container.read_header(header_bytes(width, height, side=side))
    tiles = container.tile_grid(header)
    for rows, columns, stride in ((0, 1, 64), (2, 3, 16)):
        cover = np.zeros((container.ceil_div(height, stride), container.ceil_div(width, stride)), int)
        for tile in tiles:
            cover[np.ix_(tile[rows], tile[columns])] += 1
        assert (cover == 1).all()
    assert all(
        container.ceil_div(len(t[2]), 4) == len(t[0]) and container.ceil_div(len(t[3]), 4) == len(t[1]) for t in tiles
    )


# ---- the file from outside -------------------------------------------------------------------------------------------


FRONT = bytes.fromhex("8D4C49440003")


def test_parse_a_file_by_hand():
    """Header, an unknown ancillary chunk, packed metadata, constant alpha, a quality map, two tiles of 16 bytes in a
    first stage and of 0 and 2 in a second.
    """
    icc = b"profile" * 9
    data = (
        chunk(b"H", header_bytes(65, 3, layout=4 | 8, stages=1, thresholds=b"\x09"), FRONT)
        + chunk(b"q", b"skipped")
        + chunk(b"c", b"\1" + varint(len(icc)) + zlib.compress(icc))
        + chunk(b"e", b"\0\4II*\0")
        + chunk(b"A", b"\0\x80\x01")
        + chunk(b"G", zlib.compress(b"\xe0\x20"))
        + chunk(b"T", b"\x10\x10\0\2" + bytes(32) + struct.pack("<H", zlib.crc32(bytes(32)) & 65535) + b"\7\x08")
    )
    parsed = container.parse(data)
    assert (parsed.header.width, parsed.header.height, parsed.header.layout) == (65, 3, container.RGBA)
    assert parsed.metadata == {"c": icc, "e": b"II*\0"}
    assert parsed.alpha.shape == (3, 65)
    assert (parsed.alpha == 384).all()
    assert (parsed.header.thresholds, parsed.header.cut, parsed.header.depth) == ([9], False, 9)
    assert parsed.map == [[-32, 32]]
    assert parsed.streams == [[bytes(16), b""], [bytes(16), b"\7\x08"]]
    for at in range(5, len(data)):
        with pytest.raises(container.Refused):
            container.parse(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(container.Refused):
            container.parse(data[:at])


@pytest.mark.parametrize("behind", [b"\0", b"T\x05", chunk(b"T", b""), chunk(b"G", b""), bytes(99)])
def test_what_follows_the_tiles_is_ignored(behind):
    data = chunk(b"H", header_bytes(8, 8), FRONT) + chunk(b"T", b"\x10" + bytes(16))
    assert container.parse(data + behind).streams == container.parse(data).streams == [[bytes(16)]]


@pytest.mark.parametrize(
    "change",
    [
        {"layout": 0},
        {"layout": 5},
        {"layout": 3 | 9 << 3},
        {"layout": 3 | 128},
        {"stages": 32},
        {"stages": 128},
        {"stages": 1},
        {"stages": 1, "thresholds": b"\0"},
        {"stages": 2, "thresholds": b"\5\5"},
        {"stages": 2, "thresholds": b"\5\6"},
        {"thresholds": b"\5"},
        {"quality": 99},
        {"quality": 10001},
        {"side": 0},
        {"side": 65},
        {"width": 0},
        {"width": 2**20, "height": 2**11},
        {"layout": 2},
        {"width": 2**20, "height": 65},
    ],
)
def test_headers_refused(change):
    """Ranges, reserved bits, limits, alpha without its chunk, a tile count that the chunk does not hold."""
    header = header_bytes(**{"width": 8, "height": 8, **change})
    with pytest.raises(container.Refused):
        container.parse(chunk(b"H", header, FRONT) + chunk(b"T", b"\x10" + bytes(16)))
