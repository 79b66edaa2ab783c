"""Ranges of a float network's values over calibration pictures, from which the units of its integers follow
(pillow_lic's exchange.py).

Imports torch and numpy; of pillow_lic the engine's rounding and entropy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from pillow_lic.constants import LIC_Z_STEP_BITS
from pillow_lic.engines.torch import latents, quantise
from pillow_lic.engines.torch.exchange import I16_MAX
from pillow_lic.entropy import Tables

if TYPE_CHECKING:
    from train.data import Crops
    from train.families import Model
    from train.fitting import Fitter

HEADROOM = 4.0  # of values against the largest of calibration
QUIET = 1.0 / 64.0  # of the loudest channel's unit: the least that a channel's is


class Ranges:
    """The largest values that each channel takes at named places, over all calibration pictures and rates."""

    def __init__(self) -> None:
        self.most: dict[str, Tensor] = {}

    def see(self, name: str, x: Tensor) -> Tensor:
        found = x.detach().abs().amax((0, 2, 3)).float()
        self.most[name] = torch.maximum(self.most[name], found) if name in self.most else found
        return x

    def units(self) -> dict[str, np.ndarray]:
        """The unit of each channel at each place: HEADROOM times the largest value that was seen is the largest i16."""
        found = {}
        for name, most in self.most.items():
            values = most.double().numpy()
            found[name] = np.maximum(values, max(values.max() * QUIET, 1e-6)) * HEADROOM / I16_MAX
        return found


def hard_pictures(side: int = 192) -> list[Tensor]:
    """Generated pictures (1, 3, side, side) in 0..1 whose values go beyond those of photographs: stripes, checkers,
    noise, edges, ramps.
    """
    rng = np.random.default_rng(0)
    line = np.arange(side)
    pictures = []
    for period in (2, 3, 4):
        stripes = np.broadcast_to((line % period < period // 2)[:, None], (side, side)).astype(float)
        pictures += [np.repeat(one[..., None], 3, 2) for one in (stripes, stripes.T, (stripes + stripes.T) % 2)]
    colours = rng.random((4, 3))
    pictures.append(np.where((line % 2 == 0)[:, None, None], colours[0], colours[1]) * np.ones((side, side, 1)))
    pictures.append(rng.random((side, side, 3)))
    pictures.append(np.repeat((rng.random((side, side, 1)) < 0.5).astype(float), 3, 2))
    ramp = line / (side - 1.0)
    pictures.append(np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], 1 - ramp[:, None]), 2))
    quarters = np.zeros((side, side, 3))
    half = side // 2
    quarters[:half, :half, 0] = quarters[:half, half:, 1] = quarters[half:, :half, 2] = 1.0
    pictures += [quarters, 1.0 - quarters]
    square = np.zeros((side, side, 3))
    square[side // 4 : -side // 4, side // 4 : -side // 4] = 1.0
    pictures.append(square)
    return [torch.from_numpy(np.ascontiguousarray(p.transpose(2, 0, 1))[None]).float() for p in pictures]


class Calibration:
    """Ranges of the values of networks that are exported as integers, from photographs and from pictures that ask for
    more than those.
    """

    def __init__(self, fitter: Fitter, arrays: dict[str, np.ndarray]):
        self.model: Model = fitter.model
        self.qualities = fitter.qualities[::2]
        self.tables = Tables.from_model(fitter.manifest, arrays)
        self.quantiser = quantise.of_tables(self.tables, arrays, 0)
        self.ranges = Ranges()

    @torch.inference_mode()
    def see(self, x: Tensor, q: int) -> None:
        """x (1, 3, H, W) in 0..1, sides multiples of 64, as an encoder and a decoder see it."""
        t = latents.positions([q])
        self.model.observe_encoder(x, t, self.ranges)
        y = self.model.analysis(x, t)
        z = quantise.hyper_symbols(self.model.hyper_analysis(y, t)[0], torch.from_numpy(self.tables.z_steps(q))).numpy()
        v = torch.from_numpy(self.tables.dequantised(q, z))[None]
        index = torch.from_numpy(self.tables.scale_index(q, z, *y.shape[2:]))[None].int()

        def residuals(at: tuple, mean: Tensor, step: Tensor) -> Tensor:
            return self.quantiser.quantise((y[at] - mean) / step, index[at]).float()

        self.model.observe_decoder(y, v.float() / (1 << LIC_Z_STEP_BITS), residuals, t, self.ranges)

    def units(self, crops: Crops, batches: int) -> dict[str, np.ndarray]:
        """The units of all places."""
        for step in tqdm(range(batches), desc="calibrating"):
            for k, q in enumerate(self.qualities):
                for one in crops.at(1000 + step * len(self.qualities) + k):
                    self.see(torch.from_numpy(one[None]).float().div(255), q)
        for picture in tqdm(hard_pictures(), desc="calibrating on hard pictures"):
            for q in self.qualities:
                self.see(picture, q)
        return self.ranges.units()
