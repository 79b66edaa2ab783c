"""Exact numbers of 32 bits: every pattern of bits, how they are packed, ranges, limits, files that mean harm."""

from __future__ import annotations

import dataclasses
import io
import struct
import zlib

import numpy as np
import pytest
import slow_container
import slow_decoder
import slow_overlay
from literal_files import chunk, header_bytes
from PIL import Image

import pillow_lic
from pillow_lic import container, entropy, errors
from pillow_lic.codec import numbers, room
from pillow_lic.container.numbers import TABLE, pack_numbers, parse_numbers
from pillow_lic.container.overlay import PLAIN, PREDICTED

pytestmark = pytest.mark.network

HEADER = container.Header.of_overlay(5, 4, "L", 32)
FLOATS = container.Values(container.FLOATS, 0.0, 1.0)


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return (np.sin(x / 50) * np.cos(y / 70)).astype(np.float32)


def odd(bands: int) -> np.ndarray:
    """NaN with payloads, infinities, both zeros, the smallest numbers, among others."""
    rng = np.random.default_rng(bands)
    array = rng.normal(0, 1e9, (13, 17, bands)).astype(np.float32)
    bits = [0x7FC00001, 0xFF812345, 0x7F800000, 0xFF800000, 0x80000000, 0, 1, 0x80000001, 0x7F7FFFFF]
    array[2:5].view(np.uint32)[...] = rng.choice(np.array(bits, np.uint32), (3, 17, bands))
    return array[:, :, 0] if bands == 1 else array


def as_read(data: bytes) -> container.Numbers:
    planes = container.read(data).planes
    assert isinstance(planes, container.Numbers)
    return planes


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_every_pattern_of_bits(bands, tmp_path):
    array = odd(bands)
    data = pillow_lic.encode(array, lossless=True)
    for found in (pillow_lic.decode(data), slow_decoder.decode(data, tmp_path)):
        assert found.dtype == np.float32
        assert found.shape == array.shape
        assert found.tobytes() == array.tobytes()
    assert pillow_lic.decode(data, dtype="float32").tobytes() == array.tobytes()
    assert pillow_lic.decode_batch(pillow_lic.encode_batch([array] * 2, lossless=True))[1].tobytes() == array.tobytes()


@pytest.mark.parametrize("bands", [1, 3])
def test_integers_of_32_bits(bands, tmp_path):
    array = np.random.default_rng(bands).integers(-(2**31), 2**31, (11, 9, bands)).astype(np.int32)
    array[0], array[1] = -(2**31), 2**31 - 1
    array = array[:, :, 0] if bands == 1 else array
    data = pillow_lic.encode(array, lossless=True)
    assert np.array_equal(pillow_lic.decode(data), array)
    assert np.array_equal(slow_decoder.decode(data, tmp_path), array)
    assert np.array_equal(pillow_lic.decode(data, dtype="float32"), array.astype(np.float32))
    assert container.read_head(data).values == container.Values(container.INTEGERS, -(2**31), 2**31 - 1)


def test_other_byte_orders_and_views():
    array = odd(3)
    for one in (array.astype(">f4"), array[::-1, ::2], np.asfortranarray(array)):
        assert np.array_equal(pillow_lic.decode(pillow_lic.encode(one, lossless=True)), one, equal_nan=True)


def test_ways_of_packing():
    """What is smooth is predicted, few numbers have a table, noise stays as it is."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:300, :300]
    kinds = {
        PLAIN: rng.normal(size=(300, 300)).astype(np.float32),
        PREDICTED: smooth(300, 300),
        TABLE: np.rint(x + y + rng.normal(size=x.shape)).clip(0, 255).astype(np.float32) / np.float32(255),
    }
    for prediction, array in kinds.items():
        data = pillow_lic.encode(array, lossless=True)
        assert as_read(data).prediction == prediction
        assert pillow_lic.decode(data).tobytes() == array.tobytes()
    assert not isinstance(as_read(pillow_lic.encode(kinds[TABLE], lossless=True)).indices, container.Planes)


@pytest.mark.parametrize("count", [1, 2, 256, 257, 5000])
def test_tables(count, tmp_path):
    """At the ends of 8 bits; negative numbers are in their order."""
    values = np.linspace(-3, 5, count).astype(np.float32)
    array = values[np.arange(72 * 72).reshape(72, 72) % count]
    found = numbers._table(array.view(np.uint32)[:, :, None], container.FLOATS, 0)
    assert len(found.table) == 4 * count
    header = container.Header.of_overlay(72, 72, "L", 32)
    data = container.write(header, [], planes=found, values=FLOATS)
    assert pillow_lic.decode(data).tobytes() == array.tobytes()
    assert slow_decoder.decode(data, tmp_path).tobytes() == array.tobytes()
    assert isinstance(found.indices, container.Planes) == (count > 256)


def test_prediction_of_32_bits_is_undone_whatever_the_numbers_are():
    rng = np.random.default_rng(1)
    for bands in (1, 3):
        u = rng.integers(0, 2**32, (17, 5, bands), np.uint32)
        samples = u.copy()
        entropy.restore(samples, 32)
        told = np.stack([slow_overlay.restored(u[:, :, c].tolist(), 32) for c in range(bands)], axis=2)
        if bands == 3:
            told[:, :, [0, 2]] = (told[:, :, [0, 2]] + told[:, :, [1]]) % 2**32
        assert np.array_equal(told, samples)
        assert np.array_equal(entropy.predicted(samples, 32), u)


# ---- In fewer bits --------------------------------------------------------------------------------------------------


def test_shown_from_the_least_to_the_greatest():
    array = np.array([[-2.0, 0.0, 6.0, np.nan, np.inf, -np.inf]], np.float32)
    data = pillow_lic.encode(array, lossless=True)
    assert pillow_lic.decode(data, dtype="uint8").tolist() == [[0, 64, 255, 0, 255, 0]]
    assert pillow_lic.decode(data, dtype="uint16").tolist() == [[0, 16384, 65535, 0, 65535, 0]]
    within = np.array([[0.25, 0.5]], np.float32)
    assert pillow_lic.decode(pillow_lic.encode(within, lossless=True), dtype="uint8").tolist() == [[64, 128]]
    flat = np.full((2, 2), 7.0, np.float32)
    assert not pillow_lic.decode(pillow_lic.encode(flat, lossless=True), dtype="uint8").any()
    nothing = np.full((2, 2), np.nan, np.float32)
    data = pillow_lic.encode(nothing, lossless=True)
    assert np.isnan(pillow_lic.decode(data)).all()
    assert container.read_head(data).values == FLOATS


def test_alpha_is_from_0_to_1():
    array = np.dstack([np.full((1, 3), 100.0), [[0.0, 0.5, 7.0]]]).astype(np.float32)
    found = pillow_lic.decode(pillow_lic.encode(array, lossless=True), dtype="uint8")
    assert found[0, :, 1].tolist() == [0, 128, 255]


def test_colour_is_shown_in_8_bits():
    """As of lossy files: Pillow has no floats of several bands."""
    array = np.dstack([smooth(40, 50)] * 3)
    data = pillow_lic.encode(array, lossless=True)
    image = Image.open(io.BytesIO(data))
    assert (image.mode, image.info["depth"]) == ("RGB", 32)
    assert np.array_equal(np.asarray(image), pillow_lic.decode(data, dtype="uint8"))


def test_ends_that_overflow_are_shown_somehow():
    for values in (
        container.Values(container.FLOATS, -1.7e308, 1.7e308),
        container.Values(container.FLOATS, 0, 5e-324),
    ):
        data = container.write(HEADER, [], planes=plain(bytes(4)), values=values)
        assert pillow_lic.decode(data, dtype="uint8").shape == (4, 5)


def test_a_tensor_has_the_numbers():
    pytest.importorskip("torch")
    array = odd(3)
    found = pillow_lic.decode(pillow_lic.encode(array, lossless=True), output="torch")
    assert found.numpy().tobytes() == array.tobytes()


# ---- Files that mean harm --------------------------------------------------------------------------------------------


def flat(value: int, width: int = 5) -> tuple[container.Rectangle, ...]:
    return (container.Rectangle(0, 0, width, 4, container.overlay.CONSTANT, bytes([value])),)


def plain(values: bytes) -> container.Numbers:
    return container.Numbers(PLAIN, tuple(flat(one) for one in values))


def table(count: int, indices, entries: bytes | None = None) -> container.Numbers:
    return container.Numbers(TABLE, (), bytes(4 * count) if entries is None else entries, indices)


def test_what_must_not_be_said():
    good = b"\x05\x04\xf9"
    assert container.read_head(header_bytes(good) + values_and(b"")).header == HEADER
    unknown = {
        "layout 6 with tiles": b"\x05\x04\x06\x05",
        "layout 6 of 9 bits": b"\x05\x04\x8e\x05",
        "32 bits with tiles": b"\x05\x04\x79",
        "layout 6 of 32 bits": b"\x05\x04\xfe\x05",
        "24 bits": b"\x05\x04\xf1",
        "layout 7": b"\x05\x04\x87",
        "colour model 0": b"\x05\x04\x86\x00",
        "colour model 9": b"\x05\x04\x86\x09",
    }
    for what, payload in unknown.items():
        with pytest.raises(errors.LicUnsupportedVersion, match="unknown colour"):
            container.read_head(header_bytes(payload))
        with pytest.raises(slow_container.Refused):
            slow_container.read_header(payload)
        assert what
    for payload in (b"\x05\x04\x86", b"\x05\x04\x86\x05\x00", b"\x05\x04\xf9\x05"):
        with pytest.raises(errors.LicCorruptChunk):
            container.read_head(header_bytes(payload))


def values_and(rest: bytes, kind: int = 2) -> bytes:
    return chunk(b"v", struct.pack("<Bdd", kind, 0, 1)) + rest


def test_numbers_that_stand_for_nothing():
    overlay = chunk(b"O", pack_numbers(plain(bytes(4)), HEADER))
    start = header_bytes(b"\x05\x04\xf9")
    assert not pillow_lic.decode(start + values_and(overlay)).any()
    for truncated in (False, True):
        with pytest.raises(errors.LicCorruptChunk, match="not said what samples of 32 bits stand for"):
            container.read(start + overlay, truncated=truncated)
    with pytest.raises(errors.LicUnsupportedVersion, match="kind that is not known"):
        container.read(start + values_and(overlay, kind=3))
    with pytest.raises(errors.LicTruncated, match="not yet said"):
        container.read_head(start)
    damaged = bytearray(start + values_and(overlay))
    damaged[len(start) + 6] ^= 1
    with pytest.raises(errors.LicCorruptChunk):
        container.read(bytes(damaged), truncated=True)


def test_overlays_of_another_kind():
    with pytest.raises(errors.LicBadOption, match="a picture of 32 bits is of Numbers"):
        container.write(HEADER, [], planes=plain(bytes(4)))
    with pytest.raises(errors.LicBadOption, match="a picture of 32 bits is of Numbers"):
        container.write(dataclasses.replace(HEADER, depth=16), [], planes=plain(bytes(4)), values=FLOATS)
    for layout, depth in (("CMYK", 9), ("CMYK", 32), ("L", 31)):
        with pytest.raises(errors.LicBadOption, match="out of the range of FORMAT 3"):
            container.write(container.Header.of_overlay(5, 4, layout, depth), [], overlay=flat(0))
    tiled = container.Header(5, 4, "CMYK", 1, bytes(8), 7500, 1)
    with pytest.raises(errors.LicBadOption, match="layout is out of the range"):
        container.write(tiled, [[bytes(16)]])
    with pytest.raises(errors.LicBadOption, match="a colour of 1 bytes for 4 bands"):
        container.write(container.Header.of_overlay(5, 4, "CMYK"), [], overlay=flat(0))


def test_payloads_that_are_refused():
    good = pack_numbers(plain(b"\1\2\3\4"), HEADER)
    few = pack_numbers(table(3, flat(2)), HEADER)
    assert parse_numbers(good, 0, HEADER) == plain(b"\1\2\3\4")
    bad = [good[:length] for length in range(len(good))] + [few[:length] for length in range(len(few))]
    bad += [good + b"\0", few + b"\0", b"\2\0\1" + few[2:], b"\2\x81\x80\4" + few[2:], b"\2\4" + few[2:]]
    bomb = zlib.compress(bytes(1 << 22))
    bad.append(b"\2\3" + bytes([len(bomb) & 127 | 128, len(bomb) >> 7]) + bomb + b"\0\0\0")
    for payload in bad:
        with pytest.raises(errors.LicCorruptChunk):
            parse_numbers(payload, 0, HEADER)
        with pytest.raises(slow_container.Refused):
            slow_overlay.read_planes(payload, slow_container.read_header(b"\x05\x04\xf9"))
    with pytest.raises(errors.LicUnsupportedVersion, match="unknown prediction 3"):
        parse_numbers(b"\3" + good[1:], 0, HEADER)


def test_indices_beyond_the_table(tmp_path):
    wide = container.Planes(PLAIN, flat(0x01), flat(0x01))  # 257
    for one in (table(3, flat(3)), table(257, wide)):
        data = container.write(HEADER, [], planes=one, values=FLOATS)
        with pytest.raises(errors.LicCorruptChunk, match="indices beyond its table"):
            pillow_lic.decode(data)
        with pytest.raises(slow_container.Refused):
            slow_decoder.decode(data, tmp_path)
        with pytest.warns(UserWarning, match="painted grey"):
            assert (pillow_lic.decode(data, truncated=True) == 0.5).all()


def test_sums_of_a_table_wrap_and_gaps_are_0(tmp_path):
    steps = np.array([0xFFFFFFFF, 2, 0x80000000], "<u4")
    entries = steps.view(np.uint8).reshape(3, 4).T.tobytes()
    part = (container.Rectangle(1, 1, 2, 2, container.overlay.CONSTANT, b"\2"),)
    data = container.write(HEADER, [], planes=table(3, part, entries), values=container.Values(1, 0, 9))
    found = pillow_lic.decode(data)
    assert sorted(set(found.ravel().tolist())) == [-(2**31) + 1, -1]
    assert np.array_equal(found, slow_decoder.decode(data, tmp_path))


def test_they_count_by_their_memory():
    drawn = dataclasses.replace(HEADER, depth=8)
    for header, times in ((HEADER, 10 / 7), (dataclasses.replace(HEADER, layout="RGBA"), 40 / 7)):
        assert room.wide(header, drawn, valued=True) == pytest.approx(times)
    data = pillow_lic.encode(smooth(200, 200), lossless=True)
    pillow_lic.set_limits(pixels=50_000)
    try:
        with pytest.raises(errors.LicLimitExceeded, match="of 32 bits"):
            pillow_lic.decode(data)
    finally:
        pillow_lic.set_limits()
