"""`lic enhance`: an old JPEG with less of what compression put in.

Imports the standard library; Pillow and NumPy come with the command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import arguments

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """Take out of a JPEG what its compression put in. The result is another picture, in another file: what
the JPEG says of each coefficient still holds for it, and nothing is invented beyond that. What lic compact made comes
back at the size of its original."""


def add_to(commands: Any) -> None:
    """The command's arguments, to the `lic` command's parsers."""
    parser = commands.add_parser("enhance", help="an old JPEG without its blocks", description=DESCRIPTION)
    said = f"a JPEG, or what lic compact made; {arguments.STANDARD} is standard input"
    parser.add_argument("file", type=arguments.path, metavar="FILE", help=said)
    output = "file of any format that Pillow writes; - is standard output, a PNG; default: FILE with .enhanced.png "
    output += "behind its name"
    parser.add_argument("-o", "--output", type=arguments.path, metavar="PATH", help=output)
    parser.add_argument("-f", "--force", action="store_true", help="overwrite what is there, never the JPEG itself")
    scale = "1: the same size; 2: twice the width and height; default: the original's size of what lic compact made, "
    parser.add_argument("--scale", type=int, choices=(1, 2), help=f"{scale}else 1")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the better picture; the exit code."""
    from PIL import Image

    from .. import register_lic_opener
    from ..jpeg.enhance import enhance
    from ..jpeg.marker import KEPT
    from . import DONE, UsageError, filenames

    output = options.output or filenames.beside(options.file, ".enhanced.png")
    filenames.check(output, [options.file], force=options.force)
    register_lic_opener()
    kind = "PNG" if filenames.is_standard(output) else Image.registered_extensions().get(output.suffix.lower())
    if kind not in Image.SAVE:
        msg = f"{output}: Pillow writes no format of this ending"
        raise UsageError(msg)
    better = enhance(filenames.opened(options.file), scale=options.scale)
    with filenames.writing(output, force=options.force) as file:
        better.save(file, kind, **{name: better.info[name] for name in KEPT if name in better.info})
    filenames.tell(output, f"{better.width} x {better.height}, {better.mode}")
    return DONE
