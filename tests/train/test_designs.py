"""The designs that bench/studies.py compares: each is a model that trains, made of parts that are really there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
import designs
import macs

from pillow_lic.engines.torch.photo import Block
from pillow_lic.models import registry
from train.exchange import start_from_model
from train.families import build, network_config, photo_designs

NARROW = {
    "latent": 8, "hyper": 8, "encoder": 16, "encoder_low": 16, "encoder_blocks": 1, "encoder_low_blocks": 1,
    "body": 16, "spread": 8, "body_blocks": 1, "detail": 16, "detail_blocks": 1, "render": 8, "points": 4,
}  # fmt: skip


@pytest.mark.parametrize("name", designs.DESIGNS)
def test_a_design_has_gradients(name: str):
    torch.manual_seed(1)
    config = network_config({**NARROW, **designs.DESIGNS[name]})
    model = build(config)
    out = model(torch.rand(2, 3, 128, 64), torch.tensor([0.2, 0.9]))
    (out["x_hat"].square().mean() + out["y_bits"].mean() + out["z_bits"].mean()).backward()
    assert out["x_hat"].shape == (2, 3, 128, 64)
    for stage in (model.analysis, model.hyper_analysis, model.prior, model.synthesis):
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in stage.parameters())
    if config.design != "shipped":
        with pytest.raises(ValueError, match="for comparisons"):
            model.stored({})


def test_designs_differ():
    """None is the shipped one under another name."""
    x, t, found = torch.rand(1, 3, 64, 64), torch.tensor([0.3]), {}
    for design in photo_designs.DESIGNS:
        torch.manual_seed(1)
        model = build(network_config({**NARROW, "design": design}))
        with torch.no_grad():
            for name, table in model.named_parameters():  # zeros at first, which would hide what hangs on them
                if name.endswith(("tone", "up.weight", "up.bias")):
                    table.normal_(std=0.3)
            found[design] = [float(value.sum()) for value in model(x, t, hard=True).values()]
    assert len({tuple(values) for values in found.values()}) == len(found)
    with pytest.raises(ValueError, match="there is no design 'other', want one of shipped, wide-blocks"):
        network_config({"design": "other"})
    with pytest.raises(ValueError, match="there is no family 'other', want one of photo, factorized"):
        network_config({"family": "other"})


def test_syntheses_cost_about_the_same():
    """What a fresh decoder for a trained encoder is made of; the encoder has its own blocks whatever the decoder's
    are.
    """
    costs = {}
    shipped_model = registry.by_name("photo-low")
    for name, changed in designs.SYNTHESES.items():
        model = build(network_config(changed))
        before = {key: value.clone() for key, value in model.synthesis.state_dict().items()}
        start_from_model(model, shipped_model.path, prior=False, fresh_synthesis=True)
        after = model.synthesis.state_dict()
        moved = {key for key in before if not torch.equal(before[key], after[key])}
        assert moved == {"direct.weight", "direct.bias", "out.weight"}, name
        assert all(type(block) is Block for block in [*model.analysis.high, *model.analysis.low, model.prior.block]), (
            name
        )
        costs[name], x = macs.multiply_adds(model.synthesis, torch.rand(1, 256, 4, 4), torch.tensor([0.5]))
        assert x.shape == (1, 3, 64, 64)
    shipped = costs["as shipped"]
    assert shipped / 64**2 == pytest.approx(10056, abs=1)
    assert all(0.93 * shipped < cost < 1.09 * shipped for cost in costs.values()), costs


def test_haar_is_orthonormal():
    basis = photo_designs.haar()
    assert torch.allclose(basis @ basis.T, torch.eye(64), atol=1e-6)
    assert torch.allclose(basis[0], torch.full((64,), 1 / 8))
