"""`lic map`: a picture of where a `.lic` file's bytes went.

Imports the standard library; Pillow, NumPy and the codec come with the command.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import positive

if TYPE_CHECKING:
    import argparse

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

DESCRIPTION = """Draw where the bytes of a `.lic` file went, as a heat map of the picture's size: black where hardly a
bit was spent, by violet, red and orange to pale yellow where the most were. Bits are those that the entropy coder's
own tables give each block of 16 x 16 pixels; exact rectangles (text, line art) have theirs spread evenly."""
# Colours at equal distances from 0 to 1: darker to lighter throughout, so that grey prints keep the order.
HEAT = ((0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164))


def add_to(commands: Any) -> None:
    """The command's arguments, to the `lic` command's parsers."""
    parser = commands.add_parser("map", help="a picture of where a file's bytes went", description=DESCRIPTION)
    parser.add_argument("file", type=Path, metavar="FILE", help="a .lic file")
    parser.add_argument("-o", "--output", type=Path, help="picture; default: FILE with .bits.png behind its name")
    most = "bits per pixel of the brightest colour; default: the most that are found"
    parser.add_argument("--max", type=positive, dest="most", metavar="BPP", help=most)
    parser.add_argument("-f", "--force", action="store_true", help="overwrite the picture")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Draw the map; the exit code."""
    from PIL import Image

    from ..codec import cost
    from ..conversion import files
    from . import DONE, UsageError

    output = options.output or options.file.with_name(options.file.stem + ".bits.png")
    if os.path.lexists(output) and not options.force:
        msg = f"{output} exists; --force overwrites it"
        raise UsageError(msg)
    kind = Image.registered_extensions().get(output.suffix.lower())
    if kind is None:
        msg = f"{output}: not an ending of a picture; .png for one"
        raise UsageError(msg)
    spent = cost.spent(options.file.read_bytes())
    most = options.most or float(spent.bits.max())
    files.begin([output.parent])
    with files.replacing(output, force=options.force) as file:
        heated(spent.bits, most).save(file, kind)
    print(f"{output}: black is 0, pale yellow is {most:.3g} bits per pixel")
    parts = ", ".join(f"{name} {getattr(spent, name)}" for name in ("tiles", "rectangles", "alpha", "rest"))
    mean = float(spent.bits.mean())
    print(f"bytes: {parts}; bits per pixel that are drawn: mean {mean:.3f}, most {float(spent.bits.max()):.3f}")
    return DONE


def heated(bits: NDArray[np.float32], most: float) -> Image.Image:
    """Bits (H, W) as colours: HEAT from 0 to `most`."""
    import numpy as np
    from PIL import Image

    steps = np.linspace(0, 255, len(HEAT))
    table = np.stack([np.interp(np.arange(256), steps, band) for band in zip(*HEAT)], -1)
    level = np.rint(255 * np.clip(bits / most if most else bits, 0, 1)).astype(np.uint8)
    return Image.fromarray(np.rint(table).astype(np.uint8)[level])
