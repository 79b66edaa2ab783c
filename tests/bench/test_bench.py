"""What rd.py's tables stand on: the cache of files, which images count, BD-rates by each measure. JPEG alone is run."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
import ledger
import metrics
import peers
import rd


def row(codec="jpeg", quality=10, image="a.png", **more):
    return {"codec": codec, "quality": quality, "image": image, "bytes": 100, "bpp": 1.0, **more}


# ---- The cache -----------------------------------------------------------------------------------------------------


def test_rows_survive_a_run_that_breaks_off(tmp_path):
    path = tmp_path / "rows.csv"
    assert ledger.read(path) == {}
    ledger.write(path, rd.IMAGE_COLUMNS, [row(quality=20, psnr=30.0), row(psnr=25.0)])
    ledger.append(path, rd.IMAGE_COLUMNS, [row(image="b.png", psnr=26.0), row(psnr=25.5)])
    whole = ledger.read(path)
    assert len(whole) == 3
    assert whole["jpeg", 10.0, "a.png"]["psnr"] == "25.5"  # the last one counts
    path.write_text(path.read_text() + "jpeg,30,c.png,76")  # half a line
    assert ledger.read(path) == whole
    ledger.write(path, rd.IMAGE_COLUMNS, whole.values())
    assert ledger.read(path) == whole
    assert [line.split(",")[:3] for line in path.read_text().splitlines()[1:]] == [
        ["jpeg", "10", "a.png"],
        ["jpeg", "10", "b.png"],
        ["jpeg", "20", "a.png"],
    ]


def test_only_what_is_missing_is_planned(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    paths = []
    for name in ("a.png", "b.png"):
        paths.append(str(folder / name))
        Image.fromarray(np.random.default_rng(len(paths)).integers(0, 256, (24, 32, 3), np.uint8)).save(paths[-1])
    jpeg = peers.find("jpeg")
    chosen = [("jpeg", jpeg, (20, 60))]

    def plan(columns, again=()):
        return rd.plan(chosen, paths, columns, ledger.read(tmp_path / "rows.csv"), again)

    def run(columns):
        jobs, count = plan(columns)
        ledger.write(tmp_path / "rows.csv", rd.IMAGE_COLUMNS, ledger.read(tmp_path / "rows.csv").values())
        rd.run(jobs, count, 1, lambda rows: ledger.append(tmp_path / "rows.csv", rd.IMAGE_COLUMNS, rows))
        return count

    pytest.importorskip("tqdm")
    assert run(["psnr"]) == 4
    assert run(["psnr"]) == 0
    before = ledger.read(tmp_path / "rows.csv")
    assert run(["psnr", "psnr_hvs_m"]) == 4  # one measure more
    after = ledger.read(tmp_path / "rows.csv")
    assert all(after[key]["psnr"] == before[key]["psnr"] and after[key]["psnr_hvs_m"] for key in before)
    Image.open(paths[0]).transpose(Image.Transpose.ROTATE_180).save(paths[0])
    assert plan(["psnr"])[1] == 2  # other pixels under the same name
    assert plan(["psnr"], {"jpeg"})[1] == 4
    chosen[0] = ("jpeg", peers.dataclasses.replace(jpeg, options=lambda q: {"quality": int(q)}), (20, 60))
    assert plan(["psnr"])[1] == 4  # other options


def test_settings_of_our_codec_name_its_models():
    default, named, tuned = (peers.find(name) for name in ("lic", "lic@photo-ms-ssim", "lic~ms-ssim+0"))
    assert "photo-visual" in default.encoder()
    assert tuned.options(50.0) == {"quality": 50.0, "tune": "ms-ssim", "effort": 0}
    assert "photo-ms-ssim" in tuned.encoder()
    assert "photo-low" not in named.encoder()
    assert tuned.name == "lic~ms-ssim+0"
    assert peers.label(tuned.name) == "LIC, tune ms-ssim, effort 0 (ours)"
    assert len({codec.settings(50.0) for codec in (default, named, tuned)}) == 3
    assert default.settings(50.0) != default.settings(51.0)
    assert peers.ours("lic~ms-ssim")
    assert not peers.ours("jpegli")


def test_qualities():
    codec = peers.CODECS["jpeg"]
    assert rd.qualities_of(codec, None) == codec.qualities
    assert rd.qualities_of(codec, None, 3) == (5, 50, 95)
    assert rd.qualities_of(codec, "10,20.5") == (10.0, 20.5)
    assert rd.qualities_of(peers.CODECS["jpeg2000"], "10,20") == peers.CODECS["jpeg2000"].qualities


# ---- Means and BD-rates --------------------------------------------------------------------------------------------


def rows_of(codec, factor, images=("a.png", "b.png"), **column):
    """Files of a codec that needs `factor` times the bytes of another for the same quality."""
    name, of = next(iter(column.items()))
    return [
        row(codec, q, image, **{"bpp": factor * 2 ** (q / 20), name: of(q), "psnr": 20 + q / 5})
        for q in (10, 30, 50, 70, 90)
        for image in images
    ]


@pytest.mark.parametrize(
    ("metric", "of"),
    [("ssimulacra2", lambda q: float(q)), ("butteraugli", lambda q: 6 - q / 20), ("psnr", lambda q: q)],
)
def test_bd_rate_by_measures_that_rise_and_fall(metric, of):
    pytest.importorskip("bjontegaard")
    found = rd.Results(rows_of("jpeg", 1.0, **{metric: of}) + rows_of("webp", 0.8, **{metric: of}))
    bd = {(r["metric"], r["test"]): r for r in found.bd_rows("none")}
    assert bd[metric, "webp"]["bd_rate"] == pytest.approx(-20)
    assert bd[metric, "jpeg"]["bd_rate"] == pytest.approx(25)
    usual = bd[metric, "webp"]["bd_rate_usual"]
    assert usual == (pytest.approx(-20) if metric == "ssimulacra2" else "")


def test_only_shared_images_count():
    pytest.importorskip("bjontegaard")
    rows = rows_of("jpeg", 1.0, ssimulacra2=float) + rows_of("webp", 0.5, ("a.png",), ssimulacra2=float)
    rows += [row("webp", 10, "b.png", bpp=99.0, ssimulacra2=0.0, psnr=1.0)]  # a run that broke off
    bd = {(r["metric"], r["test"]): r for r in rd.Results(rows).bd_rows("none")}
    assert bd["ssimulacra2", "webp"]["images"] == 1
    assert bd["ssimulacra2", "webp"]["bd_rate"] == pytest.approx(-50)


def test_rows_without_a_measure_are_left_out_of_its_curve():
    rows = rows_of("jpeg", 1.0, ssimulacra2=float)
    rows += [row("jpeg", 95, image, bpp=50.0, psnr=45.0) for image in ("a.png", "b.png")]  # of an older run
    found = rd.Results(rows)
    assert len(found.curve("jpeg", "psnr")) == 6
    assert len(found.curve("jpeg", "ssimulacra2")) == 5
    means = {r["quality"]: r for r in found.means()}
    assert math.isnan(means[95.0]["ssimulacra2"])
    assert means[90.0]["ssimulacra2"] == 90


def test_bd_rate_between_two_values():
    pytest.importorskip("bjontegaard")
    points = [(2 ** (v / 20), v) for v in range(0, 101, 10)]
    better_above_50 = [(rate * (0.5 if v > 50 else 1), v) for rate, v in points]
    # a curve must rise: below 50 both are the same, above it the other needs half
    assert metrics.bd_rate(points, better_above_50, values=(0, 40)) == pytest.approx(0, abs=0.5)
    assert metrics.bd_rate(points, better_above_50, values=(75, 95)) == pytest.approx(-50, abs=0.5)
    assert math.isnan(metrics.bd_rate(points, points, values=(90, 200)))
