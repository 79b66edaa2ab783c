"""A file made shorter without decoding it: later stages of its streams left out (FORMAT 6.2, 6.3).

Standard library, constants and errors only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import LicBadOption
from . import Head, TileStream, read, read_head
from .header import pack_header
from .payloads import STREAM_MIN, pack_tiles
from .writer import joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .header import Header

_WORD = 2  # bytes: a stream may end between words
_STEPS = 24  # halvings of the part of a stage that is kept


def cut(data: bytes, *, stages: int | None = None, size: int | None = None) -> bytes:
    """The file with its first stages alone, or as much of it as `size` bytes hold; whole if that is enough.

    What is left out decodes as 0: the picture is coarser, not smaller. Pixels are not decoded, all else stays as it is.
    data: a whole file. stages: 1 to as many as the file has. Raises the errors of FORMAT appendix A, LicBadOption for
    what the file cannot give.
    """
    if (stages is None) == (size is None):
        msg = "say either how many stages to keep, or a size in bytes"
        raise LicBadOption(msg)
    head, tiles = read_head(data), read(data).tiles
    kept = data[: head.size]
    if size is not None:
        return kept if len(kept) <= size else _within(kept, head, tiles, size)
    assert stages is not None
    if not 1 <= stages <= head.header.stage_count:
        msg = f"stages is {stages}, and the file has {head.header.stage_count}"
        raise LicBadOption(msg)
    return kept if stages == head.header.stage_count else _file(kept, head, tiles, float(stages))


def _within(data: bytes, head: Head, tiles: Sequence[TileStream], size: int) -> bytes:
    """The most of it that is not above `size`: by halving, as a longer part never makes a shorter file."""
    least = len(_file(data, head, tiles, 0.0))
    if least > size:
        msg = f"{size} bytes are too few for this file, which takes {least} without its picture; strip its metadata"
        raise LicBadOption(msg)
    low, high = 0.0, float(head.header.stage_count)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if len(_file(data, head, tiles, middle)) <= size:
            low = middle
        else:
            high = middle
    return _file(data, head, tiles, low)


def _file(data: bytes, head: Head, tiles: Sequence[TileStream], part: float) -> bytes:
    """The file with so many stages, the last of them in part."""
    header = replace(head.header, cut=True)
    payloads = []
    for chunk in head.chunks:
        payload = data[chunk.offset : chunk.offset + chunk.length]
        if chunk.type == "H":
            payload = pack_header(header)
        elif chunk.type == "T":
            payload = pack_tiles(header, [_part(tile.stages, part, header) for tile in tiles])
        payloads.append((chunk.type, payload))
    return joined(payloads)


def _part(stages: Sequence[bytes], part: float, header: Header) -> list[bytes]:
    kept: list[bytes] = []
    for k in range(header.stage_count):
        share = min(max(part - k, 0.0), 1.0)
        length = len(stages[k]) if share == 1.0 else int(len(stages[k]) * share) // _WORD * _WORD
        if kept and len(kept[-1]) < len(stages[k - 1]):
            length = 0  # a stage that breaks off is a tile's last
        kept.append(stages[k][: max(length, STREAM_MIN if k == 0 else 0)])
    return kept
