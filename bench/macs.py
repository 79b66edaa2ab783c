"""Multiply-adds per pixel and parameters of every stage of a model, counted while it runs.

    python bench/macs.py [MODEL ...]

Convolutions are counted by torch's dispatcher (torch.utils.flop_counter), the integer map from its shape. Imports the package and torch.
"""

from __future__ import annotations

import argparse

import torch
from torch.utils.flop_counter import FlopCounterMode

from pillow_lic.constants import GROUPS
from pillow_lic.models import loader, registry

HEIGHT, WIDTH = 512, 768  # a multiple of 64, so that nothing is padded


def counted(call, *arguments) -> tuple[float, object]:
    """Multiply-adds per pixel of one call, and its result."""
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        result = call(*arguments)
    return counter.get_total_flops() / 2 / (HEIGHT * WIDTH), result


def stages(name: str) -> dict[str, float]:
    """Multiply-adds per pixel by stage."""
    model = loader.Model(registry.by_name(name))
    decoder, encoder = model.decoder(), model.encoder()
    t = torch.tensor([0.5])
    found = {}
    found["analysis"], y = counted(encoder.analysis, torch.rand(1, 3, HEIGHT, WIDTH), t)
    found["hyper_analysis"], z = counted(encoder.hyper_analysis, y, t)
    integers = (array.size for key, array in model.arrays.items() if key == "weight" or key.startswith("hidden") and array.ndim == 2)
    found["scale map (integers)"] = sum(integers) / 64**2
    found["prior"], (features, _, _) = counted(decoder.prior, z, t)
    found["refine"] = sum(counted(decoder.refine, features, y, group)[0] for group in range(1, len(GROUPS)))
    found["synthesis"], _ = counted(decoder.synthesis, y, t)
    return found


def parameters(network) -> int:
    return sum(p.numel() for p in network.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["photo"])
    for name in parser.parse_args().models:
        found = stages(name)
        for stage, macs in found.items():
            print(f"{name:12} {stage:22} {macs:10.1f} MAC/px")
        decoder = sum(found[s] for s in ("scale map (integers)", "prior", "refine", "synthesis"))
        encoder = decoder - found["synthesis"] + found["analysis"] + found["hyper_analysis"]
        model = loader.Model(registry.by_name(name))
        print(f"{name:12} decoder, all it runs    {decoder:10.1f} MAC/px, {parameters(model.decoder()) / 1e6:.2f} M parameters")
        print(f"{name:12} encoder, all it runs    {encoder:10.1f} MAC/px, {parameters(model.encoder()) / 1e6:.2f} M parameters of its own")


if __name__ == "__main__":
    main()
