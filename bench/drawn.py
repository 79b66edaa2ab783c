"""Sixty pictures that are no photographs, drawn here: pages, interfaces, plots, codes, pixel art, dithers, halftones,
charts, stripes, gradients, test patterns, logos with alpha. uint8 (H, W, 3), logos (H, W, 4).

    python bench/drawn.py FOLDER        writes them as PNG

Imports numpy and Pillow.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WORDS = [
    "the",
    "of",
    "and",
    "image",
    "to",
    "in",
    "is",
    "codec",
    "that",
    "for",
    "a",
    "latent",
    "with",
    "as",
    "was",
    "on",
    "be",
    "at",
    "by",
    "this",
    "file",
    "had",
    "not",
    "are",
    "but",
    "from",
    "or",
    "have",
    "bits",
    "they",
    "which",
    "one",
    "you",
    "were",
    "her",
    "all",
    "she",
    "there",
    "would",
    "their",
    "we",
    "him",
    "been",
    "has",
    "when",
    "who",
    "will",
    "more",
    "no",
    "if",
    "out",
    "so",
    "said",
]
SCALE = 4  # shapes are drawn that much larger and scaled down, for smooth edges


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _sentence(rng: np.random.Generator, words: int) -> str:
    return " ".join(rng.choice(WORDS, words)).capitalize() + "."


# ---- Text and interfaces ------------------------------------------------------------------------------------------


def page(size: int, ink: tuple[int, ...], paper: tuple[int, ...], seed: int, columns: int = 1) -> Image.Image:
    """Lines of text, a title over them."""
    rng, image = np.random.default_rng(seed), Image.new("RGB", (480, 400), paper)
    draw = ImageDraw.Draw(image)
    draw.text((16, 10), _sentence(rng, 4), ink, _font(size + 8))
    width = (480 - 32) // columns
    for column in range(columns):
        for y in range(20 + size + 12, 400 - size, int(size * 1.35)):
            line = _sentence(rng, 20)
            while draw.textlength(line, _font(size)) > width - 12:
                line = line[:-2]
            draw.text((16 + column * width, y), line, ink, _font(size))
    return image


def interface(seed: int, dark: bool = False) -> Image.Image:
    """A window with a menu, a list, buttons and a panel."""
    rng = np.random.default_rng(seed)
    back, bar, ink = (
        ((32, 33, 36), (50, 52, 58), (220, 220, 225)) if dark else ((246, 247, 249), (225, 228, 233), (30, 30, 35))
    )
    accent = tuple(int(v) for v in rng.integers(40, 220, 3))
    image = Image.new("RGB", (512, 384), back)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 511, 27), bar)
    for n, name in enumerate(("File", "Edit", "View", "Tools", "Help")):
        draw.text((12 + 56 * n, 6), name, ink, _font(13))
    draw.rectangle((0, 28, 120, 383), bar)
    for n in range(11):
        y = 38 + 30 * n
        if n == seed % 11:
            draw.rounded_rectangle((6, y - 5, 114, y + 19), 5, accent)
        draw.ellipse((12, y, 24, y + 12), accent)
        draw.text((32, y - 1), str(rng.choice(WORDS)).capitalize(), ink, _font(12))
    for n in range(3):
        x = 136 + 124 * n
        draw.rounded_rectangle((x, 44, x + 112, 74), 6, outline=accent, width=2)
        draw.text((x + 14, 51), _sentence(rng, 2), ink, _font(12))
    for row in range(12):
        y = 92 + 23 * row
        draw.line((136, y + 18, 500, y + 18), bar)
        draw.text((140, y), _sentence(rng, 5)[:34], ink, _font(12))
        draw.text((440, y), f"{rng.integers(1, 9999):>5}", ink, _font(12))
    return image


# ---- Plots and charts ---------------------------------------------------------------------------------------------


def plot(seed: int, lines: int) -> Image.Image:
    """Curves over a grid, smooth edges, with labels."""
    rng, image = np.random.default_rng(seed), Image.new("RGB", (420 * SCALE, 320 * SCALE), "white")
    draw = ImageDraw.Draw(image)
    for n in range(7):
        y = (20 + 45 * n) * SCALE
        draw.line((40 * SCALE, y, 410 * SCALE, y), (215, 215, 215), SCALE)
    for _ in range(lines):
        a, b, c, d = rng.uniform(0.5, 3, 4)
        x = np.linspace(0, 6, 300)
        y = 155 + 60 * np.sin(a * x + c) + 45 * np.cos(b * x * 1.7 + d)
        points = [(float(40 + 61 * u) * SCALE, float(v) * SCALE) for u, v in zip(x, y)]
        draw.line(points, tuple(int(v) for v in rng.integers(0, 200, 3)), 2 * SCALE)
    draw.rectangle((40 * SCALE, 20 * SCALE, 410 * SCALE, 290 * SCALE), outline="black", width=SCALE)
    image = image.resize((420, 320), Image.Resampling.BOX)
    draw = ImageDraw.Draw(image)
    for n in range(7):
        draw.text((8, 14 + 45 * n), f"{(6 - n) / 2:.1f}", "black", _font(12))
        draw.text((34 + 61 * n, 296), str(n), "black", _font(12))
    return image


def chart(seed: int, kind: str) -> Image.Image:
    """Bars or a pie, bars with a gradient."""
    rng, image = np.random.default_rng(seed), Image.new("RGB", (400 * SCALE, 300 * SCALE), (252, 252, 250))
    draw = ImageDraw.Draw(image)
    colours = [tuple(int(v) for v in rng.integers(30, 230, 3)) for _ in range(8)]
    if kind == "pie":
        ends = np.concatenate([[0], np.cumsum(rng.dirichlet(np.ones(7)))]) * 360
        for n in range(7):
            box = (60 * SCALE, 20 * SCALE, 320 * SCALE, 280 * SCALE)
            draw.pieslice(box, float(ends[n]), float(ends[n + 1]), colours[n], "white", 2 * SCALE)
    for n in range(8 if kind != "pie" else 0):
        height, left = int(rng.uniform(40, 240)), 24 + 46 * n
        steps = height if kind == "gradient" else 1
        for step in range(steps):
            shade = tuple(int(v * (1 - 0.5 * step / steps)) for v in colours[n])
            top = 280 - height + step * height // steps
            draw.rectangle((left * SCALE, top * SCALE, (left + 32) * SCALE, 280 * SCALE), shade)
    return image.resize((400, 300), Image.Resampling.BOX)


# ---- Codes, pixel art ---------------------------------------------------------------------------------------------


def code(modules: int, scale: int, seed: int) -> Image.Image:
    """What a QR code looks like: random modules and three marks in a quiet zone."""
    grid = np.random.default_rng(seed).integers(0, 2, (modules, modules))
    mark = np.pad(np.pad(np.pad(np.ones((3, 3), int), 1), 1, constant_values=1), 1)
    for y, x in ((0, 0), (0, modules - 8), (modules - 8, 0)):
        ends = slice(1 if y == 0 else 0, 9 if y == 0 else 8), slice(1 if x == 0 else 0, 9 if x == 0 else 8)
        grid[y : y + 8, x : x + 8] = mark[ends]
    grid = np.pad(grid, 4).repeat(scale, 0).repeat(scale, 1)
    return Image.fromarray((255 * (1 - grid)).astype(np.uint8)).convert("RGB")


def sprite(seed: int, side: int, scale: int, colours: int) -> Image.Image:
    """Mirrored pixels of a small palette, enlarged."""
    rng = np.random.default_rng(seed)
    palette = rng.integers(0, 256, (colours, 3)).astype(np.uint8)
    half = rng.integers(0, colours, (side, side // 2))
    half = np.where(rng.random(half.shape) < 0.5, 0, half)
    return Image.fromarray(palette[np.hstack([half, half[:, ::-1]])].repeat(scale, 0).repeat(scale, 1))


# ---- Tones --------------------------------------------------------------------------------------------------------


def tones(seed: int, height: int = 256, width: int = 320) -> np.ndarray:
    """A smooth picture with edges, uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 64.0
    planes = []
    for _ in range(3):
        a, b, c, d = rng.uniform(0.3, 1.6, 4)
        planes.append(
            128 + 70 * np.sin(a * y + c + x) + 50 * np.cos(b * x + d - 0.4 * y) + 25 * (((x + a * y) % 2) < 0.8)
        )
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def dithered(seed: int, kind: str) -> Image.Image:
    """Error diffusion to black and white or to sixteen colours, or an ordered dither."""
    image = Image.fromarray(tones(seed))
    if kind == "diffused":
        return image.convert("1").convert("RGB")
    if kind == "colours":
        return image.quantize(16, dither=Image.Dither.FLOYDSTEINBERG, palette=image.quantize(16)).convert("RGB")
    bayer = np.array([[0]])
    for _ in range(3):
        bayer = np.block([[4 * bayer, 4 * bayer + 2], [4 * bayer + 3, 4 * bayer + 1]])
    array = np.asarray(image) if kind == "ordered-colour" else np.asarray(image.convert("L"))[:, :, None].repeat(3, 2)
    threshold = np.tile((bayer + 0.5) * 4, (32, 40))[:, :, None]
    return Image.fromarray(np.where(array > threshold, 255, 0).astype(np.uint8))


def halftone(seed: int, period: float, angle: float, smooth: bool) -> Image.Image:
    """A screen of dots whose size is the tone."""
    y, x = np.mgrid[0:256, 0:320] * (2 * np.pi / period)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    screen = 127.5 + 63 * (np.cos(u) + np.cos(v))
    tone = tones(seed)[:, :, :1].astype(float)
    dots = (tone - screen[:, :, None]) * 2 + 128 if smooth else np.where(tone > screen[:, :, None], 255.0, 0.0)
    return Image.fromarray(np.clip(dots, 0, 255).astype(np.uint8).repeat(3, 2))


def gradient(kind: str) -> Image.Image:
    """Smooth ramps."""
    y, x = np.mgrid[0:256, 0:320]
    if kind == "linear":
        planes = [x * 255 / 319, 255 - x * 200 / 319, 60 + 0 * x]
    elif kind == "radial":
        r = np.hypot(x - 160, y - 128)
        planes = [255 - r, 240 - 0.8 * r, 128 + 0.4 * r]
    elif kind == "conic":
        a = (np.arctan2(y - 128, x - 160) / np.pi + 1) * 127.5
        planes = [a, 255 - a, 128 + 0 * a]
    else:
        planes = [x * 255 / 319, y * 255 / 255, (x + y) * 255 / 574]
    return Image.fromarray(np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8))


# ---- Patterns -----------------------------------------------------------------------------------------------------


def stripes(width: int, direction: str, side: int = 256) -> np.ndarray:
    """Black and white stripes of a width in pixels, uint8 (H, W, 3)."""
    y, x = np.mgrid[0:side, 0:side]
    along = {"across": y, "down": x, "rising": x + y, "falling": x - y}[direction]
    return np.where(along // width % 2, 255, 0).astype(np.uint8)[:, :, None].repeat(3, 2)


def checkers(width: int, side: int = 256) -> np.ndarray:
    """A board of squares of a width in pixels."""
    y, x = np.mgrid[0:side, 0:side] // width
    return np.where((x + y) % 2, 255, 0).astype(np.uint8)[:, :, None].repeat(3, 2)


def zone_plate(side: int = 256) -> np.ndarray:
    """Rings that reach the finest pitch at the border."""
    y, x = np.mgrid[0:side, 0:side] - side / 2
    wave = 127.5 + 127.5 * np.cos((x * x + y * y) * np.pi / side)
    return wave.astype(np.uint8)[:, :, None].repeat(3, 2)


def logo(seed: int) -> Image.Image:
    """A mark with smooth edges and transparent surroundings, which hold noise."""
    rng, image = np.random.default_rng(seed), Image.new("RGBA", (200 * SCALE, 200 * SCALE), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    one, two = ((*(int(v) for v in rng.integers(30, 220, 3)), 255) for _ in range(2))
    draw.ellipse((20 * SCALE, 20 * SCALE, 180 * SCALE, 180 * SCALE), one)
    draw.polygon([(float(x) * SCALE, float(y) * SCALE) for x, y in rng.uniform(50, 150, (5, 2))], two)
    draw.arc((40 * SCALE, 40 * SCALE, 160 * SCALE, 160 * SCALE), 20 * seed, 200 + 20 * seed, (255,) * 4, 8 * SCALE)
    array = np.array(image.resize((200, 200), Image.Resampling.BOX))
    noise = rng.integers(0, 256, array.shape).astype(np.uint8)
    array[..., :3] = np.where(array[..., 3:] == 0, noise[..., :3] if seed % 2 else 0, array[..., :3])
    return Image.fromarray(array)


# ---- All of them --------------------------------------------------------------------------------------------------


def pictures() -> dict[str, np.ndarray]:
    """Name to picture."""
    dithers = enumerate(("diffused", "colours", "ordered", "ordered-colour"))
    drawn: dict[str, Image.Image | np.ndarray] = {
        "page-black": page(14, (0, 0, 0), (255, 255, 255), 1),
        "page-small": page(9, (0, 0, 0), (255, 255, 255), 2),
        "page-columns": page(11, (20, 20, 20), (255, 255, 255), 3, columns=2),
        "page-dark": page(13, (220, 220, 210), (30, 30, 34), 4),
        "page-sepia": page(16, (70, 50, 30), (245, 236, 215), 5),
        "page-large": page(26, (0, 0, 90), (255, 255, 255), 6),
        **{f"interface-{n}": interface(n, dark=n % 2 == 1) for n in range(5)},
        **{f"plot-{n}": plot(n, 1 + 2 * n) for n in range(5)},
        "code-4": code(33, 4, 1),
        "code-8": code(25, 8, 2),
        "code-3": code(61, 3, 3),
        **{f"sprite-{n}": sprite(n, 16 + 8 * n, 16 - 3 * n, 4 + 6 * n) for n in range(4)},
        **{f"dither-{kind}": dithered(n, kind) for n, kind in dithers},
        "halftone-coarse": halftone(1, 12, 0.5, True),
        "halftone-fine": halftone(2, 5, 0.3, False),
        "halftone-smooth": halftone(3, 7, 0.8, True),
        **{f"chart-{n}": chart(n, kind) for n, kind in enumerate(("bars", "pie", "gradient", "pie"))},
        **{f"stripes-{n}-{d}": stripes(n, d) for n in range(1, 5) for d in ("across", "down", "rising", "falling")},
        **{f"gradient-{kind}": gradient(kind) for kind in ("linear", "radial", "conic", "square")},
        "checkers-1": checkers(1),
        "checkers-8": checkers(8),
        "zone-plate": zone_plate(),
        **{f"logo-{n}": logo(n) for n in range(3)},
    }
    return {name: np.asarray(picture) for name, picture in drawn.items()}


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures().items():
        Image.fromarray(picture).save(folder / f"{name}.png")


if __name__ == "__main__":
    main()
