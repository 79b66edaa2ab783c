"""Pixels and bytes as tensors, for pillow_lic.io. Imports torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def channels_first(pixels: Any) -> Tensor:
    """(C, H, W), contiguous, of pixels (H, W) or (H, W, C) of any array or tensor, on its device."""
    tensor = torch.as_tensor(pixels)
    return tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1).contiguous()


def of_bytes(data: bytes) -> Tensor:
    """uint8 with one dimension."""
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
