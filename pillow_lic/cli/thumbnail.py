"""`lic thumbnail`: a small picture of a file, as a file manager asks for it.

Imports the standard library; Pillow comes with the command.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..signature import FORMAT
from . import arguments

if TYPE_CHECKING:
    from PIL import Image

SIDE_MAX = 4096


def add_to(commands: Any) -> None:
    """The command's arguments, to the `lic` command's parsers."""
    parser = commands.add_parser("thumbnail", help="a small picture of a file")
    said = f"a .lic file, or any other that Pillow opens; {arguments.STANDARD} is standard input"
    parser.add_argument("file", type=arguments.path, metavar="FILE", help=said)
    output = f"PNG whatever its name, or as its ending says; {arguments.STANDARD} is standard output"
    parser.add_argument("-o", "--output", type=arguments.path, required=True, metavar="PATH", help=output)
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
    from ..conversion.directions import save_or_flatten
    from . import DONE, filenames

    filenames.check(options.output, [options.file], force=options.force)
    register_lic_opener()
    with Image.open(filenames.opened(options.file)) as image:
        small = seen(image)
        small.thumbnail((options.size, options.size))
        small = ImageOps.exif_transpose(small)
    kind = Image.registered_extensions().get(options.output.suffix.lower())
    with filenames.writing(options.output, force=options.force) as file:
        save_or_flatten(small, file, kind if kind in Image.SAVE else "PNG")
    return DONE


def seen(image: Image.Image) -> Image.Image:
    """As it looks, in L, LA, RGB or RGBA: what is a palette's or has more than 8 bits cannot be made smaller well."""
    from ..codec import modes

    eight = shown_in_eight(image)
    if not eight.has_transparency_data:
        shown = modes.seen(eight)
        return shown if shown.mode in ("L", "RGB") else shown.convert("RGB")
    wanted = "LA" if eight.mode in ("1", "L", "LA", "La") else "RGBA"
    return eight if eight.mode == wanted else eight.convert(wanted)


def shown_in_eight(image: Image.Image) -> Image.Image:
    """In 8 bits a sample: of a .lic file by the range that it states, of others by that of their values."""
    from ..plugins.pixels import NATIVE
    from ..plugins.saving import in_eight

    if image.format != FORMAT or image.mode in NATIVE:
        return in_eight(image)
    from ..codec.decode import decoded
    from ..plugins.notes import warn
    from ..plugins.pillow import LicImageFile, decode_options
    from ..plugins.pixels import image_of

    assert isinstance(image, LicImageFile)
    options = decode_options(dtype="uint8")
    found = decoded(image.chunks(options), options)
    warn(found.notes)
    eight = image_of(found)
    eight.info.update(image.info)
    return eight
