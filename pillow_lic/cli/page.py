"""Pages of one file: a template of `pages/` with its style, its script and its data within. A browser fetches nothing.

Imports the standard library; Pillow and NumPy where a picture is written.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

PAGES = Path(__file__).with_name("pages")
SOURCE_MAX = 400 << 20  # bytes of a picture in a page; Chromium refuses data URIs of 512 MiB


def filled(template: Path, data: Any) -> bytes:
    """The page: `template`, an .html file with a .css and a .js file of its name beside it, and data for its script.

    Whatever the data holds is text to the page: JSON in which no tag can begin. The page allows its own script and
    style by their hashes and pictures from data URIs, and nothing else.
    """
    style, script = (template.with_suffix(suffix).read_text(encoding="utf-8") for suffix in (".css", ".js"))
    policy = f"default-src 'none'; img-src data: blob:; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    text = json.dumps(data, allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")
    parts = {"POLICY": policy, "STYLE": style, "SCRIPT": script, "DATA": text}
    pieces = template.read_text(encoding="utf-8").split("@")
    return "".join(parts.get(piece, piece) if place % 2 else piece for place, piece in enumerate(pieces)).encode()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def source(image: Image.Image) -> str:
    """The picture as a data URI: PNG, so that every sample is what it was."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return "data:image/png;base64," + base64.b64encode(buffer.getbuffer()).decode()
