"""The codec room: sizes, layouts, pieces against the whole, tiles, threads, precision. Runs the toy model."""

from __future__ import annotations

import dataclasses
import itertools
import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shortcuts import pixels_of, symbols, threads, written

import pillow_lic
from pillow_lic import container, errors
from pillow_lic import quality as qualities
from pillow_lic.codec import decode, encode
from pillow_lic.container.payloads import missing_tiles
from pillow_lic.engines import native, pieces
from pillow_lic.engines.base import GREY
from pillow_lic.engines.torch import latents, networks, quantise
from pillow_lic.models import choice, registry
from pillow_lic.models.manifest import DECODER

pytestmark = pytest.mark.network

SIZES = [(1, 1), (1, 17), (5, 7), (15, 16), (16, 16), (17, 33), (63, 65), (64, 64), (200, 131), (3, 700)]


def roundtrip(array: np.ndarray, **options) -> np.ndarray:
    return pillow_lic.decode(pillow_lic.encode(array, model="toy", **options))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_any_size_and_layout(make_picture, size, channels, engine):
    array = make_picture(*size, channels)
    decoded = roundtrip(array)
    assert decoded.shape == array.shape
    assert decoded.dtype == np.uint8
    if channels in (2, 4):
        assert np.array_equal(decoded[..., -1], array[..., -1])


def test_one_channel_axis_is_grey(make_picture):
    array = make_picture(20, 30, 1)
    assert np.array_equal(roundtrip(array[:, :, None]), roundtrip(array))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 4), st.floats(1, 100), st.integers(0, 2**31))
def test_noise_of_any_size(height, width, channels, quality, seed):
    array = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    decoded = roundtrip(array, quality=quality)
    assert decoded.shape == (array.shape if channels > 1 else array.shape[:2])


def test_decoded_picture_resembles_the_original(make_picture):
    array = make_picture(192, 256)
    error = (roundtrip(array, quality=90).astype(float) - array).std()
    assert error < 0.5 * array.astype(float).std()


def test_rate_grows_with_quality(make_picture):
    sizes = [len(pillow_lic.encode(make_picture(256, 256), model="toy", quality=q)) for q in (5, 35, 65, 95)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 1.2 * sizes[0]


def test_rate_and_error_go_on_where_the_model_changes(make_picture):
    """On both sides of each quality at which another model is taken: about the same size and the same error."""
    array = make_picture(192, 256)
    for tune, models in choice.TUNES.items():
        for highest, _ in models[:-1]:
            files = [pillow_lic.encode(array, quality=(highest + step) / 100, tune=tune) for step in (0, 1)]
            assert container.read(files[0]).header.model != container.read(files[1]).header.model
            far = [np.square(pillow_lic.decode(data).astype(float) - array).mean() for data in files]
            assert len(files[1]) == pytest.approx(len(files[0]), rel=0.15)
            assert far[1] == pytest.approx(far[0], rel=0.15)


def test_pieces_equal_the_whole(make_picture, monkeypatch, on_torch):
    """FORMAT 8: the image does not depend on how the synthesis is cut up; at most one level apart."""
    data = pillow_lic.encode(make_picture(330, 460), model="toy", quality=80)
    whole = pillow_lic.decode(data)
    for side in (4, 8, 12):
        monkeypatch.setattr(pieces, "PIECE", side)
        cut = pillow_lic.decode(data)
        assert np.abs(whole.astype(int) - cut).max() <= 1


def test_halo_is_needed_and_enough(make_picture, monkeypatch, on_torch):
    """The test above can fail: with no halo at all the pieces show."""
    data = pillow_lic.encode(make_picture(330, 460), model="toy", quality=80)
    whole = pillow_lic.decode(data)
    monkeypatch.setattr(pieces, "PIECE", 4)
    decoder = networks.decoder
    monkeypatch.setattr(networks, "decoder", lambda *those: decoder(*those)._replace(halo=0))
    assert np.abs(whole.astype(int) - pillow_lic.decode(data)).max() > 1


def test_groups_see_those_before_them():
    """FORMAT 8, steps 3 and 4: a symbol moves its own y_hat and, of its neighbours, those of later groups alone; all
    positions are filled.
    """
    decoder = networks.load(registry.by_name("toy"), DECODER)
    z = torch.linspace(-2, 2, 8 * 6).reshape(1, 8, 2, 3)
    for h, w in ((7, 10), (1, 10), (7, 1), (1, 1)):
        with torch.inference_mode():
            features, mean, step = (part[..., :h, :w] for part in decoder.prior(z, torch.tensor([0.5])))
        order = torch.tensor([[0, 2], [3, 1]]).repeat(4, 5)[:h, :w]

        def y_hat(r, parts=(features, mean, step)):
            with torch.inference_mode():
                found = torch.zeros_like(parts[1])
                for at, own_mean, own_step in latents.groups(decoder.refine, *parts, found):
                    found[at] = own_mean + r[at] * own_step
                return found

        plain = y_hat(torch.ones_like(mean))
        assert (plain != 0).all()
        for row in range(min(h, 2)):
            for column in range(min(w, 2)):
                r = torch.ones_like(mean)
                r[..., row, column] = 30.0
                moved = (y_hat(r) != plain).any(1)[0]
                assert moved[row, column]
                moved[row, column] = False
                assert (order[moved] > order[row, column]).all()
                assert moved.any() == (order > order[row, column]).any()


def test_encoding_in_pieces_changes_next_to_nothing(make_picture, monkeypatch, on_torch):
    array = make_picture(330, 460)
    whole = symbols(pillow_lic.encode(array, model="toy"))[1]
    monkeypatch.setattr(pieces, "PIECE", 8)
    assert (symbols(pillow_lic.encode(array, model="toy"))[1] != whole).mean() < 1e-3


def test_tiles_are_independent_and_missing_ones_grey(make_picture, monkeypatch, engine):
    array = make_picture(150, 200)
    monkeypatch.setattr(encode, "TILE_SIDE", 1)
    data = pillow_lic.encode(array, model="toy", quality=60)
    chunks = container.read(data)
    assert len(chunks.tiles) == 12
    full = pillow_lic.decode(data)
    cut = data[: len(data) - 4 - len(chunks.tiles[-1].stages[0]) + 15]  # a byte less than a tile has to have
    with pytest.raises(errors.LicTruncated):
        pillow_lic.decode(cut)
    with pytest.warns(UserWarning, match="grey"):
        partial = pillow_lic.decode(cut, truncated=True)
    assert np.all(partial[128:, 192:] == GREY)
    # tiles beside the missing one may differ near it, those far from it not at all
    assert np.array_equal(partial[:, :32], full[:, :32])


def test_nothing_is_synthesised_where_all_tiles_are_missing(make_picture, monkeypatch, engine):
    chunks = container.read(pillow_lic.encode(make_picture(150, 200, 4), model="toy"))
    lost = dataclasses.replace(chunks, tiles=missing_tiles(chunks.header))
    monkeypatch.setattr(latents, "render", None)
    monkeypatch.setattr(native, "networks", None)
    with pytest.warns(UserWarning, match="grey"):
        decoded = pixels_of(lost, truncated=True)
    assert decoded.shape == (150, 200, 4)
    assert np.all(decoded[..., :3] == GREY)


def test_max_pixels(make_picture, monkeypatch):
    """Refused before anything is made for it: metadata, symbols, pixels."""
    data = pillow_lic.encode(make_picture(30, 40), model="toy", xmp=b"<x/>")
    assert (
        pillow_lic.decode(data, max_pixels=1200).shape == pillow_lic.decode(data, max_pixels=None).shape == (30, 40, 3)
    )
    monkeypatch.setattr(container.reader, "unpack_metadata", None)
    monkeypatch.setattr(decode, "decoded", None)
    for limit in (1199, 0, 1199.5, float("nan")):
        with pytest.raises(errors.LicLimitExceeded, match="40 x 30 pixels are more than max_pixels"):
            pillow_lic.decode(data, max_pixels=limit)
    with pytest.raises(errors.LicBadOption, match="max_pixels"):
        pillow_lic.decode(data, max_pixels="many")


def test_damaged_tile_is_named(make_picture):
    data = bytearray(pillow_lic.encode(make_picture(64, 64), model="toy"))
    chunks = container.read(bytes(data))
    stream = bytearray(chunks.tiles[0].stages[0])
    stream[len(stream) // 2] ^= 4
    broken = written(chunks, [[bytes(stream)]])
    with pytest.raises(errors.LicCorruptTile, match="tile 0"):
        pillow_lic.decode(broken)


def test_threads_and_precision_never_change_a_symbol(make_picture, monkeypatch, on_torch):
    array = make_picture(300, 420)
    monkeypatch.setattr(encode, "TILE_SIDE", 1)
    data = pillow_lic.encode(array, model="toy", quality=70)
    found = []
    for count, precision in itertools.product((1, 2), ("float32", "bfloat16")):
        monkeypatch.setenv("PILLOW_LIC_PRECISION", precision)
        with threads(count):
            z, r = symbols(data)
            pillow_lic.decode(data)
            found.append((z.tobytes(), r.tobytes()))
    assert len(set(found)) == 1


def test_threads_change_nothing(make_picture, monkeypatch):
    """Of the native engine: neither files nor pixels."""
    array = make_picture(300, 420)
    monkeypatch.setattr(encode, "TILE_SIDE", 1)
    found = set()
    for count in (1, 2, 5):
        with threads(count):
            data = pillow_lic.encode(array, model="toy", quality=70)
            found.add((data, pillow_lic.decode(data).tobytes()))
    assert len(found) == 1


def test_bfloat16_pixels_stay_close(make_picture, monkeypatch, on_torch):
    data = pillow_lic.encode(make_picture(128, 128), model="toy", quality=70)
    decoded = {}
    for precision in ("float32", "bfloat16"):
        monkeypatch.setenv("PILLOW_LIC_PRECISION", precision)
        decoded[precision] = pillow_lic.decode(data).astype(int)
    assert np.abs(decoded["float32"] - decoded["bfloat16"]).mean() < 1.0


@pytest.mark.parametrize("quality", [-0.01, 100.01, -1, float("nan"), float("inf"), "75", True, [75]])
def test_bad_quality(make_picture, quality):
    with pytest.raises(errors.LicBadOption):
        pillow_lic.encode(make_picture(8, 8), model="toy", quality=quality)


@pytest.mark.parametrize("quality", [0, 0.99])
def test_qualities_below_one_count_as_one(make_picture, quality):
    picture = make_picture(8, 8)
    lowest = pillow_lic.encode(picture, model="toy", quality=1)
    assert pillow_lic.encode(picture, model="toy", quality=quality) == lowest


@pytest.mark.parametrize(
    "array",
    [np.zeros((0, 5), np.uint8), np.zeros((4, 4, 5), np.uint8), np.zeros(4, np.uint8), np.zeros((4, 4), np.int8)],
)
def test_bad_arrays(array):
    with pytest.raises(errors.LicBadOption):
        pillow_lic.encode(array, model="toy")


def test_unknown_models(make_picture):
    with pytest.raises(errors.LicUnknownModel, match="register_model"):
        pillow_lic.encode(make_picture(8, 8), model="nonesuch")
    data = pillow_lic.encode(make_picture(8, 8), model="toy")
    with pytest.raises(errors.LicUnknownModel, match="hash"):
        pillow_lic.decode(written(container.read(data), model_hash=bytes(8)))


def test_strided_and_read_only_input(make_picture):
    array = make_picture(60, 80)
    flipped = array[::-1, ::-1]
    flipped.flags.writeable = False
    assert np.array_equal(roundtrip(flipped), roundtrip(np.ascontiguousarray(flipped)))


def test_encoding_is_deterministic(make_picture, engine):
    array = make_picture(100, 100)
    assert pillow_lic.encode(array, model="toy") == pillow_lic.encode(array, model="toy")


def test_residuals_round_towards_the_cheaper_value():
    more = torch.tensor([[0.4, 0.1]]) / quantise.BIT_WEIGHT  # bits: thresholds of 0.7 and 0.55
    index = torch.zeros(1, 1, 6, dtype=torch.int32)
    ratio = torch.tensor([[[0.69, 0.71, -0.69, -0.71, 1.54, 1.56]]])
    assert quantise.residual_symbols(ratio, index, more, 0).flatten().tolist() == [0, 1, 0, -1, 1, 2]
    assert quantise.residual_symbols(ratio, index, more, 1).abs().max() == 0


def test_no_warning_on_a_clean_round_trip(make_picture):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert roundtrip(make_picture(40, 40)).shape == (40, 40, 3)


def test_a_generator_may_fill_one_array_again_and_again():
    def frames():
        frame = np.empty((32, 32, 3), np.uint8)
        for value in (0, 60, 120, 180):
            frame[:] = value
            yield frame

    means = [pillow_lic.decode(data).mean() for data in pillow_lic.encode_batch(frames(), quality=90)]
    assert np.abs(np.subtract(means, (0, 60, 120, 180))).max() < 3


def test_empty_metadata_is_none(make_picture):
    plain = pillow_lic.encode(make_picture(8, 8), model="toy")
    assert pillow_lic.encode(make_picture(8, 8), model="toy", icc=b"", exif=b"Exif\0\0", xmp=b"") == plain


def test_small_numpy_integers_are_qualities():
    assert qualities.to_q(np.uint8(75)) == 7500
    assert qualities.to_q(np.int8(5)) == 500


@pytest.mark.parametrize("name", ["icc", "exif", "xmp"])
def test_metadata_must_be_bytes(make_picture, name):
    with pytest.raises(errors.LicBadOption, match=name):
        pillow_lic.encode(make_picture(8, 8), model="toy", **{name: "text"})


def test_exif_prefix_is_not_stored(make_picture):
    data = pillow_lic.encode(make_picture(8, 8), model="toy", exif=b"Exif\0\0II*\0")
    assert container.read(data).exif == b"II*\0"


def test_decode_wants_bytes_or_a_file(tmp_path):
    with pytest.raises(errors.LicBadOption, match="bytes"):
        pillow_lic.decode(5)
    with pytest.raises(FileNotFoundError):
        pillow_lic.decode(tmp_path / "photo.lic")


def test_thin_images_are_limited_by_what_they_are_padded_to():
    header = container.Header(2**30, 1, "RGB", 1, bytes(8), 7500, 64)
    with pytest.raises(errors.LicLimitExceeded, match="padding"):
        header.check_limits()


def test_damaged_alpha_is_opaque_when_told_to_go_on(make_picture):
    array = make_picture(40, 40, 4)
    chunks = container.read(pillow_lic.encode(array, model="toy"))
    broken = dataclasses.replace(chunks, alpha=chunks.alpha[:60])
    with pytest.raises(errors.LicCorruptChunk):
        pixels_of(broken)
    with pytest.warns(UserWarning, match="opaque"):
        assert np.all(pixels_of(broken, truncated=True)[..., 3] == 255)
