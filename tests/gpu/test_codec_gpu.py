"""The codec on a GPU against the CPU: symbols, pixels, batches, output, memory, and what it must leave alone."""

from __future__ import annotations

import concurrent.futures
import io

import numpy as np
import pytest
import torch
from on_gpu import encoded, level, nothing_chosen  # noqa: F401
from pictures import picture
from PIL import Image
from shortcuts import symbols

import pillow_lic
from pillow_lic import errors
from pillow_lic import quality as qualities
from pillow_lic.engines import base, choice
from pillow_lic.engines.torch import latents, networks, place
from pillow_lic.models import registry
from pillow_lic.models.manifest import DECODER

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

SHAPES = [
    (40, 60, 3),
    (1, 1, 3),
    (512, 768, 3),
    (33, 50, 4),
    (130, 70, 1),
    (500, 760, 2),
    (768, 512, 3),
    (1080, 1920, 3),
]
MODELS = ["toy", "photo", "gdn-mixture", "photo-ms-ssim", "photo-low"]


@pytest.fixture(scope="module")
def arrays() -> list[np.ndarray]:
    return [picture(*shape, seed) for seed, shape in enumerate(SHAPES)]


def skip_unless_fitting(model: str, quality: float) -> None:
    if not registry.by_name(model).manifest.fits(qualities.to_q(quality)):
        pytest.skip("not a quality of this model")


def error(array: np.ndarray, data: bytes) -> float:
    return float(np.square(pillow_lic.decode(data).astype(float) - array).mean())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("quality", [10, 30, 50, 75, 95])
def test_gpu_to_cpu(model, quality, arrays):
    """What the GPU encodes, the CPU decodes to the very integers; the file is as good as the CPU's own."""
    skip_unless_fitting(model, quality)
    for array in (arrays[2], arrays[5], arrays[7]):
        data, z, r = encoded(array, model, quality)
        for found, wanted in zip(symbols(data), (z, r), strict=True):
            assert np.array_equal(found, wanted)
        own = pillow_lic.encode(array, model=model, quality=quality)
        assert len(data) == pytest.approx(len(own), rel=0.01, abs=8)
        assert error(array, data) == pytest.approx(error(array, own), rel=0.02)


@pytest.mark.parametrize("model", ["toy", "photo", "photo-low", "photo-ms-ssim"])  # of GDN: test_families_gpu.py
@pytest.mark.parametrize("quality", [1, 30, 50, 75, 100])
def test_cpu_to_gpu(model, quality, arrays):
    """What the CPU encodes, the GPU decodes to the CPU's pixels within one level; symbols are the CPU's, as decoding
    them is.
    """
    skip_unless_fitting(model, quality)
    for array in arrays:
        data = pillow_lic.encode(array, model=model, quality=quality)
        assert level(pillow_lic.decode(data, device="cuda"), pillow_lic.decode(data)) <= 1


@pytest.mark.parametrize("model", ["photo", "photo-low", "photo-ms-ssim"])
@pytest.mark.parametrize("quality", [30, 57, 80])
def test_beside_the_native_engine(model, quality, arrays, monkeypatch):
    """Pixels within one level of the integers', but for one in a thousand, which may be two away; files as good."""
    skip_unless_fitting(model, quality)
    monkeypatch.setenv(choice.ENGINE_VARIABLE, "auto")
    for array in (arrays[2], arrays[5]):
        own, data = (
            pillow_lic.encode(array, model=model, quality=quality, effort=0, device=device)
            for device in ("cpu", "cuda")
        )
        assert len(data) == pytest.approx(len(own), rel=0.03, abs=8)
        assert error(array, data) == pytest.approx(error(array, own), rel=0.05)
        apart = np.abs(pillow_lic.decode(own, device="cuda").astype(int) - pillow_lic.decode(own))
        assert apart.max() <= 2
        assert (apart > 1).mean() < 1e-3


@pytest.mark.parametrize("model", ["toy", "photo"])
def test_effort(model, arrays):
    """The search on the GPU: a file that the CPU decodes to the same pixels, and as much better as the CPU's own search
    makes it.
    """
    array, quality = arrays[0], 60
    plain, searched = (
        pillow_lic.encode(array, model=model, quality=quality, effort=effort, device="cuda") for effort in (0, 3)
    )
    own = pillow_lic.encode(array, model=model, quality=quality, effort=3)
    assert level(pillow_lic.decode(searched, device="cuda"), pillow_lic.decode(searched)) <= 1
    bit = base.error_of_bit(registry.by_name(model).manifest.lambda_at(100 * quality))

    def cost(data: bytes) -> float:
        return 8 * len(data) + error(array, data) * array.size / 255.0**2 / bit

    assert cost(searched) < cost(plain)
    assert cost(searched) == pytest.approx(cost(own), rel=0.02)


@pytest.mark.parametrize("model", ["toy", "photo"])
def test_batches(model, arrays):
    files = pillow_lic.encode_batch(arrays * 3, model=model, quality=60, device="cuda")
    assert len(files) == 3 * len(arrays)
    for array, data in zip(arrays * 3, files, strict=True):
        own = pillow_lic.encode(array, model=model, quality=60)
        assert len(data) == pytest.approx(len(own), rel=0.02, abs=16)
        assert pillow_lic.decode(data).shape == array.shape
    wanted = [pillow_lic.decode(data) for data in files]
    for found in (
        pillow_lic.decode_batch(files, device="cuda"),
        [pillow_lic.decode(data, device="cuda") for data in files],
    ):
        assert max(level(a, b) for a, b in zip(found, wanted, strict=True)) <= 1


def test_batches_of_many(arrays):
    """Many more images than are in flight at a time, of several files' qualities."""
    files = [pillow_lic.encode(arrays[2], model="toy", quality=q) for q in (20, 50, 80)] * 100
    found = pillow_lic.decode_batch(iter(files), device="cuda")
    wanted = [pillow_lic.decode(data) for data in files[:3]]
    assert max(level(array, wanted[n % 3]) for n, array in enumerate(found)) <= 1


def test_damaged_files_in_a_batch(arrays):
    files = [pillow_lic.encode(array, model="toy") for array in arrays[:3]]
    with pytest.raises(errors.LicTruncated) as caught:
        pillow_lic.decode_batch([files[0], files[2][:-20]], device="cuda")
    assert caught.value.__notes__ == ["image 1 of the batch, counted from 0"]
    with pytest.warns(UserWarning, match="grey"):
        pillow_lic.decode_batch([files[0], files[2][:-20]], truncated=True, device="cuda")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pixels_stay_on_the_gpu(channels):
    array = picture(130, 200, channels, 3)
    data = pillow_lic.encode(array, model="photo")
    wanted = pillow_lic.decode(data)
    tensor = pillow_lic.decode(data, device="cuda", output="torch")
    assert tensor.device.type == "cuda"
    assert tensor.dtype == torch.uint8
    assert level(tensor.cpu().numpy(), wanted) <= 1
    tensor += 1  # ours to change
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        kept = pillow_lic.decode_batch([data] * 5, device="cuda", output="torch")
        doubled = [one.int() * 2 for one in kept]
    stream.synchronize()
    assert max(level(one.cpu().numpy() // 2, wanted) for one in doubled) <= 1


def test_dlpack_to_cupy():
    cupy = pytest.importorskip("cupy")
    data = pillow_lic.encode(picture(60, 80), model="toy")
    tensor = pillow_lic.decode(data, device="cuda", output="torch")
    array = cupy.from_dlpack(tensor)
    assert array.data.ptr == tensor.data_ptr()
    assert level(cupy.asnumpy(array), pillow_lic.decode(data)) <= 1


def test_choice_environment_and_plugins(monkeypatch):
    array = picture(60, 80)
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "LIC", model="toy", device="cuda")
    wanted = pillow_lic.decode(buffer.getvalue())
    places = []
    decoder = choice.decoder
    monkeypatch.setattr(
        choice, "decoder", lambda model, device, *rest: places.append(device) or decoder(model, device, *rest)
    )
    for name, by in (("cuda", "environment"), ("auto", "choice"), ("cuda:0", "choice")):
        if by == "environment":
            monkeypatch.setenv(choice.VARIABLE, name)
        else:
            pillow_lic.set_device(name)
        assert level(np.asarray(Image.open(buffer)), wanted) <= 1
    assert places == ["cuda:0"] * 3
    with pytest.raises(errors.LicGpuUnavailable, match="there are"):
        pillow_lic.set_device(f"cuda:{torch.cuda.device_count()}")


def test_threads(arrays):
    data = pillow_lic.encode(arrays[2], model="photo")
    wanted = pillow_lic.decode(data)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: pillow_lic.decode(data, device="cuda"), range(24)))
        files = list(pool.map(lambda _: pillow_lic.encode(arrays[2], model="photo", device="cuda"), range(8)))
    assert max(level(array, wanted) for array in found) <= 1
    assert max(map(len, files)) <= 1.01 * min(map(len, files))


def test_on_a_stream_of_the_caller(arrays):
    data = pillow_lic.encode(arrays[2], model="toy")
    with torch.cuda.stream(torch.cuda.Stream()):
        assert level(pillow_lic.decode(data, device="cuda"), pillow_lic.decode(data)) <= 1


def test_nothing_of_torch_is_set():
    def settings():
        b = torch.backends
        return (
            b.cudnn.allow_tf32, b.cudnn.benchmark, b.cudnn.deterministic, b.cudnn.enabled, b.cuda.matmul.allow_tf32,
            torch.get_float32_matmul_precision(), torch._C._get_graph_executor_optimize(), torch.get_num_threads(),
            torch.is_inference_mode_enabled(), torch.get_default_dtype(), torch.cuda.current_device(),
        )  # fmt: skip

    before = settings()
    files = pillow_lic.encode_batch([picture(60, 80)] * 3, device="cuda")
    pillow_lic.decode_batch(files, device="cuda")
    pillow_lic.decode(files[0], device="cuda")
    assert settings() == before


def test_float32_is_not_rounded_to_tf32(monkeypatch):
    """Of the mean above all: TF32 would show as 2^-11 of it."""
    assert torch.backends.cudnn.allow_tf32, "else this test could not fail"
    monkeypatch.setenv("PILLOW_LIC_PRECISION", "float32")
    model = registry.by_name("photo")
    z = torch.randn(1, model.manifest.hyper, 6, 7, generator=torch.Generator().manual_seed(1))
    t = torch.tensor([0.6])
    there_on, here_on = (networks.load(model, DECODER, name) for name in ("cuda:0", "cpu"))
    with torch.inference_mode(), networks.running("cuda:0"):
        there = there_on.prior(z.cuda(), t.cuda())
        here = here_on.prior(z, t)
        for group in (1, 2, 3):
            there += there_on.refine(there[0], there[1], group)
            here += here_on.refine(here[0], here[1], group)
    for found, wanted in zip(there, here, strict=True):
        assert (found.cpu() - wanted).abs().max() <= 3e-5 * wanted.abs().max()


@pytest.fixture
def memory():
    """A function that leaves the allocator so many bytes more than it has."""
    total = torch.cuda.mem_get_info()[1]

    def leave(count: int) -> None:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + count) / total)

    yield leave
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def test_little_memory_takes_smaller_pieces(memory, monkeypatch):
    array = np.tile(picture(512, 512, 3, 4), (8, 8, 1))  # 4096 x 4096: one piece where there is room
    data = pillow_lic.encode(array, model="photo", quality=60, device="cuda")
    wanted = pillow_lic.decode(data, device="cuda")
    sides = []
    render = latents.render
    monkeypatch.setattr(latents, "render", lambda *arguments: sides.append(arguments[-1]) or render(*arguments))
    memory(700 << 20)
    found = pillow_lic.decode(data, device="cuda")
    assert sides[0] == place.PIECE
    assert sides[-1] < place.PIECE
    assert level(found, wanted) <= 1


def test_no_memory_is_named(memory):
    data = pillow_lic.encode(np.tile(picture(512, 512, 3, 4), (8, 8, 1)), model="photo", device="cuda")
    pillow_lic.decode(data, device="cuda")
    memory(4 << 20)
    with pytest.raises(errors.LicGpuUnavailable, match=r"not enough free memory.*device='cpu'"):
        pillow_lic.decode(data, device="cuda")
