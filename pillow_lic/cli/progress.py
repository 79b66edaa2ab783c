"""What long work tells a person who waits: a bar or a counter on standard error, and messages between.

Standard library only; tqdm where it is installed.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


def say(message: str) -> None:
    """A line on standard error that does not tear a bar."""
    try:
        from tqdm import tqdm

        tqdm.write(f"lic: {message}", file=sys.stderr)
    except ImportError:
        print(f"lic: {message}", file=sys.stderr)


def shown(results: Iterator[T], total: int, unit: str = "file") -> Iterator[T]:
    """The results, with a bar on standard error if a person is looking and there are several."""
    if total == 1 or not sys.stderr.isatty():
        return results
    try:
        from tqdm import tqdm
    except ImportError:
        return counted(results, total)
    return iter(tqdm(results, total=total, unit=unit, file=sys.stderr))


def counted(results: Iterator[T], total: int) -> Iterator[T]:
    """The results, with a line on standard error that counts them."""
    begin = time.monotonic()
    for number, result in enumerate(results, 1):
        left = (time.monotonic() - begin) / number * (total - number)
        end = "\n" if number == total else ""
        print(f"\rlic: {number}/{total}, {left:.0f} s left  ", end=end, file=sys.stderr, flush=True)
        yield result
