"""A stand-in for the codec room: tile streams hold zlib-packed pixels. Lets the plugin be tested without torch or a model."""

from __future__ import annotations

import sys
import types
import warnings
import zlib

import numpy as np
import pytest

from pillow_lic import errors, format
from pillow_lic.models import registry

MODEL, HASH = 1, b"fakehash"
CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
LAYOUT = {n: name for name, n in CHANNELS.items()}
calls: list[str] = []


def encode(array, *, quality=75, model=None, tune=None, effort=None, icc=None, exif=None, xmp=None, device=None):
    calls.append(f"encode {model} {quality}" + (f" on {device}" if device else ""))
    registry.chosen(model, tune, format.quality_to_q(quality))
    array = array[:, :, None] if array.ndim == 2 else array
    layout = LAYOUT[array.shape[2]]
    header = format.Header(array.shape[1], array.shape[0], layout, MODEL, HASH, format.quality_to_q(quality), 1)
    streams = []
    for tile in header.tiles():
        part = array[tile.pixel_rows(header), tile.pixel_columns(header)]
        streams.append(bytes(16) + zlib.compress(np.ascontiguousarray(part).tobytes()))
    alpha = b"\0\xff" if header.has_alpha else None
    return format.write(header, streams, alpha=alpha, icc=icc, exif=exif, xmp=xmp)


def decode_container(container, *, truncated=False):
    calls.append("decode")
    header = container.header
    array = np.full((header.height, header.width, CHANNELS[header.layout]), 128, np.uint8)
    for tile, stream in zip(header.tiles(), container.tiles):
        part = array[tile.pixel_rows(header), tile.pixel_columns(header)]
        if stream is None:
            if not truncated:
                raise errors.LicTruncated("tile missing")
            warnings.warn("tile missing; painted grey", stacklevel=2)
            continue
        part[...] = np.frombuffer(zlib.decompress(stream[16:]), np.uint8).reshape(part.shape)
    return array[:, :, 0] if header.layout == "L" else array


def decode(data, *, max_pixels=None, device=None, output="numpy"):
    return decode_container(format.read(data, max_pixels=max_pixels))


def set_device(device):
    calls.append(f"set {device}")


def module() -> types.ModuleType:
    fake = types.ModuleType("pillow_lic.codec")
    fake.encode, fake.decode, fake.decode_container, fake.set_device = encode, decode, decode_container, set_device
    return fake


@pytest.fixture
def fake_codec(monkeypatch):
    """Replaces pillow_lic.codec for one test; yields the list of calls made to it."""
    import pillow_lic

    fake = module()
    monkeypatch.setitem(sys.modules, "pillow_lic.codec", fake)
    monkeypatch.setattr(pillow_lic, "codec", fake, raising=False)
    calls.clear()
    yield calls
