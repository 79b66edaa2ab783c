"""Builds what the decoder for browsers needs beside its JavaScript: lic.wasm by zig, and models/ of the shipped models.

python browser/build.py [OUT]: into OUT, or where this file lies. Needs pillow_lic, and ziglang in
an environment of its own (`make browser` sees to both).
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from pillow_lic.models import registry, weights

HERE = Path(__file__).resolve().parent
CSRC = HERE.parent / "csrc"
OBJECTS = HERE.parent / "build" / "browser"
MADE_FROM = OBJECTS / "fingerprint"  # of the sources of the last lic.wasm
ZIG = os.environ.get("ZIG", str(HERE.parent / "build" / "zig" / "bin" / "python"))  # the Python that has ziglang
COMPILER = [ZIG, "-m", "ziglang", "c++", "-target", "wasm32-wasi", "-msimd128"]
FLAGS = ["-O2", "-fvisibility=hidden", "-fno-rtti"]
LINK = ["-mexec-model=reactor", "-std=c++17", "-ffp-contract=off", f"-I{CSRC}", "-Wl,--strip-all"]
PACKED = 9  # of gzip
FAMILY = "photo"  # whose networks are integers


def fingerprint() -> str:
    """Of what lic.wasm is made from."""
    sha = hashlib.sha256()
    for path in sorted([*(path for path in CSRC.rglob("*") if path.is_file()), *HERE.glob("*.cpp"), Path(__file__)]):
        sha.update(f"{path.name} {path.stat().st_size}\n".encode() + path.read_bytes())
    return sha.hexdigest()


def compile_module(out: Path) -> None:
    """lic.wasm: the core and what exports it."""
    shutil.rmtree(OBJECTS, ignore_errors=True)  # of files that are there no more
    subprocess.run([CSRC / "compile.sh", OBJECTS, " ".join(COMPILER), *FLAGS], check=True)
    sources = [*sorted(HERE.glob("*.cpp")), *sorted(OBJECTS.glob("*.o"))]
    subprocess.run([*COMPILER, *FLAGS, *LINK, *sources, "-o", out], check=True)
    MADE_FROM.write_text(fingerprint())


def pack_models(out: Path) -> None:
    """A file for each model, and index.json, which names them by the hash that a picture's file states."""
    out.mkdir(exist_ok=True)
    index: dict[str, dict[str, object]] = {}
    for _, name in sorted(registry.SHIPPED.values()):
        model = registry.by_name(name)
        known: dict[str, object] = {"name": name}
        if model.manifest.family == FAMILY:
            file = f"{name}-{model.hash[:8].hex()}.safetensors.gz"
            tensors = {key: one for key, one in model.tensors.items() if not key.startswith(weights.BESIDE)}
            (out / file).write_bytes(gzip.compress(weights.write(tensors), PACKED, mtime=0))
            known |= {"file": file, "identity": model.hash.hex(), "integers": dict(model.manifest.integers)}
        index[model.hash[:8].hex()] = known
    (out / "index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    compile_module(target / "lic.wasm")
    pack_models(target / "models")
    for path in [target / "lic.wasm", *sorted((target / "models").iterdir())]:
        print(f"{path}: {path.stat().st_size} bytes, {len(gzip.compress(path.read_bytes()))} gzipped")
