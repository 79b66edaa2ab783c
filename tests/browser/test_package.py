"""browser/ as an npm package: it says what is so, and holds what it needs."""

from __future__ import annotations

import json
import re
import tomllib

import node
import pytest

pytestmark = pytest.mark.quick


def test_it_has_the_version_of_the_python_package():
    package = json.loads((node.BROWSER / "package.json").read_text())
    project = tomllib.loads((node.ROOT / "pyproject.toml").read_text())["project"]
    assert (package["name"], package["version"], package["license"]) == tuple(
        project[key] for key in ("name", "version", "license")
    )


def test_every_file_that_is_named_is_there():
    package = json.loads((node.BROWSER / "package.json").read_text())
    built = {"./lic.wasm", "./models/*"}
    named = {package["exports"]["."][key] for key in ("types", "default")} | {*package["exports"]} - {"."} - built
    for script in node.BROWSER.glob("*.js"):
        named |= set(re.findall(r"'(\./[^']+\.js)'", script.read_text()))
    assert {name for name in named if not (node.BROWSER / name).is_file()} == set()


def test_constants_are_those_of_the_core():
    from pillow_lic import constants

    container = (node.BROWSER / "container.js").read_text()
    for name, value in {
        "MAJOR": constants.LIC_MAJOR, "MINOR": constants.LIC_MINOR, "CHUNKS_MAX": constants.LIC_CHUNKS_MAX,
        "METADATA_MAX": constants.LIC_METADATA_MAX, "PIXELS_MAX": constants.LIC_PIXELS_MAX,
        "SIDE_MAX": constants.LIC_SIDE_MAX, "STREAM_MIN": 4 * constants.LIC_STATES,
        "SHIFT_MAX": constants.LIC_SHIFT_MAX,
    }.items():  # fmt: skip
        (stated,) = re.findall(rf"^const {name} = (.*);$", container, re.MULTILINE)
        assert eval(stated) == value, name
    (most,) = re.findall(r"^const RECTANGLES_MAX = (\d+);$", (node.BROWSER / "overlay.js").read_text(), re.MULTILINE)
    assert int(most) == constants.LIC_OVERLAYS_MAX
    depth = (node.BROWSER / "depth.js").read_text()
    for name, value in {"EIGHT": constants.LIC_DEPTH_MIN, "SIXTEEN": constants.LIC_DEPTH_MAX}.items():
        assert f"export const {name} = {value};" in depth
