"""What `_core.Enhancer` makes of a decoded JPEG, in NumPy integers over whole arrays; imports nothing of pillow_lic.

Arrays are (rows, columns, channels) of int64; products of matrices are in float64, which is exact below 2^53.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

SIDE, COUNT = 8, 64
GREY, WHITE = 128 * 64, 255 * 64  # samples have 1/64 of a level
ONE = 1 << 12  # 1 among the network's inputs
LOW = 10  # coefficients whose mean step is the unit of rendered samples


def clip(x: np.ndarray) -> np.ndarray:
    return np.clip(x, -(2**15), 2**15 - 1)


def leaky(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, (x * 3277 + 2**14) >> 15)


def log2_of(n: int) -> int:
    """1024 times the logarithm to base 2, rounded down, as ten squarings of 32 bits find it."""
    whole = n.bit_length() - 1
    part, found = n << (31 - whole), whole
    for _ in range(10):
        part = part * part >> 31
        above = part >> 32
        part >>= above
        found = 2 * found + above
    return found


def _transform() -> np.ndarray:
    """(64, 64) in 1/4096."""
    cosine = [round(math.sqrt(1 / 8) * 2**30)] + [round(math.cos(k * math.pi / 16) / 2 * 2**30) for k in range(1, 8)]
    basis = np.zeros((SIDE, SIDE), object)
    for k in range(SIDE):
        for n in range(SIDE):
            turn = (2 * n + 1) * k % 32
            turn = 32 - turn if turn > 16 else turn
            basis[k, n] = cosine[0] if k == 0 else 0 if turn == 8 else cosine[turn] if turn < 8 else -cosine[16 - turn]
    whole = [[int(a) * int(b) + 2**47 >> 48 for a in one for b in other] for one in basis for other in basis]
    return np.array(whole, np.int64)


TRANSFORM = _transform()


def product(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    acc = (x.astype(np.float64) @ weight.reshape(len(weight), -1).T.astype(np.float64)).astype(np.int64)
    assert np.abs(acc).max(initial=0) < 2**31
    return acc


def finish(acc: np.ndarray, scale: np.ndarray, bias: np.ndarray | int = 0) -> np.ndarray:
    return clip((acc * scale + bias + 2**31) >> 32)


def divided(x: np.ndarray, by: np.ndarray | int) -> np.ndarray:
    """Towards zero."""
    return np.sign(x) * (np.abs(x) // by)


def to_blocks(plane: np.ndarray) -> np.ndarray:
    h, w = (side // SIDE for side in plane.shape)
    return plane.reshape(h, SIDE, w, SIDE).transpose(0, 2, 1, 3).reshape(h, w, COUNT)


def to_plane(blocks: np.ndarray) -> np.ndarray:
    h, w = blocks.shape[:2]
    return blocks.reshape(h, w, SIDE, SIDE).transpose(0, 2, 1, 3).reshape(SIDE * h, SIDE * w)


def quarters(blocks: np.ndarray) -> np.ndarray:
    """(h, w, 64) to (2h, 2w, 16)."""
    h, w = blocks.shape[:2]
    parts = blocks.reshape(h, w, 2, 4, 2, 4).transpose(0, 2, 1, 4, 3, 5)
    return parts.reshape(2 * h, 2 * w, 16)


def whole(parts: np.ndarray) -> np.ndarray:
    """(2h, 2w, 16) to (h, w, 64)."""
    h, w = (side // 2 for side in parts.shape[:2])
    return parts.reshape(h, 2, w, 2, 4, 4).transpose(0, 2, 1, 4, 3, 5).reshape(h, w, COUNT)


def forward(samples: np.ndarray) -> np.ndarray:
    """Changes of coefficients."""
    return finish(product(samples, TRANSFORM), 2**20)


def back(coefficients: np.ndarray) -> np.ndarray:
    return finish(product(coefficients, TRANSFORM.T), 2**20)


def projected(samples: np.ndarray, change: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """A change of coefficients, moved into the cells that the steps left."""
    found = finish(product(samples, TRANSFORM), 2**19)
    half, step = np.maximum(16 * steps - 24, 8 * steps), 32 * steps
    centre = divided(found + np.sign(found) * (step // 2), step) * step
    inside = clip(np.clip(found + change, centre - half, centre + half) - found)
    known = np.logical_and(samples > -GREY, samples < WHITE - GREY).all(2, keepdims=True)
    return np.where(known, inside, change)


def to_pixels(planes: list[np.ndarray], *, grey: bool) -> np.ndarray:
    """uint8 (H, W) or (H, W, 3) of Y, Cb, Cr in 1/64 of a level, less grey."""
    y, blue, red = planes
    y = np.clip(y + GREY, -GREY, GREY + WHITE)
    if grey:
        return np.clip((y + 32) >> 6, 0, 255).astype(np.uint8)
    blue, red = (np.clip(one, -2 * GREY, WHITE) for one in (blue, red))
    whole_y = y << 14
    rgb_of = whole_y + 22970 * red, whole_y - 5638 * blue - 11700 * red, whole_y + 29032 * blue
    return np.clip((np.dstack(rgb_of) + 2**19) >> 20, 0, 255).astype(np.uint8)


def doubled(plane: np.ndarray) -> np.ndarray:
    """A cubic enlargement, both directions rounded at once."""
    taps = np.array([-9, 111, 29, -3])
    for _ in range(2):
        padded = np.pad(plane, ((2, 2), (0, 0)), mode="edge")
        count = len(plane)
        before = sum(tap * padded[k : k + count] for k, tap in enumerate(taps[::-1]))
        behind = sum(tap * padded[k + 1 : k + 1 + count] for k, tap in enumerate(taps))
        plane = np.stack([before, behind], 1).reshape(2 * count, -1).T
    return plane + 2**13 >> 14


class SlowEnhancer:
    """tensors: by name, arrays as the file has them."""

    def __init__(self, tensors: Mapping[str, np.ndarray]):
        self.of = {name: array.astype(np.int64) for name, array in tensors.items()}

    def enhance(self, pixels: np.ndarray, tables: np.ndarray, *, rgb: bool, halved: bool) -> np.ndarray:
        """pixels (H, W) or (H, W, 3) and what comes back: uint8; tables (2, 64)."""
        grey = pixels.ndim == 2
        planes, tables = self._planes(pixels, rgb=rgb), tables.astype(np.int64)
        change = self._change(planes, tables, np.array([halved and not grey, not grey]) * ONE)
        for plane in range(1 if grey or halved else 3):
            wanted = forward(change[plane]) if plane else change[plane]
            change[plane] = back(projected(planes[plane], wanted, tables[min(plane, 1)]))
        height, width = pixels.shape[:2]
        return to_pixels([to_plane(p + 2 * c)[:height, :width] for p, c in zip(planes, change)], grey=grey)

    def changes(self, pixels: np.ndarray, tables: np.ndarray, *, rgb: bool, halved: bool) -> list[np.ndarray]:
        """What the network says alone, planes of whole blocks, in 1/32 of a level."""
        flags = np.array([halved and pixels.ndim == 3, pixels.ndim == 3]) * ONE
        luma, *chroma = self._change(self._planes(pixels, rgb=rgb), tables.astype(np.int64), flags)
        return [to_plane(one) for one in (back(luma), *chroma)]

    def _planes(self, pixels: np.ndarray, *, rgb: bool) -> list[np.ndarray]:
        down, right = (-side % SIDE for side in pixels.shape[:2])
        x = np.pad(pixels.astype(np.int64), ((0, down), (0, right), *[(0, 0)] * (pixels.ndim - 2)), mode="edge")
        if pixels.ndim == 2:
            return [to_blocks(x * 64 - GREY)] + [to_blocks(np.zeros_like(x))] * 2
        if not rgb:
            return [to_blocks(x[:, :, k] * 64 - GREY) for k in range(3)]
        r, g, b = (x[:, :, k] for k in range(3))
        y = (19595 * r + 38470 * g + 7471 * b + 512 >> 10) - GREY
        blue, red = (-11058 * r - 21710 * g + 32768 * b + 512 >> 10), (32768 * r - 27439 * g - 5329 * b + 512 >> 10)
        return [to_blocks(one) for one in (y, blue, red)]

    def _layer(self, name: str, x: np.ndarray, by: np.ndarray | int = 1, of: int = 1) -> np.ndarray:
        scale, bias = self.of[f"{name}.scale"][0], self.of[f"{name}.bias"][0]
        scale = np.clip(divided(scale * by, of), -(2**31), 2**31 - 1)
        return finish(product(x, self.of[f"{name}.weight"]), scale, divided(bias * by, of))

    def _tone(self, tables: np.ndarray, flags: np.ndarray) -> np.ndarray:
        logs = [log2_of(int(step)) - ONE for step in tables.ravel()]
        hidden = leaky(self._layer("conditions", np.array([*logs, *flags])))
        return leaky(self._layer("tones", hidden))

    def _block(self, name: str, x: np.ndarray, tone: np.ndarray) -> np.ndarray:
        acc = product(tone, self.of[f"{name}.tone.weight"])
        found = (acc * self.of[f"{name}.tone.scale"][0] + self.of[f"{name}.tone.bias"][0] + 2**31) >> 32
        by, shift = np.split(np.clip(found, -(2**24), 2**24), 2)
        by = np.clip(by + 2**14, -(2**16), 2**16)
        scale, bias = self.of[f"{name}.depthwise.scale"][0], self.of[f"{name}.depthwise.bias"][0]
        scale = np.clip(scale * by >> 14, -(2**31), 2**31 - 1)
        weight = self.of[f"{name}.depthwise.weight"].reshape(-1, 9)
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        h, w = x.shape[:2]
        acc = sum(padded[u : u + h, v : v + w] * weight[:, 3 * u + v] for u in range(3) for v in range(3))
        inner = finish(acc, scale, (bias * by >> 14) + (shift << 29))
        return clip(x + self._layer(f"{name}.back", leaky(self._layer(f"{name}.out", inner))))

    def _blocks(self, part: str, x: np.ndarray, tone: np.ndarray) -> np.ndarray:
        number = 0
        while f"{part}.{number}.out.weight" in self.of:
            x = self._block(f"{part}.{number}", x, tone)
            number += 1
        return x

    def _change(self, planes: list[np.ndarray], tables: np.ndarray, flags: np.ndarray) -> list[np.ndarray]:
        """Of luma that of coefficients, of chroma that of samples, in 1/32."""
        tone = self._tone(tables, flags)
        levels = finish(product(planes[0], TRANSFORM), (2**26 + tables[0] // 2) // tables[0])
        levels = np.clip((levels + 2**11) >> 12, -3, 3) * ONE
        x = self._blocks("body", self._layer("enter", np.concatenate([*planes, levels], 2)), tone)
        near = self._near(planes, x, tone)
        low = tables[:, :LOW].sum(1)
        rendered = self._rendered(self._layer("render", near, low[0], LOW))
        luma = clip(self._layer("coefficients", x, tables[0]) + rendered)
        chroma = self._layer("chroma", x, low[1], LOW)
        return [luma, chroma[:, :, :COUNT], chroma[:, :, COUNT:]]

    def _near(self, planes: list[np.ndarray], x: np.ndarray, tone: np.ndarray) -> np.ndarray:
        h, w = x.shape[:2]
        near = self._layer("up", x).reshape(h, w, -1, 2, 2).transpose(0, 3, 1, 4, 2).reshape(2 * h, 2 * w, -1)
        return self._blocks("detail", clip(near + self._layer("samples", quarters(planes[0]))), tone)

    def _rendered(self, near: np.ndarray) -> np.ndarray | int:
        """What of it belongs to the coefficients of luma."""
        return forward(whole(near))


class SlowEnlarger(SlowEnhancer):
    """What `_core.Enlarger` makes."""

    def enlarge(self, pixels: np.ndarray, tables: np.ndarray, size: tuple[int, int], *, rgb: bool, halved: bool):
        """uint8 (*size) or (*size, 3)."""
        grey = pixels.ndim == 2
        planes, tables = self._planes(pixels, rgb=rgb), tables.astype(np.int64)
        change = self._change(planes, tables, np.array([halved and not grey, not grey]) * ONE)
        change[0] = back(change[0])
        own = (slice(pixels.shape[0]), slice(pixels.shape[1]))
        large = [doubled(clip(to_plane(p + 2 * c))[own]) for p, c in zip(planes, change)]
        large[0] = large[0] + 2 * to_plane(self.near)[: large[0].shape[0], : large[0].shape[1]]
        return to_pixels([one[: size[0], : size[1]] for one in large], grey=grey)

    def _rendered(self, near: np.ndarray) -> int:
        self.near = near  # blocks of 8 x 8 at twice the size
        return 0
