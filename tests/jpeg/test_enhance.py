"""Enhanced JPEGs: nearer to what was saved, consistent with their file, of any size; what is none is refused."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from enhancers import broken, is_refused, random_network
from pictures import picture
from PIL import Image
from slow_enhance import TRANSFORM, to_blocks

import pillow_lic
from pillow_lic import _core, errors
from pillow_lic.cli import main
from pillow_lic.jpeg import network, source

pytestmark = pytest.mark.network


def photograph(mode: str = "RGB", width: int = 256, height: int = 192) -> Image.Image:
    from skimage.data import chelsea

    return Image.fromarray(chelsea()[40 : 40 + height, 100 : 100 + width]).convert(mode)


def jpeg(image: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def psnr(a, b) -> float:
    return 10 * np.log10(255**2 / np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2))


@pytest.mark.parametrize("quality", [5, 10, 20, 40, 75, 90])
@pytest.mark.parametrize("options", [{"subsampling": 2}, {"subsampling": 1}, {"subsampling": 0}, {"mode": "L"}])
def test_it_comes_nearer_to_what_was_saved(quality, options):
    options = dict(options)
    image = photograph(options.pop("mode", "RGB"))
    data = jpeg(image, quality=quality, **options)
    better = pillow_lic.enhance(data)
    assert (better.mode, better.size) == (image.mode, image.size)
    assert psnr(better, image) > psnr(Image.open(io.BytesIO(data)), image) + 0.15


@pytest.mark.parametrize("step", [4, 8, 16, 40])
def test_the_file_says_the_same_of_it(step):
    """Coefficients of blocks that are not clipped, whatever the network says: half a step from the file's at most, but
    for what rounding samples adds, which is rarely more than the margin.
    """
    found, _ = source.read(jpeg(photograph("L"), qtables=[[step] * 64]))
    out = bytearray(len(found.pixels))
    wild = _core.Enhancer(random_network((6, 34, 4, 2, 2, 1), "gentle"))
    tables = memoryview(found.tables).cast("B")
    wild.enhance(found.pixels, (*found.size[::-1], 1), False, tables, False, out)
    before, after = (to_blocks(np.frombuffer(one, np.uint8).reshape(found.size[::-1])) for one in (found.pixels, out))
    known = ((before > 0) & (before < 255) & (after > 0) & (after < 255)).all(2)
    assert known.mean() > 0.5
    assert np.abs(before[known].astype(int) - after[known]).mean() > 0.1 * step
    a, b = (levels(one[known], found) for one in (before, after))
    assert np.abs(b - np.round(a)).max() < 0.5 + 0.9 / step
    assert np.mean(np.round(b) != np.round(a)) < 0.006


def levels(blocks: np.ndarray, of: source.Jpeg) -> np.ndarray:
    """The coefficients of blocks (N, 64) in steps of a file's luma."""
    return (blocks - 128.0) @ (TRANSFORM.T / 4096) / np.array(of.tables[:64])


def test_saved_again_with_the_same_tables_it_is_nearly_the_same_file():
    data = jpeg(photograph("L"), quality=30)
    better = pillow_lic.enhance(data)
    again = jpeg(better, qtables=[list(Image.open(io.BytesIO(data)).quantization[0])])
    found, _ = source.read(data)
    a, b = (np.round(levels(to_blocks(np.asarray(Image.open(io.BytesIO(one)))), found)) for one in (data, again))
    assert np.mean(a != b) < 0.002


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (8, 8), (9, 17), (131, 70)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_any_size(size, mode):
    image = Image.fromarray(picture(size[1], size[0], 3)).convert(mode)
    data = jpeg(image, quality=20)
    better = pillow_lic.enhance(data)
    assert (better.mode, better.size) == (mode, size)
    if min(size) > 16:  # of less the network has seen too little
        assert psnr(better, image) > psnr(Image.open(io.BytesIO(data)), image) - 0.1


def test_images_paths_and_files_are_taken(tmp_path):
    data = jpeg(photograph(), quality=20)
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    wanted = np.asarray(pillow_lic.enhance(data))
    for one in (path, str(path), io.BytesIO(data)):
        assert np.array_equal(np.asarray(pillow_lic.enhance(one)), wanted)
    opened = Image.open(path)
    assert psnr(pillow_lic.enhance(opened), wanted) > 45  # from RGB, which was rounded
    assert opened.mode == "RGB"
    assert opened.size == (256, 192)


def test_profiles_and_exif_go_along():
    exif = Image.Exif()
    exif[0x010E] = "a cat"
    better = pillow_lic.enhance(jpeg(photograph(), quality=20, exif=exif, icc_profile=b"some profile", dpi=(72, 72)))
    assert better.info["icc_profile"] == b"some profile"
    assert better.getexif()[0x010E] == "a cat"


@pytest.mark.parametrize(
    ("source", "match"),
    [
        (b"", "no JPEG"),
        (b"\xff\xd8\xfe\xe0 and so on", "no JPEG"),
        (3, "found int"),
        (Image.new("RGB", (8, 8)), "grid"),
    ],
)
def test_what_is_no_jpeg_is_refused(source, match):
    with pytest.raises(errors.LicBadOption, match=match):
        pillow_lic.enhance(source)


def test_other_jpegs_are_refused():
    png = io.BytesIO()
    photograph().save(png, "PNG")
    opened = Image.open(io.BytesIO(jpeg(photograph(), quality=20)))
    for one in (
        png.getvalue(),
        jpeg(photograph("CMYK"), quality=20),
        jpeg(photograph(), quality=20, keep_rgb=True, subsampling=0),
        opened.resize((100, 100)),
        opened.convert("L"),
    ):
        with pytest.raises(errors.LicBadOption):
            pillow_lic.enhance(one)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("quality", [20, 50, 80])
def test_images_that_were_changed_in_place_are_refused(quality, mode):
    """Pillow keeps their class, their format and their tables."""
    data = jpeg(photograph(mode), quality=quality)

    def cut(one: Image.Image) -> None:
        part = one.crop((3, 5, 200, 180))
        one.im, one._size = part.im, part.size

    for change in (lambda one: one.thumbnail((180, 150)), lambda one: one.draft(mode, (64, 64)), cut):
        opened = Image.open(io.BytesIO(data))
        change(opened)
        with pytest.raises(errors.LicBadOption, match="resized, cropped or changed since"):
            pillow_lic.enhance(opened)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("quality", [5, 10, 30, 75, 88, 97])
@pytest.mark.parametrize("picture", ["photograph", "dark", "flat", "stripes"])
def test_images_as_they_were_opened_are_taken(picture, quality, mode):
    whole = photograph(mode)
    made = {
        "photograph": whole,
        "dark": whole.point(lambda level: level // 9),
        "flat": Image.new(mode, (200, 160), "orange"),
        "stripes": Image.fromarray(np.tile(np.uint8([[0, 255]]), (160, 100))).convert(mode),
    }[picture]
    for options in ({}, {"subsampling": 0}, {"progressive": True}):
        found = source.described(Image.open(io.BytesIO(jpeg(made, quality=quality, **options))))
        assert (found.size, found.bands) == (made.size, len(made.getbands()))


@pytest.mark.parametrize("seed", range(20))
def test_broken_files_are_enhanced_or_refused_by_name(seed):
    data = jpeg(photograph(), quality=20)
    refused = is_refused(broken(data, seed, len(data) - 2))
    assert refused or seed % 2 == 0, "what breaks off is refused"


def test_neither_numpy_nor_torch_is_imported(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(photograph(), quality=20))
    code = "import sys, pillow_lic; pillow_lic.enhance(sys.argv[1]); print({'numpy', 'torch'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code, tmp_path / "a.jpg"], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_weights_that_are_missing_are_named(monkeypatch, tmp_path):
    network.shipped.cache_clear()
    monkeypatch.setattr(network, "WEIGHTS", tmp_path / "none")
    with pytest.raises(errors.LicModelMissing, match="reinstall"):
        pillow_lic.enhance(jpeg(photograph(), quality=20))


def test_the_command(tmp_path, capsys):
    path = tmp_path / "old.jpg"
    path.write_bytes(jpeg(photograph(), quality=15))
    assert main(["enhance", str(path)]) == 0
    assert "256 x 192, RGB" in capsys.readouterr().out
    made = Image.open(tmp_path / "old.enhanced.png")
    assert np.array_equal(np.asarray(made), np.asarray(pillow_lic.enhance(path)))
    assert main(["enhance", str(path), "-o", str(tmp_path / "b.webp")]) == 0
    assert main(["enhance", str(path)]) == 2  # it exists
    assert main(["enhance", str(path), "-f", "-o", str(path)]) == 2  # never in place
    assert main(["enhance", str(path), "-o", str(tmp_path / "b.what")]) == 2
    assert main(["enhance", str(tmp_path / "b.webp"), "-o", str(tmp_path / "c.png")]) == 2
    assert path.read_bytes() == jpeg(photograph(), quality=15)
