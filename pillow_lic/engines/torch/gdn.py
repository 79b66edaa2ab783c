"""The networks of the `gdn` family in floats (FORMAT 9.4): the transforms of the source paper and of the two codecs it
stands on.

`factorized`: Balle et al. 2017. `hyperprior`: Balle et al. 2018. `gdn-mixture`: Zhu et al. 2020, with global context
attention in the encoder. Imports torch, the operators and constants. Shapes as in photo.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...constants import GROUPS
from ...models.manifest import DECODER
from . import operators  # noqa: F401  registers torch.ops.pillow_lic.gdn and igdn
from .photo import interpolate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from numpy.typing import NDArray

    from ...models.store import Model

FAMILIES = ("factorized", "hyperprior", "gdn-mixture")
TAIL = 3  # layers at the end of g_s: two transposed convolutions and the inverse GDN between them
TIMES = 4  # rows that the tail makes of one
SEEN = 2  # rows above and below that it sees
STRIP = 32  # rows of its input that it is given at once


@dataclass(frozen=True)
class GdnConfig:
    """Widths. The defaults are the paper's."""

    family: str = "gdn-mixture"
    filters: int = 192  # N, of the transforms
    latent: int = 192  # M, channels of y
    hyper: int = 192  # Cz, channels of z
    hidden: int = 192  # width of the two hidden layers from z to the parameters
    components: int = 3  # K; 0 for one zero-mean normal
    attention: bool = True  # global context attention in the encoder
    points: int = 8  # trained rates between which quality interpolates


class Gdn(nn.Module):
    """Generalised divisive normalisation (Balle et al. 2016, eq. 5) or its inverse, over (N, C, H, W).

    beta >= 1e-6 and gamma >= 0 by squares of what is learned.
    """

    def __init__(self, channels: int, inverse: bool):
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter(torch.ones(channels))
        self.gamma = nn.Parameter((1e-3 * torch.eye(channels) + 1e-6).sqrt())

    def forward(self, x: Tensor) -> Tensor:
        beta, gamma = self.beta.square() + 1e-6, self.gamma.square()
        if self.inverse:
            return torch.ops.pillow_lic.igdn(x, beta, gamma)
        return torch.ops.pillow_lic.gdn(x, beta, gamma)


class GlobalContext(nn.Module):
    """Global context attention (Zhu et al. 2020, eq. 2 and 3): x (N, C, H, W) plus one vector for the whole picture.

    A softmax over all positions pools x; two 1x1 convolutions with layer norm and ReLU between transform the pooled
    vector.
    """

    def __init__(self, channels: int, ratio: int = 4):
        super().__init__()
        inner = max(1, channels // ratio)
        self.key = nn.Conv2d(channels, 1, 1)
        self.down = nn.Conv2d(channels, inner, 1)
        self.norm = nn.LayerNorm([inner, 1, 1])
        self.up = nn.Conv2d(inner, channels, 1)
        for parameter in self.up.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        share = self.key(x).flatten(2).softmax(2)  # (N, 1, H * W)
        pooled = (x.flatten(2) @ share.transpose(1, 2)).unsqueeze(3)  # (N, C, 1, 1)
        inner = F.relu(self.norm(self.down(pooled).float()))
        return x + self.up(inner.to(x.dtype))


def type_of(layers: nn.Sequential) -> torch.dtype:
    """What the first of them multiplies in."""
    return next(layers.parameters()).dtype


def down(inputs: int, outputs: int, stride: int = 2) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 5, stride, 2)


def up(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 5, 2, 2, output_padding=1)


class Analysis(nn.Module):
    """g_a: x in 0..1 to y. Four 5x5 convolutions of stride 2, GDN between them; attention before the last."""

    def __init__(self, c: GdnConfig):
        super().__init__()
        n = c.filters
        layers: list[nn.Module] = []
        for inputs in (3, n, n):
            layers += [down(inputs, n), Gdn(n, False)]
        if c.attention:
            layers.append(GlobalContext(n))
        self.layers = nn.Sequential(*layers, down(n, c.latent))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.layers(((x - 0.5) * 4.0).to(type_of(self.layers))).float()


class HyperAnalysis(nn.Module):
    """h_a: y, scaled by the gain of the quality, to z before rounding. |y| where the residual has no mean (Balle
    2018).
    """

    def __init__(self, c: GdnConfig):
        super().__init__()
        self.absolute = c.components == 0
        self.gain = nn.Parameter(torch.zeros(c.points, c.latent))
        self.layers = nn.Sequential(
            nn.Conv2d(c.latent, c.filters, 3, padding=1),
            nn.LeakyReLU(0.1),
            down(c.filters, c.filters),
            nn.LeakyReLU(0.1),
            down(c.filters, c.hyper),
        )

    def forward(self, y: Tensor, t: Tensor) -> Tensor:
        y = y * interpolate(self.gain, t).exp()[:, :, None, None]
        y = y.to(type_of(self.layers))
        return self.layers(y.abs() if self.absolute else y).float()


class NoHyperAnalysis(nn.Module):
    """For `factorized`: a z of one channel that is 0 everywhere and costs next to nothing."""

    def forward(self, y: Tensor, t: Tensor) -> Tensor:
        return torch.zeros([y.shape[0], 1, (y.shape[2] + 3) // 4, (y.shape[3] + 3) // 4], device=y.device)


class Prior(nn.Module):
    """Mean and step of y from z_hat; the step is that of the quality alone. Features are of no use here: one plane of
    zeros.
    """

    def __init__(self, c: GdnConfig):
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(c.points, c.latent))
        self.mean = nn.Sequential(
            up(c.hyper, c.filters), nn.LeakyReLU(0.1), up(c.filters, c.filters), nn.LeakyReLU(0.1),
            nn.Conv2d(c.filters, c.latent, 3, padding=1),
        )  # fmt: skip

    def forward(self, z_hat: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean = self.mean(z_hat).float()
        step = (-interpolate(self.gain, t)).exp()[:, :, None, None].expand_as(mean)
        return torch.zeros_like(mean[:, :1]), mean, step


class ZeroMean(nn.Module):
    """The same without a mean."""

    def __init__(self, c: GdnConfig):
        super().__init__()
        self.latent = c.latent
        self.gain = nn.Parameter(torch.zeros(c.points, c.latent))

    def forward(self, z_hat: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shape = [z_hat.shape[0], self.latent, 4 * z_hat.shape[2], 4 * z_hat.shape[3]]
        mean = torch.zeros(shape, device=z_hat.device)
        step = (-interpolate(self.gain, t)).exp()[:, :, None, None].expand_as(mean)
        return mean[:, :1], mean, step


class NoRefine(nn.Module):
    """These codecs have no context model: nothing changes at the positions of any group (FORMAT 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.groups = list(GROUPS)

    def forward(self, features: Tensor, known: Tensor, group: int) -> tuple[Tensor, Tensor]:
        row, column = self.groups[group]
        nothing = torch.zeros_like(known[:, :, row::2, column::2])
        return nothing, nothing


class Synthesis(nn.Module):
    """g_s: y_hat to pixels. Four transposed 5x5 convolutions of stride 2, inverse GDN between them."""

    def __init__(self, c: GdnConfig):
        super().__init__()
        n = c.filters
        layers: list[nn.Module] = []
        for inputs in (c.latent, n, n):
            layers += [up(inputs, n), Gdn(n, True)]
        self.layers = nn.Sequential(*layers, up(n, 3))

    def forward(self, y_hat: Tensor, t: Tensor) -> Tensor:
        y_hat = y_hat.to(type_of(self.layers))
        if torch.is_grad_enabled() or y_hat.device.type != "cpu":
            x = self.layers(y_hat)
        else:
            x = in_strips(self.layers[-TAIL:], self.layers[:-TAIL](y_hat))
        return x.float() * 0.25 + 0.5


def in_strips(tail: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """What the last layers of g_s make of x (N, C, h, w), a few rows at a time, as of the whole but for rounding: their
    values are four times as many as those of x, and a piece's would take half a gigabyte.
    """
    strips = []
    for top in range(0, x.shape[2], STRIP):
        first, end = max(top - SEEN, 0), min(top + STRIP, x.shape[2])
        rows = slice(TIMES * (top - first), TIMES * (end - first))
        strips.append(tail(x[:, :, first : end + SEEN])[:, :, rows])
    return torch.cat(strips, 2)


# ---- networks.Family ------------------------------------------------------------------------------------------------


def config(family: str, widths: Mapping[str, int | bool]) -> GdnConfig:
    return GdnConfig(family=family, **widths)  # type: ignore[arg-type]


def parts(c: GdnConfig, file: str) -> dict[str, nn.Module]:
    if file == DECODER:
        return {"prior": Prior(c) if c.components else ZeroMean(c), "refine": NoRefine(), "synthesis": Synthesis(c)}
    plain = c.family == "factorized"
    return {"analysis": Analysis(c), "hyper_analysis": NoHyperAnalysis() if plain else HyperAnalysis(c)}


def floats(model: Model, file: str, shapes: Mapping[str, tuple[int, ...]]) -> Mapping[str, NDArray[Any]]:
    arrays = model.arrays if file == DECODER else model.encoder_arrays
    return {name: arrays[name] for name in shapes}
