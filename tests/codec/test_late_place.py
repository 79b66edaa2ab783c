"""Batches along a GPU's path (late_place.py), and where memory is short: the same as one by one."""

from __future__ import annotations

import inspect

import cupy_on_cpu
import numpy as np
import pytest
import torch
from late_place import LatePlace, installed
from pictures import picture
from shortcuts import symbols

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.engines import choice
from pillow_lic.engines.torch import latents
from pillow_lic.engines.torch.engine import TorchEngine

pytestmark = pytest.mark.network


@pytest.fixture
def late(monkeypatch, tmp_path_factory):
    """device="cuda" along the path of a GPU, in float32, and device="cpu" PyTorch's engine likewise."""
    calls = cupy_on_cpu.install(monkeypatch, tmp_path_factory.getbasetemp())
    monkeypatch.setenv("PILLOW_LIC_PRECISION", "float32")
    monkeypatch.setenv(choice.ENGINE_VARIABLE, "torch")
    with installed(LatePlace(), monkeypatch) as place:
        place.kernels = calls
        yield place


def same_symbols(a: bytes, b: bytes) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(symbols(a), symbols(b), strict=True))


# ---- A GPU's path -------------------------------------------------------------------------------------------------


def test_files_of_the_late_place_are_the_same(arrays, late):
    """Kernels for the integer map, groups, copies that arrive late: the symbols of the CPU."""
    found = pillow_lic.encode_batch(arrays, model="toy", quality=62.5, device="cuda", screen="off")
    wanted = [pillow_lic.encode(array, screen="off", model="toy", quality=62.5) for array in arrays]
    assert [len(a) for a in found] == pytest.approx([len(b) for b in wanted], abs=2)
    assert (
        sum(same_symbols(a, b) for a, b in zip(found, wanted)) >= len(arrays) - 1
    )  # a group's sums may be rounded elsewhere
    assert late.log.count("wait") == len(arrays)
    assert late.log.count("mark") < len(arrays)  # there were groups
    assert {"dequantise", "scale_map"} == {name for name, *_ in late.kernels}
    assert [line for line in late.log if line.startswith("stream")][:2] == ["stream 0", "stream 1"]


@pytest.mark.parametrize(
    ("model", "quality", "effort"),
    [("photo-low", 50, 0), ("photo", 60, 1), ("photo-ms-ssim", 50, 0), ("gdn-mixture", 50, 0)],
)
def test_models_at_the_late_place(model, quality, effort, arrays, late):
    """The shipped models, mixtures with their kernel's indices among them; one with a search."""
    few, options = [arrays[0], arrays[3], arrays[4]], {"model": model, "effort": effort, "screen": "off"}
    found = pillow_lic.encode_batch(few, quality=quality, device="cuda", **options)
    wanted = [pillow_lic.encode(array, quality=quality, **options) for array in few]
    assert all(map(same_symbols, found, wanted))
    assert {"dequantise", "scale_map"} <= {name for name, *_ in late.kernels}
    for a, b in zip(pillow_lic.decode_batch(wanted, device="cuda"), map(pillow_lic.decode, wanted), strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1


@pytest.mark.parametrize("quality", [10, 50, 95])
def test_mixtures_take_their_intervals_from_the_kernel(quality, arrays, late, monkeypatch):
    """Byte for byte what the core finds by itself, of pictures one by one and in groups."""
    options = {"model": "gdn-mixture", "quality": quality, "effort": 0, "device": "cuda", "screen": "off"}
    few = [*arrays[:3], np.random.default_rng(5).integers(0, 256, (70, 90, 3), np.uint8)]
    found = [*pillow_lic.encode_batch(few, **options), pillow_lic.encode(few[1], **options)]
    assert [name for name, *_ in late.kernels].count("mixture_intervals") == len(few) + 1
    monkeypatch.setattr(TorchEngine, "_intervals", lambda self, latents, r: [None] * len(latents))
    assert found == [*pillow_lic.encode_batch(few, **options), pillow_lic.encode(few[1], **options)]
    assert [name for name, *_ in late.kernels].count("mixture_intervals") == len(few) + 1


def test_pixels_of_the_late_place_are_the_same(files, late):
    wanted = [pillow_lic.decode(data) for data in files]
    for found in (
        pillow_lic.decode_batch(files, device="cuda"),
        [pillow_lic.decode(data, device="cuda") for data in files],
    ):
        for a, b in zip(found, wanted, strict=True):
            assert a.shape == b.shape
            assert np.abs(a.astype(int) - b).max() <= 1
    kept = pillow_lic.decode_batch(files, device="cuda", output="torch")
    for a, b in zip(kept, wanted, strict=True):
        assert np.abs(a.numpy().astype(int) - b).max() <= 1


def test_one_file_through_the_late_place(arrays, late):
    for array in arrays[:4]:
        found = pillow_lic.encode(array, screen="off", model="toy", exif=b"II*\0", device="cuda")
        assert same_symbols(found, pillow_lic.encode(array, screen="off", model="toy"))
        assert container.read(found).exif == b"II*\0"
        assert container.read(found).alpha == container.read(pillow_lic.encode(array, screen="off", model="toy")).alpha


def test_pieces_of_the_late_place(late):
    array = picture(330, 460, 3, 5)
    late.side = 8
    found = pillow_lic.encode(array, screen="off", model="toy", device="cuda")
    assert (symbols(found)[1] != symbols(pillow_lic.encode(array, screen="off", model="toy"))[1]).mean() < 1e-3
    assert np.abs(pillow_lic.decode(found, device="cuda").astype(int) - pillow_lic.decode(found)).max() <= 1


# ---- Short of memory ----------------------------------------------------------------------------------------------


def short_of_memory(monkeypatch, owner, name: str, most: int):
    """A function that knows its `side` fails for more than `most` latent positions at once; the calls: (images,
    side).
    """
    real, calls = getattr(owner, name), []

    def call(network, first, *rest):
        side, images = inspect.signature(real).bind(network, first, *rest).arguments["side"], len(first)
        if side is None:  # the CPU's own
            return real(network, first, *rest)
        calls.append((images, side))
        if images * side**2 > most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore words")
        return real(network, first, *rest)

    monkeypatch.setattr(owner, name, call)
    return calls


def test_less_memory_takes_fewer_images_then_smaller_pieces(files, late, monkeypatch):
    late.side = 128
    calls = short_of_memory(monkeypatch, TorchEngine, "_draw", 64**2)
    four = [files[0]] * 4
    found = pillow_lic.decode_batch(four, device="cuda")
    assert calls == [
        (4, 128),
        (2, 128),
        (1, 128),
        (1, 64),
        (1, 128),
        (1, 64),
        (2, 128),
        (1, 128),
        (1, 64),
        (1, 128),
        (1, 64),
    ]
    wanted = pillow_lic.decode(files[0])
    assert all(np.abs(array.astype(int) - wanted).max() <= 1 for array in found)


def test_encoding_with_less_memory(arrays, late, monkeypatch):
    calls = short_of_memory(monkeypatch, latents, "analyse", 32**2)
    found = pillow_lic.encode_batch([arrays[0], arrays[6]], model="toy", device="cuda", screen="off")
    assert calls == [(2, 64), (1, 64), (1, 32), (1, 64), (1, 32)]
    assert all(
        same_symbols(a, pillow_lic.encode(b, screen="off", model="toy")) for a, b in zip(found, [arrays[0], arrays[6]])
    )


def test_not_enough_memory_at_all_is_named(files, late, monkeypatch):
    calls = short_of_memory(monkeypatch, TorchEngine, "_draw", 0)
    for call in (
        lambda: pillow_lic.decode(files[0], device="cuda"),
        lambda: pillow_lic.decode_batch(files[:1], device="cuda"),
    ):
        calls.clear()
        with pytest.raises(
            errors.LicGpuUnavailable, match=r"not enough free memory.*Tried to allocate 2.00 GiB.*device='cpu'"
        ):
            call()
        assert [side for _, side in calls] == [64, 32, 16]


def test_memory_short_within_a_network(files, late, monkeypatch):
    """As cuDNN reports it: a RuntimeError."""
    wanted, real, calls = pillow_lic.decode(files[0]), latents.prior, []

    def prior(*arguments):
        calls.append(arguments)
        if len(calls) < 3:
            raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
        return real(*arguments)

    monkeypatch.setattr(latents, "prior", prior)
    assert np.abs(pillow_lic.decode(files[0], device="cuda").astype(int) - wanted).max() <= 1  # after 64 and 32 with 16
    assert len(calls) == 3


def test_memory_of_a_failed_attempt_is_free_at_the_next(late):
    """What the first call had made is gone when the second begins: nothing holds on to its frame."""
    import gc
    import weakref

    made, done = [], []

    def call(jobs, side):
        assert all(reference() is None for reference in made)
        held = torch.zeros(10)
        made.append(weakref.ref(held))
        if side > 16:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return jobs

    gc.disable()
    try:
        for part in late.fitting(["job"]):
            with part:
                done += call(part.items, part.side)
    finally:
        gc.enable()
    assert done == ["job"]
    assert len(made) == 3
