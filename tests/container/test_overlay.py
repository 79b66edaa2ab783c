"""The overlay chunk: what its literal bytes mean, what is refused before anything is unpacked, both decoders (FORMAT
5.2).
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import slow_container
import slow_decoder
from PIL import Image

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.codec import overlay
from pillow_lic.codec.decode_options import DecodeOptions
from pillow_lic.container import Rectangle

pytestmark = pytest.mark.quick

START = b"\x8dLID\x00\x03"
MODES = ("L", "LA", "RGB", "RGBA")


def chunk(type: bytes, payload: bytes, before: bytes = b"") -> bytes:
    head = type + container.fields.varint(len(payload))
    return before + head + payload + struct.pack("<I", zlib.crc32(before + head + payload))


def alone(payload: bytes, layout: int = 3, width: int = 3, height: int = 2) -> bytes:
    """A file whose overlay stands alone."""
    return chunk(b"H", bytes([width, height, layout | 128]), START) + chunk(b"O", payload)


def noise(height: int, width: int, mode: str, seed: int = 1) -> Image.Image:
    shape = (height, width, len(mode)) if len(mode) > 1 else (height, width)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def png(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def pixels(data: bytes) -> np.ndarray:
    """By both decoders."""
    found = pillow_lic.decode(data)
    assert np.array_equal(slow_decoder.decode(data, None), found)
    return np.asarray(found)


def test_a_literal_file_is_twenty_six_bytes():
    data = alone(b"\0\0\x10\x20\x30")
    assert len(data) == 26
    assert (pixels(data) == (16, 32, 48)).all()
    assert pixels(data).shape == (2, 3, 3)
    image = Image.open(io.BytesIO(data))
    assert image.info["lossless"]
    assert image.info["model"] is None
    assert image.getpixel((2, 1)) == (16, 32, 48)


def test_later_rectangles_cover_earlier_ones_and_the_rest_is_zero():
    data = alone(b"\2" + b"\0\0\2\1\0\1" + b"\1\0\1\2\0\1" + b"\x07\x09", layout=1)
    assert pixels(data).tolist() == [[7, 9, 0], [0, 9, 0]]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", [container.overlay.PNG, container.overlay.WEBP])
def test_both_decoders_unpack_every_mode(mode, method):
    image = noise(20, 33, mode)
    one = overlay.pack(image, 0, 0)[0]
    if method == container.overlay.PNG:
        one = one._replace(method=method, data=png(image))
    data = container.write(container.Header.of_overlay(33, 20, mode), [], overlay=[one])
    assert np.array_equal(pixels(data), np.asarray(image))


@pytest.mark.parametrize(
    ("mode", "options"),
    [("1", {}), ("L", {}), ("P", {"bits": 1}), ("P", {"bits": 2}), ("P", {"bits": 4}), ("P", {}), ("RGB", {})],
)
def test_png_of_few_bits(mode, options):
    image = noise(9, 21, "L").point(lambda value: value & 1)
    image = image.convert("1", dither=Image.Dither.NONE) if mode == "1" else image.convert(mode)
    one = Rectangle(0, 0, 21, 9, 1, png(image, **options))
    data = container.write(container.Header.of_overlay(21, 9, "RGB"), [], overlay=[one])
    assert np.array_equal(pixels(data), np.asarray(image.convert("RGB")))


def test_without_webp_png_is_written_and_webp_refused_by_name(monkeypatch):
    image = noise(20, 33, "RGB")
    webp = container.write(container.Header.of_overlay(33, 20, "RGB"), [], overlay=overlay.pack(image, 0, 0))
    monkeypatch.setattr(overlay.features, "check", lambda name: name != "webp")
    with pytest.raises(errors.LicWebpMissing, match="built without WebP"):
        pillow_lic.decode(webp)
    few = image.quantize(5).convert("RGB")
    for one in (image, few):
        (packed,) = overlay.pack(one, 0, 0)
        assert packed.method == container.overlay.PNG
        data = container.write(container.Header.of_overlay(33, 20, "RGB"), [], overlay=[packed])
        assert np.array_equal(pixels(data), np.asarray(one))
    assert len(packed.data) < 500  # four bits a pixel


def test_what_webp_cannot_take_is_split():
    image = Image.linear_gradient("L").resize((16400, 3))
    rectangles = overlay.pack(image, 0, 0)
    assert [one[:4] for one in rectangles] == [(0, 0, 16383, 3), (16383, 0, 17, 3)]
    data = container.write(container.Header.of_overlay(16400, 3, "L"), [], overlay=rectangles)
    assert np.array_equal(pixels(data), np.asarray(image))


RGB_PNG = png(noise(2, 3, "RGB"))
WEBP = overlay.pack(noise(2, 3, "RGB"), 0, 0)[0].data if overlay.features.check("webp") else b"\x2f\x02\x40\0\0"


def with_chunk(kind: bytes) -> bytes:
    return RGB_PNG[:33] + struct.pack(">I", 1) + kind + b"a" + struct.pack(">I", zlib.crc32(kind + b"a")) + RGB_PNG[33:]


REFUSED = {
    "empty": (b"", errors.LicCorruptChunk),
    "no method": (b"\0", errors.LicCorruptChunk),
    "no data": (b"\0\0", errors.LicCorruptChunk),
    "colour of two bands": (b"\0\0ab", errors.LicCorruptChunk),
    "method": (b"\0\3abc", errors.LicUnsupportedVersion),
    "too many": (b"\x81\x20" + bytes(100), errors.LicLimitExceeded),
    "left": (b"\1\3\0\1\1\0\3abc", errors.LicCorruptChunk),
    "width": (b"\1\1\0\3\1\0\3abc", errors.LicCorruptChunk),
    "width 0": (b"\1\1\0\0\1\0\3abc", errors.LicCorruptChunk),
    "height": (b"\1\0\1\1\2\0\3abc", errors.LicCorruptChunk),
    "length 0": (b"\1\0\0\1\1\0\0", errors.LicCorruptChunk),
    "length beyond": (b"\1\0\0\1\1\0\4abc", errors.LicCorruptChunk),
    "tail": (b"\1\0\0\1\1\0\3abcd", errors.LicCorruptChunk),
    "more pixels than there are": (b"\2" + 2 * b"\0\0\3\2\0\3" + b"abcdef", errors.LicLimitExceeded),
    "not PNG": (b"\0\1" + b"GIF89a" + bytes(40), errors.LicCorruptChunk),
    "PNG of another size": (b"\0\1" + png(noise(3, 3, "RGB")), errors.LicCorruptChunk),
    "PNG with alpha": (b"\0\1" + png(noise(2, 3, "RGBA")), errors.LicCorruptChunk),
    "PNG with text": (b"\0\1" + with_chunk(b"tEXt"), errors.LicCorruptChunk),
    "PNG with packed text": (b"\0\1" + with_chunk(b"zTXt"), errors.LicCorruptChunk),
    "PNG cut": (b"\0\1" + RGB_PNG[:-12], errors.LicCorruptChunk),
    "interlaced PNG": (b"\0\1" + RGB_PNG[:28] + b"\1" + RGB_PNG[29:], errors.LicCorruptChunk),
    "not WebP": (b"\0\2\x30\x02\x40\0\0", errors.LicCorruptChunk),
    "WebP cut": (b"\0\2\x2f\x02\x40", errors.LicCorruptChunk),
    "WebP of another size": (b"\0\2\x2f\x03" + WEBP[2:], errors.LicCorruptChunk),
    "WebP with alpha": (b"\0\2" + WEBP[:4] + bytes([WEBP[4] | 16]) + WEBP[5:], errors.LicCorruptChunk),
    "WebP of a later version": (b"\0\2" + WEBP[:4] + bytes([WEBP[4] | 32]) + WEBP[5:], errors.LicCorruptChunk),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_when_read(name, monkeypatch):
    """By the container, which unpacks nothing; by the second decoder as well."""
    payload, kind = REFUSED[name]
    monkeypatch.setattr(overlay, "unpack", None)
    with pytest.raises(errors.LicError) as caught:
        container.read(alone(payload))
    assert type(caught.value) is kind
    with pytest.raises(slow_container.Refused):
        slow_container.parse(alone(payload))


def test_tiles_and_overlay_alone_exclude_each_other():
    colour, tiles = chunk(b"O", b"\0\0abc"), chunk(b"T", b"\x10" + bytes(16))
    head, full = chunk(b"H", b"\3\2\x83", START), chunk(b"H", b"\3\2\3\1" + bytes(8) + b"\x4c\x1d\x10\0", START)
    for data, kind in (
        (head + tiles + colour, errors.LicCorruptChunk),
        (head + tiles, errors.LicCorruptChunk),
        (head, errors.LicTruncated),
        (head + chunk(b"A", b"\0\xff") + colour, errors.LicCorruptChunk),
        (full + colour, errors.LicTruncated),
        (full + colour + colour + tiles, errors.LicCorruptChunk),
    ):
        with pytest.raises(errors.LicError) as caught:
            container.read(data)
        assert type(caught.value) is kind, data
        with pytest.raises(slow_container.Refused):
            slow_container.parse(data)
    assert container.read(full + colour + tiles).overlay == (Rectangle(0, 0, 3, 2, 0, b"abc"),)
    assert container.read(full + tiles + colour).overlay == ()  # behind the end
    assert container.read(head + colour + tiles).tiles == []


def test_damage_inside_is_a_named_error_or_grey():
    """Its own checksum repaired, each byte of a WebP and a PNG flipped: other pixels, or LicCorruptChunk."""
    for payload in (b"\0\2" + WEBP, b"\0\1" + RGB_PNG):
        for at in range(2, len(payload)):
            broken = alone(payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :])
            try:
                found = np.asarray(pillow_lic.decode(broken)).shape
            except errors.LicCorruptChunk as error:
                found = str(error)
            assert found == (2, 3, 3) or "fetch it again" in found
    garbage = struct.pack(">I", 4) + b"IDAT" + bytes(4) + struct.pack(">I", zlib.crc32(b"IDAT" + bytes(4)))
    broken = alone(b"\0\1" + RGB_PNG[:33] + garbage + RGB_PNG[-12:])
    with pytest.raises(errors.LicCorruptChunk):
        pillow_lic.decode(broken)
    for data in (broken, broken[:-9]):
        with pytest.warns(UserWarning, match="painted grey"):
            assert (np.asarray(pillow_lic.decode(data, truncated=True)) == 128).all()


def test_a_small_file_cannot_ask_for_more_than_the_picture():
    """A WebP of 16383 x 16383 pixels of one colour in a few bytes, said to be 3 x 2."""
    bomb = b"\x2f" + struct.pack("<I", 16382 | 16382 << 14) + b"\x88\x88\x08" + bytes(20)
    with pytest.raises(errors.LicCorruptChunk, match="3 x 2 pixels"):
        container.read(alone(b"\0\2" + bomb))
    big = chunk(b"H", b"\xff\x7f\xff\x7f\x83", START) + chunk(b"O", b"\0\2" + bomb)
    with pytest.raises(errors.LicLimitExceeded, match="max_pixels"):
        pillow_lic.decode(big, max_pixels=1e6)


def test_paint_clips_to_an_area():
    image, area = noise(6, 8, "RGB"), container.Area(slice(3, 9), slice(2, 7))
    out = bytearray(6 * 5 * 3)
    rectangles = [*overlay.pack(image, 4, 1), Rectangle(0, 0, 2, 2, 0, b"abc")]
    overlay.paint(memoryview(out), rectangles, 3, area)
    whole = np.zeros((12, 16, 3), np.uint8)
    whole[1:7, 4:12] = np.asarray(image)
    assert np.array_equal(np.frombuffer(out, np.uint8).reshape(6, 5, 3), whole[3:9, 2:7])


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (4, 6, 2), (9, 3, 3), (16, 20, 4)])
def test_lossless_is_exact(shape):
    rng = np.random.default_rng(2)
    for array in (rng.integers(0, 256, shape, np.uint8), np.full(shape, 200, np.uint8)):
        assert np.array_equal(pixels(pillow_lic.encode(array, lossless=True)), array)


def test_options_are_checked():
    assert DecodeOptions(truncated=True).checked().truncated
    with pytest.raises(errors.LicBadOption, match="lossless must be True or False"):
        pillow_lic.encode(np.zeros((2, 2), np.uint8), lossless="yes")
