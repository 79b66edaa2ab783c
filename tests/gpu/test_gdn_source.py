"""gdn.cu itself, run on the CPU: results within bounds of the equations, nothing written beside the arrays."""

from __future__ import annotations

from pathlib import Path

import gdn_twin
import numpy as np
import pytest
import torch
from gdn_shapes import DEVICES

from pillow_lic.engines.torch import operators

ROOT = Path(__file__).parents[2]
KIND_NAMES = ("float32", "float16", "bfloat16")


# Relative bounds of y. Sixteen-bit: squares and gamma are rounded to bfloat16, 2^-8 each, which the root halves; then y
# is rounded. float32: three products of TF32 and the root, 2^-21, and rounding.
BOUNDS = {torch.bfloat16: 2**-8 + 2**-8, torch.float16: 2**-8 + 2**-11, torch.float32: 2**-20}
# Of gradients, against the magnitudes that they are sums of: v, t, d and gamma rounded, at most four roundings to
# bfloat16.
GRADIENT_BOUNDS = {torch.bfloat16: 2**-6, torch.float16: 2**-6, torch.float32: 2**-18}


def tensors(shape, dtype, channels_last, scale=1.0):
    """x, grad, beta, gamma, and the same as float64 arrays."""
    x, grad, beta, gamma = gdn_twin.inputs(shape, scale=scale)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    made = [torch.tensor(a).to(dtype).contiguous(memory_format=layout) for a in (x, grad)]
    made += [torch.tensor(a, dtype=torch.float32) for a in (beta, gamma)]
    return made, [t.double().numpy() for t in made]


BF16, F16, F32 = torch.bfloat16, torch.float16, torch.float32
# shape, type, channels last, inverse, device, scale of x. Several tiles for a warp, several images, ends of rows, odd
# sizes.
FORWARD = {
    "staged": ((1, 192, 37, 31), BF16, True, False, 90, 1),
    "staged, 128": ((2, 128, 9, 41), F16, True, True, 90, 300),
    "staged, first": ((3, 192, 12, 11), BF16, False, True, 90, 1),
    "pairs of pixels": ((2, 64, 3, 10), F16, False, False, 90, 1),
    "odd": ((3, 48, 5, 7), BF16, False, False, 90, 1),
    "few, padded": ((2, 17, 7, 8), BF16, False, True, 90, 1),
    "small blocks": ((1, 64, 40, 33), BF16, True, False, 90, 1),
    "again loaded": ((1, 320, 5, 9), BF16, True, False, 90, 1),
    "slices": ((1, 512, 5, 9), F16, False, False, 90, 300),
    "float32": ((1, 192, 9, 13), F32, True, False, 90, 1),
    "float32, staged": ((2, 128, 4, 10), F32, False, True, 90, 1),
    "float32, odd": ((2, 20, 5, 7), F32, False, False, 90, 1),
    "float32, slices": ((1, 192, 5, 9), F32, True, True, 86, 1),
    "twin, odd channels": ((2, 17, 5, 9), BF16, True, True, 90, 1),
    "twin, three": ((2, 3, 5, 9), F32, False, False, 90, 1),
    "twin, Turing": ((1, 32, 5, 9), F16, False, True, 75, 300),
}


@pytest.mark.parametrize(
    ("shape", "dtype", "channels_last", "inverse", "device", "scale"), FORWARD.values(), ids=FORWARD
)
def test_forward_source(shape, dtype, channels_last, inverse, device, scale, on_cpu):
    calls = on_cpu(DEVICES[device])
    (x, _, beta, gamma), (x64, _, beta64, gamma64) = tensors(shape, dtype, channels_last, scale)
    wanted = gdn_twin.forward(x64, beta64, gamma64, inverse)
    finite = np.abs(wanted) < torch.finfo(dtype).max
    for calls.eager in (False, True):
        y = operators._cuda(x, beta, gamma, inverse)
        assert y.stride() == x.stride()
        assert (np.abs(y.double().numpy() - wanted) <= BOUNDS[dtype] * np.abs(wanted))[finite].all()
    assert len(calls) == 2


BACKWARD = {
    "staged, 192": ((1, 192, 5, 9), BF16, True, False, 90),
    "again loaded": ((1, 320, 3, 5), F16, True, True, 90),
    "slices, 512": ((1, 512, 3, 5), BF16, False, False, 90),
    "staged": ((1, 64, 9, 7), BF16, True, False, 90),
    "first": ((2, 40, 6, 6), BF16, False, True, 90),
    "odd": ((3, 24, 5, 7), F16, False, False, 90),
    "float32": ((2, 96, 5, 5), F32, True, True, 90),
    "float32, first": ((2, 72, 4, 6), F32, False, False, 90),
    "slices": ((1, 288, 3, 5), F32, True, False, 90),
    "twin": ((2, 17, 3, 7), F16, True, True, 90),
    "twin, Turing": ((2, 24, 3, 7), BF16, False, False, 75),
}


@pytest.mark.parametrize(("shape", "dtype", "channels_last", "inverse", "device"), BACKWARD.values(), ids=BACKWARD)
def test_backward_source(shape, dtype, channels_last, inverse, device, on_cpu):
    calls = on_cpu(DEVICES[device])
    (x, grad, beta, gamma), (x64, grad64, beta64, gamma64) = tensors(shape, dtype, channels_last)
    wanted, sizes = gdn_twin.backward(grad64, x64, beta64, gamma64, inverse)
    for calls.eager in (False, True):
        found = operators._cuda_backward(grad, x, beta, gamma, inverse)
        promised = operators._fake_backward(grad, x, beta, gamma)  # torch.compile relies on it
        assert [g.stride() for g in found] == [g.stride() for g in promised]
        for gradient, exact, size in zip(found, wanted, sizes, strict=True):
            assert (np.abs(gradient.double().numpy() - exact) <= GRADIENT_BOUNDS[dtype] * size).all()
    assert len(calls) == 6


def test_backward_under_another_default_type(on_cpu):
    """The kernels write float32 sums, whatever torch makes by default."""
    on_cpu(DEVICES[90])
    (x, grad, beta, gamma), (x64, grad64, beta64, gamma64) = tensors((1, 64, 5, 7), BF16, True)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        found = operators._cuda_backward(grad, x, beta, gamma, False)
    finally:
        torch.set_default_dtype(before)
    wanted, sizes = gdn_twin.backward(grad64, x64, beta64, gamma64, False)
    for gradient, exact, size in zip(found, wanted, sizes, strict=True):
        assert (np.abs(gradient.double().numpy() - exact) <= GRADIENT_BOUNDS[BF16] * size).all()


def test_views_off_the_grid_are_copied(on_cpu):
    """Vectors of 16 bytes need addresses that are multiples of 16."""
    on_cpu(DEVICES[90])
    (x, _, beta, gamma), (x64, _, beta64, gamma64) = tensors((3, 17, 3, 5), BF16, False)
    room = torch.empty(x.numel() + 1, dtype=BF16)
    room[1:] = x.flatten()
    view = room[1:].view(x.shape)
    assert view.data_ptr() % 16
    y = operators._cuda(view, beta, gamma, False).double().numpy()
    wanted = gdn_twin.forward(x64, beta64, gamma64, False)
    assert (np.abs(y - wanted) <= BOUNDS[BF16] * np.abs(wanted)).all()


def test_what_has_no_kernel_is_composed(on_cpu):
    calls = on_cpu(DEVICES[90])
    for shape, dtype in (((1, 4, 2, 2), torch.float64), ((1, 513, 1, 2), torch.float32), ((0, 4, 2, 2), torch.float32)):
        (x, grad, beta, gamma), _ = tensors(shape, dtype, False)
        torch.testing.assert_close(
            operators._cuda(x, beta, gamma, False), operators._plain(x, beta, gamma, False), equal_nan=True
        )
        operators._cuda_backward(grad, x, beta, gamma, False)
    assert not calls
