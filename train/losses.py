"""Rate-distortion loss of a variable-rate model. Imports torch only."""

from __future__ import annotations

import torch
from torch import Tensor


def rate_weight(t: Tensor, lowest: float, highest: float) -> Tensor:
    """lambda at position t in 0..1 of the quality range: geometric between the two ends."""
    return lowest * (highest / lowest) ** t


def rate_distortion(
    x: Tensor, out: dict[str, Tensor], weight: Tensor, rate_share: Tensor | float = 1.0
) -> dict[str, Tensor]:
    """Loss per sample (N,): (lambda * 255^2 * MSE + rate_share * bpp) / (4 sqrt(lambda)).

    The bracket is Balle 2018's objective; the division keeps the highest rates, whose loss is largest, from
    drowning the lowest in one variable-rate model. A rate_share below 1 early in training lets channels become useful
    before they are charged for; a channel that rounds to zero everywhere gets no chance to.
    """
    pixels = x.shape[2] * x.shape[3]
    mse = (out["x_hat"] - x).square().mean((1, 2, 3))
    bpp = (out["y_bits"] + out["z_bits"]) / pixels
    loss = (weight * 255.0**2 * mse + rate_share * bpp) / (4.0 * weight.sqrt())
    psnr = -10.0 * torch.log10(mse.detach().clamp_min(1e-10))
    return {"loss": loss, "mse": mse, "bpp": bpp, "z_bpp": out["z_bits"] / pixels, "psnr": psnr}
