"""The Pillow plugin: saving, metadata, modes, options, what chooses the model. A fake codec stands in for the
networks.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image, ImageCms
from saved_images import ICC, XMP, exif, opened, saved

import pillow_lic
from pillow_lic import container, errors

pytestmark = pytest.mark.usefixtures("fake_engine")


# ---- Metadata -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [lambda e: e, Image.Exif.tobytes, lambda e: e.tobytes()[6:], lambda e: bytearray(e.tobytes())]
)
def test_exif(image, kind):
    data = saved(image(), exif=kind(exif()))
    assert container.read(data).exif == exif().tobytes()[6:]
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
    assert im.info["icc_profile"] == ICC
    assert im.info["xmp"] == XMP
    assert ImageCms.getOpenProfile(io.BytesIO(im.info["icc_profile"]))
    assert opened(saved(image(), xmp=XMP.decode())).info["xmp"] == XMP
    pytest.importorskip("defusedxml")
    assert im.getxmp() == {"xmpmeta": {"a": "text"}}


def test_carried_as_avif_and_webp_do(image):
    source = opened(saved(image(), icc_profile=ICC, xmp=XMP, exif=exif()))
    again = opened(saved(source))
    assert again.info["icc_profile"] == ICC
    assert "exif" not in again.info
    assert "xmp" not in again.info
    assert "icc_profile" not in opened(saved(source, icc_profile=None)).info
    assert "icc_profile" not in opened(saved(source, icc_profile=b"")).info


def profile(space: bytes) -> bytes:
    """What matters of a profile of another data colour space (ICC.1, 7.2.6)."""
    return ICC[:16] + space + ICC[20:]


@pytest.mark.parametrize(
    ("mode", "space", "fits"),
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
    assert "icc_profile" not in back.info
    assert caught[0].filename == saved.__code__.co_filename
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


@pytest.mark.parametrize(
    ("mode", "values", "said"),
    [
        ("I", (-5, 70000), "its values -5 to 70000 are kept in 65535 steps of 1.068; save as TIFF"),
        ("F", (-0.25, 1), "its values -0.25 to 1 are kept in 65535 steps of 1.907e-05; save as TIFF"),
    ],
)
def test_lost_depth_says_what_is_left(mode, values, said):
    im = Image.new(mode, (20, 10), values[0])
    im.putpixel((3, 3), values[1])
    with pytest.warns(UserWarning, match="depth is lost") as caught:
        saved(im)
    assert said in str(caught[0].message)
    assert caught[0].filename == saved.__code__.co_filename


@pytest.mark.parametrize("mode", ["I", "I;16", "I;16B", "F"])
def test_depth_that_is_kept_is_not_warned_of(mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = opened(saved(Image.new(mode, (20, 10), 0.5 if mode == "F" else 300)))
    assert back.mode == ("I;16" if mode == "I;16B" else mode)


def test_transparent_palette():
    im = Image.new("P", (20, 10), 3)
    im.info["transparency"] = 3
    back = opened(saved(im))
    assert back.mode == "RGBA"
    assert back.getextrema()[3] == (0, 0)
    assert im.mode == "P"


# ---- Options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"quality": -1},
        {"quality": 100.5},
        {"quality": float("nan")},
        {"quality": True},
        {"quality": "75"},
        {"quality": 75, "target_size": 5000},
        {"target_bpp": 0},
        {"model": 3},
        {"tune": "vmaf"},
        {"tune": "psnr", "model": "toy"},
        {"exif": "text"},
        {"icc_profile": 5},
        {"xmp": 3.5},
        {"lossless": "no"},
    ],
)
def test_wrong_options_raise_before_anything_is_written(image, options, tmp_path):
    path = tmp_path / "a.lic"
    with pytest.raises(errors.LicBadOption) as caught:
        image().save(path, **options)
    assert isinstance(caught.value, ValueError)
    assert not path.exists()
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
    for name, meant in {
        "qualty": "quality",
        "Quality": "quality",
        "icc_profil": "icc_profile",
        "modle": "model",
    }.items():
        with pytest.warns(UserWarning, match=meant) as caught:
            saved(image(), **{name: b""})
        assert caught[0].filename == saved.__code__.co_filename
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


FULL = """
import resource, sys
from PIL import Image
import pillow_lic
im = Image.effect_noise((40, 40), 50)
im.save("whole.lic", model="toy")
whole = open("whole.lic", "rb").read()
assert len(whole) < 8000  # less than a buffer
resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) - 1, resource.RLIM_INFINITY))
try:
    im.save("full.lic", model="toy")
except OSError as error:
    print(error.strerror)
"""


def test_a_full_disk_leaves_no_half_file(tmp_path):
    pytest.importorskip("resource")
    done = subprocess.run([sys.executable, "-c", FULL], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "File too large\n"
    assert [path.name for path in tmp_path.iterdir()] == ["whole.lic"]


def test_a_file_without_a_buffer_gets_all(image, tmp_path):
    class Short(io.FileIO):
        def write(self, data):
            return super().write(data[:1000])

    with Short(tmp_path / "a.lic", "wb") as file:
        image().save(file, "LIC")
    assert (tmp_path / "a.lic").read_bytes() == saved(image())


@pytest.mark.parametrize("mode", ["wb", "w+b", "r+b", "ab"])
def test_a_file_that_is_used_before_and_after(image, mode, tmp_path):
    (tmp_path / "a.lic").write_bytes(b"old text")
    with open(tmp_path / "a.lic", mode) as file:
        if mode == "r+b":
            assert file.read(3) == b"old"
        file.write(b"before")
        image().save(file, "LIC")
        assert file.tell() == file.seek(0, 2)
        file.write(b"after")
    kept = {"r+b": b"old", "ab": b"old text"}.get(mode, b"")
    assert (tmp_path / "a.lic").read_bytes() == kept + b"before" + saved(image()) + b"after"


def test_a_pipe(image):
    data = saved(image("L", 9, 9))
    reading, writing = os.pipe()
    with open(writing, "wb") as file:
        image("L", 9, 9).save(file, "LIC")
    with open(reading, "rb") as file:
        assert file.read() == data


def test_a_target_that_can_only_be_written(image):
    class Sink:
        data = b""

        def write(self, data):
            self.data += data

    sink = Sink()
    image().save(sink, "LIC")
    assert sink.data == saved(image())


def test_save_all_of_one_picture(image):
    assert saved(image(), save_all=True) == saved(image())
    assert saved(image(), save_all=True, append_images=[]) == saved(image())


@pytest.mark.parametrize("save_all", [{"save_all": True}, {"save_all": False}, {}])
def test_several_pictures_are_refused(image, save_all, tmp_path):
    im, path = image(), tmp_path / "a.lic"
    with pytest.raises(errors.LicBadOption, match="one picture, here are 3"):
        im.save(path, append_images=[image(), image()], quality=95, **save_all)
    assert not path.exists()
    assert not getattr(im, "encoderinfo", {}), "a later save would take these options"


def test_an_animation_is_refused_where_all_of_it_is_meant(image, tmp_path):
    frames = [Image.new("RGB", (9, 9), (n, 0, 0)) for n in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "a.gif") as animation:
        with pytest.raises(errors.LicBadOption, match="one picture, here are 3"):
            animation.save(tmp_path / "a.lic", save_all=True)
        animation.save(tmp_path / "a.lic")  # the present frame, as of any format


def test_transparent_grey_of_16_bits(image):
    values = np.full((20, 30), 1001, np.uint16)
    values[5:9] = 1000  # the same 8 bits, another grey
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG", transparency=1000)
    source = Image.open(buffer)
    assert source.mode == "I;16"
    data = saved(source)
    found = opened(data)
    assert found.mode == "LA"
    assert np.array_equal(pillow_lic.decode(data)[..., 1], np.where(values == 1000, 0, 1023))
    assert np.array_equal(np.asarray(found.getchannel("A")), np.where(values == 1000, 0, 255))


def test_frames(image):
    im = opened(saved(image()))
    assert (im.n_frames, im.is_animated) == (1, False)


def test_exif_of_a_picture_without_any(image):
    im = image()
    assert saved(im, exif=im.getexif()) == saved(im)


@pytest.mark.parametrize(("mode", "colour", "wanted"), [("L", 20, "LA"), ("RGB", (1, 2, 3), "RGBA")])
def test_transparent_colour(mode, colour, wanted):
    im = Image.new(mode, (20, 10), colour)
    im.paste(200 if mode == "L" else (200, 200, 200), (0, 0, 5, 10))
    im.info["transparency"] = colour
    back = opened(saved(im))
    assert back.mode == wanted
    assert back.getpixel((1, 1))[-1] == 255
    assert back.getpixel((10, 5))[-1] == 0


def test_tune_chooses_the_model():
    from pillow_lic.models import choice

    last = choice.TUNES["psnr"][0][0] / 100
    tunes = (None, "visual", "psnr", "ms-ssim")
    for quality, psnr in ((1, "photo-low"), (last, "photo-low"), (last + 0.01, "photo"), (100, "photo")):
        found = [choice.chosen(None, tune, quality) for tune in tunes]
        assert [model.name for _, model in found] == ["photo-visual", "photo-visual", psnr, "photo-ms-ssim"]
        assert {q for q, _ in found} == {round(100 * quality)}
        assert choice.chosen("toy", None, quality)[1].name == "toy"
    for quality, q in ((0, 100), (0.1, 100), (0.55, 5050), (0.999, 9989)):
        assert {(found, model.name) for found, model in (choice.chosen(None, tune, quality) for tune in tunes)} == {
            (q, "photo-tiny")
        }
        assert choice.chosen("photo-tiny", None, quality)[0] == q
        assert choice.chosen("toy", None, quality)[0] == 100
    assert choice.chosen("photo-tiny", None, 1)[0] == 10000
    with pytest.raises(errors.LicBadOption, match="give one of the two"):
        choice.chosen("toy", "psnr", 100)
    for wrong in ("vmaf", 3, ["psnr"]):
        with pytest.raises(errors.LicBadOption, match="tune must be one of 'visual', 'psnr', 'perceptual', 'ms-ssim'"):
            choice.chosen(None, wrong, 100)
