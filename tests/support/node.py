"""node, and the decoder for browsers in it (browser/): what it makes of files. Needs Pillow and NumPy."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import pillow_lic
from browser import build
from pillow_lic import container
from pillow_lic.codec import modes

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
BROWSER = ROOT / "browser"
MODULE = BROWSER / "lic.wasm"
MINUTES = 5


def need_node() -> None:
    """Skip where it is not."""
    if not shutil.which("node"):
        pytest.skip("no node on the PATH")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.strip().lstrip("v").split(".")[0]) < 18:
        pytest.skip(f"node {version.strip()}, want 18 or later")


def need_module() -> None:
    """Skip where `make browser` has not been run since the core changed."""
    if not MODULE.exists() or not build.MADE_FROM.exists():
        pytest.skip("browser/lic.wasm is not built: make browser")
    if build.MADE_FROM.read_text() != build.fingerprint():
        pytest.skip("browser/lic.wasm is not of this core: make browser")


def node(script: str, given: object) -> Any:
    """What a script of tests/browser prints, as JSON."""
    command = ["node", str(ROOT / "tests" / "browser" / script)]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=60 * MINUTES)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def decoded(files: Sequence[bytes], folder: Path, **options: object) -> list[dict[str, Any]]:
    """Of each file width, height and sha256, or error and message. folder: where they may be written."""
    jobs = []
    for number, data in enumerate(files):
        path = folder / f"{number}.lic"
        path.write_bytes(data)
        jobs.append({"path": str(path), "options": options})
    return node("decode.mjs", jobs)


def rgba(pixels: np.ndarray, depth: int = 8) -> np.ndarray:
    """(H, W, 4), as browsers have it. depth: bits of a sample."""
    bands = pixels if pixels.ndim == 3 else pixels[:, :, None]
    opaque = np.full((*pixels.shape[:2], 1), (1 << depth) - 1, pixels.dtype)
    alpha = bands[:, :, -1:] if bands.shape[2] in (2, 4) else opaque
    colour = bands[:, :, :3] if bands.shape[2] >= 3 else bands[:, :, [0, 0, 0]]
    return np.concatenate([colour, alpha], axis=2)


def shown(pixels: np.ndarray, depth: int = 8) -> dict[str, Any]:
    """What `decoded` says of these pixels. depth: bits of a sample."""
    digest = hashlib.sha256(rgba(pixels, depth).tobytes()).hexdigest()
    found = {"width": pixels.shape[1], "height": pixels.shape[0], "sha256": digest}
    return found if pixels.dtype == np.uint8 else found | {"depth": depth}


def of_8(data: bytes) -> dict[str, Any]:
    """What `decoded` says of a file."""
    return shown(_seen(data, "uint8"))


def of_16(data: bytes) -> dict[str, Any]:
    """The same with depth: 16."""
    depth = container.read_head(data).header.depth
    return shown(_seen(data, "uint16"), min(depth, 16) if depth > 8 else 16)


def _seen(data: bytes, dtype: str) -> np.ndarray:
    """Pixels of a file; of other colour models, as Pillow converts them."""
    if not container.read_head(data).header.other:
        return pillow_lic.decode(data, dtype=dtype)
    found = np.asarray(modes.seen(Image.open(io.BytesIO(data))))
    return found if dtype == "uint8" else found.astype(np.uint16) * 257
