"""Import arrows: which room may import which (docs/ARCHITECTURE.md), and where heavy packages may be imported.

Reads the source; nothing of the package is imported.
"""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pillow_lic"

# room -> rooms it may import. Arrows point down: plugins and cli -> codec -> engines -> models, entropy, container ->
# ground -> _core.
GROUND = {"signature", "errors", "constants", "values", "quality", "limits", "style", "forks", "threads", "imports"}
GROUND |= {"watch"}
ARROWS = {
    "_core": set(),
    "signature": set(),
    "errors": set(),
    "forks": set(),
    "watch": set(),
    "threads": {"errors", "forks"},
    "limits": {"errors"},
    "style": {"errors"},
    "imports": {"forks", "threads"},
    "constants": {"_core"},
    "values": {"errors"},
    "quality": {"constants", "errors", "values"},
    "container": GROUND,
    "entropy": {"_core", *GROUND},
    "models": {"_core", "entropy", *GROUND},
    "metrics": {"errors", "engines"},  # engines/torch, for the measures that are networks
    "placeholders": {"errors", "plugins"},  # for pictures of more than 8 bits
    "jpeg": {"_core", "models", *GROUND},
    "engines": {"_core", "models", "entropy", "container", *GROUND},
    "codec": {"engines", "entropy", "models", "container", *GROUND},
    "plugins": {"codec", "models", "container", *GROUND},
    "conversion": {"plugins", "codec", "container", *GROUND},
    "dask": {"conversion", "plugins", "codec", "container", *GROUND},
    "datasets": {"errors"},
    "io": {"codec", "engines", "errors"},
    "cli": {
        "",
        "dask",
        "datasets",
        "conversion",
        "plugins",
        "metrics",
        "placeholders",
        "jpeg",
        "codec",
        "models",
        "container",
        *GROUND,
    },
    "LicImagePlugin": {"plugins"},
    "__main__": {"cli"},
    "": {"imports", "plugins", "forks"},  # pillow_lic/__init__.py; its names are looked up by what _HOMES says
}
# The same within engines: the seam stands on nothing, an engine on the seam, and choice.py alone names the engines.
WITHIN_ENGINES = {
    "engines/__init__": set(),
    "engines/base": set(),
    "engines/pieces": set(),
    "engines/choice": {"base", "torch", "native"},
    "engines/window": {"base"},
    "engines/native": {"base", "pieces", "window"},
    "engines/torch": {"base", "pieces", "torch"},
}

# package -> rooms, or files of them, that may import it
ALLOWED = {
    "torch": {"engines/torch"},
    "cupy": {"engines/torch/cuda/compile"},
    "imageio": {"plugins/imageio"},
    "PIL": {
        "plugins",
        "codec/alpha",
        "codec/bands",
        "codec/decode",
        "codec/detect",
        "codec/encode",
        "codec/exact",
        "codec/modes",
        "codec/overlay",
        "codec/preview",
        "codec/small",
        "codec/room",
        "jpeg",
        "metrics",
        "placeholders",
        "datasets",
        "cli/bench",
        "cli/compare",
        "conversion",
        "cli/convert",
        "cli/demo",
        "cli/compact",
        "cli/enhance",
        "cli/metrics",
        "cli/map",
        "cli/page",
        "cli/placeholder",
        "cli/plot",
        "cli/rates",
        "cli/thumbnail",
    },
    "numpy": {
        "plugins/saving",
        "plugins/imageio",
        "codec",
        "engines/torch",
        "models/store",
        "entropy",
        "metrics",
        "conversion/deep",
        "conversion/png",
        "cli/demo",
        "cli/map",
        "cli/rates",
    },
    "skimage": {"codec/detect"},
    "tqdm": {"cli/progress"},
    "dask": {"dask"},
    "distributed": {"dask"},
    "fsspec": {"conversion/places", "dask"},
    "matplotlib": {"cli/plot"},
    "ssimulacra2": {"metrics/tools"},
    "torchvision": {"engines/torch/measures"},
    "lpips": {"engines/torch/measures"},
    "DISTS_pytorch": {"engines/torch/measures"},
    "pytorch_fid": {"engines/torch/measures"},
}
AT_FIRST_USE = {"codec", "conversion", "models", "plugins"}  # rooms that import numpy within functions alone
OURS_ELSEWHERE = {"train", "bench", "tests"}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    """File below the package without its suffix, e.g. 'codec/latents'."""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).with_suffix("").parts[0]
    return "" if first == "__init__" else first


def places_of(path: Path) -> set[str]:
    """The room, the folders below it and the file, as ALLOWED names them."""
    parts = name_of(path).split("/")
    return {room_of(path), *("/".join(parts[: n + 1]) for n in range(len(parts)))}


def walk(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker sees."""
    above = [tree]
    while above:
        for node in ast.iter_child_nodes(above.pop()):
            if not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
                yield node
                above.append(node)


@cache
def nodes_of(path: Path, at_run_time: bool = False) -> list[ast.AST]:
    """All nodes of a file; without those that only a type checker sees if `at_run_time`."""
    return list(walk(tree_of(path)) if at_run_time else ast.walk(tree_of(path)))


@cache
def imports(path: Path) -> list[tuple[int, str, list[str]]]:
    """(line, absolute module, names) of every import statement, those within functions included."""
    package = ("pillow_lic", *path.relative_to(PACKAGE).parts[:-1])
    found = []
    for node in nodes_of(path, at_run_time=True):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name, []) for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            found.append((node.lineno, module, [alias.name for alias in node.names]))
    return found


@cache
def known_rooms() -> set[str]:
    known = {p.stem for p in PACKAGE.glob("*.py")} - {"__init__"} | {p.name for p in PACKAGE.iterdir() if p.is_dir()}
    return known | {"_core", "_core_test"}  # the latter no room may import: it is built for tests


def rooms_imported(path: Path) -> list[tuple[int, str]]:
    """(line, room) of every import of ours."""
    known, rooms = known_rooms(), []
    for line, module, names in imports(path):
        parts = module.split(".")
        if parts[0] != "pillow_lic":
            continue
        if len(parts) > 1:
            rooms.append((line, parts[1]))
        else:
            rooms += [(line, name if name in known else "") for name in names]
    return rooms


def test_arrows():
    for path in sources():
        room = room_of(path)
        assert room in ARROWS, f"{room} is a new room: give it its arrows here and in docs/ARCHITECTURE.md"
        for line, target in rooms_imported(path):
            assert target in {room} | ARROWS[room], f"{path}:{line}: {room or 'the package'} may not import {target}"


def test_heavy_imports():
    for path in sources():
        for line, module, _ in imports(path):
            top = module.split(".")[0]
            assert top not in OURS_ELSEWHERE, f"{path}:{line}: the package may not import {top}"
            if top in ALLOWED:
                assert places_of(path) & ALLOWED[top], f"{path}:{line}: {top} may not be imported here"


def test_only_known_packages():
    for path in sources():
        for line, module, _ in imports(path):
            top = module.split(".")[0]
            assert top in sys.stdlib_module_names or top in ALLOWED or top == "pillow_lic", (
                f"{path}:{line}: {top} is new"
            )


def test_container_needs_only_the_standard_library():
    for path in (PACKAGE / "container").glob("*.py"):
        for line, module, _ in imports(path):
            top = module.split(".")[0]
            assert top in sys.stdlib_module_names or top == "pillow_lic", f"{path}:{line}"


def test_engines_stand_on_the_seam():
    for path in [path for path in sources() if room_of(path) == "engines"]:
        part = "engines/torch" if "torch" in path.parts else name_of(path)
        for line, module, names in imports(path):
            parts = module.split(".")
            if parts[:2] == ["pillow_lic", "engines"]:
                for target in [parts[2]] if len(parts) > 2 else names:
                    assert target in WITHIN_ENGINES[part], f"{path}:{line}: {part} may not import engines.{target}"


def inside_functions(path: Path) -> set[int]:
    """Of import statements, those within a function."""
    functions = [
        node
        for node in nodes_of(path, at_run_time=True)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    ]
    within = (node for function in functions for node in ast.walk(function))
    return {id(node) for node in within if isinstance(node, ast.Import | ast.ImportFrom)}


def test_what_waits_for_its_first_use():
    """CuPy and its room, the engines and, in some rooms, numpy are imported inside functions alone."""
    for path in sources():
        inside = inside_functions(path)
        late = {"cupy"} | ({"numpy"} if room_of(path) in AT_FIRST_USE else set())
        if "cuda" not in path.parts:
            late.add("cuda")
        if "torch" not in path.parts:
            late.add("torch")
        for node in nodes_of(path, at_run_time=True):
            if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in inside:
                names = [part for alias in node.names for part in alias.name.split(".")]
                names += (getattr(node, "module", None) or "").split(".")
                assert not late & set(names), f"{path}:{node.lineno}: import it inside a function"


# ---- The map (docs/ARCHITECTURE.md) --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "room", ["container", "models", "engines", "codec", "conversion", "jpeg", "metrics", "plugins", "../train"]
)
def test_the_map_names_every_file(room):
    """A newcomer finds each file of a room under its name."""
    folder, text = PACKAGE / room, (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    tables = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert len(files) > 3
    assert {name for name in files if f"`{name}`" not in tables} == set()


# ---- Sizes (docs/ARCHITECTURE.md) ---------------------------------------------------------------------------------

PARAMETERS_MAX = 7  # of a function in codec/ and engines/, self not counted


def functions() -> Iterator[tuple[Path, ast.FunctionDef]]:
    for path in sources():
        for node in nodes_of(path):
            if isinstance(node, ast.FunctionDef):
                yield path, node


def test_no_function_takes_many_parameters():
    seen = 0
    for path, node in functions():
        if room_of(path) in ("codec", "engines"):
            every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
            names = [one.arg for one in every if one is not None and one.arg not in ("self", "cls")]
            assert len(names) <= PARAMETERS_MAX, f"{path}:{node.lineno}: {node.name} takes {', '.join(names)}"
            seen += 1
    assert seen > 100


def test_no_function_is_long():
    """Lines, docstrings and all; parsers of options may be longer."""
    for path, node in functions():
        length = node.end_lineno - node.lineno + 1
        assert length <= 60 or node.name == "parser_of", f"{path}:{node.lineno}: {node.name} has {length} lines"


def test_no_closure_over_a_loops_variable():
    """As ruff's B023: a function made in a loop sees what the variable is when it is called."""
    for path in sources():
        for loop in nodes_of(path):
            if not isinstance(loop, ast.For | ast.While):
                continue
            bound = {n.id for n in ast.walk(loop) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            for inner in ast.walk(loop):
                if isinstance(inner, ast.Lambda | ast.FunctionDef):
                    own = {one.arg for one in ast.walk(inner.args) if isinstance(one, ast.arg)}
                    used = {n.id for n in ast.walk(inner) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
                    assert not (bound & used) - own, f"{path}:{inner.lineno}: {(bound & used) - own}"


def test_start_up_hook_imports_next_to_nothing():
    tree = ast.parse((ROOT / "autoload" / "_pillow_lic_autoload.py").read_text(encoding="utf-8"))
    top_level = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    assert top_level == {"os", "sys"}
    assert not [node for node in tree.body if isinstance(node, ast.ImportFrom)]


def test_files_say_what_they_are_for():
    for path in sources():
        assert ast.get_docstring(tree_of(path)), f"{path} has no header comment"
