"""`lic enhance`: an old JPEG with less of what compression put in.

Imports the standard library; Pillow and NumPy come with the command.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """Take out of a JPEG what its compression put in. The result is another picture, in another file: what
the JPEG says of each coefficient still holds for it, and nothing is invented beyond that. What lic compact made comes
back at the size of its original."""


def add_to(commands: Any) -> None:
    """The command's arguments, to the `lic` command's parsers."""
    parser = commands.add_parser("enhance", help="an old JPEG without its blocks", description=DESCRIPTION)
    parser.add_argument("file", type=Path, metavar="FILE", help="a JPEG, or what lic compact made")
    output = "file of any format that Pillow writes; default: FILE with .enhanced.png behind its name"
    parser.add_argument("-o", "--output", type=Path, metavar="PATH", help=output)
    parser.add_argument("-f", "--force", action="store_true", help="overwrite what is there, never the JPEG itself")
    scale = "1: the same size; 2: twice the width and height; default: the original's size of what lic compact made, "
    parser.add_argument("--scale", type=int, choices=(1, 2), help=f"{scale}else 1")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the better picture; the exit code."""
    from PIL import Image

    from .. import register_lic_opener
    from ..conversion import files
    from ..jpeg.enhance import enhance
    from ..jpeg.marker import KEPT
    from . import DONE, UsageError

    output = options.output or options.file.with_name(f"{options.file.stem}.enhanced.png")
    if os.path.lexists(output) and not options.force:
        msg = f"{output} exists; --force overwrites it"
        raise UsageError(msg)
    if output.exists() and options.file.exists() and output.samefile(options.file):
        msg = f"{output} is the JPEG itself; give another output"
        raise UsageError(msg)
    register_lic_opener()
    kind = Image.registered_extensions().get(output.suffix.lower())
    if kind not in Image.SAVE:
        msg = f"{output}: Pillow writes no format of this ending"
        raise UsageError(msg)
    better = enhance(options.file, scale=options.scale)
    files.begin([output.parent])
    with files.replacing(output, force=options.force) as file:
        better.save(file, kind, **{name: better.info[name] for name in KEPT if name in better.info})
    print(f"{output}: {better.width} x {better.height}, {better.mode}")
    return DONE
