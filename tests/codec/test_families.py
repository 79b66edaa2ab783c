"""The codecs of the source paper: trained a little, exported, registered, and used as any other model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slow_decoder
import torch
from PIL import Image

import pillow_lic
from pillow_lic import container
from pillow_lic.codec.decode import decode_symbols
from pillow_lic.engines import pieces
from pillow_lic.engines.torch import gdn as gdn_networks
from pillow_lic.engines.torch import networks
from pillow_lic.engines.torch import place as places
from pillow_lic.models import registry

pytest.importorskip("tqdm", reason="the train extra is not installed")
from pictures import picture
from small_families import CASES, SMALL

from train import train
from train.export import export
from train.families import gdn

pytestmark = [pytest.mark.network, pytest.mark.slow]

CONFIGS = Path(train.__file__).parent / "configs"


@pytest.fixture(scope="module", params=CASES)
def model(request, tmp_path_factory) -> tuple[str, Path, train.Trainer]:
    """A small network of the family after four steps, exported and registered under its name."""
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(3):
        Image.fromarray(picture(180, 240, 3, number)).save(folder / f"{number}.png")
    name = f"small-{request.param}"
    network = gdn.Config(family=request.param, **{**SMALL, **CASES[request.param]})
    settings = {"steps": 4, "batch": 2, "crop": 64, "final_crop": 64, "warmup": 1, "bfloat16": False}
    trainer = train.Trainer(train.TrainConfig(name=name, network=network, **settings), folder, folder / "run")
    trainer.run(None)
    export(folder / "run" / "checkpoint.pt", folder, folder / "model", name, batches=1, crop=128)
    pillow_lic.register_model(folder / "model")
    return name, folder / "model", trainer


@pytest.mark.parametrize("size", [(1, 1), (17, 130), (100, 65)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_any_size_and_layout(model, size, channels):
    array = picture(*size, channels, 3)
    decoded = pillow_lic.decode(pillow_lic.encode(array, quality=60, model=model[0]))
    assert decoded.shape == (array.shape if channels > 1 else array.shape[:2])
    if channels in (2, 4):
        assert np.array_equal(decoded[..., -1], array[..., -1])


def test_decoded_picture_resembles_the_original(model):
    array = picture(128, 160, 3, 5)
    low, high = (pillow_lic.decode(pillow_lic.encode(array, quality=q, model=model[0])) for q in (5, 95))
    error = [np.mean((decoded.astype(float) - array) ** 2) for decoded in (low, high)]
    assert error[1] < error[0]
    assert error[1] < 140


@pytest.mark.parametrize("rows", [1, 8, 9, 19])  # of latents: a strip is 8 of them
def test_last_layers_work_in_strips(model, rows, monkeypatch):
    """Without gradients, on the CPU; what comes is that of the whole but for rounding."""
    decoder = networks.decoder(registry.by_name(model[0]), places.at("cpu"))
    y_hat = torch.from_numpy(np.random.default_rng(rows).normal(0, 2, (1, SMALL["latent"], rows, 3)).astype("f4"))
    whole = decoder.stages.synthesis(y_hat, torch.tensor([0.5]))
    heights = []
    tail = gdn_networks.in_strips
    monkeypatch.setattr(gdn_networks, "in_strips", lambda *given: heights.append(given[1].shape[2]) or tail(*given))
    with torch.inference_mode():
        strips = decoder.stages.synthesis(y_hat, torch.tensor([0.5]))
    assert heights == [4 * rows]
    assert strips.shape == whole.shape == (1, 3, 16 * rows, 48)
    torch.testing.assert_close(strips, whole, rtol=1e-5, atol=1e-5)


def test_effort(model):
    """The search prices residuals under mixtures and normals alike: fewer bits, or a truer picture, with the same z."""
    array = picture(96, 110, 3, 8)
    plain, searched = (pillow_lic.encode(array, quality=50, model=model[0], effort=effort) for effort in (0, 1))
    integers = [decode_symbols(container.read(data)) for data in (plain, searched)]
    assert np.array_equal(integers[0][0], integers[1][0])
    assert not np.array_equal(integers[0][1], integers[1][1])
    error = [np.mean((pillow_lic.decode(data).astype(float) - array) ** 2) for data in (plain, searched)]
    assert len(searched) < len(plain) or error[1] < error[0]


def test_slow_decoder_finds_the_same_integers(model):
    data = pillow_lic.encode(picture(70, 90, 3, 6), quality=50, model=model[0])
    z, r, _ = decode_symbols(container.read(data))
    (slow,) = slow_decoder.decode_symbols(data, model[1])  # of its one tile
    assert np.array_equal(slow[0], z)
    assert np.array_equal(slow[1], r)


def test_pieces_equal_the_whole(model, monkeypatch):
    data = pillow_lic.encode(picture(300, 400, 3, 7), quality=60, model=model[0])
    whole = pillow_lic.decode(data)
    monkeypatch.setattr(pieces, "PIECE", 8)
    assert np.abs(pillow_lic.decode(data).astype(int) - whole).max() <= 1


def test_threads_and_precision_never_change_a_symbol(model, monkeypatch):
    data = pillow_lic.encode(picture(128, 128, 3, 8), quality=70, model=model[0])
    chunks = container.read(data)
    wanted = decode_symbols(chunks)[:2]
    decoded = pillow_lic.decode(data)
    for precision in ("float32", "bfloat16"):
        monkeypatch.setenv("PILLOW_LIC_PRECISION", precision)
        for found, one in zip(decode_symbols(chunks)[:2], wanted):
            assert np.array_equal(found, one)
        assert np.abs(pillow_lic.decode(data).astype(int) - decoded).mean() < 1


def test_real_size_is_near_the_estimate(model):
    """What the integers cost against the network's own estimate of its bits."""
    name, _, trainer = model
    array = picture(256, 256, 3, 9)
    network = trainer.model.eval()
    x = torch.from_numpy(array).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        out = network(x, torch.tensor([(75 - 1) / 99]), hard=True)
    estimate = float(out["y_bits"] + out["z_bits"]) / 8
    chunks = container.read(pillow_lic.encode(array, quality=75, model=name))
    size = sum(len(stage) for tile in chunks.tiles for stage in tile.stages)
    assert size < 1.15 * estimate + 100  # the encoder's rounding makes it smaller; z's rows are fitted to few symbols


def test_through_pillow(model, tmp_path):
    array = picture(90, 120, 3, 4)
    Image.fromarray(array).save(tmp_path / "a.lic", quality=70, model=model[0])
    with Image.open(tmp_path / "a.lic") as im:
        assert im.info["model"] == model[0]
        assert np.asarray(im).shape == array.shape


@pytest.mark.parametrize("family", CASES)
def test_configurations_load(family):
    config = train.load_config(CONFIGS / f"{family}.toml", [])
    assert config.network.family == family
    assert config.name == family


def test_family_and_components_must_agree():
    with pytest.raises(ValueError, match="components"):
        gdn.Model(gdn.Config(family="hyperprior", components=3))


def test_integer_twin_of_the_parameters(model):
    """The bytes or rows of the integer map are those of the float network, but for its rounding."""
    name, _, trainer = model
    loaded = registry.by_name(name)
    tables = loaded.tables
    config = trainer.config.network
    rng = np.random.default_rng(1)
    z = rng.integers(-3, 4, (tables.hyper, 3, 4)).astype(np.int16)
    network = gdn.Model(config)
    network.load_state_dict(trainer.average)
    z_hat = torch.from_numpy(tables.dequantised(5050, z).astype(np.float32)) / 32
    planes = network.half().float().shape(z_hat[None], torch.tensor([0.5]))[0].detach().numpy()
    found = tables.scale_index(5050, z, 12, 16).reshape(planes.shape).astype(float)
    unit = np.log(64 / 0.11) / 63
    k = config.components
    wanted = [np.clip((planes[: k or 1] - np.log(0.11)) / unit, 0, 255 if k else 63)]
    if k:
        wanted += [np.clip(planes[k : 2 * k] * 16 + 128, 0, 255), np.clip(planes[2 * k :] * 32, 0, 255)]
    error = np.abs(found - np.concatenate(wanted))
    assert error.mean() < 0.4
    assert np.quantile(error, 0.99) < 2
