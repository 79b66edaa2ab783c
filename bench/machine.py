"""What a bench run must state about itself: commit, processor, versions; and where results go."""

import contextlib
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import subprocess

from PIL import features

RESULTS = pathlib.Path(__file__).parent / "results"
PACKAGES = (
    "pillow",
    "pillow-lic",
    "pillow-heif",
    "pillow-jxl-plugin",
    "numpy",
    "torch",
    "compressai",
    "bjontegaard",
    "pytorch-msssim",
    "ssimulacra2",
    "pyjpegli",
)


def commit():
    """The commit that was measured, with `+` if the tree had changes."""

    def git(*arguments):
        folder = pathlib.Path(__file__).parent
        try:
            done = subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=folder, check=False)
        except FileNotFoundError:
            return ""
        return done.stdout.strip()

    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+" if git("status", "--porcelain", "-uno") else "")


def processor():
    """The processor's name and the number of usable processors."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {count} processors"


def versions():
    """Versions of the packages and of Pillow's libraries that are at hand."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    tool = debian_package_of("butteraugli_main")
    if tool:
        found["tool:butteraugli_main"] = tool
    for name in ("libjpeg_turbo", "jpg_2000", "webp", "avif"):
        found[f"pillow:{name}"] = features.version(name)
    return found


def debian_package_of(tool):
    """Name and version of the Debian package that a tool came with, "unknown" if of none; None without the tool."""
    path = shutil.which(tool)
    if path is None:
        return None
    try:
        owner = subprocess.run(["dpkg", "-S", path], capture_output=True, text=True, check=True).stdout.split(":")[0]
        said = subprocess.run(["dpkg-query", "-W", owner], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return " ".join(said.split())


def describe():
    """All of it."""
    return {"commit": commit(), "machine": processor(), "python": platform.python_version(), "versions": versions()}


def write_description(path, **more):
    """Next to a CSV: the JSON that says what produced it. Also printed, short."""
    facts = {**describe(), **more}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(f"commit {facts['commit']}, {facts['machine']}, Python {facts['python']}")
    print(", ".join(f"{name} {version}" for name, version in facts["versions"].items() if version))
