"""The `lic` command: files and folders, exit codes, never overwriting, metadata. A fake codec stands in for the
networks.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from commands import lic
from PIL import ExifTags, Image, ImageFile

from pillow_lic import container
from pillow_lic.cli import DONE, FAILED, USAGE

pytestmark = pytest.mark.usefixtures("fake_engine")


@pytest.fixture
def photo(make_picture):
    def make(path, seed=0, **options):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(make_picture(40, 60, seed=seed)).save(path, **options)
        return path

    return make


def files(folder) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_there_and_back(photo, tmp_path):
    source = photo(tmp_path / "a.png")
    assert lic("encode", source, "-q", "33.5") == DONE
    assert Image.open(tmp_path / "a.lic").info["quality"] == 33.5
    assert lic("decode", tmp_path / "a.lic", "-o", tmp_path / "b.png") == DONE
    assert (np.asarray(Image.open(tmp_path / "b.png")) == np.asarray(Image.open(source))).all()
    assert files(tmp_path) == {"a.png", "a.lic", "b.png"}


def test_folders(photo, tmp_path, capsys):
    for name in ("in/a.png", "in/deep/b.jpg", "in/deep/er/c.webp"):
        photo(tmp_path / name)
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    (tmp_path / "in" / "product.lic").write_text("FEATURE product vendor 1.0")
    assert lic("encode", tmp_path / "in", "-o", tmp_path / "out", "-j", "3") == DONE
    assert files(tmp_path / "out") == {"a.lic", "deep/b.lic", "deep/er/c.lic"}
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "3 written, 0 failed" in captured.err
    (tmp_path / "out" / "product.lic").write_text("FEATURE product vendor 1.0")
    assert lic("decode", tmp_path / "out", "-o", tmp_path / "back", "-t", "jpg") == DONE
    assert files(tmp_path / "back") == {"a.jpg", "deep/b.jpg", "deep/er/c.jpg"}


def test_several_files_into_a_folder(photo, tmp_path):
    sources = [photo(tmp_path / f"{n}.png", n) for n in range(3)]
    assert lic("encode", *sources, "-o", tmp_path / "out") == DONE
    assert files(tmp_path / "out") == {"0.lic", "1.lic", "2.lic"}
    assert lic("encode", sources[0], "-o", str(tmp_path / "new") + "/") == DONE
    assert files(tmp_path / "new") == {"0.lic"}


def test_never_overwrites_unasked(photo, tmp_path, capsys):
    source = photo(tmp_path / "a.png")
    (tmp_path / "a.lic").write_bytes(b"precious")
    assert lic("encode", source) == FAILED
    assert (tmp_path / "a.lic").read_bytes() == b"precious"
    assert "--force" in capsys.readouterr().err
    assert lic("encode", source, "--force") == DONE
    assert Image.open(tmp_path / "a.lic").format == "LIC"


def test_two_sources_for_one_target(photo, tmp_path, capsys):
    photo(tmp_path / "a.png")
    photo(tmp_path / "a.jpg")
    assert lic("encode", tmp_path / "a.png", tmp_path / "a.jpg", "--force") == FAILED
    assert "already taken" in capsys.readouterr().err
    assert Image.open(tmp_path / "a.lic").size == (60, 40)


def test_version(capsys):
    assert lic("--version") == DONE
    assert capsys.readouterr().out.startswith("pillow-lic ")


def test_quality_of_the_format_to_write(photo, tmp_path):
    photo(tmp_path / "a.lic")
    for quality in (20, 95):
        assert lic("decode", tmp_path / "a.lic", "-o", tmp_path / f"{quality}.jpg", "-q", quality) == DONE
    assert (tmp_path / "20.jpg").stat().st_size < (tmp_path / "95.jpg").stat().st_size


def test_source_is_target(photo, tmp_path, capsys):
    before = photo(tmp_path / "a.lic").read_bytes()
    assert lic("encode", tmp_path / "a.lic", "-o", tmp_path / "a.lic", "--force") == FAILED
    assert "same file" in capsys.readouterr().err
    assert (tmp_path / "a.lic").read_bytes() == before


def test_encode_refuses_another_ending(tmp_path, make_picture):
    Image.fromarray(make_picture(20, 30)).save(tmp_path / "a.png")
    for name in ("b.png", "b"):
        assert lic("encode", tmp_path / "a.png", "-o", tmp_path / name) == USAGE
        assert not (tmp_path / name).exists()


def test_one_failure_does_not_stop_the_others(photo, tmp_path, capsys):
    photo(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"broken")
    photo(tmp_path / "c.png")
    assert lic("encode", tmp_path) == FAILED
    captured = capsys.readouterr()
    assert "b.png" in captured.err
    assert "2 written, 1 failed" in captured.err
    assert files(tmp_path) == {"a.png", "b.png", "c.png", "a.lic", "c.lic"}  # and no part of a file


def test_failing_encoder_leaves_nothing(photo, tmp_path, capsys):
    photo(tmp_path / "a.png")
    assert lic("encode", tmp_path / "a.png", "-m", "nonesuch") == FAILED
    assert files(tmp_path) == {"a.png"}
    assert "nonesuch" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("encode",),
        ("encode", "x.png", "-q", "-1"),
        ("encode", "x.png", "-q", "101"),
        ("encode", "x.png", "-q", "high"),
        ("encode", "x.png", "-j", "0"),
        ("decode", "x.lic", "-t", "nonesuch"),
        ("decode", "x.lic", "-t", "lic"),
        ("encode", "."),
        ("frobnicate",),
        ("demo", "-q", "1", "2"),
    ],
)
def test_wrong_usage(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert lic(*arguments) == USAGE
    captured = capsys.readouterr()
    assert captured.err
    assert not captured.out


def test_absent_file(tmp_path, capsys):
    assert lic("encode", tmp_path / "absent.png") == FAILED
    assert lic("decode", tmp_path / "absent.lic") == FAILED
    assert lic("info", tmp_path / "absent.lic") == FAILED
    assert capsys.readouterr().err.count("absent") >= 3


def test_metadata_goes_there_and_back(photo, tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "made up"
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    icc = b"of 16 bytes, for" + b"RGB " + b" pixels"  # as much of a profile as is looked at
    source = photo(tmp_path / "a.jpg", exif=exif, xmp=xmp, icc_profile=icc)
    assert lic("encode", source) == DONE
    for extension in ("jpg", "png", "webp"):
        assert lic("decode", tmp_path / "a.lic", "-o", tmp_path / f"b.{extension}") == DONE
        back = Image.open(tmp_path / f"b.{extension}")
        assert back.getexif()[0x010E] == "made up"
        assert back.info["icc_profile"] == icc
        found = back.info["xmp"]
        assert (found.encode() if isinstance(found, str) else found) == xmp


def test_exif_of_tiff(photo, tmp_path):
    """Pillow keeps it among the tags of the file; those that say how the file stores its pixels stay behind."""
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "made up"
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.IFD.Exif] = exif.get_ifd(ExifTags.IFD.Exif)  # else TIFF is written without
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.LensModel] = "a lens"
    assert lic("encode", photo(tmp_path / "a.tif", exif=exif)) == DONE
    back = Image.open(tmp_path / "a.lic")
    assert back.size == Image.open(tmp_path / "a.tif").size
    assert dict(back.getexif().get_ifd(ExifTags.IFD.Exif)) == {ExifTags.Base.LensModel: "a lens"}
    assert back.getexif()[ExifTags.Base.ImageDescription] == "made up"
    assert not {ExifTags.Base.Orientation, ExifTags.Base.ImageWidth, ExifTags.Base.StripOffsets} & set(back.getexif())


def test_damaged_exif_of_tiff_costs_the_exif_alone(photo, tmp_path, capsys, monkeypatch):
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "made up"
    source = photo(tmp_path / "a.tif", exif=exif)
    monkeypatch.setattr(Image.Exif, "tobytes", lambda self: 1 / 0)
    assert lic("encode", source) == DONE
    assert "a.tif: its EXIF cannot be read" in capsys.readouterr().err


def test_warnings_name_their_file(tmp_path, capsys):
    for name in ("a", "b"):
        Image.fromarray(np.array([[0, 1 << 20]], np.int32)).save(tmp_path / f"{name}.tif")
    assert lic("encode", tmp_path, "-o", tmp_path / "out") == DONE
    said = capsys.readouterr().err
    assert all(f"{tmp_path / name}.tif: warning: integers of more than 16" in said for name in ("a", "b"))


def test_only_first_frame(tmp_path, capsys):
    frames = [Image.new("RGB", (9, 9), (n, 0, 0)) for n in range(3)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    assert lic("encode", tmp_path / "a.png") == DONE
    assert "first of 3 frames" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
def test_depth_there_and_back(tmp_path, capsys, mode, suffix):
    """As much as the other format takes, in its own range."""
    values = np.linspace(0, 40000, 64 * 64).reshape(64, 64)
    source = Image.fromarray(values.astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]))
    source.save(tmp_path / "a.tif")
    assert lic("encode", tmp_path / "a.tif", "-o", tmp_path / "a.lic", "-q", "95") == DONE
    assert lic("decode", tmp_path / "a.lic", "-o", tmp_path / f"b.{suffix}") == DONE
    with Image.open(tmp_path / f"b.{suffix}") as found:
        array = np.asarray(found).astype(float)
        if suffix in ("jpg", "webp"):
            assert found.mode in ("L", "RGB")
            assert array.max() < 256
        else:
            assert found.mode == (mode if suffix == "tif" else "I;16")
            assert len(np.unique(array)) > 1000
            most = 65535 if (mode, suffix) == ("F", "png") else 40000
            assert np.abs(array - values / 40000 * most).max() < 0.02 * most


def test_depth_is_said(tmp_path, capsys):
    Image.new("I;16", (9, 9), 3000).save(tmp_path / "a.png")
    assert lic("encode", tmp_path / "a.png", "--depth", "14", "-o", tmp_path / "a.lic") == DONE
    assert lic("info", tmp_path / "a.lic") == DONE
    said = capsys.readouterr().out
    assert "depth         14" in said
    assert lic("encode", tmp_path / "a.png", "--depth", "9", "-o", tmp_path / "b.lic") == FAILED
    assert "depth=9 holds samples up to 511, and there are some of 3000" in capsys.readouterr().err


def test_truncated_file(photo, tmp_path, capsys):
    photo(tmp_path / "a.png")
    lic("encode", tmp_path / "a.png")
    data = (tmp_path / "a.lic").read_bytes()
    (tmp_path / "a.lic").write_bytes(data[:-20])
    assert lic("decode", tmp_path / "a.lic", "-o", tmp_path / "b.png") == FAILED
    assert not (tmp_path / "b.png").exists()
    assert lic("decode", tmp_path / "a.lic", "-o", tmp_path / "b.png", "--truncated") == DONE
    assert "grey" in capsys.readouterr().err
    assert Image.open(tmp_path / "b.png").size == (60, 40)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_info(tmp_path, capsys, make_picture):
    Image.fromarray(make_picture(70, 100, 4)).save(
        tmp_path / "a.lic", quality=60, icc_profile=b"profile", exif=b"MM\0*"
    )
    assert lic("info", tmp_path / "a.lic") == DONE
    lines = capsys.readouterr().out.splitlines()
    found = [line.split(None, 1) for line in lines[1:]]
    assert ["3", "width         100"] in found
    assert ["3", "layout        RGBA"] in found
    assert ["4", "ICC bytes     7"] in found
    assert any(one[0] == "5.1" and one[1].startswith("alpha         PNG of") for one in found)
    assert {section for section, _ in found} == {"2", "2.1", "3", "9.1", "4", "5.1", "6.1", "6.2", "-"}

    assert lic("info", tmp_path / "a.lic", "--json") == DONE
    (report,) = json.loads(capsys.readouterr().out)
    fields = {field["name"]: field["value"] for field in report["fields"]}
    assert report["intact"]
    assert fields["quality"] == 60.0
    assert fields["signature"] == "8D 4C 49 44"
    tiles = container.read((tmp_path / "a.lic").read_bytes()).tiles
    assert fields["tile 3"] == f"{len(tiles[3].stages[0])} bytes"


def test_info_of_bytes_behind_the_end(tmp_path, capsys, make_picture):
    Image.fromarray(make_picture(70, 100)).save(tmp_path / "a.lic")
    size = (tmp_path / "a.lic").stat().st_size
    with open(tmp_path / "a.lic", "ab") as file:
        file.write(bytes(77))
    assert lic("info", tmp_path / "a.lic") == DONE
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "  2.1  behind it     77 bytes that are no part of it, ignored" in captured.out.splitlines()
    assert f"file bytes    {size}\n" in captured.out
    assert lic("info", tmp_path / "a.lic", "--json") == DONE
    assert json.loads(capsys.readouterr().out)[0]["intact"]
    assert lic("decode", tmp_path / "a.lic") == DONE


def test_info_of_damaged_files(tmp_path, capsys, make_picture):
    Image.fromarray(make_picture(70, 100)).save(tmp_path / "a.lic")
    data = (tmp_path / "a.lic").read_bytes()
    (tmp_path / "a.lic").write_bytes(data[:-1])
    (tmp_path / "b.lic").write_bytes(b"FEATURE product")
    assert lic("info", tmp_path / "a.lic", tmp_path / "b.lic") == FAILED
    captured = capsys.readouterr()
    assert "width" in captured.out
    assert "data ends too early" in captured.err
    assert "signature" in captured.err


def test_models(capsys):
    from pillow_lic.models import choice

    assert lic("models", "--json") == DONE
    assert list(json.loads(capsys.readouterr().out)) == choice.names()
    assert lic("models") == DONE
    lines = {line.split()[0]: line.strip() for line in capsys.readouterr().out.splitlines()}
    last = choice.TUNES["psnr"][0][0] / 100
    assert ", the default from 1 to 100, tune='perceptual' from 1 to 100" in lines["photo-visual"]
    assert lines["photo-low"].endswith(f"to 57.57, tune='psnr' from 1 to {last:g}")
    assert lines["photo"].endswith(f"to 100, tune='psnr' from {last + 0.01:g} to 100")
    assert lines["photo-ms-ssim"].endswith("quality 1 to 100, tune='ms-ssim' from 1 to 100")
    assert lines["toy"].endswith("quality 1 to 100")
    assert lines["photo-tiny"].endswith("quality 0.1 to 1, the default below 1")


def test_demo(photo, tmp_path, capsys):
    source = photo(tmp_path / "a.png")
    assert lic("demo", source, "-o", tmp_path / "out") == DONE
    assert Image.open(tmp_path / "out" / "lic-demo.png").width > 3 * 60
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:8]] == ["LIC", "JPEG"] * 3
    assert lic("demo", source, "-o", tmp_path / "out") == USAGE
    assert lic("demo", source, "-o", tmp_path / "out" / "lic-demo.png", "--force", "-q", "10", "20", "30") == DONE


def test_help_of_every_command(capsys):
    for command in ("encode", "decode", "info", "demo", "models"):
        assert lic(command, "--help") == 0
    assert "exit" not in capsys.readouterr().err


def test_fresh_process_needs_no_network_for_info(tmp_path, make_picture):
    Image.fromarray(make_picture(20, 20)).save(tmp_path / "a.lic")
    heavy = "{'torch', 'numpy'} & set(sys.modules)"
    code = f"import sys; from pillow_lic.cli import main; print(main(['info', 'a.lic']), {heavy})"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.stdout.splitlines()[-1] == "0 set()", result.stderr


def test_as_a_module():
    """Also where nothing put `lic` on the PATH."""
    command = [sys.executable, "-m", "pillow_lic", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("pillow-lic ")
