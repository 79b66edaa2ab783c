"""Add golden files: python tests/support/make_golden.py [--sizes] [--draft]. Writes only what is not there; within a
version of the format a golden is never made again. Where a draft has changed the bytes of all files, --draft writes the
files again: with the integers that they had, to the pixels that they had.

tests/golden/NAME.lic, and NAME.npz with the integers and the pixels that slow_decoder.py makes of it: the encoder's
bytes, the second decoder's meaning of them. tests/golden/errors/CLASS-what.lic: files that must be refused with that
error. tests/golden/encode/sizes.csv: bytes that generated pictures take, a record of the encoder, which may change;
--sizes writes it again.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import slow_container
import slow_decoder
from pictures import picture
from PIL import Image
from shortcuts import written

import pillow_lic
from pillow_lic import _core_test, container
from pillow_lic.codec import encode, overlay
from pillow_lic.container.cut import cut
from pillow_lic.engines.base import Picture, Symbols
from pillow_lic.engines.native import NativeEngine
from pillow_lic.models import choice, registry

GOLDEN = Path(__file__).parents[1] / "golden"
ERRORS = GOLDEN / "errors"
TOY, TRELLIS = Path(pillow_lic.__file__).parent / "models" / "toy", GOLDEN / "models" / "toy-trellis"
SIZES = GOLDEN / "encode" / "sizes.csv"
NATIVE_SIZES = SIZES.with_name("native.csv")
NATIVE = ("toy", "photo-tiny", "photo-low", "photo", "photo-ms-ssim", "photo-visual")


def accepted() -> dict[str, bytes]:
    """Name to file: the layouts, sizes, tiles and metadata that there are."""
    gradient = np.linspace(0, 255, 40 * 50).reshape(40, 50).astype(np.uint8)
    files = {
        "one-pixel": pillow_lic.encode(picture(1, 1), model="toy", screen="off"),
        "rgb-low": pillow_lic.encode(picture(130, 190, seed=1), model="toy", quality=5),
        "rgb-fraction": pillow_lic.encode(picture(70, 90, seed=2), model="toy", quality=62.35),
        "rgb-high": pillow_lic.encode(picture(80, 64, seed=3), model="toy", quality=100),
        "escapes": _with_escapes(),
        "grey": pillow_lic.encode(picture(33, 65, 1, seed=5), model="toy"),
        "grey-alpha": pillow_lic.encode(np.dstack([picture(40, 50, 1, seed=6), gradient]), model="toy", exact=True),
        "opaque": pillow_lic.encode(
            np.dstack([picture(20, 30, seed=7), np.full((20, 30), 255, np.uint8)]), model="toy"
        ),
        "metadata": pillow_lic.encode(
            picture(24, 24, seed=8),
            model="toy",
            icc=b"not a real profile " * 40,
            exif=b"II*\0\x08\0\0\0\0\0\0\0\0\0",
            xmp=b"<x/>",
        ),
    }
    files |= _with_overlays()
    files |= _deep()
    files |= _others()
    encode.TILE_SIDE, whole = 1, encode.TILE_SIDE
    files["tiles"] = pillow_lic.encode(picture(100, 150, seed=9), model="toy", quality=40)
    files["stages"] = _with_stages()
    files["cut"] = cut(files["stages"], size=len(files["stages"]) * 3 // 4)
    trellis = pillow_lic.register_model(TRELLIS)
    files["models/trellis"] = pillow_lic.encode(picture(100, 150, seed=9), model=trellis, quality=70)
    files["models/trellis-stages"] = pillow_lic.encode(
        picture(100, 150, seed=9), model=trellis, quality=70, progressive=True
    )
    encode.TILE_SIDE = whole
    return files


def _with_overlays() -> dict[str, bytes]:
    """Rectangles of every method over tiles, over one another; alone; and invisible pixels."""
    array, scale = picture(70, 100, seed=13), np.linspace(0, 255, 30 * 40).reshape(30, 40).astype(np.uint8)
    chunks = container.read(pillow_lic.encode(array, model="toy", quality=30))
    rgb = Image.fromarray(np.dstack([scale, scale[::-1], scale // 64 * 64]))
    (webp,) = overlay.pack(rgb, 5, 7)
    palette = overlay.as_png(rgb.quantize(4).convert("RGB"))
    rectangles = [
        webp,
        container.Rectangle(50, 33, 40, 30, container.overlay.PNG, palette),
        container.Rectangle(40, 20, 30, 20, container.overlay.CONSTANT, b"\x10\xff\x80"),
    ]
    cut_out = np.dstack([picture(60, 50, seed=14), np.where(picture(60, 50, 1, seed=15) > 120, 255, 0)]).astype(
        np.uint8
    )
    cut_out[cut_out[..., 3] == 0, :3] = (9, 200, 77)
    return {
        "overlay": container.write(chunks.header, [tile.stages for tile in chunks.tiles], overlay=rectangles),
        "lossless-rgba": pillow_lic.encode(np.dstack([array, array[..., 0]]), lossless=True),
        "lossless-grey-alpha": pillow_lic.encode(np.dstack([scale, scale.T.reshape(30, 40)]), lossless=True),
        "lossless-flat": pillow_lic.encode(np.full((300, 200, 3), (0, 255, 0), np.uint8), lossless=True),
        "invisible": pillow_lic.encode(cut_out, model="toy", screen="off"),
    }


def _deep() -> dict[str, bytes]:
    """Of more than 8 bits: lossy and exact, with alpha, and with what samples stand for."""
    rng, y, x = np.random.default_rng(21), *np.mgrid[:37, :53]
    ramp = (np.sin(x / 9) + np.cos(y / 7) + 2) / 4
    grey = (ramp * 4095).astype(np.uint16)
    colour = np.dstack([(np.roll(ramp, 11 * k, 1) * 65000 + rng.integers(0, 300, ramp.shape)) for k in range(3)])
    colour = colour.astype(np.uint16)
    alpha = np.where((x - 25) ** 2 + (y - 18) ** 2 < 200, 65535 - 400 * x, 0).astype(np.uint16)
    cicp = {"cicp": (12, 16, 0, True)}
    return {
        "deep-grey": pillow_lic.encode(grey, model="toy", quality=90),
        "deep-rgb": pillow_lic.encode(colour, model="toy", quality=80, depth=16, **cicp),
        "deep-rgba": pillow_lic.encode(np.dstack([colour, alpha]), model="toy", quality=60),
        "deep-grey-alpha": pillow_lic.encode(np.dstack([grey >> 3, np.full_like(grey, 511)]), model="toy", depth=9),
        "deep-floats": pillow_lic.encode((ramp * 7 - 2).astype(np.float32), model="toy", quality=70),
        "lossless-deep": pillow_lic.encode(colour, lossless=True, **cicp),
        "lossless-deep-steps": pillow_lic.encode((grey >> 9 << 9) * np.uint16(16), lossless=True),
        "lossless-deep-rgba": pillow_lic.encode(np.dstack([colour, alpha]), lossless=True),
        "lossless-deep-integers": pillow_lic.encode(grey.astype(np.int32) * 15 - 30000, lossless=True),
    }


def _others() -> dict[str, bytes]:
    """Exact pictures of another colour model, and of 32 bits in each way of packing."""
    rng, y, x = np.random.default_rng(22), *np.mgrid[:37, :53]
    ramp = np.sin(x / 9) + np.cos(y / 7)
    inks = np.dstack([(np.roll(ramp, 11 * k, 1) * 60 + 120).astype(np.uint8) for k in range(4)])
    levels, buffer = Image.fromarray(inks[:, :, 0]).convert("1"), io.BytesIO()
    noise = rng.normal(0, 1e3, (9, 11, 3)).astype(np.float32)
    noise[0, :4, 0] = np.nan, np.inf, -np.inf, -0.0
    files = {
        "exact-noise": pillow_lic.encode(noise, lossless=True),
        "exact-smooth": pillow_lic.encode((ramp * 1e8).astype(np.int32), lossless=True),
        "exact-table": pillow_lic.encode(np.rint(ramp * 100).astype(np.float32) / np.float32(7), lossless=True),
    }
    for name, image in (("exact-cmyk", Image.fromarray(inks, "CMYK")), ("exact-two-levels", levels)):
        buffer.seek(0)
        image.save(buffer, "LIC", lossless=True)
        files[name] = buffer.getvalue()[: buffer.tell()]
    return files


def _with_escapes() -> bytes:
    """A file whose symbols lie far outside of the tables, up to the ends of the range; its picture means nothing."""
    chunks = container.read(pillow_lic.encode(picture(48, 48, seed=4), model="toy", quality=90))
    tables = registry.by_name("toy").tables
    rng = np.random.default_rng(4)
    z = rng.integers(-60, 60, (tables.hyper, 1, 1)).astype(np.int16)
    index = tables.scale_index(9000, z, 3, 3)
    r = np.where(index < tables.skip, 0, rng.choice([0, 1, -2, 40, -700, 32767, -32768], index.shape)).astype(np.int16)
    return container.write(chunks.header, [_core_test.encode(tables.model, 9000, z, r)])


def _with_stages() -> bytes:
    """A file of four tiles in four stages, with a quality map."""
    header = container.read(pillow_lic.encode(picture(100, 128, seed=10), model="toy", quality=70)).header
    engine, model = NativeEngine(), registry.by_name("toy")
    header = dataclasses.replace(header, tile_side=1)
    shift = bytes([0, 8, 256 - 5, 3])
    job = Picture(header, model, picture(100, 128, seed=10), shift, progressive=True)
    symbols = engine.quantise(engine.analyse([job]), 2)[0].value
    stages = [symbols.encode(tile) for tile in header.tiles()]
    return container.write(symbols.header, stages, map=shift)


def sizes() -> list[tuple[str, int, int]]:
    """(picture, quality, bytes) of a few pictures by the toy model: the column heads of sizes.csv."""
    flat = np.full((160, 200, 3), (90, 120, 200), np.uint8)
    noise = np.random.default_rng(1).integers(0, 256, (100, 120, 3), np.uint8)
    pictures = {"rgb": picture(256, 320, seed=11), "grey": picture(200, 131, 1, seed=12), "flat": flat, "noise": noise}
    return [
        (name, quality, len(pillow_lic.encode(array, model="toy", quality=quality)))
        for name, array in pictures.items()
        for quality in (5, 35, 65, 95)
    ]


def native_sizes() -> list[tuple[str, int, float, int]]:
    """(model, effort, quality, bytes) of one picture by the native engine, the shipped models at five of their
    qualities each: the column heads of native.csv.
    """
    found = []
    for name in NATIVE:
        manifest = registry.by_name(name).manifest
        low, high = choice.spoken(registry.by_name(name))
        for effort in (0,) if manifest.lambdas is None else (0, 2):
            for quality in np.linspace(low, high, 5).round(4).tolist():
                data = pillow_lic.encode(picture(112, 144, seed=13), model=name, quality=quality, effort=effort)
                found.append((name, effort, quality, len(data)))
    return found


def chunk(kind: bytes, payload: bytes) -> bytes:
    return (
        kind + bytes([len(payload)]) + payload + struct.pack("<I", zlib.crc32(kind + bytes([len(payload)]) + payload))
    )


def refused() -> dict[str, bytes]:
    """Name, which starts with the error's class, to file."""
    good = pillow_lic.encode(picture(24, 24, seed=8), model="toy")
    chunks = container.read(good)
    tiles = [tile.stages for tile in chunks.tiles]
    body = bytearray(tiles[0][0])
    body[-1] ^= 1
    tail = good.index(b"T", 20)
    return {
        "LicBadMagic-licence": b"SERVER this_host ANY 27000\nVENDOR mlm\nINCREMENT product vendor 1.0 permanent\n",
        "LicBadMagic-version-1": b"\x8dLIC" + good[4:],
        "LicUnsupportedVersion-major": good[:4] + b"\x09" + good[5:],
        "LicUnsupportedVersion-critical-chunk": good[:tail] + chunk(b"P", b"\0\0") + good[tail:],
        "LicUnsupportedVersion-draft-2": good[:5] + b"\x02" + good[6:],
        "LicCorruptChunk-quality-map": good[:tail] + chunk(b"G", zlib.compress(b"\x21")) + good[tail:],
        "LicCorruptChunk-stage": _with_a_wrong_check(),
        "LicTruncated-signature": good[:5],
        "LicTruncated-header": good[:15],
        "LicTruncated-tiles": good[:-7],
        "LicCorruptChunk-checksum": good[:20] + bytes([good[20] ^ 64]) + good[21:],
        "LicCorruptChunk-no-tile": good[:tail] + chunk(b"T", b""),
        "LicCorruptChunk-no-header": good[:6] + good[tail:],
        "LicCorruptChunk-two-profiles": good[:tail] + 2 * chunk(b"c", b"\0\x01a") + good[tail:],
        "LicCorruptChunk-overlay-size": _alone(b"\0\2\x2f\x04\x40\0\0"),
        "LicUnsupportedVersion-overlay-method": _alone(b"\0\3abc"),
        "LicLimitExceeded-overlay-area": _alone(b"\2" + 2 * b"\0\0\3\2\0\3" + b"abcdef"),
        "LicUnsupportedVersion-depth": _header_only(chunks.header, 24, 24, layout=b"\x4b"),
        "LicCorruptChunk-values": good[:tail] + chunk(b"v", b"\2" + struct.pack("<dd", 1.0, 0.0)) + good[tail:],
        "LicCorruptChunk-cicp": good[:tail] + chunk(b"n", b"\1\15\0\2") + good[tail:],
        "LicUnsupportedVersion-prediction": _alone(b"\2\5\0\0\0\0\0\0\0\0\0\0", b"\xc3"),
        "LicUnsupportedVersion-colour-model": _alone(b"\0\0abcd", b"\x86\x09"),
        "LicCorruptChunk-numbers-of-nothing": _alone(b"\0\3\0\0\0\3\0\0\0\3\0\0\0\0\0\0", b"\xf9"),
        "LicCorruptTile-word": container.write(chunks.header, [[bytes(body)]]),
        "LicLimitExceeded-pixels": _header_only(chunks.header, width=2**31 - 1, height=2**31 - 1),
        "LicUnknownModel-hash": container.write(
            dataclasses.replace(chunks.header, model=0, model_hash=bytes(8)), tiles
        ),
    }


def _alone(payload: bytes, layout: bytes = b"\x83") -> bytes:
    """A file of 3 x 2 pixels whose overlay stands alone; `container.write` would refuse to make it."""
    start = b"\x8dLID\0\3H" + bytes([2 + len(layout)]) + b"\3\2" + layout
    return start + struct.pack("<I", zlib.crc32(start)) + chunk(b"O", payload)


def _with_a_wrong_check() -> bytes:
    """A byte of a first stage changed, and the checksum of the chunk made right again."""
    data = pillow_lic.encode(picture(24, 24, seed=8), model="toy", progressive=True)
    tiles = container.read_head(data).chunk("T")
    payload = bytearray(data[tiles.offset : tiles.offset + tiles.length])
    payload[container.read(data).header.stage_count] ^= 1
    return data[: tiles.start] + chunk(b"T", bytes(payload))


def _header_only(header: container.Header, width: int, height: int, layout: bytes = b"\x03") -> bytes:
    """A file whose header asks for more than the limit; `container.write` would refuse to make it."""
    from pillow_lic.container.fields import varint

    payload = varint(width) + varint(height) + layout + varint(header.model) + header.model_hash
    payload += struct.pack("<H", header.quality_q) + varint(header.tile_side) + b"\0"
    start = b"\x8dLID\0\x03H" + varint(len(payload)) + payload
    return start + struct.pack("<I", zlib.crc32(start)) + chunk(b"T", b"")


def with_integers(data: bytes, z: np.ndarray, r: np.ndarray) -> bytes:
    """The file with other integers of its tiles."""
    chunks = container.read(data)
    header = chunks.header
    model = registry.by_hash(header.model, header.model_hash)
    symbols = Symbols(header, model, z, r, chunks.map)
    return written(chunks, [symbols.encode(tile) for tile in header.tiles()])


def integers(data: bytes, model: Path) -> tuple[np.ndarray, np.ndarray]:
    """z and r of a whole file, int16, by the second decoder."""
    tiles = slow_container.parse(data).tiles
    zr, zc, yr, yc = tiles[-1]
    parts = slow_decoder.decode_symbols(data, model)
    z = np.empty((len(parts[0][0]), zr.stop, zc.stop), np.int16)
    r = np.empty((len(parts[0][1]), yr.stop, yc.stop), np.int16)
    for (tile_z, tile_r), (zr, zc, yr, yc) in zip(parts, tiles):
        z[:, zr.start : zr.stop, zc.start : zc.stop] = tile_z
        r[:, yr.start : yr.stop, yc.start : yc.stop] = tile_r
    return z, r


def main() -> None:
    again = "--draft" in sys.argv
    GOLDEN.mkdir(exist_ok=True)
    ERRORS.mkdir(exist_ok=True)
    for name, data in accepted().items():
        path, model = GOLDEN / f"{name}.lic", TRELLIS if name.startswith("models/") else TOY
        if path.exists():
            if again and name != "cut":  # which is made of another one, and has no integers of its own
                stored = np.load(path.with_suffix(".npz"))
                alone = container.read(data).header.alone  # exact, and without integers
                path.write_bytes(data if alone else with_integers(data, stored["z"], stored["r"]))
            continue
        path.write_bytes(data)
        alone = container.read(data).header.alone
        found = {} if alone else dict(zip("zr", integers(data, model), strict=True))
        np.savez_compressed(path.with_suffix(".npz"), **found, pixels=slow_decoder.decode(data, model))
    for name, data in refused().items():
        path = ERRORS / f"{name}.lic"
        if again or not path.exists():
            path.write_bytes(data)
    if not SIZES.exists() or "--sizes" in sys.argv:
        SIZES.parent.mkdir(exist_ok=True)
        with SIZES.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([("picture", "quality", "bytes"), *sizes()])
    if not NATIVE_SIZES.exists() or "--sizes" in sys.argv:
        with NATIVE_SIZES.open("w", newline="") as file:
            rows = [("model", "effort", "quality", "bytes"), *native_sizes()]
            csv.writer(file, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main()
