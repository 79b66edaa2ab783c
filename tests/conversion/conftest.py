"""Folders of pictures, and the toy model for who asks for none."""

from __future__ import annotations

import pytest
from pictures import picture
from PIL import Image


@pytest.fixture
def photos(tmp_path):
    """A folder of five pictures in two folders."""
    for n in range(5):
        path = tmp_path / "in" / ("deep" if n > 2 else "") / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(40, 60 + n, seed=n)).save(path)
    return tmp_path / "in"
