"""What the names of files that a command is given mean: standard streams, what is there, the command's own input.

Imports the standard library and the room conversion.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import IO, TYPE_CHECKING

from ..conversion import files
from ..conversion.places import standard_input, standard_output
from .arguments import STANDARD

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def is_standard(path: Path) -> bool:
    """Whether it stands for standard input or standard output; see arguments.path."""
    return str(path) == STANDARD


def beside(source: Path, ending: str) -> Path:
    """Where the result goes if nobody says: beside the source, of standard input to standard output."""
    return source if is_standard(source) else source.with_name(source.stem + ending)


def check(output: Path, sources: Sequence[Path], *, force: bool) -> None:
    """Before any work and any thread: the output may be written, and what killed runs left beside it is taken away.
    Raises UsageError for one of the files that are read, one that exists and is not to be overwritten, a terminal.
    """
    from . import UsageError

    if is_standard(output):
        refuse_terminal()
        return
    refuse_input(output, sources)
    if os.path.lexists(output) and not force:
        msg = f"{output} exists; --force overwrites it"
        raise UsageError(msg)
    files.begin([output.parent])


def refuse_input(output: Path, sources: Sequence[Path]) -> None:
    """Raises UsageError for an output that is one of the files that are read."""
    from . import UsageError

    if any(output == source or (output.exists() and source.exists() and output.samefile(source)) for source in sources):
        msg = f"{output} is itself read by this command; give another output"
        raise UsageError(msg)


def refuse_terminal() -> None:
    """Raises UsageError where standard output is one."""
    from . import UsageError

    if sys.stdout.isatty():
        msg = "a picture would be written to this terminal: send it into a file or a program, or name a file with -o"
        raise UsageError(msg)


def opened(source: Path) -> Path | IO[bytes]:
    """What Pillow opens."""
    return standard_input() if is_standard(source) else source


def content(source: Path) -> bytes:
    """All of a file."""
    return standard_input().read() if is_standard(source) else source.read_bytes()


@contextlib.contextmanager
def writing(output: Path, *, force: bool, source: Path | None = None) -> Iterator[IO[bytes]]:
    """As files.replacing, for which `check` or files.begin was called; to standard output in one go."""
    if is_standard(output):
        with standard_output() as file:
            yield file
        return
    with files.replacing(output, force=force, source=source) as file:
        yield file


def tell(output: Path, text: str) -> None:
    """A line on what was written: on standard output, unless the result itself went there."""
    print(f"{output}: {text}", file=sys.stderr if is_standard(output) else sys.stdout)
