"""The registry: which models exist, by number, name and hash, and where their directories lie (FORMAT 9).

Imports the standard library, constants, errors and forks only; no network is loaded here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..constants import HASH_BYTES, LIC_QUALITY_MAX, LIC_QUALITY_MIN, LIC_QUALITY_SCALE, MODEL_LIMITS
from ..errors import LicBadOption, LicModelMissing, LicUnknownModel
from ..forks import held

HERE = Path(__file__).parent
FORMAT = 2  # of manifests and of the interfaces of networks (FORMAT 9)
MANIFEST_MAX = 1 << 20  # bytes of manifest.json that are read
FILE_MAX = 1 << 29  # bytes of one file of a model
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
DEFAULTS = {"encoder_halo": 8, "quality": [LIC_QUALITY_MIN, LIC_QUALITY_MAX]}  # what a manifest need not state
DECODER_FILES, ENCODER_FILES = ["tables.npz", "decoder.pt"], ["encoder.pt"]

# Number in the file -> (name, directory). Append only: a number is never given to another model.
SHIPPED: dict[int, tuple[str, str]] = {
    1: ("toy", "toy"),
    2: ("photo", "photo"),
    3: ("gdn-mixture", "gdn-mixture"),
    4: ("photo-ms-ssim", "photo-ms-ssim"),
    5: ("photo-low", "photo-low"),
}
# What models were trained for -> the highest Q (FORMAT 3) that each is taken for, rising, and its name.
TUNES = {
    "psnr": ((5757, "photo-low"), (LIC_QUALITY_MAX, "photo")),
    "ms-ssim": ((LIC_QUALITY_MAX, "photo-ms-ssim"),),
}
DEFAULT_TUNE = "psnr"


@dataclass(frozen=True, eq=False)
class Entry:
    """One known model: its number (0 for registered ones), its directory and its manifest. Equal to itself alone."""

    number: int
    name: str
    path: Path
    manifest: dict[str, Any]

    @property
    def hash(self) -> bytes:
        """SHA-256 over the digests of the decoder's files and the integers that decoding needs (FORMAT 9.1)."""
        digests = [bytes.fromhex(self.manifest["decoder"][file]) for file in DECODER_FILES]
        integers = [self.manifest[key] for key in MODEL_LIMITS]
        return hashlib.sha256(b"".join(digests) + struct.pack("<6I", *integers)).digest()

    def fits(self, q: int) -> bool:
        """Whether the model was trained for a quality Q (100 to 10000)."""
        low, high = self.manifest["quality"]
        return low <= q <= high

    def read(self, file: str) -> bytes:
        """One of the model's files. Raises LicModelMissing unless it is there and the one that the manifest names."""
        path = self.path / file
        try:
            with open(path, "rb") as handle:
                data = handle.read(FILE_MAX)
        except OSError as error:
            msg = f"{path} cannot be read ({error}); reinstall pillow_lic or the model"
            raise LicModelMissing(msg) from error
        if hashlib.sha256(data).hexdigest() != (self.manifest["decoder"] | self.manifest["encoder"])[file]:
            msg = f"{path} is not the file that its manifest names (SHA-256 differs); reinstall pillow_lic or the model"
            raise LicModelMissing(msg)
        return data


_lock = held(threading.Lock())
_shipped: dict[str, Entry] = {}
_registered: dict[str, Entry] = {}


def read_entry(number: int, path: Path) -> Entry:
    """Read and check a manifest. Raises LicModelMissing when the directory is not a model."""
    try:
        with open(path / "manifest.json", "rb") as file:
            manifest = json.loads(file.read(MANIFEST_MAX))
    except (OSError, ValueError) as error:
        msg = f"{path} is not a model directory: manifest.json cannot be read ({error}); reinstall or re-export it"
        raise LicModelMissing(msg) from error
    problem = _problem(manifest)
    if problem:
        msg = f"{path / 'manifest.json'}: {problem}; re-export the model with this version of train/export.py"
        raise LicModelMissing(msg)
    return Entry(number, manifest["name"], path, DEFAULTS | manifest)


def _problem(manifest: Any) -> str | None:
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        return f"not a manifest of format {FORMAT}"
    if not isinstance(manifest.get("name"), str) or not NAME.fullmatch(manifest["name"]):
        return "name missing or not of the form [a-z0-9][a-z0-9._-]*"
    for key, (low, high) in (MODEL_LIMITS | {"encoder_halo": MODEL_LIMITS["halo"]}).items():
        value = manifest.get(key, DEFAULTS.get(key))
        if type(value) is not int or not low <= value <= high:
            return f"{key} must be an integer from {low} to {high}, found {value!r}"
    quality = manifest.get("quality", DEFAULTS["quality"])
    whole = isinstance(quality, list) and len(quality) == 2 and all(type(q) is int for q in quality)
    if not (whole and LIC_QUALITY_MIN <= quality[0] <= quality[1] <= LIC_QUALITY_MAX):
        return f"quality must be two integers from {LIC_QUALITY_MIN} to {LIC_QUALITY_MAX} that do not fall, found {quality!r}"
    if "lambda" in manifest and not _is_range(manifest["lambda"]):
        return f"lambda must be two numbers above 0 that do not fall, found {manifest['lambda']!r}"
    for key, files in (("decoder", DECODER_FILES), ("encoder", ENCODER_FILES)):
        listed = manifest.get(key)
        if not isinstance(listed, dict) or sorted(listed) != sorted(files):
            return f"{key} must list {', '.join(files)}"
        if not all(isinstance(d, str) and re.fullmatch("[0-9a-f]{64}", d) for d in listed.values()):
            return f"{key} must hold SHA-256 digests in lower-case hexadecimal"
    return None


def lambda_at(manifest: dict[str, Any], q: int) -> float | None:
    """lambda at quality Q (100 to 10000) of the objective that a model was trained for (FORMAT 9.1), None where its manifest has none."""
    if "lambda" not in manifest:
        return None
    lowest, highest = manifest["lambda"]
    return lowest * (highest / lowest) ** ((q - LIC_QUALITY_MIN) / (LIC_QUALITY_MAX - LIC_QUALITY_MIN))


def _is_range(value: Any) -> bool:
    numbers = isinstance(value, list) and len(value) == 2 and all(type(number) in (int, float) for number in value)
    return numbers and 0 < value[0] <= value[1] < float("inf")


def register(path: str | os.PathLike[str]) -> str:
    """Make a model directory known to this process and return its name, to be used as `model=NAME`.

    Files made with it carry its hash; whoever opens them must register the same model. What was registered before under the same name and
    hash is replaced: the directory may have moved, or hold a better encoder. Raises LicModelMissing when `path` is not a model directory or
    a file of it is not intact, LicBadOption when another model has the name.
    """
    entry = read_entry(0, Path(path).absolute())
    for file in DECODER_FILES + ENCODER_FILES:
        entry.read(file)
    with _lock:
        shipped = _find_shipped(entry.name)
        taken = shipped or _registered.get(entry.name)
        if taken and (
            taken.hash != entry.hash or (shipped and shipped.manifest["encoder"] != entry.manifest["encoder"])
        ):
            msg = f"a different model named {entry.name!r} is already known ({taken.path}); give yours another name"
            raise LicBadOption(msg)
        unchanged = taken and (taken.path, taken.manifest) == (
            entry.path,
            entry.manifest,
        )  # then what is loaded stays loaded
        if not shipped and not unchanged:
            _registered[entry.name] = entry
    return entry.name


def _find_shipped(name: str) -> Entry | None:
    for number, (known, directory) in SHIPPED.items():
        if known == name:
            if name not in _shipped:
                _shipped[name] = read_entry(number, HERE / directory)
            return _shipped[name]
    return None


def chosen(model: str | None, tune: str | None, q: int) -> Entry:
    """The model to encode with: by name, or by what it shall be good at and the quality Q (100 to 10000); by default DEFAULT_TUNE.

    Raises as by_name, LicBadOption if both are given or the named model was not trained for the quality.
    """
    if model is None:
        tune = DEFAULT_TUNE if tune is None else tune
        if not isinstance(tune, str) or tune not in TUNES:
            msg = f"tune must be one of {', '.join(map(repr, TUNES))}, found {tune!r}"
            raise LicBadOption(msg)
        return by_name(next(name for highest, name in TUNES[tune] if q <= highest))
    if tune is not None:
        msg = f"tune={tune!r} chooses a model, and so does model={model!r}: give one of the two"
        raise LicBadOption(msg)
    entry = by_name(model)
    if not entry.fits(q):
        spoken = " to ".join(f"{end / LIC_QUALITY_SCALE:g}" for end in entry.manifest["quality"])
        msg = f"model {model!r} is for quality {spoken}, found {q / LIC_QUALITY_SCALE:g}; leave model out to have one chosen"
        raise LicBadOption(msg)
    return entry


def by_name(name: str) -> Entry:
    """The model to encode with. Raises LicUnknownModel with the names that there are, LicBadOption if it is no text."""
    if not isinstance(name, str):
        msg = f"model must be the name of a model, found {name!r}; `lic models` lists them"
        raise LicBadOption(msg)
    with _lock:
        entry = _registered.get(name) or _find_shipped(name)
    if entry is None:
        msg = f"unknown model {name!r}; known are {', '.join(names())}; pillow_lic.register_model(path) adds your own"
        raise LicUnknownModel(msg)
    return entry


def by_hash(number: int, model_hash: bytes) -> Entry:
    """The model that a file names by number and hash prefix. Raises LicUnknownModel with what to do."""
    for entry in _known():
        if entry.hash[:HASH_BYTES] == model_hash:
            return entry
    wanted = f"model {number} ({SHIPPED[number][0]!r})" if number in SHIPPED else f"model {number}"
    msg = f"this file needs {wanted} with hash {model_hash.hex()}, which is not known here; " + (
        "call pillow_lic.register_model(path) with its directory"
        if number == 0
        else "install the pillow_lic it was made with"
    )
    raise LicUnknownModel(msg)


def _known() -> list[Entry]:
    with _lock:
        entries = list(_registered.values())
        for _, (name, directory) in SHIPPED.items():
            if (HERE / directory / "manifest.json").exists():
                with contextlib.suppress(LicModelMissing):  # one damaged model must not take the others along
                    entries.append(_find_shipped(name))
    return entries


def name_of(number: int, model_hash: bytes) -> str:
    """A printable name of the model in a file's header, also when it is not known here."""
    try:
        return by_hash(number, model_hash).name
    except (LicUnknownModel, LicModelMissing):
        return f"unknown (number {number}, hash {model_hash.hex()})"


def names() -> list[str]:
    """Names of all models that can be used, those of the default first."""
    default = [name for _, name in TUNES[DEFAULT_TUNE]]
    return sorted(
        (e.name for e in _known()), key=lambda name: (default.index(name) if name in default else len(default), name)
    )


def describe(name: str) -> dict[str, Any]:
    """Number, hash, directory and manifest of a model, for people."""
    entry = by_name(name)
    return {"number": entry.number, "hash": entry.hash.hex(), "path": str(entry.path), **entry.manifest}
