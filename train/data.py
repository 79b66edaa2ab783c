"""Training crops from folders or tar parts of photographs. Imports numpy and Pillow; never torch.

Every batch is a function of (seed, step) alone, so a resumed run sees the crops it would have seen.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import queue
import tarfile
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".lic"}
VALIDATION_SHARE = 32  # one photograph in so many is held out, chosen by the hash of its name


def read_photographs(source: Path) -> Iterator[tuple[str, np.ndarray]]:
    """(name, (H, W, 3) uint8) of every photograph in a folder, its subfolders and its tar files."""
    paths = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file())
    for path in paths:
        if path.suffix == ".tar":
            with tarfile.open(path) as archive:
                for member in archive:
                    if Path(member.name).suffix.lower() in SUFFIXES:
                        data = archive.extractfile(member).read()
                        yield f"{path.name}/{member.name}", _decode(io.BytesIO(data))
        elif path.suffix.lower() in SUFFIXES:
            yield str(path.relative_to(source) if source.is_dir() else path.name), _decode(path)


def _decode(file) -> np.ndarray:
    with Image.open(file) as im:
        return np.asarray(im.convert("RGB"))


def is_validation(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[0] % VALIDATION_SHARE == 0


@cache
def load_split(source: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """All photographs as uint8 arrays: (training, validation). Kept: a second run in the process need not read them
    again.
    """
    training: list[np.ndarray] = []
    validation: list[np.ndarray] = []
    for name, array in read_photographs(source):
        (validation if is_validation(name) else training).append(array)
    if not training:
        msg = f"no photographs found in {source}; give a folder of images or of tar files of images"
        raise FileNotFoundError(msg)
    return training, validation or training[:1]


class Crops:
    """Batches (N, 3, size, size) uint8 of random crops: flips, transposition, rescaling, some grey ones."""

    def __init__(self, photographs: list[np.ndarray], size: int, batch: int, seed: int, grey: float = 0.03):
        self.photographs = [p for p in photographs if min(p.shape[:2]) >= 64]
        self.size, self.batch, self.seed, self.grey = size, batch, seed, grey
        areas = np.array([p.shape[0] * p.shape[1] for p in self.photographs], float)
        self.weights = np.sqrt(areas) / np.sqrt(areas).sum()  # large pictures hold more, yet are more alike inside

    def at(self, step: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, step])
        chosen = rng.choice(len(self.photographs), self.batch, p=self.weights)
        return np.stack([self._crop(self.photographs[i], rng) for i in chosen])

    def _crop(self, photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        height, width = photo.shape[:2]
        scale = rng.uniform(0.5, 1.0) if rng.random() < 0.5 else 1.0  # fraction of the original resolution kept
        side = min(round(self.size / scale), height, width)
        top = rng.integers(0, height - side + 1)
        left = rng.integers(0, width - side + 1)
        crop = photo[top : top + side, left : left + side]
        if side != self.size:
            crop = np.asarray(Image.fromarray(crop).resize((self.size, self.size), Image.Resampling.LANCZOS))
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        if rng.random() < 0.5:
            crop = crop.transpose(1, 0, 2)
        if rng.random() < self.grey:
            crop = np.repeat(crop.mean(2, keepdims=True).round().astype(np.uint8), 3, 2)
        return crop.transpose(2, 0, 1)

    def iterate(self, start: int, ahead: int = 4) -> Iterator[np.ndarray]:
        """Batches from step `start` on, made by a thread that stays `ahead` batches in front."""
        made: queue.Queue[np.ndarray] = queue.Queue(ahead)
        over = threading.Event()

        def produce() -> None:
            step = start
            while not over.is_set():
                made.put(self.at(step))
                step += 1

        thread = threading.Thread(target=produce, daemon=True)
        thread.start()
        try:
            while True:
                yield made.get()
        finally:  # a thread that still runs when the interpreter ends may abort the process
            over.set()
            while thread.is_alive():
                with contextlib.suppress(queue.Empty):
                    made.get(timeout=0.05)
