"""`lic compare`: the page that it writes, clicked in a browser, and what it refuses."""

from __future__ import annotations

import json
import re

import chromium
import numpy as np
import pytest
from commands import lic
from PIL import Image

from pillow_lic import metrics
from pillow_lic.cli import DONE, FAILED, USAGE, page

HOSTILE = "<!--<script><img src=x onerror=document.title='broken'>&lt;b \"'.png"


@pytest.fixture
def files(make_picture, tmp_path):
    """An original and what became of it, one of the files with a hostile name."""
    picture = Image.fromarray(make_picture(48, 64))
    picture.save(tmp_path / "original.png")
    picture.save(tmp_path / "low.jpg", quality=20)
    picture.quantize(8).save(tmp_path / "few.gif")
    picture.point(lambda value: 255 - value).save(tmp_path / HOSTILE)
    return [tmp_path / name for name in ("original.png", "low.jpg", "few.gif", HOSTILE)]


def data_of(path) -> dict:
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_page_holds_sizes_and_measures(files, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert lic("compare", *files, "-o", out, "--measures", "psnr,gmsd") == DONE
    assert str(out) in capsys.readouterr().out
    data = data_of(out)
    assert (data["width"], data["height"]) == (64, 48)
    assert [one["name"] for one in data["pictures"]] == [path.name for path in files]
    assert [one["format"] for one in data["pictures"]] == ["PNG", "JPEG", "GIF", "PNG"]
    assert [one["bytes"] for one in data["pictures"]] == [path.stat().st_size for path in files]
    expected = metrics.psnr(Image.open(files[0]), Image.open(files[1]))
    assert data["pictures"][1]["values"]["psnr"] == pytest.approx(expected)
    assert data["pictures"][0]["values"] == {}
    assert lic("compare", *files, "-o", out) == USAGE
    assert lic("compare", *files, "-o", out, "--measures", "none", "--force") == DONE
    assert data_of(out)["measures"] == []


def test_no_text_of_the_data_ends_its_element():
    text = "</script><script>alert(1)</script><!-- & @STYLE@"
    html = page.filled(page.PAGES / "compare.html", {"pictures": text}).decode()
    assert "alert(1)</script>" not in html
    assert html.count("</script>") == 2
    assert json.loads(re.search(r'id="data">(.*?)</script>', html, re.DOTALL)[1]) == {"pictures": text}
    with pytest.raises(ValueError, match="JSON"):
        page.filled(page.PAGES / "compare.html", float("nan"))


def test_equal_files_and_small_ones_have_words(tmp_path):
    Image.new("RGB", (5, 5)).save(tmp_path / "a.png")
    out = tmp_path / "page.html"
    assert lic("compare", tmp_path / "a.png", tmp_path / "a.png", "-o", out, "--measures", "psnr,ms_ssim") == DONE
    assert data_of(out)["pictures"][1]["values"] == {"psnr": "∞", "ms_ssim": "-"}


def test_area(files, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert lic("compare", *files[:2], "-o", out, "--area", "8,4,40,30", "--measures", "psnr") == DONE
    data = data_of(out)
    assert (data["width"], data["height"]) == (40, 30)
    box = (8, 4, 48, 34)
    expected = metrics.psnr(*(Image.open(path).crop(box) for path in files[:2]))
    assert data["pictures"][1]["values"]["psnr"] == pytest.approx(expected)
    assert data["pictures"][1]["bpp"] == pytest.approx(8 * files[1].stat().st_size / (64 * 48))  # of the whole file
    assert lic("compare", *files[:2], "-o", out, "-f", "--area", "30,4,40,30") == USAGE
    assert "beyond its 64 x 48 pixels" in capsys.readouterr().err
    for wrong in ("1,2,3", "1,2,0,4", "a,b,c,d", "-1,0,2,2", "1,1,1,99999999999"):
        assert lic("compare", *files[:2], "-o", out, "-f", f"--area={wrong}") == USAGE


def test_refusals(files, tmp_path, capsys, monkeypatch):
    out = tmp_path / "page.html"
    Image.new("RGB", (64, 47)).save(tmp_path / "other.png")
    assert lic("compare", files[0], tmp_path / "other.png", "-o", out) == USAGE
    assert "64 x 48 and 64 x 47" in capsys.readouterr().err
    (tmp_path / "none.png").write_bytes(b"no picture")
    assert lic("compare", files[0], tmp_path / "none.png", "-o", out) == FAILED
    assert "none.png" in capsys.readouterr().err
    Image.new("I;16", (64, 48)).save(tmp_path / "deep.png")
    assert lic("compare", files[0], tmp_path / "deep.png", "-o", out) == USAGE
    assert "deep.png: pictures of mode I;16" in capsys.readouterr().err
    assert lic("compare", files[0], files[1], "-o", out, "--measures", "nonsense") == USAGE
    monkeypatch.setattr("pillow_lic.cli.compare.PIXELS_MAX", 64 * 48 * 2 - 1)
    assert lic("compare", files[0], files[1], "-o", out) == FAILED
    assert "--area" in capsys.readouterr().err
    assert not out.exists()


# ---- In a browser -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    if why := chromium.reason():
        pytest.skip(why)
    with chromium.Browser() as one:
        yield one


PIXEL = "[...document.getElementById('picture').getContext('2d').getImageData({x}, {y}, 1, 1).data].slice(0, 3)"
BOX = "(b => [b.left, b.top, b.width])(document.getElementById('picture').getBoundingClientRect())"


@pytest.fixture
def opened(files, tmp_path, browser):
    out = tmp_path / "page.html"
    assert lic("compare", *files, "-o", out, "--measures", "psnr,ms_ssim") == DONE
    tab = browser.open(out.as_uri(), "document.body && document.body.dataset.ready === 'yes'")
    yield tab
    assert tab.problems() == []
    assert tab.requests() == [out.as_uri()], "the page asked for something"


def samples(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def pixel(tab, x, y) -> list[int]:
    return tab.run(PIXEL.format(x=x, y=y))


def choose(tab, element, value) -> None:
    tab.run(f"(() => {{ const e = document.getElementById('{element}'); e.value = {value!r};"
             "e.dispatchEvent(new Event('change')); })()")  # fmt: skip


def test_slider_shows_left_and_right(files, opened):
    left, right = samples(files[0]), samples(files[1])
    assert pixel(opened, 10, 20) == left[20, 10].tolist()
    assert pixel(opened, 50, 20) == right[20, 50].tolist()
    x, y, width = opened.run(BOX)
    opened.mouse("mousePressed", x + width / 8, y + 10, 1)
    opened.mouse("mouseMoved", x + width / 8, y + 10, 1)
    opened.mouse("mouseReleased", x + width / 8, y + 10)
    assert pixel(opened, 30, 20) == right[20, 30].tolist()
    assert pixel(opened, 4, 20) == left[20, 4].tolist()
    choose(opened, "right", "2")
    assert pixel(opened, 30, 20) == samples(files[2])[20, 30].tolist()
    opened.run("document.getElementById('swap').click()")
    assert pixel(opened, 30, 20) == left[20, 30].tolist()


def test_difference_is_what_lies_between(files, opened):
    opened.run("document.querySelector('[value=difference]').click()")
    apart = np.abs(samples(files[0]).astype(int) - samples(files[1]))
    for x, y in ((3, 5), (40, 30), (63, 47)):
        assert pixel(opened, x, y) == np.minimum(4 * apart[y, x], 255).tolist()
    choose(opened, "gain", "1")
    assert pixel(opened, 40, 30) == apart[30, 40].tolist()


def test_flicker_changes_sides(files, opened):
    opened.run("document.getElementById('period').value = 100; document.querySelector('[value=flicker]').click()")
    canvas = "document.getElementById('picture')"
    for side in ("1", "0", "1"):
        opened.wait(f"{canvas}.dataset.side === '{side}'")
    opened.press(" ")  # stops, and shows the other one
    side = opened.run(f"Number({canvas}.dataset.side)")
    assert pixel(opened, 40, 30) == samples(files[side])[30, 40].tolist()


def test_magnifier_and_readout(files, opened):
    x, y, width = opened.run(BOX)
    scale = width / 64
    opened.mouse("mouseMoved", x + 20.5 * scale, y + 12.5 * scale)
    a, b = (samples(path)[12, 20] for path in files[:2])
    apart = np.abs(a.astype(int) - b).max()
    read = opened.run("document.getElementById('readout').textContent")
    assert read == f"x 20  y 12   left {' '.join(map(str, a))}   right {' '.join(map(str, b))}   apart {apart}"
    lens = "document.getElementById('lens')"
    assert opened.run(f"{lens}.hidden") is False
    middle = f"[...{lens}.getContext('2d').getImageData(12 * 8 + 4, 12 * 8 + 4, 1, 1).data].slice(0, 3)"
    assert opened.run(middle) == a.tolist()
    assert opened.run(middle.replace("12 * 8 + 4, 12", "24 * 8 + 2 + 12 * 8 + 4, 12")) == b.tolist()
    opened.press("m")
    assert opened.run(f"{lens}.hidden") is True


def test_names_are_text_and_figures_are_there(files, opened):
    assert opened.run("document.title") == "lic compare: original.png"
    rows = opened.run(
        "[...document.querySelectorAll('#figures tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    assert [row[0] for row in rows] == ["original.png (original)", *(path.name for path in files[1:])]
    assert rows[1][2] == f"{files[1].stat().st_size:,}"
    assert rows[1][4] == f"{metrics.psnr(*(Image.open(path) for path in files[:2])):.2f}"
    assert opened.run("document.querySelectorAll('script').length") == 2
