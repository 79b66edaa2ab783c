"""Numbers of bytes as people write them. Standard library only."""

from __future__ import annotations

import argparse
import re


def number_of_bytes(text: str) -> int:
    """A number of bytes: k and M are thousands, Ki and Mi 1024s; a B may follow. Raises argparse.ArgumentTypeError."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([kKmM]?)([iI]?)[bB]?", text)
    if found is None or (found[3] and not found[2]):
        msg = f"not a number of bytes, such as 50000, 50k or 1.5M: {text!r}"
        raise argparse.ArgumentTypeError(msg)
    unit = 1024 if found[3] else 1000
    return int(float(found[1]) * unit ** " km".index(found[2].lower() or " "))
