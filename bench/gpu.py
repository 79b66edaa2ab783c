"""The kernels of kernels/ on a GPU, beside PyTorch's own composition and a plain copy, and the codec end to end, all in
one run.

    python bench/gpu.py [gdn mixture codec exact ...] [--repeats 50] [--images FOLDER] [--sweep]

gdn: GDN and IGDN over activations of a 4K image (3840x2160) at 1/2 and 1/4 of its side, 128 and 192 channels, bfloat16.
Columns: `ms`, the median of `repeats` launches between CUDA events, the L2 cache overwritten before each; `gb_s`, bytes
that must be moved (x read once, y written once) over that; `of_copy`, that over what a device-to-device copy of the
same tensor moves in this run; `of_compile`, times faster than the faster of two torch.compile compositions (1x1
convolution, matrix product); `error`, the largest relative error against float64 on a sample of rows, checked against
its bound before anything is timed. Peers get x, beta and gamma in bfloat16, and channels last.
first use: seconds from the first call to its result, in fresh processes, with an empty and with a filled cache of
kernels, beyond what torch's and CUDA's own start take.
--sweep also times other plans of gdn.cu than gdn_kernels.gdn_plan's.
mixture: symbols per second of the cumulative frequencies of mixtures (FORMAT 7.8): intervals for the encoder, windows
of eight for the decoder, for K = 1 to 4; the results of 200,000 symbols are compared with the C++ core's first.
codec, exact: see bench/gpu_codec.py. --images takes a folder of pictures instead of generated ones.

Writes bench/results/gpu-*.csv, and gpu.json that says what ran.
"""

import argparse
import csv
import importlib.util
import itertools
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import traceback
from functools import partial

import gpu_codec
import machine

if importlib.util.find_spec("pillow_lic") is None:  # a clone without an installation: kernels need no compiled core
    sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

IMAGE = (2160, 3840)
CHANNELS = (128, 192)
SIDES = (2, 4)  # of the image's side, its part
BOUND = 2**-7  # of a result, see operators.gdn, with its own rounding to bfloat16
FLUSH = 1 << 29  # bytes, several times any L2 cache
FIELDS = ("operator", "channels", "height", "width", "layout", "what", "ms", "gb_s", "of_copy", "of_compile", "error")


# ---- measuring -------------------------------------------------------------------------------------------------------


class Clock:
    """Medians of what a function takes on the GPU, with a cold L2 cache."""

    def __init__(self, repeats):
        import torch

        self.torch, self.repeats = torch, repeats
        self.flush = torch.empty(FLUSH, dtype=torch.uint8, device="cuda")

    def ms(self, function):
        """Milliseconds; the first three runs are dropped. Overwriting the cache keeps the GPU busy while the launch is
        prepared.
        """
        cuda = self.torch.cuda
        pairs = []
        for _ in range(self.repeats + 3):
            self.flush.zero_()
            pair = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
            pair[0].record()
            function()
            pair[1].record()
            pairs.append(pair)
        cuda.synchronize()
        return statistics.median(a.elapsed_time(b) for a, b in pairs[3:])


def write(name, fields, rows):
    """A CSV in bench/results."""
    machine.RESULTS.mkdir(parents=True, exist_ok=True)
    with (machine.RESULTS / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fields, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)


# ---- GDN -------------------------------------------------------------------------------------------------------------


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


def rounded(rows):
    """Figures with as many places as they deserve."""
    return [{key: f"{value:.5g}" if isinstance(value, float) else value for key, value in row.items()} for row in rows]


def gdn(options):
    """Both operators at all sizes, and the first use."""
    from pillow_lic.engines.torch.cuda import compile as kernels

    clock = Clock(options.repeats)
    rows = []
    for operator, channels, side in itertools.product(("gdn", "igdn"), CHANNELS, SIDES):
        found = measure_gdn(clock, operator, channels, side)
        show(found)
        rows += found
        write("gpu-gdn.csv", FIELDS, rounded(rows))  # after each, so that a run that is cut short leaves something
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
    write("gpu-first-use.csv", ("kernels", "seconds"), rows)


# ---- other plans -----------------------------------------------------------------------------------------------------


def plans(activation, limits):
    """The plan that gpu.py takes, first, and what else fits the device."""
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
            stream = torch.cuda.current_stream().cuda_stream
            run = lambda: kernels.launch(instance, grid, arguments, 0, stream, torch.version.cuda)  # noqa: E731, B023
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
        write("gpu-gdn-sweep.csv", fields, rounded(rows))


# ---- mixtures --------------------------------------------------------------------------------------------------------

SYMBOLS = 1 << 24
CHECKED = 200_000


def mixture_inputs(components, count):
    """planes (3 K, count) and symbols (count,) as arrays, the table of the normal and scales from 0.11 to 64."""
    import numpy as np

    rng = np.random.default_rng(components)
    planes = rng.integers(0, 256, (3 * components, count), np.uint8)
    planes[:components] %= 64
    planes[components : 2 * components] = 128 + planes[components : 2 * components] % 32 - 16
    symbols = np.round(rng.normal(0, 1, count) * np.exp(rng.uniform(-2, 3, count))).astype(np.int16)
    steps = np.linspace(0, 6, 257)  # standard deviations: the shape is what counts here, not the last bit
    normal = np.round([32768 * math.erf(x / 2**0.5) for x in steps]).astype(np.uint16)
    normal[-1] = 32768
    inverse = np.round((1 << 24) / (16 * 6 * np.geomspace(0.11, 64, 64))).clip(2048, 1 << 24).astype(np.uint32)
    return planes, symbols, normal, inverse


def mixture(options):
    """Intervals and windows for each number of components."""
    import numpy as np
    import torch

    from pillow_lic import _core_test
    from pillow_lic.engines.torch.cuda import mixture as kernels
    from pillow_lic.engines.torch.cuda.compile import Where

    clock, rows = Clock(options.repeats), []
    where = Where(0, torch.cuda.current_stream().cuda_stream, torch.version.cuda)
    for components in (1, 2, 3, 4):
        planes, symbols, normal, inverse = mixture_inputs(components, SYMBOLS)
        there = [
            torch.from_numpy(a.view(kind)).cuda()
            for a, kind in ((planes, np.uint8), (symbols, np.int16), (inverse, np.int32), (normal, np.int16))
        ]
        planes_at, symbols_at, inverse_at, normal_at = (tensor.data_ptr() for tensor in there)
        start, freq = (torch.empty(SYMBOLS, dtype=torch.int32, device="cuda") for _ in range(2))
        window = torch.empty((SYMBOLS, 8), dtype=torch.int16, device="cuda")

        given = planes_at, symbols_at, inverse_at, normal_at, start.data_ptr(), freq.data_ptr()
        intervals = partial(kernels.intervals, given, SYMBOLS, components, len(inverse), where)
        given = planes_at, inverse_at, normal_at, window.data_ptr()
        windows = partial(kernels.window, given, SYMBOLS, components, len(inverse), (-4, 8), where)
        intervals()
        windows()
        core = _core_test.Mixture(normal, inverse, components)
        part = np.ascontiguousarray(planes[:, :CHECKED])
        _, _, below, radius = core.cumulative(part, symbols[:CHECKED])
        held = np.abs(symbols[:CHECKED].astype(int)) <= radius
        _, _, escape, _ = core.cumulative(part, (radius + 1).astype(np.int16))
        fourth = core.cumulative(part, np.zeros(CHECKED, np.int16))[2]
        right = np.array_equal(start[:CHECKED].cpu().numpy(), np.where(held, below, escape))
        if not right or not np.array_equal(window[:CHECKED, 4].cpu().numpy().view(np.uint16), fourth):
            msg = f"mixtures of {components}: not what the core computes"
            raise SystemExit(msg)
        for what, function, moved in (
            ("intervals", intervals, 3 * components + 10),
            ("windows of 8", windows, 3 * components + 16),
        ):
            ms = clock.ms(function)
            rows.append(
                {
                    "components": components,
                    "what": what,
                    "ms": ms,
                    "symbols_s": SYMBOLS / ms * 1e3,
                    "gb_s": SYMBOLS * moved / ms / 1e6,
                }
            )
            print(f"mixture K={components} {what:12} {ms:8.3f} ms  {SYMBOLS / ms / 1e6:7.2f} G symbols/s")
    write("gpu-mixture.csv", ("components", "what", "ms", "symbols_s", "gb_s"), rounded(rows))
    return {"symbols": SYMBOLS}


def codec(options):
    """End to end."""
    return gpu_codec.codec(options, lambda name, fields, rows: write(name, fields, rounded(rows)))


def exact(options):
    """The same symbols on both devices."""
    return gpu_codec.exact(options, write)


SECTIONS = {"gdn": gdn, "mixture": mixture, "codec": codec, "exact": exact}


def main():
    """Run the sections that were named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], default=[], help="by default all")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--images", type=pathlib.Path, help="folder of pictures for codec and exact")
    parser.add_argument("--results", type=pathlib.Path, help="folder for CSV and JSON, by default bench/results")
    parser.add_argument("--sweep", action="store_true", help="time other plans, too")
    options = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        msg = "no CUDA device: these benches need one"
        raise SystemExit(msg)
    machine.RESULTS = options.results or machine.RESULTS
    properties = torch.cuda.get_device_properties(0)
    device = {
        "name": properties.name,
        "multiprocessors": properties.multi_processor_count,
        "memory": properties.total_memory,
    }
    facts, failed = {}, []
    for name in options.sections or SECTIONS:
        try:
            facts[name] = SECTIONS[name](options)
        except (Exception, SystemExit) as error:  # what the other sections find shall not be lost
            traceback.print_exc()
            facts[name] = {"failed": repr(error)}
            failed.append(name)
        machine.write_description(
            machine.RESULTS / "gpu.json", device=device, cuda=torch.version.cuda, repeats=options.repeats, **facts
        )
    if failed:
        msg = f"failed: {', '.join(failed)}"
        raise SystemExit(msg)


if __name__ == "__main__":
    main()
