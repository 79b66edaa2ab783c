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

pytestmark = pytest.mark.skipif(COMPILER is None or os.name == "nt", reason="no C++ compiler that takes GCC's options")


def compiled(folder: Path, *flags: str) -> list[Path]:
    subprocess.run([CORE / "compile.sh", folder, COMPILER, *flags], check=True)
    return sorted(folder.glob("*.o"))


@pytest.mark.parametrize("level", ["-O0", "-O3"])
def test_instruction_sets_share_no_code(level: str, tmp_path: Path):
    """Their objects define no symbol that a linker might take for another file's: no inline function, no template."""
    if shutil.which("nm") is None:
        pytest.skip("no nm")
    objects = [path for path in compiled(tmp_path, level) if path.stem.rsplit("_", 1)[-1] in SETS]
    assert objects or os.uname().machine not in ("x86_64", "AMD64")
    for path in objects:
        listed = subprocess.run(["nm", "-C", path], check=True, capture_output=True, text=True).stdout
        shared = [line for line in re.findall(r"^\S+ ([A-Za-z]) (.*)$", listed, re.M) if line[0] in "WVuB"]
        assert [name for kind, name in shared if not name.startswith("DW.ref.")] == [], path.name


@pytest.mark.parametrize("flags", [(), ("-DLIC_X86=0",)], ids=["this machine", "any machine"])
def test_core_alone(flags: tuple[str, ...], tmp_path: Path):
    """A program without Python makes a model; what is compiled for any machine needs no file of an instruction set."""
    objects = compiled(tmp_path / "core", "-O1", *flags)
    if flags:
        objects = [path for path in objects if path.stem.rsplit("_", 1)[-1] not in SETS]
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
