"""What a release is made of: workflows and forms by their schemas, one version and one address, the sdist's files."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zlib
from pathlib import Path

import pytest
from packages import left_out

ROOT = Path(__file__).parents[2]
SCHEMAS = {
    "github-workflows": ".github/workflows/*.yml",
    "github-issue-forms": ".github/ISSUE_TEMPLATE/[!c]*.yml",
    "github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "dependabot": ".github/dependabot.yml",
    "citation-file-format": "CITATION.cff",
}
# Weights do not shrink, and trying takes a minute.
UNPACKED_SDIST = """
import gzip, sys
from scikit_build_core.build import build_sdist
begin = gzip.GzipFile.__init__
gzip.GzipFile.__init__ = lambda self, *args, **more: begin(self, *args, **(more | {"compresslevel": 0}))
build_sdist(sys.argv[1])
"""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
pytestmark = pytest.mark.install


def workflows() -> list[Path]:
    found = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    if not found:
        pytest.skip("workflows are not in the sdist")
    return found


def validated(schema: str, *paths: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_forms_are_as_their_schemas_say(schema, tmp_path):
    pytest.importorskip("check_jsonschema", reason="schemas come with the extra `lint`")
    workflows()
    paths = sorted(ROOT.glob(SCHEMAS[schema]))
    assert paths
    done = validated(schema, *paths)
    assert done.returncode == 0, done.stdout
    if schema == "github-workflows":  # the check can fail
        broken = tmp_path / "broken.yml"
        broken.write_text(paths[0].read_text(encoding="utf-8").replace("runs-on", "run-on"), encoding="utf-8")
        assert validated(schema, broken).returncode == 1


def test_workflows_call_what_is_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    seen = set()
    for path in workflows():
        text = path.read_text(encoding="utf-8")
        assert re.search(r"^permissions: \{contents: read\}$", text, re.MULTILINE), f"{path}: least rights by default"
        for target in re.findall(r"\bmake ([a-z-]+)", text):
            assert target in targets, f"{path}: make {target}"
            seen.add(target)
        for file in re.findall(r"\btests/[\w/.]+", text):
            assert (ROOT / file).exists(), f"{path}: {file}"
    assert {"install", "quick", "test", "lint", "docs", "fuzz", "dist"} <= seen


def test_one_version_and_one_address():
    address = PROJECT["urls"]["Source"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {PROJECT['version']}\n" in citation
    models = tomllib.loads((ROOT / "pillow_lic_models" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert models["version"] == PROJECT["version"]
    assert PROJECT["optional-dependencies"]["models"] == [f"pillow-lic-models=={PROJECT['version']}"]
    for name in ("CITATION.cff", "pyproject.toml", ".github/ISSUE_TEMPLATE/config.yml"):
        if (ROOT / name).exists():
            found = re.findall(r"https://github\.com/[\w-]+/[\w-]+", (ROOT / name).read_text(encoding="utf-8"))
            assert set(found) == {address}, name


def test_licences_of_what_is_compiled_in():
    """pybind11's as the installed one has it."""
    from importlib.metadata import files

    pytest.importorskip("pybind11", reason="its licence comes with it")
    (licence,) = (file for file in files("pybind11") if file.name == "LICENSE")
    assert licence.read_text().strip() in (ROOT / "LICENSES_bundled.txt").read_text(encoding="utf-8")


def test_every_python_and_system_has_a_wheel():
    pytest.importorskip("cibuildwheel", reason="it comes with the extra `release`")
    found = set()
    for system in ("linux", "macos", "windows"):
        command = [sys.executable, "-m", "cibuildwheel", "--print-build-identifiers", "--platform", system, str(ROOT)]
        found.update(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    pythons = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", name)]
    places = ("manylinux_x86_64", "manylinux_aarch64", "musllinux_x86_64", "musllinux_aarch64")
    places += ("macosx_x86_64", "macosx_arm64", "win_amd64")
    assert found == {f"cp{python.replace('.', '')}-{place}" for python in pythons for place in places}


def test_sdist_holds_what_builds_and_tests_it(tmp_path):
    for package in ("scikit_build_core", "hatch_fancy_pypi_readme"):
        pytest.importorskip(package, reason=f"an sdist is made by {package}")
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone: git does not list the tree")
    tree = tmp_path / "tree"
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    stray = ("build/one.o", "runs/checkpoint.pt", ".venv/pyvenv.cfg", "pillow_lic/_core.so", "tests/x.pyc")
    for name in (*filter(None, listed.split("\0")), *stray):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if name in stray:
            (tree / name).write_bytes(b"")
        elif (ROOT / name).is_file():
            shutil.copy(ROOT / name, tree / name)
    subprocess.run([sys.executable, "-c", UNPACKED_SDIST, str(tmp_path)], cwd=tree, check=True, capture_output=True)
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("pyproject.toml", "CMakeLists.txt", "LICENSE", "LICENSES_bundled.txt", "README.md", "Makefile"):
        assert name in names
    assert {"csrc/bind.cpp", "tests/conftest.py", "train/export.py", "docs/FORMAT.md", "PKG-INFO"} <= names
    left_out = ("bench/results/", ".github/", ".ci/", "runs/", "build/", ".venv/")
    assert not [name for name in names if name.startswith(left_out) or name.endswith((".so", ".pyc"))]


def test_a_wheel_has_at_most_32_megabytes():
    """The weights deflated as zip does it, and 1.5 MB for all else (the core 0.6)."""
    weighty = list((ROOT / "pillow_lic" / "models").rglob("*.safetensors"))
    if b'"planes"' not in (ROOT / "pillow_lic" / "models" / "photo" / "model.safetensors").read_bytes()[:100]:
        pytest.skip("the models are not packed: python -m train.pack pillow_lic/models/photo*")
    inside = [path for path in weighty if path.relative_to(ROOT).as_posix() not in left_out()]
    assert sum(len(zlib.compress(path.read_bytes())) for path in inside) <= 32e6 - 1.5e6
