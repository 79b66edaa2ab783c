"""Images saved through the plugin and opened again, for its tests."""

from __future__ import annotations

import io

from PIL import Image, ImageCms

MODES = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>text</a></x:xmpmeta>'
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(im: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    im.save(buffer, "LIC", **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def same(a: Image.Image, b: Image.Image) -> bool:
    return a.mode == b.mode and a.size == b.size and a.tobytes() == b.tobytes()


def exif(text="made up") -> Image.Exif:
    values = Image.Exif()
    values[0x010E] = text  # ImageDescription
    values[0x0112] = 6  # Orientation
    return values
