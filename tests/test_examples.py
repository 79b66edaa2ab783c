"""The examples of README and guide run, in the order in which they stand, in a folder with what they speak of.

Python is run in one namespace for each document, lines of `lic` in a shell. A block that cannot run here has
`<!-- not run: the reason -->` on the line before it.
"""

from __future__ import annotations

import contextlib
import glob
import io
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import pillow_lic
from pillow_lic.cli import main
from pillow_lic.codec import options

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>.+) -->\n)?^ *```(?P<kind>\w*)\n(?P<code>.*?)^ *```$", re.DOTALL | re.MULTILINE
)
# Examples follow on each other and may overwrite; two qualities of seven will do.
SPARE = {
    "lic encode": "lic encode --force",
    "lic enhance": "lic enhance --force",
    "lic compact": "lic compact --force",
    "lic plot": "lic plot --qualities 30,80",
}
SPARED = re.compile("|".join(SPARE))
SHELL = """set -e -o pipefail
lic() { "$PYTHON" -m pillow_lic.cli "$@"; }
display() { cat > /dev/null; }
"""


class Example(NamedTuple):
    kind: str
    code: str
    line: int


def examples(path: Path) -> list[Example]:
    """What runs of a document: Python, and the lines of `lic`."""
    text, found = path.read_text(encoding="utf-8"), []
    for block in BLOCK.finditer(text):
        line, code = text.count("\n", 0, block.start("code")), textwrap.dedent(block["code"])
        if block["why"]:
            continue
        if block["kind"] == "python":
            found.append(Example("python", code, line))
        elif not block["kind"]:
            lines = [one for one in code.splitlines() if one.startswith("lic ")]
            found += [Example("shell", "\n".join(lines) + "\n", line)] if lines else []
    return found


@pytest.fixture
def place(tmp_path, monkeypatch, make_picture):
    """The folder: a photograph, a folder of them, pictures in other formats, a model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setattr(options, "DEFAULT_EFFORT", 0)  # where an example says none: how well is no matter here
    (tmp_path / "photos").mkdir()
    images = [Image.fromarray(make_picture(48, 80, seed=seed)) for seed in range(3)]
    for name in ("photo.png", "a.png", "b.png", "photos/photo.png", "photos/second.png"):
        images[len(name) % 3].save(tmp_path / name)
    images[0].convert("L").save(tmp_path / "mask.png")
    images[0].save(tmp_path / "old.jpg", quality=20)
    for name in ("photo.avif", "other.avif"):
        Image.open(tmp_path / "photo.png").save(
            tmp_path / name, "AVIF" if ".avif" in Image.registered_extensions() else "PNG"
        )
    for name in ("photo.lic", "small/photo.lic"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.open(tmp_path / "photo.png").save(tmp_path / name)
    shutil.copytree(ROOT / "pillow_lic" / "models" / "toy", tmp_path / "my_model")
    monkeypatch.setattr(Image.Image, "show", lambda self: self.load())
    return tmp_path


def given(folder: Path) -> dict[str, object]:
    """Names that examples use without saying where they come from."""
    array = np.asarray(Image.open(folder / "photo.png"))
    paths = sorted((folder / "photos").glob("*.png"))
    return {
        "__name__": "__main__",
        "Image": Image,
        "pillow_lic": pillow_lic,
        "im": Image.open(folder / "photo.png"),
        "array": array,
        "arrays": [array, array[:40]],
        "original": array,
        "decoded": array,
        "data": (folder / "photo.lic").read_bytes(),
        "originals": [array],
        "file": folder / "photo.png",
        "paths": paths,
        "load": lambda path: np.asarray(Image.open(path)),
        "files": [folder / "photo.lic"],
    }


@pytest.mark.filterwarnings("ignore:.*shown as coarsely as:UserWarning")  # that is what they show
@pytest.mark.parametrize("path", [path for path in DOCUMENTS if examples(path)], ids=lambda path: path.name)
def test_examples_run(path, place):
    names = given(place)
    for kind, code, line in examples(path):
        if kind == "python":
            exec(compile("\n" * line + code, str(path), "exec"), names)
            continue
        for command in code.splitlines():
            status, said = run(SPARED.sub(lambda one: SPARE[one[0]], command), place)
            assert status == 0, f"{path}:{line}: {command}\n{said}"


def run(command: str, place: Path) -> tuple[int, str]:
    """A line of `lic`: in this process where it can, for a fresh one takes a while."""
    if re.search(r"[<>|]", command):
        environment = {"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "HOME": str(place)}
        done = subprocess.run(["bash", "-c", SHELL + command], capture_output=True, cwd=place, env=environment)
        return done.returncode, done.stderr.decode()
    words = [word for part in shlex.split(command, comments=True)[1:] for word in sorted(glob.glob(part)) or [part]]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        return main(words), said.getvalue()
