"""Symbols per second of the entropy coder on one core: python bench/coder.py [IMAGES] [--symbols N] [--repeats N]
[--mixture MODEL].

With IMAGES, a folder: the latents of its images, under the default model at quality 50, an image a tile; a symbol
counts if it is coded. There "tile" is all that makes integers of a tile's bytes, and "coder" the coder alone under rows
that it is given, which is what CompressAI's coder does.

With --mixture, a model directory whose residuals are coded under mixtures (FORMAT 7.8): the same two for it, and
CompressAI's GaussianMixtureConditional with the same weights, means and scales as floats, on the first PEER_SYMBOLS
symbols of the first image: it makes a table for every symbol, as Python lists.

Synthetic residuals from 64 Gaussian rows, at about 1 and about 2.7 bits per symbol, coded as one tile through the
encode and decode of _core_test: that includes the scale map, skipping, the checksum and the output arrays.
Beside it, in the same run and with the same tables, CompressAI's coder, if it is installed (its compiled `ans` module
alone: no torch). CompressAI takes and returns Python lists; that conversion is a part of its API, and of its figures
here. Every result is verified before it is timed; the first run is dropped, medians are reported. Times are processor
times of the one thread that works, so that another program on a shared machine costs less of the truth than wall time
would.
"""

from __future__ import annotations

import argparse
import copy
import csv
import importlib.util
import pathlib
import statistics
import sys
import time
from typing import TYPE_CHECKING

import machine
import numpy as np

from pillow_lic import _core_test
from pillow_lic.constants import (
    LIC_HYPER_STRIDE,
    LIC_MAP_SHIFT,
    LIC_OFFSET_ONE,
    LIC_OFFSET_ZERO,
    LIC_PROB_BITS,
    LIC_TILE_SIDE_MAX,
)
from pillow_lic.entropy import CELL, PLANES, Tables

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 64
Q = 5000
SIGMAS = {"1 bit": (0.2, 0.95), "2.7 bit": (1.0, 2.5)}  # of the first and the last row, the rest geometric between
PEER_SYMBOLS = 1 << 15  # symbols that CompressAI's mixture coder is given, whose tables take a kilobyte and more each
FIELDS = ("coder", "what", "rate", "hyper", "symbols", "bits_per_symbol", "encode_msym_s", "decode_msym_s")


def gaussian_row(sigma: float) -> tuple[np.ndarray, int]:
    """Frequencies (n,) of a rounded Gaussian, escape last, and the first value."""
    reach = int(np.ceil(4.5 * sigma)) + 1
    edges = (np.arange(-reach, reach + 2) - 0.5) / sigma
    # The normal distribution function without SciPy: a fine Riemann sum is enough for a bench.
    grid = np.linspace(-12, 12, 200_001)
    total = np.cumsum(np.exp(-grid * grid / 2))
    mass = np.append(np.diff(np.interp(edges, grid, total / total[-1])), 1e-6)
    whole = 1 << LIC_PROB_BITS
    freq = 1 + np.floor(mass / mass.sum() * (whole - len(mass))).astype(np.int64)
    freq[np.argmax(freq)] += whole - freq.sum()
    return freq.astype(np.uint16), -reach


class Case:
    """Tables, a tile of residuals that they fit, and the same as the flat lists that CompressAI takes."""

    def __init__(self, sigmas: tuple[float, float], symbols: int, hyper: int):
        rng = np.random.default_rng(1)
        side = LIC_HYPER_STRIDE * min(16, LIC_TILE_SIDE_MAX)
        latent = max(1, symbols // side**2)
        self.sigmas = np.geomspace(*sigmas, ROWS)
        shaped = [gaussian_row(sigma) for sigma in self.sigmas]
        self.rows = shaped + [shaped[0]] * (2 * hyper)
        # Rows at random over channels and sub-positions: a zero weight costs the map as much as any other.
        offset = rng.integers(0, ROWS, CELL * latent) << LIC_MAP_SHIFT
        arrays = {
            "freq": np.concatenate([freq for freq, _ in self.rows]),
            "count": np.array([len(freq) for freq, _ in self.rows], np.int32),
            "first": np.array([first for _, first in self.rows], np.int16),
            "weight": np.zeros((CELL * latent, hyper), np.int16),
            "offset": offset.astype(np.int32),
            "bias": np.zeros((2, latent), np.int32),
            "z_step": np.ones((2, hyper), np.uint8),
        }
        self.tables = Tables(arrays, latent, hyper, 2, ROWS, 0)
        self.z = np.zeros((hyper, side // LIC_HYPER_STRIDE, side // LIC_HYPER_STRIDE), np.int16)
        self.index = self.tables.scale_index(Q, self.z, side, side)
        self.r = np.round(rng.normal(size=self.index.shape) * self.sigmas[self.index]).astype(np.int16)
        self.q, self.symbols = Q, self.r.size


def integers(path: pathlib.Path, quality: float, name: str | None) -> tuple:
    """The loaded model (name, or the default one), its tables, and q, z and r of an image."""
    from PIL import Image

    import pillow_lic
    from pillow_lic import container
    from pillow_lic.codec.decode import decode_symbols
    from pillow_lic.models import registry

    array = np.asarray(Image.open(path).convert("RGB"))
    chunks = container.read(pillow_lic.encode(array, quality=quality, model=name))
    model = registry.by_hash(chunks.header.model, chunks.header.model_hash)
    z, r, _ = decode_symbols(chunks)
    return model, model.tables, chunks.header.quality_q, z, r


class Latents:
    """What a Case holds, for a real image: the model's tables, its z and r, and the symbols of r that are coded."""

    def __init__(self, path: pathlib.Path, quality: float):
        model, self.tables, self.q, self.z, self.r = integers(path, quality, None)
        index = self.tables.scale_index(self.q, self.z, *self.r.shape[1:])
        coded = index >= self.tables.skip
        self.index, self.coded = index[coded], self.r[coded]
        self.symbols = self.coded.size
        starts = np.concatenate([[0], np.cumsum(model.arrays["count"])])
        freq, first = model.arrays["freq"], model.arrays["first"]
        self.bank = (freq, model.arrays["count"], first)
        self.rows = [(freq[starts[k] : starts[k + 1]], int(first[k])) for k in range(ROWS)]


class Mixed:
    """The same for a model of mixtures, all of whose symbols are coded: the bytes of every mixture, and what they mean
    as floats.
    """

    def __init__(self, path: pathlib.Path, quality: float, name: str):
        from pillow_lic.engines.torch import rate

        model, self.tables, self.q, self.z, self.r = integers(path, quality, name)
        self.planes = self.tables.scale_index(self.q, self.z, *self.r.shape[1:]).reshape(
            PLANES * self.tables.components, -1
        )
        self.mixture = _core_test.Mixture(model.arrays["normal"], model.arrays["inverse"], self.tables.components)
        self.coded = np.ascontiguousarray(self.r.ravel())
        self.symbols = self.coded.size
        self.sigmas = rate.mixture_sigmas(model.arrays["normal"], model.arrays["inverse"]).numpy()

    def first(self, count: int) -> Mixed:
        """The same case cut to its first symbols, for the coder alone."""
        part = copy.copy(self)
        part.planes, part.coded = np.ascontiguousarray(self.planes[:, :count]), self.coded[:count]
        part.symbols = part.coded.size
        return part

    def floats(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scales, means and weights, (K, n) float32 each, in steps."""
        scale, offset, weight = np.split(self.planes, PLANES)
        weight = np.maximum(weight, 1).astype(np.float32)
        mean = (offset.astype(np.float32) - LIC_OFFSET_ZERO) / LIC_OFFSET_ONE
        return self.sigmas[np.minimum(scale, len(self.sigmas) - 1)], mean, weight / weight.sum(0)


def ours_mixed(case: Mixed) -> tuple[bytes, Callable[[], bytes], Callable[[], np.ndarray]]:
    """The mixture coder alone."""
    data = case.mixture.encode(case.planes, case.coded)
    return data, lambda: case.mixture.encode(case.planes, case.coded), lambda: case.mixture.decode(data, case.planes)


def compressai_mixed(case: Mixed) -> tuple[bytes, Callable[[], object], Callable[[], object]]:
    """The same symbols and mixtures through CompressAI's GaussianMixtureConditional."""
    import torch
    from compressai_peer import Absent

    sys.meta_path.insert(0, Absent())
    from compressai.entropy_models import GaussianMixtureConditional

    torch.set_num_threads(1)
    coder = GaussianMixtureConditional(K=case.tables.components)
    # It leaves out channels of zeros alone, and changes its arguments: hence a single channel, and copies.
    y = torch.from_numpy(case.coded.astype(np.float32))[None, None, :, None]  # (1, 1, n, 1)
    parts = [torch.from_numpy(a.copy())[None, :, :, None] for a in case.floats()]  # (1, K, n, 1)
    encode = lambda: coder.compress(y, *(part.clone() for part in parts))[0]  # noqa: E731
    data, largest, used = encode()
    return data, encode, lambda: coder.decompress(data, largest, used, *(part.clone() for part in parts))


def ours(case: Case) -> tuple[bytes, Callable[[], bytes], Callable[[], np.ndarray]]:
    """The stream, and what is to be timed."""
    data = _core_test.encode(case.tables.model, case.q, case.z, case.r)

    def decode() -> np.ndarray:
        return _core_test.decode(case.tables.model, case.q, data, case.r.shape[1:])[1]

    return data, lambda: _core_test.encode(case.tables.model, case.q, case.z, case.r), decode


def ours_alone(case: Latents) -> tuple[bytes, Callable[[], bytes], Callable[[], np.ndarray]]:
    """The coder alone, under given rows: what CompressAI's coder does."""
    bank = _core_test.Bank(*case.bank)
    rows, symbols = np.ascontiguousarray(case.index), np.ascontiguousarray(case.coded)
    data = _core_test.encode_symbols(bank, rows, symbols)
    return (
        data,
        lambda: _core_test.encode_symbols(bank, rows, symbols),
        lambda: _core_test.decode_symbols(data, bank, rows),
    )


def compressai(case: Case, ans) -> tuple[bytes, Callable[[], bytes], Callable[[], list[int]]]:
    """The same symbols through CompressAI's coder, on the same rows."""
    rows = case.rows[:ROWS]
    cdfs = [[0, *np.cumsum(freq.astype(np.int64)).tolist()] for freq, _ in rows]
    tables = (cdfs, [len(cdf) for cdf in cdfs], [first for _, first in rows])
    index, symbols = case.index.ravel().tolist(), getattr(case, "coded", case.r).ravel().tolist()
    encoder, decoder = ans.RansEncoder(), ans.RansDecoder()
    data = encoder.encode_with_indexes(symbols, index, *tables)
    encode = lambda: encoder.encode_with_indexes(symbols, index, *tables)  # noqa: E731
    return data, encode, lambda: decoder.decode_with_indexes(data, index, *tables)


def find_compressai():
    """CompressAI's compiled coder without the package around it, which would import torch and torchvision; or None."""
    package = importlib.util.find_spec("compressai")
    for folder in package.submodule_search_locations if package else ():
        for path in pathlib.Path(folder).glob("ans.*"):
            spec = importlib.util.spec_from_file_location("compressai.ans", path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            sys.modules[spec.name] = (
                module  # the package itself, when compressai_mixed imports it, must not load it again
            )
            return module
    return None


def seconds(function: Callable[[], object], repeats: int) -> float:
    """Median processor time of a call; the first one is dropped."""
    times = []
    for _ in range(repeats + 1):
        start = time.thread_time()
        function()
        times.append(time.thread_time() - start)
    return statistics.median(times[1:])


def verify(name: str, case: Case | Latents, decoded) -> None:
    wanted = case.r if np.size(decoded) == case.r.size else case.coded
    if not np.array_equal(np.asarray(decoded).ravel(), wanted.ravel()):
        msg = f"{name}: the decoded symbols are wrong"
        raise SystemExit(msg)


def measure(
    name: str, what: str, rate: str, cases: list[Case | Latents], coder: Callable, repeats: int
) -> dict[str, object]:
    """One row of the results, over all cases together."""
    size = count = encode_time = decode_time = 0.0
    for case in cases:
        data, encode, decode = coder(case)
        verify(name, case, decode())
        size, count = size + len(data), count + case.symbols
        encode_time, decode_time = encode_time + seconds(encode, repeats), decode_time + seconds(decode, repeats)
    return {
        "coder": name,
        "what": what,
        "rate": rate,
        "hyper": len(cases[0].z),
        "symbols": int(count),
        "bits_per_symbol": round(8 * size / count, 4),
        "encode_msym_s": round(count / encode_time / 1e6, 1),
        "decode_msym_s": round(count / decode_time / 1e6, 1),
    }


def measure_mixtures(
    model: pathlib.Path, paths: list[pathlib.Path], repeats: int, peer: bool
) -> list[dict[str, object]]:
    """Rows of a model with mixtures: whole tiles, the coder alone, and CompressAI's on a part of the first image."""
    import pillow_lic

    cases = [Mixed(path, 50, pillow_lic.register_model(model)) for path in paths]
    what = f"K={cases[0].tables.components}"
    rows = [
        measure("pillow-lic", "tile", what, cases, ours, repeats),
        measure("pillow-lic", "coder", what, cases, ours_mixed, repeats),
    ]
    if peer:
        part = [cases[0].first(PEER_SYMBOLS)]
        rows.append(measure("pillow-lic", "coder", f"{what} part", part, ours_mixed, repeats))
        rows.append(measure("compressai", "coder", f"{what} part", part, compressai_mixed, 3))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=pathlib.Path, nargs="?", help="folder of images whose latents are coded too")
    parser.add_argument("--symbols", type=int, default=1 << 20)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument(
        "--mixture", type=pathlib.Path, metavar="MODEL", help="directory of a model with mixtures; wants IMAGES"
    )
    options = parser.parse_args()
    peer = find_compressai()
    results = []
    for rate, sigmas in SIGMAS.items():
        for hyper in (1, 128):  # 1: nearly nothing but the coder; 128: with the scale map of a whole model
            case = Case(sigmas, options.symbols, hyper)
            results.append(measure("pillow-lic", "tile", rate, [case], ours, options.repeats))
        if peer:
            results.append(
                measure(
                    "compressai", "coder", rate, [case], lambda c: compressai(c, peer), max(3, options.repeats // 3)
                )
            )
    if options.images:
        paths = sorted(p for p in options.images.iterdir() if p.suffix.lower() in {".png", ".jpg", ".webp", ".tif"})
        cases = [Latents(path, 50) for path in paths]
        for what, coder in (("tile", ours), ("coder", ours_alone)):
            results.append(measure("pillow-lic", what, options.images.name, cases, coder, options.repeats))
        few = max(3, options.repeats // 3)
        if peer:
            results.append(
                measure("compressai", "coder", options.images.name, cases, lambda c: compressai(c, peer), few)
            )
        if options.mixture:
            results += measure_mixtures(options.mixture, paths, options.repeats, peer is not None)
    machine.write_description(
        machine.RESULTS / "coder.json",
        simd=_core_test.simd(),
        threads=1,
        symbols=options.symbols,
        repeats=options.repeats,
    )
    with (machine.RESULTS / "coder.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(results)
    for row in results:
        line = "{coder:11} {what:5} {rate:8} C={hyper:<4} {bits_per_symbol:7} bit"
        speeds = "encode {encode_msym_s:6}  decode {decode_msym_s:6} M/s"
        print(f"{line}  {speeds}".format(**row))
    if not peer:
        print("CompressAI is not installed: pip install --no-deps compressai")


if __name__ == "__main__":
    main()
