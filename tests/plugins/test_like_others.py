"""What any format of Pillow's and imageio's is expected to do, and their tests ask of each plugin: frames, names, file
pointers, targets, EXIF that turns pictures, pickles of what is and is not loaded, and imageio's ways to ask.
"""

from __future__ import annotations

import copy
import io
import os
import pickle
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image, ImageChops, ImageOps, ImageSequence, UnidentifiedImageError
from saved_images import opened, saved

import pillow_lic

pytestmark = pytest.mark.usefixtures("fake_engine")


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_names(image, tmp_path):
    """Of the format, by extension, in either case, and as a MIME type."""
    image().save(tmp_path / "a.LIC")
    image().save(tmp_path / "b", "lic")
    for name in ("a.LIC", "b"):
        with Image.open(tmp_path / name, formats=("lic",)) as im:
            assert (im.format, im.format_description) == ("LIC", "Learned image codec")
            assert im.get_format_mimetype() == Image.MIME["LIC"]
            assert im.size == image().size
        with pytest.raises(UnidentifiedImageError):
            Image.open(tmp_path / name, formats=["PNG", "WEBP"])
    assert Image.registered_extensions()[".lic"] == "LIC"


def test_frames_are_one(image):
    im = opened(saved(image()))
    assert (im.tell(), im.n_frames, im.is_animated) == (0, 1, False)
    im.seek(0)
    for frame in (1, -1):
        with pytest.raises(EOFError):
            im.seek(frame)
    assert im.tell() == 0
    assert [frame.size for frame in ImageSequence.Iterator(im)] == [im.size]
    assert im.getbbox() is not None


@pytest.mark.parametrize("content", [b"", b"\x8d", b"\x8dLIC" * 20, bytes(1000)])
def test_what_is_no_file_of_ours(content, tmp_path):
    (tmp_path / "a.lic").write_bytes(content)
    with pytest.raises(UnidentifiedImageError):
        Image.open(tmp_path / "a.lic")
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(content))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no list of open files here")
def test_files_are_let_go_of(image, tmp_path):
    """Loaded, closed, in a with statement, verified, refused, made a thumbnail."""
    path = tmp_path / "a.lic"
    image().save(path)
    before = open_files()
    Image.open(path).load()
    Image.open(path).close()
    with Image.open(path):
        pass
    with Image.open(path) as im:
        im.thumbnail((9, 9))
    Image.open(path).verify()
    with pytest.raises(UnidentifiedImageError):
        Image.open(path, formats=["PNG"])
    with pytest.raises(pillow_lic.errors.LicBadOption):
        image().save(tmp_path / "b.lic", quality="much")
    assert open_files() == before
    assert not (tmp_path / "b.lic").exists()


def test_files_of_others_stay_open(image, tmp_path):
    """What the caller opened the caller closes; it can be opened again from there."""
    data = io.BytesIO()
    image().save(data, "LIC")
    for _ in range(2):
        with Image.open(data) as im:
            im.load()
        assert not data.closed
    (tmp_path / "a.lic").write_bytes(data.getvalue())
    with (tmp_path / "a.lic").open("rb") as file:
        first, second = Image.open(file), Image.open(file)
        assert ImageChops.difference(first, second).getbbox() is None
        assert not file.closed


@pytest.mark.parametrize("kind", [str, Path, os.fsencode])
def test_paths_of_every_kind(image, kind, tmp_path):
    path = kind(str(tmp_path / "ä b.lic"))
    image().save(path)
    with Image.open(path) as im:
        assert im.size == image().size


def test_a_second_save_into_a_buffer_follows_the_first(image):
    data = io.BytesIO(b"before")
    data.seek(6)
    image().save(data, "LIC")
    middle = data.tell()
    image(width=33).save(data, "LIC")
    assert data.getvalue()[:6] == b"before"
    assert opened(data.getvalue()[6:middle]).size == image().size
    assert opened(data.getvalue()[middle:]).size == image(width=33).size


def test_targets_that_cannot_be_written(image, tmp_path):
    closed = io.BytesIO()
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        image().save(closed, "LIC")
    with pytest.raises(FileNotFoundError):
        image().save(tmp_path / "none" / "a.lic")
    (tmp_path / "a.lic").write_bytes(saved(image()))
    with (tmp_path / "a.lic").open("rb") as file, pytest.raises(OSError, match="writ"):
        image().save(file, "LIC")
    assert Image.open(tmp_path / "a.lic").size == image().size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_that_turns(image, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    im = opened(saved(image(), exif=exif))
    assert im.getexif()[274] == orientation
    turned = ImageOps.exif_transpose(im)
    source = image()
    source.getexif()[274] = orientation
    assert ImageChops.difference(turned, ImageOps.exif_transpose(source)).getbbox() is None
    assert turned.getexif().get(274, 1) == 1
    again = opened(saved(turned, exif=turned.getexif()))
    assert again.getexif().get(274, 1) == 1


def test_exif_and_xmp_as_objects(image):
    exif = Image.Exif()
    exif[270], exif.get_ifd(34665)[36867] = "described", "2026:11:30 00:00:00"
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="r"/></x:xmpmeta>'
    im = opened(saved(image(), exif=exif, xmp=xmp))
    assert im.getexif()[270] == "described"
    assert im.getexif().get_ifd(34665)[36867] == "2026:11:30 00:00:00"
    assert im.info["xmp"] == xmp
    im.getexif()[270] = "other"
    assert opened(saved(im, exif=im.getexif())).getexif()[270] == "other"
    assert "exif" not in opened(saved(im)).info


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_pickles_and_copies_of_what_is_not_loaded(image, mode, tmp_path):
    source = Image.new(mode, (20, 10), 3000) if mode == "I;16" else image(mode)
    source.save(tmp_path / "a.lic", lossless=True)
    for make in (
        lambda im: pickle.loads(pickle.dumps(im)),
        copy.copy,
        copy.deepcopy,
        lambda im: im.copy(),
        lambda im: im.crop((0, 0, *im.size)),
    ):
        with Image.open(tmp_path / "a.lic") as im:
            made = make(im)
            assert made.mode == mode
            assert made.tobytes() == source.tobytes()
        assert made.tobytes() == source.tobytes()  # also of a file that is closed


def test_draft_leaves_the_mode(image):
    im = opened(saved(image()))
    im.draft("L", None)
    im.draft("L", im.size)
    assert im.mode == "RGB"
    assert im.size == image().size
    im.load()
    assert im.draft("RGB", (1, 1)) is None


# ---- imageio ------------------------------------------------------------------------------------------------------


def test_what_imageio_tells_without_pixels(image, tmp_path):
    path = tmp_path / "a.lic"
    image("RGBA").save(path, quality=42, exif=b"", dpi=(72, 72))
    found = iio.improps(path)
    assert (found.shape, found.dtype, found.is_batch) == ((*image().size[::-1], 4), np.uint8, False)
    told = iio.immeta(path)
    assert (told["mode"], told["shape"], told["quality"]) == ("RGBA", image().size, 42.0)
    pages = list(iio.imiter(path))
    assert [page.shape for page in pages] == [found.shape]
    assert np.array_equal(pages[0], iio.imread(path))
    assert iio.imread(path, index=...).shape == (1, *found.shape)
    with pytest.raises((EOFError, IndexError)):
        iio.imread(path, index=1)


def test_imageio_converts_and_turns(image, tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    image().save(tmp_path / "a.lic", exif=exif)
    pixels = np.asarray(image())
    assert iio.imread(tmp_path / "a.lic", mode="L").ndim == 2
    assert np.array_equal(iio.imread(tmp_path / "a.lic", rotate=True), np.rot90(pixels, -1))
    assert np.array_equal(iio.imread((tmp_path / "a.lic").read_bytes(), extension=".lic"), pixels)


def test_imageio_opens_for_reading_and_writing(image, tmp_path):
    pixels = np.asarray(image())
    with iio.imopen(tmp_path / "a.lic", "w") as file:
        file.write(pixels)
    with iio.imopen(tmp_path / "a.lic", "r") as file:
        assert np.array_equal(file.read(), pixels)
        assert file.metadata()["mode"] == "RGB"
    with pytest.raises(OSError, match=r"lic|none"):
        iio.imread(tmp_path / "none.lic")
