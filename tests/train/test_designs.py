"""The designs that bench/studies.py compares: each is a model that trains, made of parts that are really there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
import designs
import macs

from pillow_lic.models import registry
from train import networks

NARROW = {
    "latent": 8, "hyper": 8, "encoder": 16, "encoder_low": 16, "encoder_blocks": 1, "encoder_low_blocks": 1,
    "body": 16, "spread": 8, "body_blocks": 1, "detail": 16, "detail_blocks": 1, "render": 8, "points": 4,
}  # fmt: skip


@pytest.mark.parametrize("name", designs.DESIGNS)
def test_a_design_has_gradients(name: str):
    widths, parts = designs.DESIGNS[name]
    torch.manual_seed(1)
    with designs.in_place(parts):
        model = networks.PhotoModel(networks.PhotoConfig(**{**NARROW, **widths}))
        out = model(torch.rand(2, 3, 128, 64), torch.tensor([0.2, 0.9]))
        (out["x_hat"].square().mean() + out["y_bits"].mean() + out["z_bits"].mean()).backward()
    assert out["x_hat"].shape == (2, 3, 128, 64)
    for stage in (model.analysis, model.hyper_analysis, model.prior, model.synthesis):
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in stage.parameters())


def test_syntheses_cost_about_the_same():
    """What a fresh decoder for a trained encoder is made of; the encoder has its own blocks whatever the decoder's
    are.
    """
    costs = {}
    for name, (widths, parts) in designs.SYNTHESES.items():
        with designs.in_place(parts):
            model = networks.PhotoModel(networks.PhotoConfig(**widths))
            designs.start_fresh_synthesis(model, registry.by_name("photo-low").path, prior=False)
        assert all(
            type(block) is networks.Block for block in [*model.analysis.high, *model.analysis.low, model.prior.block]
        ), name
        costs[name], x = macs.multiply_adds(model.synthesis, torch.rand(1, 256, 4, 4), torch.tensor([0.5]))
        assert x.shape == (1, 3, 64, 64)
    shipped = costs["as shipped"]
    assert shipped / 64**2 == pytest.approx(10056, abs=1)
    assert all(0.93 * shipped < cost < 1.09 * shipped for cost in costs.values()), costs


def test_haar_is_orthonormal():
    basis = designs.haar()
    assert torch.allclose(basis @ basis.T, torch.eye(64), atol=1e-6)
    assert torch.allclose(basis[0], torch.full((64,), 1 / 8))
