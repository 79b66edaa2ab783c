"""Which model an encoder takes: by name, or by what the file shall be good at and its quality. Decoders know nothing of
it.

Imports the registry and ground.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import values
from ..constants import LIC_QUALITY_MAX
from ..errors import LicBadOption
from ..quality import from_q, to_q
from . import registry

if TYPE_CHECKING:
    from .store import Model

# What models were trained for -> the highest Q (FORMAT 3) that each is taken for, rising, and its name.
TUNES: dict[str, tuple[tuple[int, str], ...]] = {
    "visual": ((LIC_QUALITY_MAX, "photo-visual"),),
    "psnr": ((5757, "photo-low"), (LIC_QUALITY_MAX, "photo")),
    "perceptual": ((LIC_QUALITY_MAX, "photo-visual"),),
    "ms-ssim": ((LIC_QUALITY_MAX, "photo-ms-ssim"),),
}
TINY = "photo-tiny"  # what qualities below LOW are of, whatever the tune is, and files too small for all others
LOW = 1.0
BELOW = ((LIC_QUALITY_MAX, TINY),)  # as of a tune
DEFAULT_TUNE = "visual"
SQUARES_TUNE = "psnr"  # what is asked for in decibels is best had from


def chosen(model: str | None, tune: str | None, quality: float) -> tuple[int, Model]:
    """The model to encode with at a quality from 0 to 100, and its Q for that. Neither a name nor a tune: DEFAULT_TUNE.

    Raises as registry.by_name, LicBadOption if both are given, for what is no quality, or if the named model was not
    trained for it.
    """
    _check(model, tune)
    q = to_q(quality)
    if model is None:
        rungs = BELOW if quality < LOW else TUNES[tune or DEFAULT_TUNE]
        found = registry.by_name(next(name for highest, name in rungs if q <= highest))
        return found.manifest.q_for(quality), found
    found = registry.by_name(model)
    low, high = spoken(found)
    if quality > high if found.manifest.asked else not found.manifest.fits(q):
        advice = "leave model out to have one chosen"
        msg = f"model {model!r} is for quality {low:g} to {high:g}, found {from_q(q):g}; {advice}"
        raise LicBadOption(msg)
    return found.manifest.q_for(quality), found


def spoken(model: Model) -> tuple[float, float]:
    """The lowest and the highest quality of a model, as users state them."""
    low, high = (model.manifest.quality_at(q) for q in model.manifest.quality)
    return low, high


def ladders(model: str | None, tune: str | None) -> list[list[tuple[int, Model]]]:
    """The models that `chosen` takes, with the highest Q that each is taken for, rising; and behind these, each in the
    same way, those to turn to for smaller files. Raises as it does.
    """
    _check(model, tune)
    if model is not None:
        found = registry.by_name(model)
        return [[(found.manifest.quality[1], found)]]
    squares = [TUNES[SQUARES_TUNE]] if tune is None else []
    rungs = [TUNES[tune or DEFAULT_TUNE], *squares, BELOW]
    return [[(highest, registry.by_name(name)) for highest, name in ladder] for ladder in rungs]


def _check(model: str | None, tune: str | None) -> None:
    """Raises LicBadOption for both, and for no tune of ours."""
    if model is not None and tune is not None:
        msg = f"tune={tune!r} chooses a model, and so does model={model!r}: give one of the two"
        raise LicBadOption(msg)
    if tune is not None:
        values.one_of("tune", tune, TUNES)


def names() -> list[str]:
    """Names of all models that can be used, those of the default first."""
    default = [name for _, name in TUNES[DEFAULT_TUNE]]

    def place(name: str) -> tuple[int, str]:
        return (default.index(name) if name in default else len(default), name)

    return sorted((model.name for model in registry.every()), key=place)
