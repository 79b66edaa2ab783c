"""Networks for enhanced JPEGs, of random weights up to what the engine allows; files for them that are broken."""

from __future__ import annotations

import contextlib
import functools

import numpy as np
import pytest
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


def comes_back_or_is_refused(data: bytes, seed: int) -> None:
    """A file with three bits flipped is enhanced or refused by name; one that breaks off, of odd seeds, is refused."""
    rng, broken = np.random.default_rng(seed), bytearray(data)
    if seed % 2:
        del broken[int(rng.integers(0, len(data) // 2)) :]
        with pytest.raises(errors.LicError):
            pillow_lic.enhance(bytes(broken))
        return
    for _ in range(3):
        broken[rng.integers(0, len(data))] ^= 1 << int(rng.integers(0, 8))
    with contextlib.suppress(errors.LicError):
        assert pillow_lic.enhance(bytes(broken)).size
