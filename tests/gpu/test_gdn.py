"""The GDN operators on the CPU: against float64 twins, under autograd, under torch.compile."""

from __future__ import annotations

import subprocess
import sys

import gdn_twin
import numpy as np
import pytest
import torch

from pillow_lic.engines.torch import operators

OPERATORS = {False: torch.ops.pillow_lic.gdn, True: torch.ops.pillow_lic.igdn}
LAYOUTS = {"first": torch.contiguous_format, "last": torch.channels_last}
# float16 is computed in float32 and rounded once; bfloat16 as it is: half a unit (2^-8) each for the square, gamma and
# the sum, under a root, then for the root and the product.
BOUND = {torch.float64: 1e-13, torch.float32: 2**-20, torch.float16: 2**-11 + 2**-19, torch.bfloat16: 3.5 * 2**-8}
# Gradients against the magnitudes that they are sums of.
GRADIENT_BOUND = {torch.float64: 1e-12, torch.float32: 2**-19, torch.float16: 2**-10, torch.bfloat16: 2**-5}


def tensors(shape, dtype, layout="first", seed=0, scale=1.0):
    """x, grad, beta, gamma as tensors, and the same, rounded alike, as float64 arrays."""
    x, grad, beta, gamma = gdn_twin.inputs(shape, seed, scale)
    wide = dtype if dtype == torch.float64 else torch.float32
    made = [torch.tensor(a).to(dtype).contiguous(memory_format=LAYOUTS[layout]) for a in (x, grad)]
    made += [torch.tensor(a).to(wide) for a in (beta, gamma)]
    return made, [t.double().numpy() for t in made]


@pytest.mark.parametrize("inverse", [False, True], ids=["gdn", "igdn"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", BOUND, ids=str)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 7), (1, 17, 4, 9), (2, 64, 3, 5)], ids=str)
def test_forward_is_the_equation(shape, dtype, layout, inverse):
    (x, _, beta, gamma), (x64, _, beta64, gamma64) = tensors(shape, dtype, layout)
    y = OPERATORS[inverse](x, beta, gamma)
    assert y.dtype == dtype
    assert y.shape == x.shape
    assert y.is_contiguous(memory_format=LAYOUTS[layout])
    wanted = gdn_twin.forward(x64, beta64, gamma64, inverse)
    assert (np.abs(y.double().numpy() - wanted) <= BOUND[dtype] * np.abs(wanted)).all()


@pytest.mark.parametrize("inverse", [False, True], ids=["gdn", "igdn"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_strip_at_a_time(layout, inverse, monkeypatch):
    """However few values a CPU takes at once."""
    (x, _, beta, gamma), _ = tensors((2, 17, 7, 5), torch.float32, layout)
    whole = OPERATORS[inverse](x, beta, gamma)
    for values in (1, 2 * 17 * 5, 3 * 2 * 17 * 5):  # a row of all pictures is 2 * 17 * 5 values
        monkeypatch.setattr(operators, "STRIP", values)
        torch.testing.assert_close(OPERATORS[inverse](x, beta, gamma), whole, rtol=2**-20, atol=0)


@pytest.mark.parametrize("inverse", [False, True], ids=["gdn", "igdn"])
@pytest.mark.parametrize("dtype", BOUND, ids=str)
def test_backward_is_the_equation(dtype, inverse):
    (x, grad, beta, gamma), (x64, grad64, beta64, gamma64) = tensors((2, 17, 5, 7), dtype, "last")
    leaves = [t.clone().requires_grad_() for t in (x, beta, gamma)]
    OPERATORS[inverse](*leaves).backward(grad)
    wanted, sizes = gdn_twin.backward(grad64, x64, beta64, gamma64, inverse)
    for leaf, exact, size in zip(leaves, wanted, sizes, strict=True):
        assert leaf.grad.dtype == leaf.dtype
        assert (np.abs(leaf.grad.double().numpy() - exact) <= GRADIENT_BOUND[dtype] * size).all()


@pytest.mark.parametrize("inverse", [False, True], ids=["gdn", "igdn"])
def test_gradients_are_derivatives(inverse):
    """By differences, which know nothing of the equations."""
    (x, _, beta, gamma), _ = tensors((2, 4, 3, 2), torch.float64)
    assert torch.autograd.gradcheck(OPERATORS[inverse], [t.requires_grad_() for t in (x, beta, gamma)])


@pytest.mark.parametrize("inverse", [False, True], ids=["gdn", "igdn"])
def test_registration_is_sound(inverse):
    (x, _, beta, gamma), _ = tensors((2, 4, 3, 2), torch.float32, "last")
    results = torch.library.opcheck(OPERATORS[inverse], [t.requires_grad_() for t in (x, beta, gamma)])
    assert results
    assert set(results.values()) == {"SUCCESS"}


def test_functions_are_the_operators():
    (x, _, beta, gamma), _ = tensors((1, 5, 2, 3), torch.float32)
    assert torch.equal(operators.gdn(x, beta, gamma), torch.ops.pillow_lic.gdn(x, beta, gamma))
    assert torch.equal(operators.igdn(x, beta, gamma), torch.ops.pillow_lic.igdn(x, beta, gamma))


def test_one_undoes_the_other_where_channels_do_not_mix():
    """With gamma = 0 both are a scaling by sqrt(beta)."""
    (x, _, beta, _), _ = tensors((1, 6, 4, 4), torch.float64)
    none = torch.zeros(6, 6, dtype=torch.float64)
    torch.testing.assert_close(operators.igdn(operators.gdn(x, beta, none), beta, none), x)


def test_squares_beyond_float16():
    (x, _, beta, gamma), (x64, _, beta64, gamma64) = tensors((1, 8, 4, 4), torch.float16, scale=3000.0)
    assert x.abs().max() > 256
    y = operators.gdn(x, beta, gamma).double().numpy()
    wanted = gdn_twin.forward(x64, beta64, gamma64, False)
    assert (np.abs(y - wanted) <= BOUND[torch.float16] * np.abs(wanted)).all()


def test_strides_of_all_kinds():
    """Slices, transposed planes and no images at all give what a dense tensor gives."""
    (x, _, beta, gamma), _ = tensors((2, 6, 8, 10), torch.float32)
    for view in (
        x[:, :, 1:, ::2],
        x.transpose(2, 3),
        x[:0],
        x.contiguous(memory_format=torch.channels_last)[:, :, ::3],
    ):
        dense = view.clone(memory_format=torch.contiguous_format)
        torch.testing.assert_close(operators.gdn(view, beta, gamma), operators.gdn(dense, beta, gamma))


@pytest.mark.parametrize(
    ("x", "beta", "gamma"),
    [
        (torch.ones(3, 4, 4), torch.ones(3), torch.ones(3, 3)),
        (torch.ones(1, 3, 4, 4), torch.ones(4), torch.ones(3, 3)),
        (torch.ones(1, 3, 4, 4), torch.ones(3), torch.ones(3, 4)),
        (torch.ones(1, 3, 4, 4, dtype=torch.int32), torch.ones(3), torch.ones(3, 3)),
    ],
    ids=["three dimensions", "beta", "gamma", "integers"],
)
def test_wrong_arguments_are_named(x, beta, gamma):
    with pytest.raises(ValueError, match="GDN wants"):
        operators.gdn(x, beta, gamma)


class Layer(torch.nn.Module):
    """A network that calls both operators by their names in the dispatcher, as those of models do."""

    def __init__(self, channels: int):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, channels, 3)
        self.beta = torch.nn.Parameter(torch.linspace(0.5, 1.5, channels))
        self.gamma = torch.nn.Parameter(torch.eye(channels) * 0.1 + 0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.ops.pillow_lic.gdn(self.convolution(x), self.beta, self.gamma)
        return torch.ops.pillow_lic.igdn(y, self.beta, self.gamma)


PROGRAM = """
import sys, torch
{register}
x, beta, gamma = torch.ones(1, 8, 9, 7), torch.ones(8), torch.eye(8, requires_grad=True)
torch.ops.pillow_lic.igdn(torch.ops.pillow_lic.gdn(x, beta, gamma), beta, gamma).sum().backward()
assert gamma.grad is not None
print({{"cupy", "pillow_lic.engines.torch.cuda"}} & set(sys.modules))
"""


def elsewhere(register: str):
    program = PROGRAM.format(register=register)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


def test_in_a_fresh_process():
    """The CPU's path imports nothing of a GPU's."""
    done = elsewhere("import pillow_lic.engines.torch.operators")
    assert done.stdout.strip() == "set()", done.stderr


def test_operators_need_the_registration():
    done = elsewhere("")
    assert "pillow_lic" in done.stderr
    assert done.returncode != 0


def test_compiled_without_a_break():
    layer, x = Layer(8), torch.randn(1, 3, 9, 7)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))
    compiled(x).sum().backward()
    assert layer.gamma.grad is not None
