"""What networks compute in, and that convolutions in float32 do so.

Imports torch and errors.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from ...errors import LicBadOption

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "PILLOW_LIC_PRECISION"
KINDS = ("float32", "bfloat16", "float16")


def precision(device: str = "cpu") -> str:
    """What networks compute in: 'float16' on CUDA; 'bfloat16' where the CPU multiplies it natively, else 'float32'.

    PILLOW_LIC_PRECISION overrides. It can change the pixels of a decoded image by rounding, never a decoded symbol.
    float16 has three bits more than bfloat16 and is as fast on a GPU: pixels within one level of float32's (`photo`,
    Kodak), bfloat16 within three.
    """
    wish = os.environ.get(VARIABLE, "auto")
    if wish not in ("auto", *KINDS):
        msg = f"{VARIABLE} must be auto, float32, bfloat16 or float16, found {wish!r}"
        raise LicBadOption(msg)
    if wish != "auto":
        return wish
    if device != "cpu":
        return "float16"
    return "bfloat16" if fast_bfloat16() else "float32"


def fast_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 faster than float32: with matrix units (AMX), and with AVX-512's instruction
    where that is not Intel's.

    Measured: on an Intel Emerald Rapids whose AMX a virtual machine hides, 1x1 convolutions take 1.4 times as long as
    in float32.
    """
    has: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # newer releases of PyTorch
    if has:
        return has.get("amx_bf16", False) or (
            has.get("avx512_bf16", False) and not has.get("cpu_name", "").startswith("Intel")
        )
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def keep_tf32_out(network: nn.Module) -> None:
    """Make float32 convolutions multiply in float32 on CUDA, where cuDNN by default rounds to TF32, 2^-11.

    aten::_convolution is a convolution with its settings as arguments: so what the process has set
    (torch.backends.cudnn.allow_tf32) is neither asked nor changed.
    """
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            layer.forward = partial(_convolved, layer)  # type: ignore[method-assign]


def _convolved(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> Tensor:
    shape = layer.stride, layer.padding, layer.dilation, layer.transposed, layer.output_padding, layer.groups
    benchmark, deterministic, cudnn, tf32 = False, False, True, False
    found = torch.ops.aten._convolution(x, layer.weight, layer.bias, *shape, benchmark, deterministic, cudnn, tf32)
    return cast("Tensor", found)
