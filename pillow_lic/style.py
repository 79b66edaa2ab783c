"""Which synthesis turns a file's latents into samples, and how much of it: what an option, this process, the
environment or the file itself asks for.

A style is text: "default", which every model has, or "perceptual", or that with its strength, "perceptual:0.7". Imports
the standard library; errors when there is one.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # known to type checkers; spares the import of typing
if TYPE_CHECKING:
    from typing import Any

VARIABLE = "PILLOW_LIC_STYLE"
DEFAULT, PERCEPTUAL = "default", "perceptual"
NAMES = (DEFAULT, PERCEPTUAL)  # their places are the numbers of FORMAT 5.4
STRENGTH_MAX = 255

_chosen: str | None = None


class Style:
    """name: one of NAMES. strength: 0 to STRENGTH_MAX, of it beside the default; of the default 0."""

    def __init__(self, name: str, strength: int):
        plain = name == DEFAULT or not strength
        self.name, self.strength = (DEFAULT, 0) if plain else (name, strength)

    @property
    def number(self) -> int:
        """In files."""
        return NAMES.index(self.name)

    @property
    def blends(self) -> bool:
        """Whether it takes both syntheses."""
        return 0 < self.strength < STRENGTH_MAX

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Style) and (self.name, self.strength) == (other.name, other.strength)

    def __hash__(self) -> int:
        return hash((self.name, self.strength))

    def __str__(self) -> str:
        whole = self.strength in (0, STRENGTH_MAX)
        return self.name if whole else f"{self.name}:{round(self.strength / STRENGTH_MAX, 3):g}"


PLAIN = Style(DEFAULT, 0)


def set_style(style: str | None, strength: float | None = None) -> str | None:
    """How files are shown from now on when nothing else is said, in this process: for Image.open, imageio and decode.

    style: "default", or "perceptual", which puts texture of the right kind where little of it was kept; None: what the
    environment variable PILLOW_LIC_STYLE says, else what the file's writer prefers, else "default". strength: 0 to 1,
    how much of it beside the default; may stand in the text, "perceptual:0.7". Returns what was set before. Raises
    LicBadOption for others.
    """
    global _chosen
    before, _chosen = _chosen, None if style is None else str(parsed(style, strength))
    return before


def parsed(style: Any, strength: Any = None, source: str = "style") -> Style:
    """Raises LicBadOption for what is no style. source: what said it."""
    name, colon, stated = style.partition(":") if isinstance(style, str) else (style, "", "")
    if not isinstance(style, str) or name not in NAMES:
        msg = f"{source} must be one of {', '.join(map(repr, NAMES))}, found {style!r}"
        raise _bad(msg)
    if colon and strength is not None:
        msg = f"{source} {style!r} states its strength already; leave strength out"
        raise _bad(msg)
    try:
        share = float(stated) if colon else 1.0 if strength is None else float(strength)
    except (TypeError, ValueError):
        share = -1.0
    if not 0.0 <= share <= 1.0 or isinstance(strength, (bool, str)):
        found = stated if colon else strength
        msg = f"strength must be a number from 0 to 1, found {found!r}"
        raise _bad(msg)
    return Style(name, round(share * STRENGTH_MAX))


def _bad(msg: str) -> Exception:
    from .errors import LicBadOption

    return LicBadOption(msg)


def asked(style: Any, strength: Any = None) -> Style | None:
    """What an option says, None where it says nothing. Raises LicBadOption."""
    if style is None and strength is not None:
        msg = "strength says how much of a style: give style='perceptual' as well"
        raise _bad(msg)
    return None if style is None else parsed(style, strength)


def standing() -> Style | None:
    """What this process or its environment says, None where they say nothing. Raises LicBadOption."""
    if _chosen is not None:
        return parsed(_chosen)
    stated = os.environ.get(VARIABLE)
    return parsed(stated, source=VARIABLE) if stated else None
