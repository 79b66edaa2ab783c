"""A complete, slow, literal decoder of LIC files, written from docs/FORMAT.md alone.

Imports nothing of pillow_lic and needs no torch: it is the second opinion that the fast decoder is compared with.
One concept a file, in the order of the document's sections:

    slow_container  FORMAT 1 to 6: chunks, header, metadata, alpha, overlay, quality map, tiles
    slow_tables     7.1, 7.2: rates, the bank and the integer map
    slow_stream     7.3, 7.7: range-ANS, escapes, checksum
    slow_tile       7.4 to 7.6: z, scale indices, one tile
    slow_residual   7.6, 7.8, 7.9: Gaussian rows, mixtures, the trellis
    slow_photo      8: pixels of the `photo` family
    slow_model      9: model directories

Here they meet. Of the `gdn` family, whose pixels the document gives in floating point, it yields symbols.

    python tests/support/slow_decoder.py file.lic model_dir out.png
"""

import pathlib
import sys

import numpy as np
import slow_photo
from slow_container import paint, parse
from slow_model import load_for, load_perceptual
from slow_overlay import LA, RGB, TWO_LEVELS, L, bands_of
from slow_reader import Refused, demand
from slow_tile import decode_tile, dequantise

# ---- FORMAT 7: integers of all tiles --------------------------------------------------------------------------------


def symbols_of(parsed, tables):
    """[(z, r)] of all tiles as int32 arrays (channels, rows, columns)."""
    header, result = parsed.header, []
    demand(parsed.map is None or not tables.components, "a quality map with mixtures")
    coding = header.quality, header.thresholds, header.cut
    for stream, (zr, zc, yr, yc) in zip(parsed.streams, parsed.tiles):
        shift = parsed.map and [row[zc.start : zc.stop] for row in parsed.map[zr.start : zr.stop]]
        z, r = decode_tile(stream, tables, coding, (len(zr), len(zc)), (len(yr), len(yc)), shift)
        result.append((np.array(z, np.int32), np.array(r, np.int32)))
    return result


def decode_symbols(data, model_dir):
    """[(z, r)] of every tile of a file, int32 arrays (C, rows, columns) and (M, rows, columns)."""
    parsed = parse(data)
    return symbols_of(parsed, load_for(parsed.header, model_dir)[1])


# ---- FORMAT 8: from integers to pixels ------------------------------------------------------------------------------


def assemble(parsed, symbols, tables):
    """v (C, hz, wz) and r (M, hy, wy) of the whole image from its tiles."""
    zr, zc, yr, yc = parsed.tiles[-1]
    v = np.zeros((tables.hyper, zr.stop, zc.stop), np.int32)
    r = np.zeros((tables.latent, yr.stop, yc.stop), np.int32)
    for (zr, zc, yr, yc), (tile_z, tile_r) in zip(parsed.tiles, symbols):
        v[:, zr.start : zr.stop, zc.start : zc.stop] = dequantise(tables, parsed.header.quality, tile_z.tolist())
        r[:, yr.start : yr.stop, yc.start : yc.stop] = tile_r
    return v, r


def with_alpha(samples, alpha):
    """The layout's bands in its order, alpha last (FORMAT 8.3)."""
    return samples if alpha is None else np.dstack([samples, alpha])


def decode(data, model_dir, strength=0):
    """The pixels of a file of the `photo` family: uint8, (height, width) for L, else (height, width, bands); of more
    than 8 bits uint16, or what they stand for.

    strength: of the model's second synthesis (8.5), 0 to 255.
    """
    parsed = parse(data)
    header = parsed.header
    if header.alone:
        return alone(parsed)
    manifest, tables, arrays = load_for(header, model_dir)
    demand(manifest["network"]["family"] == "photo", "pixels of this family are in floating point: not decoded here")
    v, r = assemble(parsed, symbols_of(parsed, tables), tables)
    network = slow_photo.SlowPhoto(arrays, header.quality, parsed.map)
    style = None
    if strength:
        second = slow_photo.SlowPhoto(load_perceptual(model_dir, manifest, arrays), header.quality)
        style = second, strength
    samples = network.samples(v, r, (header.height, header.width), header.layout in (L, LA), header.depth, style)
    samples = np.array(samples)
    paint(samples if samples.ndim == 3 else samples[:, :, None], parsed)
    return told(with_alpha(samples, parsed.alpha), parsed)


def alone(parsed):
    """The pixels of an overlay that stands alone (FORMAT 5.2)."""
    dtype = {8: np.uint8, 32: np.uint32}.get(parsed.header.depth, np.uint16)
    samples = np.zeros((parsed.header.height, parsed.header.width, bands_of(parsed.header)), dtype)
    paint(samples, parsed)
    if parsed.header.model == TWO_LEVELS:
        samples = np.where(samples < 128, 0, 255).astype(np.uint8)
    return told(samples[:, :, 0] if samples.shape[2] == 1 else samples, parsed)


def told(samples, parsed):
    """What they stand for (FORMAT 4.3): int32 or float32."""
    if parsed.values is None:
        return samples
    if parsed.header.depth == 32:  # FORMAT 3.1
        return samples.view(np.int32 if parsed.values[0] == 1 else np.float32)
    (kind, low, high), most = parsed.values, 2**parsed.header.depth - 1
    found = low + samples * ((high - low) / most)
    if parsed.header.layout not in (L, RGB):
        found[:, :, -1] = samples[:, :, -1] / most
    return np.floor(found + 0.5).astype(np.int32) if kind == 1 else found.astype(np.float32)


def main(arguments):
    """python tests/support/slow_decoder.py file.lic model_dir out.png"""
    if len(arguments) != 3:
        sys.exit(main.__doc__)
    from PIL import Image

    source, model_dir, target = arguments
    try:
        pixels = decode(pathlib.Path(source).read_bytes(), model_dir)
    except Refused as error:
        sys.exit(f"{source}: {error}")
    Image.fromarray(pixels).save(target)


if __name__ == "__main__":
    main(sys.argv[1:])
