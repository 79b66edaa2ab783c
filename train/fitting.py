"""Runs an encoder's path over training crops and counts its symbols by row, for export.

Imports numpy and torch; of pillow_lic the engine's steps and entropy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from pillow_lic import quality
from pillow_lic.constants import LIC_ACTIVITY_MAX
from pillow_lic.engines import base
from pillow_lic.engines.base import Latents, Picture
from pillow_lic.engines.torch import latents, place, quantise, search
from pillow_lic.engines.torch.networks import Network
from pillow_lic.entropy import Tables, rate_point
from train.exchange import integer_map
from train.rows import Rows

if TYPE_CHECKING:
    from train.data import Crops
    from train.families import Model

RATES = 9  # rates, over those that were trained, at which the rows are fitted
LEVELS = 4  # rows of each channel of z at each rate, by the activity of earlier channels (FORMAT 7.4)


class Fitter:
    """A model, its manifest so far, and what its encoder's symbols say about its rows."""

    def __init__(self, model: Model, manifest: dict):
        self.model, self.manifest, self.integers = model, manifest, integer_map(model)
        self.qualities = np.linspace(*manifest["quality"], RATES).round().astype(int).tolist()
        shape = manifest["points"], manifest["hyper"], LIC_ACTIVITY_MAX * manifest["hyper"]
        self.activities = np.zeros(shape)  # how often each was seen

    def tables(self, rows: Rows) -> dict[str, np.ndarray]:
        return {**rows.arrays(), **self.integers}

    def z_level(self) -> np.ndarray:
        """Activities at which the levels begin: LEVELS of them about equally frequent, as far as `fit` has seen."""
        share = self.activities.cumsum(2) / self.activities.sum(2, keepdims=True).clip(1)
        below = share[:, :, None] < (np.arange(1, LEVELS) / LEVELS)[:, None]
        return (1 + below.sum(3)).astype(np.uint16)

    @torch.inference_mode()
    def fit(self, rows: Rows, crops: Crops, batches: int, effort: int = 0) -> Rows:
        """Counts of the symbols that an encoder of that effort finds by `rows`. effort above 0: of models with a
        lambda.
        """
        arrays = self.tables(rows)
        tables = Tables.from_model(self.manifest, arrays)
        quantiser = quantise.of_tables(tables, arrays, 0)
        counted = Rows(rows.shapes, rows.residual, rows.z_level)
        decoder = Network(self.model, self.manifest["halo"], place.at("cpu"))
        for step in tqdm(range(batches), desc="fitting rows"):
            pixels = crops.at(step)
            pictures = [Picture(None, None, np.ascontiguousarray(one.transpose(1, 2, 0))) for one in pixels]
            x = torch.from_numpy(pixels).float().div(255)
            for q in self.qualities:
                t = latents.positions([q] * len(x))
                y = self.model.analysis(x, t)
                z = self._hyper_symbols(counted, tables, y, q, t)
                if rows.scale_rows:
                    v = torch.from_numpy(tables.dequantised(q, z))
                    index = torch.from_numpy(np.stack([tables.scale_index(q, one, *y.shape[2:]) for one in z]))
                    bit = base.error_of_bit(quality.lambda_at(self.manifest["lambda"], q) if effort else None)
                    visual = bit * quality.lambda_at(self.manifest["visual"], q) if "visual" in self.manifest else 0.0
                    found = Latents(pictures, t, y, torch.from_numpy(z), v, index)
                    r = search.quantise(decoder, quantiser, found, effort, bit, visual).r
                    for levels, where in zip(r.flatten(2).numpy(), index.flatten(2).numpy()):
                        symbols, row = rows.residual.symbols(tables, levels, where)
                        counted.count(row.astype(np.int64), symbols)
        return counted

    def _hyper_symbols(self, rows: Rows, tables: Tables, y: Tensor, q: int, t: Tensor) -> np.ndarray:
        """z (N, C, hz, wz) of y (N, M, h, w); it and the activities are counted."""
        nearest = rate_point(q, self.manifest["points"])[2]
        d = torch.from_numpy(tables.z_steps(q))
        found = [quantise.hyper_symbols(one, d).numpy() for one in self.model.hyper_analysis(y, t)]
        for z in found:
            rows.count(rows.scale_rows + tables.z_rows(q, z), z)
            for seen, values in zip(self.activities[nearest], tables.activity(z)):
                seen += np.bincount(values.ravel(), minlength=len(seen))
        return np.stack(found)
