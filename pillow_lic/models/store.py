"""A model: its manifest and its files on disk, each verified when it is read.

Imports the standard library and ground; numpy and entropy when tables are asked for.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import LicModelMissing
from .manifest import DECODER_FILES, ENCODER_FILES, TABLES, Manifest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..entropy import Tables

SHIPPED = Path(__file__).parent  # where the directories of our own models lie
MANIFEST_MAX = 1 << 20  # bytes of manifest.json that are read
FILE_MAX = 1 << 29  # bytes of one file of a model


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

    def read(self, file: str) -> bytes:
        """One of the model's files. Raises LicModelMissing unless it is there and the one that the manifest names."""
        path = self.path / file
        try:
            with open(path, "rb") as handle:
                data = handle.read(FILE_MAX)
        except OSError as error:
            msg = f"{path} cannot be read ({error}); reinstall pillow_lic or the model"
            raise LicModelMissing(msg) from error
        if hashlib.sha256(data).hexdigest() != self.manifest.digest(file):
            msg = f"{path} is not the file that its manifest names (SHA-256 differs); reinstall pillow_lic or the model"
            raise LicModelMissing(msg)
        return data

    def check_files(self) -> None:
        """Read every file once. Raises as `read` does."""
        for file in DECODER_FILES + ENCODER_FILES:
            self.read(file)

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of tables.npz (FORMAT 9.2), by name; entropy.Tables judges them."""
        import numpy as np

        data = self.read(TABLES)
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                return dict(archive)
        except Exception as error:  # NumPy and zipfile raise this and that for what is no archive
            msg = f"{self.path / TABLES} cannot be read ({error}); reinstall the model"
            raise LicModelMissing(msg) from error

    @cached_property
    def tables(self) -> Tables:
        """The integer tables, and the coder over them."""
        from ..entropy import Tables

        return Tables.from_model(self.manifest.integers, self.arrays)


def read_model(number: int, path: Path) -> Model:
    """Read and check a manifest. Raises LicModelMissing when the directory is not a model."""
    try:
        with open(path / "manifest.json", "rb") as file:
            data = file.read(MANIFEST_MAX)
    except OSError as error:
        msg = f"{path} is not a model directory: manifest.json cannot be read ({error}); reinstall or re-export it"
        raise LicModelMissing(msg) from error
    try:
        return Model(number, path, Manifest.parse(data))
    except ValueError as error:
        advice = "re-export the model with this version of train/export.py"
        msg = f"{path / 'manifest.json'} is no manifest of ours: {error}; {advice}"
        raise LicModelMissing(msg) from error
