"""GDN and IGDN on a GPU beside PyTorch's own compositions and a plain copy, for bench/gpu.py, which explains columns.

Imports torch and CuPy when it is called.
"""

import importlib.util
import itertools
import os
import pathlib
import subprocess
import sys
import tempfile
from functools import partial

import gpu_clock

IMAGE = (2160, 3840)
CHANNELS = (128, 192)
SIDES = (2, 4)  # of the image's side, its part
BOUND = 2**-7  # of a result, see operators.gdn, with its own rounding to bfloat16
FIELDS = ("operator", "channels", "height", "width", "layout", "what", "ms", "gb_s", "of_copy", "of_compile", "error")


def parameters(channels):
    """beta (C,) and gamma (C, C) as float32 on the GPU, of the size that trained ones have."""
    import torch

    generator = torch.Generator().manual_seed(channels)
    beta = torch.rand(channels, generator=generator) + 0.1
    gamma = (torch.randn(channels, channels, generator=generator) * 0.3 / channels**0.5).clamp(min=0) + 0.1 * torch.eye(
        channels
    )
    return beta.cuda(), gamma.cuda()


def convolution(x, beta, gamma, inverse):
    """GDN as it is usually written in PyTorch."""
    import torch

    v = torch.nn.functional.conv2d(x * x, gamma[:, :, None, None], beta)
    return x * torch.sqrt(v) if inverse else x * torch.rsqrt(v)


def product(x, beta, gamma, inverse):
    """The same with a matrix product over channels last, which some backends fuse better."""
    import torch

    rows = x.permute(0, 2, 3, 1)
    v = torch.nn.functional.linear(rows * rows, gamma, beta)
    return (rows * (torch.sqrt(v) if inverse else torch.rsqrt(v))).permute(0, 3, 1, 2)


def error_of(y, x, beta, gamma, inverse):
    """Largest relative error against float64 on rows of the image."""
    import torch

    rows = torch.linspace(0, x.shape[2] - 1, 5, device="cuda").long()
    wanted = convolution(x[:, :, rows].double(), beta.double(), gamma.double(), inverse)
    return ((y[:, :, rows].double() - wanted).abs() / wanted.abs().clamp(min=1e-30)).max().item()


def checked(name, y, x, beta, gamma, inverse, bound):
    """The error, if it is within the bound."""
    error = error_of(y, x, beta, gamma, inverse)
    if not error <= bound:
        msg = f"{name}: relative error {error:.2e} is beyond {bound:.2e}"
        raise SystemExit(msg)
    return error


def measure_gdn(clock, operator, channels, side):
    """Rows of one operator at one size."""
    import torch

    from pillow_lic.engines.torch import operators

    inverse = operator == "igdn"
    ours = getattr(operators, operator)
    height, width = IMAGE[0] // side, IMAGE[1] // side
    beta, gamma = parameters(channels)
    x = torch.randn(1, channels, height, width, device="cuda").to(torch.bfloat16)
    moved = 2 * x.numel() * x.element_size()
    rows, compiled = [], []

    def add(layout, what, function, error=""):
        ms = clock.ms(function)
        rows.append(
            {
                "operator": operator,
                "channels": channels,
                "height": height,
                "width": width,
                "layout": layout,
                "what": what,
                "ms": ms,
                "gb_s": moved / ms / 1e6,
                "error": error,
            }
        )
        return ms

    last = x.contiguous(memory_format=torch.channels_last)
    target = torch.empty_like(last)
    copy = add("last", "copy", lambda: target.copy_(last))
    for layout, tensor in (("last", last), ("first", x)):
        error = checked(f"ours, {layout}", ours(tensor, beta, gamma), tensor, beta, gamma, inverse, BOUND)
        add(layout, "ours", lambda tensor=tensor: ours(tensor, beta, gamma), error)
    half = beta.bfloat16(), gamma.bfloat16()
    for name, function in (("convolution", convolution), ("product", product)):
        torch._dynamo.reset()
        for kind, run in (("eager", function), ("compile", torch.compile(function, dynamic=False))):
            error = checked(f"{kind}, {name}", run(last, *half, inverse), last, beta, gamma, inverse, 2**-5)
            ms = add("last", f"{kind}, {name}", lambda run=run: run(last, *half, inverse), error)
            compiled += [ms] if kind == "compile" else []
    for row in rows:
        row["of_copy"], row["of_compile"] = copy / row["ms"], min(compiled) / row["ms"]
    return rows


def show(rows):
    """The table, short."""
    line = (
        "{operator:5} C={channels:<4} {width}x{height} {layout:6} {what:21} {ms:8.3f} ms {gb_s:7.0f} GB/s"
        "  {of_copy:5.2f} of copy  {of_compile:5.2f} of compile  {error}"
    )
    for row in rows:
        print(line.format(**{**row, "error": f"error {row['error']:.1e}" if row["error"] else ""}))


def gdn(options):
    """Both operators at all sizes, and the first use."""
    from pillow_lic.engines.torch.cuda import compile as kernels

    clock = gpu_clock.Clock(options.repeats)
    rows = []
    for operator, channels, side in itertools.product(("gdn", "igdn"), CHANNELS, SIDES):
        found = measure_gdn(clock, operator, channels, side)
        show(found)
        rows += found
        gpu_clock.write(
            "gpu-gdn.csv", FIELDS, gpu_clock.rounded(rows)
        )  # after each, so that a run that is cut short leaves something
    registers = {}
    for (instance, _), kernel in kernels._kernels.items():
        name = " ".join(f"{key.lower()}={value}" for key, value in instance.defines)
        registers[name] = {
            "registers": kernel.num_regs,
            "local_bytes": kernel.local_size_bytes,
            "shared": instance.shared,
        }
    first_use()
    if options.sweep:
        sweep(clock)
    return {"kernels": registers}


# ---- first use -------------------------------------------------------------------------------------------------------

FIRST_USE = """
import sys, time
sys.path[:0] = [{root!r}] if {clone} else []
import torch
from pillow_lic.engines.torch import operators
x = torch.ones(1, 192, 64, 64, device="cuda", dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
beta, gamma = torch.ones(192, device="cuda"), torch.eye(192, device="cuda")
torch.cuda.synchronize()
start = time.perf_counter()
operators.gdn(x, beta, gamma)
torch.cuda.synchronize()
print(time.perf_counter() - start)
"""


def first_use():
    """Seconds of the first call of a process in which torch has begun to use CUDA; importing CuPy is a part of it."""
    clone = importlib.util.find_spec("pillow_lic").origin.startswith(
        str(pathlib.Path(__file__).parent.parent.resolve())
    )
    program = FIRST_USE.format(root=str(pathlib.Path(__file__).parent.parent.resolve()), clone=clone)
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "CUPY_CACHE_DIR": cache}
        for kept in ("none", "kept", "kept", "kept"):
            done = subprocess.run(
                [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment, check=True
            )
            rows.append({"kernels": kept, "seconds": round(float(done.stdout), 4)})
            print(f"first use, kernels on disk {kept}: {rows[-1]['seconds']} s")
    gpu_clock.write("gpu-first-use.csv", ("kernels", "seconds"), rows)


# ---- other plans -----------------------------------------------------------------------------------------------------


def plans(activation, limits):
    """The plan that gpu_gdn.py takes, first, and what else fits the device."""
    from pillow_lic.engines.torch.cuda import gdn as gdn_kernels

    base = gdn_kernels.gdn_plan(activation, gdn_kernels.FORWARD, limits)
    found = [base]
    # 128 and 192 channels are whole groups.
    stage_of = lambda tiles: 16 * tiles * activation.channels * activation.element  # noqa: E731
    matrix = base.shared - base.staged * base.warps * stage_of(base.tiles)
    for tiles, warps, blocks, wide, staged in itertools.product((1, 2), (4, 8, 12, 16), (1, 2), (1, 2), (False, True)):
        plan = base._replace(
            tiles=tiles,
            warps=warps,
            blocks=blocks,
            wide=wide,
            staged=staged,
            shared=matrix + staged * warps * stage_of(tiles),
        )
        fits = plan.blocks * (plan.shared + 1024) <= limits.shared + 1024
        if fits and plan not in found:
            found.append(plan)
    return found


def sweep(clock):
    """Times of other plans for the forward step, so that gdn_kernels.gdn_plan can be corrected by measurement."""
    import torch

    from pillow_lic.engines.torch.cuda import compile as kernels
    from pillow_lic.engines.torch.cuda import gdn as gdn_kernels

    fields = (
        "channels",
        "layout",
        "tiles",
        "warps",
        "blocks",
        "wide",
        "staged",
        "registers",
        "local_bytes",
        "ms",
        "gb_s",
    )
    rows = []
    for channels, layout in itertools.product(CHANNELS, ("last", "first")):
        height, width = IMAGE[0] // 2, IMAGE[1] // 2
        beta, gamma = parameters(channels)
        form = torch.channels_last if layout == "last" else torch.contiguous_format
        x = torch.randn(1, channels, height, width, device="cuda").to(torch.bfloat16).contiguous(memory_format=form)
        y = torch.empty_like(x)
        activation = gdn_kernels.Activation(1, channels, height * width, gdn_kernels.BFLOAT16, layout == "first")
        limits = kernels.limits_of(0, torch.version.cuda)
        arguments = (x.data_ptr(), 0, y.data_ptr(), 0, beta.data_ptr(), gamma.data_ptr(), 1, height * width)
        for plan in plans(activation, limits):
            instance = gdn_kernels.gdn_instance(activation, gdn_kernels.FORWARD, False, limits, plan)
            grid = gdn_kernels.gdn_grid(activation, instance, limits)
            where = kernels.Where(0, torch.cuda.current_stream().cuda_stream, torch.version.cuda)
            run = partial(kernels.launch, instance, grid, arguments, where)
            run()
            checked(str(plan), y, x, beta, gamma, False, BOUND)
            kernel, ms = kernels._kernels[instance, 0], clock.ms(run)
            rows.append(
                {
                    "channels": channels,
                    "layout": layout,
                    **{k: int(v) for k, v in plan._asdict().items() if k in fields},
                    "registers": kernel.num_regs,
                    "local_bytes": kernel.local_size_bytes,
                    "ms": ms,
                    "gb_s": 2 * x.numel() * x.element_size() / ms / 1e6,
                }
            )
        best = min(rows, key=lambda row: (row["channels"] != channels or row["layout"] != layout, row["ms"]))
        print("best plan:", best)
        gpu_clock.write("gpu-gdn-sweep.csv", fields, gpu_clock.rounded(rows))
