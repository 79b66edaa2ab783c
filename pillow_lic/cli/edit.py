"""`lic edit`: other metadata for `.lic` files; pixels and streams stay as they are, bit for bit.

Imports the standard library; container comes with the command.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

DESCRIPTION = """Change the metadata of `.lic` files. Nothing is decoded: all else is copied bit for bit. Without -o a
file is replaced by the new one, whole or not at all. A caption and keywords are written as XMP, right behind the
header, so that the first bytes of a file describe it."""


def add_to(commands: Any) -> None:
    """The command's arguments, to the `lic` command's parsers."""
    parser = commands.add_parser("edit", help="other metadata for .lic files", description=DESCRIPTION)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=".lic files")
    parser.add_argument("-o", "--output", type=Path, help="where the file goes, if it is one; default: in its place")
    parser.add_argument("--exif", type=Path, metavar="PATH", help="EXIF from a file: a TIFF structure")
    parser.add_argument("--icc", type=Path, metavar="PATH", help="an ICC profile")
    parser.add_argument("--xmp", type=Path, metavar="PATH", help="a packet of XMP")
    parser.add_argument("--strip", action="store_true", help="take away what is there of all three first")
    parser.add_argument("--caption", metavar="TEXT", help="what the picture shows")
    words = "a keyword; may be given several times"
    parser.add_argument("--keyword", action="append", default=[], metavar="WORD", dest="keywords", help=words)
    parser.add_argument("-f", "--force", action="store_true", help="overwrite what is at -o")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Edit the files; the exit code."""
    from ..conversion import files
    from ..errors import LicError
    from . import DONE, FAILED, UsageError, progress

    described = options.caption is not None or bool(options.keywords)
    if not (described or options.strip or options.exif or options.icc or options.xmp):
        msg = "nothing to do: name --exif, --icc, --xmp, --caption, --keyword or --strip"
        raise UsageError(msg)
    if options.output and len(options.files) > 1:
        msg = "-o names one file: edit several in their places"
        raise UsageError(msg)
    if described and options.xmp:
        msg = "a caption and keywords are XMP: give them, or --xmp"
        raise UsageError(msg)
    wanted, failed = _wanted(options), 0
    files.begin((options.output or file).parent for file in options.files)
    for file in options.files:
        try:
            _edit(file, options, wanted)
        except (LicError, OSError) as error:
            progress.say(f"{file}: {error}")
            failed += 1
    return FAILED if failed else DONE


def _wanted(options: argparse.Namespace) -> Mapping[str, bytes | None]:
    """What shall stand in the metadata's chunks. Raises LicBadOption."""
    from ..codec.metadata import Metadata
    from ..container import edit

    given = {name: path and path.read_bytes() for name, path in vars(options).items() if name in ("icc", "exif", "xmp")}
    if options.caption is not None or options.keywords:
        given["xmp"] = edit.described(options.caption, options.keywords)
    checked = Metadata(**given).checked()._asdict()
    found = {
        name[0]: payload
        for name, payload in checked.items()
        if given.get(name) is not None or (options.strip and name in given)
    }
    return {{"i": "c"}.get(type, type): payload for type, payload in found.items()}


def _edit(file: Path, options: argparse.Namespace, wanted: Mapping[str, bytes | None]) -> None:
    from ..container import edit, read_head
    from ..conversion import files
    from ..errors import LicBadOption

    data = file.read_bytes()
    described = options.caption is not None or bool(options.keywords)
    if described and not options.strip and read_head(data).xmp is not None:
        msg = "there is XMP already, which a caption would replace: add --strip, or edit that and give it with --xmp"
        raise LicBadOption(msg)
    changed = edit.edited(data, wanted)
    target = options.output or file
    files.refuse_existing(target, options.force or target == file)
    with files.replacing(target, force=options.force or target == file, source=file) as out:
        out.write(changed)
