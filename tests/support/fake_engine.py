"""A stand-in for an engine: symbols are pixels, and the stream of a tile holds them packed by zlib. So the codec, the
plugin and the command line are tested without torch and without networks; the pixels come back as they were.

tests/codec/test_engines.py compares its signatures with those of the real ones.
"""

from __future__ import annotations

import zlib
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import pytest

from pillow_lic.codec.depth import scaled
from pillow_lic.engines.base import GREY, Arrival, at_once, white_of
from pillow_lic.errors import LicCorruptTile, LicTruncated

calls: list[str] = []


@dataclass(eq=False)
class FakeSymbols:
    """The pixels (H, W, 3), of grey (H, W); of a file uint16 in 1/128 of a level, whatever its depth is."""

    header: object
    model: object
    pixels: np.ndarray
    shift: object = None
    missing: list = field(default_factory=list)
    coarse: list = field(default_factory=list)
    alpha: object = None
    notes: tuple[str, ...] = ()

    @property
    def r(self):
        """Zeros, of one channel."""
        return bytes(2 * self.header.latent_grid.rows * self.header.latent_grid.columns)

    def _part(self, tile):
        return self.pixels[tile.pixel_rows(self.header), tile.pixel_columns(self.header)]

    def encode(self, tile):
        return [bytes(16) + zlib.compress(np.ascontiguousarray(self._part(tile)).tobytes())]

    def decode(self, tile, stream):
        if not stream.complete:
            return LicTruncated(f"tile {tile.number}: missing")
        part = self._part(tile)
        try:
            data = zlib.decompress(stream.stages[0][16:])
            deep = len(data) == 2 * part.size
            found = np.frombuffer(data, np.uint16 if deep else np.uint8).reshape(part.shape)
            part[...] = found if deep else found.astype(np.uint16) * 128
        except (zlib.error, ValueError) as error:
            return LicCorruptTile(f"tile {tile.number}: {error}")
        return None

    def clear(self, tile):
        self._part(tile)[...] = GREY * 128


class FakeEngine:
    """Notes what is asked of it in `calls`."""

    group = 0

    def streams(self):
        return [nullcontext()]

    def analyse(self, pictures):
        for picture in pictures:
            calls.append(f"encode {picture.model.name} {picture.header.quality:g}")
        return pictures

    def quantise(self, latents, effort):
        found = []
        for picture in latents:
            grey = picture.header.layout in ("L", "LA")
            pixels = np.array(picture.colour[..., 0] if grey else picture.colour)
            found.append(Arrival(FakeSymbols(picture.header, picture.model, pixels), at_once))
        return found

    def at(self, latents, q):
        return [picture.at(q) for picture in latents]

    def refined(self, latents, effort):
        return latents

    def blank(self, header, model, shift=None, *, area=None):
        bands = () if header.layout in ("L", "LA") else (3,)
        return FakeSymbols(header, model, np.empty((header.height, header.width, *bands), np.uint16), shift)

    def render(self, symbols, *, scale=1, area=None):
        calls.extend("decode" for _ in symbols)
        return [Arrival(scaled(one.pixels, white_of(one.pixels), one.header.most), at_once) for one in symbols]

    def scales(self, model):
        return ()

    def hand_over(self, values):
        """Nothing waits for a device here."""


def on(device, keep=False):
    """As of engines.torch.engine, whose place this file takes in the programs of tests/install."""
    return FakeEngine()


@pytest.fixture
def fake_engine(monkeypatch):
    """Every model and device has this engine, and tiles are small, for one test; yields the list of calls made to
    it.
    """
    from pillow_lic.codec import encode
    from pillow_lic.engines import choice

    monkeypatch.setattr(choice, "encoder", lambda model, device: FakeEngine())
    monkeypatch.setattr(choice, "decoder", lambda model, device, output="numpy": FakeEngine())
    monkeypatch.setattr(encode, "TILE_SIDE", 1)
    calls.clear()
    return calls
