"""What names of files on the command line mean: the command's own input as its output, standard streams, pipes in
folders, the same file twice; and contents that are not what an option takes.
"""

from __future__ import annotations

import functools
import io
import os

import numpy as np
import pytest
from commands import lic
from PIL import Image, ImageCms
from streams import replaced

from pillow_lic import container
from pillow_lic.cli import DONE, FAILED, USAGE

pytestmark = pytest.mark.usefixtures("fake_engine")
posix = pytest.mark.skipif(os.name != "posix", reason="named pipes of POSIX")


@pytest.fixture
def streams(monkeypatch):
    return functools.partial(replaced, monkeypatch)


@pytest.fixture
def here(make_picture, tmp_path, monkeypatch):
    """The working folder, with a picture in three formats, and exactly."""
    monkeypatch.chdir(tmp_path)
    picture = Image.fromarray(make_picture(48, 64))
    for name in ("photo.png", "photo.jpg", "photo.lic"):
        picture.save(name, quality=50)
    picture.save("exact.lic", lossless=True)
    return tmp_path


# ---- The command's own input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "arguments"),
    [
        ("photo.png", "compare photo.png photo.lic --measures none -o photo.png"),
        ("photo.lic", "compare photo.png photo.lic --measures none -o photo.lic"),
        ("photo.png", "metrics photo.png photo.lic --measures psnr --csv photo.png"),
        ("photo.jpg", "metrics photo.png photo.jpg --measures psnr --csv photo.jpg"),
        ("photo.lic", "map photo.lic -o photo.lic"),
        ("photo.png", "plot photo.png --measures psnr --codecs jpeg -o photo.png"),
        ("photo.png", "plot . --measures psnr --codecs jpeg -o photo.png"),
        ("photo.png", "plot photo.png --measures psnr --codecs jpeg -o plot.svg --csv photo.png"),
        ("photo.png", "thumbnail photo.png -o photo.png"),
        ("photo.lic", "cut photo.lic --size 1k -o photo.lic"),
        ("photo.jpg", "compact photo.jpg -o photo.jpg"),
        ("photo.jpg", "enhance photo.jpg -o photo.jpg"),
        ("photo.png", "demo photo.png -o photo.png"),
        ("words.xmp", "edit photo.lic --xmp words.xmp -o words.xmp"),
        ("photo.jpg", "thumbnail photo.jpg -o link.jpg"),
    ],
)
def test_no_input_is_overwritten(read, arguments, here, capsys):
    (here / "words.xmp").write_text("<x:xmpmeta xmlns:x='adobe:ns:meta/'/>", encoding="utf-8")
    (here / "link.jpg").hardlink_to(here / "photo.jpg")
    before = (here / read).read_bytes()
    assert lic(*arguments.split(), "-f") == USAGE
    assert "is itself read by this command; give another output" in capsys.readouterr().err
    assert (here / read).read_bytes() == before


def test_no_other_source_is_overwritten(here, capsys):
    before = (here / "photo.lic").read_bytes()
    (here / "twin.lic").write_bytes(before)
    assert lic("encode", "photo.png", "photo.lic", "twin.lic", "-f") == FAILED
    said = capsys.readouterr().err
    assert "photo.png: photo.lic is read by this command, too" in said
    assert "photo.lic: source and target are the same file" in said
    assert (here / "photo.lic").read_bytes() == before


# ---- Standard input and output ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "arguments", "format"),
    [
        ("photo.png", "thumbnail - -o -", "PNG"),
        ("photo.lic", "cut - --size 1k", "LIC"),
        ("photo.lic", "cut - --size 1k -o -", "LIC"),
        ("exact.lic", "map -", "PNG"),
        ("photo.png", "compact -", "JPEG"),
        ("photo.jpg", "enhance -", "PNG"),
        ("photo.lic", "edit - --caption words", "LIC"),
    ],
)
def test_through_pipes(source, arguments, format, here, streams, capsys):
    out = streams((here / source).read_bytes())
    assert lic(*arguments.split()) == DONE
    with Image.open(io.BytesIO(out.bytes)) as found:
        assert found.format == format
        found.verify()
    assert not (here / "-").exists()


@pytest.mark.parametrize(
    "arguments",
    ["thumbnail photo.png -o -", "cut photo.lic --size 1k -o -", "map exact.lic -o -", "compact photo.png -o -",
     "enhance photo.jpg -o -", "edit photo.lic --strip -o -", "placeholder --show AAAAAAAAAAA= -o -"],
)  # fmt: skip
def test_nothing_else_goes_to_standard_output(arguments, here, streams, monkeypatch, capsys):
    before = sorted(here.iterdir())
    out = streams()
    assert lic(*arguments.split()) == DONE
    Image.open(io.BytesIO(out.bytes)).verify()
    assert sorted(here.iterdir()) == before
    out = streams()
    monkeypatch.setattr(out.__class__, "isatty", lambda self: True)
    assert lic(*arguments.split()) == USAGE
    assert "terminal" in capsys.readouterr().err
    assert out.bytes == b""


def test_placeholder_of_standard_input(here, streams):
    data = (here / "photo.png").read_bytes()
    out = streams(data)
    assert lic("placeholder", "-") == DONE
    found = out.bytes.split()
    out = streams()
    assert lic("placeholder", "photo.png") == DONE
    assert (found[0], found[1]) == (out.bytes.split()[0], b"-")


def test_a_file_of_that_name(here, streams):
    """Whoever has one names its folder."""
    (here / "-").write_bytes((here / "photo.png").read_bytes())
    streams(b"nothing")
    assert lic("thumbnail", "./-", "-o", "small.png") == DONE
    assert Image.open("small.png").format == "PNG"


@pytest.mark.parametrize(
    "arguments",
    [
        "compare - photo.png",
        "compare photo.png -",
        "compare photo.png photo.jpg -o -",
        "metrics - photo.png",
        "metrics photo.png -",
        "plot -",
        "plot photo.png --csv -",
        "demo -",
        "demo photo.png -o -",
        "bench --data kodak -o -",
        "edit photo.lic --xmp -",
        "edit photo.lic --icc -",
        "edit photo.lic --exif -",
        "encode photo.png --roi - -f",
        "encode photo.png --importance - -f",
        "edit - photo.lic --strip",
    ],
)
def test_where_standard_streams_make_no_sense(arguments, here, streams, capsys):
    before = sorted(here.iterdir())
    streams(b"nothing")
    assert lic(*arguments.split()) == USAGE
    said = capsys.readouterr().err
    assert "give a file" in said or "are for one file" in said
    assert sorted(here.iterdir()) == before


# ---- Pipes in folders, files named twice ----------------------------------------------------------------------------


@posix
def test_of_folders_regular_files_alone(here, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "a.lic"):
        (folder / name).write_bytes((here / f"photo{name[1:]}").read_bytes())
    for name in ("pipe.png", "pipe.lic"):
        os.mkfifo(folder / name)
    (folder / "to-a-pipe.png").symlink_to("pipe.png")
    assert lic("encode", folder, "-o", tmp_path / "out") == DONE
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.lic"]
    assert lic("decode", folder, "-o", tmp_path / "back") == DONE
    assert [path.name for path in (tmp_path / "back").iterdir()] == ["a.png"]


def test_a_file_named_twice_is_taken_once(here, capsys):
    assert lic("encode", "photo.png", "./photo.png", here / "photo.png", "-o", "out/") == DONE
    assert "failed" not in capsys.readouterr().err
    assert [path.name for path in (here / "out").iterdir()] == ["photo.lic"]
    assert lic("encode", here, here / "photo.png", "photo.jpg", "-o", "all", "-f") == FAILED
    assert "1 written, 1 failed" in capsys.readouterr().err  # photo.png and photo.jpg have one target
    assert lic("encode", "photo.png", "photo.png", "-o", "one.lic") == DONE
    assert (here / "one.lic").is_file()
    assert lic("edit", "photo.lic", "photo.lic", "--caption", "words") == DONE


def test_boxes_over_the_edge(here, monkeypatch, capsys):
    from pillow_lic.codec import options

    given = []
    checked = options.EncodeOptions.checked
    monkeypatch.setattr(options.EncodeOptions, "checked", lambda self: given.append(self.roi) or checked(self))
    assert lic("encode", "photo.png", "--roi=-5,-5,20,20", "--roi=50, 40, 30, 30", "-f") == DONE
    assert given[0] == [(-5, -5, 15, 15), (50, 40, 80, 70)]
    assert lic("encode", "photo.png", "--roi=5,5,-3,4", "-f") == USAGE
    assert "roi has an empty box" in capsys.readouterr().err


# ---- Contents -----------------------------------------------------------------------------------------------------


def test_profiles_and_xmp_are_what_they_are_called(here, capsys):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    wrong = {"png": (here / "photo.png").read_bytes(), "half": profile[: len(profile) // 2], "text": b"words"}
    before = (here / "photo.lic").read_bytes()
    for name, content in wrong.items():
        (here / name).write_bytes(content)
        assert lic("edit", "photo.lic", "--icc", name) == USAGE
        assert f"--icc {name}: no ICC profile" in capsys.readouterr().err
    for name in ("png", "text", "photo.lic", "photo.jpg"):
        assert lic("edit", "photo.lic", "--xmp", name, "-o", "b.lic") == USAGE
        assert f"--xmp {name}: no text of XML" in capsys.readouterr().err
    assert (here / "photo.lic").read_bytes() == before
    (here / "srgb.icc").write_bytes(profile)
    text = "<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"):
        (here / "words.xmp").write_bytes(text.encode(encoding))
        assert lic("edit", "photo.lic", "--icc", "srgb.icc", "--xmp", "words.xmp") == DONE
        head = container.read_head((here / "photo.lic").read_bytes())
        assert (head.icc, head.xmp) == (profile, text.encode(encoding))


def test_exact_files_cannot_be_cut(here, capsys):
    noise = np.random.default_rng(3).integers(0, 256, (40, 40), np.uint8)
    Image.fromarray(noise).save("noise.lic", lossless=True)
    size = (here / "noise.lic").stat().st_size
    for how in (("--size", "1k"), ("--stages", "1"), ("--stages", "2")):
        assert lic("cut", "noise.lic", *how) == USAGE
        assert f"the picture is kept exactly, in {size} bytes, and cannot be cut" in capsys.readouterr().err
    assert lic("cut", "noise.lic", "--size", size) == DONE
    assert (here / "noise.cut.lic").read_bytes() == (here / "noise.lic").read_bytes()


def test_masks_of_floats_are_those_of_the_codec(here):
    """1.0 is inside, as in Python; what the codec does not take is refused by its name."""
    inside = np.zeros((48, 64), np.float32)
    inside[:, :32] = 1
    Image.fromarray(inside).save("mask.tif")
    Image.fromarray((inside * 255).astype(np.uint8)).save("mask.png")
    made = []
    for mask in ("mask.tif", "mask.png"):
        command = "encode", "photo.png", "-q", "60", "--effort", "0", "--screen", "off", "--roi", mask
        assert lic(*command, "-o", f"{mask}.lic", "--model", "toy") == DONE
        made.append(here.joinpath(f"{mask}.lic").read_bytes())
    assert made[0] == made[1]
