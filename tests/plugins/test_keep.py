"""save(quality="keep") and `lic edit`: other metadata, the streams bit for bit."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from commands import lic
from PIL import Image

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.container import edit
from pillow_lic.container.writer import chunk_bytes

# Nothing but a description, "a", by either byte order; OTHER says "b".
EXIF = b"MM\0*\0\0\0\x08" + b"\0\x01\x01\x0e\0\x02\0\0\0\x02a\0\0\0" + bytes(4)
OTHER = b"II*\0\x08\0\0\0" + b"\x01\0\x0e\x01\x02\0\x02\0\0\0b\0\0\0" + bytes(4)


def made(make_picture, bands: int = 4, **options) -> bytes:
    metadata = {"exif": EXIF, "xmp": b"<x/>", "icc": b"\0" * 200}
    return pillow_lic.encode(make_picture(70, 90, bands), **{"model": "toy", "progressive": True} | metadata | options)


def streams(data: bytes) -> list[tuple[str, bytes]]:
    """All chunks but metadata."""
    chunks = container.read_head(data).chunks
    return [(one.type, data[one.start : one.end]) for one in chunks if one.type not in "xce"]


def saved(im: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    im.save(buffer, "LIC", quality="keep", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_kept_files_are_the_same(make_picture, bands):
    data = made(make_picture, bands)
    with Image.open(io.BytesIO(data)) as im:
        assert saved(im) == data
    with Image.open(io.BytesIO(data)) as im:
        im.load()
        assert saved(im) == data


def test_kept_lossless(make_picture):
    data = pillow_lic.encode(make_picture(70, 90), lossless=True)
    with Image.open(io.BytesIO(data)) as im:
        assert saved(im) == data


def test_metadata_may_change(make_picture):
    data = made(make_picture)
    with Image.open(io.BytesIO(data)) as im:
        changed = saved(im, exif=OTHER, xmp=b"", icc_profile=None)
        commented = saved(im, comment="seen")
    head = container.read_head(changed)
    assert (head.exif, head.xmp, head.icc) == (OTHER, None, None)
    assert streams(changed) == streams(data)
    assert streams(commented) == streams(data)
    with Image.open(io.BytesIO(commented)) as im:
        assert im.info["comment"] == b"seen"
        assert im.info["xmp"] == b"<x/>"
    assert container.verify(changed) == []


def test_files_are_kept_in_their_place(make_picture, tmp_path):
    path = tmp_path / "a.lic"
    path.write_bytes(made(make_picture))
    with Image.open(path) as im:
        im.save(path, quality="keep", xmp=b"<y/>")
    assert container.read_head(path.read_bytes()).xmp == b"<y/>"
    assert streams(path.read_bytes()) == streams(made(make_picture))


def test_what_cannot_be_kept(make_picture):
    data = made(make_picture)
    with Image.open(io.BytesIO(data)) as im:
        im.putpixel((3, 4), (1, 2, 3, 4))
        with pytest.raises(errors.LicBadOption, match="pixels were changed"):
            saved(im)
    with Image.open(io.BytesIO(data)) as im:
        for other in (im.copy(), im.rotate(90), Image.new("RGB", (5, 5))):
            with pytest.raises(errors.LicBadOption, match="a picture of another kind"):
                saved(other)
        with pytest.raises(errors.LicBadOption, match="leave out tune, effort"):
            saved(im, effort=3, tune="psnr")


def test_chunks_of_others_stay(make_picture):
    """Ancillary chunks that this version does not know are copied; what follows the end is dropped."""
    data = made(make_picture)
    at = container.read_head(data).chunk("T").start
    more = data[:at] + chunk_bytes("q", b"what") + data[at:] + b"trailing"
    changed = edit.edited(more, {"x": b"<z/>"})
    assert streams(changed) == streams(more)
    assert changed.endswith(data[-100:])


def test_damaged_files_are_refused(make_picture):
    data = bytearray(made(make_picture))
    with pytest.raises(errors.LicTruncated):
        edit.edited(bytes(data[:-5]), {})
    data[-9] ^= 1
    with pytest.raises(errors.LicCorruptChunk):
        edit.edited(bytes(data), {"x": None})


def test_commands_edit(make_picture, tmp_path, capsys):
    path, exif, xmp = tmp_path / "a.lic", tmp_path / "exif", tmp_path / "xmp"
    data = made(make_picture, icc=None, xmp=None)
    path.write_bytes(data)
    exif.write_bytes(b"Exif\0\0" + OTHER)
    xmp.write_bytes(b"<w/>")
    assert lic("edit", path, "--caption", "A <boat> & a quay", "--keyword", "sea", "--keyword", "boat") == 0
    first = path.read_bytes()
    head = container.read_head(first)
    assert [chunk.type for chunk in head.chunks][:2] == ["H", "x"]
    assert b"A &lt;boat&gt; &amp; a quay" in head.xmp
    assert b"<rdf:li>sea</rdf:li><rdf:li>boat</rdf:li>" in head.xmp
    found = ElementTree.fromstring(head.xmp).iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li")
    assert [one.text for one in found] == ["A <boat> & a quay", "sea", "boat"]
    assert (head.exif, streams(first)) == (EXIF, streams(data))
    assert lic("edit", path, "--caption", "again") == 1
    assert "there is XMP already" in capsys.readouterr().err
    assert path.read_bytes() == first
    other = tmp_path / "b.lic"
    assert lic("edit", path, "--strip", "--exif", exif, "-o", other) == 0
    head = container.read_head(other.read_bytes())
    assert (head.exif, head.xmp, path.read_bytes()) == (OTHER, None, first)
    assert lic("edit", path, "--xmp", xmp, "-o", other) == 1  # it is there
    assert lic("edit", path, "--xmp", xmp, "-o", other, "-f") == 0
    assert container.read_head(other.read_bytes()).xmp == b"<w/>"
    assert np.array_equal(pillow_lic.decode(other), pillow_lic.decode(data))


def test_commands_that_say_too_little_or_too_much(make_picture, tmp_path, capsys):
    path = tmp_path / "a.lic"
    path.write_bytes(made(make_picture))
    other = tmp_path / "other.lic"
    other.write_bytes(path.read_bytes())
    for arguments, words in [
        ((path,), "nothing to do"),
        ((path, other, "--strip", "-o", tmp_path / "b.lic"), "-o and - are for one file"),
        ((path, "--xmp", path, "--caption", "a"), "give them, or --xmp"),
        ((path, "--strip", "--caption", "a\0b"), "control characters"),
    ]:
        assert lic("edit", *arguments) == 2
        assert words in capsys.readouterr().err
    path.write_bytes(path.read_bytes()[:-4])
    assert lic("edit", path, "--strip") == 1
    assert "a.lic: " in capsys.readouterr().err
