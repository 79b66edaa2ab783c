"""Multiply-adds per pixel and parameters of every stage of a model, counted while it runs.

    python bench/macs.py [MODEL ...]

Convolutions and GDN are counted by torch's dispatcher (torch.utils.flop_counter), the integer map from its shape.
Imports the package and torch.
"""

from __future__ import annotations

import argparse
import collections
import math

import torch
from torch.utils.flop_counter import FlopCounterMode

from pillow_lic.constants import GROUPS
from pillow_lic.engines.torch import networks, operators  # noqa: F401  operators: torch.ops.pillow_lic
from pillow_lic.models import registry
from pillow_lic.models.manifest import DECODER, ENCODER

HEIGHT, WIDTH = 512, 768  # a multiple of 64, so that nothing is padded


def multiply_adds(call, *arguments) -> tuple[float, object]:
    """Multiply-adds of one call, and its result. Convolutions, and the channel mixing of GDN."""

    def mixing(x, *_, **__) -> int:
        return 2 * math.prod(x) * x[1]

    counter = FlopCounterMode(
        display=False, custom_mapping={torch.ops.pillow_lic.gdn: mixing, torch.ops.pillow_lic.igdn: mixing}
    )
    with torch.no_grad(), counter:
        result = call(*arguments)
    return counter.get_total_flops() / 2, result


def counted(call, *arguments) -> tuple[float, object]:
    """Multiply-adds per pixel of HEIGHT x WIDTH."""
    total, result = multiply_adds(call, *arguments)
    return total / (HEIGHT * WIDTH), result


def stages(name: str) -> dict[str, float]:
    """Multiply-adds per pixel by stage."""
    model = registry.by_name(name)
    decoder, encoder = networks.load(model, DECODER), networks.load(model, ENCODER)
    t = torch.tensor([0.5])
    found = {}
    found["analysis"], y = counted(encoder.analysis, torch.rand(1, 3, HEIGHT, WIDTH), t)
    found["hyper_analysis"], z = counted(encoder.hyper_analysis, y, t)
    integers = (
        array.size
        for key, array in model.arrays.items()
        if key == "weight" or (key.startswith("hidden") and array.ndim == 2)
    )
    found["scale map (integers)"] = sum(integers) / 64**2
    found["prior"], (features, _, _) = counted(decoder.prior, z, t)
    found["refine"] = sum(counted(decoder.refine, features, y, group)[0] for group in range(1, len(GROUPS)))
    found["synthesis"], _ = counted(decoder.synthesis, y, t)
    return found


def parameters(network) -> dict[str, int]:
    """By the stage that holds them."""
    found = collections.Counter()
    for name, p in network.named_parameters():
        found[name.partition(".")[0]] += p.numel()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["photo"])
    for name in parser.parse_args().models:
        found = stages(name)
        model = registry.by_name(name)
        held = [parameters(networks.load(model, file)) for file in (DECODER, ENCODER)]
        for stage, macs in found.items():
            count = macs * 64**2 if "integers" in stage else held[0][stage] or held[1][stage]
            print(f"{name:12} {stage:22} {macs:10.1f} MAC/px, {count / 1e6:6.3f} M parameters")
        decoder = sum(found[s] for s in ("scale map (integers)", "prior", "refine", "synthesis"))
        encoder = decoder - found["synthesis"] + found["analysis"] + found["hyper_analysis"]
        own, more = (sum(part.values()) / 1e6 for part in held)
        print(f"{name:12} decoder, all it runs    {decoder:10.1f} MAC/px, {own:.2f} M parameters")
        print(f"{name:12} encoder, all it runs    {encoder:10.1f} MAC/px, {more:.2f} M parameters of its own")


if __name__ == "__main__":
    main()
