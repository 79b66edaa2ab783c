"""`lossless=True` in every mode of Pillow: the same mode, the same bytes, and whatever else goes along with it."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import slow_decoder
from PIL import Image, ImageCms, ImageFile, features

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.cli import main
from pillow_lic.codec import modes

pytestmark = pytest.mark.network

OTHERS = sorted(modes.OTHERS)
ALL = sorted({*OTHERS, "L", "LA", "RGB", "RGBA", "I;16", "I", "F"})
SIZES = [(1, 1), (37, 23), (300, 2), (1, 65)]


def noise(mode: str, size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Every byte of it random; of mode F that makes NaN of many kinds."""
    rng = np.random.default_rng(seed)
    if mode == "1":
        return noise("L", size, seed).convert("1", dither=Image.Dither.NONE)
    count = len(Image.new(mode, (1, 1)).tobytes())
    return Image.frombytes(mode, size, rng.integers(0, 256, count * size[0] * size[1], np.uint8).tobytes())


def drawn(mode: str, size: tuple[int, int]) -> Image.Image:
    """Smooth in one part, flat in the other."""
    y, x = np.mgrid[: size[1], : size[0]]
    wave = np.where(x < size[0] // 2, np.sin(x / 9) + np.cos(y / 7), 0.5)
    if mode in ("I", "F"):
        return Image.fromarray((wave * (1e8 if mode == "I" else 1)).astype(np.int32 if mode == "I" else np.float32))
    grey = Image.fromarray((wave * 60 + 120).astype(np.uint8))
    if mode == "1":
        return grey.convert("1")
    if mode == "I;16":
        return Image.fromarray((wave * 9000 + 30000).astype(np.uint16))
    bands = [grey.rotate(90 * k) for k in range(len(Image.new(mode, (1, 1)).getbands()))]
    return Image.merge(mode, bands)


def saved(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "LIC", lossless=True, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ALL)
def test_every_mode_comes_back(mode, size, tmp_path):
    for image in (noise(mode, size), drawn(mode, size)):
        data = saved(image)
        found = opened(data)
        assert (found.mode, found.size) == (mode, size)
        assert found.info["lossless"]
        assert found.tobytes() == image.tobytes()
        array = np.asarray(image).astype(np.uint8) * 255 if mode == "1" else np.asarray(image)
        for one in (pillow_lic.decode(data), slow_decoder.decode(data, tmp_path)):
            assert (one.dtype, one.shape) == (array.dtype, array.shape)
            assert one.tobytes() == array.tobytes()


@pytest.mark.parametrize("mode", ALL)
def test_strips_change_nothing(mode, monkeypatch):
    from pillow_lic.codec import depth, numbers, planes

    image = noise(mode, (31, 40))
    for room in (depth, numbers, planes):
        monkeypatch.setattr(room, "STRIP", 70)
    monkeypatch.setattr(modes, "_STRIP", 70)
    assert opened(saved(image)).tobytes() == image.tobytes()


@pytest.mark.parametrize("mode", ALL)
def test_parts_and_small_ones(mode):
    image = drawn(mode, (64, 48))
    data = saved(image)
    whole, box = pillow_lic.decode(data), (5, 7, 33, 29)
    assert np.array_equal(pillow_lic.decode(data, box=box), whole[7:29, 5:33])
    small = pillow_lic.decode(data, scale=4)
    assert small.dtype == np.uint8
    assert small.shape[:2] == (12, 16)
    if mode in ("CMYK", "YCbCr", "HSV", "RGBX", "LAB"):  # no band of them is alpha
        assert np.array_equal(small, np.asarray(image.reduce(4)))
    wide = pillow_lic.decode(data, dtype="uint16")
    assert wide.dtype == np.uint16
    if mode in modes.OTHERS:
        assert np.array_equal(wide, whole.astype(np.uint16) * 257)
        assert np.abs(pillow_lic.decode(data, dtype="float32") * 255 - whole).max() < 1e-4


@pytest.mark.parametrize("mode", [mode for mode in ALL if mode != "I;16"])  # which Pillow does not reduce
def test_thumbnails_keep_the_mode(mode):
    image = drawn(mode, (640, 480))
    for options in ({}, {"preview": 64}):
        found = Image.open(io.BytesIO(saved(image, **options)))
        wanted = image.copy()
        found.thumbnail((50, 50))
        wanted.thumbnail((50, 50))
        assert (found.mode, found.size) == (mode, wanted.size)
        if mode not in ("L", "LA", "RGB", "RGBA"):  # previews are for these, which are near and not equal
            assert found.tobytes() == wanted.tobytes()
    assert Image.open(io.BytesIO(saved(image))).draft(mode, (60, 50)) is None or mode in ("L", "LA", "RGB", "RGBA")


@pytest.mark.parametrize("mode", OTHERS)
def test_previews_show_the_colours(mode):
    ramp = Image.linear_gradient("L").resize((640, 480)).point(lambda level: 100 + level // 3)
    bands = [ramp.rotate(180 * k) for k in range(len(Image.new(mode, (1, 1)).getbands()))]
    image = ramp.convert("1") if mode == "1" else Image.merge(mode, bands)
    preview = container.read_head(saved(image, preview=64)).preview
    shown, wanted = Image.open(io.BytesIO(preview.data)).convert("RGBA"), modes.seen(image).convert("RGBA")
    wanted.thumbnail((64, 64), Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(shown).astype(int) - np.asarray(wanted)).mean() < 4


@pytest.mark.parametrize("mode", [*OTHERS, "F", "I"])
def test_kept_edited_verified(mode):
    data = saved(drawn(mode, (40, 30)), comment="a")
    with Image.open(io.BytesIO(data)) as image:
        buffer = io.BytesIO()
        image.load()
        image.save(buffer, "LIC", quality="keep", xmp=b"<x/>")
    again = opened(buffer.getvalue())
    assert again.info["xmp"] == b"<x/>"
    assert (again.mode, again.tobytes()) == (mode, opened(data).tobytes())
    Image.open(io.BytesIO(buffer.getvalue())).verify()


@pytest.mark.parametrize("mode", OTHERS)
def test_damaged_files_are_grey_where_they_may_be(mode, monkeypatch):
    data = bytearray(saved(noise(mode, (40, 30))))
    data[-9] ^= 255
    with pytest.raises(errors.LicCorruptChunk):
        opened(bytes(data))
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.warns(UserWarning, match="painted grey"):
        found = opened(bytes(data))
    assert (found.mode, found.size) == (mode, (40, 30))
    assert len(set(found.get_flattened_data() if hasattr(found, "get_flattened_data") else found.getdata())) == 1


@pytest.mark.parametrize("mode", [*OTHERS, "F"])
def test_fed_in_pieces(mode):
    image = drawn(mode, (40, 30))
    parser, data = ImageFile.Parser(), saved(image)
    for at in range(0, len(data), 50):
        parser.feed(data[at : at + 50])
    assert parser.close().tobytes() == image.tobytes()


# ---- What goes along ------------------------------------------------------------------------------------------------


def profile(space: bytes) -> bytes:
    return bytes(16) + space + bytes(108)


@pytest.mark.parametrize(
    ("mode", "space"),
    [("CMYK", b"CMYK"), ("LAB", b"Lab "), ("YCbCr", b"YCbr"), ("HSV", b"HSV "), ("RGBX", b"RGB "), ("RGBa", b"RGB "),
     ("La", b"GRAY"), ("1", b"GRAY"), ("F", b"GRAY"), ("I", b"GRAY")],
)  # fmt: skip
def test_profiles_go_with_the_colours_that_they_are_for(mode, space):
    image = drawn(mode, (20, 10))
    image.info["icc_profile"] = profile(space)
    assert opened(saved(image)).info["icc_profile"] == profile(space)
    image.info["icc_profile"] = profile(b"CMYK" if space != b"CMYK" else b"RGB ")
    with pytest.warns(UserWarning, match="ICC profile is left out"):
        assert "icc_profile" not in opened(saved(image)).info


@pytest.mark.parametrize("mode", ["RGBa", "La", "CMYK", "RGBX"])
def test_no_band_of_them_hides_others(mode):
    image = noise(mode, (20, 10))
    samples = np.array(image)
    samples[:, :9, -1] = 0
    image = Image.frombytes(mode, image.size, samples.tobytes())
    assert opened(saved(image, exact=False)).tobytes() == image.tobytes()


def test_transparent_black_and_white_has_alpha():
    image = drawn("1", (20, 10))
    image.info["transparency"] = 0
    found = opened(saved(image))
    assert found.mode == "LA"
    assert np.array_equal(np.asarray(found), np.asarray(image.convert("LA")))


def test_lossy_files_are_as_ever():
    for mode in OTHERS:
        if mode == "LAB":
            continue  # which Pillow does not convert
        buffer = io.BytesIO()
        drawn(mode, (40, 30)).save(buffer, "LIC", model="toy")
        assert opened(buffer.getvalue()).mode in ("L", "LA", "RGB", "RGBA")


def test_the_order_of_colours_is_of_red_and_blue():
    data = saved(noise("CMYK", (4, 5)))
    with pytest.raises(errors.LicBadOption, match="the file's bands are CMYK"):
        pillow_lic.decode(data, order="bgr")
    two = saved(noise("1", (4, 5)))
    assert np.array_equal(pillow_lic.decode(two, order="bgr"), pillow_lic.decode(two))


@pytest.mark.skipif(not features.check("littlecms2"), reason="this Pillow has no LittleCMS")
def test_lab_is_shown_as_srgb():
    rgb = Image.merge("RGB", [drawn("L", (40, 30)).rotate(90 * k) for k in range(3)])
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.applyTransform(rgb, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    found = modes.seen(opened(saved(lab)))
    assert np.abs(np.asarray(found).astype(int) - np.asarray(rgb)).mean() < 2


# ---- Command line and imageio ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "CMYK", "LAB", "YCbCr", "RGBX", "F", "I"])
def test_tiff_and_back(mode, tmp_path):
    image = drawn(mode, (40, 30))
    image.save(tmp_path / "a.tif")
    assert main(["encode", "--lossless", str(tmp_path / "a.tif")]) == 0
    with Image.open(tmp_path / "a.tif") as source, Image.open(tmp_path / "a.lic") as found:
        assert (found.mode, found.tobytes()) == (source.mode, source.tobytes())
    assert main(["decode", str(tmp_path / "a.lic"), "-o", str(tmp_path / "b.tif")]) == 0
    with Image.open(tmp_path / "b.tif") as again, Image.open(tmp_path / "a.tif") as source:
        assert (again.mode, again.tobytes()) == (source.mode, source.tobytes())


@pytest.mark.parametrize("mode", OTHERS)
def test_png_has_what_it_looks_like(mode, tmp_path, capsys):
    image = drawn(mode, (40, 30))
    (tmp_path / "a.lic").write_bytes(saved(image))
    assert main(["decode", str(tmp_path / "a.lic"), "-o", str(tmp_path / "a.png")]) == 0
    said = capsys.readouterr().err
    assert ("converted" in said) == (mode != "1")
    with Image.open(tmp_path / "a.png") as found:
        wanted = image if mode == "1" else modes.seen(image)
        assert (found.mode, found.tobytes()) == (wanted.mode, wanted.tobytes())


@pytest.mark.parametrize("mode", OTHERS)
def test_file_managers_see_what_it_looks_like(mode, tmp_path):
    image = drawn(mode, (40, 30))
    (tmp_path / "a.lic").write_bytes(saved(image))
    assert main(["thumbnail", str(tmp_path / "a.lic"), "-o", str(tmp_path / "a.png"), "-s", "20"]) == 0
    shown = modes.seen(image)
    shown.thumbnail((20, 20))
    with Image.open(tmp_path / "a.png") as found:
        assert (found.mode, found.tobytes()) == (shown.mode, shown.tobytes())


@pytest.mark.parametrize("mode", [*OTHERS, "F", "I"])
def test_info_names_the_mode(mode, tmp_path, capsys):
    (tmp_path / "a.lic").write_bytes(saved(drawn(mode, (40, 30))))
    assert main(["info", "--json", str(tmp_path / "a.lic")]) == 0
    fields = {one["name"]: one["value"] for one in json.loads(capsys.readouterr().out)[0]["fields"]}
    assert fields["layout"] == (mode if mode in OTHERS else "L")
    if mode in ("F", "I"):
        assert fields["depth"] == 32
        assert fields["values"].startswith("floats" if mode == "F" else "integers")
        assert "bytes" in fields["numbers"]


@pytest.mark.parametrize("mode", ["CMYK", "F", "I", "1"])
def test_imageio_reads_them(mode):
    iio = pytest.importorskip("imageio.v3")
    image = drawn(mode, (40, 30))
    assert np.array_equal(iio.imread(saved(image), extension=".lic"), np.asarray(image))
