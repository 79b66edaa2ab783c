"""The manifest of a model directory (FORMAT 9.1): read, checked and given types once.

Imports the standard library and ground.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .. import quality as qualities
from ..constants import LIC_QUALITY_MAX, LIC_QUALITY_MIN, MODEL_LIMITS

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 3  # of manifests and of what stands beside them (FORMAT 9)
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
DIGEST = re.compile("[0-9a-f]{64}")
DECODER, ENCODER = "model.safetensors", "encoder.safetensors"  # the files of a model
PERCEPTUAL = "perceptual.safetensors"  # and, where there is one, of its second synthesis
THUMBNAIL = "thumbnail.safetensors"  # what gives small pictures without its synthesis, where it has that
# Families of networks (FORMAT 9.3, 9.4), and the file in engines/torch/ and in train/families/ that has each.
FAMILIES = {"photo": "photo", "factorized": "gdn", "hyperprior": "gdn", "gdn-mixture": "gdn"}
NATIVE = "photo"  # that which the native engine runs
WIDTH_MAX = 4096  # of a network
RANGES = ("lambda", "visual", "asked")  # what is two numbers above 0 that do not fall, where it is stated
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
    visual: tuple[float, float] | None  # of the visual distance beside them; None: it does not count
    asked: tuple[float, float] | None  # what users call the lowest and the highest Q; None: what all others call them
    hash: bytes  # SHA-256 of what decides symbols and pixels (FORMAT 9.1)
    family: str
    widths: Mapping[str, int | bool]  # of the networks: what their family calls them
    encoder: str | None  # SHA-256 of the encoder's file, in hexadecimal; None where there is none
    perceptual: str | None  # SHA-256 of the second synthesis' file, likewise; None where there is none
    thumbnail: str | None  # likewise, of the file that gives small pictures
    base: str | None  # name of the model that has the tensors which these files leave out; None: they leave out none
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
        lambdas, visual, asked = (_range(stated, key) for key in RANGES)
        network = dict(whole["network"])
        return cls(
            name=whole["name"],
            quality=(low, high),
            lambdas=lambdas,
            visual=visual,
            asked=asked,
            hash=bytes.fromhex(whole["identity"]),
            family=network.pop("family"),
            widths=network,
            encoder=whole.get("encoder"),
            perceptual=whole.get("perceptual"),
            thumbnail=whole.get("thumbnail"),
            base=whole.get("base"),
            stated=whole,
            **integers,
        )

    @property
    def integers(self) -> dict[str, int]:
        """Those that decoding needs, in the order in which the hash takes them (FORMAT 9.1)."""
        return {key: getattr(self, key) for key in MODEL_LIMITS}

    def fits(self, q: int) -> bool:
        """Whether the model was trained for a quality Q (100 to 10000)."""
        low, high = self.quality
        return low <= q <= high

    def q_for(self, quality: float) -> int:
        """The Q that a quality stands for, as users state it. Raises LicBadOption unless it is from 0 to 100."""
        q = qualities.to_q(quality)
        return q if self.asked is None else qualities.q_between(self.quality, self.asked, quality)

    def quality_at(self, q: int) -> float:
        """The inverse: the quality at Q, to hundredths, as users state it."""
        return qualities.from_q(q) if self.asked is None else qualities.quality_between(self.quality, self.asked, q)

    def lambda_at(self, q: int) -> float | None:
        """lambda at Q of the squared errors that the model was trained for, None where it weighs others."""
        return None if self.lambdas is None else qualities.lambda_at(self.lambdas, q)

    def visual_at(self, q: int) -> float:
        """Weight at Q of the visual distance that stands beside the squared errors, 0 where none does."""
        return 0.0 if self.visual is None else qualities.lambda_at(self.visual, q)


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
    for key in RANGES:
        if key in stated and not _is_range(stated[key]):
            return f"{key} must be two numbers above 0 that do not fall, found {stated[key]!r}"
    if "visual" in stated and "lambda" not in stated:
        return "visual stands beside lambda, which is missing"
    return _problem_of_files(stated)


def _problem_of_files(stated: dict[str, Any]) -> str | None:
    for key, needed in (("identity", True), ("encoder", False), ("perceptual", False), ("thumbnail", False)):
        digest = stated.get(key)
        if (needed or key in stated) and not (isinstance(digest, str) and DIGEST.fullmatch(digest)):
            return f"{key} must be a SHA-256 in lower-case hexadecimal, found {digest!r}"
    base = stated.get("base")
    if "base" in stated and not (isinstance(base, str) and NAME.fullmatch(base)):
        return f"base must be the name of a model, found {base!r}"
    network = stated.get("network")
    if not isinstance(network, dict) or network.get("family") not in FAMILIES:
        return f"network must state a family of {', '.join(FAMILIES)}"
    if "perceptual" in stated and network["family"] != NATIVE:
        return f"perceptual is for networks of the {NATIVE} family, found {network['family']!r}"
    for key, value in network.items():
        if key != "family" and not (type(value) is bool or (type(value) is int and 0 <= value <= WIDTH_MAX)):
            return f"network: {key} must be an integer from 0 to {WIDTH_MAX}, found {value!r}"
    return None


def _range(stated: dict[str, Any], key: str) -> tuple[float, float] | None:
    return (float(stated[key][0]), float(stated[key][1])) if key in stated else None


def _is_range(value: Any) -> bool:
    numbers = isinstance(value, list) and len(value) == 2 and all(type(number) in (int, float) for number in value)
    return numbers and 0 < value[0] <= value[1] < float("inf")
