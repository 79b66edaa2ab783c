"""Devices as compilers and planners see them, and shapes of activations, for tests of gdn.cu without a GPU."""

from __future__ import annotations

from pillow_lic.engines.torch.cuda import compile as compiler
from pillow_lic.engines.torch.cuda import gdn

# Turing, A100, RTX 30, H200: compute capability, shared memory of a block, multiprocessors.
DEVICES = {
    75: compiler.Limits(75, 65536, 40),
    80: compiler.Limits(80, 166912, 108),
    86: compiler.Limits(86, 101376, 84),
    90: compiler.Limits(90, 232448, 132),
}


def last(channels: int, kind: int = gdn.BFLOAT16) -> gdn.Activation:
    return gdn.Activation(1, channels, 4096, kind, channels_first=False)


def first(channels: int, kind: int = gdn.BFLOAT16, pixels: int = 4096) -> gdn.Activation:
    return gdn.Activation(1, channels, pixels, kind, channels_first=True)
