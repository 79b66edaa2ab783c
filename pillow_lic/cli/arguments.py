"""Texts of the command line as values; each raises argparse.ArgumentTypeError, or ValueError for what is no number.

Imports the standard library and ground.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from ..errors import LicBadOption
from ..quality import to_q

STANDARD = "-"  # names standard input and standard output

_MOST = 10**9  # of a side in pixels


def path(text: str) -> Path:
    """A path; STANDARD is standard input or output, and a file that is called so has its folder in its path."""
    found = Path(text)
    return found.absolute() if text != STANDARD and str(found) == STANDARD else found


def file(text: str) -> Path:
    """A path, where standard input or output would be of no use."""
    if text == STANDARD:
        msg = f"{STANDARD} is standard input or output in encode, decode, info and other commands; give a file here"
        raise argparse.ArgumentTypeError(msg)
    return path(text)


def number_of_bytes(text: str) -> int:
    """A number of bytes: k and M are thousands, Ki and Mi 1024s; a B may follow."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([kKmM]?)([iI]?)[bB]?", text)
    if found is None or (found[3] and not found[2]):
        msg = f"not a number of bytes, such as 50000, 50k or 1.5M: {text!r}"
        raise argparse.ArgumentTypeError(msg)
    unit = 1024 if found[3] else 1000
    return int(float(found[1]) * unit ** " km".index(found[2].lower() or " "))


def count(text: str) -> int:
    """At least 1."""
    value = int(text)
    if value < 1:
        msg = "must be at least 1"
        raise argparse.ArgumentTypeError(msg)
    return value


def positive(text: str) -> float:
    """Above 0, and below a million."""
    value = float(text)
    if not 0 < value < 1e6:
        msg = "must be above 0"
        raise argparse.ArgumentTypeError(msg)
    return value


def numbers(text: str) -> tuple[float, ...]:
    """Numbers above 0 and of at most 1000, with commas between them."""
    values = tuple(float(part) for part in text.split(","))
    if not all(0 < value <= 1000 for value in values):
        msg = "must be above 0 and at most 1000"
        raise argparse.ArgumentTypeError(msg)
    return values


def quality(text: str) -> float:
    """As options of that name take it."""
    value = float(text)
    try:
        to_q(value)
    except LicBadOption as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return value


def crop(text: str) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of WxH+X+Y."""
    found = re.fullmatch(r"(\d+)x(\d+)\+(\d+)\+(\d+)", text)
    if found is None:
        msg = f"not width, height, left and top, such as 512x512+1000+2000: {text!r}"
        raise argparse.ArgumentTypeError(msg)
    width, height, left, top = (int(one) for one in found.groups())
    return left, top, left + width, top + height


def area(text: str) -> tuple[int, int, int, int]:
    """(x, y, width, height) of X,Y,W,H."""
    found = re.fullmatch(r"(\d+),(\d+),(\d+),(\d+)", text)
    x, y, width, height = (int(one) for one in found.groups()) if found else (_MOST,) * 4
    if max(x, y, width, height) >= _MOST:
        msg = f"expected four whole numbers X,Y,W,H, found {text!r}"
        raise argparse.ArgumentTypeError(msg)
    if width < 1 or height < 1:
        msg = "width and height must be at least 1"
        raise argparse.ArgumentTypeError(msg)
    return x, y, width, height
