"""GDN's kernels on a GPU: against the float64 twin and the plain kernels; streams, threads, graphs, memory, the cache
on disk.
"""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys

import gdn_twin
import numpy as np
import pytest
import torch

from pillow_lic.engines.torch import operators
from pillow_lic.engines.torch.cuda import compile as compiler

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

OPERATORS = {"gdn": torch.ops.pillow_lic.gdn, "igdn": torch.ops.pillow_lic.igdn}
LAYOUTS = {"first": torch.contiguous_format, "last": torch.channels_last}
CHANNELS = (1, 3, 17, 64, 128, 192, 320, 512)
# Relative bounds of y. Sixteen-bit: squares and gamma are rounded to bfloat16, 2^-8 each, which the root halves; then y
# is rounded. float32: 2^-21 of the products, and up to 3 * 512 / 8 additions that cut off beyond 2^-23, half of which
# the root passes on.
BOUNDS = {torch.bfloat16: 2**-8 + 2**-8, torch.float16: 2**-8 + 2**-11, torch.float32: 2**-16}
# Of gradients, against the magnitudes that they are sums of: v, t, d and gamma rounded, at most four roundings to
# bfloat16.
GRADIENT_BOUNDS = {torch.bfloat16: 2**-6, torch.float16: 2**-6, torch.float32: 2**-14}


def tensors(shape, dtype, layout="last", seed=0, scale=1.0):
    """x, grad, beta, gamma on the GPU, and the same, rounded alike, as float64 arrays."""
    x, grad, beta, gamma = gdn_twin.inputs(shape, seed, scale)
    made = [torch.tensor(a).to(dtype).contiguous(memory_format=LAYOUTS[layout]).cuda() for a in (x, grad)]
    made += [torch.tensor(a, dtype=torch.float32).cuda() for a in (beta, gamma)]
    return made, [t.double().cpu().numpy() for t in made]


def close(y: torch.Tensor, wanted: np.ndarray, bound: float, size: np.ndarray | None = None) -> bool:
    size = np.abs(wanted) if size is None else size
    finite = np.abs(wanted) < torch.finfo(y.dtype).max
    return bool((np.abs(y.double().cpu().numpy() - wanted) <= bound * size)[finite].all())


@pytest.fixture
def plain_kernels(monkeypatch):
    """Only the plain kernels, the twins of those on the matrix units."""

    def use():
        monkeypatch.setattr(compiler, "gdn_plan", lambda *_: None)
        monkeypatch.setattr(compiler, "MATRIX_UNITS", 1000)

    return use


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize("channels", CHANNELS)
def test_forward(channels, dtype, layout, name, plain_kernels):
    for height, width in (
        (1, 1),
        (6, 45),
        (13, 11),
        (64, 66),
    ):  # one pixel, a multiple of 2, odd, a multiple of 4 and several blocks
        (x, _, beta, gamma), (x64, _, beta64, gamma64) = tensors((2, channels, height, width), dtype, layout)
        wanted = gdn_twin.forward(x64, beta64, gamma64, name == "igdn")
        y = OPERATORS[name](x, beta, gamma)
        assert y.is_contiguous(memory_format=LAYOUTS[layout])
        assert close(y, wanted, BOUNDS[dtype]), (height, width)
    plain_kernels()
    twin = OPERATORS[name](x, beta, gamma)
    assert close(twin, wanted, BOUNDS[dtype])
    assert close(y, twin.double().cpu().numpy(), 2 * BOUNDS[dtype])


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize("channels", [1, 17, 64, 192, 320])
def test_backward(channels, dtype, layout, name, plain_kernels):
    (x, grad, beta, gamma), (x64, grad64, beta64, gamma64) = tensors((2, channels, 9, 14), dtype, layout)
    wanted, sizes = gdn_twin.backward(grad64, x64, beta64, gamma64, name == "igdn")
    for _ in range(2):
        leaves = [t.clone().requires_grad_() for t in (x, beta, gamma)]
        OPERATORS[name](*leaves).backward(grad)
        for leaf, exact, size in zip(leaves, wanted, sizes, strict=True):
            assert close(leaf.grad, exact, GRADIENT_BOUNDS[dtype], size)
        plain_kernels()


def test_gradients_repeat_to_the_bit():
    (x, grad, beta, gamma), _ = tensors((4, 192, 64, 64), torch.bfloat16)
    first, second = (torch.ops.pillow_lic.gdn_backward(grad, x, beta, gamma) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("channels", [128, 192])
def test_large(channels):
    """An activation of a 4K image, against the CPU on a sample of its pixels."""
    torch.manual_seed(0)
    x = torch.randn(1, channels, 1080, 1920, device="cuda", dtype=torch.bfloat16).contiguous(
        memory_format=torch.channels_last
    )
    _, _, beta, gamma = (torch.tensor(a, dtype=torch.float32) for a in gdn_twin.inputs((1, channels, 1, 1)))
    y = operators.gdn(x, beta.cuda(), gamma.cuda())
    rows = torch.tensor([0, 1, 539, 1078, 1079], device="cuda")
    sample = [t[:, :, rows].double().cpu().numpy() for t in (x, y)]
    wanted = gdn_twin.forward(sample[0], beta.double().numpy(), gamma.double().numpy(), False)
    assert (np.abs(sample[1] - wanted) <= BOUNDS[torch.bfloat16] * np.abs(wanted)).all()
    assert torch.isfinite(y).all()


def test_squares_beyond_float16():
    (x, _, beta, gamma), (x64, _, beta64, gamma64) = tensors((1, 128, 16, 16), torch.float16, scale=3000.0)
    assert close(operators.gdn(x, beta, gamma), gdn_twin.forward(x64, beta64, gamma64, False), BOUNDS[torch.float16])


def test_runs_on_the_current_stream():
    """x is written late on a stream of its own: a launch on any other would read what was there before."""
    (x, _, beta, gamma), (x64, _, beta64, gamma64) = tensors((1, 128, 64, 64), torch.bfloat16)
    late = torch.zeros_like(x)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)
        late.copy_(x)
        y = operators.gdn(late, beta, gamma)
    stream.synchronize()
    assert close(y, gdn_twin.forward(x64, beta64, gamma64, False), BOUNDS[torch.bfloat16])


def test_threads_and_streams():
    (x, _, beta, gamma), _ = tensors((1, 96, 33, 31), torch.bfloat16)
    wanted = operators.gdn(x, beta, gamma)
    torch.cuda.synchronize()

    def work(seed: int) -> bool:
        with torch.cuda.stream(torch.cuda.Stream()):
            same = [torch.equal(operators.gdn(x, beta, gamma), wanted) for _ in range(20)]
            torch.cuda.current_stream().synchronize()
        return all(same)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(16)))


def test_captured_in_a_graph():
    (x, _, beta, gamma), (x64, _, beta64, gamma64) = tensors((1, 64, 16, 16), torch.bfloat16)
    operators.gdn(x, beta, gamma)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = operators.gdn(x, beta, gamma)
    y.zero_()
    graph.replay()
    torch.cuda.synchronize()
    assert close(y, gdn_twin.forward(x64, beta64, gamma64, False), BOUNDS[torch.bfloat16])


def test_takes_no_memory_but_the_result():
    (x, _, beta, gamma), _ = tensors((1, 192, 256, 256), torch.bfloat16)
    operators.gdn(x, beta, gamma)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    y = operators.gdn(x, beta, gamma)
    assert torch.cuda.max_memory_allocated() - before <= y.numel() * y.element_size() + 4096


def test_compiled():
    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.beta = torch.nn.Parameter(torch.linspace(0.5, 1.5, 64))
            self.gamma = torch.nn.Parameter(torch.eye(64) * 0.1 + 0.01)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.ops.pillow_lic.igdn(x, self.beta, self.gamma)

    layer, x = Layer(), torch.randn(1, 64, 9, 7)
    wanted = layer(x)
    layer.cuda()
    module = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(module(x.cuda()).cpu(), wanted, rtol=2**-16, atol=1e-6)


def test_kernels_are_kept_on_disk(tmp_path):
    program = """
import torch
from pillow_lic.engines.torch import operators
x = torch.ones(1, 64, 8, 8, device="cuda")
operators.gdn(x, torch.ones(64, device="cuda"), torch.eye(64, device="cuda"))
torch.cuda.synchronize()
"""
    environment = {**os.environ, "CUPY_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.cubin")}
    assert kept
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.cubin")} == kept
