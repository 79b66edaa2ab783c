"""`lic map`: a picture of where a `.lic` file's bytes went.

Imports the standard library; Pillow, NumPy and the codec come with the command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import arguments

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
    said = f"a .lic file; {arguments.STANDARD} is standard input"
    parser.add_argument("file", type=arguments.path, metavar="FILE", help=said)
    output = f"picture; {arguments.STANDARD} is standard output, a PNG; default: FILE with .bits.png behind its name"
    parser.add_argument("-o", "--output", type=arguments.path, metavar="PATH", help=output)
    most = "bits per pixel of the brightest colour; default: the most that are found"
    parser.add_argument("--max", type=arguments.positive, dest="most", metavar="BPP", help=most)
    parser.add_argument("-f", "--force", action="store_true", help="overwrite the picture")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Draw the map; the exit code."""
    from PIL import Image

    from ..codec import cost
    from . import DONE, UsageError, filenames

    output = options.output or filenames.beside(options.file, ".bits.png")
    filenames.check(output, [options.file], force=options.force)
    kind = "PNG" if filenames.is_standard(output) else Image.registered_extensions().get(output.suffix.lower())
    if kind not in Image.SAVE:
        msg = f"{output}: not an ending of a picture; .png for one"
        raise UsageError(msg)
    spent = cost.spent(filenames.content(options.file))
    most = options.most or float(spent.bits.max())
    with filenames.writing(output, force=options.force) as file:
        heated(spent.bits, most).save(file, kind)
    filenames.tell(output, f"black is 0, pale yellow is {most:.3g} bits per pixel")
    parts = ", ".join(f"{name} {getattr(spent, name)}" for name in ("tiles", "rectangles", "alpha", "rest"))
    mean = float(spent.bits.mean())
    found = f"{parts}; bits per pixel that are drawn: mean {mean:.3f}, most {float(spent.bits.max()):.3f}"
    filenames.tell(output, f"bytes: {found}")
    return DONE


def heated(bits: NDArray[np.float32], most: float) -> Image.Image:
    """Bits (H, W) as colours: HEAT from 0 to `most`."""
    import numpy as np
    from PIL import Image

    steps = np.linspace(0, 255, len(HEAT))
    table = np.stack([np.interp(np.arange(256), steps, band) for band in zip(*HEAT)], -1)
    level = np.rint(255 * np.clip(bits / most if most else bits, 0, 1)).astype(np.uint8)
    return Image.fromarray(np.rint(table).astype(np.uint8)[level])
