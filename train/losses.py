"""Rate-distortion loss of a variable-rate model. Imports torch; pytorch_msssim where it is asked for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pillow_lic.engines.torch import visual
from pillow_lic.quality import geometric

METRICS = ("mse", "ms-ssim", "visual")
STRUCTURAL = ("ms-ssim", "visual")  # those that hold MS-SSIM
MS_SSIM_SIDE = 161  # the smallest side whose fifth scale still holds a window of 11
# What is lost of "visual", by weights at quality 1 and 100, geometric between, so that its rates are about those of
# lambda: the visual distance; 1 - MS-SSIM; and, of the squared error's own weight, what stays beside them. So colours,
# flat areas and texture stay honest, and fine quality is fine by any measure.
VISUAL = (0.0031, 1.22)
STRUCTURE = (0.33, 165.0)
SQUARED = (0.22, 0.40)
# Side of blocks -> how many times the squared errors of their mean colours count among those.
BLOCKS = {16: 16.0, 64: 64.0}
# In the search of encoders, which bends to the distance further than training does: its weight, and of squared errors'.
SEARCHED_VISUAL = (0.004, 1.6)
SEARCHED = (0.3, 0.3)


def rate_distortion(
    x: Tensor,
    out: dict[str, Tensor],
    weight: Tensor,
    rate_share: Tensor | float = 1.0,
    metric: str = "mse",
    t: Tensor | None = None,
) -> dict[str, Tensor]:
    """Loss per sample (N,): (lambda * D + rate_share * bpp) / (4 sqrt(lambda)), D = 255^2 * MSE or 1 - MS-SSIM.

    "visual": in the place of lambda * D the sum of engines/torch/visual.py's distance, 1 - MS-SSIM and 255^2 * (MSE +
    mean_colours) with the weights above at positions t (N,).

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
        squares = mse + mean_colours(x, out["x_hat"])
        distorted = (
            geometric(SQUARED, t) * weight * 255.0**2 * squares
            + geometric(VISUAL, t) * visual.distance(x, out["x_hat"])
            + geometric(STRUCTURE, t) * (1.0 - ms_ssim(x, out["x_hat"]))
        )
    loss = (distorted + rate_share * bpp) / (4.0 * weight.sqrt())
    psnr = -10.0 * torch.log10(mse.detach().clamp_min(1e-10))
    return {"loss": loss, "mse": mse, "bpp": bpp, "z_bpp": out["z_bits"] / pixels, "psnr": psnr}


def mean_colours(x: Tensor, x_hat: Tensor) -> Tensor:
    """(N,) squared errors of the mean colours of blocks, weighed by BLOCKS, of images (N, 3, H, W)."""
    apart = x_hat.float() - x
    return sum(share * F.avg_pool2d(apart, side).square().mean((1, 2, 3)) for side, share in BLOCKS.items())


def ms_ssim(x: Tensor, x_hat: Tensor) -> Tensor:
    """MS-SSIM per sample (N,) of images (N, 3, H, W) in 0..1 (Wang et al. 2003)."""
    import pytorch_msssim

    return pytorch_msssim.ms_ssim(x, x_hat.float(), data_range=1.0, size_average=False)
