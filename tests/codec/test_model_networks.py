"""Networks and tables that are not what their manifest says; and floats and integers, which are one network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from model_copies import compare_layers, copied
from shortcuts import written
from torch import Tensor, nn
from torch.nn import functional as F

import pillow_lic
from pillow_lic import constants, container, errors
from pillow_lic.codec.decode import decode_symbols
from pillow_lic.engines import choice as engines
from pillow_lic.engines import pieces
from pillow_lic.engines.torch import exchange, networks
from pillow_lic.models import registry
from pillow_lic.models.manifest import DECODER, ENCODER

pytestmark = [pytest.mark.network, pytest.mark.usefixtures("forget")]
FILES = (DECODER, ENCODER)


# ---- Networks that are not what the manifest says -----------------------------------------------------------------


def of_copy(array: np.ndarray) -> bytes:
    """A file of the toy, as if the registered copy had made it."""
    chunks = container.read(pillow_lic.encode(array, model="toy"))
    digest = registry.by_name("copy").hash[: constants.HASH_BYTES]
    return written(chunks, model=0, model_hash=digest)


def network_of(name: str) -> dict[str, np.ndarray]:
    """The decoder's layers without tables."""
    return {key: array for key, array in registry.by_name(name).arrays.items() if "." in key}


WRONG = {
    "missing": lambda t: {"prior.up.weight": None},
    "narrow": lambda t: {"prior.up.weight": t["prior.up.weight"][:, :-1]},
    "no matrix": lambda t: {"prior.up.weight": t["prior.up.weight"].ravel()},
    "other type": lambda t: {"prior.up.scale": t["prior.up.scale"].astype(np.float32)[:, :5]},
    "short table": lambda t: {"synthesis.enter.scale": t["synthesis.enter.scale"][:-1]},
    "no gain": lambda t: {"prior.gain": None},
    "of another model": lambda t: {**dict.fromkeys(network_of("toy")), **network_of("photo")},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_decoder(make_picture, wrong, tmp_path, engine):
    changes = WRONG[wrong](registry.by_name("toy").arrays)
    pillow_lic.register_model(copied(tmp_path, tensors=changes))
    data = of_copy(make_picture(40, 40))
    with pytest.raises(
        errors.LicModelMissing, match=r"(not intact|does not do what its manifest says).*export it again"
    ):
        pillow_lic.decode(data)


@pytest.mark.parametrize("wrong", ["missing", "narrow", "of another model", "no gain"])
def test_wrong_encoder(make_picture, wrong, tmp_path, engine):
    own, other = (registry.by_name(name).encoder_arrays for name in ("toy", "photo"))
    changes = {
        "missing": {"analysis.patch.weight": None},
        "narrow": {"hyper.enter.weight": own["hyper.enter.weight"][:, :-1]},
        "no gain": {"hyper.gain": None},
        "of another model": {**dict.fromkeys(own), **other},
    }[wrong]
    name = pillow_lic.register_model(copied(tmp_path, encoder_tensors=changes))
    with pytest.raises(
        errors.LicModelMissing, match=r"(not intact|does not do what its manifest says).*export it again"
    ):
        pillow_lic.encode(make_picture(40, 40), model=name, effort=0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"body": 24},
        {"latent": 16},
        {"hyper": 4},
        {"detail_blocks": 2},
        {"body_blocks": 0},
        {"encoder": 8},
        {"points": 3},
        {"breadth": 3},
    ],
    ids=str,
)
def test_wrong_widths(make_picture, wrong, tmp_path, monkeypatch):
    """The native engine takes widths from the tensors; PyTorch's, which builds networks first, refuses others."""
    network = registry.by_name("toy").manifest.stated["network"]
    name = pillow_lic.register_model(copied(tmp_path, network=network | wrong))
    array = make_picture(40, 40)
    data = pillow_lic.encode(array, model=name)
    assert np.array_equal(pillow_lic.decode(data), pillow_lic.decode(pillow_lic.encode(array, model="toy")))
    monkeypatch.setenv(engines.ENGINE_VARIABLE, "torch")
    with pytest.raises(errors.LicModelMissing, match=r"does not do what its manifest says: .*export it again"):
        pillow_lic.decode(pillow_lic.encode(array, model=name))


def test_without_units_there_are_no_floats(make_picture, tmp_path, monkeypatch):
    """They decide nothing, so the hash and the native engine do without."""
    toy, array = registry.by_name("toy"), make_picture(40, 40)
    parts = [
        {name: None for name in tensors if name.startswith("unit.")} for tensors in (toy.tensors, toy.encoder_tensors)
    ]
    name = pillow_lic.register_model(copied(tmp_path, tensors=parts[0], encoder_tensors=parts[1]))
    assert registry.by_name(name).hash == toy.hash
    data = pillow_lic.encode(array, model=name)
    assert pillow_lic.decode(data).shape == array.shape
    monkeypatch.setenv(engines.ENGINE_VARIABLE, "torch")
    with pytest.raises(errors.LicModelMissing, match="does not do what its manifest says"):
        pillow_lic.decode(data)


TABLES = {
    "missing": {"freq": None},
    "other type": {"count": np.zeros(192, np.int64)},
    "short": {"first": np.zeros(5, np.int16)},
    "no step": {"z_step": np.zeros((4, 8), np.uint8)},
}


@pytest.mark.parametrize("wrong", TABLES)
def test_wrong_tables(make_picture, wrong, tmp_path, engine):
    name = pillow_lic.register_model(copied(tmp_path, tensors=TABLES[wrong]))
    with pytest.raises(errors.LicModelMissing, match=r"tables are not intact"):
        pillow_lic.encode(make_picture(8, 8), model=name)
    with pytest.raises(errors.LicModelMissing, match=r"tables are not intact"):
        pillow_lic.decode(of_copy(make_picture(8, 8)))


# ---- The encoder's halo, in PyTorch --------------------------------------------------------------------------------


class WideAnalysis(nn.Module):
    """An analysis that looks 12 latent positions far."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        y = F.avg_pool2d(F.avg_pool2d(x, 16), 25, 1, 12)  # (N, 3, h, w)
        return torch.cat([y, y, y], 1)[:, :8] * 400.0


def test_encoder_halo_is_the_manifests(make_picture, monkeypatch, tmp_path):
    """Pieces with the margin that the manifest states give the integers of the whole; 8, as without it, is too little
    here.
    """
    monkeypatch.setenv(engines.ENGINE_VARIABLE, "torch")
    monkeypatch.setenv("PILLOW_LIC_PRECISION", "float32")
    stages = networks.stages

    def wide(model, file):
        made = stages(model, file)
        if file == ENCODER:
            made.analysis = WideAnalysis()
        return made

    monkeypatch.setattr(networks, "stages", wide)
    differing = {}
    for name, encoder_halo in (("stated", 12), ("unstated", None)):
        pillow_lic.register_model(copied(tmp_path / name, name, encoder_halo=encoder_halo))
        found = []
        for side in (96, 4):
            monkeypatch.setattr(pieces, "PIECE", side)
            data = pillow_lic.encode(make_picture(400, 560), model=name, effort=0)
            found.append(decode_symbols(container.read(data))[1])
        differing[name] = (found[0] != found[1]).mean()
    assert differing["stated"] < 1e-3 < 1e-2 < differing["unstated"]


# ---- Floats and integers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["toy", "photo", "photo-low", "photo-ms-ssim"])
def test_floats_and_integers_are_one_network(name):
    """Integers to floats and back within 1 % of each layer's largest value, in both directions."""
    model = registry.by_name(name)
    units = exchange.units_of(model.arrays | model.encoder_arrays)
    shapes = {
        file: {key: tuple(value.shape) for key, value in networks.stages(model, file).state_dict().items()}
        for file in FILES
    }
    widths = model.manifest.widths
    floats = exchange.float_decoder(model.arrays, units, shapes[DECODER])
    again = exchange.integer_decoder(floats, units, (widths["body_blocks"], widths["detail_blocks"]))
    compare_layers(again, model.arrays)
    compare_layers(exchange.float_decoder(again, units, shapes[DECODER]), floats)
    floats = exchange.float_encoder(model.encoder_arrays, units, shapes[ENCODER])
    assert set(floats) == set(shapes[ENCODER])
    again = exchange.integer_encoder(floats, units, (widths["encoder_blocks"], widths["encoder_low_blocks"]))
    compare_layers(again, model.encoder_arrays)
    compare_layers(exchange.float_encoder(again, units, shapes[ENCODER]), floats)
