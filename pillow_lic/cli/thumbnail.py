"""`lic thumbnail`: a small picture of a file, as a file manager asks for it.

Imports the standard library; Pillow comes with the command.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

SIDE_MAX = 4096


def add_to(commands: Any) -> None:
    """The command's arguments, to the `lic` command's parsers."""
    parser = commands.add_parser("thumbnail", help="a small picture of a file")
    parser.add_argument("file", type=Path, metavar="FILE", help="a .lic file, or any other that Pillow opens")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="PATH", help="PNG whatever its name, or as its ending says"
    )
    parser.add_argument(
        "-s", "--size", type=_side, default=256, metavar="N", help="longest side in pixels; default 256"
    )
    parser.add_argument("-f", "--force", action="store_true", help="overwrite what is there")
    parser.set_defaults(run=run)


def _side(text: str) -> int:
    value = int(text)
    if not 1 <= value <= SIDE_MAX:
        msg = f"must be from 1 to {SIDE_MAX}"
        raise argparse.ArgumentTypeError(msg)
    return value


def run(options: argparse.Namespace) -> int:
    """Write the small picture; the exit code."""
    from PIL import Image, ImageOps

    from .. import register_lic_opener
    from ..codec import modes
    from ..conversion import files
    from . import DONE, UsageError

    if os.path.lexists(options.output) and not options.force:
        msg = f"{options.output} exists; --force overwrites it"
        raise UsageError(msg)
    register_lic_opener()
    with Image.open(options.file) as image:
        image.thumbnail((options.size, options.size))
        small = ImageOps.exif_transpose(image)
    small = modes.seen(small)
    if small.mode not in ("L", "LA", "P", "RGB", "RGBA"):
        small = small.convert("RGB")
    kind = Image.registered_extensions().get(options.output.suffix.lower(), "PNG")
    files.begin([options.output.parent])
    with files.replacing(options.output, force=options.force) as file:
        small.save(file, kind)
    return DONE
