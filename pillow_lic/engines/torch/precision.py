"""What networks compute in, and that convolutions in float32 do so.

Imports torch and errors.
"""

from __future__ import annotations

import os
from typing import Any

import torch

from ...errors import LicBadOption

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
    has: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # newer releases of PyTorch
    if has:
        return has.get("amx_bf16", False) or (
            has.get("avx512_bf16", False) and not has.get("cpu_name", "").startswith("Intel")
        )
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def keep_tf32_out(module: Any) -> None:
    """Make float32 convolutions multiply in float32 on CUDA, where cuDNN by default rounds to TF32, 2^-11.

    aten::_convolution is aten::conv2d with its settings as arguments, as traced networks have it: so what the process
    has set (torch.backends.cudnn.allow_tf32) is neither asked nor changed.
    """
    for part in module.modules():
        for method in part._c._method_names():
            graph = part._c._get_method(method).graph  # shared by all parts of a type; what is done is not found again
            for name, transposed in (("aten::conv2d", False), ("aten::conv_transpose2d", True)):
                for node in graph.findAllNodes(name, True):
                    _state_settings(graph, node, transposed)


def _state_settings(graph: Any, node: Any, transposed: bool) -> None:
    x, weight, bias, stride, padding, *rest = node.inputs()
    if str(padding.type()) == "str":  # "same": no network of ours
        return
    with graph.insert_point_guard(node):
        constant = graph.insertConstant
        more, groups, dilation = rest if transposed else (constant([0, 0]), rest[1], rest[0])
        settings = [
            constant(value) for value in (False, False, True, False)
        ]  # benchmark, deterministic, cudnn_enabled, allow_tf32
        inputs = [x, weight, bias, stride, padding, dilation, constant(transposed), more, groups, *settings]
        stated = graph.create("aten::_convolution", inputs, 1)
        graph.insertNode(stated)
    stated.output().setType(node.output().type())
    node.output().replaceAllUsesWith(stated.output())
    node.destroy()
