"""`lic edit`: other metadata for `.lic` files; pixels and streams stay as they are, bit for bit.

Imports the standard library; container comes with the command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import arguments

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from pathlib import Path

DESCRIPTION = """Change the metadata of `.lic` files. Nothing is decoded: all else is copied bit for bit. Without -o a
file is replaced by the new one, whole or not at all. A caption and keywords are written as XMP, right behind the
header, so that the first bytes of a file describe it."""


def add_to(commands: Any) -> None:
    """The command's arguments, to the `lic` command's parsers."""
    parser = commands.add_parser("edit", help="other metadata for .lic files", description=DESCRIPTION)
    names = f".lic files; {arguments.STANDARD}, alone, is standard input"
    parser.add_argument("files", nargs="+", type=arguments.path, metavar="FILE", help=names)
    output = "where the file goes, if it is one; default: in its place, of standard input to standard output"
    parser.add_argument("-o", "--output", type=arguments.path, metavar="PATH", help=output)
    parser.add_argument("--exif", type=arguments.file, metavar="PATH", help="EXIF from a file: a TIFF structure")
    parser.add_argument("--icc", type=arguments.file, metavar="PATH", help="an ICC profile")
    parser.add_argument("--xmp", type=arguments.file, metavar="PATH", help="a packet of XMP")
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
    from . import DONE, FAILED, UsageError, filenames, progress

    described = options.caption is not None or bool(options.keywords)
    if not (described or options.strip or options.exif or options.icc or options.xmp):
        msg = "nothing to do: name --exif, --icc, --xmp, --caption, --keyword or --strip"
        raise UsageError(msg)
    edited = list(dict.fromkeys(options.files))
    if len(edited) > 1 and (options.output or any(map(filenames.is_standard, edited))):
        msg = f"-o and {arguments.STANDARD} are for one file: edit several in their places"
        raise UsageError(msg)
    if described and options.xmp:
        msg = "a caption and keywords are XMP: give them, or --xmp"
        raise UsageError(msg)
    given = [path for path in (options.exif, options.icc, options.xmp) if path]
    for file in edited:
        filenames.refuse_input(options.output or file, given)
    if filenames.is_standard(options.output or edited[0]):
        filenames.refuse_terminal()
    files.begin((options.output or file).parent for file in edited)
    wanted, failed = _wanted(options), 0
    for file in edited:
        try:
            _edit(file, options, wanted)
        except (LicError, OSError) as error:
            progress.say(f"{file}: {error}")
            failed += 1
    return FAILED if failed else DONE


def _wanted(options: argparse.Namespace) -> Mapping[str, bytes | None]:
    """What shall stand in the metadata's chunks. Raises LicBadOption, also for files that are none of such metadata."""
    from ..codec.metadata import Metadata
    from ..container import edit

    given = {name: path and path.read_bytes() for name, path in vars(options).items() if name in ("icc", "exif", "xmp")}
    _refuse_others(given["icc"], given["xmp"], options)
    if options.caption is not None or options.keywords:
        given["xmp"] = edit.described(options.caption, options.keywords)
    checked = Metadata(**given).checked()._asdict()
    found = {
        name[0]: payload
        for name, payload in checked.items()
        if given.get(name) is not None or (options.strip and name in given)
    }
    return {{"i": "c"}.get(type, type): payload for type, payload in found.items()}


def _refuse_others(icc: bytes | None, xmp: bytes | None, options: argparse.Namespace) -> None:
    """Raises LicBadOption for what is no profile (ICC.1, 7.2: its own size first, "acsp" at byte 36), and for what is
    no text that holds XML.
    """
    from ..errors import LicBadOption

    if icc and not (icc[36:40] == b"acsp" and 0 <= len(icc) - int.from_bytes(icc[:4], "big") < 4):  # padded to words
        msg = f"--icc {options.icc}: no ICC profile, or a part of one; give an .icc or .icm file"
        raise LicBadOption(msg)
    if xmp and not any(_holds_xml(xmp, encoding) for encoding in ("utf-8", "utf-16", "utf-16-le", "utf-16-be")):
        msg = f"--xmp {options.xmp}: no text of XML, which XMP is; give an .xmp file"
        raise LicBadOption(msg)


def _holds_xml(data: bytes, encoding: str) -> bool:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return "<" in text and "\0" not in text


def _edit(file: Path, options: argparse.Namespace, wanted: Mapping[str, bytes | None]) -> None:
    from ..container import edit, read_head
    from ..conversion import files
    from ..errors import LicBadOption
    from . import filenames

    data = filenames.content(file)
    described = options.caption is not None or bool(options.keywords)
    if described and not options.strip and read_head(data).xmp is not None:
        msg = "there is XMP already, which a caption would replace: add --strip, or edit that and give it with --xmp"
        raise LicBadOption(msg)
    changed = edit.edited(data, wanted)
    target = options.output or file
    if not filenames.is_standard(target):
        files.refuse_existing(target, options.force or target == file)
    with filenames.writing(target, force=options.force or target == file, source=file) as out:
        out.write(changed)
