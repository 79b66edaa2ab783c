"""Rate-distortion loss of a variable-rate model. Imports torch; pytorch_msssim where it is asked for."""

from __future__ import annotations

import torch
from torch import Tensor

from pillow_lic.engines.torch import visual

METRICS = ("mse", "ms-ssim", "visual")
MS_SSIM_SIDE = 161  # the smallest side whose fifth scale still holds a window of 11
VISUAL = (
    0.004,
    1.6,
)  # weight of the visual distance at quality 1 and 100, geometric between: its rates are then about those of lambda
# Of the squared error's own weight, what stays beside it at quality 1 and 100, geometric between: so colours, flat
# areas and texture stay honest, and fine quality is fine by any measure.
SQUARED = (0.18, 0.36)
SEARCHED = (0.3, 0.3)  # the same in the search of encoders, which bends to the distance further than training does


def rate_weight(t: Tensor, lowest: float, highest: float) -> Tensor:
    """lambda at position t in 0..1 of the quality range: geometric between the two ends."""
    return lowest * (highest / lowest) ** t


def rate_distortion(
    x: Tensor,
    out: dict[str, Tensor],
    weight: Tensor,
    rate_share: Tensor | float = 1.0,
    metric: str = "mse",
    visual_weight: Tensor | None = None,
    squared_share: Tensor | float = 0.0,
) -> dict[str, Tensor]:
    """Loss per sample (N,): (lambda * D + rate_share * bpp) / (4 sqrt(lambda)), D = 255^2 * MSE or 1 - MS-SSIM.

    "visual": visual_weight * engines/torch/visual.py's distance + squared_share * lambda * 255^2 * MSE in the place of
    lambda * D.

    The bracket is Balle 2018's objective (Zhu et al. 2020, section 4.1, has both); the division keeps the highest
    rates, whose loss is largest, from drowning the lowest in one variable-rate model. lambda of MS-SSIM is of another
    size: 2 to 150, say. A rate_share below 1 early in training lets channels become useful before they are charged for;
    a channel that rounds to zero everywhere gets no chance to. x: (N, 3, H, W) in 0..1; for MS-SSIM at least 161 on a
    side.
    """
    pixels = x.shape[2] * x.shape[3]
    mse = (out["x_hat"] - x).square().mean((1, 2, 3))
    bpp = (out["y_bits"] + out["z_bits"]) / pixels
    distorted = weight * (1.0 - ms_ssim(x, out["x_hat"]) if metric == "ms-ssim" else 255.0**2 * mse)
    if metric == "visual":
        distorted = squared_share * distorted + visual_weight * visual.distance(x, out["x_hat"])
    loss = (distorted + rate_share * bpp) / (4.0 * weight.sqrt())
    psnr = -10.0 * torch.log10(mse.detach().clamp_min(1e-10))
    return {"loss": loss, "mse": mse, "bpp": bpp, "z_bpp": out["z_bits"] / pixels, "psnr": psnr}


def ms_ssim(x: Tensor, x_hat: Tensor) -> Tensor:
    """MS-SSIM per sample (N,) of images (N, 3, H, W) in 0..1 (Wang et al. 2003)."""
    import pytorch_msssim

    return pytorch_msssim.ms_ssim(x, x_hat.float(), data_range=1.0, size_average=False)
