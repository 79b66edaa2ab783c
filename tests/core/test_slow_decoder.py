"""The document proved: a literal encoder beside slow_decoder.py, and the fast decoder compared with the slow one.

The encoder here follows docs/FORMAT.md backwards and imports nothing of pillow_lic; only the last tests do.
"""

import itertools
import pathlib
import random
import re
import struct
import zlib

import numpy as np
import pytest
import slow_container as container
import slow_decoder as slow
import slow_model
import slow_photo
import slow_residual
import slow_stream
import slow_tables
import slow_tile

ROOT = pathlib.Path(__file__).resolve().parents[1]
GOLDEN = sorted((ROOT / "golden").glob("*.lic"))
GOLDEN_ERRORS = sorted((ROOT / "golden" / "errors").glob("*.lic"))
TOY = ROOT.parent / "pillow_lic" / "models" / "toy"
SEEDS = range(24)


# ---- the literal encoder ---------------------------------------------------------------------------------------------


def escape_words(value, first, n):
    """FORMAT 7.3: the words of a value outside the row, in reading order."""
    above = first + n - 1
    v = 2 * (value - above) if value >= above else 2 * (first - 1 - value) + 1
    return [v] if v < 32768 else [32768 + v % 32768, v // 32768]


def encode_runs(stages, tables, checksum):
    """The segments of some stages of runs of (row, symbol): FORMAT 7.3 from the last symbol to the first."""
    x = [65536 + (checksum & 65535), 65536 + (checksum >> 16), 65536, 65536]
    segments = []
    for runs in reversed(stages):
        words = []  # from the last to the first
        for run in reversed(runs):
            for k, value in reversed(run):
                first, freq = tables.first[k], tables.freq[k]
                if not first <= value < first + len(freq) - 1:
                    words += reversed(escape_words(value, first, len(freq)))
            for i, (k, value) in reversed(list(enumerate(run))):
                freq, j = tables.freq[k], value - tables.first[k]
                j = j if 0 <= j < len(freq) - 1 else len(freq) - 1
                s = i % 4
                if x[s] >= freq[j] << 16:
                    words.append(x[s] & 65535)
                    x[s] >>= 16
                x[s] = (x[s] // freq[j] << 16) + tables.cumulative[k][j] + x[s] % freq[j]
        segments.append(struct.pack(f"<{len(words)}H", *words[::-1]))
    return [struct.pack("<4I", *x) + segments[-1], *segments[-2::-1]]


def z_run(tables, quality, earlier, plane, columns):
    """A channel's run, given those before it: the classes of neighbours as a decoder sees them (FORMAT 7.4)."""
    run, seen = [], []
    for i, (base, value) in enumerate(zip(slow_tile.z_base(tables, quality, earlier, len(plane)), plane)):
        k = base + slow_tile.z_class(tables, i, seen, columns)
        run.append((k, value))
        seen.append(value if 0 <= value - tables.first[k] < len(tables.freq[k]) - 1 else 0)
    return run


def encode_tile(z, r, tables, quality, checksum=None, thresholds=(), shift=None):
    """The stages of one tile; r is set to 0, in place, where it is skipped."""
    hyper, latent = np.shape(z)[1:], np.shape(r)[1:]
    v = slow_tile.dequantise(tables, quality, z)
    indices = slow_residual.flatten(slow_tile.scale_indices(tables, quality, v, *latent, shift))
    flat_z, flat_r = slow_residual.flatten(z), slow_residual.flatten(r)
    flat_r = [value if k >= tables.skip else 0 for k, value in zip(indices, flat_r)]
    r[:] = slow_tile.unflatten(flat_r, tables.latent, *latent)
    n = hyper[0] * hyper[1]
    planes = [flat_z[i : i + n] for i in range(0, len(flat_z), n)]
    stages = [[z_run(tables, quality, planes[:c], plane, hyper[1]) for c, plane in enumerate(planes)]]
    for stage, (high, low) in enumerate(itertools.pairwise([256, *thresholds, 0])):
        run = [(k, value) for k, value in zip(indices, flat_r) if max(low, tables.skip) <= k < high]
        stages[stage:] = [[*stages[stage], run] if stage == 0 else [run]]
    if checksum is None:
        coded = [value for runs in stages for run in runs for _, value in run]
        checksum = slow_stream.checksum(coded)
    return encode_runs(stages, tables, checksum)


# ---- random material -------------------------------------------------------------------------------------------------


def random_row(rng, sizes):
    """Frequencies of a random shape with sum 65536, each at least 1; their number one of `sizes`."""
    n = rng.choice(sizes)
    weights = [rng.random() ** rng.choice([1, 8, 40]) for _ in range(n)]
    spare = 65536 - n
    g = [1 + int(spare * w / sum(weights)) for w in weights]
    g[rng.randrange(n)] += 65536 - sum(g)
    return g


def random_arrays(rng, latent, hyper, points, scale_rows):
    """Arrays of FORMAT 9.2."""
    levels, near = rng.choice([(1, False), (2, False), (16, False), (1, True), (3, True)])
    sizes = [2, 3, 5, 17] if near else [2, 3, 5, 17, 64, 300, 4096]
    rows = [random_row(rng, sizes) for _ in range(scale_rows + points * hyper * levels * (10 if near else 1))]
    draw = np.random.default_rng(rng.randrange(2**32))
    return {
        **({"z_level": draw.integers(0, 9, (points, hyper, levels - 1)).astype(np.uint16)} if levels > 1 else {}),
        **({"z_near": np.array([10], np.int32)} if near else {}),
        "freq": np.array(list(itertools.chain.from_iterable(rows)), np.uint16),
        "count": np.array([len(g) for g in rows], np.int32),
        "first": np.array([rng.choice([-32768, -2000, -len(g) // 2, 0, 32767]) for g in rows], np.int16),
        "weight": draw.integers(-1023, 1024, (16 * latent, hyper)).astype(np.int16),
        "offset": draw.integers(-(2**15), 2**15, 16 * latent).astype(np.int32),
        "bias": draw.integers(-(2**16), 2**16, (points, latent)).astype(np.int32),
        "z_step": draw.integers(1, 256, (points, hyper)).astype(np.uint8),
    }


def random_tables(rng):
    """Tables of a small random model, and the arrays that they were made of."""
    latent, hyper, points, scale_rows = rng.randint(1, 5), rng.randint(1, 4), rng.randint(2, 4), rng.randint(1, 40)
    arrays = random_arrays(rng, latent, hyper, points, scale_rows)
    skip = rng.choice([0, scale_rows // 2, scale_rows])
    return slow_tables.Tables(arrays, latent, hyper, points, scale_rows, skip), arrays


def random_symbols(rng, channels, rows, columns):
    """Mostly small values, some at the ends of i16."""

    def one():
        return rng.choice(
            [rng.randint(-3, 3), rng.randint(-3, 3), rng.randint(-300, 300), rng.randint(-32768, 32767), -32768, 32767]
        )

    return [[[one() for _ in range(columns)] for _ in range(rows)] for _ in range(channels)]


def random_stages(rng, tables, z):
    """(thresholds, a tile's part of a quality map or None)."""
    thresholds = sorted(rng.sample(range(1, tables.scales + 3), rng.choice([0, 1, 2])), reverse=True)
    shift = [[rng.randint(-32, 32) for _ in row] for row in z[0]] if rng.random() < 0.5 else None
    return thresholds, shift


def random_tile(rng):
    """(tables, arrays, quality, z, r) with shapes as at the edge of a grid."""
    tables, arrays = random_tables(rng)
    ry, rx = rng.randint(1, 9), rng.randint(1, 9)
    z = random_symbols(rng, tables.hyper, container.ceil_div(ry, 4), container.ceil_div(rx, 4))
    return (
        tables,
        arrays,
        rng.choice([100, 10000, rng.randint(100, 10000)]),
        z,
        random_symbols(rng, tables.latent, ry, rx),
    )


def shapes(z, r):
    """(rows, columns) of both grids."""
    return np.shape(z)[1:], np.shape(r)[1:]


# ---- the document's claims -------------------------------------------------------------------------------------------


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


def varint(value):
    """FORMAT 1."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def header_bytes(width, height, layout=3, quality=5000, side=1, stages=0, thresholds=b""):
    """FORMAT 3."""
    return (
        varint(width)
        + varint(height)
        + bytes([layout])
        + varint(0)
        + bytes(8)
        + struct.pack("<H", quality)
        + varint(side)
        + bytes([stages])
        + thresholds
    )


def chunk(kind, payload, before=b""):
    """FORMAT 2.1; `before` is what the first chunk's checksum includes in front."""
    body = kind + varint(len(payload)) + payload
    return before + body + struct.pack("<I", zlib.crc32(before + body))


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


# ---- the fast decoder beside the slow one ----------------------------------------------------------------------------


def fast_tables(tables, arrays):
    """pillow_lic's tables of the same arrays, or skip."""
    pytest.importorskip("pillow_lic._core", reason="the compiled core is not built")
    from pillow_lic.entropy import Tables

    return Tables(arrays, tables.latent, tables.hyper, tables.points, tables.scales, tables.skip)


@pytest.mark.parametrize("seed", SEEDS)
def test_fast_coder_beside_the_slow_one(seed):
    """Same scale indices, same symbols, and the very same bytes from the fast encoder and the literal one."""
    tables, arrays, quality, z, r = random_tile(random.Random(1000 + seed))
    fast = fast_tables(tables, arrays)
    thresholds, shift = random_stages(random.Random(seed), tables, z)
    coding = (quality, bytes(thresholds), None if shift is None else np.array(shift, np.int8))
    stream = encode_tile(z, r, tables, quality, thresholds=thresholds, shift=shift)
    hyper, latent = shapes(z, r)
    fast_z, fast_r = fast.decode(coding, stream, *hyper, *latent)
    assert fast_z.tolist() == z
    assert fast_r.tolist() == r
    z16, r16 = np.array(z, np.int16), np.array(r, np.int16)
    assert fast.encode(coding, z16, r16) == stream
    v = slow_tile.dequantise(tables, quality, z)
    assert fast.dequantised(quality, z16).tolist() == v
    assert fast.scale_index(coding, z16, *latent).tolist() == slow_tile.scale_indices(
        tables, quality, v, *latent, shift
    )


@pytest.mark.parametrize("seed", range(4))
def test_fast_coder_refuses_what_the_slow_one_refuses(seed):
    """One bit flipped anywhere in a stream, or its end cut: both refuse."""
    tables, arrays, quality, z, r = random_tile(random.Random(2000 + seed))
    fast, (stream,) = fast_tables(tables, arrays), encode_tile(z, r, tables, quality)
    from pillow_lic.errors import LicCorruptTile

    for at in range(0, len(stream), max(1, len(stream) // 16)):
        flipped = bytearray(stream)
        flipped[at] ^= 1 << at % 8
        for bad in (bytes(flipped), stream[:at]):
            with pytest.raises(container.Refused):
                slow_tile.decode_tile([bad], tables, (quality, [], False), *shapes(z, r))
            with pytest.raises(LicCorruptTile):
                fast.decode(quality, [bad], *shapes(z, r)[0], *shapes(z, r)[1])


needs_model = pytest.mark.skipif(not (TOY / "manifest.json").exists(), reason="no toy model")


@needs_model
@pytest.mark.parametrize("path", [p for p in GOLDEN if not p.stem.startswith("lossless")], ids=lambda p: p.stem)
def test_golden_symbols(path):
    """The integers stored beside a golden file are those of the slow decoder, tile by tile."""
    parsed = container.parse(path.read_bytes())
    stored = np.load(path.with_suffix(".npz"))
    for (z, r), (zr, zc, yr, yc) in zip(slow.decode_symbols(path.read_bytes(), TOY), parsed.tiles):
        assert np.array_equal(z, stored["z"][:, zr.start : zr.stop, zc.start : zc.stop])
        assert np.array_equal(r, stored["r"][:, yr.start : yr.stop, yc.start : yc.stop])
    assert (zr.stop, zc.stop, yr.stop, yc.stop) == stored["z"].shape[1:] + stored["r"].shape[1:]


@needs_model
@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_network_golden_pixels(path):
    """The stored pixels are those of the slow decoder, exactly."""
    stored = np.load(path.with_suffix(".npz"))["pixels"]
    assert np.array_equal(slow.decode(path.read_bytes(), TOY), stored)


@needs_model
@pytest.mark.parametrize("path", GOLDEN_ERRORS, ids=lambda p: p.stem)
def test_golden_errors_are_refused(path):
    """What must be refused is refused by the document as well."""
    with pytest.raises(container.Refused):
        slow.decode_symbols(path.read_bytes(), TOY)


# ---- FORMAT 11 -------------------------------------------------------------------------------------------------------


def worked_example():
    """The section's text."""
    document = (ROOT.parent / "docs" / "FORMAT.md").read_text("utf-8")
    return document.split("\n## 11. ")[1].split("\n## ")[0]


def stated(text, name):
    """The integers that stand behind `name = `."""
    found = re.search(rf"\b{re.escape(name)} = ((?:-?\d+, )*-?\d+)\b", text)
    return [int(value) for value in found[1].split(", ")]


def test_worked_example_has_the_bytes_of_its_file():
    """The dump is tests/golden/one-pixel.lic, byte for byte, and 53 of them."""
    text = worked_example()
    dump = re.findall(r"^ *((?:[0-9A-F]{2} )*[0-9A-F]{2})(?:  |$)", text.split("```")[1], re.MULTILINE)
    data = (ROOT / "golden" / "one-pixel.lic").read_bytes()
    assert bytes.fromhex(" ".join(dump)) == data
    assert f", {len(data)} bytes." in text


@needs_model
def test_worked_example_states_what_the_slow_decoder_finds():
    """Every number of the list below the dump."""
    text, data = worked_example(), (ROOT / "golden" / "one-pixel.lic").read_bytes()
    text = re.sub(r"\n  (?=\S)", " ", text)  # lines as they were before they were wrapped
    parsed = container.parse(data)
    quality, (_, tables, arrays) = parsed.header.quality, slow_model.load_for(parsed.header, TOY)
    ((tile_z, tile_r),) = slow.symbols_of(parsed, tables)
    z, r = tile_z.ravel().tolist(), tile_r.ravel().tolist()
    p, f, nearest = slow_tables.rate_point(quality, tables.points)
    assert ([p], [f], [nearest]) == tuple(stated(text, name) for name in ("p", "f", "nearest"))
    assert stated(text, "z") == z
    planes = [[value] for value in z]
    rows = [slow_tile.z_base(tables, quality, planes[:c], 1)[0] for c in range(len(z))]
    assert f"The rows: {', '.join(map(str, rows))}\n" in text
    v = slow_tile.dequantise(tables, quality, tile_z.tolist())
    assert stated(text, "v") == slow_residual.flatten(v)
    assert stated(text, "d") == [slow_tables.lerp(*pair, f) for pair in zip(tables.z_step[p], tables.z_step[p + 1])]
    assert stated(text, "index") == slow_residual.flatten(slow_tile.scale_indices(tables, quality, v, 1, 1))
    assert stated(text, "r") == r
    index = slow_residual.flatten(slow_tile.scale_indices(tables, quality, v, 1, 1))
    coded = z + [value for value, k in zip(r, index) if k >= tables.skip]
    checksum = slow_stream.checksum(coded)
    assert (
        f"K = 0x{checksum:X}; at the end x_0 = 0x{65536 + checksum % 65536:X}, x_1 = 0x{65536 + (checksum >> 16):X},"
        in text
    )
    network = slow_photo.SlowPhoto(arrays, quality)
    y_hat = network.y_hat(np.array(v), tile_r)
    assert stated(text, "y_hat") == y_hat.ravel().tolist()
    m, moved = np.array(stated(text, "m")), np.array(stated(text, "moved"))
    assert moved.tolist() == network.moved(tile_r.ravel(), np.array(stated(text, "L"))).tolist()
    assert y_hat.ravel().tolist() == (m + moved + 8 >> 4).tolist()
    assert network.levels(y_hat)[:, 0, 0].tolist() == [
        int(level) for level in re.findall(r"p = (\d+), (\d+), (\d+) at", text)[0]
    ]
    assert f"it is {tuple(slow.decode(data, TOY)[0, 0].tolist())}" in text
