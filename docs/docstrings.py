"""Docstrings as they stand in the source, made into Markdown for the site: an extension of griffe, which mkdocstrings
reads Python with. Lines such as `quality: 1 to 100` become items of a list, indented code a block.
"""

from __future__ import annotations

import importlib
import inspect
import re

import griffe

OPTIONS = "{options}"  # as codec/keywords.py marks the place of what options mean

ARGUMENT = re.compile(r"^([a-z*][\w*]*(?: \([^)]*\))?(?:(?:, | and )[a-z*][\w*]*(?: \([^)]*\))?)*): (?=\S)")


def listed(text: str) -> str:
    """Arguments as a list; what follows one, up to an empty line or the next, belongs to it."""
    lines, within = [], False
    for line in text.splitlines():
        found = ARGUMENT.match(line)
        if found:
            lines += [] if within else [""]
            lines.append(f"- `{found[1]}`: {line[found.end() :]}")
            within = True
        elif line.startswith("Raises "):
            lines += ["", line]
            within = False
        else:
            within &= bool(line.strip())
            lines.append(f"  {line}" if within else line)
    return "\n".join(lines)


def described(path: str) -> str:
    """The docstring that a function has when it is imported: its options are filled in then."""
    module, _, name = path.rpartition(".")
    return inspect.getdoc(getattr(importlib.import_module(module), name)) or ""


class Arguments(griffe.Extension):
    """Rewrites every docstring."""

    def on_object(self, *, obj, **_):
        """Called of each module, class, function and attribute."""
        if obj.docstring:
            text = obj.docstring.value
            obj.docstring.value = listed(described(obj.path) if OPTIONS in text else text)
