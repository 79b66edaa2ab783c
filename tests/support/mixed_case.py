"""Random tables of mixture models (FORMAT 7.8), and tiles under them."""

from __future__ import annotations

import math

import mixture_twin
import numpy as np
from random_tables import Tile, random_arrays, random_symbols

from pillow_lic.entropy import CELL, PLANES, Tables

NORMAL = mixture_twin.normal()


def inverses(rng, scales: int) -> np.ndarray:
    sigma = np.exp(rng.uniform(math.log(0.05), math.log(60), scales))
    return np.clip(256 / 4.25 / 16 / sigma * 65536, 2048, 1 << 24).astype(np.uint32)


class MixedCase(Tile):
    """Random tables of a mixture model and a tile."""

    def __init__(self, seed: int, h: int, w: int, components: int = 3, hidden: int = 0):
        rng = np.random.default_rng(seed)
        latent, hyper, scales, points = int(rng.integers(1, 4)), int(rng.integers(1, 8)), int(rng.integers(1, 40)), 3
        planes = PLANES * components
        arrays = random_arrays(
            rng, latent * planes, hyper, points, 1, levels=int(rng.integers(1, 5)), near=seed % 2 == 1
        )
        arrays["freq"] = arrays["freq"][arrays["count"][0] :]
        arrays["count"], arrays["first"] = arrays["count"][1:], arrays["first"][1:]
        inputs = hyper
        for layer in range(hidden):
            width = int(rng.integers(1, 9))
            arrays[f"hidden{layer + 1}_weight"] = rng.integers(-1023, 1024, (width, inputs)).astype(np.int16)
            arrays[f"hidden{layer + 1}_offset"] = rng.integers(-(1 << 20), 1 << 20, width).astype(np.int32)
            inputs = width
        arrays["weight"] = rng.integers(-60, 61, (CELL * planes * latent, inputs)).astype(np.int16)
        arrays["offset"] = rng.integers(0, 256 << 11, CELL * planes * latent).astype(np.int32)
        arrays["normal"], arrays["inverse"] = NORMAL, inverses(rng, scales)
        self.arrays, self.numbers = arrays, (latent, hyper, points, scales, 0)
        self.tables = Tables(arrays, *self.numbers)
        self.model, self.coding = self.tables.model, int(rng.integers(100, 10001))
        self.q = self.coding
        self.h, self.w, self.a, self.b = h, w, -(-h // 4), -(-w // 4)
        self.z = random_symbols(rng, (hyper, self.a, self.b))
        self.r = random_symbols(rng, (latent, h, w))
