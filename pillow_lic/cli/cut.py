"""`lic cut`: a progressive file made shorter, without decoding it.

Imports the standard library and container.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..container import read_head
from ..container.cut import cut
from ..errors import LicBadOption
from ..signature import EXTENSION
from . import arguments

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """Make a `.lic` file shorter without decoding it: the picture gets coarser, not smaller. Files that were
encoded with --progressive can be cut anywhere; others too, but what is lost then is lost from one corner on."""


def add_to(commands: Any) -> None:
    """The command's arguments, to the `lic` command's parsers."""
    parser = commands.add_parser("cut", help="a shorter, coarser file, without decoding", description=DESCRIPTION)
    said = f"a .lic file; {arguments.STANDARD} is standard input"
    parser.add_argument("file", type=arguments.path, metavar="FILE", help=said)
    what = parser.add_mutually_exclusive_group(required=True)
    size = "bytes at most, such as 20000, 20k or 1.5M"
    what.add_argument("--size", type=arguments.number_of_bytes, metavar="BYTES", help=size)
    what.add_argument("--stages", "--layers", type=int, metavar="N", help="how many stages to keep")
    output = f"file, or {arguments.STANDARD} for standard output; default: FILE with .cut{EXTENSION} behind its name"
    parser.add_argument("-o", "--output", type=arguments.path, metavar="PATH", help=output)
    parser.add_argument("-f", "--force", action="store_true", help="overwrite the output")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the shorter file; the exit code."""
    from . import DONE, filenames

    output = options.output or filenames.beside(options.file, f".cut{EXTENSION}")
    filenames.check(output, [options.file], force=options.force)
    data = filenames.content(options.file)
    _refuse_exact(data, options.size)
    shorter = cut(data, stages=options.stages, size=options.size)
    with filenames.writing(output, force=options.force) as file:
        file.write(shorter)
    filenames.tell(output, f"{len(shorter)} of {len(data)} bytes")
    return DONE


def _refuse_exact(data: bytes, size: int | None) -> None:
    """Raises LicBadOption for a picture without stages that would have to be cut."""
    head = read_head(data)
    if head.header.alone and (size is None or size < head.size):
        what = f"the picture is kept exactly, in {head.size} bytes, and cannot be cut"
        msg = f"{what}; `lic encode --target-size` makes a smaller file of the original"
        raise LicBadOption(msg)
