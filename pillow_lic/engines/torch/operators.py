"""The operators that networks call: `torch.ops.pillow_lic.gdn` and `igdn`, on the CPU and on CUDA, with gradients.

Imports torch, and cuda/ when a tensor on CUDA first arrives. Importing this file registers the operators.

Numbers in brackets are the equations of kernels/README.md; (1) and (2) are the transform of Ballé, Laparra, Simoncelli
2016.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from . import place as places

if TYPE_CHECKING:
    from .cuda.gdn import Activation

KINDS = (torch.float32, torch.float16, torch.bfloat16)  # in the order of FLOAT32, FLOAT16, BFLOAT16 of cuda/gdn.py
STRIP = 1 << 20  # values that a CPU works on at once: what it needs besides x and y is of these


def gdn(x: Tensor, beta: Tensor, gamma: Tensor) -> Tensor:
    """Generalised divisive normalisation over channels (1): y_i = x_i / sqrt(beta_i + sum_j gamma_ij x_j^2).

    x (N, C, H, W), any floating type, channels last or first in memory. beta (C,) above 0, gamma (C, C) from 0 up, row
    i for output i; float32 at best, whatever x is. Returns a tensor of x's shape, type and memory format. bfloat16 is
    computed in bfloat16 with sums in float32, within 3.5 * 2^-8 of each result; sixteen-bit types on CUDA within 2^-8
    and their own rounding.
    """
    found: Tensor = torch.ops.pillow_lic.gdn(x, beta, gamma)
    return found


def igdn(x: Tensor, beta: Tensor, gamma: Tensor) -> Tensor:
    """The inverse that decoders use (2): y_i = x_i sqrt(beta_i + sum_j gamma_ij x_j^2). Arguments as of `gdn`.

    It undoes a GDN approximately and with parameters of its own, as in the source.
    """
    found: Tensor = torch.ops.pillow_lic.igdn(x, beta, gamma)
    return found


# --- what every device does first
# ---------------------------------------------------------------------------------------


def _check(x: Tensor, beta: Tensor, gamma: Tensor) -> None:
    c = x.shape[1] if x.dim() == 4 else -1
    if x.dim() != 4 or beta.shape != (c,) or gamma.shape != (c, c):
        found = ", ".join(str(tuple(one.shape)) for one in (x, beta, gamma))
        msg = f"GDN wants x (N, C, H, W), beta (C,), gamma (C, C); found {found}"
        raise ValueError(msg)
    if not (x.is_floating_point() and beta.is_floating_point() and gamma.is_floating_point()):
        msg = f"GDN wants floating-point tensors; found {x.dtype}, {beta.dtype}, {gamma.dtype}"
        raise ValueError(msg)


def _format(x: Tensor) -> torch.memory_format:
    """Channels last if x is so, else channels first: also for strides that are neither."""
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


# --- CPU: the equations, as torch has them
# ---------------------------------------------------------------------------------


def _kind(x: Tensor) -> torch.dtype:
    """What is computed in: as x, but for float16, in which a square may overflow."""
    return torch.float32 if x.dtype == torch.float16 else x.dtype


def _sums(square: Tensor, beta: Tensor, gamma: Tensor) -> Tensor:
    """v (N, C, H, W): beta_i + sum_j gamma_ij x_j^2."""
    return F.conv2d(square, gamma.to(square.dtype)[:, :, None, None], beta.to(square.dtype))


def _plain(x: Tensor, beta: Tensor, gamma: Tensor, inverse: bool) -> Tensor:
    _check(x, beta, gamma)
    y = torch.empty_like(x, memory_format=_format(x))
    rows = max(1, STRIP // max(1, x[:, :, :1].numel()))
    for source, target in zip(x.split(rows, 2), y.split(rows, 2), strict=True):
        a = source.to(_kind(x))
        v = _sums(a.square(), beta, gamma)
        target.copy_((v.sqrt_() if inverse else v.rsqrt_()).mul_(a))
    return y


def _plain_backward(
    grad: Tensor, x: Tensor, beta: Tensor, gamma: Tensor, inverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    _check(x, beta, gamma)
    kind = _kind(x)
    g, a = grad.to(kind), x.to(kind)
    square = a.square()
    v = _sums(square, beta, gamma)
    r = v.rsqrt()
    d = g * (v.mul_(r) if inverse else r)  # (5)
    t = (g * a).mul_(r)  # (3), (4)
    t = t.mul_(0.5) if inverse else t.mul_(r.square_()).mul_(-0.5)
    across = gamma.to(kind).t().contiguous()[:, :, None, None]
    dx = F.conv2d(t, across).mul_(a).mul_(2.0).add_(d)  # (6)
    rows = lambda u: u.transpose(0, 1).flatten(1)  # noqa: E731  (C, N H W)
    dgamma = rows(t) @ rows(square).t()  # (7)
    dx = dx.to(x.dtype).contiguous(memory_format=_format(x))
    return dx, t.sum((0, 2, 3), dtype=torch.promote_types(kind, torch.float32)).to(beta.dtype), dgamma.to(gamma.dtype)


# --- CUDA: the kernels
# ---------------------------------------------------------------------------------------------------


def _aligned(x: Tensor) -> Tensor:
    """x at an address that takes vectors of 16 bytes: nearly always itself."""
    return x if x.data_ptr() % 16 == 0 else x.clone()


def _dense(x: Tensor, like: Tensor) -> Tensor:
    """x without gaps, in the memory format of another."""
    return _aligned(x.contiguous(memory_format=_format(like)))


def _parameter(p: Tensor, device: torch.device) -> Tensor:
    return _aligned(p.to(device, torch.float32).contiguous())


def _activation(x: Tensor) -> Activation:
    from .cuda import gdn as kernels

    n, c, h, w = x.shape
    if x.is_contiguous(memory_format=torch.channels_last):
        return kernels.Activation(1, c, n * h * w, KINDS.index(x.dtype), channels_first=False)
    return kernels.Activation(n, c, h * w, KINDS.index(x.dtype), channels_first=True)


def _has_kernel(x: Tensor) -> bool:
    from .cuda import gdn as kernels

    return x.dtype in KINDS and x.shape[1] <= kernels.CHANNELS_MAX and x.numel() > 0


def _cuda(x: Tensor, beta: Tensor, gamma: Tensor, inverse: bool) -> Tensor:
    from .cuda import gdn as kernels

    _check(x, beta, gamma)
    if not _has_kernel(x):
        return _plain(x, beta, gamma, inverse)
    x, beta, gamma = _dense(x, x), _parameter(beta, x.device), _parameter(gamma, x.device)
    y = torch.empty_like(x)
    addresses = x.data_ptr(), 0, y.data_ptr(), 0, beta.data_ptr(), gamma.data_ptr()
    kernels.gdn(_activation(x), kernels.FORWARD, inverse, addresses, places.where(x))
    return y


def _cuda_backward(
    grad: Tensor, x: Tensor, beta: Tensor, gamma: Tensor, inverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    from .cuda import gdn as kernels

    _check(x, beta, gamma)
    if not _has_kernel(x):
        return _plain_backward(grad, x, beta, gamma, inverse)
    types = beta.dtype, gamma.dtype
    x, beta, gamma = _dense(x, x), _parameter(beta, x.device), _parameter(gamma, x.device)
    g = _dense(grad.to(x.dtype), x)
    t = torch.empty_like(x, dtype=torch.float32 if x.dtype == torch.float32 else torch.bfloat16)
    dx = torch.empty_like(x)
    a, where = _activation(x), places.where(x)
    parameters = beta.data_ptr(), gamma.data_ptr()
    kernels.gdn(
        a, kernels.BACKWARD, inverse, (x.data_ptr(), g.data_ptr(), t.data_ptr(), dx.data_ptr(), *parameters), where
    )
    kernels.gdn(a, kernels.BACKWARD_LAST, inverse, (t.data_ptr(), x.data_ptr(), 0, dx.data_ptr(), *parameters), where)
    partial = torch.empty(
        kernels.gdn_sums_count(a, where), a.channels, a.channels + 1, dtype=torch.float32, device=x.device
    )
    kernels.gdn_sums(a, (t.data_ptr(), x.data_ptr(), partial.data_ptr()), where)
    sums = partial.sum(0)  # (C, C + 1)
    return (
        dx,
        sums[:, -1].contiguous().to(types[0]),
        sums[:, :-1].contiguous().to(types[1]),
    )  # the strides of _fake_backward


# --- registration
# --------------------------------------------------------------------------------------------------------


def _fake(x: Tensor, beta: Tensor, gamma: Tensor) -> Tensor:
    _check(x, beta, gamma)
    return torch.empty_like(x, memory_format=_format(x))


def _fake_backward(grad: Tensor, x: Tensor, beta: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _fake(x, beta, gamma), torch.empty_like(beta), torch.empty_like(gamma)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _register(name: str, inverse: bool) -> None:
    """An operator, and the one of its gradients, which has none of its own: no second derivatives."""
    forward, backward = f"pillow_lic::{name}", f"pillow_lic::{name}_backward"
    torch.library.define(forward, "(Tensor x, Tensor beta, Tensor gamma) -> Tensor")
    torch.library.define(backward, "(Tensor grad, Tensor x, Tensor beta, Tensor gamma) -> (Tensor, Tensor, Tensor)")
    torch.library.impl(forward, "cpu", lambda x, beta, gamma: _plain(x, beta, gamma, inverse))
    torch.library.impl(forward, "cuda", lambda x, beta, gamma: _cuda(x, beta, gamma, inverse))
    torch.library.impl(backward, "cpu", lambda g, x, beta, gamma: _plain_backward(g, x, beta, gamma, inverse))
    torch.library.impl(backward, "cuda", lambda g, x, beta, gamma: _cuda_backward(g, x, beta, gamma, inverse))
    torch.library.register_fake(forward, _fake)
    torch.library.register_fake(backward, _fake_backward)
    gradients = getattr(torch.ops.pillow_lic, f"{name}_backward")
    torch.library.register_autograd(forward, lambda ctx, grad: gradients(grad, *ctx.saved_tensors), setup_context=_save)


_register("gdn", inverse=False)
_register("igdn", inverse=True)
