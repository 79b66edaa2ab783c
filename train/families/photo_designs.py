"""Designs of the `photo` family that bench/studies.py compares: other parts in the place of the product's.

A configuration names one (`network.design`), so a run's checkpoint says of what it is. Blocks are of about equal
multiply-adds. None but "shipped" can be exported. Imports torch and the product's networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from pillow_lic.engines.torch import photo
from pillow_lic.engines.torch.gdn import Gdn, GlobalContext
from pillow_lic.engines.torch.photo import SHIPPED, Block, Parts, conv1x1, toned

if TYPE_CHECKING:
    from collections.abc import Callable


class WideBlock(Block):
    """Depthwise convolutions of 5x5."""

    def __init__(self, width, points):
        super().__init__(width, points, kernel=5)


class Bottlenecks(nn.Module):
    """Two residual bottlenecks with a full 3x3 convolution of half the width: 6.5 * C * C multiply-adds, of Block 6 * C
    * C.
    """

    def __init__(self, width, points):
        super().__init__()
        half = width // 2
        self.reduce = nn.ModuleList([conv1x1(width, half, 1.4) for _ in range(2)])
        self.tones = nn.ParameterList([nn.Parameter(torch.zeros(points, 2, half)) for _ in range(2)])
        self.full = nn.ModuleList([nn.Conv2d(half, half, 3, padding=1) for _ in range(2)])
        self.widen = nn.ModuleList([conv1x1(half, width, 0.3) for _ in range(2)])

    def forward(self, x, t):
        for reduce, tone, full, widen in zip(self.reduce, self.tones, self.full, self.widen):
            x = x + widen(F.leaky_relu(full(F.leaky_relu(toned(reduce(x), tone, t), 0.1)), 0.1))
        return x


class NextBlock(nn.Module):
    """Depthwise first, then one expansion to three times the width, as ConvNeXt (Liu et al. 2022): 6 * C * C."""

    def __init__(self, width, points):
        super().__init__()
        self.spatial = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.expand = conv1x1(width, 3 * width, 1.4)
        self.tone = nn.Parameter(torch.zeros(points, 2, 3 * width))
        self.contract = conv1x1(3 * width, width, 0.3)

    def forward(self, x, t):
        return x + self.contract(F.leaky_relu(toned(self.expand(self.spatial(x)), self.tone, t), 0.1))


class GdnBlock(nn.Module):
    """GDN in the place of the first activation, paid for by an expansion to 1.5 times the width: 6 * C * C."""

    def __init__(self, width, points):
        super().__init__()
        wide = 3 * width // 2
        self.mix = conv1x1(width, width, 1.4)
        self.mix_tone = nn.Parameter(torch.zeros(points, 2, width))
        self.norm = Gdn(width, False)
        self.spatial = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.join = conv1x1(width, width, 0.3)
        self.expand = conv1x1(width, wide, 1.4)
        self.expand_tone = nn.Parameter(torch.zeros(points, 2, wide))
        self.contract = conv1x1(wide, width, 0.3)

    def forward(self, x, t):
        x = x + self.join(self.spatial(self.norm(toned(self.mix(x), self.mix_tone, t).contiguous())))
        return x + self.contract(F.leaky_relu(toned(self.expand(x), self.expand_tone, t), 0.1))


class InverseSynthesis(photo.Synthesis):
    """Synthesis with the inverse of each GDN."""

    def __init__(self, c, parts):
        super().__init__(c, parts)
        for part in self.modules():
            if isinstance(part, Gdn):
                part.inverse = True


def haar(levels=3):
    """(4^levels, 4^levels) orthonormal: the pyramid of Haar wavelets over the pixels of a square block, as
    pixel_unshuffle lists them.
    """
    side = 2**levels
    line = torch.eye(side)
    for level in range(levels):  # the averages, in front, are split again
        size = side >> level
        step = torch.zeros(size, size)
        for k in range(size // 2):
            step[k, 2 * k : 2 * k + 2] = 0.5**0.5
            step[size // 2 + k, 2 * k : 2 * k + 2] = torch.tensor([0.5**0.5, -(0.5**0.5)])
        line = torch.block_diag(step, torch.eye(side - size)) @ line
    return torch.kron(line, line)


class HaarPatch(nn.Conv2d):
    """The first convolution of the analysis behind a Haar transform of its patches."""

    def __init__(self, outputs):
        super().__init__(192, outputs, 1)
        plain = conv1x1(192, outputs)
        self.weight, self.bias = plain.weight, plain.bias
        self.register_buffer("basis", torch.block_diag(*[haar()] * 3)[:, :, None, None], persistent=False)

    def forward(self, x):
        return super().forward(F.conv2d(x, self.basis.to(x.dtype)))


class HaarAnalysis(photo.Analysis):
    def __init__(self, c, parts):
        super().__init__(c, parts)
        self.patch = HaarPatch(c.encoder)


class Gate(nn.Module):
    """Squeeze and excitation (Hu et al. 2018)."""

    def __init__(self, width):
        super().__init__()
        self.squeeze = conv1x1(width, width // 4)
        self.excite = conv1x1(width // 4, width, 0.1)

    def forward(self, x):
        return x * 2.0 * torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))


class Followed(nn.Module):
    """A block of the analysis and what looks at the whole picture after it."""

    def __init__(self, block, after):
        super().__init__()
        self.block, self.after = block, after

    def forward(self, x, t):
        return self.after(self.block(x, t))


class GatedAnalysis(photo.Analysis):
    """A gate after every block at 1/16."""

    def __init__(self, c, parts):
        super().__init__(c, parts)
        for k, block in enumerate(self.low):
            self.low[k] = Followed(block, Gate(c.encoder_low))


class AttentiveAnalysis(photo.Analysis):
    """Global context attention (Zhu et al. 2020) after the last block."""

    def __init__(self, c, parts):
        super().__init__(c, parts)
        self.low[-1] = Followed(self.low[-1], GlobalContext(c.encoder_low))


class NoRefinement(photo.RefineGroup):
    """Means from z alone."""

    def forward(self, features, known):
        nothing = features.new_zeros(1).expand(
            len(known), known.shape[1], *features[:, 0, self.row :: 2, self.column :: 2].shape[1:]
        )
        return nothing, nothing


class OneStepRefinement(photo.RefineGroup):
    """A checkerboard: the first two groups from z alone, the others from those two."""

    def __init__(self, c, group):
        super().__init__(c, group)
        self.first = group == 1

    def forward(self, features, known):
        known = known.clone()
        known[:, :, 0::2, 1::2] = 0.0  # the third group
        mean, step = super().forward(features, known)
        return (mean * 0.0, step * 0.0) if self.first else (mean, step)


class FixedStepPrior(photo.Prior):
    """No step of its own for each element: the gain of the rate alone."""

    def forward(self, z_hat, t):
        features, mean, _ = super().forward(z_hat, t)
        return features, mean, (-photo.interpolate(self.gain, t)).exp()[:, :, None, None].expand_as(mean)


class FixedStepRefine(photo.RefineGroup):
    def forward(self, features, known):
        mean, step = super().forward(features, known)
        return mean, torch.zeros_like(step)


class ScaledConv(nn.Conv2d):
    """A 1x1 convolution with a learned scale for each output, which export would fold into the weights."""

    def __init__(self, inputs, outputs, gain=1.0):
        super().__init__(inputs, outputs, 1)
        plain = conv1x1(inputs, outputs, gain)
        self.weight, self.bias = plain.weight, plain.bias
        self.scale = nn.Parameter(torch.ones(outputs, 1, 1, 1))

    def forward(self, x):
        return F.conv2d(x, self.weight * self.scale, self.bias)


class GeluBlock(Block):
    def forward(self, x, t):
        x = x + self.join(self.spatial(F.gelu(toned(self.mix(x), self.mix_tone, t))))
        return x + self.contract(F.gelu(toned(self.expand(x), self.expand_tone, t)))


class UntonedBlock(Block):
    """Blind to the rate."""

    def forward(self, x, t):
        x = x + self.join(self.spatial(F.leaky_relu(self.mix(x), 0.1)))
        return x + self.contract(F.leaky_relu(self.expand(x), 0.1))


SCALED = Parts(partial(Block, conv=ScaledConv), ScaledConv, partial(photo.RefineGroup, conv=ScaledConv))


@dataclass(frozen=True)
class Design:
    """What the networks are made of, and the stages, each of a configuration and of parts."""

    parts: Parts = SHIPPED
    analysis: Callable[..., nn.Module] = photo.Analysis
    hyper_analysis: Callable[..., nn.Module] = photo.HyperAnalysis
    prior: Callable[..., nn.Module] = photo.Prior
    synthesis: Callable[..., nn.Module] = photo.Synthesis


def blocks(block, synthesis=photo.Synthesis):
    """All blocks of a kind."""
    return Design(Parts(block), synthesis=synthesis)


def synthesis_of(block, synthesis=photo.Synthesis):
    """The blocks of the synthesis of a kind, those of the other stages staying as they are."""
    return Design(synthesis=lambda c, parts: synthesis(c, parts._replace(block=block)))


# By the name that a configuration gives them: network.design.
DESIGNS = {
    "shipped": Design(),
    "wide-blocks": blocks(WideBlock),
    "bottlenecks": blocks(Bottlenecks),
    "next-blocks": blocks(NextBlock),
    "gdn-blocks": blocks(GdnBlock, InverseSynthesis),
    "gelu-blocks": blocks(GeluBlock),
    "untoned-blocks": blocks(UntonedBlock),
    "haar": Design(analysis=HaarAnalysis),
    "gated": Design(analysis=GatedAnalysis),
    "attentive": Design(analysis=AttentiveAnalysis),
    "one-step": Design(Parts(group=OneStepRefinement)),
    "no-refinement": Design(Parts(group=NoRefinement)),
    "fixed-step": Design(Parts(group=FixedStepRefine), prior=FixedStepPrior),
    "scaled": Design(SCALED),
    "wide-synthesis": synthesis_of(WideBlock),
    "bottleneck-synthesis": synthesis_of(Bottlenecks),
    "next-synthesis": synthesis_of(NextBlock),
    "gdn-synthesis": synthesis_of(GdnBlock, InverseSynthesis),
    "gelu-synthesis": synthesis_of(GeluBlock),
}
