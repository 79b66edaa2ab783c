"""Rows of z by classes of neighbours (FORMAT 7.4), fitted to a model that is already exported: its networks stay.

python -m train.z_rows MODEL --data FOLDER --out FOLDER writes the model with other tables: another identity.
Runs the native encoder over training photographs and counts; prints the bits of z before and after on the held-out
ones. Imports numpy and pillow_lic; never torch.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from pillow_lic import threads
from pillow_lic.constants import (
    LIC_NEIGHBOUR_CLASSES,
    LIC_NEIGHBOUR_MAX,
    LIC_PROB_BITS,
    LIC_QUALITY_MAX,
    LIC_QUALITY_MIN,
)
from pillow_lic.container import Grid, hyper_size, latent_size
from pillow_lic.engines.native import networks
from pillow_lic.models.store import read_model

from .data import load_split
from .pack import write_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pillow_lic.models.store import Model

SIDE_MAX = 1024  # of a photograph: a tile's side, beyond which no context reaches
PARENT_COUNT = 30.0  # weight, in symbols, of the row without classes against what a class has seen
SHIPPED_COUNT = 60.0  # the same of the row as it was shipped against what it has seen here
LEAST = 1.0 / (1 << LIC_PROB_BITS)  # probability below which a value at a row's end is left to its escape


def halved(photo: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels."""
    h, w = photo.shape[0] // 2 * 2, photo.shape[1] // 2 * 2
    blocks = photo[:h, :w].reshape(h // 2, 2, w // 2, 2, 3).astype(np.float32)
    return np.rint(blocks.mean((1, 3))).astype(np.uint8)


def neighbour_class(z: np.ndarray) -> np.ndarray:
    """The class of every z (C, a, b), 0 to 9 (FORMAT 7.4), as if none were escaped."""
    left, above = np.roll(z, 1, 2).astype(np.int32), np.roll(z, 1, 1).astype(np.int32)
    left[:, 1:, 0], above[:, 0, 1:] = z[:, :-1, 0], z[:, 0, :-1]
    left[:, 0, 0] = above[:, 0, 0] = 0
    size, total = np.minimum(np.abs(left) + np.abs(above), LIC_NEIGHBOUR_MAX), left + above
    return np.where(size == 0, 0, 3 * size - 1 + np.sign(total))


@dataclass
class Shipped:
    """The rows of z of a model without classes: (points, channels, levels)."""

    model: Model

    def __post_init__(self) -> None:
        arrays, tables = self.model.arrays, self.model.tables
        if tables.classes != 1:
            msg = f"{self.model.name} has classes already: fit to the model that was exported"
            raise SystemExit(msg)
        self.shape = tables.points, tables.hyper, tables.levels
        scale = tables.scale_rows
        ends = np.cumsum(arrays["count"].astype(np.int64))
        self.scale_freq = arrays["freq"][: ends[scale - 1] if scale else 0]
        self.scale_count, self.scale_first = arrays["count"][:scale], arrays["first"][:scale]
        parts = np.split(arrays["freq"], ends[:-1])[scale:]
        self.first = arrays["first"][scale:].astype(np.int64)
        self.freq = [part.astype(np.float64) / (1 << LIC_PROB_BITS) for part in parts]
        self.width = max(map(len, self.freq))

    def mass(self) -> np.ndarray:
        """(rows, width): probabilities, the escape's last wherever the row ends."""
        out = np.zeros((len(self.freq), self.width))
        for row, part in zip(out, self.freq, strict=True):
            row[: len(part)] = part
        return out


class Counts:
    """How often each value of each row was seen, by class: (rows, classes, width)."""

    def __init__(self, shipped: Shipped):
        self.shipped = shipped
        self.length = np.array([len(part) for part in shipped.freq])
        self.seen = np.zeros((len(self.length), LIC_NEIGHBOUR_CLASSES, shipped.width), np.float64)

    def add(self, row: np.ndarray, kind: np.ndarray, z: np.ndarray) -> None:
        """Symbols z under their shipped rows, of these classes."""
        place, last = z - self.shipped.first[row], self.length[row] - 1
        place = np.where((place < 0) | (place >= last), last, place)
        flat = (row * LIC_NEIGHBOUR_CLASSES + kind) * self.shipped.width + place
        self.seen += np.bincount(flat.ravel(), minlength=self.seen.size).reshape(self.seen.shape)

    def fitted(self) -> np.ndarray:
        """Probabilities of the same shape."""
        shipped = self.shipped.mass()
        parent = self.seen.sum(1) + SHIPPED_COUNT * shipped
        parent /= parent.sum(1, keepdims=True)
        own = self.seen + PARENT_COUNT * parent[:, None]
        return own / own.sum(2, keepdims=True)

    def bits(self, mass: np.ndarray) -> float:
        """Of what was seen, under rows of this shape, or of one class."""
        mass = mass[:, None] if mass.ndim == 2 else mass
        return float(-(self.seen * np.log2(np.maximum(mass, LEAST))).sum())


def symbols(model: Model, photo: np.ndarray, qualities: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """(Q, z (C, hz, wz)) as the encoder makes them of a photograph."""
    pixels = np.ascontiguousarray(photo[:SIDE_MAX, :SIDE_MAX])
    grid = Grid(*(latent_size(side) for side in pixels.shape[:2]))
    hyper = Grid(*(hyper_size(side) for side in grid))
    analysis, manifest = networks(model).analysis, model.manifest
    for q in qualities:
        y = bytearray(4 * grid.rows * grid.columns * manifest.latent)
        analysis.analyse(q, pixels.tobytes(), pixels.shape, y, threads.count())
        z = np.empty((manifest.hyper, *hyper), np.int16)
        analysis.hyper_symbols(model.core, q, y, grid, z)
        yield q, z


def count(model: Model, shipped: Shipped, photos: Sequence[np.ndarray], what: str) -> Counts:
    """What the rows would see of photographs at every rate that the model was trained for."""
    low, high = model.manifest.quality or (LIC_QUALITY_MIN, LIC_QUALITY_MAX)
    points = model.tables.points
    near = [LIC_QUALITY_MIN + round(p * (LIC_QUALITY_MAX - LIC_QUALITY_MIN) / (points - 1)) for p in range(points)]
    qualities = sorted({min(max(q, low), high) for q in near})
    counts = Counts(shipped)
    for photo in tqdm(photos, desc=what, mininterval=10):
        for q, z in symbols(model, photo, qualities):
            row = model.tables.z_rows(q, z)
            counts.add(row, neighbour_class(z), z.astype(np.int64))
    return counts


def row_of(first: int, mass: np.ndarray) -> tuple[int, np.ndarray]:
    """First value and frequencies, the values at the ends that hardly occur left to the escape, which is last."""
    values, rest = mass[:-1], mass[-1]
    there = np.flatnonzero(values >= LEAST)
    low, high = (there[0], there[-1] + 1) if len(there) else (0, 1)
    kept = np.append(values[low:high], rest + values[:low].sum() + values[high:].sum())
    total = 1 << LIC_PROB_BITS
    scaled = kept / kept.sum() * (total - len(kept))
    freq = np.floor(scaled).astype(np.int64) + 1
    freq[np.argsort(scaled - np.floor(scaled))[::-1][: total - freq.sum()]] += 1
    return first + int(low), freq.astype(np.uint16)


def tables_with(shipped: Shipped, mass: np.ndarray, length: np.ndarray) -> dict[str, np.ndarray]:
    """freq, count, first and z_near of FORMAT 9.2."""
    rows = [
        row_of(int(shipped.first[k]), mass[k, kind, : length[k]])
        for k in range(len(length))
        for kind in range(LIC_NEIGHBOUR_CLASSES)
    ]
    freq = np.concatenate([shipped.scale_freq, *(freq for _, freq in rows)])
    counts = np.concatenate([shipped.scale_count, np.array([len(freq) for _, freq in rows], np.int32)])
    first = np.concatenate([shipped.scale_first, np.array([first for first, _ in rows], np.int16)])
    near = np.array([LIC_NEIGHBOUR_CLASSES], np.int32)
    return {"freq": freq.astype(np.uint16), "count": counts, "first": first, "z_near": near}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model directory of the photo family")
    parser.add_argument("--data", type=Path, required=True, help="photographs, as for train.train")
    parser.add_argument("--out", type=Path, required=True, help="where the model with other tables goes")
    parser.add_argument("--photos", type=int, default=150, help="how many training photographs")
    options = parser.parse_args()
    model = read_model(0, options.model)
    shipped = Shipped(model)
    training, held_out = load_split(options.data)
    chosen = [training[k] for k in np.linspace(0, len(training) - 1, options.photos).astype(int)]
    counts = count(model, shipped, [one for photo in chosen for one in (photo, halved(photo))], "counting")
    mass = counts.fitted()
    seen = count(model, shipped, held_out, "checking")
    before, after = seen.bits(shipped.mass()), seen.bits(mass)
    print(
        f"{model.name}: z of {len(held_out)} held-out photographs {before:.0f} -> {after:.0f} bits "
        f"({100 * (after / before - 1):+.2f} %)"
    )
    arrays = {**model.arrays, **tables_with(shipped, mass, counts.length)}
    encoder = None if model.manifest.encoder is None else model.encoder_arrays
    write_model(options.out, dict(model.manifest.stated), arrays, encoder)


if __name__ == "__main__":
    main()
