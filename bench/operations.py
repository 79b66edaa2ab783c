"""Memory and open files over thousands of mixed operations: open, load, save, verify, thumbnail, arrays, batches,
damaged and cut files, models that are registered again.

    python bench/operations.py [--count 3000]

Every tenth of them prints resident megabytes, open files and threads. They must stay as they are from the second on.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import os
import random
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile

import pillow_lic
from pillow_lic.models import registry

SIDE = 300  # pixels, of the largest pictures


class State(NamedTuple):
    megabytes: float
    files: int
    threads: int


def state() -> State:
    """Of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    threads = len(os.listdir("/proc/self/task"))
    return State(pages * os.sysconf("SC_PAGESIZE") / 1e6, len(os.listdir("/proc/self/fd")), threads)


def picture(chance: random.Random) -> np.ndarray:
    """Of any size and layout, partly flat."""
    height, width, bands = chance.randrange(1, SIDE), chance.randrange(1, SIDE), chance.choice((1, 2, 3, 4))
    pixels = np.random.default_rng(chance.randrange(1 << 30)).integers(0, 256, (height, width, bands), np.uint8)
    pixels[: chance.randrange(height + 1)] = chance.randrange(256)
    return pixels


def saved(chance: random.Random, folder: Path, model: str | None) -> None:
    image = Image.fromarray(picture(chance).repeat(3, 2)[:, :, :3])
    image.save(
        folder / "a.lic", quality=chance.randrange(1, 101), effort=0, model=model, lossless=chance.random() < 0.2
    )
    with Image.open(folder / "a.lic") as back:
        back.thumbnail((50, 50))


def opened(chance: random.Random, folder: Path, model: str | None) -> None:
    data = pillow_lic.encode(picture(chance), quality=30, effort=0, model=model)
    (folder / "b.lic").write_bytes(data)
    Image.open(folder / "b.lic").verify()
    image = Image.open(io.BytesIO(data))
    image.load()
    with Image.open(folder / "b.lic") as lazy:
        _ = lazy.info


def damaged(chance: random.Random, folder: Path, model: str | None) -> None:
    data = bytearray(pillow_lic.encode(picture(chance), quality=30, effort=0, model=model))
    for _ in range(3):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    ImageFile.LOAD_TRUNCATED_IMAGES = chance.random() < 0.5
    with contextlib.suppress(OSError):
        Image.open(io.BytesIO(data[: chance.randrange(len(data) // 2, len(data) + 1)])).load()
    ImageFile.LOAD_TRUNCATED_IMAGES = False


def batched(chance: random.Random, folder: Path, model: str | None) -> None:
    files = pillow_lic.encode_batch([picture(chance) for _ in range(3)], quality=20, effort=0, model=model)
    pillow_lic.decode_batch(files)


def registered(chance: random.Random, folder: Path, model: str | None) -> None:
    target = folder / f"model{chance.randrange(3)}"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(registry.by_name("toy").path, target)
    manifest = target / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"toy"', '"other"'))
    pillow_lic.encode(picture(chance), model=pillow_lic.register_model(target), effort=0)


OPERATIONS = (saved, opened, damaged, batched, registered)


def run(count: int, folder: str, seed: int = 0, model: str | None = None) -> State:
    """So many operations, and what they leave."""
    chance = random.Random(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(count):
            OPERATIONS[number % len(OPERATIONS)](chance, Path(folder), model)
    return state()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--model", help="a name; by default what quality chooses")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for part in range(10):
            found = run(a.count // 10, folder, part, a.model)
            line = f"{found.megabytes:7.1f} MB, {found.files} files, {found.threads} threads"
            print(f"{(part + 1) * (a.count // 10):6} operations: {line}", flush=True)


if __name__ == "__main__":
    main()
