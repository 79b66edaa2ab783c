"""Data sets by name: which there are (sets.toml), where they are on this machine, whether they are what they say.

Nothing is downloaded. Imports the standard library and ground; Pillow comes with a check.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import LicBadOption, LicDataMissing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VARIABLE = "LIC_DATA"
LIST = Path(__file__).parent / "sets.toml"
LOOKED_AT = 500  # pictures whose size is looked at, of large sets
NAMED = 3  # of those that differ


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """One set of the list; sets.toml says what the fields mean."""

    name: str
    title: str
    purpose: str
    licence: str
    address: str
    layout: tuple[str, ...]
    count: int | None = None
    width: int | None = None
    height: int | None = None
    longer: int | None = None
    either: bool = False
    not_to_confuse: tuple[str, ...] = ()
    used_by: tuple[str, ...] = ()
    printed: tuple[dict[str, Any], ...] = ()
    note: str = ""

    def pictures(self, folder: Path) -> list[Path]:
        """Its pictures below a folder, sorted. Raises LicDataMissing."""
        if not folder.is_dir():
            msg = f"{self.name}: there is no folder {folder}; nothing is downloaded: {self.address} has it"
            raise LicDataMissing(msg)
        for pattern in self.layout:
            found = sorted(path for path in folder.glob(pattern) if path.is_file())
            if found:
                return found
        msg = f"{self.name}: nothing like {' or '.join(self.layout)} in {folder}"
        raise LicDataMissing(msg)

    def problems(self, found: Sequence[Path]) -> list[str]:
        """What is not as the list says, of pictures that were found."""
        said = []
        if self.count is not None and len(found) != self.count:
            others = [other for other in map(named, self.not_to_confuse) if other.count == len(found)]
            such = "".join(f"; {other.name} has so many: {other.title}" for other in others)
            said.append(f"{len(found)} pictures, {self.count} expected{such}")
        wrong = [text for path in _some(found) if (text := self._size_problem(path))]
        if wrong:
            more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
            said.append("; ".join(wrong[:NAMED]) + more)
        return said

    def _size_problem(self, path: Path) -> str | None:
        """What is wrong with one picture's header."""
        from PIL import Image

        try:
            with Image.open(path) as image:
                size = image.size
        except (OSError, SyntaxError, ValueError) as error:
            return f"{path.name}: {error}"
        if self.longer is not None and max(size) != self.longer:
            return f"{path.name}: {size[0]}x{size[1]}, the longer side should be {self.longer}"
        wanted = {(self.width, self.height)} | ({(self.height, self.width)} if self.either else set())
        if self.width is not None and size not in wanted:
            return f"{path.name}: {size[0]}x{size[1]}, {self.width}x{self.height} expected"
        return None


@cache
def known() -> dict[str, DataSet]:
    """All sets of the list, by name."""
    kinds = {field.name: field.type for field in fields(DataSet)}
    sets = tomllib.loads(LIST.read_text(encoding="utf-8"))

    def value(key: str, stated: Any) -> Any:
        if isinstance(stated, str):
            return " ".join(stated.split())
        return tuple(stated) if str(kinds[key]).startswith("tuple") else stated

    return {name: DataSet(name=name, **{k: value(k, v) for k, v in facts.items()}) for name, facts in sets.items()}


def named(name: str) -> DataSet:
    """Raises LicBadOption for a name that is not in the list."""
    if name not in known():
        likely = [one for one in known() if name.lower() in one or one.startswith(name.lower().partition("-")[0])]
        msg = f"no data set {name!r}; {'there are ' + ', '.join(likely) if likely else '`lic data` lists them'}"
        raise LicBadOption(msg)
    return known()[name]


def folder_of(name: str, given: Mapping[str, Path]) -> Path | None:
    """Where a set is: what is given, else $LIC_DATA/name if that is there."""
    if name in given:
        return given[name]
    root = os.environ.get(VARIABLE)
    if not root:
        return None
    folder = Path(root) / name
    return folder if folder.is_dir() else None


def _some(paths: Sequence[Path]) -> Sequence[Path]:
    """All, or of many some at equal distances."""
    step = -(-len(paths) // LOOKED_AT) or 1
    return paths[::step]
