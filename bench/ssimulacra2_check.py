"""How near SSIMULACRA2's scores of different programs are: python bench/ssimulacra2_check.py IMAGES [--limit 4]

For JPEG and AVIF files of each image: the PyPI package, which pillow_lic.metrics uses; engines/torch/visual.py, which
models are trained for; the package with zeros around the pictures where it blurs, as libjxl's source has it; and
libjxl's own tool `ssimulacra2`, where it is on the PATH (Debian 12 does not ship it). The package mirrors two borders
and has zeros beyond the other two; visual.py mirrors all four. Writes bench/results/ssimulacra2-check.csv.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

import machine
import numpy as np
import peers
from rd import images_in, load, write

from pillow_lic import metrics

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
COLUMNS = ("image", "codec", "quality", "bpp", "package", "zero_borders", "visual", "libjxl")


def with_zeros(a, b):
    """The package's score with zeros beyond all borders."""
    from scipy import ndimage
    from ssimulacra2 import ssimulacra2 as package

    kept = package.blur_image
    package.blur_image = lambda x: ndimage.gaussian_filter(x, 1.5, truncate=3.33, mode="constant", axes=(0, 1))
    try:
        return metrics.ssimulacra2(a, b)
    finally:
        package.blur_image = kept


def visual(a, b):
    """The score of what models are trained for."""
    import torch

    from pillow_lic.engines.torch import visual as trained

    with torch.no_grad():
        tensors = [torch.tensor(np.array(x)).permute(2, 0, 1)[None].float() / 255 for x in (a, b)]
        return float(trained.score(trained.distance(*tensors)))


def libjxl(a, b):
    """The tool's score, or nothing."""
    tool = shutil.which("ssimulacra2")
    if tool is None:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(pathlib.Path(folder, name)) for name in ("a.png", "b.png")]
        for path, image in zip(paths, (a, b)):
            image.save(path)
        return float(subprocess.run([tool, *paths], capture_output=True, text=True, check=True).stdout.split()[0])


def main():
    """Score, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("--limit", type=int, default=4)
    parser.add_argument("--codecs", default="jpeg,avif-420")
    parser.add_argument("--qualities", default="10,30,60,90")
    parser.add_argument("--results", type=pathlib.Path, default=machine.RESULTS)
    options = parser.parse_args()
    rows = []
    for path in images_in(options.images, options.limit):
        image = load(path)
        for codec in map(peers.find, options.codecs.split(",")):
            for quality in map(float, options.qualities.split(",")):
                data = codec.encode(image, quality)
                decoded = codec.decode(data)
                facts = (
                    pathlib.Path(path).name,
                    codec.name,
                    f"{quality:g}",
                    8 * len(data) / (image.width * image.height),
                )
                scores = [score(image, decoded) for score in (metrics.ssimulacra2, with_zeros, visual, libjxl)]
                rows.append(dict(zip(COLUMNS, (*facts, *scores))))
                print(
                    *(f"{value:.3f}" if isinstance(value, float) else value for value in rows[-1].values()), flush=True
                )
    write(options.results / "ssimulacra2-check.csv", COLUMNS, rows)


if __name__ == "__main__":
    main()
