"""Previews: made at save, taken by draft() and thumbnail() by Pillow's rules, never instead of the picture itself."""

from __future__ import annotations

import io

import numpy as np
import pytest
from pictures import picture
from PIL import Image, features

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.codec import preview as previews
from pillow_lic.container import Preview

pytestmark = pytest.mark.network
TOY = {"model": "toy", "effort": 0, "screen": "off"}


def saved(mode: str = "RGB", size: tuple[int, int] = (600, 400), **options) -> bytes:
    array = picture(size[1], size[0], 1 if mode in ("L", "LA") else 3, seed=2)
    image = Image.fromarray(array if array.ndim == 2 or array.shape[2] != 1 else array[..., 0])
    if mode.endswith("A"):
        image.putalpha(Image.linear_gradient("L").resize(size))
    buffer = io.BytesIO()
    image.save(buffer, "LIC", **{**TOY, **options})
    return buffer.getvalue()


def with_preview(data: bytes, preview: Preview) -> bytes:
    chunks = container.read(data)
    tiles = [tile.stages for tile in chunks.tiles]
    return container.write(chunks.header, tiles, chunks.alpha, preview=preview)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_thumbnail_takes_it(mode, monkeypatch):
    data = saved(mode, preview=300)
    whole = Image.open(io.BytesIO(data))
    whole.load()
    whole.thumbnail((100, 100))
    small = Image.open(io.BytesIO(data))
    monkeypatch.setattr(small, "chunks", None)  # tiles are not read
    small.thumbnail((100, 100))
    assert (small.size, small.mode) == (whole.size, whole.mode)
    difference = np.asarray(small, float) - np.asarray(whole, float)
    assert np.abs(difference).mean() < 12  # the toy model is coarse


def test_never_smaller_than_asked():
    data = saved(preview=300)
    for size, taken in (((300, 200), True), ((301, 200), False), ((300, 201), False), ((20, 20), True), (None, False)):
        image = Image.open(io.BytesIO(data))
        found = image.draft(None, size)
        assert (found is not None) == taken
        assert image.size == ((300, 200) if taken else (600, 400))
        image.load()
        assert np.asarray(image).shape[:2] == image.size[::-1]
    image = Image.open(io.BytesIO(data))
    image.thumbnail((290, 290))  # Pillow asks for twice as much
    assert image.size == (290, 193)


def test_is_off_unless_asked_for():
    assert container.read_head(saved()).preview is None
    assert container.read_head(saved(preview=False)).preview is None
    assert container.read_head(saved(size=(100, 90), preview=True)).preview is None  # no larger itself
    assert container.read_head(saved(preview=True)).preview.width == previews.SIDE


def test_picture_is_the_same():
    assert np.array_equal(pillow_lic.decode(saved(preview=True)), pillow_lic.decode(saved()))


def test_lossless_has_one():
    data = saved(lossless=True, preview=64)
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (64, 40))
    assert image.size == (64, 43)


@pytest.mark.parametrize("kind", ["WEBP", "JPEG"])
@pytest.mark.parametrize("data", [b"", b"nonsense", b"RIFF\0\0\0\0WEBPVP8 ", b"\xff\xd8\xff\xe0"])
def test_damaged_previews_are_left_alone(kind, data):
    image = Image.open(io.BytesIO(with_preview(saved(), Preview(kind, 300, 200, data))))
    image.thumbnail((100, 100))
    assert image.size == (100, 67)


def test_preview_of_another_size_is_left_alone():
    buffer = io.BytesIO()
    Image.new("RGB", (2000, 10)).save(buffer, "JPEG")
    data = with_preview(saved(), Preview("JPEG", 300, 200, buffer.getvalue()))
    image = Image.open(io.BytesIO(data))
    assert image.draft(None, (10, 10)) is None
    image.load()
    assert image.size == (600, 400)


def test_without_webp_it_is_a_jpeg(monkeypatch):
    monkeypatch.setattr(features, "check", lambda _: False)
    data = saved(preview=300)
    assert container.read_head(data).preview.kind == "JPEG"
    image = Image.open(io.BytesIO(data))
    assert image.draft(None, (300, 200)) is not None
    assert container.read_head(saved("RGBA", preview=300)).preview is None  # JPEG has no alpha


@pytest.mark.parametrize("wrong", [5, 5000, "big", 100.5, -1])
def test_refusals(wrong):
    with pytest.raises(errors.LicBadOption, match="preview"):
        saved(preview=wrong)
