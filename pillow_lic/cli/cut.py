"""`lic cut`: a progressive file made shorter, without decoding it.

Imports the standard library and container.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..container.cut import cut
from ..signature import EXTENSION
from .arguments import number_of_bytes

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """Make a `.lic` file shorter without decoding it: the picture gets coarser, not smaller. Files that were
encoded with --progressive can be cut anywhere; others too, but what is lost then is lost from one corner on."""


def add_to(commands: Any) -> None:
    """The command's arguments, to the `lic` command's parsers."""
    parser = commands.add_parser("cut", help="a shorter, coarser file, without decoding", description=DESCRIPTION)
    parser.add_argument("file", type=Path, metavar="FILE", help="a .lic file")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--size", type=number_of_bytes, metavar="BYTES", help="bytes at most, such as 20000, 20k or 1.5M")
    what.add_argument("--stages", "--layers", type=int, metavar="N", help="how many stages to keep")
    parser.add_argument("-o", "--output", type=Path, help=f"default: FILE with .cut{EXTENSION} behind its name")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite the output")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the shorter file; the exit code."""
    from ..conversion import files
    from . import DONE, UsageError

    output = options.output or options.file.with_name(f"{options.file.stem}.cut{EXTENSION}")
    if os.path.lexists(output) and not options.force:
        msg = f"{output} exists; --force overwrites it"
        raise UsageError(msg)
    data = options.file.read_bytes()
    shorter = cut(data, stages=options.stages, size=options.size)
    files.begin([output.parent])
    with files.replacing(output, force=options.force) as file:
        file.write(shorter)
    print(f"{output}: {len(shorter)} of {len(data)} bytes")
    return DONE
