"""What every wheel must do where it was installed, on each platform: python tests/install/wheel_check.py

Needs Pillow and NumPy, as the wheel does. Files of the goldens decode to the same samples, to the bit; saving and
opening work without an import; the command is there. tests/install/test_release.py runs it, and cibuildwheel.
"""

import io
import pathlib
import shutil
import subprocess
import sys

import numpy as np
from PIL import Image

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


def check_start_up():
    """Before anything of the package is imported."""
    assert "pillow_lic" not in sys.modules or "PIL.Image" in sys.modules
    rows, columns = np.mgrid[0:70, 0:100]
    picture = np.stack([rows * 3, columns * 2, rows + columns], -1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "LIC", model="toy", quality=60)
    with Image.open(buffer) as image:
        assert (image.format, image.size) == ("LIC", (100, 70))
        assert np.abs(np.asarray(image).astype(int) - picture).mean() < 6
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "LIC", lossless=True)
    assert (np.asarray(Image.open(buffer)) == picture).all()


def check_goldens():
    """The samples are those of every other machine."""
    import pillow_lic

    paths = sorted(GOLDEN.glob("*.lic"))
    assert len(paths) >= 10
    for path in paths:
        with np.load(path.with_suffix(".npz")) as expected:
            found = pillow_lic.decode(path.read_bytes())
            wanted = np.squeeze(expected["pixels"])
            assert np.squeeze(found).tobytes() == wanted.astype(found.dtype).tobytes(), path.name  # NaN equals nothing
    return len(paths)


def check_command():
    """`lic` is on the PATH of the environment."""
    folder = pathlib.Path(sys.executable).parent
    command = shutil.which("lic", path=f"{folder}{';' if sys.platform == 'win32' else ':'}{folder / 'Scripts'}")
    assert command, f"no lic in {folder}"
    said = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("pillow-lic "), said


def main():
    """All of it."""
    check_start_up()
    count = check_goldens()
    check_command()
    import pillow_lic

    print(f"{pathlib.Path(pillow_lic.__file__).parent}: {count} golden files decode to the bit, saving works")


if __name__ == "__main__":
    main()
