"""Networks for enhanced JPEGs, of random weights up to what the engine allows; files for them that are broken."""

from __future__ import annotations

import functools

import numpy as np
from native_models import KINDS, layer

import pillow_lic
from pillow_lic import errors


@functools.cache
def random_network(widths: tuple[int, ...], kind: str, rendered: int = 16) -> dict[str, np.ndarray]:
    """Tensors as the engine allows them. rendered: 16 of an Enhancer, 64 of an Enlarger."""
    body, detail, tone, hidden, *counts = widths
    rng = np.random.default_rng([*widths, KINDS.index(kind)])
    shapes = {
        "conditions": (hidden, 130),
        "tones": (tone, hidden),
        "enter": (body, 256),
        "coefficients": (64, body),
        "chroma": (128, body),
        "up": (4 * detail, body),
        "samples": (detail, 16),
        "render": (rendered, detail),
    }
    for part, width, count in zip(("body", "detail"), (body, detail), counts):
        for n in range(count):
            shapes[f"{part}.{n}.depthwise"] = width, 9
            shapes[f"{part}.{n}.tone"] = 2 * width, tone
            shapes[f"{part}.{n}.out"] = 2 * width, width
            shapes[f"{part}.{n}.back"] = width, 2 * width
    tensors: dict[str, np.ndarray] = {}
    for name, shape in shapes.items():
        made = layer(rng, name, *shape, kind)
        tensors |= {key: value if key.endswith("weight") else value[:1] for key, value in made.items()}
        tensors[f"{name}.bias"] = tensors[f"{name}.bias"].clip(-(2**42), 2**42)
    return tensors


def broken(data: bytes, seed: int, most: int) -> bytes:
    """A file that breaks off before `most` bytes, of odd seeds; else with three bits flipped."""
    rng, found = np.random.default_rng(seed), bytearray(data)
    if seed % 2:
        return data[: int(rng.integers(0, most))]
    for _ in range(3):
        found[rng.integers(0, len(data))] ^= 1 << int(rng.integers(0, 8))
    return bytes(found)


def is_refused(data: bytes) -> bool:
    """Whether a file is refused by name, in place of being enhanced; nothing else may happen to it."""
    try:
        return not pillow_lic.enhance(data).size
    except errors.LicError:
        return True
