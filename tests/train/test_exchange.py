"""Export, and where further runs start: a model that anyone trained can be registered, used and trained on."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from model_copies import compare_layers

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.codec.decode import decode_symbols
from pillow_lic.constants import LIC_PROB_BITS
from pillow_lic.engines.torch import exchange as integers
from pillow_lic.models import choice, registry

pytest.importorskip("tqdm", reason="the train extra is not installed")
from toy_runs import CONFIG, run

from train import data, exchange, train
from train.export import export
from train.families import build, gdn, network_config, photo
from train.layers import HyperRate, logistic_mass

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.network, pytest.mark.slow]


@pytest.fixture(scope="module")
def trained(photographs, tmp_path_factory) -> tuple[train.Trainer, Path]:
    """A trainer after four steps, with its averaged weights, and the folder of the model exported then."""
    folder = tmp_path_factory.mktemp("trained")
    trainer = run(photographs, folder / "run", 4)
    export(trainer.checkpoint, photographs, folder / "model", None, batches=1, crop=128)
    trainer.model.load_state_dict(trainer.average)
    return trainer, folder / "model"


def test_trained_model_can_be_exported_registered_and_used(trained, make_picture):
    assert json.loads((trained[1] / "manifest.json").read_text())["encoder_halo"] == 3
    name = pillow_lic.register_model(trained[1])
    try:
        assert name == "mine"
        assert "mine" in choice.names()
        array = make_picture(70, 50)
        encoded = pillow_lic.encode(array, model="mine")
        assert pillow_lic.decode(encoded).shape == array.shape
        moved = decode_symbols(container.read(encoded))
        assert moved[0].shape[0] == 8
    finally:
        registry.forget_registered()


def test_some_rates_alone(photographs, tmp_path, make_picture):
    """Positions in the range are drawn, and the exported model is for that range of quality."""
    settings = [
        "steps=2",
        "batch=2",
        "crop=64",
        "final_crop=64",
        "validate_every=1000",
        'name="part"',
        "rates=[0.0, 0.6]",
    ]
    config = train.load_config(CONFIG, settings)
    drawn = torch.cat([train.positions(5, *config.rates) for _ in range(50)])
    assert drawn.min() == 0
    assert drawn.max() == 0.6
    trainer = train.Trainer(config, photographs, tmp_path / "run")
    trainer.run(None)
    export(trainer.checkpoint, photographs, tmp_path / "model", None, batches=1, crop=128)
    name = pillow_lic.register_model(tmp_path / "model")
    try:
        array = make_picture(70, 50)
        assert pillow_lic.decode(pillow_lic.encode(array, model=name, quality=60.4)).shape == array.shape
        with pytest.raises(
            errors.LicBadOption, match=r"model 'part' is for quality 1 to 60.4, found 75; leave model out"
        ):
            pillow_lic.encode(array, model=name)
    finally:
        registry.forget_registered()
    with pytest.raises(ValueError, match="rates must be two positions"):
        train.load_config(CONFIG, ["rates=[0.5, 0.2]"])


def test_the_prior_of_z_is_fitted_to_its_rows():
    """Peaked rows with wide skirts, which one mean and spread do not describe."""
    value = torch.arange(-9, 10.0)
    peaks = torch.linspace(-2, 2, 12)[:, None]
    shares = 0.7 * torch.exp(-(value - peaks).abs() / 0.4) + 0.1 * torch.exp(-(value + 1.5 * peaks).abs() / 2)
    shares /= shares.sum(1, keepdim=True)
    rows = [torch.cat([share * 65000, torch.tensor([536.0])]) for share in shares]

    def excess(steps: int) -> float:
        """Bits a symbol of the fitted mixtures above the entropy of the rows."""
        rate = HyperRate(2, 6)
        with torch.no_grad():
            exchange.fit_hyper_rate(rate, rows, torch.full((12,), -9), steps)
            mean, log_scale, logit = (table.view(12, -1, 1) for table in (rate.mean, rate.log_scale, rate.logit))
            mass = (logistic_mass(value, mean, log_scale) * logit.softmax(1)).sum(1)
        return float((shares * (shares / mass).log2()).sum(1).mean())

    assert excess(400) < 0.02 < 0.3 < excess(0)


def test_rows_of_unlike_lengths_are_merged():
    rows = [torch.tensor([1.0, 2, 3, 10]), torch.tensor([5.0, 20])]
    found, low = exchange.merged(rows, torch.tensor([-1, 1]))
    assert (found.tolist(), low) == ([1, 2, 8, 30], -1)


@pytest.mark.parametrize("name", ["photo", "photo-low", "photo-ms-ssim", "photo-visual"])
def test_a_run_can_start_from_every_shipped_model(name, monkeypatch):
    """The rows of z that its prior is fitted to are whole ones, of at least a value and the escape."""
    fitted = []
    monkeypatch.setattr(exchange, "fit_hyper_rate", lambda rate, rows, firsts: fitted.append((rate, rows, firsts)))
    stated = dict(registry.by_name(name).manifest.stated["network"])
    stated.pop("family")
    model = build(network_config(stated))
    exchange.start_from_model(model, registry.by_name(name).path)
    if any(key.startswith(exchange.PRIOR) for key in registry.by_name(name).encoder_tensors):
        assert fitted == [], "the prior comes along"
        return
    ((rate, rows, firsts),) = fitted
    assert len(rows) == len(firsts) == rate.gain.numel()
    sums = torch.stack([row.sum() for row in rows]) / (1 << LIC_PROB_BITS)
    assert torch.allclose(sums, sums.round(), rtol=0, atol=1e-6)
    assert sums.min() > 0.5
    assert all(len(row) >= 2 and row[-1] > 0 for row in rows)


def test_a_run_starts_from_an_exported_model(trained, photographs, tmp_path):
    """Its rate and distortion are those of the checkpoint that was exported, but for float16, integers and the prior of
    z.
    """
    trainer, exported = trained
    again = train.Trainer(trainer.config, photographs, tmp_path / "again", exported)
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        old, new = (t.model(x, torch.tensor([0.2, 0.8]), hard=True) for t in (trainer, again))
    assert (old["x_hat"] - new["x_hat"]).abs().mean() < 0.01
    assert torch.allclose(old["y_bits"], new["y_bits"], rtol=0.03)
    deeper = dataclasses.replace(
        trainer.config, network=dataclasses.replace(trainer.config.network, encoder_low_blocks=3)
    )
    deep = train.Trainer(deeper, photographs, tmp_path / "deeper", exported)  # further blocks change nothing at first
    with torch.no_grad():
        assert torch.equal(deep.model(x, torch.tensor([0.2, 0.8]), hard=True)["x_hat"], new["x_hat"])
    for other in (
        {"body_blocks": 0},
        {"body": trainer.config.network.body + 8},
        {"latent": trainer.config.network.latent - 4},
    ):
        narrower = dataclasses.replace(trainer.config, network=dataclasses.replace(trainer.config.network, **other))
        with pytest.raises(ValueError, match="another network"):
            train.Trainer(narrower, photographs, tmp_path / "other", exported)


@pytest.mark.parametrize("name", ["toy", "photo-low"])
def test_export_and_start_are_inverse(name):
    """The integers of a shipped model, from the floats that training takes of it."""
    exported = registry.by_name(name)
    model = photo.Model(photo.Config(**exported.manifest.widths)).requires_grad_(False)
    exchange.start_from_model(model, exported.path, prior=False)
    if "trellis" in exported.arrays:
        model.prior.gain -= math.log(model.residual.unit)
    units = integers.units_of(exported.arrays | exported.encoder_arrays)
    for found, wanted in zip(model.stored(units), (exported.arrays, exported.encoder_arrays)):
        compare_layers(found, wanted)
    compare_maps(exchange.integer_map(model), exported.arrays)


def compare_maps(found: dict, wanted: dict) -> None:
    """Integers of the map from z, but for the last unit of what had been floats between."""
    for key, values in found.items():
        stored = wanted[key].astype(int)
        assert np.abs(values - stored).max() <= 1 + 1e-3 * np.abs(stored).max(), key


def test_export_and_start_are_inverse_of_mixtures():
    """Its networks are floats of 16 bits and come back as they are; hidden layers and planes of the map do too."""
    exported = registry.by_name("gdn-mixture")
    config = gdn.Config(family=exported.manifest.family, **exported.manifest.widths)
    model = gdn.Model(config).requires_grad_(False)
    assert exchange.start_from_model(model, exported.path, prior=False) == 0
    for found, stored in zip(model.stored({}), (exported.arrays, exported.encoder_arrays)):
        assert found
        assert all(np.array_equal(values, stored[key]) for key, values in found.items())
    compare_maps(exchange.integer_map(model), exported.arrays)
    wider = gdn.Model(dataclasses.replace(config, latent=config.latent + 8))
    further = exchange.start_from_model(wider, exported.path, prior=False)
    with pytest.raises(ValueError, match="as many channels of y, found 8 fewer"):
        wider.start_further(further, torch.rand(1, 3, 64, 64), 0.01, 0.1)


def test_the_prior_of_z_travels(photographs, tmp_path):
    """With an exported model but for its sixteen bits, with a checkpoint exactly; without either it is fitted."""
    trainer = run(photographs, tmp_path / "run", 4)
    rate = trainer.model.hyper_rate
    with torch.no_grad():
        for table in (rate.mean, rate.log_scale, rate.logit):
            table.add_(torch.randn(table.shape, generator=torch.Generator().manual_seed(1)))
    trainer.average.update(trainer.model.state_dict())
    trainer.save()
    model = tmp_path / "model"
    export(trainer.checkpoint, photographs, model, None, batches=1, crop=128)
    from_model = train.Trainer(trainer.config, photographs, tmp_path / "again", model).model.hyper_rate
    from_run = train.Trainer(trainer.config, photographs, tmp_path / "third", trainer.checkpoint).model
    for name in ("mean", "log_scale", "logit"):
        assert torch.allclose(getattr(from_model, name), getattr(rate, name), rtol=1e-3, atol=1e-3), name
    for name, value in from_run.state_dict().items():
        assert torch.equal(value, trainer.average[name]), name
    other = dataclasses.replace(trainer.config, network=dataclasses.replace(trainer.config.network, body_blocks=2))
    with pytest.raises(ValueError, match=r"checkpoint\.pt holds another network"):
        train.Trainer(other, photographs, tmp_path / "fourth", trainer.checkpoint)


def test_the_prior_of_z_is_found_in_rows_by_neighbours(make_picture):
    """Of a model whose rows of z go by classes of neighbours: the mixtures cost about what the coder's rows do."""
    exported = registry.by_name("photo-low")
    assert "z_near" in exported.arrays
    rate = HyperRate(exported.manifest.points, exported.manifest.hyper)
    exchange.read_prior(rate, exported)
    data = pillow_lic.encode(make_picture(320, 256), model="photo-low", quality=1, effort=0, screen="off")
    z = decode_symbols(container.read(data))[0]
    with torch.no_grad():
        found = float(rate.bits(torch.from_numpy(z.astype(np.float32))[None], torch.zeros(1)))
    assert 0.9 < found / bits_by_rows(exported, z) < 1.5


def bits_by_rows(exported, z: np.ndarray) -> float:
    """What z (C, a, b) of the lowest quality costs by the rows of the bank, escapes without what follows them."""
    count, first, freq = (exported.arrays[name].astype(int) for name in ("count", "first", "freq"))
    start = count.cumsum() - count
    scale_rows = 2 * exported.manifest.rows  # with a trellis
    rows = scale_rows + exported.tables.z_rows(exported.manifest.quality[0], z)
    at = z - first[rows]
    at = np.where((at < 0) | (at >= count[rows] - 1), count[rows] - 1, at)
    return float(-np.log2(freq[start[rows] + at] / (1 << LIC_PROB_BITS)).sum())


def test_classes_of_neighbours_are_those_of_the_format():
    """As FORMAT 7.4 has them: none, or 3 size - 1 + sign."""
    values = torch.tensor([-5, -1, 0, 1, 2])
    found = exchange.neighbour_class(values)
    assert found.tolist() == [
        [3 * min(abs(a) + abs(b), 3) - 1 + (a + b > 0) - (a + b < 0) if a or b else 0 for b in values.tolist()]
        for a in values.tolist()
    ]


def test_rows_by_neighbours_become_one():
    """One distribution for all classes comes back; where a neighbour announces another value, that becomes rarer or
    more frequent as the classes are met.
    """
    row = torch.tensor([10.0, 70.0, 15.0, 5.0])  # -1, 0, 1, escape
    whole, low = exchange.merged([row] * 20, torch.full((20,), -1), 10)
    assert low == -1
    assert torch.allclose(whole / whole.sum(), row / row.sum())
    calm = torch.tensor([1.0, 98.0, 1.0, 0.0])
    mixed, _ = exchange.merged([calm] + [row] * 9, torch.full((10,), -1), 10)
    assert 0.9 < float(mixed[1] / mixed.sum()) < 0.98


def test_further_channels_carry_what_the_others_leave_over(trained, photographs, tmp_path):
    """Before any step: more channels than the exported model has, and less is lost at the highest rate; the first
    channels stay as they were.
    """
    trainer, exported = trained
    config, had = trainer.config, trainer.config.network.latent
    wider = dataclasses.replace(config, network=dataclasses.replace(config.network, latent=had + 24))
    plain, more = (
        train.Trainer(c, photographs, tmp_path / name, exported).model
        for c, name in ((config, "plain"), (wider, "more"))
    )
    x = torch.from_numpy(data.Crops(trainer.training, 64, 16, seed=3).at(0)).float().div(255)
    t = torch.ones(len(x))
    with torch.no_grad():
        lost, less = ((model(x, t, hard=True)["x_hat"] - x).square().mean() for model in (plain, more))
        assert torch.allclose(more.analysis(x, t)[:, :had], plain.analysis(x, t), atol=1e-5)
    assert less < 0.9 * lost
