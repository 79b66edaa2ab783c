"""What several tests ask of the codec: symbols and pixels of files, and what a file costs."""

from __future__ import annotations

import dataclasses
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from pictures import picture

import pillow_lic
from pillow_lic import container
from pillow_lic.codec.decode import decode_symbols, decoded
from pillow_lic.codec.decode_options import DecodeOptions
from pillow_lic.engines import base, choice
from pillow_lic.models import registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np


def symbols(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """z and r."""
    return decode_symbols(container.read(data))[:2]


def pixels_of(chunks: container.Container, **options) -> np.ndarray:
    """As pillow_lic.decode, of a file whose chunks are read."""
    found = decoded(chunks, DecodeOptions(**options).checked())
    for note in found.notes:
        warnings.warn(note, stacklevel=2)
    return found.array()


def written(chunks: container.Container, stages: Sequence[Sequence[bytes]] | None = None, **changes) -> bytes:
    """The file of these chunks, with other stages of its tiles, or other fields of its header."""
    tiles = [tile.stages for tile in chunks.tiles] if stages is None else stages
    extra = {"icc": chunks.icc, "exif": chunks.exif, "xmp": chunks.xmp, "overlay": chunks.overlay, "map": chunks.map}
    extra |= {"planes": chunks.planes, "cicp": chunks.cicp, "values": chunks.values}
    return container.write(dataclasses.replace(chunks.header, **changes), tiles, chunks.alpha, **extra)


def cost(array: np.ndarray, data: bytes, quality: int = 60, model: str = "toy") -> float:
    """What the search makes smaller, over the whole file: bits, and squared error in bits."""
    bit = base.error_of_bit(registry.by_name(model).manifest.lambda_at(100 * quality))
    bands = 3 if array.ndim == 3 and array.shape[2] > 2 else 1  # without alpha
    shape = (*array.shape[:2], -1)
    decoded = pillow_lic.decode(data).reshape(shape)[..., :bands].astype(float)
    error = (decoded - array.reshape(shape)[..., :bands]) / 255.0
    return 8 * len(data) + (error**2).sum() * (3 / bands) / bit


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many, of ours and of torch's."""
    import torch

    before = torch.get_num_threads()
    pillow_lic.set_threads(count)
    torch.set_num_threads(count)
    try:
        yield
    finally:
        pillow_lic.set_threads(None)
        torch.set_num_threads(before)


@pytest.fixture
def on_torch(monkeypatch):
    """PyTorch's engine on the CPU, in float32, also for what the native one can do."""
    monkeypatch.setenv(choice.ENGINE_VARIABLE, "torch")
    monkeypatch.setenv("PILLOW_LIC_PRECISION", "float32")


@pytest.fixture(params=["auto", "torch"])
def engine(request, monkeypatch) -> str:
    """The native engine, then PyTorch's in float32."""
    monkeypatch.setenv(choice.ENGINE_VARIABLE, request.param)
    monkeypatch.setenv("PILLOW_LIC_PRECISION", "float32")
    return request.param


@pytest.fixture
def nothing_registered():
    """What a test registers is unknown to the next."""
    yield
    registry.forget_registered()


def mapped(model: str, shift: np.ndarray, effort: int = 0, progressive: bool = False) -> bytes:
    """A file with a quality map, made by the engine of the day."""
    own, array = registry.by_name(model), picture(120, 150, seed=5)
    header = container.read(pillow_lic.encode(array, model=model, quality=60, effort=0)).header
    engine = choice.encoder(own, "cpu")
    job = base.Picture(header, own, array, shift.tobytes(), progressive)
    arrival = engine.quantise(engine.analyse([job]), effort)[0]
    arrival.wait()
    found = arrival.value
    return container.write(found.header, [found.encode(tile) for tile in header.tiles()], map=shift.tobytes())
