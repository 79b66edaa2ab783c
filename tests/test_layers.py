"""Import arrows: which room may import which (docs/ARCHITECTURE.md), and where heavy packages may be imported.

Reads the source; nothing of the package is imported.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pillow_lic"

# room -> rooms it may import. plugins and cli use format beside the codec, to read headers without it, and models'
# registry, to name what a header says.
ARROWS = {
    "signature": set(),
    "forks": set(),
    "errors": set(),
    "_core": set(),
    "constants": {"_core"},
    "format": {"constants", "errors", "signature"},
    "entropy": {"constants", "errors", "_core"},
    "models": {"constants", "errors", "forks", "gpu"},  # operators.py: where networks and kernels meet
    "gpu": {"constants", "errors"},
    "metrics": {"errors"},
    "codec": {"format", "entropy", "models", "gpu", "constants", "errors", "forks"},
    "plugins": {"codec", "format", "models", "constants", "errors", "signature"},
    "cli": {"", "codec", "plugins", "format", "metrics", "models", "constants", "errors", "signature"},
    "LicImagePlugin": {"", "plugins"},
    "": {"codec", "format", "plugins", "models", "errors", "forks"},  # pillow_lic/__init__.py
}

# package -> rooms, or files of them, that may import it
ALLOWED = {
    "torch": {"codec", "models/loader", "models/operators"},
    "cupy": {"gpu"},
    "imageio": {"plugins/imageio"},
    "PIL": {"plugins/pillow", "codec/alpha", "metrics", "cli/batch", "cli/demo", "cli/metrics", "__init__"},
    "numpy": {"plugins/pillow", "codec", "models/loader", "entropy", "gpu", "metrics", "cli/demo"},
    "tqdm": {"cli/batch", "cli/metrics"},
    "ssimulacra2": {"metrics"},
}
OURS_ELSEWHERE = {"train", "bench", "tests"}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """File below the package without its suffix, e.g. 'codec/latents'."""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).with_suffix("").parts[0]
    return "" if first == "__init__" else first


def walk(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            yield node
            yield from walk(node)


def imports(path: Path) -> list[tuple[int, str, list[str]]]:
    """(line, absolute module, names) of every import statement, those within functions included."""
    package = ("pillow_lic", *path.relative_to(PACKAGE).parts[:-1])
    found = []
    for node in walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name, []) for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            found.append((node.lineno, module, [alias.name for alias in node.names]))
    return found


def rooms_imported(path: Path) -> list[tuple[int, str]]:
    """(line, room) of every import of ours."""
    known = {p.stem for p in PACKAGE.glob("*.py")} | {p.name for p in PACKAGE.iterdir() if p.is_dir()} | {"_core"}
    rooms = []
    for line, module, names in imports(path):
        parts = module.split(".")
        if parts[0] != "pillow_lic":
            continue
        if len(parts) > 1:
            rooms.append((line, parts[1]))
        else:
            rooms += [(line, name if name in known else "") for name in names]
    return rooms


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_arrows(path):
    room = room_of(path)
    assert room in ARROWS, f"{room} is a new room: give it its arrows here and in docs/ARCHITECTURE.md"
    for line, target in rooms_imported(path):
        assert target in {room} | ARROWS[room], f"{path}:{line}: {room or 'the package'} may not import {target}"


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_heavy_imports(path):
    for line, module, _ in imports(path):
        top = module.split(".")[0]
        assert top not in OURS_ELSEWHERE, f"{path}:{line}: the package may not import {top}"
        if top in ALLOWED:
            assert {room_of(path), name_of(path)} & ALLOWED[top], f"{path}:{line}: {top} may not be imported here"


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_only_known_packages(path):
    for line, module, _ in imports(path):
        top = module.split(".")[0]
        assert top in sys.stdlib_module_names or top in ALLOWED or top == "pillow_lic", f"{path}:{line}: {top} is new"


def test_format_needs_only_the_standard_library():
    for path in (PACKAGE / "format").glob("*.py"):
        for line, module, _ in imports(path):
            top = module.split(".")[0]
            assert top in sys.stdlib_module_names or top == "pillow_lic", f"{path}:{line}"


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_gpu_waits_for_a_tensor_on_one(path):
    """The GPU's room, and CuPy within it, are imported inside functions alone: nothing on the CPU's path does."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    for node in walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in inside:
            names = [*(alias.name for alias in node.names), *(getattr(node, "module", None) or "").split(".")]
            assert not {"gpu", "cupy", "pillow_lic.gpu"} & set(names), (
                f"{path}:{node.lineno}: import it inside a function"
            )


def test_start_up_hook_imports_next_to_nothing():
    tree = ast.parse((ROOT / "autoload" / "_pillow_lic_autoload.py").read_text(encoding="utf-8"))
    top_level = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    assert top_level == {"os", "sys"}
    assert not [node for node in tree.body if isinstance(node, ast.ImportFrom)]


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_files_say_what_they_are_for(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path} has no header comment"
