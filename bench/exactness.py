"""Do all settings of a machine read the same symbols? Encodes a folder once, then decodes it in fresh processes.

    python bench/exactness.py IMAGES [--qualities 10 30 50 75 95] [--python OTHER_PYTHON ...]

Settings: 1 and 2 threads; scalar, SSE4.1, AVX2 and AVX-512 code paths of the coder and of torch; PyTorch's networks in
float32 and bfloat16 instead of the native ones; each further interpreter given (another Python, Pillow or torch
release). Imports the package and Pillow.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SETTINGS = {
    "default": {},
    "1 thread": {"LIC_THREADS": "1"},
    "2 threads": {"LIC_THREADS": "2"},
    "scalar": {"LIC_SIMD": "scalar", "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    "SSE4.1": {"LIC_SIMD": "sse4.1", "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    "AVX2": {"LIC_SIMD": "avx2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "AVX-512": {"LIC_SIMD": "avx512", "ATEN_CPU_CAPABILITY": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "float32": {"PILLOW_LIC_ENGINE": "torch", "PILLOW_LIC_PRECISION": "float32"},
    "bfloat16": {"PILLOW_LIC_ENGINE": "torch", "PILLOW_LIC_PRECISION": "bfloat16"},
}


def digest(folder: Path) -> None:
    """Print one SHA-256 over the symbols of every file and one line on the pixels. Runs in the process under test."""
    import numpy as np

    import pillow_lic
    from pillow_lic import _core_test, container
    from pillow_lic.codec.decode import decode_symbols

    if "LIC_SIMD" in os.environ:
        _core_test.set_simd(os.environ["LIC_SIMD"])
    if "LIC_THREADS" in os.environ:
        pillow_lic.set_threads(int(os.environ["LIC_THREADS"]))
    symbols, pixels = hashlib.sha256(), []
    for path in sorted(folder.glob("*.lic")):
        data = path.read_bytes()
        z, r, _ = decode_symbols(container.read(data))
        symbols.update(z.tobytes() + r.tobytes())
        pixels.append(pillow_lic.decode(data))
    reference = folder / "pixels.npz"
    if not reference.exists():
        np.savez(reference, *pixels)
    with np.load(reference) as stored:
        far = max(np.abs(a.astype(int) - b).max() for a, b in zip(pixels, stored.values()))
    torch = sys.modules.get("torch")
    version = torch.__version__ if torch else "none"
    print(symbols.hexdigest(), far, version, f"{sys.version_info.major}.{sys.version_info.minor}")


def run(python: str, settings: dict[str, str], folder: Path) -> list[str]:
    environment = {**os.environ, **settings}
    command = [python, __file__, "--digest", str(folder)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()


def available(settings: dict[str, str]) -> bool:
    """Whether this CPU has the code path of a setting."""
    from pillow_lic import _core_test

    try:
        _core_test.set_simd(settings.get("LIC_SIMD", "auto"))
    except ValueError:
        return False
    _core_test.set_simd("auto")
    return True


def encode_all(images: Path, qualities: list[float], folder: Path, limit: int | None) -> int:
    import numpy as np
    from PIL import Image

    import pillow_lic

    paths = sorted(p for p in images.iterdir() if p.suffix.lower() in {".png", ".jpg", ".webp", ".tif"})[:limit]
    for path in paths:
        array = np.asarray(Image.open(path).convert("RGB"))
        for quality in qualities:
            (folder / f"{path.stem}-{quality:g}.lic").write_bytes(pillow_lic.encode(array, quality=quality))
    return len(paths) * len(qualities)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, nargs="?")
    parser.add_argument("--qualities", type=float, nargs="+", default=[10, 30, 50, 75, 95])
    parser.add_argument("--python", nargs="*", default=[], help="further interpreters with the package installed")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "exactness.csv")
    parser.add_argument("--digest", type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.digest:
        return digest(a.digest)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        count = encode_all(a.images, a.qualities, folder, a.limit)
        for name in (name for name, settings in SETTINGS.items() if not available(settings)):
            print(f"{name:16} left out: this CPU has no such code path")
        rows = [
            (name, *run(sys.executable, settings, folder)) for name, settings in SETTINGS.items() if available(settings)
        ]
        rows += [(f"interpreter {n}", *run(python, {}, folder)) for n, python in enumerate(a.python, 2)]
    a.out.parent.mkdir(exist_ok=True)
    with a.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["setting", "symbols_sha256", "largest_pixel_difference", "torch", "python", "files"])
        writer.writerows([*row, count] for row in rows)
    for name, sha, far, torch_version, python in rows:
        print(f"{name:16} {sha[:16]}  pixels within {far:>2}  torch {torch_version}, Python {python}")
    different = len({row[1] for row in rows}) - 1
    print(f"{count} files, {len(rows)} settings: {different} differences")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
