"""How the core is built: files of an instruction set share no code with others, and there is a build without them.

Imports neither torch nor the package.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from on_host import COMPILER

CORE = Path(__file__).parents[2] / "csrc"
SETS = [line.split("|")[0] for line in (CORE / "instruction_sets.txt").read_text().splitlines() if line[0] != "#"]
ASKS = rf"_({'|'.join(SETS)})\("
PROGRAM = """
#include <cstdio>
#include "model.h"
int main() {
    try {
        lic::Model({}, {8, 8, 4, 64, 6});
    } catch (const lic::BadModel& error) {
        std::puts(error.what());
    }
}
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(COMPILER is None or os.name == "nt", reason="no C++ compiler that takes GCC's options"),
]


def compiled(folder: Path, *flags: str, only: str = ".") -> list[Path]:
    command = [CORE / "compile.sh", folder, COMPILER, *flags]
    subprocess.run(command, check=True, env=os.environ | {"LIC_ONLY": only})
    return sorted(folder.glob("*.o"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> list[Path]:
    """The objects of the core, not optimised."""
    return compiled(tmp_path_factory.mktemp("plain"), "-O0")


def undefined(path: Path) -> str:
    return subprocess.run(["nm", "-C", "-u", path], check=True, capture_output=True, text=True).stdout


def of_a_set(path: Path) -> bool:
    return path.stem.rsplit("_", 1)[-1] in SETS


@pytest.mark.parametrize("level", ["-O0", "-O3"])
def test_instruction_sets_share_no_code(level: str, plain: list[Path], tmp_path: Path):
    """Their objects define no symbol that a linker might take for another file's: no inline function, no template."""
    if shutil.which("nm") is None:
        pytest.skip("no nm")
    objects = plain if level == "-O0" else compiled(tmp_path, level, only=f"_({'|'.join(SETS)})$")
    objects = [path for path in objects if of_a_set(path)]
    assert objects or os.uname().machine not in ("x86_64", "AMD64")
    for path in objects:
        listed = subprocess.run(["nm", "-C", path], check=True, capture_output=True, text=True).stdout
        shared = [line for line in re.findall(r"^\S+ ([A-Za-z]) (.*)$", listed, re.M) if line[0] in "WVuB"]
        assert [name for kind, name in shared if not name.startswith("DW.ref.")] == [], path.name


@pytest.mark.parametrize("machine", ["this machine", "any machine"])
def test_core_alone(machine: str, plain: list[Path], tmp_path: Path):
    """A program without Python makes a model; what is compiled for any machine needs no file of an instruction set."""
    objects, flags = plain, ()
    if machine == "any machine":
        if shutil.which("nm") is None:
            pytest.skip("no nm")
        flags = ("-DLIC_X86=0",)
        # Alike on any machine: what neither has two sides nor asks for anything of a file of an instruction set.
        unlike = [path.relative_to(CORE) for path in CORE.rglob("*.cpp") if "LIC_X86" in path.read_text()]
        names = {path.with_suffix("").as_posix().replace("/", "-") for path in unlike}
        names |= {path.stem for path in plain if not of_a_set(path) and re.search(ASKS, undefined(path))}
        only = f"^({'|'.join(sorted(names)).replace('-', '/')})$"
        again = compiled(tmp_path / "again", "-O0", *flags, only=only)
        assert {path.stem for path in again} == names
        replaced = {path.name: path for path in [*plain, *again]}
        objects = [path for path in replaced.values() if not of_a_set(path)]
    (tmp_path / "program.cpp").write_text(PROGRAM)
    program = tmp_path / "program"
    command = [COMPILER, "-std=c++17", *flags, f"-I{CORE}", tmp_path / "program.cpp", *objects, "-o", program]
    subprocess.run(command, check=True)
    said = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    assert said == "the array freq is missing\n"


def test_only_bindings_know_python():
    for path in [*CORE.rglob("*.h"), *CORE.rglob("*.cpp")]:
        if not path.stem.startswith("bind"):
            assert not re.search(r"#include\s*[<\"](pybind11|Python)", path.read_text()), path
