"""Writes what train.enhance has learnt as the package reads it: `python -m train.enhance_export RUN FILE`.

Weights are 8-bit integers with a scale for each output, biases float32. Imports torch, NumPy and pillow_lic's writer.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from pillow_lic.models import weights
from train.enhance import Config, Enhancer

MOST = 127


def quantised(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 (outputs, ...) and the scales (outputs,): those of least squared error, from a few."""
    rows = weight.reshape(len(weight), -1)
    best = np.full(len(rows), np.inf)
    kept = np.zeros(rows.shape, np.int8), np.ones(len(rows), np.float32)
    for share in (1.0, 0.9, 0.8, 0.7):
        scale = np.maximum(np.abs(rows).max(1) * share / MOST, 1e-12).astype(np.float32)
        whole = np.round(rows / scale[:, None]).clip(-MOST, MOST)
        error = np.square(whole * scale[:, None] - rows).sum(1)
        better = error < best
        best[better] = error[better]
        kept[0][better], kept[1][better] = whole[better].astype(np.int8), scale[better]
    return kept[0].reshape(weight.shape), kept[1]


def tensors_of(net: Enhancer) -> weights.Tensors:
    """By name, as pillow_lic/jpeg/network.py knows them."""
    found: weights.Tensors = {}
    for name, value in net.state_dict().items():
        array = np.ascontiguousarray(value.float().numpy())
        if name.endswith(".weight"):
            whole, scale = quantised(array)
            found[name] = weights.Tensor("I8", memoryview(whole))
            found[name.replace(".weight", ".scale")] = weights.Tensor("F32", memoryview(scale))
        else:
            found[name] = weights.Tensor("F32", memoryview(array))
    return found


def main() -> None:
    run, file = Path(sys.argv[1]), Path(sys.argv[2])
    kept = torch.load(run / "state.pt", map_location="cpu")
    net = Enhancer(Config(*kept["config"]))
    net.load_state_dict(kept["mean"])
    file.write_bytes(weights.write(tensors_of(net)))
    print(f"{file}: {file.stat().st_size} bytes, after {kept['step']} steps")


if __name__ == "__main__":
    main()
