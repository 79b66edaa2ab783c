"""Fuzzes the container reader: python fuzz_format.py [SECONDS] [SEED]. Uses atheris if it is there, else a loop of
mutations.

Invariant: `container.read` raises a LicError, or what it read is written again and reads as the same content. Reading
with truncated=True, reading the head and verifying raise LicErrors only, and never disagree with it. What follows the
end changes nothing.
"""

from __future__ import annotations

import random
import struct
import sys
import time
import zlib
from dataclasses import replace

from PIL import Image

from pillow_lic import container
from pillow_lic.container.cut import cut
from pillow_lic.errors import LicError

SECONDS = 60
PLANES_MAX = 10_000  # pixels of exact pictures that are unpacked


def check(data: bytes) -> bool:
    """Whether the file was accepted. Fails by AssertionError or by whatever else the reader lets through."""
    try:
        head = container.read_head(data)
    except LicError:
        head = None
    try:
        partial = container.read(data, truncated=True)
    except LicError:
        partial = None
    try:
        chunks = container.read(data)
    except LicError:
        return False
    assert head is not None
    assert head.complete
    assert head.header == chunks.header
    assert partial == chunks
    assert len(container.verify(data)) == (head.trailing > 0)
    assert head.size + head.trailing == len(data)
    own = data[: head.size]
    assert container.read(own) == chunks
    assert container.read(own + data) == chunks
    parts = {"icc": chunks.icc, "exif": chunks.exif, "xmp": chunks.xmp, "map": chunks.map, "preview": head.preview}
    parts |= {"overlay": chunks.overlay, "style": chunks.style}
    parts |= {"planes": chunks.planes, "cicp": chunks.cicp, "values": chunks.values}
    again = container.write(chunks.header, [tile.stages for tile in chunks.tiles], chunks.alpha, **parts)
    assert container.read(again) == chunks
    assert container.read_head(again).preview == head.preview
    check_cut(data, chunks)
    check_planes(chunks)
    return True


def check_planes(chunks: container.Container) -> None:
    """An exact picture of more than 8 bits has samples of so many bits, or is refused by name."""
    header = chunks.header
    if chunks.planes is None or header.width * header.height > PLANES_MAX:
        return
    from pillow_lic.codec import numbers, planes

    try:
        samples = (numbers if header.whole else planes).unpack(chunks.planes, header)
    except LicError:
        return
    assert samples.shape[:2] == (header.height, header.width)
    assert samples.max() <= header.most


def check_cut(data: bytes, chunks: container.Container) -> None:
    """Of each number of stages and of a size: a file of the same stages as far as they go."""
    for stages in range(1, chunks.header.stage_count):
        part = container.read(cut(data, stages=stages))
        assert part.header.cut
        assert [tile.stages[:stages] for tile in part.tiles] == [tile.stages[:stages] for tile in chunks.tiles]
        assert not any(any(tile.stages[stages:]) for tile in part.tiles)
    for size in (len(data) // 2, len(data) - 9):
        try:
            shorter = cut(data, size=size)
        except LicError:
            continue
        assert len(shorter) <= size
        container.read(shorter)


def seeds() -> list[bytes]:
    """Small files that hold every chunk."""
    files = []
    for layout, alpha in (("L", None), ("RGB", None), ("LA", b"\0\x80"), ("RGBA", b"\1" + _png(100, 70))):
        header = container.Header(100, 70, layout, 1, b"8 bytes.", 7550, 1)
        tiles = [[bytes([n]) * (16 + n)] for n in range(4)]
        files.append(container.write(header, tiles, alpha, icc=b"i" * 60, exif=b"MM\0*", xmp=b"<x/>"))
        staged = replace(header, thresholds=b"\x20\x07", cut=layout == "RGB")
        stages = [[*one, b"ab" * n, b"cd" * (4 - n)] for n, one in enumerate(tiles)]
        preview = container.Preview("JPEG", 20, 14, b"\xff\xd8")
        files.append(container.write(staged, stages, alpha, map=b"\0\xe0\x20\1", preview=preview, style=(1, 178)))
    return files + overlays() + deep() + others()


def overlays() -> list[bytes]:
    """Rectangles of every method, over tiles and alone, and the colour of invisible pixels."""
    from pillow_lic.codec import overlay

    image = Image.radial_gradient("L").resize((30, 20))
    header, tiles = container.Header(100, 70, "RGB", 1, b"8 bytes.", 7550, 1), [[bytes(16)]] * 4
    one = overlay.pack(image.convert("RGB"), 3, 4)[0]
    rectangles = [
        one,
        one._replace(left=60, method=1, data=overlay.as_png(image.convert("RGB"))),
        (0, 0, 9, 8, 0, b"rgb"),
    ]
    files = [container.write(header, tiles, overlay=[container.Rectangle(*one) for one in rectangles])]
    header = replace(header, layout="LA")
    files.append(container.write(header, tiles, b"\2\x80" + _png(100, 70)))
    for mode in ("L", "LA", "RGB", "RGBA"):
        alone = container.Header.of_overlay(30, 20, mode)
        files.append(container.write(alone, [], overlay=overlay.pack(image.convert(mode), 0, 0), xmp=b"<x/>"))
    return files


def deep() -> list[bytes]:
    """More than 8 bits: under a model with what samples stand for, colour coding points and a style, and exact
    pictures, plain and predicted.
    """
    import numpy as np

    from pillow_lic.codec import planes

    files, tiles = [], [[bytes(16)]] * 4
    ranges = container.Values(container.INTEGERS, -5, 60000), container.Values(container.FLOATS, -0.5, 1e9)
    for layout, depth, values in (("L", 9, ranges[0]), ("RGB", 16, ranges[1]), ("RGBA", 12, None)):
        header = container.Header(100, 70, layout, 1, b"8 bytes.", 7550, 1, depth=depth)
        alpha = b"\1" + _png(100, 70, 16) if header.has_alpha else None
        beside = {"values": values, "cicp": container.Cicp(9, 16, 0, 1), "style": (1, 178)}
        files.append(container.write(header, tiles, alpha, **beside))
    ramp = np.add.outer(900 * np.arange(7), np.arange(9)).astype(np.uint16)
    noise = np.random.default_rng(1).integers(0, 1 << 12, (5, 4, 4), np.uint16)
    for samples, depth, values in ((ramp[:, :, None], 16, ranges[0]), (noise, 12, None), (noise[:, :, :2], 14, None)):
        header = container.Header.of_overlay(
            *samples.shape[1::-1], {1: "L", 2: "LA", 4: "RGBA"}[samples.shape[2]], depth
        )
        files.append(container.write(header, [], planes=planes.pack(samples, depth, 0), values=values))
    return files


def others() -> list[bytes]:
    """Exact pictures of other colour models, and of 32 bits: as they are, predicted, and from tables of both sizes."""
    import numpy as np

    from pillow_lic.codec import numbers, overlay

    files, image = [], Image.radial_gradient("L").resize((12, 9))
    for number, mode in enumerate(container.header.MODELS.values()):
        header = container.Header.of_overlay(12, 9, mode)
        native = overlay.MODES[header.bands]
        files.append(container.write(header, [], overlay=overlay.pack(image.convert(native), 0, 0, number)))
    noise = np.random.default_rng(2).integers(0, 1 << 32, (4, 5, 3), np.uint32)
    ramp = np.add.outer(70_000 * np.arange(40), np.arange(9)).astype(np.uint32)[:, :, None]
    values = container.Values(container.FLOATS, -0.5, 2.0), container.Values(container.INTEGERS, -9, 1 << 30)
    for samples, kind in ((noise, 0), (ramp, 1)):
        header = container.Header.of_overlay(*samples.shape[1::-1], {1: "L", 3: "RGB"}[samples.shape[2]], 32)
        ways = numbers.ways(samples, values[kind].kind, 0)
        files += [container.write(header, [], planes=way, values=values[kind]) for way in ways]
    return files


def _png(width: int, height: int, bits: int = 8) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)


def with_right_checksums(data: bytes) -> bytes:
    """Repairs checksums as far as the chunks can be followed, so that mutations reach what lies behind them."""
    out, start = bytearray(data), 6
    while start < len(out):
        length, shift, offset = 0, 0, start + 1
        while offset < len(out) and shift < 35:
            length |= (out[offset] & 0x7F) << shift
            shift, offset = shift + 7, offset + 1
            if out[offset - 1] < 0x80:
                break
        end = offset + length
        if end + 4 > len(out):
            break
        out[end : end + 4] = struct.pack("<I", zlib.crc32(out[0 if start == 6 else start : end]))
        start = end + 4
    return bytes(out)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to four random edits; three times in four with the checksums made right again."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        position = rng.randrange(len(out) + 1)
        edit = rng.randrange(6)
        if edit == 0 and position < len(out):
            out[position] ^= 1 << rng.randrange(8)
        elif edit == 1 and position < len(out):
            out[position] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, *b"HxcepnvsmATOGPz", rng.randrange(256)))
        elif edit == 2:
            out[position:position] = rng.randbytes(rng.randint(1, 8))
        elif edit == 3:
            del out[position : position + rng.randint(1, 8)]
        elif edit == 4:
            other = rng.randrange(len(out) + 1)
            out[position:position] = out[other : other + rng.randint(1, 40)]
        else:
            del out[rng.randint(6, max(6, len(out))) :]
    return with_right_checksums(out) if rng.random() < 0.75 else bytes(out)


def loop(seconds: float, seed: int, least: int = 0) -> tuple[int, int]:
    """(files tried, files accepted) in the time given, or until `least` are tried. Accepted files join the seeds."""
    rng, corpus = random.Random(seed), seeds()
    own = len(corpus)
    tried = accepted = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end or tried < least:
        data = mutated(rng.choice(corpus), rng)
        try:
            accepts = check(data)
        except BaseException:
            print(f"after {tried} files: {data.hex()}", file=sys.stderr)
            raise
        tried, accepted = tried + 1, accepted + accepts
        if accepts and len(data) < 2000:
            corpus.append(data)
            corpus = corpus[:own] + corpus[own:][-500:]
    return tried, accepted


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    assert all(check(data) for data in seeds())
    try:
        import atheris
    except ImportError:
        seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
        tried, accepted = loop(seconds, seed)
        print(f"fuzz_format: {tried} files in {seconds:g} s, {accepted} accepted, none against the invariant")
        return
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-max_total_time={int(seconds)}"], lambda data: check(with_right_checksums(data)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
