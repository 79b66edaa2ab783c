"""The designs that bench/studies.py compares: each is a model that trains, made of parts that are really there."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "bench"))
import designs  # noqa: E402

from train import networks  # noqa: E402

NARROW = {"latent": 8, "hyper": 8, "encoder": 16, "encoder_low": 16, "encoder_blocks": 1, "encoder_low_blocks": 1, "body": 16,
          "spread": 8, "body_blocks": 1, "detail": 16, "detail_blocks": 1, "render": 8, "points": 4}  # fmt: skip


@pytest.mark.parametrize("name", designs.DESIGNS)
def test_a_design_has_gradients(name: str):
    widths, parts = designs.DESIGNS[name]
    torch.manual_seed(1)
    with contextlib.ExitStack() as stack:
        for place, part in parts.items():
            stack.enter_context(mock.patch(f"train.networks.{place}", part))
        model = networks.PhotoModel(networks.PhotoConfig(**{**NARROW, **widths}))
        out = model(torch.rand(2, 3, 128, 64), torch.tensor([0.2, 0.9]))
        (out["x_hat"].square().mean() + out["y_bits"].mean() + out["z_bits"].mean()).backward()
    assert out["x_hat"].shape == (2, 3, 128, 64)
    for stage in (model.analysis, model.hyper_analysis, model.prior, model.synthesis):
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in stage.parameters())


def test_haar_is_orthonormal():
    basis = designs.haar()
    assert torch.allclose(basis @ basis.T, torch.eye(64), atol=1e-6)
    assert torch.allclose(basis[0], torch.full((64,), 1 / 8))
