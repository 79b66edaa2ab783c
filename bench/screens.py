"""What is no photograph: bytes and PSNR of `screen="auto"` beside "off", lossless WebP and AVIF 4:4:4, over the sixty
pictures of drawn.py.

    python bench/screens.py [NAME ...] [--results FOLDER] [--qualities 20 50 75 95]

Writes screens.csv; prints what is beyond the bounds: more than 3 % over the better of lossless WebP and the networks
alone (by bits + lambda * squared error, and by bytes), PSNR that falls by more than 0.3 dB as quality rises, and sums
of bytes against AVIF at equal PSNR, or at its best where ours is beyond. PSNR is over visible pixels, 100 where nothing
differs.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from drawn import pictures
from PIL import Image, features

import pillow_lic
from pillow_lic.models import choice
from pillow_lic.quality import to_q

RESULTS = Path(__file__).parent / "results"
QUALITIES = (20, 50, 75, 95)
AVIF_QUALITIES = (1, 5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 85, 90, 93, 95, 97, 98, 99, 100)
EXACT = 100.0  # dB, in the place of infinity
OVER, FALL = 1.03, 0.3


def mse(a: np.ndarray, b: np.ndarray) -> float:
    """Mean squared error over visible pixels."""
    seen = a[..., 3] != 0 if a.shape[-1] == 4 else np.ones(a.shape[:2], bool)
    return float(((a[seen][:, :3].astype(float) - b[seen][:, :3]) ** 2).mean())


def psnr(error: float) -> float:
    return EXACT if error == 0 else 10 * math.log10(255**2 / error)


def saved(array: np.ndarray, format: str, **options: Any) -> tuple[int, float]:
    """(bytes, mean squared error) of a format of Pillow's."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format, **options)
    with Image.open(io.BytesIO(buffer.getvalue())) as image:
        return len(buffer.getvalue()), mse(array, np.asarray(image.convert(Image.fromarray(array).mode)))


def ours(array: np.ndarray, quality: float, screen: str) -> tuple[int, float, float, str]:
    """(bytes, mean squared error, seconds, how)."""
    begin = time.process_time()
    data = pillow_lic.encode(array, quality=quality, screen=screen)
    seconds = time.process_time() - begin
    chunks = pillow_lic.container.read(data)
    how = "exact" if chunks.header.alone else f"{len(chunks.overlay)} rectangles" if chunks.overlay else "networks"
    return len(data), mse(array, np.asarray(pillow_lic.decode(data))), seconds, how


def avif_bytes(curve: list[tuple[float, int]], wanted: float) -> float:
    """Bytes at a PSNR, between the two points around it. Beyond the best point that one's, in AVIF's favour: Pillow
    cannot ask libavif for what is exact.
    """
    reached = sorted(curve)
    above = next((point for point in reached if point[0] >= wanted), reached[-1])
    below = max((point for point in reached if point[0] < wanted), default=above)
    if above[0] <= below[0]:
        return above[1]
    share = (wanted - below[0]) / (above[0] - below[0])
    return math.exp(math.log(below[1]) * (1 - share) + math.log(above[1]) * share)


def rows_of(name: str, array: np.ndarray, qualities: list[float]) -> list[dict[str, Any]]:
    webp = saved(array, "WEBP", lossless=True)
    curve = []
    if features.check("avif"):
        for quality in AVIF_QUALITIES:
            size, error = saved(array, "AVIF", quality=quality, subsampling="4:4:4", speed=6)
            curve.append((psnr(error), size))
    rows = []
    for quality in qualities:
        size, error, seconds, how = ours(array, quality, "auto")
        off, off_error, off_seconds, _ = ours(array, quality, "off")
        pixels = array.shape[0] * array.shape[1]
        q = to_q(quality)
        squares = choice.chosen(None, choice.SQUARES_TUNE, q).manifest
        weight = squares.lambda_at(q) * pixels / 8  # bytes that a squared error is worth
        better = min((webp[0], webp[0]), (off + weight * off_error, off))[1]
        rows.append({
            "picture": name, "quality": quality, "bytes": size, "psnr": round(psnr(error), 2), "how": how,
            "off": off, "off_psnr": round(psnr(off_error), 2), "webp": webp[0], "better": better,
            "avif": round(avif_bytes(curve, psnr(error))) if curve else "",
            "seconds": round(seconds, 3), "off_seconds": round(off_seconds, 3),
        })  # fmt: skip
        print(*rows[-1].values(), flush=True)
    return rows


def report(rows: list[dict[str, Any]]) -> None:
    """What is beyond the bounds, and the sums."""
    for row in rows:
        if row["bytes"] > OVER * row["better"] + 1:
            print(f"over the better: {row['picture']} at {row['quality']}: {row['bytes']} for {row['better']}")
    cheap = [row for row in rows if row["bytes"] > OVER * min(row["webp"], row["off"])]
    print(f"{len(cheap)} of {len(rows)} files have more bytes than 1.03 of either, for a better picture:")
    for row in cheap:
        other = f"off {row['off']} at {row['off_psnr']}"
        print(f"  {row['picture']} {row['quality']}: {row['bytes']} at {row['psnr']}, {other}, WebP {row['webp']}")
    for name in dict.fromkeys(row["picture"] for row in rows):
        found = [row["psnr"] for row in rows if row["picture"] == name]
        if any(later < earlier - FALL for earlier, later in itertools.pairwise(found)):
            print(f"PSNR falls: {name}: {found}")
    both = [row for row in rows if row["avif"] != ""]
    total, other = sum(row["bytes"] for row in both), sum(row["avif"] for row in both)
    print(f"{len(both)} files beside AVIF: {total} bytes, {other} of AVIF at equal PSNR")
    for quality in dict.fromkeys(row["quality"] for row in both):
        some = [row for row in both if row["quality"] == quality]
        print(f"  quality {quality}: {sum(r['bytes'] for r in some)}, {sum(r['avif'] for r in some)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--qualities", nargs="+", type=float, default=list(QUALITIES))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    drawn = {name: array for name, array in pictures().items() if not options.names or name in options.names}
    rows = [row for name, array in drawn.items() for row in rows_of(name, array, options.qualities)]
    report(rows)
    if not options.names:
        options.results.mkdir(parents=True, exist_ok=True)
        with (options.results / "screens.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
