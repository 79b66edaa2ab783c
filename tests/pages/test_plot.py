"""`lic plot`: the figures that it measures, what it draws of them, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sys

import chromium
import pytest
from commands import lic
from PIL import Image, ImageOps

from pillow_lic import metrics
from pillow_lic.cli import DONE, FAILED, USAGE, plot, rates

pytestmark = pytest.mark.usefixtures("fake_engine")


@pytest.fixture
def folder(make_picture, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for seed, name in enumerate(("a.png", "b.webp", "deep/c.tif")):
        Image.fromarray(make_picture(48, 64, seed=seed)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    return tmp_path / "in"


FEW = ("--codecs", "jpeg,webp", "--qualities", "30,80", "--measures", "psnr")


def test_figures_are_those_of_the_files(folder, tmp_path, capsys):
    out, table = tmp_path / "plot.svg", tmp_path / "plot.csv"
    assert lic("plot", folder, "-o", out, *FEW, "--csv", table, "-j", "2") == DONE
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert len(rows) == 3 * 2 * 2
    with Image.open(folder / "a.png") as image:
        original = image.convert("RGB")
    buffer = io.BytesIO()
    original.save(buffer, "JPEG", quality=30, optimize=True, progressive=True)
    row = rows[0]
    assert (row["file"], row["codec"], row["quality"]) == (str(folder / "a.png"), "jpeg", "30")
    assert int(row["bytes"]) == len(buffer.getvalue())
    assert float(row["bpp"]) == pytest.approx(8 * len(buffer.getvalue()) / (48 * 64), rel=1e-5)
    assert float(row["psnr"]) == pytest.approx(metrics.psnr(original, Image.open(buffer)), rel=1e-5)
    said = capsys.readouterr().out
    mean = sum(float(row["psnr"]) for row in rows if (row["codec"], row["quality"]) == ("webp", "80")) / 3
    assert f"{mean:.4g}" in next(line for line in said.splitlines() if line.split()[:2] == ["webp", "80"])
    assert "jpeg against webp at equal psnr" in said
    assert b"<svg" in out.read_bytes()
    assert lic("plot", folder, "-o", out, *FEW) == USAGE  # it is there


def test_limit_and_our_own_codec(folder, tmp_path, capsys):
    out = tmp_path / "plot.png"
    assert lic("plot", folder, "-o", out, "--codecs", "lic,jpeg", "--measures", "psnr,gmsd", "--limit", "1") == DONE
    assert "1 picture\n" in capsys.readouterr().out  # the stand-in codec is exact: its PSNR is infinite, and not drawn
    with Image.open(out) as image:
        image.verify()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "CMYK"])
def test_modes(mode, make_picture, tmp_path):
    Image.fromarray(make_picture(48, 64)).convert(mode).save(tmp_path / "a.tif")
    assert lic("plot", tmp_path / "a.tif", "-o", tmp_path / "plot.svg", *FEW) == DONE


def test_one_bad_picture_is_left_out(folder, tmp_path, capsys):
    (folder / "bad.png").write_bytes(b"no picture")
    Image.new("I;16", (64, 48)).save(folder / "deep.png")
    assert lic("plot", folder, "-o", tmp_path / "plot.svg", *FEW) == FAILED
    captured = capsys.readouterr()
    assert "bad.png" in captured.err
    assert "deep.png: jpeg at 30: pictures of mode I;16" in captured.err
    assert "jpeg against webp" in captured.out  # of the others
    assert (tmp_path / "plot.svg").exists()
    (tmp_path / "only").mkdir()
    (folder / "bad.png").rename(tmp_path / "only" / "bad.png")
    assert lic("plot", tmp_path / "only", "-o", tmp_path / "none.svg", *FEW) == FAILED
    assert not (tmp_path / "none.svg").exists()


def test_refusals(folder, tmp_path, capsys, monkeypatch):
    out = tmp_path / "plot.svg"
    assert lic("plot", folder, "-o", tmp_path / "plot.txt") == USAGE
    assert lic("plot", folder, "-o", out, "--codecs", "gif") == USAGE
    assert "known: lic, lic-visual" in capsys.readouterr().err
    for wrong in ("0,5", "a", "nan", "-1", "1e9"):
        assert lic("plot", folder, "-o", out, f"--qualities={wrong}") == USAGE
    (tmp_path / "empty").mkdir()
    assert lic("plot", tmp_path / "empty", "-o", out) == USAGE
    assert "no pictures found" in capsys.readouterr().err
    monkeypatch.setitem(rates.CODECS, "avif", rates.Codec("NOT THERE"))
    assert lic("plot", folder, "-o", out, "--codecs", "avif") == USAGE
    assert "cannot write NOT THERE" in capsys.readouterr().err
    assert "avif" not in plot.codecs_of(None)
    assert "avif is left out" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert lic("plot", folder, "-o", out, *FEW) == FAILED
    assert "pip install 'pillow-lic[plot]'" in capsys.readouterr().err
    assert not out.exists()


def test_saving_is_the_mean_distance_of_logarithms():
    theirs = [(0.25, 30.0), (0.5, 33.0), (1.0, 36.0), (0.9, 32.0)]  # the last costs more for less
    ours = [(0.8 * rate, value) for rate, value in theirs[:3]]
    assert rates.saving(ours, theirs) == pytest.approx(-0.2)
    assert rates.saving(theirs, ours) == pytest.approx(0.25)
    shifted = [(rate, value + 3) for rate, value in theirs[:3]]  # 3 dB are a factor of two here
    assert rates.saving(shifted, theirs) == pytest.approx(-0.5)
    assert rates.saving(theirs, [(0.1, 50.0), (0.2, 60.0)]) is None
    assert rates.saving(theirs, [(0.1, 30.0)]) is None


def test_of_a_measure_of_which_less_is_better(folder):
    points = [rates.Point("", "a", 1, 1, rate, {"gmsd": 0.1 / rate}) for rate in (0.5, 1.0, 2.0)]
    points += [rates.Point("", "b", 1, 1, 2 * rate, {"gmsd": 0.1 / rate}) for rate in (0.5, 1.0, 2.0)]
    assert list(plot.savings(points, ["a", "b"], ["gmsd"])) == ["a against b at equal gmsd: -50.0 % bytes"]


def test_means_leave_out_what_is_not_finite():
    points = [rates.Point(name, "a", 1, 10, 1.0, {"psnr": value}) for name, value in (("x", 30.0), ("y", math.inf))]
    (mean,) = rates.means(points)
    assert (mean.picture, mean.bytes, math.isnan(mean.values["psnr"])) == ("mean of 2 pictures", 20, True)
    assert rates.curve([mean], "a", "psnr") == []


def test_page(folder, tmp_path):
    if why := chromium.reason():
        pytest.skip(why)
    out = tmp_path / "plot.html"
    assert lic("plot", folder, "-o", out, *FEW) == DONE
    data = json.loads(re.search(r'id="data">(.*?)</script>', out.read_text(encoding="utf-8"), re.DOTALL)[1])
    with chromium.Browser() as browser:
        tab = browser.open(out.as_uri())
        tab.wait("document.getElementById('picture').naturalWidth > 100")
        cells = tab.run("[...document.querySelectorAll('tbody tr')].map(r => [...r.cells].map(c => c.textContent))")
        assert cells == data["rows"]
        assert tab.run("document.querySelector('li').textContent").startswith("jpeg against webp at equal psnr")
        assert tab.problems() == []
        assert tab.requests() == [out.as_uri()]


def test_turned_as_exif_says(make_picture, tmp_path):
    picture = Image.fromarray(make_picture(48, 64))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        assert plot.opaque(tmp_path / "a.png").size == ImageOps.exif_transpose(image).size == (48, 64)
