"""Placeholders beside BlurHash and ThumbHash: python bench/placeholders.py FOLDER [--side 64] [--limit N]

Each picture's middle square is reduced to --side pixels. Bytes are of the text that BlurHash is, of the bytes that
ThumbHash is; ours at 28 bytes, and at what each of them takes. PSNR of RGB over all pictures' mean squared error and as
the mean of dB, and SSIMULACRA2. `lbg` is a vector quantiser of old: codebooks by Linde, Buzo and Gray of the
coefficients of 8 x 8 DCTs, luma 256 words and colour 64, trained on --train, for the same picture reduced until as many
blocks fit into 28 bytes.

Needs the packages blurhash and thumbhash (pip install blurhash thumbhash). ThumbHash is decoded here: the package's
decoder (0.1.2) mixes rows up.
"""

import argparse
import contextlib
import io
import pathlib
import sys

import blurhash
import numpy as np
import thumbhash
from PIL import Image
from rd import write

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from pillow_lic import metrics
from pillow_lic.placeholders import BYTES, placeholder, placeholder_image
from train.data import load_split

OUT = pathlib.Path(__file__).parent / "results" / "placeholders.csv"


def squares(folder, side, limit=None):
    """The middle squares of a folder's pictures, uint8 (side, side, 3)."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"))
    for path in paths[:limit]:
        with Image.open(path) as source:
            yield square(source.convert("RGB"), side)


def square(im, side):
    edge = min(im.size)
    left, top = (im.width - edge) // 2, (im.height - edge) // 2
    return np.asarray(im.resize((side, side), Image.Resampling.LANCZOS, box=(left, top, left + edge, top + edge)))


# ---- The others ---------------------------------------------------------------------------------------------------


def of_blurhash(pixels, x=4, y=3):
    """BlurHash of 4 x 3 components: 28 characters."""
    text = blurhash.encode(pixels.astype(float).tolist(), x, y)
    side = len(pixels)
    return np.array(blurhash.decode(text, side, side)).clip(0, 255).round().astype(np.uint8), len(text)


def of_thumbhash(pixels):
    side = len(pixels)
    rgba = np.dstack([pixels, np.full((side, side), 255, np.uint8)]).reshape(-1).tolist()
    with contextlib.redirect_stdout(io.StringIO()):
        data = thumbhash.rgba_to_thumb_hash(side, side, rgba)
    return thumbhash_decoded(data, side), len(data)


def thumbhash_decoded(data, side):
    """The published decoder (Evan Wallace, 2023) for opaque squares, at a side."""
    head, more = data[0] | data[1] << 8 | data[2] << 16, data[3] | data[4] << 8
    nibbles = [value >> shift & 15 for value in data[5:] for shift in (0, 4)]
    wave = np.cos(np.pi / side * (np.arange(side) + 0.5)[None] * np.arange(7)[:, None])

    def channel(mean, scale, count):
        found = np.full((side, side), mean)
        for cy in range(count):
            for cx in range(0 if cy else 1, count - cy):
                found += 2 * (nibbles.pop(0) / 7.5 - 1) * scale * wave[cy][:, None] * wave[cx][None]
        return found

    luma = channel((head & 63) / 63, (head >> 18 & 31) / 31, 7)
    p = channel((head >> 6 & 63) / 31.5 - 1, (more >> 3 & 63) / 63 * 1.25, 3)
    q = channel((head >> 12 & 63) / 31.5 - 1, (more >> 9 & 63) / 63 * 1.25, 3)
    blue = luma - 2 / 3 * p
    red = (3 * luma - blue + q) / 2
    return (np.dstack([red, red - q, blue]).clip(0, 1) * 255).round().astype(np.uint8)


class Lbg:
    """Vector quantisation of blocks of 8 x 8 DCTs: of luma 4 x 4 blocks, of each colour 2 x 2, a byte and six bits a
    word: 16 + 6 = 22 bytes, and the three means at 2 bytes each.
    """

    def __init__(self, pictures):
        parts = [self.planes(picture) for picture in pictures]
        self.luma = lbg(np.concatenate([blocks_of(luma) for luma, *_ in parts]), 256)
        self.colour = lbg(np.concatenate([blocks_of(one) for _, *colours in parts for one in colours]), 64)

    @staticmethod
    def planes(pixels):
        ycc = np.asarray(Image.fromarray(pixels).convert("YCbCr")).astype(float)
        small = [np.asarray(Image.fromarray(ycc[..., k]).resize((32, 32) if k == 0 else (16, 16), Image.Resampling.BOX))
                 for k in range(3)]  # fmt: skip
        return [one.astype(float) - one.mean() for one in small]

    def coded(self, pixels):
        side = len(pixels)
        ycc = np.asarray(Image.fromarray(pixels).convert("YCbCr")).astype(float)
        means = (ycc.reshape(-1, 3).mean(0) * 257).round() / 257
        shown = []
        for mean, plane, book in zip(means, self.planes(pixels), (self.luma, self.colour, self.colour)):
            vectors = blocks_of(plane)
            near = ((vectors[:, None] - book[None]) ** 2).sum(2).argmin(1)
            small = Image.fromarray(of_blocks(book[near], len(plane)) + mean)
            shown.append(np.asarray(small.resize((side, side), Image.Resampling.BICUBIC)))
        whole = np.dstack(shown).clip(0, 255).round().astype(np.uint8)
        return np.asarray(Image.fromarray(whole, "YCbCr").convert("RGB")), 16 + 6 + 6


def _dct():
    n = np.arange(8)
    basis = np.sqrt(2 / 8) * np.cos(np.pi * (2 * n[None] + 1) * n[:, None] / 16)
    basis[0] /= np.sqrt(2)
    return basis


def blocks_of(plane):
    """(blocks, 64) DCT coefficients."""
    count = len(plane) // 8
    cut = plane.reshape(count, 8, count, 8).transpose(0, 2, 1, 3).reshape(-1, 8, 8)
    return (_dct() @ cut @ _dct().T).reshape(-1, 64)


def of_blocks(vectors, side):
    count = side // 8
    cut = _dct().T @ vectors.reshape(-1, 8, 8) @ _dct()
    return cut.reshape(count, count, 8, 8).transpose(0, 2, 1, 3).reshape(side, side)


def lbg(vectors, words, rounds=12):
    """A codebook (words, K) by splitting (Linde, Buzo and Gray 1980)."""
    book = vectors.mean(0, keepdims=True)
    while len(book) < words:
        book = np.concatenate([book * 1.001 + 0.01, book * 0.999 - 0.01])
        for _ in range(rounds):
            near = (-2 * vectors @ book.T + (book**2).sum(1)).argmin(1)
            sums = np.zeros_like(book)
            np.add.at(sums, near, vectors)
            count = np.bincount(near, minlength=len(book))
            book = np.where(count[:, None] > 0, sums / np.maximum(count, 1)[:, None], book)
    return book


# ---- Beside each other --------------------------------------------------------------------------------------------


def ours(pixels, size=BYTES):
    data = placeholder(Image.fromarray(pixels), size)
    return np.asarray(placeholder_image(data, (len(pixels), len(pixels)))), len(data)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument(
        "--train",
        type=pathlib.Path,
        help="what train.py gets as --data: every fourth training photograph is for lbg's codebooks",
    )
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--limit", type=int)
    chosen = parser.parse_args()
    pictures = list(squares(chosen.folder, chosen.side, chosen.limit))
    codecs = {"pillow-lic": ours, "pillow-lic, 24": lambda one: ours(one, 24)}
    codecs |= {"thumbhash": of_thumbhash, "blurhash": of_blurhash}
    if chosen.train:
        photographs = load_split(chosen.train)[0][::4]
        codecs["lbg"] = Lbg([square(Image.fromarray(one), chosen.side) for one in photographs]).coded
    rows = []
    for name, codec in codecs.items():
        found = [codec(one) for one in pictures]
        psnr = np.mean([metrics.psnr(one, shown) for one, (shown, _) in zip(pictures, found)])
        score = np.mean([metrics.ssimulacra2(one, shown) for one, (shown, _) in zip(pictures, found)])
        size = np.mean([size for _, size in found])
        rows.append({"codec": name, "pictures": len(pictures), "side": chosen.side, "bytes": round(size, 2),
                     "psnr": round(psnr, 3), "ssimulacra2": round(score, 2)})  # fmt: skip
        print(rows[-1], file=sys.stderr)
    write(OUT, list(rows[0]), rows)


if __name__ == "__main__":
    main()
