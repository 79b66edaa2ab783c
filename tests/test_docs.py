"""Documents: links lead somewhere, prose is narrow, README is short, figures are those of manifests and results.

Reads text; nothing of the package is imported.
"""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(path for where in (".", "docs", "docs/*", "bench", "kernels") for path in ROOT.glob(f"{where}/*.md"))
PROSE_MAX = 100  # columns
README_MAX = 120  # lines
PAGE_MAX = 110  # lines of a page of the guide
DECISION_MAX = 40  # lines: half a page
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def outside_code(path: Path) -> list[tuple[int, str]]:
    """(number, line) of the lines that stand in no fenced block."""
    lines, inside = [], False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            inside = not inside
        elif not inside:
            lines.append((number, line))
    assert not inside, f"{path}: a block of code does not end"
    return lines


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    heads = [line.lstrip("#").strip().lower() for _, line in outside_code(path) if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", head).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(path):
    text = re.sub(r"`[^`]*`", "", "\n".join(line for _, line in outside_code(path)))
    for target in LINK.findall(text):
        if target.startswith(("https://", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.is_relative_to(ROOT), f"{path}: {target} leads outside"
        assert there.exists(), f"{path}: {target} does not exist"
        assert not anchor or anchor in anchors(there), f"{path}: {target} has no such heading"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_prose_is_narrow(path):
    for number, line in outside_code(path):
        assert line.startswith("|") or len(line) <= PROSE_MAX, f"{path}:{number}: {len(line)} columns"


def test_readme_is_for_five_minutes():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= README_MAX
    assert sum(line.startswith("![") for line in lines) == 1, "one picture"


@pytest.mark.parametrize(("folder", "most"), [("guide", PAGE_MAX), ("decisions", DECISION_MAX)])
def test_pages_are_short_and_listed(folder, most):
    index = (ROOT / "docs" / folder / "index.md").read_text(encoding="utf-8")
    for path in (ROOT / "docs" / folder).glob("*.md"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= most, path
        assert path.name == "index.md" or f"({path.name})" in index, f"{path} is not in the index"


def test_decisions_have_their_form():
    paths = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    for number, path in enumerate(paths, 1):
        text = path.read_text(encoding="utf-8")
        assert path.name.startswith(f"{number:04d}-")
        assert text.startswith(f"# {number:04d} ")
        places = [text.find(f"**{part}.**") for part in ("Context", "Decision", "Consequence")]
        assert -1 < places[0] < places[1] < places[2], path


def test_every_model_has_a_card():
    models = {path.parent.name for path in (ROOT / "pillow_lic" / "models").glob("*/manifest.json")}
    cards = {path.stem for path in (ROOT / "docs" / "cards").glob("*.md")} - {"index"}
    assert models == cards


def test_figures_are_those_of_the_results():
    """In a process of its own: the bench's modules have names that others have as well."""
    if not (ROOT / "bench" / "results").exists():
        pytest.skip("results are not in the sdist")
    command = [sys.executable, str(ROOT / "bench" / "cards.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, f"run python bench/cards.py; stale: {done.stdout}{done.stderr}"
