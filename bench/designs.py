"""Designs of the `photo` family to compare (studies.py --study designs and synthesis): each a change of widths, or
parts put in the place of those of train/networks.py.

Blocks are compared at about equal multiply-adds; what changes the cost by its nature shows it in the table.
"""

import contextlib
import unittest.mock

import torch
from torch import nn
from torch.nn import functional as F

from train import networks
from train.gdn import Gdn, GlobalContext
from train.networks import Block, conv1x1, toned
from train.start import start_from_model

SIZES = {
    "latent": 96,
    "hyper": 48,
    "encoder": 96,
    "encoder_low": 128,
    "encoder_blocks": 2,
    "encoder_low_blocks": 3,
    "body": 96,
    "spread": 32,
    "body_blocks": 2,
    "detail": 64,
    "detail_blocks": 3,
    "render": 16,
    "points": 4,
}


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


class InverseSynthesis(networks.Synthesis):
    """Synthesis with the inverse of each GDN."""

    def __init__(self, c):
        super().__init__(c)
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


class HaarAnalysis(networks.Analysis):
    def __init__(self, c):
        super().__init__(c)
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


class GatedAnalysis(networks.Analysis):
    """A gate after every block at 1/16."""

    def __init__(self, c):
        super().__init__(c)
        for k, block in enumerate(self.low):
            self.low[k] = Followed(block, Gate(c.encoder_low))


class AttentiveAnalysis(networks.Analysis):
    """Global context attention (Zhu et al. 2020) after the last block."""

    def __init__(self, c):
        super().__init__(c)
        self.low[-1] = Followed(self.low[-1], GlobalContext(c.encoder_low))


class NoRefinement(networks.RefineGroup):
    """Means from z alone."""

    def forward(self, features, known):
        nothing = features.new_zeros(1).expand(
            len(known), known.shape[1], *features[:, 0, self.row :: 2, self.column :: 2].shape[1:]
        )
        return nothing, nothing


class OneStepRefinement(networks.RefineGroup):
    """A checkerboard: the first two groups from z alone, the others from those two."""

    def __init__(self, c, group):
        super().__init__(c, group)
        self.first = group == 1

    def forward(self, features, known):
        known = known.clone()
        known[:, :, 0::2, 1::2] = 0.0  # the third group
        mean, step = super().forward(features, known)
        return (mean * 0.0, step * 0.0) if self.first else (mean, step)


class FixedStepPrior(networks.Prior):
    """No step of its own for each element: the gain of the rate alone."""

    def forward(self, z_hat, t):
        features, mean, _ = super().forward(z_hat, t)
        return features, mean, (-networks.interpolate(self.gain, t)).exp()[:, :, None, None].expand_as(mean)


class FixedStepRefine(networks.RefineGroup):
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


SHIPPED = networks.Synthesis
STAGES = {"Analysis", "HyperAnalysis", "Prior", "Refine", "Synthesis"}


@contextlib.contextmanager
def in_place(parts):
    """Parts of a design where they are used: stages by train/networks.py, what stages are made of by the product."""
    with contextlib.ExitStack() as stack:
        for name, part in parts.items():
            module = "train.networks" if name in STAGES else "pillow_lic.engines.torch.photo"
            stack.enter_context(unittest.mock.patch(f"{module}.{name}", part))
        yield


def synthesis_of(block, base=SHIPPED):
    """A synthesis whose blocks are of another kind, those of the analysis staying as they are."""

    class Changed(base):
        def __init__(self, c):
            with unittest.mock.patch("pillow_lic.engines.torch.photo.Block", block):
                super().__init__(c)

    return Changed


@torch.no_grad()
def start_fresh_synthesis(model, folder, prior=True):
    """Everything from an exported model but the network of the synthesis, whose linear path stays."""
    with unittest.mock.patch("train.networks.Synthesis", SHIPPED):
        trained = networks.PhotoModel(networks.PhotoConfig())
    start_from_model(trained, folder, prior)
    kept = {
        name: value
        for name, value in trained.state_dict().items()
        if not name.startswith("synthesis.") or name.startswith("synthesis.direct.")
    }
    model.load_state_dict(kept, strict=False)
    model.synthesis.out.weight.mul_(0.1)


# name -> changed widths, and what stands in the place of names (in_place)
DESIGNS = {
    "as shipped, narrower": ({}, {}),
    "blocks: depthwise 5x5": ({}, {"Block": WideBlock}),
    "blocks: full 3x3 bottlenecks": ({}, {"Block": Bottlenecks}),
    "blocks: depthwise first, one expansion": ({}, {"Block": NextBlock}),
    "blocks: GDN and its inverse": ({}, {"Block": GdnBlock, "Synthesis": InverseSynthesis}),
    "blocks: GELU": ({}, {"F.leaky_relu": lambda x, slope: F.gelu(x)}),
    "encoder: Haar transform of the patches": ({}, {"Analysis": HaarAnalysis}),
    "encoder: squeeze and excitation": ({}, {"Analysis": GatedAnalysis}),
    "encoder: global context attention": ({}, {"Analysis": AttentiveAnalysis}),
    "synthesis: all blocks at 1/16": ({"body_blocks": 7, "detail_blocks": 0}, {}),
    "synthesis: all blocks at 1/8": ({"body_blocks": 0, "detail_blocks": 4}, {}),
    "one step of refinement": ({}, {"RefineGroup": OneStepRefinement}),
    "no refinement of the mean": ({}, {"RefineGroup": NoRefinement}),
    "no predicted step": ({}, {"Prior": FixedStepPrior, "RefineGroup": FixedStepRefine}),
    "no rate inside the blocks": ({}, {"toned": lambda x, table, t: x}),
    "learned scales of convolutions": ({}, {"conv1x1": ScaledConv}),
}

# Decoders of about equal cost for one trained encoder.
SYNTHESES = {
    "as shipped": ({}, {}),
    "blocks: depthwise 5x5": ({}, {"Synthesis": synthesis_of(WideBlock)}),
    "blocks: full 3x3 bottlenecks": ({}, {"Synthesis": synthesis_of(Bottlenecks)}),
    "blocks: depthwise first, one expansion": ({}, {"Synthesis": synthesis_of(NextBlock)}),
    "blocks: inverse GDN": ({}, {"Synthesis": synthesis_of(GdnBlock, InverseSynthesis)}),
    "blocks: GELU": ({}, {"Synthesis": synthesis_of(GeluBlock)}),
    "all blocks at 1/16": ({"body_blocks": 9, "detail_blocks": 0}, {}),
    "all blocks at 1/8": ({"body_blocks": 0, "detail_blocks": 5}, {}),
}
