"""Writes what train.compact has learnt as the package reads it: `python -m train.compact_export RUN FILE`.

As train.enhance_export does; units follow from the examples of the run. Imports torch, NumPy, pillow_lic's writer.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from pillow_lic.models import weights
from train.compact import CONFIG, Enlarger, batch_of, prepared
from train.enhance_export import Units, tensors_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--batches", type=int, default=30, help="of examples, for the units")
    args = parser.parse_args()
    kept = torch.load(args.run / "state.pt", map_location="cpu")
    net = Enlarger(CONFIG)
    net.load_state_dict(kept["mean"])
    examples = prepared(args.run / "none", args.run / "examples.npz", 0)
    units = Units(net).see(batch_of(examples, step) for step in range(args.batches))
    args.file.write_bytes(weights.write(tensors_of(net, units)))
    print(f"{args.file}: {args.file.stat().st_size} bytes, after {kept['step']} steps")


if __name__ == "__main__":
    main()
