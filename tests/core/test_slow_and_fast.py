"""The fast decoder beside the second one, and the second one beside golden files and the document's example."""

import pathlib
import random
import re

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
from slow_encoder import encode_tile
from slow_random import random_stages, random_tile, shapes

ROOT = pathlib.Path(__file__).resolve().parents[1]
GOLDEN = sorted((ROOT / "golden").glob("*.lic"))
GOLDEN_ERRORS = sorted((ROOT / "golden" / "errors").glob("*.lic"))
TOY = ROOT.parent / "pillow_lic" / "models" / "toy"
SEEDS = range(24)


def fast_tables(tables, arrays):
    """pillow_lic's tables of the same arrays, or skip."""
    pytest.importorskip("pillow_lic._core", reason="the compiled core is not built")
    from pillow_lic.entropy import Tables

    return Tables(arrays, tables.latent, tables.hyper, tables.points, tables.scales, tables.skip)


def whole_tiles():
    """The compiled coder over a tile as a whole."""
    return pytest.importorskip("pillow_lic._core_test", reason="the tests' module is not built")


@pytest.mark.parametrize("seed", SEEDS)
def test_fast_coder_beside_the_slow_one(seed):
    """Same scale indices, same symbols, and the very same bytes from the fast encoder and the literal one."""
    tables, arrays, quality, z, r = random_tile(random.Random(1000 + seed))
    fast, coder = fast_tables(tables, arrays), whole_tiles()
    thresholds, shift = random_stages(random.Random(seed), tables, z)
    coding = (quality, bytes(thresholds), None if shift is None else np.array(shift, np.int8))
    stream = encode_tile(z, r, tables, quality, thresholds=thresholds, shift=shift)
    _, latent = shapes(z, r)
    fast_z, fast_r = coder.decode(fast.model, coding, stream, latent)
    assert fast_z.tolist() == z
    assert fast_r.tolist() == r
    z16, r16 = np.array(z, np.int16), np.array(r, np.int16)
    assert coder.encode(fast.model, coding, z16, r16) == stream
    v = slow_tile.dequantise(tables, quality, z)
    assert fast.dequantised(quality, z16).tolist() == v
    assert fast.scale_index(coding, z16, *latent).tolist() == slow_tile.scale_indices(
        tables, quality, v, *latent, shift
    )


@pytest.mark.parametrize("seed", range(4))
def test_fast_coder_refuses_what_the_slow_one_refuses(seed):
    """One bit flipped anywhere in a stream, or its end cut: both refuse."""
    tables, arrays, quality, z, r = random_tile(random.Random(2000 + seed))
    fast, (stream,), coder = fast_tables(tables, arrays), encode_tile(z, r, tables, quality), whole_tiles()
    from pillow_lic.errors import LicCorruptTile

    for at in range(0, len(stream), max(1, len(stream) // 16)):
        flipped = bytearray(stream)
        flipped[at] ^= 1 << at % 8
        for bad in (bytes(flipped), stream[:at]):
            with pytest.raises(container.Refused):
                slow_tile.decode_tile([bad], tables, (quality, [], False), *shapes(z, r))
            with pytest.raises(LicCorruptTile):
                coder.decode(fast.model, quality, [bad], shapes(z, r)[1])


# ---- golden files ----------------------------------------------------------------------------------------------------

needs_model = pytest.mark.skipif(not (TOY / "manifest.json").exists(), reason="no toy model")


@needs_model
@pytest.mark.parametrize(
    "path", [p for p in GOLDEN if not p.stem.startswith(("lossless", "exact"))], ids=lambda p: p.stem
)
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
    found = slow.decode(path.read_bytes(), TOY)
    assert (found.dtype, found.shape) == (stored.dtype, stored.shape)
    assert found.tobytes() == stored.tobytes()  # numbers that are none among them


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
