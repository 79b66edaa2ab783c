"""The bank of probability rows while export makes it: shapes, and how often each value was seen (FORMAT 7.3, 7.4).

Imports numpy and torch; of pillow_lic constants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from pillow_lic.constants import LIC_PROB_BITS
from pillow_lic.engines.torch.quantise import Z_LIMIT
from train.layers import Z_COMPONENTS, HyperRate

if TYPE_CHECKING:
    from train.residuals.kind import Residual, Row

PRIOR_COUNT = 400.0  # weight, in symbols, of the parametric shape against the counted one
LEVEL_COUNT = 20.0  # weight, in symbols, of the channel's shape at all levels against the one counted at a level
FLAT_SKIP = 0.001  # rows in which a symbol is non-zero more rarely than this are not coded


def logistic_row(mean: np.ndarray, log_scale: np.ndarray, weight: np.ndarray) -> Row:
    """A mixture of logistics (K,) over integers."""
    scale = np.exp(np.clip(log_scale, -4.0, 6.0))
    reach = np.maximum(2, np.ceil(9.0 * scale))
    first = max(-Z_LIMIT, int(np.floor((mean - reach).min())))
    last = min(Z_LIMIT, int(np.ceil((mean + reach).max())))
    edges = (np.arange(first, last + 2) - 0.5 - mean[:, None]) / scale[:, None]
    mass = weight @ np.diff(torch.from_numpy(edges).sigmoid().numpy())
    return first, np.append(mass, max(0.0, 1.0 - mass.sum()))


def to_frequencies(mass: np.ndarray) -> np.ndarray:
    """Probabilities to integers >= 1 that sum to 65536, the rounding's remainder going to the largest ones."""
    total = 1 << LIC_PROB_BITS
    scaled = mass / mass.sum() * (total - len(mass))
    freq = np.floor(scaled).astype(np.int64) + 1
    order = np.argsort(scaled - np.floor(scaled))[::-1]
    freq[order[: total - freq.sum()]] += 1
    return freq.astype(np.uint16)


class Rows:
    """The bank while it is made: parametric shapes, and how often each of their values was seen."""

    def __init__(self, shapes: list[Row], residual: Residual, z_level: np.ndarray | None = None):
        """shapes: those of r, as many as its kind has, and then those of z.

        z_level: FORMAT 7.4 (P, C, X - 1), and shapes has each row of z X times; None for one level.
        """
        self.shapes, self.residual, self.z_level = shapes, residual, z_level
        self.scale_rows = len(residual.rows())
        self.first = np.array([first for first, _ in shapes], np.int64)
        self.length = np.array([len(mass) for _, mass in shapes], np.int64)
        self.start = self.length.cumsum() - self.length
        self.seen = np.zeros(self.length.sum())  # all rows, one after the other

    @classmethod
    def parametric(cls, residual: Residual, rate: HyperRate) -> Rows:
        """As training thinks of them: those of a residual kind, and the prior of z."""
        weight = rate.logit.unflatten(1, (-1, Z_COMPONENTS)).softmax(2)
        tables = (rate.mean, rate.log_scale, weight)
        mean, log_scale, weight = (part.detach().double().numpy().reshape(-1, Z_COMPONENTS) for part in tables)
        return cls(residual.rows() + [logistic_row(*row) for row in zip(mean, log_scale, weight)], residual)

    @property
    def levels(self) -> int:
        return 1 if self.z_level is None else self.z_level.shape[2] + 1

    def split(self, z_level: np.ndarray) -> Rows:
        """The same with levels of z, at each of which the whole channel's values were seen."""
        repeats = np.ones(len(self.shapes), np.int64)
        repeats[self.scale_rows :] = z_level.shape[2] + 1
        source = np.arange(len(repeats)).repeat(repeats)
        rows = Rows([self.shapes[row] for row in source], self.residual, z_level)
        rows.seen = np.concatenate([self.of(row) for row in source])
        return rows

    def of(self, row: int) -> np.ndarray:
        """How often each value of a row was seen, beyond them as last entry."""
        return self.seen[self.start[row] : self.start[row] + self.length[row]]

    def count(self, row: np.ndarray, symbols: np.ndarray) -> None:
        """Adds symbols, each under its row."""
        place, last = symbols - self.first[row], self.length[row] - 1
        place = np.where((place < 0) | (place > last), last, place)  # escapes
        self.seen += np.bincount((self.start[row] + place).ravel(), minlength=len(self.seen))

    def arrays(self) -> dict[str, np.ndarray]:
        """freq, count, first and z_level of FORMAT 9.2, and those of the residual kind.

        Scale rows are made symmetric: nothing prefers a sign.
        """
        freqs = []
        for row in range(self.scale_rows):
            seen = self.of(row)
            seen = np.append((seen[:-1] + seen[:-1][::-1]) / 2, seen[-1])
            freqs.append(to_frequencies(seen + PRIOR_COUNT * (self.shapes[row][1] + 1e-7)))
        for row in range(self.scale_rows, len(self.shapes), self.levels):
            seen = [self.of(row + level) for level in range(self.levels)]
            channel = sum(seen) + PRIOR_COUNT * (self.shapes[row][1] + 1e-7)
            own = [one + LEVEL_COUNT * channel / channel.sum() for one in seen] if self.levels > 1 else [channel]
            freqs += [to_frequencies(one) for one in own]
        levels = {} if self.z_level is None else {"z_level": self.z_level}
        return {
            "freq": np.concatenate(freqs),
            "count": self.length.astype(np.int32),
            "first": self.first.astype(np.int16),
            **levels,
            **self.residual.tables(),
        }

    def skip(self) -> int:
        """Number of lowest rows that are almost surely zero."""
        for row in range(self.residual.plain):
            seen = self.of(row)
            if seen.sum() > 0 and 1.0 - seen[-self.first[row]] / seen.sum() > FLAT_SKIP:
                return row
        return self.residual.plain
