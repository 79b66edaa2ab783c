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
mixture: symbols per second of the intervals of mixtures (FORMAT 7.8) that the encoder takes, for K = 1 to 4; those of
200,000 symbols are compared with the C++ core's first.
codec, exact: see bench/gpu_codec.py. --images takes a folder of pictures instead of generated ones.

Writes bench/results/gpu-*.csv, and gpu.json that says what ran.
"""

import argparse
import importlib.util
import pathlib
import sys
import traceback

import gpu_codec
import gpu_gdn
import gpu_mixture
import machine
from gpu_clock import rounded, write

if importlib.util.find_spec("pillow_lic") is None:  # a clone without an installation: kernels need no compiled core
    sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))


def codec(options):
    """End to end."""
    return gpu_codec.codec(options, lambda name, fields, rows: write(name, fields, rounded(rows)))


def exact(options):
    """The same symbols on both devices."""
    return gpu_codec.exact(options, write)


SECTIONS = {"gdn": gpu_gdn.gdn, "mixture": gpu_mixture.mixture, "codec": codec, "exact": exact}


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
