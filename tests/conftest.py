"""Fixtures that tests of all rooms share, and settings of theirs."""

from __future__ import annotations

import gc
import os

import hypothesis
import pytest
from pictures import picture


@pytest.fixture
def make_picture():
    return picture


@pytest.fixture
def image():
    """A function from mode ("L", "LA", "RGB", "RGBA"), height and width to an image of Pillow."""

    def make(mode="RGB", height=70, width=100):
        from PIL import Image

        return Image.fromarray(picture(height, width, len(mode)))

    return make


def pytest_configure(config):
    os.environ.setdefault("MPLBACKEND", "Agg")
    os.environ.setdefault("PILLOW_LIC_LIMITS", "models=any")  # that of tests, too
    hypothesis.settings.register_profile("any machine", deadline=None)  # a busy one is slow, not wrong
    hypothesis.settings.load_profile("any machine")


def pytest_collection_modifyitems(items):
    """Files with slow tests first: at the end no worker waits for another's."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish(session):
    """What the modules hold stays to the end: collections that tests ask for need not look at it again and again."""
    gc.freeze()


def pytest_ignore_collect(collection_path, config):
    """`-m quick` reads no file without such a test: most of them import torch."""
    if config.option.markexpr == "quick" and collection_path.name.startswith("test_"):
        return True if "pytest.mark.quick" not in collection_path.read_text(encoding="utf-8") else None
    return None
