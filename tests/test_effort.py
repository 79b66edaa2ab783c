"""Encoder effort: the search finds cheaper files, the same ones every time, for every layout, family and size."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from conftest import picture
from PIL import Image

import pillow_lic
from pillow_lic import codec, format
from pillow_lic.codec import search
from pillow_lic.errors import LicBadOption
from pillow_lic.models import registry

QUALITY = 60


def cost(array: np.ndarray, data: bytes) -> float:
    """What the search makes smaller, over the whole file: bits, and squared error in bits."""
    low, high = registry.by_name("toy").manifest["lambda"]
    worth = search.worth(low, high, (QUALITY - 1) / 99)
    error = (codec.decode(data).astype(float) - array) / 255.0
    return 8 * len(data) + worth * (error**2).sum() * (3 if array.ndim == 2 else 1)


@pytest.mark.parametrize(("height", "width", "channels"), [(96, 130, 3), (64, 64, 1), (33, 47, 4), (1, 1, 3), (70, 20, 2)])
def test_effort_lowers_the_cost(height, width, channels):
    array = picture(height, width, channels, 1)
    plain, searched = (codec.encode(array, quality=QUALITY, model="toy", effort=effort) for effort in (0, 2))
    assert codec.decode(searched).shape == array.shape  # of grey, (H, W)
    if channels in (2, 4):
        assert np.array_equal(codec.decode(searched)[..., -1], array[..., -1])
    elif array.size > 1000:
        assert cost(array, searched) < cost(array, plain)


def test_least_and_most_effort():
    array = picture(64, 96, 3, 2)
    none, least, most = (cost(array, codec.encode(array, quality=QUALITY, model="toy", effort=effort)) for effort in (0, 1, 9))
    assert least < 0.99 * none and most < 0.99 * none


def test_same_file_every_time():
    array = picture(80, 90, 3, 3)
    files = []
    for seed in (1, 2):
        torch.manual_seed(seed)  # the caller's random numbers have no say
        files.append(codec.encode(array, model="toy", effort=1))
    assert files[0] == files[1]


def test_random_numbers_of_the_caller_are_left_alone():
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    codec.encode(picture(64, 64, 3, 3), model="toy", effort=1)
    assert torch.equal(torch.rand(3), wanted)


def test_pieces(monkeypatch):
    """Many pieces with margins do about as well as one, and z stays what it was."""
    array = picture(100, 140, 3, 4)
    plain, whole = (codec.encode(array, quality=QUALITY, model="toy", effort=effort) for effort in (0, 1))
    monkeypatch.setattr(search, "SIDE", 4)
    parts = codec.encode(array, quality=QUALITY, model="toy", effort=1)
    assert cost(array, parts) < cost(array, plain) - 0.5 * (cost(array, plain) - cost(array, whole))
    zs = [codec.decode_symbols(format.read(data))[0] for data in (plain, whole, parts)]
    assert np.array_equal(zs[0], zs[1]) and np.array_equal(zs[0], zs[2])


@pytest.mark.parametrize("effort", [-1, 10, 1.5, True, "3", None])
def test_wrong_effort(effort):
    with pytest.raises(LicBadOption, match="effort"):
        codec.encode(picture(16, 16, 3, 1), model="toy", effort=effort)


def test_a_model_without_lambda(tmp_path):
    """It cannot be searched with, and says so."""
    source = registry.by_name("toy").path
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["lambda"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"name": "silent", "skip": manifest["skip"] + 1}))
    name = pillow_lic.register_model(tmp_path)
    codec.encode(picture(16, 16, 3, 1), model=name)
    with pytest.raises(LicBadOption, match="lambda"):
        codec.encode(picture(16, 16, 3, 1), model=name, effort=1)


def test_through_pillow_and_batches():
    array = picture(64, 80, 3, 5)
    wanted = codec.encode(array, quality=40, model="toy", effort=1)
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "LIC", quality=40, model="toy", effort=1)
    assert buffer.getvalue() == wanted
    assert pillow_lic.encode(array, quality=40, model="toy", effort=1) == wanted
    assert pillow_lic.encode_batch([array], quality=40, model="toy", effort=1) == [wanted]
    with pytest.raises(LicBadOption, match="effort"):
        Image.fromarray(array).save(io.BytesIO(), "LIC", effort=11)
