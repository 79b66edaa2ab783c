"""What files may cost in this process: how much work a picture is, how much is decoded at once, which models they may
name.

Work is counted in pixels of `photo`: the pixels under the grid, times what a pixel of the file's model costs
(models/cost.py). Imports the standard library; errors when there is one.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # known to type checkers; spares the import of typing
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from typing import Any

VARIABLE = "PILLOW_LIC_LIMITS"
PILLOWS = 89478485  # PIL.Image.MAX_IMAGE_PIXELS as Pillow has it
LARGEST = 1 << 27  # the default where that stands: 20 to 30 s of a core, below 1 GB
ANY, USUAL, NATIVE = "any", "usual", "native"


class Limits:
    """pixels: the most work of one picture; None: as Pillow's own limit says. at_once: of pictures at work at the same
    time; a larger one is decoded alone. models: names, or "usual": all but those of tests; "native": those that need no
    PyTorch; "any". What the program itself has named may be used in any case.
    """

    def __init__(self, pixels: float | None, at_once: float, models: str | Collection[str]):
        self.pixels, self.at_once, self.models = pixels, at_once, models

    def ceiling(self, pillows: float | None, *, careful: bool = False) -> float | None:
        """The most work that is not refused, None for any. pillows: PIL.Image.MAX_IMAGE_PIXELS. careful: where a file
        may be damaged, and little of it make for much work.
        """
        if self.pixels is not None:
            return self.pixels
        if not pillows or careful:
            return pillows or None
        return LARGEST if pillows == PILLOWS else 2 * pillows

    def allows(self, model: str, *, test: bool, native: bool) -> bool:
        """Whether files may name a model. test: it is for tests alone; native: it runs without PyTorch."""
        if isinstance(self.models, str):
            return self.models == ANY or (not test and (native or self.models == USUAL))
        return model in self.models


NAMED = {"default": Limits(None, 1 << 25, USUAL), "service": Limits(3 << 22, 3 << 22, NATIVE)}

_set: Limits | None = None


def set_limits(
    name: str | None = None,
    *,
    pixels: float | None = None,
    at_once: float | None = None,
    models: str | Iterable[str] | None = None,
) -> None:
    """What files may cost in this process from now on, for Image.open, imageio, decode and the batches.

    name: "default": pictures as large as Pillow's own limit allows, counted in pixels of `photo`, of which a dearer
    model has fewer; "service", for files of strangers: 12.5 megapixels, no model that needs PyTorch. The other
    arguments replace parts of it. pixels: the most work of a picture, in pixels of `photo`. at_once: of
    pictures decoded or encoded at the same time, others wait; a pixel that is encoded counts ten times. models: names
    of models that files may use, or "usual", "native", "any". Nothing at all: what the environment variable
    PILLOW_LIC_LIMITS says, such as "service,pixels=4e6,models=photo-visual+photo+photo-low+photo-tiny"; else
    "default". Raises LicBadOption.
    """
    global _set
    if name is None and pixels is None and at_once is None and models is None:
        _set = None
    else:
        _set = _made("limits", name or "default", {"pixels": pixels, "at_once": at_once, "models": models})


def current() -> Limits:
    """Those that hold now. Raises LicBadOption for an environment variable that says none."""
    if _set is not None:
        return _set
    text = os.environ.get(VARIABLE)
    return _read(text) if text else NAMED["default"]


def _read(text: str) -> Limits:
    parts = [part.strip() for part in text.split(",")]
    name = parts.pop(0) if "=" not in parts[0] else "default"
    given: dict[str, Any] = {}
    for part in parts:
        key, _, value = part.partition("=")
        given[key] = value.split("+") if key == "models" and "+" in value else value
    return _made(VARIABLE, name, given)


def _made(source: str, name: str, given: dict[str, Any]) -> Limits:
    if not isinstance(name, str) or name not in NAMED:
        _refuse(f"{source} must be one of {', '.join(NAMED)}, found {name!r}")
    base = NAMED[name]
    for key in given:
        if key not in ("pixels", "at_once", "models"):
            _refuse(f"{source}: {key!r} is none of pixels, at_once and models")
    numbers = {key: _number(source, key, given.get(key)) for key in ("pixels", "at_once")}
    models = given.get("models")
    return Limits(
        base.pixels if numbers["pixels"] is None else numbers["pixels"],
        base.at_once if numbers["at_once"] is None else numbers["at_once"],
        base.models if models is None else _models(source, models),
    )


def _number(source: str, key: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value) if not isinstance(value, bool) else 0.0
    except (TypeError, ValueError, OverflowError):
        number = 0.0
    if not number >= 1:  # not: true for NaN
        _refuse(f"{source}: {key} must be a number of pixels, at least 1, found {value!r}")
    return number


def _models(source: str, models: Any) -> str | frozenset[str]:
    if isinstance(models, str):
        return models if models in (ANY, USUAL, NATIVE) else frozenset({models})
    try:
        names = frozenset(models)
    except TypeError:
        names = frozenset({None})
    if not all(isinstance(name, str) for name in names):
        _refuse(f"{source}: models must be names, or one of {ANY!r}, {USUAL!r}, {NATIVE!r}, found {models!r}")
    return names


def _refuse(problem: str) -> None:
    from .errors import LicBadOption

    raise LicBadOption(problem)
