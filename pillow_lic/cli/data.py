"""`lic data`: the data sets that are known by name, and whether what is on this machine is what the list says.

Imports the standard library and the list.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import argparse

    from ..datasets import DataSet

DESCRIPTION = """Without names: the sets that papers on image compression train on or measure with. With names: all that
is known of them, and a check of what is found. A set is looked for at NAME=PATH, else in the folder of its name below
$LIC_DATA. Nothing is downloaded."""


class Asked(NamedTuple):
    """Sets in the order they were asked for, and the folders that were stated."""

    names: list[str]
    folders: dict[str, Path]


def add_to(commands: Any) -> None:
    """The command's arguments, to the `lic` command's parsers."""
    parser = commands.add_parser("data", help="data sets by name: licences, counts, a check", description=DESCRIPTION)
    parser.add_argument("sets", nargs="*", metavar="NAME|NAME=PATH", help="default: the list of all")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.set_defaults(run=run)


def asked(texts: list[str]) -> Asked:
    """What names and NAME=PATH say. Raises LicBadOption."""
    from .. import datasets

    pairs = [text.partition("=") for text in texts]
    for name, _, _ in pairs:
        datasets.named(name)
    folders = {name: Path(path).expanduser() for name, equals, path in pairs if equals}
    return Asked(list(dict.fromkeys(name for name, _, _ in pairs)), folders)


def run(options: argparse.Namespace) -> int:
    """List or check; the exit code."""
    from .. import datasets
    from . import DONE, FAILED

    wanted = asked(options.sets)
    if not wanted.names:
        print(json.dumps(_facts(datasets.known()), indent=1) if options.json else _table(datasets.known(), wanted))
        return DONE
    found = {name: _checked(datasets.named(name), wanted.folders) for name in wanted.names}
    if options.json:
        facts = _facts({name: datasets.named(name) for name in wanted.names})
        print(json.dumps({name: facts[name] | found[name] for name in wanted.names}, indent=1))
    else:
        for name in wanted.names:
            print(_described(datasets.named(name), found[name]))
    return FAILED if any(one["problems"] for one in found.values()) else DONE


def _checked(one: DataSet, folders: dict[str, Path]) -> dict[str, Any]:
    """Folder, number of pictures and problems of a set; folder None where it is not on this machine."""
    from .. import datasets
    from ..errors import LicDataMissing

    folder = datasets.folder_of(one.name, folders)
    if folder is None:
        return {"folder": None, "pictures": 0, "problems": []}
    try:
        pictures = one.pictures(folder)
    except LicDataMissing as error:
        return {"folder": str(folder), "pictures": 0, "problems": [str(error)]}
    return {"folder": str(folder), "pictures": len(pictures), "problems": one.problems(pictures)}


def _facts(sets: dict[str, DataSet]) -> dict[str, dict[str, Any]]:
    return {name: dataclasses.asdict(one) for name, one in sets.items()}


def _size(one: DataSet) -> str:
    if one.width is not None:
        return f"{one.width}x{one.height}"
    return f"longer side {one.longer}" if one.longer else ""


def _table(sets: dict[str, DataSet], wanted: Asked) -> str:
    from .. import datasets

    lines = [["name", "for", "pictures", "size", "here", "licence"]]
    for name, one in sets.items():
        here = "yes" if datasets.folder_of(name, wanted.folders) else ""
        lines.append([name, one.purpose, f"{one.count or ''}", _size(one), here, one.licence])
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in lines)


def _described(one: DataSet, found: dict[str, Any]) -> str:
    facts = {
        "": one.title,
        "for": one.purpose,
        "pictures": str(one.count or "not stated"),
        "size": _size(one),
        "licence": one.licence,
        "from": one.address,
        "layout": ", ".join(one.layout),
        "not to be confused with": ", ".join(one.not_to_confuse),
        "used by": ", ".join(one.used_by),
        "note": one.note,
        "here": f"{found['pictures']} pictures in {found['folder']}" if found["folder"] else "not found",
    }
    lines = [f"  {key + ':' if key else ''} {text}".replace("   ", "  ") for key, text in facts.items() if text]
    lines += [f"  PROBLEM: {problem}" for problem in found["problems"]]
    return "\n".join([one.name, *lines])
