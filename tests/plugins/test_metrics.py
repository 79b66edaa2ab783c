"""Measures of quality: against other implementations, against numbers worked out by hand, and what every measure must
hold.
"""

from __future__ import annotations

import io
import math
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pillow_lic import metrics
from pillow_lic.errors import LicBadOption, LicMeasureMissing
from pillow_lic.metrics import eye, learned, pictures

SLOW = ("ssimulacra2", "butteraugli", "butteraugli_max")
OURS = [name for name in metrics.MEASURES if name not in (*SLOW, *learned.NETWORKS)]


@pytest.fixture(scope="module")
def photo():
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[:256, 96:352])


def jpeg(array, quality):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("L" if array.ndim == 2 else "RGB"))


@pytest.fixture(scope="module")
def decoded(photo):
    return jpeg(photo, 30)


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# ---- What every measure must hold ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", metrics.available())
def test_equal_pictures_have_the_best_value(name, photo):
    best = {"psnr": math.inf, "ms_ssim_db": math.inf, "psnr_hvs": math.inf, "psnr_hvs_m": math.inf, "ssimulacra2": 100}
    expected = best.get(name, 1 if metrics.MEASURES[name].higher_is_better else 0)
    assert getattr(metrics, name)(photo, photo) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", metrics.available())
def test_coarser_quantisation_is_worse(name, photo):
    values = [getattr(metrics, name)(photo, jpeg(photo, quality)) for quality in (10, 30, 60, 90)]
    assert all(math.isfinite(value) for value in values)
    assert values == sorted(values, reverse=not metrics.MEASURES[name].higher_is_better)
    assert type(values[0]) is float


@pytest.mark.parametrize("name", OURS)
def test_order_does_not_matter(name, photo, decoded):
    function = getattr(metrics, name)
    assert function(photo, decoded) == pytest.approx(function(decoded, photo), rel=1e-12)


@pytest.mark.parametrize("name", metrics.available())
def test_images_and_arrays_and_grey(name, photo, decoded):
    function = getattr(metrics, name)
    assert function(Image.fromarray(photo), Image.fromarray(decoded)) == function(photo, decoded)
    grey, worse = (np.asarray(Image.fromarray(x).convert("L")) for x in (photo, decoded))
    as_rgb = function(np.stack([grey] * 3, 2), np.stack([worse] * 3, 2))
    assert function(grey, worse) == pytest.approx(as_rgb, rel=1e-9)
    assert function(grey[..., None], worse) == function(grey, worse)
    assert function(Image.fromarray(grey), np.stack([worse] * 3, 2)) == pytest.approx(as_rgb, rel=1e-9)


@pytest.mark.parametrize("name", [*OURS, "ssimulacra2"])
def test_alpha_over_the_worse_of_black_and_white(name, photo, decoded):
    if name not in metrics.available():
        pytest.skip(metrics.missing(name))
    alpha = np.linspace(0, 255, photo.shape[1]).astype(np.uint8)[None].repeat(len(photo), 0)
    function = getattr(metrics, name)
    transparent = [Image.fromarray(np.dstack([x, alpha])) for x in (photo, decoded)]
    grounds = []
    for colour in ("black", "white"):
        laid = [Image.new("RGB", x.size, colour) for x in transparent]
        for ground, x in zip(laid, transparent):
            ground.paste(x, mask=x.getchannel("A"))
        grounds.append(function(*laid))
    worst = min(grounds) if metrics.MEASURES[name].higher_is_better else max(grounds)
    assert function(*transparent) == pytest.approx(worst, rel=2e-3)


def test_opaque_alpha_changes_nothing(photo, decoded):
    alpha = np.full(photo.shape[:2], 255, np.uint8)
    assert metrics.psnr(np.dstack([photo, alpha]), decoded) == metrics.psnr(photo, decoded)


def test_palettes_and_other_modes(photo, decoded):
    palette = Image.fromarray(photo).quantize(16)
    assert metrics.psnr(photo, palette) == metrics.psnr(photo, palette.convert("RGB"))
    assert metrics.psnr(Image.fromarray(photo).convert("CMYK"), photo) > 40
    with pytest.raises(LicBadOption, match="mode I;16"):
        metrics.psnr(Image.new("I;16", (8, 8)), Image.new("I;16", (8, 8)))


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        (noise((8, 9)), noise((9, 8)), "9 x 8 and 8 x 9"),
        (noise((8, 8)).astype(np.float32), noise((8, 8)), "float32"),
        (noise((8, 8, 5)), noise((8, 8, 5)), "expected uint8"),
        (noise((0, 8)), noise((0, 8)), "expected uint8"),
    ],
)
def test_pictures_that_do_not_go_together(a, b, says):
    with pytest.raises(LicBadOption, match=says):
        metrics.psnr(a, b)


@pytest.mark.parametrize("name", metrics.available())
@pytest.mark.parametrize("shape", [(1, 1), (3, 500, 3), (7, 8), (33, 47, 3), (161, 170, 3), (64, 401)])
def test_any_size(name, shape):
    """A value, or NaN where the picture is too small for the measure; no error."""
    value = getattr(metrics, name)(noise(shape), noise(shape, 1))
    smallest = {"ssim": 11, "ms_ssim": 161, "ms_ssim_db": 161, "psnr_hvs": 8, "psnr_hvs_m": 8, "gmsd": 4, "nlpd": 32}
    least = smallest.get(name, 8 if name in SLOW else 1)
    assert math.isnan(value) == (min(shape[:2]) < least)


# ---- compare -------------------------------------------------------------------------------------------------------


def test_compare(photo, decoded):
    found = metrics.compare(photo, decoded)
    assert list(found) == metrics.available()
    assert found["psnr_hvs_m"] == metrics.psnr_hvs_m(photo, decoded)
    assert list(metrics.compare(photo, decoded, ("gmsd", "psnr"))) == ["gmsd", "psnr"]
    assert list(metrics.compare(photo, decoded, "psnr")) == ["psnr"]


def test_many(photo):
    batch = np.stack([jpeg(photo, quality) for quality in (10, 50, 90)])
    originals = np.stack([photo] * 3)
    found = list(metrics.compare_many(zip(originals, batch), ("psnr", "ssim"), workers=2))
    assert found == [metrics.compare(photo, one, ("psnr", "ssim")) for one in batch]


def test_unknown_measure(photo):
    with pytest.raises(LicBadOption, match="known: psnr, ssim"):
        metrics.compare(photo, photo, ("vmaf",))


def test_what_is_missing_is_named_with_its_command(photo, monkeypatch):
    monkeypatch.setitem(sys.modules, "ssimulacra2", None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv(learned.VARIABLE, raising=False)
    with pytest.raises(LicMeasureMissing, match=r"pip install 'pillow-lic\[metrics\]'"):
        metrics.ssimulacra2(photo, photo)
    with pytest.raises(LicMeasureMissing, match="apt-get install libjxl-devtools"):
        metrics.butteraugli(photo, photo)
    assert metrics.available() == OURS


def test_a_tool_of_the_name_that_is_another(photo, monkeypatch, tmp_path):
    tool = tmp_path / "butteraugli"
    tool.write_text("#!/bin/sh\necho 1.5\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LicMeasureMissing, match=r"is it libjxl's butteraugli_main\? It said: 1.5"):
        metrics.butteraugli(photo, photo)


def test_import_is_light():
    code = "import sys, pillow_lic.metrics; print([m for m in ('torch', 'scipy', 'ssimulacra2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- Against other implementations ---------------------------------------------------------------------------------


def test_psnr_and_ssim_are_skimages(photo, decoded):
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    assert metrics.psnr(photo, decoded) == pytest.approx(peak_signal_noise_ratio(photo, decoded), rel=1e-9)
    theirs = structural_similarity(
        photo, decoded, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert metrics.ssim(photo, decoded) == pytest.approx(theirs, abs=2e-6)


@pytest.mark.parametrize("shape", [(384, 384), (383, 384), (300, 213), (161, 375)])
def test_ms_ssim_is_pytorch_msssims(photo, decoded, shape):
    pytorch_msssim = pytest.importorskip("pytorch_msssim")
    import torch

    a, b = (x[: shape[0], : shape[1]] for x in (photo, decoded))
    tensors = [torch.tensor(x).permute(2, 0, 1)[None].double() for x in (a, b)]
    assert metrics.ms_ssim(a, b) == pytest.approx(float(pytorch_msssim.ms_ssim(*tensors, data_range=255)), abs=1e-6)
    assert metrics.ms_ssim_db(a, b) == pytest.approx(-10 * math.log10(1 - metrics.ms_ssim(a, b)))


def test_psnr_hvs_is_the_packages(photo, decoded):
    package = pytest.importorskip("psnr_hvsm", reason="pip install psnr-hvsm compares with another implementation")
    theirs = package.psnr_hvs_hvsm(photo @ pictures.LUMA / 255, decoded @ pictures.LUMA / 255)
    ours = metrics.psnr_hvs(photo, decoded), metrics.psnr_hvs_m(photo, decoded)
    assert ours == pytest.approx([float(value) for value in theirs], abs=1e-4)


def test_ciede2000_is_skimages(photo, decoded):
    from skimage.color import deltaE_ciede2000, rgb2lab

    theirs = deltaE_ciede2000(rgb2lab(photo), rgb2lab(decoded)).mean()
    assert metrics.ciede2000(photo, decoded) == pytest.approx(theirs, rel=1e-3)  # its white has more digits


def test_ssimulacra2_is_the_packages_of_files(photo, decoded, tmp_path):
    package = pytest.importorskip("ssimulacra2")
    for name, array in (("a.png", photo), ("b.png", decoded)):
        Image.fromarray(array).save(tmp_path / name)
    theirs = package.compute_ssimulacra2(str(tmp_path / "a.png"), str(tmp_path / "b.png"))
    assert metrics.ssimulacra2(photo, decoded) == theirs


def test_ssimulacra2_but_for_borders_is_what_we_train_for(photo, monkeypatch):
    """engines/torch/visual.py, written apart from the package, mirrors pictures at their borders where it blurs."""
    package = pytest.importorskip("ssimulacra2.ssimulacra2")
    import torch
    from scipy import ndimage

    from pillow_lic.engines.torch import visual

    def mirrored(x):
        return ndimage.gaussian_filter(x, 1.5, truncate=3.33, mode="reflect", axes=(0, 1))

    monkeypatch.setattr(package, "blur_image", mirrored)
    for quality in (15, 50, 85):
        decoded = jpeg(photo, quality)
        tensors = [torch.tensor(x).permute(2, 0, 1)[None].float() / 255 for x in (photo, decoded)]
        ours = float(visual.score(visual.distance(*tensors)))
        assert metrics.ssimulacra2(photo, decoded) == pytest.approx(ours, abs=0.1)


# ---- Worked out by hand, or by the plain reading of the paper ------------------------------------------------------


def test_psnr_by_hand():
    black, one = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
    one[0, 0, 0] = 48  # a mean square of 48^2 / 48 = 48
    assert metrics.psnr(black, one) == pytest.approx(10 * math.log10(255**2 / 48))
    assert metrics.psnr(black, black + 255) == pytest.approx(0)


def test_ssim_of_flat_pictures_by_hand():
    a, b = np.full((16, 16), 100, np.uint8), np.full((16, 16), 110, np.uint8)
    c1 = 2.55**2
    assert metrics.ssim(a, b) == pytest.approx((2 * 100 * 110 + c1) / (100**2 + 110**2 + c1))


def test_psnr_hvs_by_hand():
    """A step of 2 in all samples is 16 in the mean's coefficient alone, which nothing masks."""
    a = noise((8, 8), 3) // 2
    weighed = (16 * 1.608443) ** 2 / 64
    expected = pytest.approx(10 * math.log10(255**2 / weighed), abs=1e-5)
    assert metrics.psnr_hvs(a, a + 2) == expected
    assert metrics.psnr_hvs_m(a, a + 2) == expected


def test_published_tables_follow_from_jpegs():
    """Spot checks of the authors' tables of sensitivity and masking."""
    for row, column, sensitivity, masking in (
        (0, 2, 2.573509, 1.0),
        (4, 5, 0.236102, 0.008417),
        (7, 7, 0.25995, 0.010203),
    ):
        assert eye.SENSITIVITY[row, column] == pytest.approx(sensitivity, abs=1e-6)
        assert eye.MASKING[row, column] == pytest.approx(masking, abs=1e-6)


def test_psnr_hvs_m_block_by_block(photo, decoded):
    """The definition, spelled out for one block after the other."""
    from scipy.fft import dctn

    grey, worse = (x[:64, :72] @ pictures.LUMA for x in (photo, decoded))

    def hides(block, coefficients):
        energy = sum(coefficients[k, m] ** 2 * eye.MASKING[k, m] for k in range(8) for m in range(8) if k + m)
        parts = [block[:4, :4], block[:4, 4:], block[4:, :4], block[4:, 4:]]
        share = sum(part.var(ddof=1) * 16 for part in parts) / (block.var(ddof=1) * 64) if block.var() else 0
        return math.sqrt(energy * share) / 32

    total = count = 0
    for top in range(0, 64, 8):
        for left in range(0, 72, 8):
            a, b = (x[top : top + 8, left : left + 8] for x in (grey, worse))
            in_a, in_b = dctn(a, norm="ortho"), dctn(b, norm="ortho")
            mask = max(hides(a, in_a), hides(b, in_b))
            for k in range(8):
                for m in range(8):
                    error = abs(in_a[k, m] - in_b[k, m])
                    error = max(0, error - mask / eye.MASKING[k, m]) if k + m else error
                    total += (error * eye.SENSITIVITY[k, m]) ** 2
                    count += 1
    expected = 10 * math.log10(255**2 * count / total)
    assert metrics.psnr_hvs_m(photo[:64, :72], decoded[:64, :72]) == pytest.approx(expected)
    assert metrics.psnr_hvs_m(photo, decoded) >= metrics.psnr_hvs(photo, decoded)


def plain_ciede2000(one, two):
    """The formula for one pair, with angles as the paper writes them."""
    (l1, a1, b1), (l2, a2, b2) = one, two
    mean = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    g = 0.5 * (1 - math.sqrt(mean**7 / (mean**7 + 25**7)))
    c1, c2 = math.hypot((1 + g) * a1, b1), math.hypot((1 + g) * a2, b2)
    h1 = math.degrees(math.atan2(b1, (1 + g) * a1)) % 360 if c1 else 0
    h2 = math.degrees(math.atan2(b2, (1 + g) * a2)) % 360 if c2 else 0
    dh = h2 - h1
    if c1 * c2 == 0:
        dh = 0
    elif dh > 180:
        dh -= 360
    elif dh < -180:
        dh += 360
    big_h = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(dh) / 2)
    if c1 * c2 == 0:
        h = h1 + h2
    elif abs(h1 - h2) <= 180:
        h = (h1 + h2) / 2
    else:
        h = (h1 + h2 + (360 if h1 + h2 < 360 else -360)) / 2
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    cos = lambda degrees: math.cos(math.radians(degrees))  # noqa: E731
    t = 1 - 0.17 * cos(h - 30) + 0.24 * cos(2 * h) + 0.32 * cos(3 * h + 6) - 0.2 * cos(4 * h - 63)
    s_l = 1 + 0.015 * (light - 50) ** 2 / math.sqrt(20 + (light - 50) ** 2)
    in_c, in_h = (c2 - c1) / (1 + 0.045 * chroma), big_h / (1 + 0.015 * chroma * t)
    r_c = 2 * math.sqrt(chroma**7 / (chroma**7 + 25**7))
    r_t = -math.sin(math.radians(60 * math.exp(-(((h - 275) / 25) ** 2)))) * r_c
    return math.sqrt(((l2 - l1) / s_l) ** 2 + in_c**2 + in_h**2 + r_t * in_c * in_h)


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        # Without colour only lightness counts: 10 / (1 + 0.015 x 25 / sqrt(45)).
        ((50, 0, 0), (60, 0, 0), 10 / (1 + 0.375 / math.sqrt(45))),
        ((45, 0, 0), (55, 0, 0), 10),  # around 50 its weight is 1
        # Saturated and of one hue: 10 / (1 + 0.045 x 105), as G is next to 0 for such colours on the b axis
        ((50, 0, 100), (50, 0, 110), 10 / (1 + 0.045 * 105)),
        # Of the paper's table 1: blue, where hue and chroma interact; a hue beyond 180 degrees; opposite hues
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1.0, 2.0), (50, 0, 0), 2.3669),
        ((50, 2.4900, -0.0010), (50, -2.4900, 0.0009), 7.1792),
        ((50, 2.4900, -0.0010), (50, -2.4900, 0.0011), 7.2195),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_ciede2000_of_pairs(one, two, expected):
    assert plain_ciede2000(one, two) == pytest.approx(expected, abs=5e-5)
    for x, y in ((one, two), (two, one)):
        found = eye.colour_difference(np.array(x, float)[:, None], np.array(y, float)[:, None])
        assert found[0] == pytest.approx(expected, abs=5e-5)


def test_ciede2000_of_many_pairs():
    rng = np.random.default_rng(5)
    one, two = rng.uniform((0, -90, -90), (100, 90, 90), (2, 500, 3))
    one[::50, 1:] = 0
    found = eye.colour_difference(one.T, two.T)
    assert found == pytest.approx([plain_ciede2000(x, y) for x, y in zip(one, two)], rel=1e-9)


def test_black_and_white_are_a_lightness_of_100_apart():
    black = np.zeros((2, 2, 3), np.uint8)
    assert eye.lab(black + 255)[0] == pytest.approx(100, abs=1e-6)
    assert metrics.ciede2000(black, black + 255) == pytest.approx(100, abs=1e-6)


def test_gmsd_by_the_paper(photo, decoded):
    from scipy.signal import convolve2d

    def magnitude(x):
        mean = convolve2d(x, np.full((2, 2), 0.25))[1:, 1:][::2, ::2]
        prewitt = np.array([[1, 0, -1]] * 3) / 3
        return np.hypot(convolve2d(mean, prewitt, "same"), convolve2d(mean, prewitt.T, "same"))

    for height, width in ((384, 384), (101, 62)):
        a, b = (x[:height, :width] for x in (photo, decoded))
        one, two = magnitude(a @ pictures.LUMA), magnitude(b @ pictures.LUMA)
        expected = ((2 * one * two + 170) / (one**2 + two**2 + 170)).std(ddof=1)
        assert metrics.gmsd(a, b) == pytest.approx(expected)


def test_nlpd_by_the_paper(photo, decoded):
    """Whole 5 x 5 filters as the authors publish them, by SciPy's convolution."""
    from scipy.ndimage import correlate
    from scipy.signal import convolve2d

    tap = np.array([0.05, 0.25, 0.4, 0.25, 0.05])
    low = np.outer(tap, tap)
    sigmas = (0.0248, 0.0185, 0.0179, 0.0191, 0.0220, 0.2782)
    first = np.zeros((5, 5))
    first[1, 2], first[2, 1], first[2, 3], first[2, 4], first[3, 2] = 0.1011, 0.1493, 0.1460, 0.0072, 0.1015
    crosses = [  # above, left, right, below
        (0.0757, 0.1986, 0.1846, 0.0837), (0.0477, 0.2138, 0.2243, 0.0467),
        (0, 0.2503, 0.2616, 0), (0, 0.2598, 0.2552, 0), (0, 0.2215, 0.0717, 0),
    ]  # fmt: skip
    filters = [first]
    for above, left, right, below in crosses:
        filters.append(np.array([[0, above, 0], [left, 0, right], [0, below, 0]]))

    def bands(x):
        for sigma, weights in zip(sigmas, filters):
            band = x
            if sigma != sigmas[-1]:
                x = correlate(x, low, mode="reflect")[::2, ::2]
                wide = np.pad(x, 1, mode="edge")
                spread = np.zeros((2 * wide.shape[0], 2 * wide.shape[1]))
                spread[::2, ::2] = 4 * wide
                up = correlate(spread, low, mode="constant")[2:, 2:]
                band = band - up[: band.shape[0], : band.shape[1]]
            yield band / (sigma + convolve2d(np.abs(band), weights, "same"))

    for height, width in ((384, 384), (101, 62)):
        a, b = (x[:height, :width] for x in (photo, decoded))
        pairs = zip(bands(a @ pictures.LUMA / 255), bands(b @ pictures.LUMA / 255))
        expected = np.mean([np.sqrt(((x - y) ** 2).mean()) for x, y in pairs])
        assert metrics.nlpd(a, b) == pytest.approx(expected)
