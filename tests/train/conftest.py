"""What tests of training share: a folder of photographs."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    """A folder with loose pictures and one tar part, as `--data` takes it."""
    from pictures import picture

    folder = tmp_path_factory.mktemp("photographs")
    for number in range(4):
        Image.fromarray(picture(180, 240, 3, number)).save(folder / f"{number}.png")
    with tarfile.open(folder / "part.tar", "w") as archive:
        buffer = io.BytesIO()
        Image.fromarray(picture(200, 200, 3, 9)).save(buffer, "JPEG")
        member = tarfile.TarInfo("nine.jpg")
        member.size = buffer.tell()
        buffer.seek(0)
        archive.addfile(member, buffer)
    return folder
