"""FORMAT 8 in NumPy integers: from r and v to samples of the `photo` family. Written from the document; imports nothing
of pillow_lic. The last part of slow_decoder.py.

Slow and plain: whole arrays (channels, rows, columns) of int64, products of matrices in float64, which is exact below
2^53.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from slow_reader import demand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

GROUPS = ((0, 0), (1, 1), (0, 1), (1, 0))


class SlowPhoto:
    """The networks of a model at a quality Q. rows: the quality map (FORMAT 5.3), nested lists [a][b]."""

    def __init__(self, tensors: Mapping[str, np.ndarray], q: int, rows: list[list[int]] | None = None):
        self.tensors, self.q, self.rows = tensors, q, rows

    # --- 8.1: layers -------------------------------------------------------------------------------------------

    def at(self, name: str) -> np.ndarray:
        """Row of a table (P, outputs) at the quality: FORMAT 7.1 with the table's own number of rows."""
        table = self.tensors[name].astype(np.int64)
        points = len(table)
        if points == 1:
            return table[0]
        position = (self.q - 100) * (points - 1) * 256 // 9900
        p = min(position >> 8, points - 2)
        f = position - 256 * p
        return (table[p] * (256 - f) + table[p + 1] * f + 128) >> 8

    def finish(self, name: str, acc: np.ndarray) -> np.ndarray:
        """R of acc (outputs, rows, columns)."""
        assert np.abs(acc).max(initial=0) < 2**31
        scale, bias = self.at(f"{name}.scale")[:, None, None], self.at(f"{name}.bias")[:, None, None]
        return (acc * scale + bias + 2**31) >> 32

    def conv(self, name: str, x: np.ndarray) -> np.ndarray:
        """1x1: x (inputs, rows, columns) to R (outputs, rows, columns)."""
        weight = self.tensors[f"{name}.weight"].astype(np.float64)
        acc = np.einsum("oi,ihw->ohw", weight, x.astype(np.float64), optimize=True).astype(np.int64)
        return self.finish(name, acc)

    def depthwise(self, name: str, x: np.ndarray, stride: int = 1, row: int = 0, column: int = 0) -> np.ndarray:
        """Each channel alone, around the positions row, row + stride, ... and column, ...; zeros beyond the edges."""
        weight = self.tensors[f"{name}.weight"].astype(np.int64)
        side = round(weight.shape[1] ** 0.5)
        reach = side // 2
        padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach)))
        h, w = x.shape[1:]
        rows, columns = len(range(row, h, stride)), len(range(column, w, stride))
        acc = np.zeros((len(x), rows, columns), np.int64)
        for u in range(side):
            for v in range(side):
                part = padded[
                    :, row + u : row + u + stride * rows : stride, column + v : column + v + stride * columns : stride
                ]
                acc += weight[:, u * side + v, None, None] * part[:, :rows, :columns]
        return self.finish(name, acc)

    def block(self, name: str, x: np.ndarray) -> np.ndarray:
        hidden = leaky(clip(self.conv(f"{name}.mix", x)))
        x = clip(x + clip(self.conv(f"{name}.join", clip(self.depthwise(f"{name}.spatial", hidden)))))
        return clip(x + clip(self.conv(f"{name}.contract", leaky(clip(self.conv(f"{name}.expand", x))))))

    # --- 8.2: y_hat --------------------------------------------------------------------------------------------

    def tanh(self, x: np.ndarray) -> np.ndarray:
        """Of x in 1/4096, an i16: in 1/32767."""
        table = self.tensors["tanh"].astype(np.int64)
        size = np.minimum(np.abs(x), 32767)
        at, part = size >> 7, size & 127
        return np.sign(x) * (table[at] + ((table[at + 1] - table[at]) * part >> 7))

    def moved(self, r: np.ndarray, log_step: np.ndarray) -> np.ndarray:
        """r times the step, in 1/16 of y_hat's unit."""
        log_step = np.clip(log_step, -16 * 256, 16 * 256 - 1)
        mantissa = self.tensors["exp2"].astype(np.int64)[log_step & 255]
        return np.clip(r * mantissa >> (15 - (log_step >> 8)), -(2**24), 2**24)

    def y_hat(self, v: np.ndarray, r: np.ndarray, quantise: Callable | None = None) -> np.ndarray:
        """quantise(at, mean, log_step): an encoder's choice of the r of a group, which is then written to r."""
        h, w = r.shape[1:]
        x = shuffle(clip(self.conv("prior.up", v.astype(np.int64))), 4)
        x = self.block("prior.block", clip(self.conv("prior.enter", x)))
        features = x[:, :h, :w]
        mean = np.clip(self.conv("prior.mean", features), -(2**24), 2**24)
        log_step = self.at("prior.gain")[:, None, None] + (
            self.tanh(clip(self.conv("prior.step", features))) * 554 + 2**14 >> 15
        )
        if self.rows is not None:
            blocks_of = np.array(self.rows, np.int64).repeat(4, 0).repeat(4, 1)[:h, :w]
            log_step = log_step - (blocks_of * 9554 + 128 >> 8)
        y_hat = np.zeros(r.shape, np.int64)
        for group, (i, j) in enumerate(GROUPS):
            at = (slice(None), slice(i, None, 2), slice(j, None, 2))
            own_mean, own_step = mean[at], log_step[at]
            if group and own_mean.size:
                name = f"refine{group}"
                x = leaky(clip(self.conv(f"{name}.enter", np.concatenate([features, y_hat]))))
                x = clip(self.depthwise(f"{name}.spatial", x, 2, i, j))
                x = clip(features[at] + clip(self.conv(f"{name}.join", x)))
                x = clip(x + clip(self.conv(f"{name}.contract", leaky(clip(self.conv(f"{name}.expand", x))))))
                own_mean = own_mean + np.clip(self.conv(f"{name}.mean", x), -(2**24), 2**24)
                own_step = own_step + (self.tanh(clip(self.conv(f"{name}.step", x))) * 185 + 2**14 >> 15)
            if quantise:
                r[at] = quantise(at, own_mean, own_step)
            y_hat[at] = clip(own_mean + self.moved(r[at].astype(np.int64), own_step) + 8 >> 4)
        return y_hat

    # --- 8.3: pixels -------------------------------------------------------------------------------------------

    def levels(self, y_hat: np.ndarray, noise: np.ndarray | None = None) -> np.ndarray:
        """(3, 16h, 16w) in 1/16 of a level. noise (16, 2h, 2w): of a second synthesis."""
        x = clip(self.conv("synthesis.enter", y_hat))
        for name in blocks(self.tensors, "synthesis.body"):
            x = self.block(name, x)
        x = shuffle(clip(self.conv("synthesis.up8", x)), 2)
        if noise is not None and "synthesis.noise.weight" in self.tensors:  # 8.5
            x = clip(x + clip(self.conv("synthesis.noise", noise)))
        for name in blocks(self.tensors, "synthesis.detail"):
            x = self.block(name, x)
        x = self.block("synthesis.render", shuffle(clip(self.conv("synthesis.up4", x)), 2))
        direct = shuffle(clip(self.conv("synthesis.direct", y_hat)), 4)
        return shuffle(clip(direct + clip(self.conv("synthesis.out", x))), 4)

    def samples(
        self,
        v: np.ndarray,
        r: np.ndarray,
        size: tuple[int, int],
        grey: bool = False,
        depth: int = 8,
        style: tuple[SlowPhoto, int] | None = None,
    ) -> np.ndarray:
        """(H, W, 3) or (H, W), uint8 or, of more than 8 bits, uint16. style: another synthesis and its strength."""
        y_hat = self.y_hat(v, r)
        levels = np.clip(self.levels(y_hat)[:, : size[0], : size[1]], 0, 255 * 16)
        if style is not None:  # 8.5
            other, strength = style
            noise = noise_of(seed_of(size, self.q), y_hat.shape[1:])
            second = np.clip(other.levels(y_hat, noise)[:, : size[0], : size[1]], 0, 255 * 16)
            levels = (levels * (255 - strength) + second * strength + 127) // 255
        most, dtype = 2**depth - 1, np.uint8 if depth == 8 else np.uint16
        if grey:
            return ((levels.sum(0) * most + 6120) // 12240).astype(dtype)
        return np.ascontiguousarray(((levels * most + 2040) // 4080).transpose(1, 2, 0)).astype(dtype)

    # --- 8.6: small pictures -------------------------------------------------------------------------------------

    def small(self, y_hat: np.ndarray, scale: int, size: tuple[int, int], grey: bool = False) -> np.ndarray:
        """Of a picture of `size`, uint8 (ceil(H / scale), ceil(W / scale), 3), of grey without the bands."""
        p = np.clip(shuffle(clip(self.conv("thumbnail.direct", y_hat)), 4), 0, 4080)
        k = scale // 4
        rows, columns = p.shape[1] // k, p.shape[2] // k
        q = p.reshape(3, rows, k, columns, k).sum((2, 4))[:, : -(-size[0] // scale), : -(-size[1] // scale)]
        n = k * k
        if grey:
            return ((q.sum(0) + 24 * n) // (48 * n)).astype(np.uint8)
        return ((q + 8 * n) // (16 * n)).transpose(1, 2, 0).astype(np.uint8)


def seed_of(size: tuple[int, int], q: int) -> int:
    """S of 8.5, of a picture's height and width, and Q."""
    return (size[0] * 2654435761 + size[1] * 2246822507 + q * 3266489909) % 2**32


def noise_of(seed: int, grid: tuple[int, int]) -> np.ndarray:
    """(16, 2h, 2w) over a latent grid (8.5)."""
    i, j = np.arange(2 * grid[0])[:, None], np.arange(2 * grid[1])
    channels = []
    for k in range(4):
        w = (seed + i * 2654435761 + j * 2246822507 + k * 3266489909) % 2**32
        w = (w ^ (w >> 16)) * 2146121005 % 2**32
        w = (w ^ (w >> 15)) * 2221713035 % 2**32
        w = w ^ (w >> 16)
        channels += [(w >> 8 * n) % 256 - 128 for n in range(4)]
    return np.stack(channels)


def clip(x: np.ndarray) -> np.ndarray:
    return np.clip(x, -32768, 32767)


def leaky(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, x * 3277 + 2**14 >> 15)


def shuffle(x: np.ndarray, factor: int) -> np.ndarray:
    """Channel c * factor^2 + factor * u + v to row u and column v of channel c."""
    c, h, w = x.shape
    x = x.reshape(c // factor**2, factor, factor, h, w).transpose(0, 3, 1, 4, 2)
    return x.reshape(c // factor**2, h * factor, w * factor)


def blocks(tensors: Mapping[str, np.ndarray], prefix: str) -> list[str]:
    count = 0
    while f"{prefix}{count}.mix.weight" in tensors:
        count += 1
    return [f"{prefix}{k}" for k in range(count)]


# ---- What the tensors must be (8.1, 9.2, 9.3) -----------------------------------------------------------------------


def block_layers(name: str, width: int) -> Iterator[tuple[str, int, int]]:
    yield f"{name}.mix", width, width
    yield f"{name}.spatial", width, 9
    yield f"{name}.join", width, width
    yield f"{name}.expand", 2 * width, width
    yield f"{name}.contract", width, 2 * width


def layers(
    latent: int, hyper: int, body: int, spread: int, detail: int, render: int, body_blocks: int, detail_blocks: int
) -> Iterator[tuple[str, int, int]]:
    """(name, outputs, inputs) of every layer of a decoder of these widths; a depthwise layer's inputs are its taps."""
    yield "prior.up", 16 * spread, hyper
    yield "prior.enter", body, spread
    yield from block_layers("prior.block", body)
    yield "prior.mean", latent, body
    yield "prior.step", latent, body
    for n in (1, 2, 3):
        yield f"refine{n}.enter", body, body + latent
        yield f"refine{n}.spatial", body, 9 if n == 1 else 25
        yield f"refine{n}.join", body, body
        yield f"refine{n}.expand", 2 * body, body
        yield f"refine{n}.contract", body, 2 * body
        yield f"refine{n}.mean", latent, body
        yield f"refine{n}.step", latent, body
    yield "synthesis.enter", body, latent
    for n in range(body_blocks):
        yield from block_layers(f"synthesis.body{n}", body)
    yield "synthesis.up8", 4 * detail, body
    for n in range(detail_blocks):
        yield from block_layers(f"synthesis.detail{n}", detail)
    yield "synthesis.up4", 4 * render, detail
    yield from block_layers("synthesis.render", render)
    yield "synthesis.out", 48, render
    yield "synthesis.direct", 768, latent


def check(tensors: Mapping[str, np.ndarray], latent: int, hyper: int, points: int) -> None:
    """Types, shapes and limits of a photo model's tensors."""

    def matrix(name: str) -> np.ndarray:
        demand(name in tensors and tensors[name].ndim == 2, f"no matrix {name}")
        return tensors[name]

    def demand_type(name: str, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        demand(name in tensors and tensors[name].dtype == np.dtype(dtype), f"no tensor {name} of type {dtype}")
        demand(tensors[name].shape == shape, f"{name}: wrong shape")
        return tensors[name]

    body, spread = matrix("prior.enter.weight").shape
    detail, render = matrix("synthesis.up4.weight").shape[1], matrix("synthesis.out.weight").shape[1]
    demand(body % 2 == 0, "an odd width of the body")
    counts = [len(blocks(tensors, prefix)) for prefix in ("synthesis.body", "synthesis.detail")]
    for name, outputs, inputs in layers(latent, hyper, body, spread, detail, render, *counts):
        weight = demand_type(f"{name}.weight", "i2", (outputs, inputs))
        demand(np.abs(weight.astype(int)).sum(1).max() <= 65535, f"{name}: weights sum to more than 65535")
        rows = len(matrix(f"{name}.scale"))
        demand_type(f"{name}.scale", "i4", (rows, outputs))
        demand_type(f"{name}.bias", "i8", (rows, outputs))
    demand(
        np.abs(demand_type("prior.gain", "i4", (points, latent)).astype(int)).max() <= 2**20, "prior.gain: too large"
    )
    demand(demand_type("tanh", "i2", (257,)).min() >= 0, "tanh: negative")
    demand_type("exp2", "u2", (256,))
