"""The tree that git holds: history keeps every large file for ever, so none slips in."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parent.parent
LARGEST = 500_000  # bytes
COLUMNS = 120
LARGE = {  # those that are larger, each for a reason
    "bench/results/rd-kodak-images.csv",  # every file's rate and every measure of it: what each figure stands on
    "docs/img/crops.png",  # crops stay lossless, or readers would see a codec of ours or another's twice
}


@pytest.fixture
def files() -> list[str]:
    """What git lists."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("not a clone: git does not list the tree")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_names_are_those_of_every_system(files):
    assert not [name for name in files if not re.fullmatch(r"[\w./+-]+", name, re.ASCII)], "strays of a test?"


def test_no_file_but_the_weights_is_large(files):
    large = {name for name in files if (ROOT / name).stat().st_size > LARGEST}
    weights = {
        name
        for name in large
        if name.startswith(("pillow_lic/models/", "pillow_lic/jpeg/")) and name.endswith(".safetensors")
    }
    assert large - weights <= LARGE, "larger than 500 kB: make them smaller, or say above why they are"


def test_lines_are_short(files):
    """Of text: tables of Markdown and data of one line apart."""
    for name in files:
        if name.endswith((".bin", ".csv", ".json", ".svg")) or b"\0" in (data := (ROOT / name).read_bytes()):
            continue
        for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
            table = name.endswith(".md") and line.startswith("|")
            assert table or len(line) <= COLUMNS, f"{name}:{number}: {len(line)} columns"
