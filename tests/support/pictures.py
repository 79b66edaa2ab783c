"""Pictures for tests: made here, never read from outside the repository."""

from __future__ import annotations

import numpy as np


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """A smooth random picture with edges and a little noise, uint8 (H, W, channels) or (H, W) for one channel."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width] / 64.0
    planes = []
    for _ in range(channels):
        a, b, c, d = rng.uniform(0.3, 2.0, 4)
        plane = 128 + 60 * np.sin(a * rows + c) + 50 * np.cos(b * columns + d)
        plane += np.where((rows * a + columns * b) % 2 < 0.7, 25, -10) + rng.normal(0, 3, (height, width))
        planes.append(plane)
    array = np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)
    return array[:, :, 0] if channels == 1 else array
