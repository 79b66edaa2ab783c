"""Which engine the codec's tests run on, where they say so, else it is what a user gets; and pictures and files of
several shapes.
"""

from __future__ import annotations

import itertools

import pytest
from fake_engine import fake_engine
from pictures import picture
from shortcuts import engine, on_torch

import pillow_lic
from pillow_lic.models import registry

__all__ = ["engine", "fake_engine", "on_torch"]

SHAPES = [
    (40, 60, 3),
    (1, 1, 3),
    (40, 64, 1),
    (33, 50, 4),
    (130, 70, 3),
    (40, 60, 2),
    (39, 59, 3),
    (48, 64, 3),
    (64, 48, 3),
    (16, 16, 3),
]


@pytest.fixture
def forget():
    """What a test registers is unknown to the next."""
    yield
    registry.forget_registered()


@pytest.fixture(scope="module")
def arrays():
    """uint8 pictures of SHAPES."""
    return [picture(*shape, seed) for seed, shape in enumerate(SHAPES)]


@pytest.fixture(scope="module")
def files(arrays) -> list[bytes]:
    """Of two models and several qualities."""
    settings = itertools.cycle([("toy", 75), ("toy", 30), ("photo", 60)])
    return [pillow_lic.encode(array, model=model, quality=q) for array, (model, q) in zip(arrays, settings)]
