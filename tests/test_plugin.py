"""The Pillow plugin: opening, loading, saving, metadata, options, damage. A fake codec stands in for the networks."""

from __future__ import annotations

import copy
import io
import pickle
import threading
import warnings

import numpy as np
import pytest
from fake_codec import fake_codec  # noqa: F401
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

import pillow_lic
from pillow_lic import errors, format
from pillow_lic.LicImagePlugin import LicImageFile

pytestmark = pytest.mark.usefixtures("fake_codec")

MODES = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>text</a></x:xmpmeta>'
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def image(make_picture):
    def make(mode="RGB", height=70, width=100):
        return Image.fromarray(make_picture(height, width, MODES[mode]))

    return make


def saved(im: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    im.save(buffer, "LIC", **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def same(a: Image.Image, b: Image.Image) -> bool:
    return a.mode == b.mode and a.size == b.size and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("mode", MODES)
def test_native_modes(image, mode, tmp_path):
    im = image(mode)
    im.save(tmp_path / "a.lic")
    with Image.open(tmp_path / "a.lic") as back:
        assert isinstance(back, LicImageFile)
        assert (back.format, back.get_format_mimetype()) == ("LIC", "image/x-lic")
        assert same(back, im)


def test_open_is_lazy(image, fake_codec):  # noqa: F811
    data = saved(image(), quality=60.5, model="toy")
    assert fake_codec == ["encode toy 60.5"]
    im = opened(data)
    assert (im.size, im.mode, im.format) == ((100, 70), "RGB", "LIC")
    assert im.info["quality"] == 60.5 and im.info["lic_version"] == "0.1"
    assert im.info["bpp"] == 8 * len(data) / 7000
    assert im.info["model"].isprintable()
    assert "decode" not in fake_codec
    im.load()
    im.load()
    assert fake_codec.count("decode") == 1


def test_file_is_closed_after_load_and_stays_usable(image, tmp_path):
    image().save(tmp_path / "a.lic")
    im = Image.open(tmp_path / "a.lic")
    fp = im.fp
    im.load()
    assert fp.closed
    im.putpixel((0, 0), (1, 2, 3))
    assert im.getpixel((0, 0)) == (1, 2, 3)


@pytest.mark.parametrize("mode", MODES)
def test_pixels_can_be_changed(image, mode):
    im = opened(saved(image(mode)))
    pixel = (7,) * len(im.getbands())
    im.load()[3, 4] = pixel if len(pixel) > 1 else 7
    assert im.getpixel((3, 4)) == (pixel if len(pixel) > 1 else 7)
    im.paste(0, (0, 0, 10, 10))
    assert im.crop((0, 0, 10, 10)).getextrema() == Image.new(mode, (10, 10), 0).getextrema()
    assert im.rotate(90, expand=True).size == (70, 100)


def test_load_after_close(image, tmp_path):
    image().save(tmp_path / "a.lic")
    with Image.open(tmp_path / "a.lic") as im:
        pass
    with pytest.raises(ValueError, match="closed"):
        im.load()


def test_stream_without_seek(image):
    class Pipe:
        def __init__(self, data):
            self.read = io.BytesIO(data).read

    im = image()
    assert same(Image.open(Pipe(saved(im))), im)


def test_parser(image):
    im = image()
    data = saved(im, xmp=XMP)
    parser = ImageFile.Parser()
    for start in range(0, len(data), 100):
        parser.feed(data[start : start + 100])
    assert same(parser.close(), im)
    parser = ImageFile.Parser()
    parser.feed(data[:300])  # as Django does, for the size alone
    assert parser.image.size == (100, 70)


def test_copies_pickles_and_resaves(image, tmp_path):
    im = image("RGBA")
    path = tmp_path / "a.lic"
    im.save(path)
    for loaded in (False, True):
        back = Image.open(path)
        if loaded:
            back.load()
        clone = pickle.loads(pickle.dumps(back))
        assert same(clone, im) and clone.info["quality"] == 75
        assert same(back.copy(), im) and same(copy.deepcopy(back), im)
    back = Image.open(path)
    back.save(path, quality=50)
    assert Image.open(path).info["quality"] == 50 and same(Image.open(path), im)


def test_threads_load_one_image(image, fake_codec):  # noqa: F811
    im = image("RGB", 300, 300)
    back = opened(saved(im))
    results = []
    threads = [threading.Thread(target=lambda: results.append(back.tobytes())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [im.tobytes()] * 8 and fake_codec.count("decode") == 1


def test_thumbnail_and_draft(image):
    im = opened(saved(image()))
    assert im.draft("L", (10, 10)) is None
    im.thumbnail((20, 20))
    assert im.size == (20, 14)


# ---- Metadata -----------------------------------------------------------------------------------------------------


def exif(text="made up") -> Image.Exif:
    values = Image.Exif()
    values[0x010E] = text  # ImageDescription
    values[0x0112] = 6  # Orientation
    return values


@pytest.mark.parametrize("kind", [lambda e: e, Image.Exif.tobytes, lambda e: e.tobytes()[6:], lambda e: bytearray(e.tobytes())])
def test_exif(image, kind):
    data = saved(image(), exif=kind(exif()))
    assert format.read(data).exif == exif().tobytes()[6:]
    im = opened(data)
    assert im.info["exif"] == exif().tobytes()  # with prefix, as of JPEG, PNG and AVIF
    assert dict(im.getexif()) == dict(exif())
    buffer = io.BytesIO()
    im.save(buffer, "JPEG", exif=im.info["exif"])
    assert dict(Image.open(buffer).getexif()) == dict(exif())
    im = opened(saved(im, exif=im.getexif()))
    assert dict(im.getexif()) == dict(exif())


def test_icc_and_xmp(image):
    im = opened(saved(image(), icc_profile=ICC, xmp=XMP))
    assert im.info["icc_profile"] == ICC and im.info["xmp"] == XMP
    assert ImageCms.getOpenProfile(io.BytesIO(im.info["icc_profile"]))
    assert opened(saved(image(), xmp=XMP.decode())).info["xmp"] == XMP
    pytest.importorskip("defusedxml")
    assert im.getxmp() == {"xmpmeta": {"a": "text"}}


def test_carried_as_avif_and_webp_do(image):
    source = opened(saved(image(), icc_profile=ICC, xmp=XMP, exif=exif()))
    again = opened(saved(source))
    assert again.info["icc_profile"] == ICC
    assert "exif" not in again.info and "xmp" not in again.info
    assert "icc_profile" not in opened(saved(source, icc_profile=None)).info
    assert "icc_profile" not in opened(saved(source, icc_profile=b"")).info


def profile(space: bytes) -> bytes:
    """What matters of a profile of another data colour space (ICC.1, 7.2.6)."""
    return ICC[:16] + space + ICC[20:]


@pytest.mark.parametrize(
    "mode, space, fits",
    [
        ("RGB", b"RGB ", True),
        ("P", b"RGB ", True),
        ("RGBA", b"CMYK", False),
        ("CMYK", b"CMYK", False),
        ("LAB", b"Lab ", False),
        ("L", b"GRAY", True),
        ("LA", b"GRAY", True),
        ("1", b"GRAY", True),
        ("L", b"RGB ", False),
        ("RGB", b"GRAY", False),
    ],
)
def test_carried_profile_must_fit_the_stored_pixels(mode, space, fits):
    im = Image.new(mode, (20, 10))
    im.info["icc_profile"] = profile(space)
    if fits:
        assert opened(saved(im)).info["icc_profile"] == profile(space)
        return
    with pytest.warns(UserWarning, match="ICC profile is left out") as caught:
        back = opened(saved(im))
    assert "icc_profile" not in back.info and caught[0].filename == __file__
    given = opened(saved(im, icc_profile=profile(space)))  # as PNG and WebP write what they are given
    assert given.info["icc_profile"] == profile(space)


def test_no_metadata(image):
    im = opened(saved(image(), exif=b"", xmp=None))
    assert set(im.info) == {"quality", "model", "bpp", "lic_version"}
    assert not im.getexif()


# ---- Modes --------------------------------------------------------------------------------------------------------

CONVERTED = {"1": "L", "La": "LA", "P": "RGB", "PA": "RGBA", "RGBX": "RGB", "RGBa": "RGBA"}
CONVERTED |= {"CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB"}


@pytest.mark.parametrize("mode", CONVERTED)
def test_other_modes(mode):
    im = Image.new(mode, (20, 10))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = opened(saved(im))
    assert back.mode == CONVERTED[mode]


@pytest.mark.parametrize("mode", ["I", "I;16", "F"])
def test_lost_depth_warns(mode):
    im = Image.new(mode, (20, 10), 7)
    with pytest.warns(UserWarning, match="depth is lost") as caught:
        assert opened(saved(im)).mode == "L"
    assert caught[0].filename == __file__


def test_transparent_palette():
    im = Image.new("P", (20, 10), 3)
    im.info["transparency"] = 3
    back = opened(saved(im))
    assert back.mode == "RGBA" and back.getextrema()[3] == (0, 0)
    assert im.mode == "P"


# ---- Options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        dict(quality=0),
        dict(quality=100.5),
        dict(quality=float("nan")),
        dict(quality=True),
        dict(quality="75"),
        dict(quality=None),
        dict(model=3),
        dict(tune="vmaf"),
        dict(tune="psnr", model="toy"),
        dict(exif="text"),
        dict(icc_profile=5),
        dict(xmp=3.5),
        dict(lossless=True),
    ],
)
def test_wrong_options_raise_before_anything_is_written(image, options, tmp_path):
    path = tmp_path / "a.lic"
    with pytest.raises(errors.LicBadOption) as caught:
        image().save(path, **options)
    assert isinstance(caught.value, ValueError) and not path.exists()
    buffer = io.BytesIO()
    with pytest.raises(errors.LicBadOption):
        image().save(buffer, "LIC", **options)
    assert buffer.getvalue() == b""


@pytest.mark.parametrize("quality", [1, 100, 33.3, np.float32(50), np.int64(20)])
def test_quality_range(image, quality):
    assert opened(saved(image(), quality=quality)).info["quality"] == pytest.approx(float(quality), abs=0.005)


def test_unknown_model_writes_nothing(image):
    buffer = io.BytesIO()
    with pytest.raises(errors.LicUnknownModel):
        image().save(buffer, "LIC", model="nonesuch")
    assert buffer.getvalue() == b""


def test_misspelt_option_warns(image):
    for name, meant in {"qualty": "quality", "Quality": "quality", "icc_profil": "icc_profile", "modle": "model"}.items():
        with pytest.warns(UserWarning, match=meant) as caught:
            saved(image(), **{name: b""})
        assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        saved(image(), optimize=True, progressive=True, dpi=(72, 72), method=6, lossless=False)


def test_empty_image():
    with pytest.raises(errors.LicBadOption, match="empty"):
        saved(Image.new("RGB", (0, 5)))


def test_one_write(image):
    class Once(io.BytesIO):
        writes = 0

        def write(self, data):
            Once.writes += 1
            return super().write(data)

    image().save(Once(), "LIC")
    assert Once.writes == 1


def test_no_save_all(image):
    with pytest.raises(KeyError):  # as any single-image format of Pillow
        image().save(io.BytesIO(), "LIC", save_all=True, append_images=[image()])


# ---- Files that are not right -------------------------------------------------------------------------------------


def test_licence_file_is_not_an_image(tmp_path):
    path = tmp_path / "product.lic"
    path.write_text("FEATURE product vendor 1.0 permanent uncounted HOSTID=ANY SIGN=ABCDEF\n")
    with pytest.raises(UnidentifiedImageError):
        Image.open(path)


def test_other_image_under_our_name(image, tmp_path):
    image().save(tmp_path / "a.lic", "PNG")
    assert Image.open(tmp_path / "a.lic").format == "PNG"


def test_our_image_under_another_name(image, tmp_path):
    image().save(tmp_path / "a.png", "LIC")
    assert Image.open(tmp_path / "a.png").format == "LIC"


def test_later_version_says_so(image):
    data = bytearray(saved(image()))
    data[4] = 9
    with pytest.raises(errors.LicUnsupportedVersion, match="newer"):
        opened(bytes(data))


def test_truncated(image):
    im = image()
    data = saved(im)
    cut = data[:-200]
    back = opened(cut)  # as for PNG, opening is possible
    with pytest.raises(errors.LicTruncated):
        back.load()
    assert back.size == (100, 70)


def test_load_truncated_images(image, monkeypatch):
    im = image()
    data = saved(im)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.warns(UserWarning, match="grey"):
        back = opened(data[:-200])
        back.load()
    assert back.getpixel((99, 69)) == (128, 128, 128)
    assert back.crop((0, 0, 64, 64)).tobytes() == im.crop((0, 0, 64, 64)).tobytes()


def test_retry_after_failure(image, monkeypatch):
    back = opened(saved(image())[:-200])
    with pytest.raises(errors.LicTruncated):
        back.load()
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.warns(UserWarning):
        back.load()
    assert back.getpixel((0, 0)) != (128, 128, 128)


def test_verify(image, fake_codec, tmp_path):  # noqa: F811
    data = saved(image("RGBA"), exif=exif(), xmp=XMP)
    (tmp_path / "a.lic").write_bytes(data)
    im = Image.open(tmp_path / "a.lic")
    im.verify()
    assert im.fp is None and "decode" not in fake_codec
    for position in range(40, len(data), 7):
        damaged = bytearray(data)
        damaged[position] ^= 4
        with pytest.raises(errors.LicError):
            opened(bytes(damaged)).verify()
    with pytest.raises(errors.LicTruncated):
        opened(data[:-1]).verify()


def test_decompression_bomb():
    header = format.Header(30000, 30000, "L", 1, bytes(8), 7500, 64)
    data = format.write(header, [bytes(16)] * header.tile_count)
    with pytest.raises(Image.DecompressionBombError):
        opened(data)


def test_thin_images_count_as_what_they_cost(image, monkeypatch):
    data = saved(image(height=1, width=1000), model="toy")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 7999)
    im = opened(data)
    with pytest.raises(errors.LicLimitExceeded, match="1000 x 1 pixels.*counts"):
        im.load()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    opened(data).load()


@pytest.mark.parametrize(("height", "mode"), [(60, "RGB"), (70, "RGBA")])
def test_file_that_changes_before_load(image, tmp_path, height, mode):
    path = tmp_path / "a.lic"
    image().save(path)
    with Image.open(path) as im:
        path.write_bytes(saved(image(mode, height=height)))
        with pytest.raises(errors.LicCorruptChunk, match="open it again"):
            im.load()


def test_file_object_whose_seek_returns_nothing(image):
    class Wrapper(io.BytesIO):
        def seek(self, *arguments):
            super().seek(*arguments)

    with Image.open(Wrapper(saved(image()))) as im:
        assert same(im, image())


def test_loading_unpacks_no_metadata(image, monkeypatch):
    im = opened(saved(image(), xmp=XMP))
    monkeypatch.setattr(format, "unpack_metadata", None)
    im.load()
    assert im.info["xmp"] == XMP


@pytest.mark.parametrize(("mode", "colour", "wanted"), [("L", 20, "LA"), ("RGB", (1, 2, 3), "RGBA")])
def test_transparent_colour(mode, colour, wanted):
    im = Image.new(mode, (20, 10), colour)
    im.paste(200 if mode == "L" else (200, 200, 200), (0, 0, 5, 10))
    im.info["transparency"] = colour
    back = opened(saved(im))
    assert back.mode == wanted
    assert back.getpixel((1, 1))[-1] == 255 and back.getpixel((10, 5))[-1] == 0


def test_array_functions(make_picture):
    for channels in (1, 2, 3, 4):
        array = make_picture(33, 65, channels)
        data = pillow_lic.encode(array, quality=30, model="toy", xmp=XMP)
        assert isinstance(data, bytes) and (pillow_lic.decode(data) == array).all()
        assert opened(data).info["xmp"] == XMP
    with pytest.raises(errors.LicBadMagic):
        pillow_lic.decode(b"nothing of ours")


def test_public_names():
    names = set(pillow_lic.__all__)
    assert len(names) <= 8 and all(hasattr(pillow_lic, name) for name in names - {"__version__"})


def test_tune_chooses_the_model():
    from pillow_lic.models import registry

    for q, psnr in ((100, "photo-low"), (5000, "photo-low"), (5001, "photo"), (10000, "photo")):
        assert [registry.chosen(None, tune, q).name for tune in (None, "psnr", "ms-ssim")] == [psnr, psnr, "photo-ms-ssim"]
        assert registry.chosen("toy", None, q).name == "toy"
    with pytest.raises(errors.LicBadOption, match="give one of the two"):
        registry.chosen("toy", "psnr", 100)
    for wrong in ("vmaf", 3, ["psnr"]):
        with pytest.raises(errors.LicBadOption, match="tune must be one of 'psnr', 'ms-ssim'"):
            registry.chosen(None, wrong, 100)
