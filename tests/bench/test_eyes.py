"""The page for eyes, clicked through in a browser, and what is counted of the answers. Generated pictures; JPEG and
WebP alone are run.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from pathlib import Path

import chromium
import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
import eyes


@pytest.fixture
def written(make_picture, tmp_path, monkeypatch, capsys):
    """The page of three pictures at two rates, and its data."""
    folder = tmp_path / "images"
    folder.mkdir()
    for seed in range(3):
        Image.fromarray(make_picture(90, 120, seed=seed)).save(folder / f"{seed}.png")
    out = tmp_path / "eyes.html"
    arguments = ["eyes.py", str(folder), "--codecs", "jpeg,webp", "--bpp", "0.8,1.6", "--side", "64", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", arguments)
    eyes.main()
    assert "6 pairs" in capsys.readouterr().out
    return out, json.loads(re.search(r'id="data">(.*?)</script>', out.read_text("utf-8"), re.DOTALL)[1])


def test_every_pair_once(written):
    _, data = written
    assert len(data["sources"]) == 3 + 3 * 2 * 2
    asked = [(one["picture"], one["bpp"], *(side["codec"] for side in one["pair"])) for one in data["trials"]]
    assert asked == [(str(k), bpp, "jpeg", "webp") for k in range(3) for bpp in (0.8, 1.6)]
    used = [side["source"] for one in data["trials"] for side in one["pair"]] + [0, 5, 10]
    assert sorted(used) == list(range(15))


@pytest.mark.skipif(bool(chromium.reason()), reason=str(chromium.reason()))
def test_answers_name_what_was_shown(written, tmp_path, monkeypatch, capsys):
    out, data = written
    with chromium.Browser() as browser:
        tab = browser.open(f"{out.as_uri()}#seed=5", "document.body && document.body.dataset.ready === 'yes'")
        keys = ["ArrowLeft", "ArrowRight", "ArrowDown", "ArrowLeft", "u", "ArrowRight", "ArrowDown", "ArrowLeft"]
        pixel = (
            "[...document.querySelector('[data-role={}]').getContext('2d').getImageData(5, 7, 1, 1).data].slice(0, 3)"
        )
        shown = []
        for key in keys:
            if key != "u":
                shown.append([tab.run(pixel.format(role)) for role in ("left", "original", "right")])
            else:
                shown.pop()
            assert "jpeg" not in tab.run("document.getElementById('trial').innerText")  # no names
            tab.press(key)
        text = tab.run("document.getElementById('answers').value")
        assert tab.run("decodeURIComponent(document.getElementById('save').href).split('utf-8,')[1]") == text
        assert tab.run("document.getElementById('trial').hidden") is True
        assert (tab.problems(), tab.requests()) == ([], [f"{out.as_uri()}#seed=5"[: len(out.as_uri())]])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {(row["picture"], row["bpp"]) for row in rows} == {(str(k), bpp) for k in range(3) for bpp in ("0.8", "1.6")}
    assert [row["picture"] for row in rows] != ["0", "0", "1", "1", "2", "2"]  # an order of its own
    assert {row["left"] for row in rows} == {"jpeg", "webp"}  # on both sides
    for row, key, (left, original, right) in zip(rows, [*keys[:3], *keys[5:]], shown):
        side = {"ArrowLeft": row["left"], "ArrowRight": row["right"], "ArrowDown": "same"}[key]
        assert row["answer"] == side
        trial = next(t for t in data["trials"] if (t["picture"], str(t["bpp"])) == (row["picture"], row["bpp"]))
        place = {one["codec"]: one["source"] for one in trial["pair"]}
        for samples, source in (
            (left, place[row["left"]]),
            (original, trial["original"]),
            (right, place[row["right"]]),
        ):
            assert samples == pixel_of(data["sources"][source])
    path = tmp_path / "answers.csv"
    path.write_text(text, "utf-8")
    monkeypatch.setattr(sys, "argv", ["eyes.py", "--read", str(path)])
    eyes.main()
    same = sum(row["answer"] == "same" for row in rows if row["bpp"] == "0.8")
    assert re.search(rf"0.8 bpp: jpeg \d, no difference {same}, webp \d; chance", capsys.readouterr().out)


def pixel_of(source: str) -> list[int]:
    import base64

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))[7, 5].tolist()


def test_original_and_magnifier(written):
    if why := chromium.reason():
        pytest.skip(why)
    out, _ = written
    with chromium.Browser() as browser:
        tab = browser.open(f"{out.as_uri()}#seed=5", "document.body && document.body.dataset.ready === 'yes'")
        url = "document.querySelector('[data-role={}]').toDataURL()"
        before = tab.run(url.format("left"))
        assert before != tab.run(url.format("original"))
        tab.ask("Input.dispatchKeyEvent", type="keyDown", key="o")
        assert tab.run(url.format("left")) == tab.run(url.format("original"))
        tab.ask("Input.dispatchKeyEvent", type="keyUp", key="o")
        assert tab.run(url.format("left")) == before
        # The magnifier's three panes, of one place: left, original, right.
        tab.press("m")
        x, y = tab.run("(b => [b.left, b.top])(document.querySelector('[data-role=right]').getBoundingClientRect())")
        tab.mouse("mouseMoved", x + 30.5, y + 40.5)
        lens = "[...document.getElementById('lens').getContext('2d').getImageData({}, 68, 1, 1).data].slice(0, 3)"
        at = (
            "[...document.querySelector('[data-role={}]').getContext('2d').getImageData(30, 40, 1, 1).data].slice(0, 3)"
        )
        for number, role in enumerate(("left", "original", "right")):
            assert tab.run(lens.format(130 * number + 68)) == tab.run(at.format(role))


def test_counts_and_chance():
    row = {"bpp": "0.3", "left": "b", "right": "a", "picture": "x", "seconds": "1", "seed": "1"}
    rows = [row | {"answer": answer} for answer in ("a", "a", "same", "b")]
    rows += [row | {"left": "a", "right": "b", "answer": "a"}]
    assert eyes.counted(rows) == {(0.3, "a", "b"): [3, 1, 1]}
    assert eyes.chance(5, 0) == pytest.approx(2 / 32)
    assert eyes.chance(3, 3) == 1.0
    assert eyes.chance(0, 0) == 1.0
