"""The entropy coder: round trips, fast against slow, every code path, and what it says to wrong input (FORMAT 7).

Imports no torch: part of `make quick`.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from code_paths import same_or_corrupt
from hypothesis import given, settings
from hypothesis import strategies as st
from random_tables import Case, cases, random_arrays, random_symbols

from pillow_lic import _core, _core_test, constants
from pillow_lic.entropy import Tables
from pillow_lic.errors import LicCorruptTile

pytestmark = pytest.mark.quick


# ---- round trips, twins ----------------------------------------------------------------------------------------------


@given(cases)
@settings(max_examples=80, deadline=None)
def test_round_trip(case: Case):
    """decode(encode(x)) is x; the slow twins say the same, to the byte."""
    data = case.encode()
    assert data == case.encode_slow()
    for z, r in (case.decode(data), case.decode_slow(data)):
        assert z.dtype == r.dtype == np.int16
        assert np.array_equal(z, case.z)
        assert np.array_equal(r, case.r)


def test_large_tile():
    """A tile of many turns of the fast loops: all buckets, all rows, few escapes."""
    case = Case(7, 128, 120, latent=24, hyper=16, rows=64, skip=6)
    data = case.encode()
    assert data == case.encode_slow()
    z, r = case.decode(data)
    assert np.array_equal(z, case.z)
    assert np.array_equal(r, case.r)


@pytest.mark.parametrize("row", [[1, 65535], [65535, 1], [1] * 4095 + [61441], [61441] + [1] * 4095, [16] * 4096])
@pytest.mark.parametrize("first", [-32768, -2, 28673])
def test_extreme_rows(row: list[int], first: int):
    """Rows that are nearly one symbol, or 4096 of them: the encoder's division at its limits."""
    rng = np.random.default_rng(len(row) + row[0])
    arrays = random_arrays(rng, 2, 2, 2, 1)
    arrays["freq"] = np.array(row * 5, np.uint16)
    arrays["count"], arrays["first"] = np.full(5, len(row), np.int32), np.full(5, first, np.int16)
    tables = Tables(arrays, 2, 2, 2, 1, 0)
    inside = rng.integers(first, first + len(row) - 1, (2, 32, 32))
    anywhere = rng.integers(-32768, 32768, (2, 32, 32))
    r = np.where(rng.random((2, 32, 32)) < 0.95, inside, anywhere).astype(np.int16)
    z = r[:, :8, :8].copy()
    data = _core_test.encode(tables.model, 5000, z, r)
    back = _core_test.decode(tables.model, 5000, data, (32, 32))
    assert np.array_equal(back[0], z)
    assert np.array_equal(back[1], r)


def test_all_skipped():
    """With nothing to code but z, the stream holds z and r is 0."""
    case = Case(3, 9, 10, rows=4, skip=4)
    assert not case.r.any()
    z, r = case.decode(case.encode())
    assert np.array_equal(z, case.z)
    assert not r.any()


def test_threads():
    """One Tables, many threads."""
    many = [Case(seed, 40, 40) for seed in range(8)] * 4
    with ThreadPoolExecutor(4) as pool:
        streams = list(pool.map(Case.encode, many))
        decoded = list(pool.map(lambda pair: pair[0].decode(pair[1]), zip(many, streams)))
    assert all(np.array_equal(case.r, r) for case, (_, r) in zip(many, decoded))


@given(cases)
@settings(max_examples=60, deadline=None)
def test_scale_index_twins(case: Case):
    wanted = _core_test.scale_index_slow(case.tables.model, case.coding, case.z, case.h, case.w)
    assert np.array_equal(wanted, case.index)


@pytest.mark.parametrize("hyper", [1, 2, 127, 255, 256])
def test_scale_index_paths(simd: str, hyper: int):
    """Every code path, at magnitudes that would overflow if anything could: all signs alike, then random ones."""
    rng = np.random.default_rng(hyper)
    latent, h, w = 2, 29, 70
    a, b = -(-h // 4), -(-w // 4)
    for sign in (1, -1, 0):
        weight = np.full((16 * latent, hyper), 1023, np.int16)
        z = np.full((hyper, a, b), 32767 if sign == 1 else -32768, np.int16)
        limit = sign * constants.LIC_BIAS_MAX
        offset, bias = np.full(16 * latent, limit, np.int32), np.full(latent, limit, np.int32)
        if sign == 0:
            weight = rng.integers(-1023, 1024, weight.shape).astype(np.int16)
            z = rng.integers(-40, 41, z.shape).astype(np.int16)
        d = np.full(hyper, 255, np.int32)
        scale_map = _core_test.ScaleMap(weight, offset)
        got = scale_map.index(z, d, bias, 256, (h, w))
        v = np.clip(z.astype(np.int64) * 255, -4096, 4095)
        acc = np.einsum("kc,cab->kab", weight.astype(np.int64), v) + offset[:, None, None]
        assert np.abs(acc).max() + constants.LIC_BIAS_MAX < 1 << 31
        grid = acc.reshape(latent, 4, 4, a, b).transpose(0, 3, 1, 4, 2).reshape(latent, 4 * a, 4 * b)[:, :h, :w]
        wanted = np.clip((grid + bias[:, None, None]) >> 11, 0, 255)
        assert np.array_equal(got, wanted)
        assert np.array_equal(got, scale_map.index_slow(z, d, bias, 256, (h, w)))
    assert _core_test.simd() == simd


@pytest.mark.parametrize(("h", "w", "skip"), [(52, 61, 2), (5, 13, 4), (8, 8, 0), (16, 16, 8)])
def test_streams_of_all_paths(simd: str, h: int, w: int, skip: int):
    """Neither the bytes nor the symbols depend on the code path."""
    case = Case(11, h, w, latent=4, hyper=7, skip=skip)
    data = case.encode()
    assert data == case.encode_slow()
    for got, slow in zip(case.decode(data), case.decode_slow(data)):
        assert np.array_equal(got, slow)


@pytest.mark.parametrize("n", [0, 1, 7, 4001])
def test_run_of_given_rows(n: int):
    """encode_symbols and decode_symbols: the coder alone."""
    rng = np.random.default_rng(n)
    arrays = random_arrays(rng, latent=1, hyper=1, points=2, rows=8)
    bank = _core_test.Bank(arrays["freq"], arrays["count"], arrays["first"])
    rows = rng.integers(0, bank.rows, n).astype(np.uint16)
    symbols = random_symbols(rng, (n,))
    data = _core_test.encode_symbols(bank, rows, symbols)
    assert data == _core_test.encode_symbols(bank, rows.astype(np.uint8), symbols)
    assert np.array_equal(_core_test.decode_symbols(data, bank, rows.astype(np.uint8)), symbols)
    assert np.array_equal(_core_test.decode_symbols(data, bank, rows), symbols)
    with pytest.raises(LicCorruptTile):
        _core_test.decode_symbols(data[:-1], bank, rows)
    with pytest.raises(ValueError, match="rows"):
        _core_test.encode_symbols(bank, np.full(1, bank.rows, np.uint16), np.zeros(1, np.int16))


# ---- damaged streams -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_truncated(seed: int):
    """No prefix and no suffix of a stream is taken for one, nor a stream with a byte more."""
    case = Case(seed, 12, 13)
    (data,) = case.encode()
    for n in range(len(data)):
        assert not same_or_corrupt(case, data[:n])
        assert not same_or_corrupt(case, data[len(data) - n :])
    assert not same_or_corrupt(case, data + b"\0")
    middle = len(data) // 2
    assert not same_or_corrupt(case, data[:middle] + b"\0\0" + data[middle:])


@pytest.mark.parametrize("seed", range(4))
def test_bit_flips(seed: int):
    """Every bit counts. (Another stream with the same checksum exists; none of these is one.)"""
    case = Case(seed, 10, 9)
    (data,) = case.encode()
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        assert not same_or_corrupt(case, bytes(damaged))


@given(st.integers(0, 1 << 20), st.binary(max_size=600))
@settings(max_examples=150, deadline=None)
def test_random_bytes(seed: int, data: bytes):
    case = Case(seed, 6, 11)
    assert not same_or_corrupt(case, data)  # one in 2^64 passes, by its checksum
    assert not same_or_corrupt(case, b"\xff" * 16 + data)


def test_values_beyond_i16():
    """A row may list values above 32767, as FORMAT 7.2 does not forbid it, but a stream may not use them (7.3)."""
    arrays = random_arrays(np.random.default_rng(0), 1, 8, 2, 1)
    arrays["freq"] = np.array([16384, 16384, 32768] * 17, np.uint16)
    arrays["count"], arrays["first"] = np.full(17, 3, np.int32), np.full(17, 32767, np.int16)
    tables = Tables(arrays, 1, 8, 2, 1, 1)
    z, r = np.full((8, 2, 2), 32767, np.int16), np.zeros((1, 8, 8), np.int16)
    z[3] = -32768  # escapes
    data = _core_test.encode(tables.model, 100, z, r)
    assert np.array_equal(_core_test.decode(tables.model, 100, data, (8, 8))[0], z)
    for slots in range(4):
        states = np.full(4, 0xFFFF0000, "<u4")  # slot 0, far from needing a word
        states[slots] += 16384
        for padding in (0, 60):  # the careful tail, the fast loop
            with pytest.raises(LicCorruptTile, match="a symbol is outside i16"):
                _core_test.decode(tables.model, 100, [states.tobytes() + bytes(padding)], (8, 8))


def test_message_says_what_and_where():
    case = Case(1, 12, 13)
    with pytest.raises(LicCorruptTile, match=r"tile stream is corrupt: .* \(byte \d+ of 40\); .*damaged"):
        case.decode([case.encode()[0][:40]])


# ---- wrong arguments -------------------------------------------------------------------------------------------------


def unaligned(array: np.ndarray) -> np.ndarray:
    """An equal array whose data starts at an odd address."""
    raw = np.zeros(array.nbytes + 1, np.uint8)
    raw[1:] = np.frombuffer(array.tobytes(), np.uint8)
    return raw[1:].view(array.dtype).reshape(array.shape)


WRONG_ARRAYS = {
    "dtype": lambda x: x.astype(np.int64),
    "float": lambda x: x.astype(np.float32),
    "byte order": lambda x: x.astype(x.dtype.newbyteorder()),
    "dimensions": lambda x: x.ravel()[None, None, None],
    "strides": lambda x: np.repeat(x, 2, -1)[..., ::2],
    "alignment": unaligned,
    "empty": lambda x: x[..., :0],
}


@pytest.mark.parametrize("what", WRONG_ARRAYS)
@pytest.mark.parametrize("name", ["z", "r"])
def test_wrong_arrays(what: str, name: str):
    case = Case(2, 8, 8)
    model, arrays = case.tables.model, {"z": case.z, "r": case.r}
    arrays[name] = WRONG_ARRAYS[what](arrays[name])
    with pytest.raises(ValueError, match="argument w " if what == "empty" and name == "r" else f"argument {name} "):
        _core_test.encode(model, case.q, **arrays)
    if what == "empty":
        return
    place = case.h, case.w, case.h + case.w, 0  # one tile
    with pytest.raises(ValueError, match=f"argument {name} "):
        model.read_tile(case.q, case.encode(), place, **arrays)
    if name == "z":
        for call in (model.scale_index, model.dequantise, model.z_rows):
            with pytest.raises(ValueError, match="argument z "):
                call(case.q, arrays["z"], *((case.h, case.w) if call == model.scale_index else ()))


@pytest.mark.parametrize(
    "change",
    [
        *({"q": n} for n in (-1, 0, 99, 10001, 1 << 33)),
        *({"shape": n} for n in ((0, 8), (8, 0), (-1, 8), (257, 8), (8, 257), (1 << 40, 8))),
        *({"q": (5000, thresholds, None)} for thresholds in (b"\0", b"\5\5", b"\5\6", bytes(range(16, 0, -1)))),
        {"q": (99, b"", None)},
        *({"q": (5000, b"", shift)} for shift in (bytes(3), np.full((2, 2), 33, np.int8), np.zeros((2, 2), np.uint8))),
        {"data": bytes(40)},
        {"data": []},
        {"data": [bytes(40), b""]},
        {"data": [np.zeros(40, np.uint16)]},
        {"data": [memoryview(bytes(80))[::2]]},
        {"data": [np.zeros((2, 20), np.uint8)]},
    ],
)
def test_wrong_numbers(change: dict):
    case = Case(2, 8, 8)
    arguments = {"q": case.q, "data": case.encode(), "shape": (8, 8), **change}
    with pytest.raises(ValueError, match=r"^argument "):
        _core_test.decode(case.tables.model, **arguments)
    with pytest.raises(ValueError, match=r"^argument "):
        _core_test.decode_slow(case.tables.model, **arguments)


def test_wrong_residuals():
    """What an encoder asks: types, shapes and numbers of channels."""
    case = Case(2, 8, 8)
    model = case.tables.model
    r, index = case.r.reshape(3, -1), case.index.reshape(3, -1)
    x, weight = np.zeros(r.shape, np.float32), np.ones(3, np.float32)
    model.quantise(x, index, weight)
    for wrong in (r[:2], r.astype(np.int32), r[:, ::2], case.r):
        with pytest.raises(ValueError, match="argument r "):
            model.price(wrong, index)
        with pytest.raises(ValueError, match="argument r "):
            model.symbols(wrong, index)
    for wrong in (index[:2], index.astype(np.int8), index[:, :-1]):
        for call in (
            lambda i: model.price(r, i),
            lambda i: model.symbols(r, i),
            lambda i: model.quantise(x, i, weight),
        ):
            with pytest.raises(ValueError, match="argument index "):
                call(wrong)
    for wrong in (x.astype(float), x[:2], x.ravel()):
        with pytest.raises(ValueError, match="argument x "):
            model.quantise(wrong, index, weight)
    for wrong in (weight.astype(float), weight[:2]):
        with pytest.raises(ValueError, match="argument weight "):
            model.quantise(x, index, wrong)


def test_into_memory_of_the_caller():
    """Integers come and go in any writable memory, as arrays or as runs of bytes; NumPy is not asked for."""
    case = Case(5, 9, 14)
    model, shape, data = case.tables.model, (case.h, case.w), case.encode()
    z, r, place = bytearray(case.z.nbytes), bytearray(case.r.nbytes), (*shape, case.h + case.w, 0)
    model.read_tile(case.q, data, place, z, r)
    assert z == case.z.tobytes()
    assert r == case.r.tobytes()
    assert _core_test.encode(model, case.q, bytes(z), memoryview(r), shape) == data
    typed = memoryview(r).cast("h", case.r.shape)
    assert _core_test.encode(model, case.q, memoryview(z).cast("h", case.z.shape), typed) == data
    index = bytearray(case.index.size)
    model.scale_index_into(case.q, bytes(z), shape, index)
    assert index == case.index.tobytes()
    v = bytearray(case.z.nbytes)
    model.dequantise_into(case.q, case.z, (case.h, case.w), v)
    assert v == case.tables.dequantised(case.q, case.z).tobytes()
    with pytest.raises(ValueError, match="argument r cannot be written to"):
        model.read_tile(case.q, data, place, z, bytes(r))
    with pytest.raises(ValueError, match="argument z has "):
        model.read_tile(case.q, data, place, bytearray(3), r)
    with pytest.raises(ValueError, match="argument r has "):
        _core_test.encode(model, case.q, case.z, bytes(r))


def test_no_numpy_before_an_array_is_returned():
    """`_core` makes a model and decodes into bytes in a process that has not imported NumPy."""
    case = Case(6, 5, 6)
    arrays = {name: (array.tobytes(), array.dtype.char, array.shape) for name, array in case.arrays.items()}
    numbers = {name: getattr(case.tables, name) for name in ("latent", "hyper", "points", "rows", "skip")}
    program = f"""
import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
loader = ExtensionFileLoader("_core", {_core.__file__!r})
core = module_from_spec(spec_from_loader("_core", loader))
loader.exec_module(core)
arrays = {{k: memoryview(b).cast("B").cast(c, s) for k, (b, c, s) in {arrays!r}.items()}}
z, r = bytearray({case.z.nbytes}), bytearray({case.r.nbytes})
model = core.Model(arrays, **{numbers!r})
model.read_tile({case.q}, {case.encode()!r}, {(case.h, case.w, case.h + case.w, 0)!r}, z, r)
assert (bytes(z), bytes(r)) == {(case.z.tobytes(), case.r.tobytes())!r}
assert model.write_tile({case.q}, {(case.h, case.w, case.h + case.w, 0)!r}, z, r) == {case.encode()!r}
assert "numpy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("data", [None, ["text"], 5, [5]])
def test_no_buffer(data):
    case = Case(2, 8, 8)
    with pytest.raises(TypeError):
        case.decode(data)


def test_buffers():
    """Any contiguous buffer of bytes is read."""
    case = Case(2, 8, 8)
    (data,) = case.encode()
    for buffer in (bytearray(data), memoryview(data), np.frombuffer(data, np.uint8)):
        assert np.array_equal(case.decode([buffer])[1], case.r)


def test_not_zero_where_skipped():
    case = Case(3, 8, 8, rows=4, skip=4)
    case.r[2, 7, 7] = 1
    with pytest.raises(ValueError, match="skipped"):
        case.encode()


def test_simd_names():
    with pytest.raises(ValueError, match="auto"):
        _core_test.set_simd("mmx")
    assert _core_test.simd() in ("scalar", "sse4.1", "avx2", "avx512")
