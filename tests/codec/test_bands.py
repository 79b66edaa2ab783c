"""Pictures of many bands: what comes back, what the document says of the map, and what is refused."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import picture

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.container.bands import BandsHeader, pack_bands, parse_bands
from pillow_lic.models import registry

pytestmark = pytest.mark.network


def bands(height: int, width: int, count: int, bits: int = 12) -> np.ndarray:
    """Mixtures of three pictures and a little of each band's own."""
    rng = np.random.default_rng(count)
    base = picture(height, width, 3).astype(float).reshape(height, width, 3)
    own = rng.normal(0, 1, (height, width, count))
    mixed = (base @ rng.uniform(0, 0.33, (3, count)) + own).clip(0, 255) / 255 * (2**bits - 1)
    return mixed.round().astype(np.uint8 if bits == 8 else np.uint16)


def psnr(a: np.ndarray, b: np.ndarray, bits: int) -> float:
    return 10 * np.log10((2**bits - 1) ** 2 / max(np.mean((a.astype(float) - b) ** 2), 1e-9))


def test_components_are_coded_for_squared_errors():
    array = bands(40, 50, 4)
    for tune, model in ((None, "photo"), ("visual", "photo-visual")):
        _, files = parse_bands(pillow_lic.encode_bands(array, 80, effort=0, tune=tune))
        headers = [container.read_head(file).header for file in files]
        assert {registry.name_of(header.model, header.model_hash) for header in headers} == {model}


@pytest.mark.parametrize(("shape", "bits"), [((70, 100, 8), 12), ((33, 47, 5), 8), ((40, 64, 13), 16)])
def test_bands_come_back(shape, bits):
    array = bands(*shape, bits)
    data = pillow_lic.encode_bands(array, 80, bits=bits, effort=0)
    found = pillow_lic.decode_bands(data)
    assert found.shape == array.shape
    assert found.dtype == array.dtype
    assert psnr(array, found, bits) > 32
    assert len(data) < array.nbytes / 6
    coarse = pillow_lic.encode_bands(array, 20, bits=bits, effort=0)
    assert len(coarse) < len(data)
    assert psnr(array, pillow_lic.decode_bands(coarse), bits) < psnr(array, found, bits)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("size", [(1, 1), (17, 3)])
def test_any_number_of_bands_and_any_size(count, size):
    array = bands(*size, count)
    found = pillow_lic.decode_bands(pillow_lic.encode_bands(array, 90, effort=0))
    assert found.shape == array.shape
    assert psnr(array, found, 12) > 20


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_flat_bands(value):
    array = np.full((20, 30, 4), value, np.uint16)
    found = pillow_lic.decode_bands(pillow_lic.encode_bands(array, 75, effort=0))
    assert np.abs(found.astype(int) - value).max() <= 1


def test_the_map_is_that_of_the_document():
    """By the words of docs/BANDS.md, in Python's integers."""
    array = bands(12, 10, 5)
    data = pillow_lic.encode_bands(array, 60, effort=0)
    header, files = parse_bands(data)
    pictures = [pillow_lic.decode(file).reshape(12, 10, -1) for file in files]
    samples = np.concatenate(pictures, 2)
    matrix = np.frombuffer(header.matrix, "<i4").reshape(5, header.components)
    offset = np.frombuffer(header.offset, "<i8")
    found = pillow_lic.decode_bands(data)
    for row, column in ((0, 0), (11, 9), (5, 3)):
        p = [int(value) for value in samples[row, column]]
        for band in range(5):
            total = sum(int(m) * value for m, value in zip(matrix[band], p, strict=True))
            wanted = total + int(offset[band]) + (1 << header.fraction >> 1) >> header.fraction
            assert found[row, column, band] == min(max(wanted, 0), 4095)


def test_many_faint_bands_cost_few_pictures():
    array = np.repeat(picture(40, 40, 1)[:, :, None], 30, 2)
    header, files = parse_bands(pillow_lic.encode_bands(array, 60, effort=0))
    assert header.bands == 30
    assert len(files) == 1
    assert header.layout(0) == "L"


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (np.zeros((4, 4), np.uint8), {}),
        (np.zeros((4, 4, 3), np.float32), {}),
        (np.zeros((4, 0, 3), np.uint8), {}),
        (np.zeros((4, 4, 1025), np.uint8), {}),
        (np.full((4, 4, 3), 4096, np.uint16), {"bits": 12}),
        (np.zeros((4, 4, 3), np.uint16), {"bits": 17}),
        (np.zeros((4, 4, 3), np.uint16), {"bits": 12.0}),
        (np.zeros((4, 4, 3), np.uint8), {"bits": 12}),
        (np.zeros((4, 4, 3), np.uint8), {"quality": 101}),
    ],
)
def test_wrong_arrays_are_refused(array, options):
    with pytest.raises(errors.LicBadOption):
        pillow_lic.encode_bands(array, **options)


# ---- Hostile files ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file() -> bytes:
    return pillow_lic.encode_bands(bands(20, 30, 4), 50, effort=0)


def again(file: bytes, **changes) -> bytes:
    header, files = parse_bands(file)
    files = changes.pop("files", files)
    return pack_bands(header._replace(**changes), files)


def test_every_cut_is_refused(file):
    for length in range(0, len(file), 7):
        kind = errors.LicBadMagic if length < 4 else errors.LicTruncated
        with pytest.raises(kind):
            pillow_lic.decode_bands(file[:length])


def test_every_bit_counts(file):
    for position in range(0, len(file), 5):
        broken = bytearray(file)
        broken[position] ^= 16
        with pytest.raises(errors.LicError):
            pillow_lic.decode_bands(bytes(broken))


def test_what_is_behind_the_last_picture_is_refused(file):
    with pytest.raises(errors.LicCorruptChunk, match="behind"):
        pillow_lic.decode_bands(file + b"x")


def test_headers_that_do_not_fit_their_pictures(file):
    with pytest.raises(errors.LicCorruptChunk, match="picture 0 is"):
        pillow_lic.decode_bands(again(file, width=31))
    _, files = parse_bands(file)
    with pytest.raises(errors.LicCorruptChunk):
        pillow_lic.decode_bands(again(file, files=files[::-1]))
    with pytest.raises(errors.LicError):
        pillow_lic.decode_bands(again(file, files=[b"no picture", *files[1:]]))


def test_sizes_are_checked_before_memory_is_taken(file):
    header, files = parse_bands(file)
    with pytest.raises(errors.LicLimitExceeded):
        pillow_lic.decode_bands(file, max_pixels=100)
    huge = header._replace(width=30000, height=30000, bands=1024)
    huge = huge._replace(matrix=bytes(4 * 1024 * header.components), offset=bytes(8 * 1024))
    with pytest.raises(errors.LicLimitExceeded):
        pillow_lic.decode_bands(pack_bands(huge, files))


@pytest.mark.parametrize(
    "changes", [{"depth": 7}, {"depth": 17}, {"fraction": 21}, {"width": 0}, {"components": 5}, {"bands": 0}]
)
def test_fields_out_of_range(file, changes):
    with pytest.raises(errors.LicError):
        pillow_lic.decode_bands(again(file, **changes))


def test_maps_of_other_lengths(file):
    for extra in (b"", bytes(1 << 20)):
        with pytest.raises(errors.LicCorruptChunk, match="map"):
            pillow_lic.decode_bands(again(file, offset=extra))
    with pytest.raises(errors.LicCorruptChunk, match="offset"):
        pillow_lic.decode_bands(again(file, offset=struct.pack("<4q", 1 << 61, 0, 0, 0)))


@settings(max_examples=200)
@given(st.binary(max_size=80))
def test_no_bytes_are_worse_than_refused(tail):
    head = b"\x8dLIB" + tail
    checked = head + struct.pack("<I", zlib.crc32(head))
    for data in (tail, head, checked):
        with pytest.raises(errors.LicError):
            pillow_lic.decode_bands(data)


def test_what_is_packed_is_parsed():
    header = BandsHeader(3, 4, 2, 12, 3, 12, bytes(24), struct.pack("<2q", 5, -7))
    assert parse_bands(pack_bands(header, [b"abc"])) == (header, [b"abc"])
