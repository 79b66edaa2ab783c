"""Pictures of the guide, a region, a file that is cut, styles: python bench/guide_pictures.py [--out docs/img]

A photograph of an installed package (scikit-image). The region is its upper middle; beside it a plain file of as many
bytes. The progressive file is cut at four places. Styles: the original, the default synthesis, half of each, the
perceptual one.
"""

import argparse
import pathlib

import numpy as np
from PIL import Image, ImageDraw

from pillow_lic.cli.demo import installed_photograph

SIDE = 512  # of the photograph, at most
BOX = (128, 0, 320, 256)  # left, top, right, bottom of the region
QUALITY, BACKGROUND = 40, -24
CUT_QUALITY, SHARES = 50, (1.0, 0.6, 0.3, 0.1)
STYLE_QUALITY, STYLES = 10, ("default", "perceptual:0.5", "perceptual")
GAP, BORDER = 8, (255, 220, 0)
WEBP = {"format": "WEBP", "quality": 82, "method": 6}


def photograph():
    """(H, W, 3) uint8."""
    path = installed_photograph()
    if path is None:
        msg = "no photograph is installed: pip install scikit-image"
        raise SystemExit(msg)
    with Image.open(path) as image:
        found = image.convert("RGB")
    found.thumbnail((SIDE, SIDE))
    return np.asarray(found)


def beside(pictures):
    """In one row."""
    width, height = sum(p.width for p in pictures) + GAP * (len(pictures) - 1), max(p.height for p in pictures)
    sheet, left = Image.new("RGB", (width, height), "white"), 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width + GAP
    return sheet


def region(array, out):
    """A file with a region and a plain one of as many bytes."""
    import pillow_lic

    data = pillow_lic.encode(array, quality=QUALITY, roi=BOX, background=BACKGROUND)
    plain = pillow_lic.encode(array, target_size=len(data))
    shown = [Image.fromarray(pillow_lic.decode(one)) for one in (data, plain)]
    ImageDraw.Draw(shown[0]).rectangle((BOX[0], BOX[1], BOX[2] - 1, BOX[3] - 1), outline=BORDER)
    beside(shown).save(out / "region.webp", **WEBP)
    print(f"region: {len(data)} bytes, plain: {len(plain)}")


def cut_file(array, out):
    """One file, cut at four places."""
    import pillow_lic
    from pillow_lic.container.cut import cut

    whole = pillow_lic.encode(array, quality=CUT_QUALITY, progressive=True)
    parts = [cut(whole, size=int(share * len(whole))) for share in SHARES]
    half = (BOX[0], BOX[1], BOX[0] + 232, BOX[1] + 300)
    beside([Image.fromarray(pillow_lic.decode(part)).crop(half) for part in parts]).save(out / "cut.webp", **WEBP)
    print("cut:", ", ".join(f"{len(part)} bytes" for part in parts))


def styles(array, out):
    """One file in each style, beside the original."""
    import pillow_lic

    data = pillow_lic.encode(array, quality=STYLE_QUALITY)
    part = (BOX[0], BOX[1], BOX[0] + 232, BOX[1] + 300)
    shown = [array, *(pillow_lic.decode(data, style=style) for style in STYLES)]
    beside([Image.fromarray(one).crop(part) for one in shown]).save(out / "styles.webp", **WEBP)
    print(f"styles: {len(data)} bytes")


def main():
    """All."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = pathlib.Path(__file__).parent.parent
    parser.add_argument("--out", type=pathlib.Path, default=root / "docs" / "img")
    chosen = parser.parse_args()
    region(photograph(), chosen.out)
    cut_file(photograph(), chosen.out)
    styles(photograph(), chosen.out)


if __name__ == "__main__":
    main()
