"""What tests on a GPU share: the settings that they begin with, and files made there with their integers."""

from __future__ import annotations

import numpy as np
import pytest

import pillow_lic
from pillow_lic.codec.encode import Encoding
from pillow_lic.codec.options import EncodeOptions
from pillow_lic.engines import choice
from pillow_lic.engines.torch import networks


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    """PyTorch in float32 on the CPU, what a GPU takes by itself on a GPU; no device from outside."""
    monkeypatch.delenv("PILLOW_LIC_PRECISION", raising=False)
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    monkeypatch.setenv(choice.ENGINE_VARIABLE, "torch")
    real = networks.precision
    monkeypatch.setattr(networks, "precision", lambda name="cpu": "float32" if name == "cpu" else real(name))
    yield
    pillow_lic.set_device(None)


def encoded(array: np.ndarray, model: str, quality: float) -> tuple[bytes, np.ndarray, np.ndarray]:
    """A file made on the GPU, and the integers that the GPU handed to the coder."""
    made = Encoding(array, EncodeOptions(model=model, quality=quality, effort=0, device="cuda").checked())
    made.begin()
    (arrival,) = made.run([made])
    arrival.wait()
    z, r = (part.copy() for part in (arrival.value.z, arrival.value.r))
    return made.end(arrival), z, r


def level(a: np.ndarray, b: np.ndarray) -> int:
    """How far two pictures are apart at most."""
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b.astype(int)).max())
