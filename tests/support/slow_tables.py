"""The slow decoder's tables: rates between the trained ones, bank and integer map, as Python integers (FORMAT 7.1, 7.2,
9.2). Imports nothing of pillow_lic.
"""

import itertools

import numpy as np
from slow_reader import demand

# ---- FORMAT 7.1: quality --------------------------------------------------------------------------------------------


def rate_point(quality, points):
    """(p, f, nearest) of Q between the model's trained rates."""
    position = (quality - 100) * (points - 1) * 256 // 9900
    p = min(position >> 8, points - 2)
    return p, position - 256 * p, (position + 128) >> 8


def lerp(a, b, f):
    """Between the values at two trained rates."""
    return (a * (256 - f) + b * f + 128) >> 8


# ---- FORMAT 7.2, 9.2: the model's tables ----------------------------------------------------------------------------


class Tables:
    """The bank and the integer map, as Python integers. `arrays` is a mapping with the names of FORMAT 9.2."""

    def __init__(self, arrays, latent, hyper, points, scale_rows, skip):
        self.latent, self.hyper, self.points, self.scales, self.skip = latent, hyper, points, scale_rows, skip
        self.components = 0
        if "normal" in arrays:
            self.components, rest = divmod(len(arrays["weight"]), 48 * latent)
            demand(rest == 0 and 1 <= self.components <= 4 and skip == 0, "a map of mixtures is not as 7.8 says")
        self.trellis = arrays["trellis"].tolist()[0] if "trellis" in arrays else None
        self.scale_rows = 0 if self.components else scale_rows if self.trellis is None else 2 * scale_rows
        self.channels = 3 * self.components * latent or latent
        self.levels = 1 + arrays["z_level"].shape[-1] if "z_level" in arrays else 1
        demand(self.levels <= 16, "too many levels of z")
        self.classes = arrays["z_near"].tolist()[0] if "z_near" in arrays else 1
        demand(self.classes == (10 if "z_near" in arrays else 1), "z_near is not as 9.2 says")
        self.check_shapes(arrays)
        self.first = arrays["first"].tolist()
        self.freq, self.cumulative, at = [], [], 0
        frequencies = arrays["freq"].tolist()
        for n in arrays["count"].tolist():
            g = frequencies[at : at + n]
            demand(2 <= n <= 4096 and len(g) == n and min(g) >= 1 and sum(g) == 65536, "a bank row is not as 7.2 says")
            self.freq.append(g)
            self.cumulative.append([0, *itertools.accumulate(g[:-1])])
            at += n
        demand(at == len(frequencies), "frequencies left over")
        self.weight, self.offset = arrays["weight"].tolist(), arrays["offset"].tolist()
        self.bias, self.z_step = arrays["bias"].tolist(), arrays["z_step"].tolist()
        self.z_level = arrays["z_level"].tolist() if self.levels > 1 else [[[]] * hyper] * points
        self.hidden = [
            (arrays[f"hidden{n}_weight"].tolist(), arrays[f"hidden{n}_offset"].tolist()) for n in self.layers
        ]
        if self.components:
            self.normal, self.inverse = arrays["normal"].tolist(), arrays["inverse"].tolist()
            demand(
                self.normal[0] == 0 and self.normal[256] == 32768 and self.normal == sorted(self.normal),
                "normal is not as 9.2 says",
            )

    def check_shapes(self, arrays):
        """Types, shapes and ranges of FORMAT 9.2 and 7.5."""
        m, c, p = self.channels, self.hyper, self.points
        bank = self.scale_rows + p * c * self.levels * self.classes
        demand(bank <= 65536, "too many rows")
        ranges = [
            ("weight", -1023, 1023),
            ("offset", 1 - 2**22, 2**22 - 1),
            ("bias", 1 - 2**22, 2**22 - 1),
            ("z_step", 1, 255),
        ]
        hidden, inputs = {}, c
        self.layers = list(itertools.takewhile(lambda n: f"hidden{n}_weight" in arrays, itertools.count(1)))
        for n in self.layers:
            outputs = len(arrays[f"hidden{n}_weight"])
            demand(1 <= outputs <= 256, "a hidden layer is too wide")
            hidden |= {f"hidden{n}_weight": ("i2", (outputs, inputs)), f"hidden{n}_offset": ("i4", (outputs,))}
            ranges += [(f"hidden{n}_weight", -1023, 1023), (f"hidden{n}_offset", 1 - 2**22, 2**22 - 1)]
            inputs = outputs
        wanted = {
            "freq": ("u2", None),
            "count": ("i4", (bank,)),
            "first": ("i2", (bank,)),
            "weight": ("i2", (16 * m, inputs)),
            "offset": ("i4", (16 * m,)),
            "bias": ("i4", (p, m)),
            "z_step": ("u1", (p, c)),
            **hidden,
        }
        if "z_level" in arrays:
            wanted["z_level"] = ("u2", (p, c, self.levels - 1))
            demand(self.levels > 1, "z_level is empty")
        if "z_near" in arrays:
            wanted["z_near"] = ("i4", (1,))
        if "trellis" in arrays:
            wanted["trellis"] = ("i4", (1,))
            demand(not self.components and self.skip <= self.trellis <= self.scales <= 128, "trellis: not as 7.9 says")
        if self.components:
            wanted |= {"normal": ("u2", (257,)), "inverse": ("u4", (self.scales,))}
            ranges.append(("inverse", 2048, 16777216))
        for name, (dtype, shape) in wanted.items():
            demand(name in arrays, f"no array {name}")
            demand(arrays[name].dtype == np.dtype(dtype), f"{name}: wrong type")
            demand(shape is None or arrays[name].shape == shape, f"{name}: wrong shape")
        for name, low, high in ranges:
            demand(arrays[name].min() >= low and arrays[name].max() <= high, f"{name}: out of range")
