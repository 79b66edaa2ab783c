"""Rate control: files of a size or of a PSNR that is asked for."""

from __future__ import annotations

import io
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pillow_lic
from pillow_lic import container, errors, quality
from pillow_lic.cli.arguments import number_of_bytes
from pillow_lic.codec import screen
from pillow_lic.codec.options import EncodeOptions
from pillow_lic.codec.rate import goals, search
from pillow_lic.models import registry


def psnr(array: np.ndarray, data: bytes) -> float:
    """Of the colours, as tests reckon it."""
    bands = 1 if array.ndim == 2 else min(array.shape[2], 3) if array.shape[2] > 2 else 1
    found, wanted = pillow_lic.decode(data), array
    if array.ndim == 3:
        found, wanted = found[..., :bands], array[..., :bands]
    return float(10 * np.log10(255.0**2 / ((found.astype(float) - wanted) ** 2).mean()))


def encode(array: np.ndarray, **options) -> bytes:
    return pillow_lic.encode(array, **{"model": "toy"} | options)


@pytest.mark.parametrize("shape", [(150, 130), (150, 130, 2), (150, 130, 3), (150, 130, 4)])
@pytest.mark.parametrize("effort", [0, 2])
def test_sizes_are_never_passed(make_picture, shape, effort):
    array = make_picture(*shape[:2], shape[2] if len(shape) == 3 else 1)
    metadata = {"exif": b"MM\0*" + bytes(range(200)), "xmp": b"<x/>"}
    ends = [len(encode(array, quality=q, effort=effort, **metadata)) for q in (1, 100)]
    for share in (0.1, 0.35, 0.6, 0.9):
        most = int(ends[0] + (ends[1] - ends[0]) * share)
        data = encode(array, target_size=most, effort=effort, **metadata)
        assert 0.97 * most - 12 <= len(data) <= most
        assert pillow_lic.decode(data).shape == array.shape


def test_sizes_across_both_models(make_picture):
    """The models of a tune take over from each other without a gap."""
    array = make_picture(128, 192)
    options = {"effort": 0, "tune": "psnr"}
    ends = {q: len(pillow_lic.encode(array, quality=q, **options)) for q in (1, 57.57, 57.58, 100)}
    low, high = sorted((ends[57.57], ends[57.58]))
    sizes = [int(ends[1] * 1.15), low - 5, (low + high) // 2, high + 5, int(ends[100] * 0.9)]
    models = set()
    for most in sizes:
        data = pillow_lic.encode(array, target_size=most, **options)
        assert 0.97 * most - 12 <= len(data) <= most
        models.add(container.read_head(data).header.model)
    assert len(models) == 2


def test_bits_and_ratios_are_sizes(make_picture):
    array = make_picture(96, 80)
    most = len(encode(array, quality=60))
    assert encode(array, target_bpp=8 * most / (96 * 80)) == encode(array, target_size=most)
    ratio = 96 * 80 * 3 / most
    data = encode(array, ratio=ratio)
    assert array.nbytes / len(data) >= ratio
    assert len(data) >= 0.97 * most


@pytest.mark.parametrize("shape", [(150, 130), (150, 130, 4)])
@pytest.mark.parametrize("effort", [0, 2])
def test_psnr_is_met(make_picture, shape, effort):
    array = make_picture(*shape[:2], shape[2] if len(shape) == 3 else 1)
    low, high = (psnr(array, encode(array, quality=q, effort=effort)) for q in (5, 95))
    for wanted in (low + 0.3 * (high - low), low + 0.8 * (high - low)):
        assert psnr(array, encode(array, target_psnr=wanted, effort=effort)) == pytest.approx(wanted, abs=0.1)


def test_what_is_more_than_enough(make_picture):
    """A size beyond that of the highest quality, and a PSNR below that of the lowest."""
    array = make_picture(64, 64)
    assert len(encode(array, target_size=10**9)) <= len(encode(array, quality=100)) + 8
    assert container.read_head(encode(array, target_size=10**9)).header.quality == 100
    assert container.read_head(encode(array, target_psnr=1)).header.quality == 1


def test_what_cannot_be_met(make_picture):
    array = make_picture(64, 64, 4)
    with pytest.raises(errors.LicTargetUnreachable, match=r"target_size=70 .*qualities 1 to 100 make") as caught:
        encode(array, target_size=70, exif=b"MM\0*" + bytes(30))
    assert isinstance(caught.value, ValueError)
    low, high, beside = map(int, re.search(r"make (\d+) to (\d+) bytes, (\d+) of them", str(caught.value)).groups())
    assert 70 < low < high
    assert beside < low
    assert len(encode(array, target_size=low, exif=b"MM\0*" + bytes(30))) <= low
    with pytest.raises(errors.LicTargetUnreachable, match=r"target_psnr=70 .*make [\d.]+ to [\d.]+ dB"):
        encode(array, target_psnr=70)
    with pytest.raises(errors.LicTargetUnreachable, match="ratio=1e"):
        encode(array, ratio=1e9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target_size": 0}, "target_size must be a whole number of bytes"),
        ({"target_size": 1000.5}, "target_size"),
        ({"target_size": "50k"}, "target_size"),
        ({"target_size": True}, "target_size"),
        ({"target_bpp": float("nan")}, "target_bpp must be bits per pixel"),
        ({"target_bpp": -1}, "target_bpp"),
        ({"ratio": float("inf")}, "ratio"),
        ({"target_psnr": [36]}, "target_psnr must be dB"),
        ({"target_size": 1000, "quality": 75}, "quality and target_size each decide the quality"),
        ({"target_psnr": 36, "ratio": 20}, "ratio and target_psnr each decide"),
    ],
)
def test_wrong_targets(make_picture, options, words):
    with pytest.raises(errors.LicBadOption, match=words):
        encode(make_picture(16, 16), **options)


def test_one_pixel():
    array = np.full((1, 1, 3), 77, np.uint8)
    smallest = len(encode(array, quality=1))
    assert len(encode(array, target_size=smallest + 4)) <= smallest + 4
    encode(array, target_psnr=20)


def test_batches(make_picture):
    arrays = [make_picture(64, 64, seed=seed) for seed in range(3)]
    most = 8 * 700 / (64 * 64)
    files = pillow_lic.encode_batch(arrays, model="toy", target_bpp=most)
    assert files == [encode(array, target_bpp=most) for array in arrays]


def test_saving(image, tmp_path):
    path = tmp_path / "a.lic"
    image().save(path, model="toy", target_size=200)
    assert 180 < path.stat().st_size <= 200
    buffer = io.BytesIO()
    with pytest.raises(errors.LicTargetUnreachable):
        image().save(buffer, "LIC", model="toy", target_size=20)
    assert buffer.getvalue() == b""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        image().save(buffer, "LIC", model="toy", target_sise=20)
    assert "did you mean 'target_size'" in str(caught[0].message)


@pytest.mark.parametrize("effort", [2])
def test_torch_meets_targets(make_picture, on_torch, effort):
    array = make_picture(100, 90)
    most = len(encode(array, quality=55, effort=effort))
    assert 0.96 * most <= len(encode(array, target_size=most, effort=effort)) <= most
    wanted = psnr(array, encode(array, quality=55, effort=effort))
    assert psnr(array, encode(array, target_psnr=wanted, effort=effort)) == pytest.approx(wanted, abs=0.15)


def test_an_analysis_serves_all_tries_that_are_near(make_picture, monkeypatch):
    calls = {"analyse": 0, "refined": 0, "at": 0}
    settings = EncodeOptions(model="toy", target_size=1500).checked()
    kind = type(settings.engine)
    for name in calls:
        plain = getattr(kind, name)

        def counted(self, *arguments, plain=plain, name=name):
            calls[name] += 1
            return plain(self, *arguments)

        monkeypatch.setattr(kind, name, counted)
    encode(make_picture(150, 130), target_size=1500)
    assert calls["refined"] == 1
    assert calls["analyse"] <= 2  # a second one where the first guess was far off
    assert calls["at"] <= search.PROBES + search.TRIES


@pytest.mark.parametrize("points", [2, 4, 8])
def test_coarsest_quality_is_the_lowest_of_its_tables(points):
    for q in [*range(100, 10001, 37), 10000]:
        low = quality.coarsest(q, points)
        assert low <= q
        assert quality.rate_point(low, points) == quality.rate_point(q, points)
        assert low == 100 or quality.rate_point(low - 1, points) != quality.rate_point(q, points)


def test_reckoned_psnr_is_that_of_pillow(make_picture):
    array = make_picture(300, 40)
    settings = EncodeOptions(model="toy", target_psnr=30).checked()
    from pillow_lic.codec.encode import Encoding

    job = Encoding(array, settings)
    job.begin()
    job.take(screen.Plan(array, []))
    goal = goals.goal_of(job)
    other = np.asarray(Image.fromarray(array).resize((20, 150)).resize((40, 300)))
    error = ((other.astype(float) - array) ** 2).mean()
    assert goal.psnr(other) == pytest.approx(10 * np.log10(255**2 / error))
    assert goal.psnr(array) == goals.PSNR_MOST


def test_stages_stand_in_files_of_a_size(make_picture):
    array = make_picture(150, 130)
    most = len(encode(array, quality=60, progressive=True))
    data = encode(array, target_size=most, progressive=True)
    assert 0.97 * most <= len(data) <= most
    assert container.read_head(data).header.stage_count > 1
    assert encode(array, target_size=most, progressive=True) == data


@pytest.mark.parametrize("effort", [0, 2])
def test_many_tiles(make_picture, effort):
    array = make_picture(40, 1100)
    most = len(encode(array, quality=40, effort=effort)) - 9
    data = encode(array, target_size=most, effort=effort)
    assert container.read_head(data).header.tile_count == 2
    assert 0.97 * most <= len(data) <= most


@pytest.mark.parametrize("options", [{"roi": (0, 0, 60, 60)}, {"importance": "auto"}, {"uniform": True}])
def test_maps_go_with_targets(make_picture, options):
    array = make_picture(150, 130)
    array[:, 65:] //= 3
    plain = encode(array, quality=60, **options)
    data = encode(array, target_size=len(plain), **options)
    assert 0.96 * len(plain) <= len(data) <= len(plain)
    assert (container.read(data).map is None) == (container.read(plain).map is None)


def test_a_psnr_between_two_models(make_picture):
    """The upper model's lowest quality is too good, and the lower's highest too poor before effort is spent on it."""
    rough = np.clip(128 + np.random.default_rng(1).normal(0, 60, (64, 80, 3)), 0, 255).astype(np.uint8)
    rough = np.asarray(Image.fromarray(rough).resize((160, 128), Image.Resampling.BILINEAR)).astype(float)
    array = np.clip(make_picture(128, 160) + rough - 128, 0, 255).astype(np.uint8)

    def psnr(data: bytes) -> float:
        return 10 * np.log10(255**2 / ((pillow_lic.decode(data).astype(float) - array) ** 2).mean())

    wanted = psnr(pillow_lic.encode(array, quality=48, screen="off", tune="psnr")) + 0.037
    assert psnr(pillow_lic.encode(array, target_psnr=wanted, screen="off")) == pytest.approx(wanted, abs=0.1)


def test_an_even_map_is_that_of_the_quality_found(make_picture):
    array = make_picture(192, 256)
    array[:, 128:] //= 4
    array[96:] = array[96:] // 2 + 60
    plain = encode(array, quality=90, effort=0, uniform=True)
    data = encode(array, target_size=len(plain), effort=0, uniform=True)
    found, own = (np.frombuffer(container.read(one).map, np.int8).astype(int) for one in (data, plain))
    assert np.abs(found - own).max() <= 1


def test_what_nobody_sees_does_not_count(make_picture):
    array = make_picture(128, 96, 4)
    array[:64, :, 3] = 0
    array[64:, :, 3] = 200
    array[:64, :, :3] = np.random.default_rng(2).integers(0, 256, (64, 96, 3))  # noise, of which nothing is kept
    data = encode(array, target_psnr=29.0)
    error = (pillow_lic.decode(data)[64:, :, :3].astype(float) - array[64:, :, :3]) ** 2
    assert 10 * np.log10(255**2 / error.mean()) == pytest.approx(29.0, abs=0.1)


@pytest.mark.parametrize(
    "options",
    [{"lossless": True, "target_size": 5000}, {"lossless": True, "target_psnr": 36.0}, {"lossless": True, "ratio": 3}],
)
def test_lossless_has_no_target(make_picture, options):
    with pytest.raises(errors.LicBadOption, match="lossless files have the size that they have"):
        pillow_lic.encode(make_picture(16, 16), **options)


def _letters() -> np.ndarray:
    """A page of text."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
    from drawn import page

    return np.asarray(page(14, (0, 0, 0), (255, 255, 255), 1))


@pytest.mark.network
def test_what_is_exact_counts():
    """A page alone, where there is room for it; the networks where not; where they need more, that is said."""
    array = _letters()
    exact = len(pillow_lic.encode(array, lossless=True))
    data = pillow_lic.encode(array, target_size=2 * exact)
    assert np.array_equal(pillow_lic.decode(data), array)
    assert len(pillow_lic.encode(array, target_size=exact // 2)) <= exact // 2
    with pytest.raises(errors.LicTargetUnreachable, match=r"qualities 0\.1 to 1 make \d{4} to \d{5} bytes"):
        pillow_lic.encode(array, target_size=exact // 50)
    assert np.array_equal(pillow_lic.decode(pillow_lic.encode(array, target_psnr=40.0)), array)


@pytest.mark.network
@pytest.mark.parametrize("alpha", [True])
def test_exact_rectangles_count(make_picture, alpha):
    """Text in a photograph stays exact, and its bytes are among those that were asked for."""
    array = make_picture(288, 320, 4 if alpha else 3)
    array[64:224, 96:288, :3] = _letters()[40:200, 40:232]
    plain = pillow_lic.encode(array, quality=50, effort=0)
    assert container.read(plain).overlay
    most = len(plain) + 5
    data = pillow_lic.encode(array, target_size=most, effort=0)
    assert 0.97 * most <= len(data) <= most
    assert container.read(data).overlay
    low = len(pillow_lic.encode(array, quality=1, effort=0, screen="off")) + 50
    assert len(pillow_lic.encode(array, target_size=low, effort=0)) <= low  # exact rectangles would not fit


@pytest.mark.network
def test_a_psnr_far_from_what_is_guessed():
    """Stripes of few decibels: the search begins at quality 1, and an analysis for that is no good at 40."""
    y, x = np.mgrid[:192, :192]
    stripes = 40 * np.sign(np.sin(x * (0.3 + y / 300)) * np.cos(y * 0.4))[..., None] * [1, 0.8, 0.6]
    noise = np.random.default_rng(4).normal(0, 8, (192, 192, 3))
    array = np.clip(128 + stripes + noise, 0, 255).astype(np.uint8)
    plain = pillow_lic.encode(array, quality=40, tune="psnr", effort=0, screen="off")
    assert psnr(array, plain) < 27
    found = pillow_lic.encode(array, target_psnr=psnr(array, plain), effort=0, screen="off")
    assert abs(psnr(array, found) - psnr(array, plain)) < 0.1
    assert len(found) < 1.03 * len(plain)


@pytest.mark.network
@pytest.mark.parametrize("tune", ["visual", "ms-ssim"])
def test_every_tune_has_targets(make_picture, tune):
    array = make_picture(96, 96)
    most = len(pillow_lic.encode(array, quality=50, tune=tune, effort=0))
    assert 0.96 * most - 12 <= len(pillow_lic.encode(array, target_size=most, tune=tune, effort=0)) <= most


@pytest.mark.network
def test_what_is_asked_for_chooses_the_tune(make_picture):
    """Squared errors are had from the models that are tuned for them, and so are the smallest files."""
    array = make_picture(96, 96)

    def model_of(**options) -> str:
        header = container.read(pillow_lic.encode(array, effort=0, screen="off", **options)).header
        return registry.name_of(header.model, header.model_hash)

    assert model_of() == model_of(target_bpp=2) == "photo-visual"
    assert model_of(target_psnr=30) == model_of(uniform=True, quality=30) == "photo-low"
    assert model_of(target_psnr=33, tune="visual") == "photo-visual"
    least = len(pillow_lic.encode(array, quality=1, effort=0, screen="off"))
    low = len(pillow_lic.encode(array, quality=1, effort=0, screen="off", tune="psnr"))
    assert low < least
    assert model_of(target_size=low + 2) == "photo-low"
    tiny = len(pillow_lic.encode(array, quality=0.1, effort=0, screen="off"))
    assert tiny < low
    assert model_of(target_size=low + 2, tune="visual") == model_of(target_size=tiny + 2) == "photo-tiny"
    with pytest.raises(errors.LicTargetUnreachable, match=r"qualities 0\.1 to 1 make"):
        model_of(target_size=tiny // 2)
    with pytest.raises(errors.LicTargetUnreachable, match="qualities 1 to 100 make 1"):
        model_of(target_size=low + 2, model="photo-visual")
    noise = np.random.default_rng(1).integers(0, 256, (96, 96, 3), np.uint8)
    assert (
        model_of(target_psnr=psnr(noise, encode(noise, quality=0.2, model="photo-tiny", screen="off"))) == "photo-tiny"
    )


def test_imageio_has_targets(make_picture, tmp_path):
    iio = pytest.importorskip("imageio.v3")
    path = tmp_path / "a.lic"
    iio.imwrite(path, make_picture(64, 64), model="toy", target_size=125)
    assert 115 < path.stat().st_size <= 125


def test_commands_have_targets(image, tmp_path, capsys):
    from pillow_lic import cli

    source, target = tmp_path / "a.png", tmp_path / "a.lic"
    image(height=150, width=130).save(source)

    def run(*options: str) -> int:
        return cli.main(["encode", str(source), "-f", "-m", "toy", *options])

    assert run("--target-size", ".5k") == 0
    assert 480 < target.stat().st_size <= 500
    assert run("--target-bpp", "0.2") == 0
    assert target.stat().st_size <= 0.2 * 150 * 130 / 8
    assert run("--ratio", "150") == 0
    assert target.stat().st_size <= 150 * 130 * 3 / 150
    assert run("--target-psnr", "30") == 0
    assert psnr(np.asarray(Image.open(source)), target.read_bytes()) == pytest.approx(30, abs=0.1)
    assert run("--target-size", "30") == 1
    assert "target_size=30 cannot be met" in capsys.readouterr().err
    for wrong in (["--target-size", "5x"], ["--target-size", "5k", "-q", "30"]):
        with pytest.raises(SystemExit):
            run(*wrong)
    assert [number_of_bytes(text) for text in ("7", "50k", "50KB", "1.5M", "2Ki", "1MiB")] == [
        7, 50_000, 50_000, 1_500_000, 2048, 1 << 20,
    ]  # fmt: skip
