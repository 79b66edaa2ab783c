"""What the shipped core offers is what the package or training uses: what tests alone want is in `_core_test`."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from pillow_lic import _core

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parents[2]
SOURCES = [path.read_text(encoding="utf-8") for room in ("pillow_lic", "train") for path in (ROOT / room).rglob("*.py")]
# What holds an object of each class, or the module, where it is used.
HOLDERS = {
    "": r"_core",
    "Model": r"core|model",
    "Photo": r"photo|made|_core\.Photo",
    "Analysis": r"analysis|made|_core\.Analysis",
    "Thumbnail": r"thumbnail|made|_core\.Thumbnail",
    "Enhancer": r"made|_core\.Enhancer",
    "Enlarger": r"made|_core\.Enlarger",
}


def names() -> list[str]:
    """All public names: functions and classes of the module, methods and properties of its classes."""
    found = [name for name in vars(_core) if not name.startswith("_")]
    kinds = [name for name in found if isinstance(getattr(_core, name), type)]
    return found + [f"{kind}.{name}" for kind in kinds for name in vars(getattr(_core, kind)) if name[0] != "_"]


@cache
def used(kind: str) -> set[str]:
    """Names that somebody takes from what holds such an object."""
    taken = re.compile(rf"\b(?:{HOLDERS[kind]})\.(?=(\w+))|from \S*_core import (\w+)")
    return {name for source in SOURCES for pair in taken.findall(source) for name in pair}


def is_used(name: str) -> bool:
    kind, _, plain = name.rpartition(".")
    return plain in used(kind)


@pytest.mark.parametrize("name", names())
def test_somebody_uses_it(name):
    assert is_used(name), f"_core.{name} is for tests alone: move it to csrc/test/bind_test.cpp"


def test_names_that_nobody_uses_are_found():
    assert len(names()) > 25
    assert not is_used("Model.decode_into")
    assert not is_used("visual")


def test_calls_of_a_tile_take_few_arguments():
    """Six at most: the model is an object, and a tile's place one argument."""
    tree = ast.parse((ROOT / "pillow_lic" / "_core.pyi").read_text(encoding="utf-8"))
    (model,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Model"]
    taken = {one.name: len(one.args.args) - 1 for one in model.body if isinstance(one, ast.FunctionDef)}
    calls = ("read_tile", "write_tile", "scale_index", "price", "quantise")
    assert {name: taken[name] for name in calls if taken[name] > 6} == {}
