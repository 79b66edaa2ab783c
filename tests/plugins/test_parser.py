"""`ImageFile.Parser`: chunks of any size, what is there when it is asked for, and how it ends."""

from __future__ import annotations

import io

import numpy as np
import pytest
from pictures import picture
from PIL import Image, ImageFile

import pillow_lic
from pillow_lic import container, errors

pytestmark = pytest.mark.network
TOY = {"model": "toy", "effort": 0, "screen": "off"}


@pytest.fixture(scope="module", params=["RGB", "LA"])
def data(request) -> bytes:
    array = picture(200, 280, 3 if request.param == "RGB" else 1, seed=5)
    image = Image.fromarray(array if request.param == "RGB" else array.reshape(200, 280))
    if request.param == "LA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    buffer = io.BytesIO()
    image.save(buffer, "LIC", exif=Image.Exif(), comment="long enough " * 20, **TOY)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("size", [1, 7, 100, 1000, 1 << 20])
def test_chunks_of_any_size(data, size):
    parser, whole = ImageFile.Parser(), opened(data)
    for begin in range(0, len(data), size):
        parser.feed(data[begin : begin + size])
        parser.feed(b"")  # as streams give
    image = parser.close()
    assert image.mode == whole.mode
    assert image.info == whole.info
    assert image.tobytes() == whole.tobytes()


@pytest.mark.parametrize("size", [333, 5000])
def test_random_chunks(data, size):
    rng, parser, at = np.random.default_rng(size), ImageFile.Parser(), 0
    while at < len(data):
        step = int(rng.integers(0, size))
        parser.feed(data[at : at + step])
        at += step
    assert parser.close().tobytes() == opened(data).tobytes()


def test_it_is_asked_for_what_it_has(data, recwarn):
    parser, whole = ImageFile.Parser(), np.asarray(opened(data), float)
    tiles = min(chunk.offset for chunk in container.read_head(data).chunks if chunk.type == "T")
    parser.feed(data[: tiles + 20])
    errors_seen = []
    for end in np.linspace(tiles + 20, len(data), 5).astype(int)[1:]:
        shown = np.asarray(parser.image, float)
        assert shown.shape == whole.shape
        errors_seen.append(np.abs(shown - whole).mean())
        assert np.array_equal(np.asarray(parser.image, float), shown)  # asked again
        parser.feed(data[len(parser.data) : end])
    assert np.abs(np.asarray(parser.image, float) - whole).mean() == 0
    assert errors_seen == sorted(errors_seen, reverse=True)
    assert errors_seen[-1] < errors_seen[0] / 2
    assert np.array_equal(np.asarray(parser.close(), float), whole)
    assert not recwarn.list


def test_it_decodes_once_for_what_is_asked(data, monkeypatch):
    from pillow_lic.plugins import pillow

    calls = []
    load = pillow.LicImageFile._load_fed
    monkeypatch.setattr(pillow.LicImageFile, "_load_fed", lambda self: calls.append(1) or load(self))
    parser = ImageFile.Parser()
    for begin in range(0, len(data), 100):
        parser.feed(data[begin : begin + 100])
    assert not calls
    for _ in range(3):
        parser.image.getpixel((0, 0))
    assert len(calls) == 1


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_file_that_ends_early(data, share, monkeypatch):
    part = data[: int(share * len(data))]
    parser = ImageFile.Parser()
    parser.feed(part)
    with pytest.raises(OSError, match="incomplete"):
        parser.close()
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    parser = ImageFile.Parser()
    parser.feed(part)
    with pytest.warns(UserWarning, match="shown|grey"):
        shown = np.asarray(parser.close())
    with pytest.warns(UserWarning, match="shown|grey"):
        assert np.array_equal(shown, pillow_lic.decode(part, truncated=True))


def test_a_damaged_file(data):
    wrong = bytearray(data)
    wrong[-30] ^= 64
    parser = ImageFile.Parser()
    parser.feed(bytes(wrong))
    with pytest.raises(errors.LicError):
        parser.close()


def test_the_head_alone_needs_no_pixels(data):
    parser = ImageFile.Parser()
    parser.feed(data[:800])
    assert parser.image.size == (280, 200)
    assert parser.image.info["model"] == "toy"
