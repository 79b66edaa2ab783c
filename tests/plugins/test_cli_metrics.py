"""`lic metrics`: tables, CSV, what is wrong with one file of several."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from commands import lic
from PIL import Image

from pillow_lic import metrics
from pillow_lic.cli import DONE, FAILED, USAGE


@pytest.fixture
def files(make_picture, tmp_path):
    """An original and what became of it."""
    picture = Image.fromarray(make_picture(48, 64))
    picture.save(tmp_path / "original.png")
    for quality in (20, 80):
        picture.save(tmp_path / f"{quality}.jpg", quality=quality)
    return [tmp_path / name for name in ("original.png", "20.jpg", "80.jpg")]


def test_table(files, capsys):
    assert lic("metrics", *files, "--measures", "psnr,gmsd") == DONE
    head, better, low, high = capsys.readouterr().out.splitlines()
    assert head.split() == ["file", "bytes", "bpp", "psnr", "gmsd"]
    assert better.split() == ["(higher)", "(lower)"]
    name, size, bpp, psnr, _ = low.split()
    assert name == str(files[1])
    assert int(size) == files[1].stat().st_size
    assert float(bpp) == pytest.approx(8 * int(size) / (48 * 64), abs=5e-4)
    expected = metrics.psnr(Image.open(files[0]), Image.open(files[1]))
    assert float(psnr) == pytest.approx(expected, abs=5e-3)
    assert float(high.split()[3]) > float(psnr)


def test_csv(files, tmp_path, capsys):
    out = tmp_path / "out.csv"
    assert lic("metrics", *files, "--measures", "psnr,psnr_hvs_m", "--csv", out, "-j", 2) == DONE
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert [row["file"] for row in rows] == [str(path) for path in files[1:]]
    assert list(rows[0]) == ["file", "bytes", "bpp", "psnr", "psnr_hvs_m"]
    assert capsys.readouterr().out == ""
    assert lic("metrics", *files, "--csv", out) == USAGE
    assert lic("metrics", *files, "--measures", "psnr", "--csv", out, "--force") == DONE
    assert lic("metrics", *files, "--measures", "psnr", "--csv", "-") == DONE
    assert next(csv.DictReader(io.StringIO(capsys.readouterr().out))).keys() == {"file", "bytes", "bpp", "psnr"}


def test_default_and_all(files, capsys):
    assert lic("metrics", *files[:2]) == DONE
    assert "psnr_hvs_m" in capsys.readouterr().out
    assert lic("metrics", *files[:2], "--measures", "all") == DONE
    assert capsys.readouterr().out.splitlines()[0].split()[3:] == metrics.available()


def test_one_bad_file_of_three(files, tmp_path, capsys):
    Image.new("RGB", (5, 5)).save(tmp_path / "small.png")
    (tmp_path / "text.png").write_text("not an image")
    assert lic("metrics", *files, tmp_path / "small.png", tmp_path / "text.png", "--measures", "psnr") == FAILED
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 4
    assert "small.png: pictures of different sizes, 64 x 48 and 5 x 5" in captured.err
    assert "text.png: cannot identify image file" in captured.err
    assert lic("metrics", tmp_path / "no.png", files[1]) == FAILED


def test_usage(files, capsys):
    assert lic("metrics", files[0]) == USAGE
    assert lic("metrics", *files, "--measures", "vmaf") == USAGE
    assert "known: psnr" in capsys.readouterr().err
    assert lic("metrics", *files, "-j", "0") == USAGE


def test_what_is_missing(files, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert lic("metrics", *files, "--measures", "butteraugli") == FAILED
    assert "apt-get install libjxl-devtools" in capsys.readouterr().err
    assert lic("metrics", *files) == DONE
    assert "butteraugli" not in capsys.readouterr().out


def test_pictures_are_turned(files, tmp_path, capsys):
    turned = Image.open(files[0]).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    turned.save(tmp_path / "turned.png", exif=exif)
    assert lic("metrics", files[0], tmp_path / "turned.png", "--measures", "psnr") == DONE
    assert capsys.readouterr().out.split()[-1] == "inf"


def test_other_profiles_are_named(files, tmp_path, capsys):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.open(files[0]).save(tmp_path / "profile.png", icc_profile=profile)
    assert lic("metrics", files[0], tmp_path / "profile.png", "--measures", "psnr") == DONE
    assert "colour profile" in capsys.readouterr().err


def test_grey_against_colours(tmp_path, capsys):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(np.stack([grey] * 3, 2)).save(tmp_path / "b.png")
    assert lic("metrics", tmp_path / "a.png", tmp_path / "b.png", "--measures", "psnr") == DONE
    assert capsys.readouterr().out.split()[-1] == "inf"
