"""The manifest of a model directory (FORMAT 9.1): read, checked and given types once.

Imports the standard library and ground.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .. import quality as qualities
from ..constants import LIC_QUALITY_MAX, LIC_QUALITY_MIN, MODEL_LIMITS

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 2  # of manifests and of the interfaces of networks (FORMAT 9)
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
DIGEST = re.compile("[0-9a-f]{64}")
TABLES, DECODER, ENCODER = "tables.npz", "decoder.pt", "encoder.pt"  # the files of a model
DECODER_FILES, ENCODER_FILES = (TABLES, DECODER), (ENCODER,)
DEFAULTS: dict[str, Any] = {"encoder_halo": 8, "quality": [LIC_QUALITY_MIN, LIC_QUALITY_MAX]}  # what need not be stated


@dataclass(frozen=True)
class Manifest:
    """What a model says of itself. Made by `parse`, which checks every field.

    latent, hyper: channels of y and of z. points: trained rates. rows: scale rows. skip: scale indices below it are not
    coded.
    halo, encoder_halo: how far the decoder's and the encoder's networks look, in latent positions.
    """

    name: str
    latent: int
    hyper: int
    points: int
    rows: int
    skip: int
    halo: int
    encoder_halo: int
    quality: tuple[int, int]  # the lowest and the highest Q that it was trained for
    lambdas: tuple[float, float] | None  # of squared errors, at the lowest and at the highest Q; None: it weighs others
    decoder: Mapping[str, str]  # SHA-256 of each file, in hexadecimal
    encoder: Mapping[str, str]
    stated: Mapping[str, Any] = field(compare=False, repr=False)  # all that the file holds, for people

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """From the bytes of manifest.json. Raises ValueError with what is wrong."""
        stated = json.loads(data)
        if problem := _problem(stated):
            raise ValueError(problem)
        whole = DEFAULTS | stated
        integers = {key: whole[key] for key in (*MODEL_LIMITS, "encoder_halo")}
        low, high = whole["quality"]
        lambdas = (float(stated["lambda"][0]), float(stated["lambda"][1])) if "lambda" in stated else None
        files = {"decoder": whole["decoder"], "encoder": whole["encoder"]}
        return cls(name=whole["name"], quality=(low, high), lambdas=lambdas, stated=whole, **integers, **files)

    @property
    def integers(self) -> dict[str, int]:
        """Those that decoding needs, in the order in which the hash takes them (FORMAT 9.1)."""
        return {key: getattr(self, key) for key in MODEL_LIMITS}

    @cached_property
    def hash(self) -> bytes:
        """SHA-256 over the digests of the decoder's files and the integers that decoding needs (FORMAT 9.1)."""
        digests = [bytes.fromhex(self.decoder[file]) for file in DECODER_FILES]
        return hashlib.sha256(b"".join(digests) + struct.pack("<6I", *self.integers.values())).digest()

    def digest(self, file: str) -> str:
        """SHA-256 that a file must have."""
        return self.encoder[file] if file in self.encoder else self.decoder[file]

    def fits(self, q: int) -> bool:
        """Whether the model was trained for a quality Q (100 to 10000)."""
        low, high = self.quality
        return low <= q <= high

    def lambda_at(self, q: int) -> float | None:
        """lambda at Q of the squared errors that the model was trained for, None where it weighs others."""
        return None if self.lambdas is None else qualities.lambda_at(self.lambdas, q)


def _problem(stated: Any) -> str | None:
    if not isinstance(stated, dict) or stated.get("format") != FORMAT:
        return f"not a manifest of format {FORMAT}"
    if not isinstance(stated.get("name"), str) or not NAME.fullmatch(stated["name"]):
        return "name missing or not of the form [a-z0-9][a-z0-9._-]*"
    for key, (low, high) in (MODEL_LIMITS | {"encoder_halo": MODEL_LIMITS["halo"]}).items():
        value = stated.get(key, DEFAULTS.get(key))
        if type(value) is not int or not low <= value <= high:
            return f"{key} must be an integer from {low} to {high}, found {value!r}"
    quality = stated.get("quality", DEFAULTS["quality"])
    whole = isinstance(quality, list) and len(quality) == 2 and all(type(q) is int for q in quality)
    if not (whole and LIC_QUALITY_MIN <= quality[0] <= quality[1] <= LIC_QUALITY_MAX):
        ends = f"{LIC_QUALITY_MIN} to {LIC_QUALITY_MAX}"
        return f"quality must be two integers from {ends} that do not fall, found {quality!r}"
    if "lambda" in stated and not _is_range(stated["lambda"]):
        return f"lambda must be two numbers above 0 that do not fall, found {stated['lambda']!r}"
    return _problem_of_files(stated)


def _problem_of_files(stated: dict[str, Any]) -> str | None:
    for key, files in (("decoder", DECODER_FILES), ("encoder", ENCODER_FILES)):
        listed = stated.get(key)
        if not isinstance(listed, dict) or sorted(listed) != sorted(files):
            return f"{key} must list {', '.join(files)}"
        if not all(isinstance(digest, str) and DIGEST.fullmatch(digest) for digest in listed.values()):
            return f"{key} must hold SHA-256 digests in lower-case hexadecimal"
    return None


def _is_range(value: Any) -> bool:
    numbers = isinstance(value, list) and len(value) == 2 and all(type(number) in (int, float) for number in value)
    return numbers and 0 < value[0] <= value[1] < float("inf")
