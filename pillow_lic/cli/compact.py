"""`lic compact`: a plain JPEG, WebP or AVIF of half the size a side, for `lic enhance` to bring back.

Imports the standard library; Pillow comes with the command.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """Write a picture as a plain JPEG of half its width and height, which any viewer shows. It says how large
the original was, and lic enhance makes that size of it again. Below a fifth of a bit a pixel this is better than a
JPEG of the whole size."""
ENDINGS = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".avif": "AVIF"}


def add_to(commands: Any) -> None:
    """The command's arguments, to the `lic` command's parsers."""
    parser = commands.add_parser("compact", help="a small plain JPEG to enhance later", description=DESCRIPTION)
    parser.add_argument("file", type=Path, metavar="FILE", help="a picture that Pillow opens")
    output = "file, .jpg, .webp or .avif; default: FILE with .compact.jpg behind its name"
    parser.add_argument("-o", "--output", type=Path, metavar="PATH", help=output)
    parser.add_argument("-q", "--quality", type=int, metavar="1-100", help="of the file; default 30")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite what is there, never the picture itself")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the small file; the exit code."""
    from PIL import Image

    from .. import register_lic_opener
    from ..conversion import files
    from ..jpeg.compact import QUALITY, compact
    from . import DONE, UsageError

    output = options.output or options.file.with_name(f"{options.file.stem}.compact.jpg")
    if os.path.lexists(output) and not options.force:
        msg = f"{output} exists; --force overwrites it"
        raise UsageError(msg)
    if output.exists() and options.file.exists() and output.samefile(options.file):
        msg = f"{output} is the picture itself; give another output"
        raise UsageError(msg)
    kind = ENDINGS.get(output.suffix.lower())
    if kind is None:
        msg = f"{output}: a compact file ends with {', '.join(ENDINGS)}"
        raise UsageError(msg)
    register_lic_opener()
    quality = QUALITY if options.quality is None else options.quality
    with Image.open(options.file) as image:
        data, size = compact(image, quality=quality, format=kind), image.size
    files.begin([output.parent])
    with files.replacing(output, force=options.force) as file:
        file.write(data)
    print(
        f"{output}: {len(data)} bytes, {8 * len(data) / (size[0] * size[1]):.3f} bits a pixel of {size[0]} x {size[1]}"
    )
    return DONE
