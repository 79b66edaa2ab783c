"""The wheel as a user gets it: what is in it, that it works in a fresh environment, and that removing it removes all of
it.
"""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.install]

ROOT = Path(__file__).parents[2]
PROGRAM = """
import io, sys
from PIL import Image
im = Image.new("RGB", (40, 30), (200, 30, 90))
out = io.BytesIO(); im.save(out, "LIC", model="toy")
back = Image.open(io.BytesIO(out.getvalue()))
assert back.format == "LIC" and back.size == (40, 30)
back.load()
print("works")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    pytest.importorskip(
        "scikit_build_core", reason="building a wheel offline needs scikit-build-core and pybind11 installed"
    )
    pytest.importorskip("pybind11", reason="building a wheel offline needs scikit-build-core and pybind11 installed")
    pytest.importorskip("hatch_fancy_pypi_readme", reason="building a wheel offline needs hatch-fancy-pypi-readme")
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(ROOT),
    ]
    # Not optimised: what is installed here, which all other tests run, is.
    settings = {"build-dir": folder / "build", "cmake.define.CMAKE_CXX_FLAGS_RELEASE": "-O0"}
    settings["cmake.define.CMAKE_INTERPROCEDURAL_OPTIMIZATION"] = "OFF"
    command += [f"--config-settings={name}={value}" for name, value in settings.items()]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-2000:]
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """A fresh environment with the wheel; its dependencies are those of the environment of the tests, seen through a
    path file.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True
    )
    import PIL

    # torch, numpy and Pillow only: as a plain folder on the path, so that its start-up files (our editable hook) do not
    # run
    Path(site.stdout.strip(), "dependencies.pth").write_text(str(Path(PIL.__file__).parent.parent) + "\n")
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel], check=True)
    return python


def run(python: Path, program: str) -> subprocess.CompletedProcess:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PILLOW_LIC"))}
    return subprocess.run([python, "-c", program], capture_output=True, text=True, cwd="/", env=clean)


def test_wheel_holds_what_it_should(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "pillow_lic.pth",
        "pillow_lic.start",
        "_pillow_lic_autoload.py",
        "pillow_lic/py.typed",
        "pillow_lic/_core.pyi",
        "pillow_lic/constants.pyi",
    ):
        assert name in names
    assert any(name.startswith("pillow_lic/_core.") and name.endswith((".so", ".pyd")) for name in names)
    for model in ("toy", "photo", "photo-low", "photo-visual", "photo-tiny"):
        for file in ("manifest.json", "model.safetensors", "encoder.safetensors"):
            assert f"pillow_lic/models/{model}/{file}" in names
    for model in ("photo", "photo-low", "photo-visual", "photo-tiny"):
        assert f"pillow_lic/models/{model}/thumbnail.safetensors" in names
    for model in ("photo-ms-ssim", "gdn-mixture"):  # of pillow-lic-models
        assert f"pillow_lic/models/{model}/manifest.json" in names
        assert not any(name.startswith(f"pillow_lic/models/{model}/") and "safetensors" in name for name in names)
    for source in ("kernels/gdn.cu", "kernels/mixture_cdf.cu", "csrc/lic_cdf.h", "csrc/lic_constants.h"):
        assert f"pillow_lic/{source}" in names  # compiled where they run
    assert not any(name.startswith(("train/", "tests/", "bench/", "csrc/")) for name in names)
    assert not any("_core_test" in name for name in names)  # twins are built for tests alone
    assert sorted(name for name in names if name.startswith("pillow_lic/csrc/")) == [
        "pillow_lic/csrc/lic_cdf.h",
        "pillow_lic/csrc/lic_constants.h",
    ]


def test_metadata(wheel):
    """As PyPI shows it: licences of what is compiled in, links that lead somewhere from there."""
    archive = zipfile.ZipFile(wheel)
    folder = next(name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name)
    metadata = email.message_from_bytes(archive.read(f"{folder}/METADATA"))
    assert metadata.get_all("License-File") == ["LICENSE", "LICENSES_bundled.txt"]
    assert f"{folder}/licenses/LICENSES_bundled.txt" in archive.namelist()
    assert metadata["License-Expression"] == "Apache-2.0"
    source = next(one.partition(", ")[2] for one in metadata.get_all("Project-URL") if one.startswith("Source, "))
    links = re.findall(r"\]\(([^)]+)\)", metadata.get_payload())
    assert len(links) > 10
    assert all(link.startswith(f"{source}/") for link in links)
    for link in links:
        path = link.removeprefix(f"{source}/").partition("#")[0].removeprefix("blob/main/").removeprefix("raw/main/")
        assert (ROOT / path).exists(), link


def test_fresh_environment_does_what_every_platform_must(environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PILLOW_LIC"))}
    check = Path(__file__).with_name("wheel_check.py")
    done = subprocess.run([environment, check], capture_output=True, text=True, cwd="/", env=clean)
    assert done.returncode == 0, done.stderr
    assert str(environment.parents[1]) in done.stdout  # not the checkout's


def test_fresh_environment_needs_no_import(environment):
    done = run(environment, PROGRAM)
    assert done.stdout.strip() == "works", done.stderr


def test_uninstall_leaves_nothing(environment):
    site = run(environment, "import site; print(site.getsitepackages()[0])").stdout.strip()
    assert (Path(site) / "pillow_lic.pth").exists()
    subprocess.run([environment, "-m", "pip", "uninstall", "-q", "-y", "pillow-lic"], check=True)
    left = [p.name for p in Path(site).iterdir() if "lic" in p.name.lower() and "pillow" in p.name.lower()]
    assert [name for name in left if "pillow_lic" in name] == []
    done = run(environment, "from PIL import Image; Image.init(); print('.lic' in Image.registered_extensions())")
    assert done.stdout.strip() == "False", done.stderr
