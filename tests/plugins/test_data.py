"""`lic data` and `lic bench`: the list of data sets, what is found of them, the tables that are made of it."""

from __future__ import annotations

import csv
import json
import re
import tomllib

import numpy as np
import pytest
from commands import lic
from pictures import picture
from PIL import Image

from pillow_lic import datasets, metrics
from pillow_lic.cli import DONE, FAILED, USAGE, rates
from pillow_lic.errors import LicBadOption, LicDataMissing

pytestmark = pytest.mark.usefixtures("fake_engine")


# ---- The list -------------------------------------------------------------------------------------------------------

MUST = {"title": str, "purpose": str, "licence": str, "address": str, "layout": list}
MAY = {"count": int, "width": int, "height": int, "longer": int, "either": bool, "note": str}
MAY |= {"not_to_confuse": list, "used_by": list, "printed": list}
FAMILIES = [
    "kodak",
    "tecnick",
    "clic2020",
    "clic2021",
    "clic2022",
    "div2k",
    "raise",
    "cityscapes",
    "coco",
    "imagenet",
    "ffhq",
    "celeba-hq",
    "celebamask",
    "ade20k",
    "voc",
    "dota",
    "uc-merced",
    "cub",
    "msra",
    "edges2shoes",
    "open-images",
    "places365",
    "lsun",
    "cifar10",
    "flickr",
    "celeba",
]


@pytest.mark.parametrize("name", sorted(datasets.known()))
def test_form_of_the_list(name):
    facts = tomllib.loads(datasets.LIST.read_text(encoding="utf-8"))[name]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert facts.keys() >= MUST.keys()
    for key, value in facts.items():
        kind = (MUST | MAY)[key]
        assert isinstance(value, kind), key
        assert value or value is False, key
        assert kind is not int or value > 0, key
    assert facts["purpose"] in ("test", "train", "both")
    assert re.match(r"https?://\S+$", facts["address"])
    assert ("width" in facts) == ("height" in facts)
    assert all(re.fullmatch(r"[\w.?*/-]+\.\w+", pattern) for pattern in facts["layout"])
    for other in facts.get("not_to_confuse", []):
        assert datasets.named(other).name != name
    for row in facts.get("printed", []):
        assert row.keys() == {"source", "codec", "bpp", "psnr", "ms_ssim"}
        assert 0 < row["bpp"] < 1 < 20 < row["psnr"] < 45
        assert 0.5 < row["ms_ssim"] < 1


def test_sets_of_the_surveys_are_there():
    assert not [name for name in FAMILIES if not any(one.startswith(name) for one in datasets.known())]


def test_the_two_professional_sets_are_told_apart():
    valid, test = datasets.named("clic2020-professional-valid"), datasets.named("clic2020-professional-test")
    assert (valid.count, test.count) == (41, 250)
    assert test.name in valid.not_to_confuse
    assert valid.name in test.not_to_confuse
    assert "Never mix them" in valid.note
    with pytest.raises(LicBadOption, match=r"'clic2020-professional'; there are .*-valid, clic2020-professional-test"):
        datasets.named("clic2020-professional")


# ---- What is found --------------------------------------------------------------------------------------------------


def saved(folder, names, size=(48, 32)):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", size, (9, 90, 200)).save(folder / name)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """$LIC_DATA with a Kodak of the right names."""
    monkeypatch.setenv("LIC_DATA", str(tmp_path / "data"))
    saved(tmp_path / "data" / "kodak", [f"kodim{n:02}.png" for n in range(1, 25)], (768, 512))
    return tmp_path / "data"


def test_lists(root, capsys):
    assert lic("data") == DONE
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(datasets.known())
    assert re.match(r"kodak +test +24 +768x512 +yes ", lines[1])
    assert "yes" not in lines[2]
    assert lic("data", "--json") == DONE
    assert json.loads(capsys.readouterr().out)["kodak"]["count"] == 24
    assert lic("data", "nonesuch") == USAGE
    assert "`lic data` lists them" in capsys.readouterr().err


def test_what_is_right_is_right(root, capsys):
    assert lic("data", "kodak") == DONE
    said = capsys.readouterr().out
    assert f"24 pictures in {root / 'kodak'}" in said
    assert "PROBLEM" not in said
    saved(root / "kodak", ["kodim04.png"], (512, 768))  # some are upright
    assert lic("data", "kodak") == DONE
    assert lic("data", "tecnick") == DONE
    assert "here: not found" in capsys.readouterr().out


@pytest.mark.parametrize("fault", ["count", "size", "broken", "empty", "absent"])
def test_what_is_wrong_is_named(root, fault, capsys):
    kodak, said = root / "kodak", {}
    if fault == "count":
        (kodak / "kodim07.png").unlink()
        said = "23 pictures, 24 expected"
    elif fault == "size":
        for n in range(1, 6):
            saved(kodak, [f"kodim{n:02}.png"], (60, 40))
        said = "kodim01.png: 60x40, 768x512 expected; kodim02.png: .* and 2 more"
    elif fault == "broken":
        (kodak / "kodim09.png").write_bytes(b"broken")
        said = "kodim09.png: cannot identify"
    elif fault == "empty":
        for path in kodak.iterdir():
            path.rename(path.with_suffix(".jpg"))
        said = r"nothing like kodim\?\?\.png"
    else:
        said = "there is no folder"
    where = [f"kodak={root / 'nowhere'}"] if fault == "absent" else ["kodak"]
    assert lic("data", *where) == FAILED
    assert re.search(f"PROBLEM: .*{said}", capsys.readouterr().out)


def test_one_set_in_the_place_of_another(tmp_path):
    one = datasets.named("tecnick")
    saved(tmp_path / "t", [f"{n}.png" for n in range(40)])
    problems = one.problems(one.pictures(tmp_path / "t"))
    assert problems[0].startswith("40 pictures, 100 expected; tecnick-sampling has so many")


# ---- Benches --------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path):
    """Three pictures in the place of Tecnick's."""
    (tmp_path / "tecnick").mkdir()
    for seed, name in enumerate("abc"):
        Image.fromarray(picture(176, 192, seed=seed)).save(tmp_path / "tecnick" / f"{name}.png")
    return tmp_path / "tecnick"


FEW = ("--codecs", "lic,jpeg,webp", "--qualities", "30,80", "--measures", "psnr,ms_ssim")


def test_tables(small, tmp_path, capsys):
    out = tmp_path / "out"
    assert lic("bench", "--data", f"tecnick={small}", "-o", out, *FEW, "--bpp", "0.15,2") == DONE
    assert "3 pictures, 100 expected" in capsys.readouterr().err
    files = list(csv.DictReader((out / "tecnick-files.csv").open(encoding="utf-8")))
    assert len(files) == 3 * 3 * 2
    means = list(csv.DictReader((out / "tecnick.csv").open(encoding="utf-8")))
    mine = [float(row["psnr"]) for row in files if (row["codec"], row["quality"]) == ("webp", "80")]
    row = next(row for row in means if (row["codec"], row["quality"]) == ("webp", "80"))
    assert float(row["psnr"]) == pytest.approx(np.mean(mine), rel=1e-5)
    page = (out / "tecnick.md").read_text(encoding="utf-8")
    assert "## At 0.15 bits per pixel" in page
    assert "| Zhu 2020, table 1 | Zhu 2020 |  | 0.150 | 31.285 | 0.9570 |" in page
    assert page.count("Zhu 2020, table 1") == 6, "not at 2 bits per pixel"
    assert f"| webp | 80 | {float(row['bpp']):.3f} | {float(row['psnr']):.3f} |" in page
    assert "- 3 pictures, 100 expected" in page


def test_the_nearest_quality_is_found(small, tmp_path):
    out = tmp_path / "out"
    assert lic("bench", "--data", f"tecnick={small}", "-o", out, *FEW[2:], "--codecs", "jpeg", "--bpp", "2") == DONE
    page = (out / "tecnick.md").read_text(encoding="utf-8")
    quality, bpp = re.search(r"\| here \| jpeg \| (\d+) \| ([\d.]+) \|", page).groups()
    images = [Image.open(path) for path in sorted(small.iterdir())]

    def rate(q):
        return np.mean([8 * len(rates.CODECS["jpeg"].save(im, q)) / (im.width * im.height) for im in images])

    assert float(bpp) == pytest.approx(rate(int(quality)), abs=5e-4)
    best = min(range(1, 101), key=lambda q: abs(rate(q) - 2))
    assert abs(rate(int(quality)) - 2) == pytest.approx(abs(rate(best) - 2))


@pytest.mark.parametrize("codec", ["lic", "jpeg", "jpeg2000", "webp"])
def test_all_qualities_rise(codec):
    every = rates.CODECS[codec].every()
    image = Image.fromarray(picture(64, 96))
    few = [every[0], every[len(every) // 2], every[-1]]
    assert len(set(every)) == len(every) >= 100
    if codec != "lic":  # whose stand-in keeps every sample
        sizes = [len(rates.CODECS[codec].save(image, quality)) for quality in few]
        assert sizes == sorted(sizes)


def test_what_bench_refuses(small, root, tmp_path, capsys):
    assert lic("bench", "--data", "tecnick", "-o", tmp_path) == FAILED
    assert "say tecnick=PATH, or put it into $LIC_DATA/tecnick. Nothing is downloaded" in capsys.readouterr().err
    assert lic("bench", "--data", "nonesuch", "-o", tmp_path) == USAGE
    assert lic("bench", "--data", f"tecnick={small}", "--limit", "0") == USAGE
    (tmp_path / "tecnick.md").write_text("precious")
    assert lic("bench", "--data", f"tecnick={small}", "-o", tmp_path, *FEW) == USAGE
    assert (tmp_path / "tecnick.md").read_text() == "precious"
    with pytest.raises(LicDataMissing, match="no folder"):
        datasets.named("kodak").pictures(tmp_path / "nowhere")


def test_a_limit_is_said(small, tmp_path):
    assert lic("bench", "--data", f"tecnick={small}", "-o", tmp_path / "out", *FEW, "--limit", "2") == DONE
    page = (tmp_path / "out" / "tecnick.md").read_text(encoding="utf-8")
    assert "2 pictures." in page
    assert "- 2 of 3 pictures are measured" in page


def test_default_measures_are_those_of_the_source_paper():
    from pillow_lic.cli import bench

    assert bench.MEASURES[:3] == ("psnr", "ms_ssim", "ms_ssim_db")
    assert set(bench.MEASURES) <= set(metrics.MEASURES)
