"""A model: its manifest and its files on disk, each verified when it is read.

Imports the standard library and ground; numpy and entropy when arrays and tables are asked for.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar, overload

from .. import _core
from ..errors import LicModelMissing
from ..forks import held
from . import weights
from .manifest import DECODER, ENCODER, PERCEPTUAL, THUMBNAIL, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ..entropy import Tables

T = TypeVar("T")

SHIPPED = Path(__file__).parent  # where the directories of our own models lie
BESIDE = "pillow_lic_models"  # the package with what the wheel leaves out: photo-ms-ssim and gdn-mixture
SHIPPED_NUMBER = -1  # of a shipped model that is read as the base of another
INSTALL = 'pip install "pillow-lic[models]"'
MANIFEST_MAX = 1 << 20  # bytes of manifest.json that are read
FILE_MAX = 1 << 27  # bytes of one file of a model
# What the tensors of a file may be called (FORMAT 9.2 to 9.4); a model's own networks say which of them they want.
_OWN = "|".join(_core.residual_arrays())  # of a residual kind
_TABLES = rf"freq|count|first|weight|offset|bias|z_step|z_level|z_near|{_OWN}|hidden\d+_(weight|offset)"
_LAYER = r"(\.[a-z_]*\d{0,2}){0,4}\.(weight|scale|bias|gain|beta|gamma)"
_UNIT = r"unit(\.[a-z_]+\d{0,2}){1,4}"
_PRIOR = r"hyper_rate\.(gain|mean|log_scale|logit)"  # as training knows it; only that reads it
NAMES = {
    DECODER: re.compile(rf"{_TABLES}|tanh|exp2|(prior|refine\d|synthesis){_LAYER}|{_UNIT}"),
    PERCEPTUAL: re.compile(rf"synthesis{_LAYER}|{_UNIT}"),
    ENCODER: re.compile(rf"(analysis|hyper|hyper_analysis){_LAYER}|{_UNIT}|{_PRIOR}"),
    THUMBNAIL: re.compile(rf"thumbnail{_LAYER}"),
}

_lock = held(threading.RLock())  # of all that is loaded once; so no child inherits it half done


class once(Generic[T]):  # used as functools.cached_property is
    """A property that is made when it is first asked for, by one thread while others wait, and forks as well.

    functools.cached_property has a lock of its own up to Python 3.11, which a child that is forked meanwhile finds
    locked for ever.
    """

    def __init__(self, make: Callable[[Any], T]):
        self.make, self.name = make, make.__name__
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, one: None, owner: type) -> once[T]: ...
    @overload
    def __get__(self, one: object, owner: type) -> T: ...
    def __get__(self, one: object | None, owner: type) -> once[T] | T:
        if one is None:
            return self
        made: dict[str, T] = one.__dict__  # what is found here is not asked for again
        with _lock:
            if self.name not in made:
                made[self.name] = self.make(one)
            return made[self.name]


@dataclass(frozen=True, eq=False)
class Model:
    """One known model: its number (0 for registered ones), its directory and its manifest. Equal to itself alone.

    Unchanging, so any number of threads may use one. Engines keep what they load of it themselves.
    """

    number: int
    path: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """The name by which encoders take it."""
        return self.manifest.name

    @property
    def hash(self) -> bytes:
        """SHA-256 of what decoding depends on (FORMAT 9.1); files carry the first 8 bytes."""
        return self.manifest.hash

    @once
    def base(self) -> Model | None:
        """The shipped model that has the tensors which this one's files leave out (FORMAT 9.1), None where they leave
        none out. Raises LicModelMissing.
        """
        if self.manifest.base is None:
            return None
        base = read_model(SHIPPED_NUMBER, SHIPPED / self.manifest.base)
        if base.manifest.base is not None:
            msg = f"{self.path} leaves tensors to {base.name!r}, which leaves some to another; re-export the model"
            raise LicModelMissing(msg)
        return base

    def _read(self, file: str) -> bytes:
        path = self.path / file
        if self.number and not path.exists():
            path = _beside(self.path.name, file)
        try:
            with _opened(path) as handle:
                size = os.fstat(handle.fileno()).st_size
                if size > FILE_MAX:
                    msg = f"it has {size} bytes, more than {FILE_MAX}"
                    raise OSError(msg)
                return handle.read(size)
        except OSError as error:
            msg = f"{path} cannot be read ({error}); reinstall pillow_lic or the model"
            raise LicModelMissing(msg) from error

    @once
    def tensors(self) -> weights.Tensors:
        """What decides symbols and pixels (FORMAT 9.2), by name. Raises LicModelMissing unless it is what the manifest
        names.
        """
        tensors = weights.read(self._read(DECODER), str(self.path / DECODER), NAMES[DECODER])
        if self.base is not None:
            tensors = self.base.tensors | tensors
        if weights.identity(tensors, self.manifest.integers.values()) != self.hash:
            raise _other(self.path / DECODER)
        return tensors

    @once
    def encoder_tensors(self) -> weights.Tensors:
        """What an encoder uses besides (FORMAT 9.3), by name. Raises likewise."""
        if self.manifest.encoder is None:
            msg = f"the model {self.name!r} was installed without its encoder: it opens files, and cannot save any"
            raise LicModelMissing(msg)
        own = self._named(ENCODER, self.manifest.encoder)
        return own if self.base is None else self.base.encoder_tensors | own

    @once
    def perceptual_tensors(self) -> weights.Tensors:
        """What decides samples with the second synthesis (FORMAT 9.5): its layers in the place of the first one's.
        Raises likewise.
        """
        if self.manifest.perceptual is None:
            msg = f"the model {self.name!r} has no perceptual synthesis; style='default' shows its files"
            raise LicModelMissing(msg)
        return self.tensors | self._named(PERCEPTUAL, self.manifest.perceptual)

    @once
    def thumbnail_tensors(self) -> weights.Tensors | None:
        """What gives small pictures (FORMAT 9.3), by name; None for a model without. Raises likewise."""
        return None if self.manifest.thumbnail is None else self._named(THUMBNAIL, self.manifest.thumbnail)

    def _named(self, file: str, digest: str) -> weights.Tensors:
        """The tensors of a file that the manifest knows by its SHA-256."""
        import hashlib  # loads OpenSSL: not for who opens a file and never its model

        data = self._read(file)
        if hashlib.sha256(data).hexdigest() != digest:
            raise _other(self.path / file)
        return weights.read(data, str(self.path / file), NAMES[file])

    def release(self) -> None:
        """Give back the memory of `tensors`, of which the coder and the networks have made their own. They are read
        again where they are asked for again.
        """
        _ = self.core
        for one in (self, self.base):
            if one is not None:
                one.__dict__.pop("tensors", None)

    def check_files(self) -> None:
        """Read every file once. Raises LicModelMissing."""
        _ = self.tensors  # reading checks
        if self.manifest.encoder is not None:
            _ = self.encoder_tensors
        if self.manifest.perceptual is not None:
            _ = self.perceptual_tensors
        _ = self.thumbnail_tensors

    @once
    def arrays(self) -> dict[str, NDArray[Any]]:
        """`tensors` as NumPy's arrays."""
        return _as_arrays(self.tensors)

    @once
    def encoder_arrays(self) -> dict[str, NDArray[Any]]:
        """`encoder_tensors` likewise."""
        return _as_arrays(self.encoder_tensors)

    @once
    def perceptual_arrays(self) -> dict[str, NDArray[Any]]:
        """`perceptual_tensors` likewise."""
        return _as_arrays(self.perceptual_tensors)

    @once
    def core(self) -> _core.Model:
        """The coder over its integer tables. Needs no NumPy. Raises LicModelMissing for tables that are wrong."""
        integers = {key: value for key, value in self.manifest.integers.items() if key != "halo"}
        return _core.Model(buffers(self.tensors), **integers)

    @once
    def tables(self) -> Tables:
        """The integer tables, and the coder over them."""
        from ..entropy import Tables

        return Tables.from_model(self.manifest.integers, self.arrays)


def _beside(directory: str, file: str) -> Path:
    """The file of a shipped model in the package beside ours. Raises LicModelMissing where that is not installed."""
    from importlib.util import find_spec

    spec = find_spec(BESIDE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / directory / file).exists():
            return path
    what = "what saves with it" if file == ENCODER else "what opens its files"
    msg = f"of the model {directory!r} {what} is not installed ({file}); {INSTALL} brings it"
    raise LicModelMissing(msg)


def buffers(tensors: weights.Tensors) -> dict[str, memoryview[Any]]:
    """As the core takes them."""
    return {name: tensor.view for name, tensor in tensors.items()}


def _as_arrays(tensors: weights.Tensors) -> dict[str, NDArray[Any]]:
    import numpy as np

    halves = {name: np.asarray(view).view(np.float16) for name, (kind, view) in tensors.items() if kind == "F16"}
    return {name: np.asarray(view) for name, (_, view) in tensors.items()} | halves


def _other(path: Path) -> LicModelMissing:
    return LicModelMissing(
        f"{path} is not the file that its manifest names (SHA-256 differs); reinstall pillow_lic or the model"
    )


def _opened(path: Path) -> IO[bytes]:
    """A regular file, open. A named pipe or a device would be waited for, or never end."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        msg = "it is no regular file"
        raise OSError(msg)
    return open(descriptor, "rb")


def read_model(number: int, path: Path) -> Model:
    """Read and check a manifest. Raises LicModelMissing when the directory is not a model."""
    try:
        with _opened(path / "manifest.json") as file:
            data = file.read(MANIFEST_MAX)
    except OSError as error:
        msg = f"{path} is not a model directory: manifest.json cannot be read ({error}); reinstall or re-export it"
        raise LicModelMissing(msg) from error
    try:
        return Model(number, path, Manifest.parse(data))
    except (ValueError, RecursionError) as error:
        advice = "re-export the model with this version of train/export.py"
        msg = f"{path / 'manifest.json'} is no manifest of ours: {error}; {advice}"
        raise LicModelMissing(msg) from error
