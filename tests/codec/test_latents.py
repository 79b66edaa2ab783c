"""Latents of files: those of FORMAT 8.2 to the bit, with the model's own expectation beside them, and no pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from pictures import picture
from slow_photo import SlowPhoto

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.codec.decode import decode_symbols
from pillow_lic.models import registry

pytestmark = pytest.mark.network


def slow_latents(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """y_hat, and L of FORMAT 8.2, by the words of the document."""
    chunks = container.read(data)
    z, r, _ = decode_symbols(chunks)
    header = chunks.header
    model = registry.by_hash(header.model, header.model_hash)
    rows = chunks.map and np.frombuffer(chunks.map, np.int8).reshape(header.hyper_grid).tolist()
    log = np.zeros(r.shape, np.int64)

    def note(at, mean, log_step):
        log[at] = np.clip(log_step, -4096, 4095)
        return r[at]

    v = np.empty(z.shape, np.int16)
    model.core.dequantise_into(header.quality_q, z, header.latent_grid, v)
    return SlowPhoto(model.arrays, header.quality_q, rows).y_hat(v, r, note), log


@pytest.mark.parametrize("shape", [(1, 1), (70, 100, 3), (33, 130, 4)])
@pytest.mark.parametrize("options", [{}, {"roi": (0, 0, 40, 40)}, {"progressive": True}])
def test_latents_are_those_of_the_document(shape, options):
    if shape == (1, 1) and options:
        options = {}
    array = picture(*shape[:2], shape[2] if len(shape) == 3 else 1)
    data = pillow_lic.encode(array, quality=60, model="toy", screen="off", **options)
    found = pillow_lic.latents(data)
    y_hat, log = slow_latents(data)
    assert found.y_hat.dtype == found.scales.dtype == np.float32
    assert np.array_equal(found.y_hat, y_hat)
    assert found.scales.shape == y_hat.shape
    assert np.array_equal(pillow_lic.latents(data, scales=False).y_hat, y_hat)
    assert pillow_lic.latents(data, scales=False).scales is None
    assert (found.model, found.quality, found.size) == ("toy", 60.0, (array.shape[1], array.shape[0]))
    index = scale_index(data)
    for row in (0, 20):  # of one row all scales are one deviation times their steps
        at = index == row
        ratio = found.scales[at] / 2.0 ** (log[at] / 256)
        assert at.sum() < 2 or np.ptp(ratio) < 1e-4 * ratio.max()


def scale_index(data: bytes) -> np.ndarray:
    chunks = container.read(data)
    header = chunks.header
    model = registry.by_hash(header.model, header.model_hash)
    z, r, _ = decode_symbols(chunks)
    out = np.empty(r.shape, np.uint8)
    shift = chunks.map and memoryview(chunks.map).cast("b", tuple(header.hyper_grid))
    model.core.scale_index_into((header.quality_q, header.thresholds, shift), z, header.latent_grid, out)
    return out


def test_scales_tell_how_far_latents_are_from_their_means():
    """Where the model expects much, much is there: squared, r over its deviation is about 1."""
    from skimage.data import astronaut

    data = pillow_lic.encode(astronaut()[:256, :256], quality=50, effort=0)
    found = pillow_lic.latents(data)
    _, log = slow_latents(data)
    _, r, _ = decode_symbols(container.read(data))
    moved = r * 2.0 ** (log / 256) / 16
    busy = scale_index(data) > 20
    assert 0.5 < np.mean((moved[busy] / found.scales[busy]) ** 2) < 1.5


def test_sources_of_all_kinds(tmp_path):
    data = pillow_lic.encode(picture(40, 60), quality=50, model="toy")
    path = tmp_path / "a.lic"
    path.write_bytes(data)
    wanted = pillow_lic.latents(data).y_hat
    for source in (bytearray(data), path, str(path), io.BytesIO(data)):
        assert np.array_equal(pillow_lic.latents(source).y_hat, wanted)
    with pytest.raises(errors.LicBadOption):
        pillow_lic.latents(3)


def test_what_has_no_latents_is_refused():
    array = picture(40, 60)
    with pytest.raises(errors.LicBadOption, match="keeps its pixels exactly"):
        pillow_lic.latents(pillow_lic.encode(array, lossless=True))
    data = pillow_lic.encode(array, quality=50, model="toy", screen="off")
    with pytest.raises(errors.LicLimitExceeded):
        pillow_lic.latents(data, max_pixels=10)


@pytest.mark.parametrize("seed", range(40))
def test_hostile_bytes_are_refused_by_name(seed):
    rng = np.random.default_rng(seed)
    data = bytearray(pillow_lic.encode(picture(70, 100), quality=30, model="toy", screen="off"))
    if seed % 2:
        del data[rng.integers(0, len(data)) :]
    else:
        data[rng.integers(0, len(data))] ^= 1 << int(rng.integers(0, 8))
    with pytest.raises(errors.LicError):
        pillow_lic.latents(bytes(data))


def test_missing_tiles_are_left_to_the_model():
    data = pillow_lic.encode(picture(70, 100), quality=30, model="toy", screen="off")
    with pytest.raises(errors.LicTruncated):
        pillow_lic.latents(data[:-20])
    assert pillow_lic.latents(data[:-20], truncated=True).y_hat.shape[1:] == (5, 7)
