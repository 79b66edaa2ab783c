"""More than 8 bits: gradients, ranges, dtypes, exact pictures, engines that agree, files that are not as they say."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import tracemalloc
import warnings

import numpy as np
import pytest
import slow_decoder
import slow_overlay
from PIL import Image
from shortcuts import written

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.codec import depth as depths
from pillow_lic.codec import planes

pytestmark = pytest.mark.network

DEEP = [(np.uint16, 65535), (np.int32, 50000), (np.float32, 1.0)]


def waves(height: int, width: int, bands: int = 1) -> np.ndarray:
    """Smooth, 0 to 1: (H, W) or (H, W, bands)."""
    y, x = np.mgrid[:height, :width]
    one = (np.sin(x / 17) + np.cos(y / 13) + 2) / 4
    return one if bands == 1 else np.dstack([np.roll(one, 9 * k, 1) for k in range(bands)])


def psnr(a: np.ndarray, b: np.ndarray, peak: float) -> float:
    return float(10 * np.log10(peak**2 / max(np.square(a.astype(float) - b).mean(), 1e-12)))


def ramp(most: int) -> np.ndarray:
    return np.tile(np.rint(np.linspace(0, most, 1024)), (128, 1)).astype(np.uint16)


@pytest.mark.parametrize("quality", [90, 95])
@pytest.mark.parametrize("bits", [12, 16])
def test_ramps_do_not_band(quality, bits):
    """The bars of the issue: 50 dB, and a thousand levels."""
    array = ramp((1 << bits) - 1)
    data = pillow_lic.encode(array, quality=quality)
    found = pillow_lic.decode(data)
    assert container.read_head(data).header.depth == bits
    assert found.dtype == np.uint16
    assert found.max() <= (1 << bits) - 1
    assert psnr(array, found, (1 << bits) - 1) > 50
    assert len(np.unique(found)) >= 1000


@pytest.mark.parametrize("size", [(1, 1), (7, 33), (64, 65)])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize(("dtype", "most"), DEEP)
def test_dtypes_come_back(size, bands, dtype, most):
    if dtype is np.int32 and bands in (2, 4):
        pytest.skip("integers have no alpha")
    array = (waves(*size, bands) * most).astype(dtype)
    data = pillow_lic.encode(array, quality=90, model="toy")
    found = pillow_lic.decode(data)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    if bands in (2, 4):
        tolerance = 0 if dtype is np.uint16 else 1 / 65535
        assert np.abs(found[..., -1].astype(float) - array[..., -1]).max() <= tolerance
    assert np.abs(found.astype(float) - array).mean() < 0.1 * most


@pytest.mark.parametrize(
    ("low", "high"), [(-30000, 30000), (100000, 100500), (-(2**31), -(2**31) + 9), (2**31 - 9, 2**31 - 1)]
)
def test_integers_keep_their_range(low, high):
    array = np.rint(low + waves(40, 50) * (high - low)).astype(np.int32)
    data = pillow_lic.encode(array, lossless=True)
    assert np.array_equal(pillow_lic.decode(data), array)
    lossy = pillow_lic.decode(pillow_lic.encode(array, quality=90, model="toy"))
    assert lossy.dtype == np.int32
    assert np.abs(lossy.astype(float) - array).max() < 0.5 * max(high - low, 1023)


def test_integers_of_more_than_16_bits():
    array = (waves(40, 50) * 1e9).astype(np.int32)
    with pytest.warns(UserWarning, match="depth is lost: its values"):
        found = pillow_lic.decode(pillow_lic.encode(array, quality=95))
    assert psnr(array, found, 1e9) > 35


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 5e6), (2.5, 2.5)])
def test_floats_keep_their_range(low, high):
    array = (low + waves(40, 50) * (high - low)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if high > 1 else "error")
        found = pillow_lic.decode(pillow_lic.encode(array, quality=95))
    assert found.dtype == np.float32
    assert found.min() >= array.min() - 0.03 * (high - low)
    assert np.abs(found - array).max() <= 0.03 * (high - low)


@pytest.mark.parametrize(
    ("array", "options", "said"),
    [
        (np.full((4, 4), np.nan, np.float32), {}, "must be finite"),
        (np.full((4, 4), np.inf, np.float32), {}, "must be finite"),
        (np.full((4, 4, 2), 2, np.float32), {}, "alpha of float32 must be from 0 to 1"),
        (np.zeros((4, 4, 4), np.int32), {}, "integers with alpha"),
        (np.zeros((4, 4), np.int64), {}, "pixels must be uint8, uint16, int32 or float32"),
        (np.zeros((4, 4), np.float64), {}, "pixels must be uint8, uint16, int32 or float32"),
        (np.zeros((4, 4), bool), {}, "pixels must be"),
        (np.zeros((4, 4), np.uint8), {"depth": 12}, "these pixels are uint8"),
        (np.zeros((4, 4), np.uint16), {"depth": 8}, "scale them to 0..255"),
        (np.full((4, 4), 1024, np.uint16), {"depth": 10}, "depth=10 holds samples up to 1023"),
        (np.zeros((4, 4), np.uint16), {"depth": 17}, "depth must be bits of a sample"),
        (np.zeros((4, 4), np.uint16), {"depth": True}, "depth must be bits of a sample"),
        (np.zeros((4, 4), np.float32), {"lossless": True, "depth": 16}, "keeps these float32 pixels in their 32 bits"),
        (np.array([[0, 1 << 20]], np.int32), {"lossless": True, "depth": 16}, "keeps these int32 pixels"),
        (np.zeros((4, 4), np.uint16), {"cicp": (1, 2, 256)}, "cicp must be"),
        (np.zeros((4, 4), np.uint16), {"cicp": "bt709"}, "cicp must be"),
        (np.zeros((4, 4), np.uint16), {"cicp": (1, 2, 3, 2)}, "cicp must be"),
    ],
)
def test_what_is_refused(array, options, said):
    with pytest.raises(errors.LicBadOption, match=said):
        pillow_lic.encode(array, model=None if options.get("lossless") else "toy", **options)


@pytest.mark.parametrize(("most", "bits"), [(200, 10), (1023, 10), (1024, 12), (16383, 14), (16384, 16)])
def test_the_depth_is_the_first_that_holds_the_samples(most, bits):
    header = container.read_head(pillow_lic.encode(np.full((4, 4), most, np.uint16), model="toy")).header
    assert header.depth == bits
    given = pillow_lic.encode(np.full((4, 4), most, np.uint16), model="toy", depth=16)
    assert container.read_head(given).header.depth == 16


# ---- What decoders are asked for ------------------------------------------------------------------------------------


@pytest.fixture(params=[1, 2, 3, 4])
def colour(request):
    """uint16 of 12 bits, some of it invisible where there is alpha."""
    array = (waves(70, 90, request.param) * 4095).astype(np.uint16).reshape(70, 90, -1)
    if request.param in (2, 4):
        array[20:40, 10:50, -1] = 0
    return array[:, :, 0] if request.param == 1 else array


@pytest.mark.parametrize("lossless", [False, True])
def test_dtype(colour, lossless):
    data = pillow_lic.encode(colour, lossless=lossless, model=None if lossless else "toy")
    own, eight, floats = (pillow_lic.decode(data, dtype=name) for name in ("uint16", "uint8", "float32"))
    assert np.array_equal(own, pillow_lic.decode(data))
    assert [one.dtype.name for one in (own, eight, floats)] == ["uint16", "uint8", "float32"]
    assert np.abs(own / 4095 - floats).max() < 1e-6
    seen = own[..., -1:] > 15 if colour.ndim == 3 and colour.shape[2] in (2, 4) else True  # else not in 8 bits either
    assert np.abs((eight - own * (255 / 4095)) * seen).max() <= (0.5001 if lossless else 0.54)  # both round one sum


def test_uint8_is_what_a_file_of_8_bits_shows():
    """The networks' picture does not depend on the depth that the header states."""
    data = pillow_lic.encode((waves(70, 90, 3) * 65535).astype(np.uint16), model="toy")
    chunks = container.read(data)
    plain = written(chunks, depth=8)
    assert np.array_equal(pillow_lic.decode(data, dtype="uint8"), pillow_lic.decode(plain))
    finer = pillow_lic.decode(plain, dtype="uint16")
    assert np.array_equal(finer, pillow_lic.decode(data))
    assert np.array_equal(pillow_lic.decode(plain, dtype="float32"), finer / np.float32(65535))


@pytest.mark.parametrize("name", ["overlay", "invisible", "lossless-rgba", "lossless-grey-alpha", "grey-alpha"])
def test_files_of_8_bits_as_16(name, pytestconfig):
    """Exact parts are scaled, others come finer."""
    data = (pytestconfig.rootpath / "tests" / "golden" / f"{name}.lic").read_bytes()
    eight, sixteen = pillow_lic.decode(data), pillow_lic.decode(data, dtype="uint16")
    assert sixteen.dtype == np.uint16
    assert np.abs(sixteen / 257.0 - eight).max() <= 0.51
    if container.read_head(data).header.alone:
        assert np.array_equal(sixteen, eight.astype(np.uint16) * 257)
    box = (5, 7, 30, 29)
    assert np.array_equal(pillow_lic.decode(data, dtype="uint16", box=box), sixteen[7:29, 5:30])


@pytest.mark.parametrize("lossless", [False, True])
def test_boxes(colour, lossless):
    data = pillow_lic.encode(colour, lossless=lossless, model=None if lossless else "toy")
    whole = pillow_lic.decode(data)
    for left, top, right, bottom in ((0, 0, 90, 70), (3, 50, 4, 51), (17, 2, 80, 69)):
        assert np.array_equal(pillow_lic.decode(data, box=(left, top, right, bottom)), whole[top:bottom, left:right])


def test_a_dtype_that_is_none():
    data = pillow_lic.encode(ramp(4095)[:4, :4], model="toy")
    with pytest.raises(errors.LicBadOption, match="dtype must be one of 'uint8', 'uint16', 'float32'"):
        pillow_lic.decode(data, dtype="float64")


@pytest.mark.parametrize("options", [{"progressive": True}, {"importance": "auto"}, {"uniform": True}, {"preview": 32}])
def test_other_options(colour, options):
    data = pillow_lic.encode(colour, model="toy", quality=60, **options)
    assert pillow_lic.decode(data).shape == colour.shape
    with Image.open(io.BytesIO(data)) as image:
        image.thumbnail((40, 40))
        assert max(image.size) == 40


@pytest.mark.parametrize("goal", [{"target_psnr": 40.5}, {"target_size": 900}])
def test_targets(goal):
    array = (waves(128, 160, 3) * 4095 + np.random.default_rng(0).normal(0, 30, (128, 160, 3))).clip(0, 4095)
    array = array.astype(np.uint16)
    data = pillow_lic.encode(array, model="photo", **goal)
    if "target_size" in goal:
        assert 800 < len(data) <= 900
    else:
        assert abs(psnr(array, pillow_lic.decode(data), 4095) - 40.5) < 0.1


def test_batches_mix_depths():
    arrays = [(waves(40, 50) * 255).astype(np.uint8), (waves(40, 50) * 60000).astype(np.uint16)]
    files = pillow_lic.encode_batch(arrays * 2, model="toy")
    assert files == [pillow_lic.encode(array, model="toy") for array in arrays * 2]
    assert [one.dtype.name for one in pillow_lic.decode_batch(files)] == ["uint8", "uint16"] * 2


# ---- Engines and second decoder ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [1, 3])
def test_the_torch_engine_agrees(bands, monkeypatch):
    """Within two levels of 8 bits, whoever encodes and whoever decodes."""
    pytest.importorskip("torch")
    array = (waves(70, 90, bands) * 65535).astype(np.uint16)
    natives = pillow_lic.encode(array, model="photo", quality=80)
    wanted = pillow_lic.decode(natives)
    monkeypatch.setenv("PILLOW_LIC_ENGINE", "torch")
    assert np.abs(pillow_lic.decode(natives).astype(int) - wanted).max() <= 2 * 257
    own = pillow_lic.encode(array, model="photo", quality=80)
    assert abs(len(own) - len(natives)) < 0.05 * len(natives)
    assert psnr(array, pillow_lic.decode(own), 65535) > psnr(array, wanted, 65535) - 0.2
    tensor = pillow_lic.decode(natives, output="torch")
    assert np.abs(tensor.numpy().astype(int) - wanted).max() <= 2 * 257


def test_missing_tiles_are_grey(monkeypatch):
    from pillow_lic.codec import encode

    monkeypatch.setattr(encode, "TILE_SIDE", 1)
    data = pillow_lic.encode((waves(128, 128, 3) * 65535).astype(np.uint16), model="toy")
    last = len(container.read(data).tiles[-1].stages[0])
    with pytest.warns(UserWarning, match="painted grey"):
        found = pillow_lic.decode(data[: 4 - last], truncated=True)
    assert (found[64:, 64:] == 1 << 15).all()


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_exact_pictures_by_the_second_decoder(bands, tmp_path):
    """Noise, steps and smooth ones, in both ways of packing."""
    rng = np.random.default_rng(bands)
    smooth = (waves(9, 14, bands) * 4095).astype(np.uint16)
    for bits, array in ((16, rng.integers(0, 65536, smooth.shape, np.uint16)), (12, smooth), (12, smooth >> 9 << 9)):
        data = pillow_lic.encode(array, lossless=True, depth=bits)
        assert np.array_equal(slow_decoder.decode(data, tmp_path), array)
        assert np.array_equal(pillow_lic.decode(data), array)


def test_exact_pictures_are_predicted_where_that_pays():
    noise = np.random.default_rng(0).integers(0, 3, (64, 64), np.uint16) * 20000
    smooth = (waves(64, 64) * 65535).astype(np.uint16)
    found = [container.read(pillow_lic.encode(array, lossless=True)).planes.prediction for array in (noise, smooth)]
    assert found == [container.overlay.PLAIN, container.overlay.PREDICTED]


def test_prediction_is_undone_whatever_the_numbers_are():
    from pillow_lic import entropy

    rng = np.random.default_rng(1)
    for bands, depth in ((1, 16), (3, 9), (4, 12), (2, 16)):
        numbers = rng.integers(0, 65536, (17, 5, bands), np.uint16)
        samples = numbers.copy()
        entropy.restore(samples, depth)  # in place, as its twin does not
        assert samples.max() < 1 << depth
        told = [slow_overlay.restored(numbers[:, :, c].tolist(), depth) for c in range(bands)]
        if bands < 3:
            assert np.array_equal(np.stack(told, axis=2), samples)
        again = entropy.predicted(samples, depth)
        entropy.restore(again, depth)
        assert np.array_equal(again, samples)


def test_strips_change_nothing(monkeypatch):
    """Values, integers and exact pictures whose rows are taken a few at a time."""
    rng = np.random.default_rng(5)
    floats = (rng.random((41, 17)) * 9 - 3).astype(np.float32)
    arrays = [rng.integers(0, 65536, (41, 17, 4), np.uint16), rng.integers(-9, 60000, (41, 17), np.int32)]
    files = [pillow_lic.encode(array, lossless=True) for array in arrays]
    with pytest.warns(UserWarning, match="depth is lost"):
        files.append(pillow_lic.encode(floats, model="toy", effort=0))
    whole = [(pillow_lic.decode(data), np.asarray(Image.open(io.BytesIO(data)))) for data in files]
    for strip in (1, 40, 700):
        monkeypatch.setattr(depths, "STRIP", strip)
        monkeypatch.setattr(planes, "STRIP", strip)
        for data, (array, image) in zip(files, whole, strict=True):
            assert np.array_equal(pillow_lic.decode(data), array)
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), image)


@pytest.mark.parametrize("bands", [2, 4])
@pytest.mark.parametrize("dtype", ["uint16", "float32", None])
@pytest.mark.parametrize("values", [None, container.Values(container.FLOATS, -2.0, 5.0)], ids=["plain", "floats"])
def test_alpha_apart_is_told_as_if_it_were_among_them(bands, dtype, values, monkeypatch):
    monkeypatch.setattr(depths, "STRIP", 4000)
    samples = np.random.default_rng(bands).integers(0, 65536, (300, 400, bands), np.uint16)
    colour = samples[:, :, 0] if bands == 2 else samples[:, :, :3]
    wanted = depths.told(samples, 65535, values, dtype)
    tracemalloc.start()
    found = depths.told(colour, 65535, values, dtype, samples[:, :, -1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.dtype == wanted.dtype
    assert np.array_equal(found, wanted)
    assert peak < found.nbytes + samples.nbytes // 2, "colour and alpha were put together as a whole"


# ---- Files that are not as they say ------------------------------------------------------------------------------


def test_samples_beyond_the_depth_are_refused():
    chunks = container.read(pillow_lic.encode(np.full((4, 5), 60000, np.uint16), lossless=True))
    with pytest.raises(errors.LicCorruptChunk, match="more than 12 bits"):
        pillow_lic.decode(written(chunks, depth=12))
    assert (pillow_lic.decode(written(chunks, depth=16)) == 60000).all()


@pytest.mark.parametrize("value", [4096, 65535])
def test_alpha_beyond_the_depth_is_refused(value):
    alpha = np.zeros((4, 5), np.uint16)
    alpha[1, 1] = value
    whole = np.dstack([np.zeros((4, 5), np.uint16), alpha])
    chunks = container.read(pillow_lic.encode(whole, model="toy", depth=16, exact=True))
    data = written(chunks, depth=12)
    with pytest.raises(errors.LicCorruptChunk, match="alpha chunk: samples of more than 12 bits"):
        pillow_lic.decode(data)
    with pytest.warns(UserWarning, match="shown opaque"):
        assert (pillow_lic.decode(data, truncated=True)[..., 1] == 4095).all()


def test_constant_alpha_beyond_the_depth_is_refused():
    whole = np.dstack([np.zeros((4, 5), np.uint16), np.full((4, 5), 300, np.uint16)])
    chunks = container.read(pillow_lic.encode(whole, model="toy", depth=9))
    good = written(chunks)
    with pytest.raises(errors.LicBadOption, match="constant alpha of more than 9 bits"):
        written(dataclasses.replace(chunks, alpha=b"\0\0\2"))
    with pytest.raises(errors.LicBadOption, match="constant alpha of 1 bytes instead of 3"):
        written(dataclasses.replace(chunks, alpha=b"\0"))
    assert (pillow_lic.decode(good)[..., 1] == 300).all()


def test_every_byte_of_deep_goldens_flipped(pytestconfig):
    """A named error, or the same kind of picture."""
    for name in ("lossless-deep-steps", "deep-grey-alpha"):
        data = (pytestconfig.rootpath / "tests" / "golden" / f"{name}.lic").read_bytes()
        for at in range(0, len(data), max(1, len(data) // 150)):
            flipped = data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :]
            with contextlib.suppress(errors.LicError):
                assert pillow_lic.decode(flipped).size


def test_scaling_is_rounded():
    for most, to in ((255, 65535), (65535, 255), (4095, 32640), (511, 255)):
        samples = np.arange(most + 1)
        assert np.array_equal(depths.scaled(samples, most, to), np.floor(samples * (to / most) + 0.5))


def test_what_networks_see_of_16_bits_is_what_they_see_of_8():
    """257 times as much: the same latents, but for how finely they are rounded."""
    array = (waves(48, 80, 3) * 255).astype(np.uint8)
    eight = pillow_lic.encode(array, model="toy", screen="off")
    sixteen = pillow_lic.encode(array.astype(np.uint16) * 257, model="toy")
    assert eight[20:] == sixteen[20:] or len(eight) == len(sixteen)
    assert np.array_equal(pillow_lic.decode(sixteen, dtype="uint8"), pillow_lic.decode(eight))
