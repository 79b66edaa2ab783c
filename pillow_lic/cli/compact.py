"""`lic compact`: a plain JPEG, WebP or AVIF of half the size a side, for `lic enhance` to bring back.

Imports the standard library; Pillow comes with the command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import arguments

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """Write a picture as a plain JPEG of half its width and height, which any viewer shows. It says how large
the original was, and lic enhance makes that size of it again. Below a fifth of a bit a pixel this is better than a
JPEG of the whole size."""
ENDINGS = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".avif": "AVIF"}


def add_to(commands: Any) -> None:
    """The command's arguments, to the `lic` command's parsers."""
    parser = commands.add_parser("compact", help="a small plain JPEG to enhance later", description=DESCRIPTION)
    said = f"a picture that Pillow opens; {arguments.STANDARD} is standard input"
    parser.add_argument("file", type=arguments.path, metavar="FILE", help=said)
    output = "file, .jpg, .webp or .avif; - is standard output, a JPEG; default: FILE with .compact.jpg behind its name"
    parser.add_argument("-o", "--output", type=arguments.path, metavar="PATH", help=output)
    parser.add_argument("-q", "--quality", type=int, metavar="1-100", help="of the file; default 30")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite what is there, never the picture itself")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the small file; the exit code."""
    from PIL import Image

    from .. import register_lic_opener
    from ..jpeg.compact import QUALITY, compact
    from . import DONE, UsageError, filenames

    output = options.output or filenames.beside(options.file, ".compact.jpg")
    filenames.check(output, [options.file], force=options.force)
    kind = "JPEG" if filenames.is_standard(output) else ENDINGS.get(output.suffix.lower())
    if kind is None:
        msg = f"{output}: a compact file ends with {', '.join(ENDINGS)}"
        raise UsageError(msg)
    register_lic_opener()
    quality = QUALITY if options.quality is None else options.quality
    with Image.open(filenames.opened(options.file)) as image:
        data, size = compact(image, quality=quality, format=kind), image.size
    with filenames.writing(output, force=options.force) as file:
        file.write(data)
    rate = 8 * len(data) / (size[0] * size[1])
    filenames.tell(output, f"{len(data)} bytes, {rate:.3f} bits a pixel of {size[0]} x {size[1]}")
    return DONE
