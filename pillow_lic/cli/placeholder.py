"""`lic placeholder`: pictures in some 28 bytes each, as text for a page or a database, and back.

Imports the standard library; Pillow comes with the command.
"""

from __future__ import annotations

import argparse
import base64
import re
import sys
from typing import Any

from . import arguments

ENOUGH = (256, 256)  # pixels, of a picture that can be opened smaller


def add_to(commands: Any) -> None:
    """The command's arguments, to the `lic` command's parsers."""
    parser = commands.add_parser("placeholder", help="a picture in 28 bytes, to be shown until it is there")
    paths = f"pictures: a line of base64 and the name for each; {arguments.STANDARD} is standard input"
    parser.add_argument("paths", nargs="*", type=arguments.path, metavar="FILE", help=paths)
    parser.add_argument("-b", "--bytes", type=int, default=None, metavar="N", help="8 to 64; default 28")
    parser.add_argument("--show", metavar="TEXT", help="the other way: the picture of such a line, at -o")
    output = f"of --show; {arguments.STANDARD} is standard output, a PNG"
    parser.add_argument("-o", "--output", type=arguments.path, metavar="PATH", help=output)
    parser.add_argument("-s", "--size", type=_size, metavar="WxH", help="of --show; default 64 pixels the longer side")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite what is there")
    parser.set_defaults(run=run)


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", text)
    if found is None:
        msg = f"not width and height, such as 640x480: {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(found[1]), int(found[2])


def run(options: argparse.Namespace) -> int:
    """Print a line for each picture, or make a picture of a line; the exit code."""
    from . import UsageError

    if bool(options.paths) == (options.show is not None) or (options.show is None) != (options.output is None):
        msg = "placeholder takes pictures, or --show TEXT with -o PATH"
        raise UsageError(msg)
    return _printed(options) if options.show is None else _shown(options)


def _printed(options: argparse.Namespace) -> int:
    from PIL import Image

    from .. import register_lic_opener
    from ..placeholders import BYTES, placeholder
    from . import DONE, FAILED, filenames, thumbnail

    register_lic_opener()
    failures = 0
    for path in options.paths:
        try:
            with Image.open(filenames.opened(path)) as im:
                im.draft(None, ENOUGH)
                data = placeholder(thumbnail.shown_in_eight(im), BYTES if options.bytes is None else options.bytes)
        except (OSError, SyntaxError) as error:
            print(f"lic: {path}: {error}", file=sys.stderr)
            failures += 1
        else:
            print(f"{base64.b64encode(data).decode()}  {path}")
    return FAILED if failures else DONE


def _shown(options: argparse.Namespace) -> int:
    from PIL import Image

    from ..conversion import files
    from ..placeholders import placeholder_image
    from . import DONE, UsageError, filenames

    try:
        data = base64.b64decode(options.show, validate=True)
    except ValueError as error:
        msg = f"--show {options.show!r} is no base64: {error}"
        raise UsageError(msg) from error
    picture = placeholder_image(data, options.size)
    kind = Image.registered_extensions().get(options.output.suffix.lower(), "PNG")
    if filenames.is_standard(options.output):
        filenames.refuse_terminal()
    files.begin([options.output.parent])
    with filenames.writing(options.output, force=options.force) as file:
        picture.save(file, kind)
    return DONE
