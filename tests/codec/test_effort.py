"""Encoder effort: the search finds cheaper files, the same ones every time, for every layout and size."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from model_copies import copied
from pictures import picture
from PIL import Image
from shortcuts import cost, nothing_registered  # noqa: F401

import pillow_lic
from pillow_lic import _core_test, container
from pillow_lic.codec import options
from pillow_lic.codec.decode import decode_symbols
from pillow_lic.engines import base
from pillow_lic.engines.torch import networks, place, quantise, search
from pillow_lic.errors import LicBadOption
from pillow_lic.models import registry
from pillow_lic.models.manifest import DECODER

pytestmark = pytest.mark.network

QUALITY = 60
SHAKEN = 5  # an effort that draws random numbers


@pytest.mark.parametrize(
    ("height", "width", "channels"), [(96, 130, 3), (64, 64, 1), (33, 47, 4), (1, 1, 3), (70, 20, 2)]
)
def test_effort_lowers_the_cost(height, width, channels, engine):
    array = picture(height, width, channels, 1)
    plain, searched = (pillow_lic.encode(array, quality=QUALITY, model="toy", effort=effort) for effort in (0, 2))
    assert pillow_lic.decode(searched).shape == array.shape  # of grey, (H, W)
    if channels in (2, 4):
        assert np.array_equal(pillow_lic.decode(searched)[..., -1], array[..., -1])
    slack = (
        64.0 if height * width < 2500 else 0.0
    )  # bits: the search knows neither the coder's last bytes nor 8-bit samples
    assert cost(array, searched) < cost(array, plain) + slack


def test_more_effort_costs_less(engine):
    arrays = [picture(64, 96, 3, seed) for seed in (3, 4, 5)]
    none, one, more, most = (
        sum(cost(array, pillow_lic.encode(array, quality=QUALITY, model="toy", effort=effort)) for array in arrays)
        for effort in (0, 1, 3, 9)
    )
    assert one < 0.997 * none
    assert more < one
    assert most < 0.993 * none


@pytest.mark.parametrize(("model", "quality"), [("toy", 5), ("toy", 95), ("photo-low", 40), ("photo", 100)])
@pytest.mark.parametrize("kind", ["noise", "flat", "stripes", "saturated"])
def test_pictures_unlike_photographs(kind, model, quality):
    """Nothing gets worse where the decoder is far from linear, or the picture at the end of its range."""
    array = picture(64, 80, 3, 5)
    if kind == "noise":
        array = np.random.default_rng(1).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    elif kind == "flat":
        array[:] = (200, 30, 90)
    elif kind == "stripes":
        array[:, ::2], array[:, 1::2] = 0, 255
    else:
        array = (array.astype(int) * 8 - 896).clip(0, 255).astype(np.uint8)
    costs = [
        cost(array, pillow_lic.encode(array, quality=quality, model=model, effort=effort), quality, model)
        for effort in (0, 1, 2, 5)
    ]
    assert max(costs[1:]) < 1.005 * costs[0] + 64.0


def test_default_effort():
    array = picture(64, 80, 3, 5)
    assert pillow_lic.encode(array, model="toy") == pillow_lic.encode(array, model="toy", effort=options.DEFAULT_EFFORT)
    assert pillow_lic.encode(array, tune="ms-ssim") == pillow_lic.encode(array, tune="ms-ssim", effort=0)


def test_gradient_is_that_of_the_squared_error(on_torch):
    """Against the decoder's own figures for y_hat moved a little, in one piece and in many, up to the edge of the
    picture.
    """
    decoder = networks.decoder(registry.by_name("toy"), place.at("cpu"))
    array, t = picture(75, 150, 3, 7), torch.tensor([0.6])
    y_hat = torch.randn((1, registry.by_name("toy").manifest.latent, 5, 10), generator=torch.Generator().manual_seed(1))

    def latents(side):
        return base.Latents([base.Picture(None, None, array)], t, y_hat, None, None, None, side)

    whole = search._gradient(decoder, latents(None), y_hat)[0]
    assert torch.allclose(search._gradient(decoder, latents(4), y_hat)[0], whole, atol=1e-4 * float(whole.abs().max()))
    pixels = torch.from_numpy(array).permute(2, 0, 1)[None].double() / 255.0

    def error(y: torch.Tensor) -> float:
        with torch.no_grad():
            x = decoder.stages.synthesis(y, t)[:, :, :75, :150].double()
        return float((x.clamp(0.0, 1.0) - pixels).square().sum())

    for at in ((0, 0, 0, 0), (0, 5, 2, 3), (0, 1, 4, 9), (0, 3, 3, 7)):
        moved = torch.zeros_like(y_hat)
        moved[at] = 1e-2
        found = (error(y_hat + moved) - error(y_hat - moved)) / 2e-2
        assert found == pytest.approx(float(whole[at]), rel=0.05, abs=0.01 * float(whole.abs().max()))


def test_curvature():
    """Found where there is error enough, else by theory, and never far from that."""
    error = torch.rand((2, 3, 40, 40), generator=torch.Generator().manual_seed(2)) - 0.5
    theory = 12.0 / np.log(2.0)
    slope = theory * torch.tensor([0.5, 1.5, 90.0])[:, None, None]
    found = search._curvature(slope * error, error.clone(), 1.0)
    assert found.shape == (2, 3, 1, 1)
    assert found[0].flatten().tolist() == pytest.approx(
        [0.64 * theory, 1.36 * theory, search.SPREAD * theory], rel=0.05
    )
    assert search._curvature(error * 0, error * 0, 1.0).flatten().tolist() == pytest.approx([theory] * 6)


def test_price_is_what_the_coder_takes():
    """Files with residuals against files without: the difference is their price, but for the bytes and states of the
    coder.
    """
    array = picture(120, 136, 3, 6)
    for quality in (10, 60, 95):
        chunks = container.read(pillow_lic.encode(array, quality=quality, model="toy"))
        model, q = registry.by_name("toy"), chunks.header.quality_q
        own = model.tables
        z, r, _ = decode_symbols(chunks)
        quantiser = quantise.quantiser(model, "cpu")
        wanted = torch.from_numpy(r.astype(np.float32))
        wanted[0, 0, 0] = wanted[0, 3, 2] = 500 * quantiser.unit  # escapes, of a word
        wanted[1, 2, 2] = -40 * quantiser.unit
        index = torch.from_numpy(own.scale_index(q, z, *r.shape[1:]).astype(np.int32))[None]
        with_r = quantiser.quantise(wanted[None], index)
        none = torch.zeros_like(with_r)
        taken = [8 * len(_core_test.encode(own.model, q, z, symbols[0].numpy())[0]) for symbols in (with_r, none)]
        told = [float(quantiser.bits(symbols, index)) for symbols in (with_r, none)]
        assert abs((taken[0] - taken[1]) - (told[0] - told[1])) < 48


def test_effort_after_decoding(on_torch):
    """In a process that decodes first, the networks are loaded while nothing is differentiated."""
    code = """
import io, numpy as np, torch
import pillow_lic
from PIL import Image
data = open({path!r}, "rb").read()
array = pillow_lic.decode(data)
first = pillow_lic.encode(array, model="toy", effort=1)
with torch.inference_mode():
    print(pillow_lic.encode(array, model="toy", effort=1) == first)
"""
    golden = Path(__file__).parents[1] / "golden"
    path = sorted(golden.glob("*.lic"))[0]
    done = subprocess.run(
        [sys.executable, "-c", code.format(path=str(path))], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "True"


def test_gradients_refused_after_a_fork(monkeypatch, on_torch):
    """What torch says beside a GPU, in a child of a process that has had gradients: the file is that of effort 0, and a
    warning says why.
    """

    def refuse(*_):
        raise RuntimeError("Unable to handle autograd's threading in combination with fork-based multiprocessing.")

    array = picture(64, 80, 3, 5)
    plain = pillow_lic.encode(array, model="toy", effort=0)
    monkeypatch.setattr(torch.autograd, "grad", refuse)
    with pytest.warns(UserWarning, match="forked"):
        assert pillow_lic.encode(array, model="toy", effort=3) == plain


def test_half_precision(monkeypatch, on_torch):
    """Gradients do not overflow in float16, which GPUs run: stripes of single pixels at a high quality are the worst
    case.
    """
    array = np.zeros((64, 64, 3), np.uint8)
    array[:, ::2] = 255
    monkeypatch.setenv("PILLOW_LIC_PRECISION", "float16")
    options = {"quality": 100, "model": "toy", "screen": "off"}
    files = [pillow_lic.encode(array, effort=effort, **options) for effort in (0, 1)]
    assert files[0] != files[1]


def test_networks_gather_no_gradients(on_torch):
    pillow_lic.encode(picture(32, 32, 3, 1), model="toy", effort=1)
    decoder = networks.load(registry.by_name("toy"), DECODER)
    assert all(p.grad is None and not p.requires_grad for p in decoder.parameters())


def test_same_file_every_time(engine):
    array = picture(80, 90, 3, 3)
    files = []
    for seed in (1, 2):
        torch.manual_seed(seed)  # the caller's random numbers have no say
        files.append(pillow_lic.encode(array, model="toy", effort=SHAKEN))
    assert files[0] == files[1]


def test_random_numbers_of_the_caller_are_left_alone(engine):
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    pillow_lic.encode(picture(64, 64, 3, 3), model="toy", effort=SHAKEN)
    assert torch.equal(torch.rand(3), wanted)


def test_pieces(monkeypatch, on_torch):
    """Pieces with margins find what one finds, but for a residual here and there, and z stays what it was."""
    array = picture(100, 140, 3, 4)
    plain, whole = (pillow_lic.encode(array, quality=QUALITY, model="toy", effort=effort) for effort in (0, 2))
    monkeypatch.setattr(search, "SIDE", 4)
    parts = pillow_lic.encode(array, quality=QUALITY, model="toy", effort=2)
    integers = [decode_symbols(container.read(data)) for data in (plain, whole, parts)]
    assert all(np.array_equal(z, integers[0][0]) for z, *_ in integers)
    assert (integers[1][1] != integers[2][1]).mean() < 0.05 * (integers[1][1] != integers[0][1]).mean()


@pytest.mark.parametrize("effort", [-1, 10, 1.5, True, "3"])
def test_wrong_effort(effort):
    with pytest.raises(LicBadOption, match="effort"):
        pillow_lic.encode(picture(16, 16, 3, 1), model="toy", effort=effort)


@pytest.mark.usefixtures("nothing_registered")
def test_a_model_without_lambda(tmp_path):
    """It cannot be searched with, and says so."""
    name = pillow_lic.register_model(copied(tmp_path, "silent", **{"lambda": None}))
    pillow_lic.encode(picture(16, 16, 3, 1), model=name)
    with pytest.raises(LicBadOption, match="lambda"):
        pillow_lic.encode(picture(16, 16, 3, 1), model=name, effort=1)


def test_through_pillow_and_batches():
    array = picture(64, 80, 3, 5)
    wanted = pillow_lic.encode(array, quality=40, model="toy", effort=1)
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "LIC", quality=40, model="toy", effort=1)
    assert buffer.getvalue() == wanted
    assert pillow_lic.encode(array, quality=40, model="toy", effort=1) == wanted
    assert pillow_lic.encode_batch([array], quality=40, model="toy", effort=1) == [wanted]
    with pytest.raises(LicBadOption, match="effort"):
        Image.fromarray(array).save(io.BytesIO(), "LIC", effort=11)


def test_tuned_for_ms_ssim(make_picture):
    """Another model, named by the file; its lambda weighs no squared errors, so that effort is refused."""
    array = make_picture(96, 80)
    data = pillow_lic.encode(array, quality=60, tune="ms-ssim")
    assert container.read(data).header.model == registry.by_name("photo-ms-ssim").number
    assert pillow_lic.decode(data).shape == array.shape
    assert pillow_lic.encode_batch([array], quality=60, tune="ms-ssim") == [data]
    with pytest.raises(LicBadOption, match=r"photo-ms-ssim.*effort 0, or tune='visual' or 'psnr'"):
        pillow_lic.encode(array, tune="ms-ssim", effort=1)
