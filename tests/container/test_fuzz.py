"""The fuzzers, briefly: generated inputs through the C++ target under sanitizers, mutated containers through the Python
one.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
COMPILER = shutil.which("g++") or shutil.which("clang++")


@pytest.fixture(scope="module")
def replay(tmp_path_factory) -> Path:
    """The C++ fuzz target as a plain program under the address and undefined-behaviour sanitizers."""
    if COMPILER is None:
        pytest.skip("no C++ compiler to build the fuzz target with")
    folder, core = tmp_path_factory.mktemp("fuzz"), TESTS.parent / "csrc"
    program, flags = folder / "fuzz_tile", ["-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command = [core / "compile.sh", folder / "core", COMPILER, *flags]
    environment = os.environ | {"LIC_ONLY": "^(cpu|image|model|scale_map|residual/)"}  # what the target stands on
    built = subprocess.run(command, capture_output=True, text=True, env=environment)
    if built.returncode == 0:
        source = [TESTS / "fuzz" / "fuzz_tile.cpp", *(folder / "core").glob("*.o")]
        command = [COMPILER, *flags, "-std=c++17", "-DLIC_REPLAY", f"-I{core}", *source, "-o", program]
        built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode and "sanitize" in built.stderr:
        pytest.skip("the compiler has no sanitizer runtime")
    assert built.returncode == 0, built.stderr
    return program


def inputs() -> list[bytes]:
    """Random streams and random symbols for every kind of table (see the target's first comment)."""
    rng = random.Random(7)
    made = []
    for seed in range(256):
        rest = rng.randbytes(rng.choice((0, 15, 16, 17, 40, 300)))
        made.append(bytes([seed, rng.randrange(128), rng.randrange(256)]) + rest)
        symbols = bytes(rng.choice((0, 0, 1, 255, 128, rng.randrange(256))) for _ in range(rng.randrange(400)))
        made.append(bytes([seed, 128 + rng.randrange(128), rng.randrange(256)]) + symbols)
    return made


def test_generated_inputs_keep_the_invariants(replay, tmp_path):
    for number, data in enumerate(inputs()):
        (tmp_path / f"{number}").write_bytes(data)
    done = subprocess.run([replay, *sorted(tmp_path.iterdir())], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "512 inputs" in done.stdout


def test_mutated_containers_keep_the_invariant():
    command = [sys.executable, "-c", "import fuzz_format as f; print(*f.loop(0, 1, 5000))"]
    done = subprocess.run(command, cwd=TESTS / "fuzz", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    tried, accepted = map(int, done.stdout.split())
    assert tried > 100
    assert 0 < accepted < tried
