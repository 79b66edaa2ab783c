"""A page of crops at equal bytes that a person can judge: original, JPEG, WebP, AVIF, HEIC and LIC.

    python bench/crops.py IMAGE [IMAGE ...] [--bpp 0.25] [--codecs jpeg,webp,avif,heic,lic] [--side 192]
        [--out crops.png]

Every codec's quality is searched until its file of the whole image is as near as it gets to the same size; captions
state the bytes and the SSIMULACRA2 of the whole image. The crop is the window with the most detail, or --at X,Y of its
corner.
"""

import argparse
import pathlib

import metrics
import numpy as np
import peers
from PIL import Image, ImageDraw, ImageFont

GAP, CAPTION = 8, 40


def busiest(image, side):
    """Corner of the window with the largest mean gradient, on a grid of half windows."""
    grey = np.asarray(image.convert("L"), float)
    detail = np.abs(np.diff(grey, axis=0))[:, :-1] + np.abs(np.diff(grey, axis=1))[:-1]
    corners = [
        (x, y)
        for y in range(0, max(1, image.height - side + 1), side // 2)
        for x in range(0, max(1, image.width - side + 1), side // 2)
    ]
    return max(corners, key=lambda c: detail[c[1] : c[1] + side, c[0] : c[0] + side].mean())


def versions(image, codecs, bpp):
    """[(caption, image)] of the original and of each codec."""
    raw = 3 * image.width * image.height
    result = [(f"original\n{raw} bytes", image)]
    for codec in codecs:
        quality, data = codec.fit(image, bpp * image.width * image.height / 8)
        decoded = codec.decode(data)
        if decoded.size != image.size:
            msg = f"{codec.name}: {decoded.size} came back"
            raise SystemExit(msg)
        value = metrics.ssimulacra2(np.asarray(image), np.asarray(decoded))
        print(f"{codec.label:30} quality {quality:<6} {len(data):7} bytes  SSIMULACRA2 {value:.1f}")
        label = codec.label if peers.ours(codec.name) else codec.label.split(",")[0]
        result.append((f"{label}\n{len(data)} bytes, score {value:.0f}", decoded))
    return result


def draw_row(page, top, row, corner, side, zoom):
    """One image's crops with their captions."""
    x, y = corner
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size=14)
    for column, (caption, image) in enumerate(row):
        left = GAP + column * (side * zoom + GAP)
        crop = image.crop((x, y, x + side, y + side)).resize((side * zoom, side * zoom), Image.Resampling.NEAREST)
        page.paste(crop, (left, top))
        pen.multiline_text((left, top + side * zoom + 3), caption, fill="black", font=font)


def page_of(rows, corners, side, zoom):
    """The page."""
    width = GAP + len(rows[0]) * (side * zoom + GAP)
    height = GAP + len(rows) * (side * zoom + CAPTION + GAP)
    page = Image.new("RGB", (width, height), "white")
    for number, (row, corner) in enumerate(zip(rows, corners)):
        draw_row(page, GAP + number * (side * zoom + CAPTION + GAP), row, corner, side, zoom)
    return page


def options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", help="image files")
    parser.add_argument("--bpp", type=float, default=0.25, help="size of every file, bits per pixel")
    parser.add_argument("--codecs", default="jpeg,webp,avif,heic,lic")
    parser.add_argument("--side", type=int, default=192, help="side of the crops, pixels")
    parser.add_argument("--zoom", type=int, default=1)
    parser.add_argument("--at", help="X,Y of the crops' upper left corner")
    parser.add_argument("--out", default="crops.png", type=pathlib.Path)
    return parser.parse_args()


def main():
    """Search, decode, draw."""
    chosen = options()
    codecs = [peers.find(name) for name in chosen.codecs.split(",")]
    rows, corners = [], []
    for path in chosen.images:
        print(pathlib.Path(path).name)
        with Image.open(path) as source:
            image = source.convert("RGB")
        corners.append(tuple(map(int, chosen.at.split(","))) if chosen.at else busiest(image, chosen.side))
        rows.append(versions(image, codecs, chosen.bpp))
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    page_of(rows, corners, chosen.side, chosen.zoom).save(chosen.out, optimize=True)
    print(chosen.out)


if __name__ == "__main__":
    main()
