"""The registry: which models exist, by number, name and hash (FORMAT 9).

Imports the standard library and ground; no network is loaded here.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Any

from ..constants import HASH_BYTES
from ..errors import LicBadOption, LicModelMissing, LicUnknownModel
from ..forks import held
from ..quality import from_q
from . import store
from .store import Model, read_model

# Number in the file -> (name, directory). Append only: a number is never given to another model.
SHIPPED: dict[int, tuple[str, str]] = {
    1: ("toy", "toy"),
    2: ("photo", "photo"),
    3: ("gdn-mixture", "gdn-mixture"),
    4: ("photo-ms-ssim", "photo-ms-ssim"),
    5: ("photo-low", "photo-low"),
    6: ("photo-visual", "photo-visual"),
    7: ("photo-tiny", "photo-tiny"),
}

TESTS = ("toy",)  # models for tests: a file may use them where the program has named them
REGISTERED_MAX = 64  # each is some 12 MB
named: set[str] = set()  # models that the program itself has asked for, by name or directory

_lock = held(threading.RLock())  # a signal handler may open a picture meanwhile
_shipped: dict[str, Model] = {}  # as far as they have been read
_registered: dict[str, Model] = {}
_by_hash: dict[bytes, Model] = {}  # the eight bytes in a file -> the model, as far as it was looked for


def register(path: str | os.PathLike[str]) -> str:
    """Make the model in a directory known to this process; returns its name, for `model=`.

    Files made with it carry its hash; whoever opens them must register the same model. What was registered before under
    the same name and hash is replaced: the directory may have moved, or hold a better encoder. Raises LicModelMissing
    if the directory holds no intact model, LicBadOption if another model has its name.
    """
    if not isinstance(path, (str, os.PathLike)):
        msg = f"path must be a model's directory, found {path!r}"
        raise LicBadOption(msg)
    model = read_model(0, Path(path).absolute())
    model.check_files()
    with _lock:
        shipped = _find_shipped(model.name)
        taken = shipped or _registered.get(model.name)
        if taken and _differ(taken, model, encoders=shipped is not None):
            msg = f"a different model named {model.name!r} is already known ({taken.path}); give yours another name"
            raise LicBadOption(msg)
        unchanged = taken and (taken.path, taken.manifest) == (model.path, model.manifest)
        if not taken and len(_registered) >= REGISTERED_MAX:
            advice = "register a program's models once, at its start"
            msg = f"{REGISTERED_MAX} models are registered already, {model.name!r} would be one more; {advice}"
            raise LicBadOption(msg)
        if not shipped and not unchanged:  # else what is loaded stays loaded
            _registered[model.name] = model
            _by_hash.clear()
        named.add(model.name)
    return model.name


def _differ(a: Model, b: Model, encoders: bool) -> bool:
    return a.hash != b.hash or (encoders and a.manifest.encoder != b.manifest.encoder)


def forget_registered() -> None:
    """As if nothing had been registered in this process."""
    with _lock:
        named.difference_update(_registered)
        _registered.clear()
        _by_hash.clear()


def _find_shipped(name: str) -> Model | None:
    for number, (known, directory) in SHIPPED.items():
        if known == name:
            if name not in _shipped:
                _shipped[name] = read_model(number, store.SHIPPED / directory)
            return _shipped[name]
    return None


def by_name(name: str) -> Model:
    """The model to encode with; files may use it from then on (limits.py). Raises LicUnknownModel with the names that
    there are, LicBadOption if it is no text.
    """
    if not isinstance(name, str):
        msg = f"model must be the name of a model, found {name!r}; `lic models` lists them"
        raise LicBadOption(msg)
    with _lock:
        model = _registered.get(name) or _find_shipped(name)
    if model is None:
        known = ", ".join(model.name for model in every())
        msg = f"unknown model {name!r}; known are {known}; pillow_lic.register_model(path) adds your own"
        raise LicUnknownModel(msg)
    named.add(model.name)
    return model


def by_hash(number: int, model_hash: bytes) -> Model:
    """The model that a file names by number and hash prefix. Raises LicUnknownModel with what to do."""
    model = _by_hash.get(model_hash) or _as_numbered(number, model_hash)
    if model is None:
        every()  # notes them
        model = _by_hash.get(model_hash)
    if model is not None:
        return model
    wanted = f"model {number} ({SHIPPED[number][0]!r})" if number in SHIPPED else f"model {number}"
    register_it = "call pillow_lic.register_model(path) with its directory"
    advice = "install the pillow_lic it was made with" if number else register_it
    msg = f"this file needs {wanted} with hash {model_hash.hex()}, which is not known here; {advice}"
    raise LicUnknownModel(msg)


def _as_numbered(number: int, model_hash: bytes) -> Model | None:
    """The shipped model of that number if it has that hash and nothing is registered: spares the others' manifests."""
    with _lock:
        if _registered or number not in SHIPPED:
            return None
        with contextlib.suppress(LicModelMissing):
            model = _find_shipped(SHIPPED[number][0])
            if model is not None and model.hash[:HASH_BYTES] == model_hash:
                return _by_hash.setdefault(model_hash, model)
    return None


def every() -> list[Model]:
    """All models that can be used, the registered before the shipped."""
    with _lock:
        models = list(_registered.values())
        for name, directory in SHIPPED.values():
            if name not in _shipped and not (store.SHIPPED / directory / "manifest.json").exists():
                continue
            with contextlib.suppress(LicModelMissing):  # one damaged model must not take the others along
                if shipped := _find_shipped(name):
                    models.append(shipped)
        for model in models:
            _by_hash.setdefault(model.hash[:HASH_BYTES], model)
    return models


def name_of(number: int, model_hash: bytes) -> str:
    """A printable name of the model in a file's header, also when it is not known here."""
    try:
        return by_hash(number, model_hash).name
    except (LicUnknownModel, LicModelMissing):
        return f"unknown (number {number}, hash {model_hash.hex()})"


def quality_of(number: int, model_hash: bytes, q: int) -> float:
    """The quality that Q of a file stands for, as users state it: by its model, as far as that is known here."""
    try:
        return by_hash(number, model_hash).manifest.quality_at(q)
    except (LicUnknownModel, LicModelMissing):
        return from_q(q)


def describe(name: str) -> dict[str, Any]:
    """Number, hash, directory and manifest of a model, for people."""
    model = by_name(name)
    return {"number": model.number, "hash": model.hash.hex(), "path": str(model.path), **model.manifest.stated}
