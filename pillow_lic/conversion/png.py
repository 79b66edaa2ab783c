"""What of PNG Pillow has not: colour coding points, and colour of 16 bits (PNG, third edition, 11.2 and 11.3.2.6).

Imports Pillow; numpy when a picture comes.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import IO, TYPE_CHECKING, Any

from PIL import Image, PngImagePlugin

from ..imports import imported

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

CODING = b"cICP"

_SIGNATURE = 8  # bytes
_CHUNKS_MAX = 1000  # that are looked at before the pixels
_STRIP = 1 << 20  # bytes that are filtered at a time
_COLOUR_TYPES = {2: 4, 3: 2, 4: 6}  # by the number of bands
_LEVEL = 6  # of zlib


def coding_points(file: IO[bytes]) -> tuple[int, int, int, int] | None:
    """What a PNG file states of its colours: primaries, transfer, matrix, full range. Its position stays."""
    before = file.tell()
    try:
        file.seek(_SIGNATURE)
        for _ in range(_CHUNKS_MAX):
            head = file.read(8)
            if len(head) < 8 or head[4:] in (b"IDAT", b"IEND"):
                return None
            size, name = struct.unpack(">I4s", head)
            if name == CODING:
                data = file.read(8)
                whole = size == 4 and len(data) == 8 and zlib.crc32(name + data[:4]) == int.from_bytes(data[4:])
                return (data[0], data[1], data[2], data[3]) if whole else None
            file.seek(size + 4, io.SEEK_CUR)
        return None
    finally:
        file.seek(before)


def with_coding_points(info: PngImagePlugin.PngInfo | None, cicp: tuple[int, ...]) -> PngImagePlugin.PngInfo:
    """The same for save(pnginfo=). PNG has RGB alone, so no matrix; of a picture that had one, samples are of full
    range.
    """
    primaries, transfer, matrix, full_range = cicp
    info = PngImagePlugin.PngInfo() if info is None else info
    info.add(CODING, bytes([primaries, transfer, 0, 1 if matrix else full_range]))
    return info


def write(target: IO[bytes], samples: NDArray[np.uint16], **options: Any) -> None:
    """A file of samples (H, W, 2 to 4). options: as of Pillow's save(), which writes all but the pixels."""
    imported("numpy")
    height, width, bands = samples.shape
    pattern = io.BytesIO()
    Image.new("RGB", (1, 1)).save(pattern, "PNG", **options)
    target.write(pattern.getvalue()[:_SIGNATURE])
    written = False
    for name, data in _chunks(pattern.getvalue()):
        if name == b"IHDR":
            _write_chunk(target, name, struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[bands], 0, 0, 0))
        elif name != b"IDAT":
            _write_chunk(target, name, data)
        elif not written:
            written = True
            for part in _packed(samples):
                _write_chunk(target, name, part)


def _chunks(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = _SIGNATURE
    while at < len(file):
        size, name = struct.unpack_from(">I4s", file, at)
        yield name, file[at + 8 : at + 8 + size]
        at += size + 12


def _write_chunk(target: IO[bytes], name: bytes, data: bytes) -> None:
    target.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))


def _packed(samples: NDArray[np.uint16]) -> Iterator[bytes]:
    """The zlib stream of filtered rows, piece by piece."""
    import numpy as np

    height, width, bands = samples.shape
    row = 2 * bands * width
    packer, rows = zlib.compressobj(_LEVEL), max(1, _STRIP // row)
    above = np.zeros((1, row), np.uint8)
    for top in range(0, height, rows):
        strip = np.ascontiguousarray(samples[top : top + rows].astype(">u2")).view(np.uint8).reshape(-1, row)
        data = packer.compress(_filtered(strip, np.concatenate([above, strip[:-1]]), 2 * bands).tobytes())
        above = strip[-1:]
        if data:
            yield data
    yield packer.flush()


def _filtered(rows: NDArray[np.uint8], above: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """Rows, each behind the number of its filter: that whose bytes, taken for signed, have the least sum (12.7).

    above: the row before each. step: bytes of a pixel.
    """
    import numpy as np

    left, corner = np.zeros_like(rows), np.zeros_like(rows)
    left[:, step:], corner[:, step:] = rows[:, :-step], above[:, :-step]
    a, b, c = (plane.astype(np.int16) for plane in (left, above, corner))
    to_a, to_b, to_c = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)  # of Paeth's a + b - c
    paeth = np.where((to_a <= to_b) & (to_a <= to_c), left, np.where(to_b <= to_c, above, corner))
    mean = ((a + b) >> 1).astype(np.uint8)
    ways = np.stack([rows, rows - left, rows - above, rows - mean, rows - paeth])
    best = np.abs(ways.view(np.int8).astype(np.int16)).sum(axis=2, dtype=np.int64).argmin(axis=0)
    chosen = ways[best, np.arange(len(rows))]
    return np.concatenate([best.astype(np.uint8)[:, None], chosen], axis=1)
