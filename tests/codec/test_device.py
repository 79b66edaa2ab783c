"""The choice of a device, and what a GPU's path does that a CPU can show: names, defaults, errors, output, rounding."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import pillow_lic
from pillow_lic import errors
from pillow_lic.cli import DONE, FAILED, USAGE, main
from pillow_lic.engines import choice
from pillow_lic.engines.torch import networks, operators, place, precision
from pillow_lic.engines.torch.cuda import compile as kernels
from pillow_lic.models import registry
from pillow_lic.models.manifest import DECODER, ENCODER

pytestmark = pytest.mark.network


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    """As on a machine without one, and with nothing chosen before or after."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    yield
    choice.set_device(None)


@pytest.fixture
def two_gpus(monkeypatch):
    """As on a machine with two and CuPy."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(kernels, "limits_of", lambda number, cuda: kernels.Limits(90, 232448, 132))


@pytest.fixture
def data(make_picture) -> bytes:
    return pillow_lic.encode(make_picture(30, 40), model="toy")


# ---- Names --------------------------------------------------------------------------------------------------------


def test_the_cpu_unless_told():
    assert choice.device_named() == choice.device_named("cpu") == "cpu"
    assert not place.at("cpu").gpu


def test_options_go_before_choice_before_environment(two_gpus, monkeypatch):
    monkeypatch.setenv(choice.VARIABLE, "cuda:0")
    assert choice.device_named() == "cuda:0"
    pillow_lic.set_device("cuda:1")
    assert choice.device_named() == "cuda:1"
    assert choice.device_named("cpu") == "cpu"
    pillow_lic.set_device(None)
    assert choice.device_named() == "cuda:0"
    monkeypatch.setenv(choice.VARIABLE, "")
    assert choice.device_named() == "cpu"


def test_names_of_gpus(two_gpus):
    assert choice.device_named("cuda") == "cuda:1"  # torch's current one
    assert choice.device_named("cuda:0") == "cuda:0"
    assert place.at("cuda:0").gpu
    with pytest.raises(errors.LicGpuUnavailable, match=r"'cuda:2': there are 2 CUDA devices"):
        choice.device_named("cuda:2")


def test_auto(two_gpus, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choice.device_named("auto") == "cuda:1"

        def none(number, cuda):
            raise errors.LicGpuUnavailable("CuPy is missing, of another CUDA release, or its driver too old")

        monkeypatch.setattr(kernels, "limits_of", none)
        assert choice.device_named("auto") == "cpu"  # torch alone cannot run the kernels
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        assert choice.device_named("auto") == "cpu"


@pytest.mark.parametrize(
    "name", ["gpu", "cuda:", "cuda:-1", "cuda:x", "CUDA", "", "mps", 0, b"cpu", torch.device("cpu")]
)
def test_other_names_are_refused(name, data, make_picture):
    for call in (
        lambda: choice.device_named(name),
        lambda: pillow_lic.set_device(name),
        lambda: pillow_lic.encode(make_picture(8, 8), model="toy", device=name),
        lambda: pillow_lic.decode(data, device=name),
        lambda: pillow_lic.encode_batch([], device=name),
        lambda: pillow_lic.decode_batch([], device=name),
    ):
        with pytest.raises(errors.LicBadOption, match="device must be 'cpu', 'cuda', 'cuda:N' or 'auto'"):
            call()
    assert choice.device_named() == "cpu"


def test_wrong_environment_is_named(data, monkeypatch):
    monkeypatch.setenv(choice.VARIABLE, "gpu")
    with pytest.raises(errors.LicBadOption, match=r"PILLOW_LIC_DEVICE must be .* found 'gpu'"):
        pillow_lic.decode(data)


# ---- A GPU that is not there --------------------------------------------------------------------------------------


def test_absent_gpu_is_named(data, make_picture):
    array = make_picture(8, 8)
    for call in (
        lambda: pillow_lic.set_device("cuda"),
        lambda: pillow_lic.encode(array, model="toy", device="cuda"),
        lambda: pillow_lic.decode(data, device="cuda:0"),
        lambda: pillow_lic.encode_batch([array], model="toy", device="cuda"),
        lambda: pillow_lic.decode_batch([data], device="cuda"),
        lambda: Image.fromarray(array).save(io.BytesIO(), "LIC", model="toy", device="cuda"),
    ):
        with pytest.raises(errors.LicGpuUnavailable, match=r"install a CUDA build of torch .* device='auto' or 'cpu'"):
            call()


def test_opening_asks_the_environment(data, monkeypatch):
    monkeypatch.setenv(choice.VARIABLE, "cuda")
    im = Image.open(io.BytesIO(data))
    with pytest.raises(errors.LicGpuUnavailable):
        im.load()
    monkeypatch.setenv(choice.VARIABLE, "auto")
    assert Image.open(io.BytesIO(data)).convert("RGB").size == (40, 30)


def test_opening_asks_the_choice(data, two_gpus):
    pillow_lic.set_device("cuda:1")
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "decoder", lambda model, device, output: seen.append(device) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Image.open(io.BytesIO(data)).load()
    assert seen == ["cuda:1"]


def test_save_hands_it_over(make_picture):
    buffer = io.BytesIO()
    Image.fromarray(make_picture(20, 30)).save(buffer, "LIC", model="toy", device="auto")
    assert buffer.getvalue() == pillow_lic.encode(make_picture(20, 30), model="toy", device="cpu")


def test_imageio_hands_it_over(make_picture):
    iio = pytest.importorskip("imageio.v3")
    array = make_picture(20, 30)
    assert iio.imwrite("<bytes>", array, extension=".lic", model="toy", device="cpu") == pillow_lic.encode(
        array, model="toy"
    )
    with pytest.raises(errors.LicGpuUnavailable):
        iio.imwrite("<bytes>", array, extension=".lic", model="toy", device="cuda")


def test_command_line(make_picture, tmp_path, capsys):
    source = tmp_path / "a.png"
    Image.fromarray(make_picture(20, 30)).save(source)
    encode = ["encode", str(source), "-m", "toy", "--force"]
    assert main([*encode, "--device", "cuda"]) == FAILED
    assert "device 'cuda'" in capsys.readouterr().err
    assert main([*encode, "--device", "gpu"]) == USAGE
    assert "device must be" in capsys.readouterr().err
    assert not (tmp_path / "a.lic").exists()
    assert main([*encode, "--device", "auto"]) == DONE
    assert main(["decode", str(tmp_path / "a.lic"), "-o", str(tmp_path / "b.png"), "--device", "cpu"]) == DONE
    assert main(["decode", str(tmp_path / "a.lic"), "-o", str(tmp_path / "c.png"), "--device", "cuda"]) == FAILED
    assert Image.open(tmp_path / "b.png").size == (30, 20)
    assert not (tmp_path / "c.png").exists()
    assert choice.device_named() == "cpu"


# ---- Output -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_tensors_are_the_arrays(channels, make_picture, on_torch):
    data = pillow_lic.encode(make_picture(33, 47, channels), model="toy")
    array, tensor = pillow_lic.decode(data), pillow_lic.decode(data, output="torch")
    assert isinstance(tensor, torch.Tensor)
    assert tensor.dtype == torch.uint8
    assert np.array_equal(array, tensor.numpy())
    tensor += 1  # an ordinary tensor, not one of inference mode
    assert np.array_equal(np.from_dlpack(tensor), tensor.numpy())
    (other,) = pillow_lic.decode_batch([data], output="torch")
    assert np.array_equal(other.numpy(), array)


@pytest.mark.parametrize("output", ["cupy", "", None, 1])
def test_other_outputs_are_refused(output, data):
    for call in (
        lambda: pillow_lic.decode(data, output=output),
        lambda: pillow_lic.decode_batch([data], output=output),
    ):
        with pytest.raises(errors.LicBadOption, match="output must be one of 'numpy', 'torch'"):
            call()


# ---- What a GPU computes in ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capabilities", "fast"),
    [
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": False, "amx_bf16": False}, False),
        ({"architecture": "arm64"}, False),
    ],
)
def test_where_bfloat16_is_fast(monkeypatch, capabilities, fast):
    """On a CPU whose instruction for it is faster than that of float32, or that has matrix units."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert precision.fast_bfloat16() is fast


def test_precision_of_a_device(monkeypatch):
    monkeypatch.delenv("PILLOW_LIC_PRECISION", raising=False)
    assert precision.precision("cuda:0") == "float16"
    assert precision.precision("cpu") in ("bfloat16", "float32")
    monkeypatch.setenv("PILLOW_LIC_PRECISION", "float32")
    assert precision.precision("cuda:0") == precision.precision("cpu") == "float32"
    monkeypatch.setenv("PILLOW_LIC_PRECISION", "float8")
    with pytest.raises(errors.LicBadOption, match="PILLOW_LIC_PRECISION"):
        precision.precision()


@pytest.mark.parametrize("model", ["toy", "photo"])
def test_half_precision_keeps_symbols_and_pixels(model, make_picture, monkeypatch, on_torch):
    """What a GPU computes in, on the CPU: an encoder as good as float32's, pixels within one level of its."""
    array = make_picture(200, 264)
    files, pixels = {}, {}
    for kind in ("float32", "float16"):
        monkeypatch.setenv("PILLOW_LIC_PRECISION", kind)
        files[kind] = pillow_lic.encode(array, model=model, quality=90)
        pixels[kind] = pillow_lic.decode(files["float32"]).astype(int)
    assert np.abs(pixels["float32"] - pixels["float16"]).max() <= 1
    assert len(files["float16"]) == pytest.approx(len(files["float32"]), rel=0.01)
    monkeypatch.setenv("PILLOW_LIC_PRECISION", "float32")
    squares = [np.square(pillow_lic.decode(file).astype(float) - array).mean() for file in files.values()]
    assert squares[1] == pytest.approx(squares[0], rel=0.01)


@pytest.mark.parametrize("model", ["toy", "photo", "gdn-mixture"])
@pytest.mark.parametrize("file", [ENCODER, DECODER])
def test_stated_settings_are_the_same_convolutions(model, file, monkeypatch):
    """Without TF32, as a GPU's networks are made: no convolution asks what the process has set, and results are the
    same.
    """
    entry = registry.by_name(model)
    plain, stated = (networks.stages(entry, file).eval() for _ in range(2))
    precision.keep_tf32_out(stated)
    real, calls = torch.ops.aten._convolution, []
    monkeypatch.setattr(torch.ops.aten, "_convolution", lambda *values: calls.append(values) or real(*values))
    t = torch.tensor([0.4])
    with torch.inference_mode(), networks.running("cuda:0"):
        if file == ENCODER:
            x = torch.linspace(0, 1, 3 * 64 * 80).reshape(1, 3, 64, 80)
            y = [network.analysis(x, t) for network in (plain, stated)]
            found = [(y[0], plain.hyper_analysis(y[0], t)), (y[1], stated.hyper_analysis(y[1], t))]
        else:
            z = torch.linspace(-2, 2, entry.manifest.hyper * 6).reshape(1, -1, 2, 3)
            found = [network.prior(z, t) for network in (plain, stated)]
            found = [
                (
                    *parts,
                    *(x for group in (1, 2, 3) for x in net.refine(parts[0], parts[1], group)),
                    net.synthesis(parts[1], t),
                )
                for net, parts in zip((plain, stated), found)
            ]
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    layers = [part for part in stated.modules() if isinstance(part, torch.nn.Conv2d | torch.nn.ConvTranspose2d)]
    assert {id(values[1]) for values in calls} == {id(layer.weight) for layer in layers}
    assert not any(values[-1] for values in calls)  # allow_tf32


def test_autocast_of_the_caller_has_no_say(data, on_torch):
    """What networks compute in is the package's to choose, so that encoders and decoders agree on it."""
    wanted = pillow_lic.decode(data)
    with torch.autocast("cpu", torch.bfloat16):
        assert np.array_equal(pillow_lic.decode(data), wanted)


def test_errors_of_operators_keep_their_names(monkeypatch):
    """Shortage of memory has one name, however it is reported; other errors are what they were."""
    x = torch.ones(1, 2, 3, 3)

    def fail(error: Exception):
        def plain(*_):
            raise error

        monkeypatch.setattr(operators, "_plain", plain)
        with networks.running("cuda:0"):
            torch.ops.pillow_lic.gdn(x, torch.ones(2), torch.eye(2))

    with pytest.raises(errors.LicGpuUnavailable, match=r"^no CuPy: install it$"):
        fail(errors.LicGpuUnavailable("no CuPy: install it"))
    with pytest.raises(torch.cuda.OutOfMemoryError, match=r"^CUDA out of memory. Tried to allocate 2.00 GiB."):
        fail(torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore"))
    with pytest.raises(torch.cuda.OutOfMemoryError, match="CUDNN_STATUS_ALLOC_FAILED"):
        fail(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))
    with pytest.raises(
        torch.cuda.OutOfMemoryError, match="unable to find an engine"
    ):  # cuDNN, when its workspace finds no room
        fail(RuntimeError("GET was unable to find an engine to execute this computation"))
    with pytest.raises(ValueError, match="something else"):
        fail(ValueError("something else"))


@pytest.mark.parametrize("kind", ["auto", "torch"])
def test_cpu_path_imports_no_gpu(kind):
    import os
    import subprocess
    import sys

    program = """
import sys, numpy, pillow_lic
files = pillow_lic.encode_batch([numpy.zeros((20, 30, 3), numpy.uint8)], model="toy")
pillow_lic.decode_batch(files)
print({"cupy", "pillow_lic.engines.torch.cuda"} & set(sys.modules))
"""
    environment = os.environ | {choice.ENGINE_VARIABLE: kind}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "set()", done.stderr
