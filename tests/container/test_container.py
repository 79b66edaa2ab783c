"""The container: round trips, one byte-literal file for each refusal, cuts and bit flips anywhere (FORMAT 2-6.2)."""

from __future__ import annotations

import dataclasses
import io
import math
import re
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pillow_lic.container.cut  # noqa: F401  (its name: container.cut)
from pillow_lic import constants, container, errors

pytestmark = pytest.mark.quick

HASH = bytes(range(8))
STATES = bytes(16)  # the shortest stream
START = b"\x8dLID\x00\x03"


def chunk(type: bytes, payload: bytes, before: bytes = b"") -> bytes:
    """A chunk with a right checksum, however wrong the rest is; payloads below 128 bytes."""
    head = type + bytes([len(payload)])
    return head + payload + struct.pack("<I", zlib.crc32(before + head + payload))


def header_bytes(payload: bytes) -> bytes:
    return START + chunk(b"H", payload, START)


# width 3, height 2, layout L, model 1, hash, quality 75, tile side 16, one stage
GOOD_H = b"\x03\x02\x01\x01" + HASH + b"\x4c\x1d\x10\x00"
RGBA_H = b"\x03\x02\x04\x01" + HASH + b"\x4c\x1d\x10\x00"
STAGED_H = GOOD_H[:-1] + b"\x02\x09\x04"  # three stages, from 9 and from 4 on
CHECK = struct.pack("<H", zlib.crc32(STATES) & 65535)
STAGED_T = b"\x10\x02\x00" + STATES + CHECK + b"ab" + struct.pack("<H", zlib.crc32(b"ab") & 65535)
T = chunk(b"T", b"\x10" + STATES)
GOOD = header_bytes(GOOD_H) + T


def patched(offset: int, new: bytes) -> bytes:
    return GOOD_H[:offset] + new + GOOD_H[offset + 1 :]


def header(**changes) -> container.Header:
    fields = {
        "width": 3,
        "height": 2,
        "layout": "L",
        "model": 1,
        "model_hash": HASH,
        "quality_q": 7500,
        "tile_side": 16,
    }
    return container.Header(**(fields | changes))


def test_literal_file_reads_and_writes_back():
    chunks = container.read(GOOD)
    assert chunks.header == header()
    assert chunks.header.quality == 75.0
    assert chunks.tiles == [([STATES], True, 1)]
    assert (chunks.icc, chunks.exif, chunks.xmp, chunks.alpha) == (None, None, None, None)
    assert container.write(chunks.header, [[STATES]]) == GOOD


def test_literal_stages():
    data = header_bytes(STAGED_H) + chunk(b"T", STAGED_T)
    chunks = container.read(data)
    assert chunks.header == header(thresholds=b"\x09\x04")
    assert chunks.header.stage_count == 3
    assert chunks.tiles == [([STATES, b"ab", b""], True, 3)]
    assert container.write(chunks.header, [tile.stages for tile in chunks.tiles]) == data
    cut = header_bytes(GOOD_H[:-1] + b"\x12\x09\x04") + chunk(b"T", STAGED_T)
    assert container.read(cut).header == header(thresholds=b"\x09\x04", cut=True)


def test_deep_samples_are_written_down():
    """Of the header alone: no decoder shows them yet."""
    for depth in range(8, 17):
        data = container.write(header(depth=depth), [[STATES]])
        assert container.read(data).header.depth == depth
        assert data[10] == 1 | depth - 8 << 3


REFUSED = {
    "empty": (b"", errors.LicBadMagic),
    "other file": (b"FEATURE vendor 1.0 permanent", errors.LicBadMagic),
    "signature only in part": (START[:3], errors.LicBadMagic),
    "signature alone": (START[:4], errors.LicTruncated),
    "no minor version": (START[:5], errors.LicTruncated),
    "no chunk": (START, errors.LicTruncated),
    "minor version 2": (header_bytes(GOOD_H).replace(START, START[:-1] + b"\2") + T, errors.LicUnsupportedVersion),
    "major version": (b"\x8dLID\x01\x00" + GOOD[6:], errors.LicUnsupportedVersion),
    "first chunk not H": (START + T, errors.LicCorruptChunk),
    "type not a letter": (header_bytes(GOOD_H) + chunk(b"5", b"") + T, errors.LicCorruptChunk),
    "type not ASCII": (header_bytes(GOOD_H) + chunk(b"\xe4", b"") + T, errors.LicCorruptChunk),
    "unknown critical chunk": (header_bytes(GOOD_H) + chunk(b"Q", b"") + T, errors.LicUnsupportedVersion),
    "progressive chunk": (header_bytes(GOOD_H) + chunk(b"P", b"") + T, errors.LicUnsupportedVersion),
    "header cut": (header_bytes(GOOD_H)[:12], errors.LicTruncated),
    "header checksum": (GOOD[:9] + b"\x05" + GOOD[10:], errors.LicCorruptChunk),
    "header too long": (header_bytes(GOOD_H + b"\0") + T, errors.LicCorruptChunk),
    "header much too long": (header_bytes(GOOD_H + bytes(60)) + T, errors.LicCorruptChunk),
    "header too short": (header_bytes(GOOD_H[:-1]) + T, errors.LicCorruptChunk),
    "width 0": (header_bytes(patched(0, b"\x00")) + T, errors.LicCorruptChunk),
    "height 0": (header_bytes(patched(1, b"\x00")) + T, errors.LicCorruptChunk),
    "width not shortest": (header_bytes(patched(0, b"\x83\x00")) + T, errors.LicCorruptChunk),
    "width 2^31": (header_bytes(patched(0, b"\x80\x80\x80\x80\x08")) + T, errors.LicCorruptChunk),
    "width of six bytes": (header_bytes(patched(0, b"\x80\x80\x80\x80\x80\x01")) + T, errors.LicCorruptChunk),
    "layout 0": (header_bytes(patched(2, b"\x00")) + T, errors.LicUnsupportedVersion),
    "layout 5": (header_bytes(patched(2, b"\x05")) + T, errors.LicUnsupportedVersion),
    "overlay alone with more behind": (header_bytes(patched(2, b"\x81")) + T, errors.LicCorruptChunk),
    "overlay alone of a depth, and a model": (header_bytes(patched(2, b"\x89")) + T, errors.LicCorruptChunk),
    "depth 16, and an overlay": (
        header_bytes(patched(2, b"\x43")) + chunk(b"O", b"\0\0abc") + T,
        errors.LicCorruptChunk,
    ),
    "colour coding points short": (header_bytes(GOOD_H) + chunk(b"n", b"\1\1\1") + T, errors.LicCorruptChunk),
    "colour coding points' range": (header_bytes(GOOD_H) + chunk(b"n", b"\1\1\1\2") + T, errors.LicCorruptChunk),
    "values empty": (header_bytes(GOOD_H) + chunk(b"v", b"") + T, errors.LicCorruptChunk),
    "values short": (header_bytes(GOOD_H) + chunk(b"v", b"\2" + bytes(15)) + T, errors.LicCorruptChunk),
    "values not a number": (
        header_bytes(GOOD_H) + chunk(b"v", struct.pack("<Bdd", 2, math.nan, 1.0)) + T,
        errors.LicCorruptChunk,
    ),
    "values without end": (
        header_bytes(GOOD_H) + chunk(b"v", struct.pack("<Bdd", 2, 0.0, math.inf)) + T,
        errors.LicCorruptChunk,
    ),
    "values that fall": (
        header_bytes(GOOD_H) + chunk(b"v", struct.pack("<Bdd", 2, 1.0, 0.0)) + T,
        errors.LicCorruptChunk,
    ),
    "integers that are none": (
        header_bytes(GOOD_H) + chunk(b"v", struct.pack("<Bdd", 1, 0.5, 1.0)) + T,
        errors.LicCorruptChunk,
    ),
    "integers of 33 bits": (
        header_bytes(GOOD_H) + chunk(b"v", struct.pack("<Bdd", 1, 0.0, 2.0**31)) + T,
        errors.LicCorruptChunk,
    ),
    "depth 17": (header_bytes(patched(2, b"\x49")) + T, errors.LicUnsupportedVersion),
    "quality 0.99": (header_bytes(GOOD_H[:12] + b"\x63\x00\x10\x00") + T, errors.LicCorruptChunk),
    "quality 100.01": (header_bytes(GOOD_H[:12] + b"\x11\x27\x10\x00") + T, errors.LicCorruptChunk),
    "tile side 0": (header_bytes(GOOD_H[:-2] + b"\x00\x00") + T, errors.LicCorruptChunk),
    "tile side 65": (header_bytes(GOOD_H[:-2] + b"\x41\x00") + T, errors.LicCorruptChunk),
    "stages, reserved bit": (header_bytes(GOOD_H[:-1] + b"\x20") + T, errors.LicUnsupportedVersion),
    "stages without thresholds": (header_bytes(GOOD_H[:-1] + b"\x02\x09") + T, errors.LicCorruptChunk),
    "threshold 0": (header_bytes(GOOD_H[:-1] + b"\x01\x00") + T, errors.LicCorruptChunk),
    "equal thresholds": (header_bytes(GOOD_H[:-1] + b"\x02\x09\x09") + T, errors.LicCorruptChunk),
    "rising thresholds": (header_bytes(GOOD_H[:-1] + b"\x02\x09\x0a") + T, errors.LicCorruptChunk),
    "check of a stage": (
        header_bytes(STAGED_H) + chunk(b"T", STAGED_T.replace(b"ab", b"ac")),
        errors.LicCorruptChunk,
    ),
    "stages that overlap their checks": (
        header_bytes(STAGED_H) + chunk(b"T", b"\x10\x03" + STAGED_T[2:]),
        errors.LicCorruptChunk,
    ),
    "fewer stages than said": (header_bytes(STAGED_H) + T, errors.LicCorruptChunk),
    "pixels": (header_bytes(b"\xff\xff\xff\xff\x07" * 2 + GOOD_H[2:]) + T, errors.LicLimitExceeded),
    "tiles": (header_bytes(b"\x80\x80\x80\x80\x04\x01" + GOOD_H[2:-2] + b"\x01\x00") + T, errors.LicLimitExceeded),
    "second header": (GOOD[: -len(T)] + chunk(b"H", GOOD_H) + T, errors.LicCorruptChunk),
    "second ICC": (header_bytes(GOOD_H) + 2 * chunk(b"c", b"\0\1a") + T, errors.LicCorruptChunk),
    "no tiles": (header_bytes(GOOD_H), errors.LicTruncated),
    "length cut": (header_bytes(GOOD_H) + b"T\x91", errors.LicTruncated),
    "length not shortest": (header_bytes(GOOD_H) + b"T\x91\x00" + T[2:], errors.LicCorruptChunk),
    "tiles checksum": (GOOD[:-5] + b"\1" + GOOD[-4:], errors.LicCorruptChunk),
    "ancillary checksum": (header_bytes(GOOD_H) + chunk(b"z", b"abc")[:-1] + b"\0" + T, errors.LicCorruptChunk),
    "metadata method": (header_bytes(GOOD_H) + chunk(b"c", b"\2\1a") + T, errors.LicUnsupportedVersion),
    "metadata empty": (header_bytes(GOOD_H) + chunk(b"c", b"") + T, errors.LicCorruptChunk),
    "metadata size": (header_bytes(GOOD_H) + chunk(b"e", b"\0\2a") + T, errors.LicCorruptChunk),
    "metadata limit": (header_bytes(GOOD_H) + chunk(b"x", b"\0\x81\x80\x80\x08a") + T, errors.LicLimitExceeded),
    "metadata not zlib": (header_bytes(GOOD_H) + chunk(b"c", b"\1\1abc") + T, errors.LicCorruptChunk),
    "metadata too long": (
        header_bytes(GOOD_H) + chunk(b"c", b"\1\1" + zlib.compress(b"ab")) + T,
        errors.LicCorruptChunk,
    ),
    "metadata too short": (
        header_bytes(GOOD_H) + chunk(b"c", b"\1\3" + zlib.compress(b"ab")) + T,
        errors.LicCorruptChunk,
    ),
    "metadata stream cut": (
        header_bytes(GOOD_H) + chunk(b"c", b"\1\2" + zlib.compress(b"ab")[:-1]) + T,
        errors.LicCorruptChunk,
    ),
    "metadata with a tail": (
        header_bytes(GOOD_H) + chunk(b"c", b"\1\2" + zlib.compress(b"ab") + b"!") + T,
        errors.LicCorruptChunk,
    ),
    "metadata bomb": (
        header_bytes(GOOD_H) + chunk(b"c", b"\1\2" + zlib.compress(bytes(30000))) + T,
        errors.LicCorruptChunk,
    ),
    "map not zlib": (header_bytes(GOOD_H) + chunk(b"G", b"\0") + T, errors.LicCorruptChunk),
    "map too long": (header_bytes(GOOD_H) + chunk(b"G", zlib.compress(bytes(2))) + T, errors.LicCorruptChunk),
    "map too short": (header_bytes(GOOD_H) + chunk(b"G", zlib.compress(b"")) + T, errors.LicCorruptChunk),
    "map with a tail": (header_bytes(GOOD_H) + chunk(b"G", zlib.compress(b"\0") + b"!") + T, errors.LicCorruptChunk),
    "map beyond 32": (header_bytes(GOOD_H) + chunk(b"G", zlib.compress(b"\x21")) + T, errors.LicCorruptChunk),
    "map below -32": (header_bytes(GOOD_H) + chunk(b"G", zlib.compress(b"\xdf")) + T, errors.LicCorruptChunk),
    "map bomb": (header_bytes(GOOD_H) + chunk(b"G", zlib.compress(bytes(30000))) + T, errors.LicCorruptChunk),
    "second map": (header_bytes(GOOD_H) + 2 * chunk(b"G", zlib.compress(b"\1")) + T, errors.LicCorruptChunk),
    "preview empty": (header_bytes(GOOD_H) + chunk(b"p", b"") + T, errors.LicCorruptChunk),
    "preview 0 wide": (header_bytes(GOOD_H) + chunk(b"p", b"\0\0\5abc") + T, errors.LicCorruptChunk),
    "preview 4097 high": (header_bytes(GOOD_H) + chunk(b"p", b"\0\5\x81\x20abc") + T, errors.LicCorruptChunk),
    "second preview": (header_bytes(GOOD_H) + 2 * chunk(b"p", b"\0\5\5abc") + T, errors.LicCorruptChunk),
    "alpha unasked": (header_bytes(GOOD_H) + chunk(b"A", b"\0\xff") + T, errors.LicCorruptChunk),
    "alpha missing": (header_bytes(RGBA_H) + T, errors.LicCorruptChunk),
    "alpha empty": (header_bytes(RGBA_H) + chunk(b"A", b"") + T, errors.LicCorruptChunk),
    "alpha method": (header_bytes(RGBA_H) + chunk(b"A", b"\3\xff") + T, errors.LicUnsupportedVersion),
    "alpha painted, no PNG": (header_bytes(RGBA_H) + chunk(b"A", b"\2\0\0\0\xff") + T, errors.LicCorruptChunk),
    "alpha constant length": (header_bytes(RGBA_H) + chunk(b"A", b"\0\xff\xff") + T, errors.LicCorruptChunk),
    "alpha not PNG": (header_bytes(RGBA_H) + chunk(b"A", b"\1\xff") + T, errors.LicCorruptChunk),
    "stream too short": (header_bytes(GOOD_H) + chunk(b"T", b"\x0f" + STATES), errors.LicCorruptChunk),
    "streams short of the end": (header_bytes(GOOD_H) + chunk(b"T", b"\x10" + STATES + b"!"), errors.LicCorruptChunk),
    "streams beyond the end": (header_bytes(GOOD_H) + chunk(b"T", b"\x11" + STATES), errors.LicCorruptChunk),
    "tile length huge": (header_bytes(GOOD_H) + chunk(b"T", b"\xff\xff\xff\xff\x0f" + STATES), errors.LicCorruptChunk),
    "tiles empty": (header_bytes(GOOD_H) + chunk(b"T", b""), errors.LicCorruptChunk),
    "many chunks": (header_bytes(GOOD_H) + 2000 * chunk(b"z", b"") + T, errors.LicLimitExceeded),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_is_named_and_says_where_and_what_to_do(name):
    data, kind = REFUSED[name]
    with pytest.raises(errors.LicError) as caught:
        container.read(data)
    assert type(caught.value) is kind
    assert re.search(r"at byte \d+; \w+", str(caught.value)) or kind is errors.LicLimitExceeded
    assert isinstance(caught.value, OSError)


def test_what_is_ignored():
    later = b"\x8dLID\x00\x63"  # a minor version still to come
    assert container.read(later + chunk(b"H", GOOD_H, later) + T).header == header()
    unknown = header_bytes(GOOD_H) + chunk(b"z", b"abc") + chunk(b"s", b"") + chunk(b"z", b"") + T
    assert container.read(unknown).tiles == container.read(GOOD).tiles
    assert [c.type for c in container.read_head(unknown).chunks] == ["H", "z", "s", "z", "T"]


BEHIND = {
    "nothing": b"",
    "one byte": b"\0",
    "newline": b"\r\n",
    "padding": bytes(4096),
    "a chunk": chunk(b"x", b"\0\1a"),
    "second tiles": T,
    "critical chunk": chunk(b"G", b""),
    "what looks cut": b"T\x91",
    "another file": GOOD,
    "an uploader's trailer": b"\xff--boundary--",
}


@pytest.mark.parametrize("name", BEHIND)
@pytest.mark.parametrize("truncated", [False, True])
def test_what_follows_the_last_chunk_is_ignored(name, truncated):
    data = GOOD + BEHIND[name]
    assert container.read(data, truncated=truncated) == container.read(GOOD)
    head = container.read_head(data, truncated=truncated)
    assert (head.complete, head.size, head.trailing) == (True, len(GOOD), len(BEHIND[name]))
    notes = container.verify(data)
    assert len(notes) == bool(BEHIND[name])
    assert all(str(len(BEHIND[name])) in note and "fetch" not in note for note in notes)


def test_damage_is_found_before_what_follows():
    for damaged in (GOOD[:-5] + b"\1" + GOOD[-4:], GOOD[:10] + b"\x7f" + GOOD[11:]):
        with pytest.raises(errors.LicCorruptChunk):
            container.verify(damaged + bytes(100))


def test_head_reads_no_tiles():
    class Counting(io.BytesIO):
        total = 0

        def read(self, count=-1):
            data = super().read(count)
            Counting.total += len(data)
            return data

    data = container.write(header(width=5000, height=5000, tile_side=4), [[bytes(100_000)]] * 400, icc=b"profile")
    head = container.read_head(Counting(data))
    assert head.icc == b"profile"
    assert head.complete
    assert head.size == len(data)
    assert Counting.total < 300
    tiles = head.chunk("T")
    assert tiles.end == len(data)
    assert data[tiles.start : tiles.start + 1] == b"T"


def sample(**changes) -> bytes:
    """A file with every chunk and four tiles of three stages."""
    h = header(width=100, height=70, layout="LA", tile_side=1, thresholds=b"\x09\x04", **changes)
    tiles = [[bytes([n]) * (16 + n), bytes([n]) * n, b"e" * (4 - n)] for n in range(4)]
    extra = {"map": b"\x20\xe0\0\1", "preview": container.Preview("JPEG", 20, 14, b"small")}
    return container.write(h, tiles, alpha=b"\0\x80", icc=b"i" * 50, exif=b"MM\0*", xmp=b"", **extra)


def test_truncation_at_every_byte():
    data = sample()
    whole = container.read(data)
    for size in range(len(data)):
        with pytest.raises(errors.LicBadMagic if size < 4 else errors.LicTruncated):
            container.read(data[:size])
        try:
            partial = container.read(data[:size], truncated=True)
        except errors.LicError:
            head, quality_map = (container.read_head(data).chunk(type) for type in "HG")  # both are indispensable
            assert size < head.end or quality_map.start < size < quality_map.end
            continue
        assert partial.header == whole.header
        assert len(partial.tiles) == 4
        check_part(partial, whole)
        assert partial.alpha in (None, whole.alpha)
        assert partial.icc in (None, whole.icc)
    # all but the last byte, which belongs to the checksum: only what vouches for the last stage is missing
    trusted = [tile._replace(whole=tile.whole + 1) for tile in partial.tiles]
    assert dataclasses.replace(partial, tiles=trusted) == whole


def check_part(partial: container.Container, whole: container.Container) -> None:
    """Stages come before tiles: what is there of each stage is a prefix, and no tile has more of a later one."""
    for tile, full in zip(partial.tiles, whole.tiles):
        assert all(full.stages[k].startswith(part) for k, part in enumerate(tile.stages))
        assert tile.complete == (tile.stages == full.stages)
        broken = [part != full.stages[k] for k, part in enumerate(tile.stages)]
        assert all(not tile.stages[k] for k in range(len(broken)) if any(broken[:k]))
    counted = partial.tiles[0].whole
    assert all(tile.stages[:counted] == full.stages[:counted] for tile, full in zip(partial.tiles, whole.tiles))
    assert {tile.whole for tile in partial.tiles} == {counted}


def test_a_damaged_stage_is_found():
    """Those before it are whole, and what it is made of stays, in case that is of use."""
    data = sample()
    whole = container.read(data)
    place = data.rindex(b"".join(tile.stages[1] for tile in whole.tiles))
    damaged = data[:place] + b"?" + data[place + 1 :]
    for reads in (container.read, container.verify):
        with pytest.raises(errors.LicCorruptChunk):
            reads(damaged)
    found = container.read(damaged, truncated=True)
    assert [tile.whole for tile in found.tiles] == [1] * 4
    assert all(tile.complete for tile in found.tiles)
    first = data.index(whole.tiles[0].stages[0])
    found = container.read(data[:first] + b"?" + data[first + 1 :], truncated=True)
    assert [tile.whole for tile in found.tiles] == [0] * 4


def test_a_cut_file_says_which_stages_are_whole():
    data = sample()
    chunk_t = container.read_head(data).chunk("T")
    for size in range(chunk_t.offset + 12, len(data)):
        for reads in (container.read, container.verify):
            with pytest.raises(errors.LicTruncated, match=r"; \d of 3 stages are whole"):
                reads(data[:size])
    with pytest.raises(errors.LicTruncated, match="; 3 of 3 stages are whole"):
        container.read(data[:-1])
    with pytest.raises(errors.LicTruncated, match="; 2 of 3 stages are whole"):
        container.read(data[:-6])


# ---- files made shorter ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_cut_by_stages(stages):
    data = sample()
    whole, cut = container.read(data), container.cut.cut(data + b"behind", stages=stages)
    found = container.read(cut)
    container.verify(cut)
    if stages == 3:
        assert cut == data
        return
    assert len(cut) < len(data)
    assert found.header == dataclasses.replace(whole.header, cut=True)
    for tile, full in zip(found.tiles, whole.tiles):
        assert tile.stages == full.stages[:stages] + [b""] * (3 - stages)
    assert dataclasses.replace(found, header=whole.header, tiles=whole.tiles) == whole
    assert container.read_head(cut).preview == container.read_head(data).preview


def test_cut_by_size():
    data = sample()
    least, sizes = len(container.cut.cut(data, stages=1)), set()
    for size in range(len(data) - 60, len(data) + 2):
        try:
            cut = container.cut.cut(data, size=size)
        except errors.LicBadOption:
            assert size < least
            continue
        assert len(cut) <= size
        sizes.add(len(cut))
        for tile, full in zip(container.read(cut).tiles, container.read(data).tiles):
            assert all(full.stages[k].startswith(part) for k, part in enumerate(tile.stages))
            assert all(not part for k, part in enumerate(tile.stages) if tile.stages[:k] != full.stages[:k])
        container.verify(cut)
    assert len(data) in sizes
    assert least in sizes
    assert len(sizes) > 4


@pytest.mark.parametrize("wanted", [{}, {"stages": 1, "size": 99}, {"stages": 0}, {"stages": 4}, {"size": 20}])
def test_cut_refuses(wanted):
    with pytest.raises(errors.LicBadOption):
        container.cut.cut(sample(), **wanted)


def test_cut_of_a_damaged_file():
    for damaged, kind in ((sample()[:-9], errors.LicTruncated), (sample()[:-9] + bytes(9), errors.LicCorruptChunk)):
        with pytest.raises(kind):
            container.cut.cut(damaged, stages=1)


# ---- previews --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preview", [("JPEG", 1, 4096, b""), ("WEBP", 4096, 1, b"RIFF" * 1000)])
def test_previews_round_trip(preview):
    data = container.write(header(), [[STATES]], preview=container.Preview(*preview))
    assert container.read_head(data).preview == preview
    assert container.read_head(data).chunk("p").length > len(preview[3])
    container.verify(data)


def test_hostile_previews():
    """What is ancillary is skipped where it is asked to be, or is not known."""
    unknown = header_bytes(GOOD_H) + chunk(b"p", b"\2\5\5abc") + T
    assert container.read_head(unknown).preview is None
    container.verify(unknown)
    for payload in (b"", b"\0", b"\0\0\5", b"\0\5\x81\x20", b"\0\x80", b"\0\xff\xff\xff\xff\xff\xff"):
        data = header_bytes(GOOD_H) + chunk(b"p", payload) + T
        with pytest.raises(errors.LicCorruptChunk):
            container.read_head(data)
        assert container.read_head(data, truncated=True).preview is None
        assert container.read(data, truncated=True) == container.read(GOOD)
    assert container.read_head(GOOD).preview is None


def test_every_bit_flip_is_refused():
    data = sample()
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(errors.LicError):
            container.read(bytes(flipped))
        try:
            container.read(bytes(flipped), truncated=True)
            container.read_head(bytes(flipped))
        except errors.LicError:
            pass


def test_damaged_parts_are_dropped_when_asked():
    data = bytearray(sample())
    head = container.read_head(bytes(data))
    for type in "cA":
        data[head.chunk(type).offset + 1] ^= 1
    data[-10] ^= 1  # in the last tile
    with pytest.raises(errors.LicCorruptChunk):
        container.read_head(bytes(data))
    chunks = container.read(bytes(data), truncated=True)
    assert chunks.icc is None
    assert chunks.alpha is None
    assert chunks.exif == b"MM\0*"
    assert all(tile.complete for tile in chunks.tiles)  # the codec's own checksum finds the damage


metadata = st.none() | st.binary(max_size=300)
headers = st.builds(
    container.Header,
    width=st.integers(1, 700),
    height=st.integers(1, 700),
    layout=st.sampled_from(["L", "LA", "RGB", "RGBA"]),
    model=st.integers(0, 2**31 - 1),
    model_hash=st.binary(min_size=8, max_size=8),
    quality_q=st.integers(100, 10000),
    tile_side=st.integers(1, 64),
    depth=st.integers(8, 16),
    thresholds=st.sets(st.integers(1, 255), max_size=15).map(lambda found: bytes(sorted(found, reverse=True))),
    cut=st.booleans(),
)
previews = st.builds(
    container.Preview, st.sampled_from(["JPEG", "WEBP"]), st.integers(1, 4096), st.integers(1, 4096), st.binary()
)


bytes_ = st.integers(0, 255)
cicps = st.none() | st.builds(container.Cicp, bytes_, bytes_, bytes_, st.integers(0, 1))
ends = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2).map(sorted)
values = st.none() | ends.map(lambda two: container.Values(container.FLOATS, *two))


@given(headers, st.data(), metadata, metadata, metadata, st.none() | previews)
@settings(deadline=None)
def test_round_trip(h, data, icc, exif, xmp, preview):
    count = h.stage_count
    stages = [[data.draw(st.binary(max_size=20)) for _ in range(count)] for _ in range(min(h.tile_count, 3))]
    stages = [[STATES + one[0], *one[1:]] for one in stages]
    stages += [[STATES, *[b""] * (count - 1)]] * (h.tile_count - len(stages))
    value = data.draw(st.integers(0, (1 << h.depth) - 1))
    alpha = b"\0" + value.to_bytes(1 if h.depth == 8 else 2, "little") if h.has_alpha else None
    cells = h.hyper_grid.rows * h.hyper_grid.columns
    rows = data.draw(st.none() | st.integers(-32, 32).map(lambda by: struct.pack("b", by) * cells))
    beside = {"cicp": data.draw(cicps), "values": data.draw(values)}
    written = container.write(h, stages, alpha=alpha, icc=icc, exif=exif, xmp=xmp, map=rows, preview=preview, **beside)
    tiles = [container.TileStream(one, True, count) for one in stages]
    for truncated in (False, True):
        chunks = container.read(io.BytesIO(written), truncated=truncated)
        assert chunks == container.Container(h, icc, exif, xmp, alpha, rows, tiles, **beside)
    head = container.read_head(written)
    assert (head.cicp, head.values) == tuple(beside.values())
    assert (head.header, head.icc, head.exif, head.xmp, head.preview) == (h, icc, exif, xmp, preview)
    container.verify(written)


@given(headers)
def test_geometry_covers_everything_once(h):
    hy, wy = h.latent_grid
    hz, wz = h.hyper_grid
    assert 16 * (hy - 1) < h.height <= 16 * hy
    assert 4 * (wz - 1) < wy <= 4 * wz
    tiles = h.tiles()
    assert [tile.number for tile in tiles] == list(range(h.tile_count))
    assert sum(a * b for a, b in (tile.latent_shape for tile in tiles)) == hy * wy
    assert sum(a * b for a, b in (tile.hyper_shape for tile in tiles)) == hz * wz
    pixels = 0
    for tile in tiles:
        rows, columns = tile.pixel_rows(h), tile.pixel_columns(h)
        pixels += (rows.stop - rows.start) * (columns.stop - columns.start)
        assert tile.latent.rows.start == 4 * tile.hyper.rows.start
        assert tile.hyper_shape.rows <= h.tile_side
        assert tile.latent_shape.columns <= 4 * h.tile_side
    assert pixels == h.width * h.height


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_garbage_after_the_signature(data):
    for truncated in (False, True):
        try:
            said = container.read(START + data, truncated=truncated).header.width
        except errors.LicError as error:
            said = str(error)
        assert said


@pytest.mark.parametrize(
    ("changes", "arguments"),
    [
        ({"width": 0}, {}),
        ({"height": 2**31}, {}),
        ({"layout": "P"}, {}),
        ({"model": -1}, {}),
        ({"model_hash": b"short"}, {}),
        ({"quality_q": 99}, {}),
        ({"tile_side": 65}, {}),
        ({"layout": "LA"}, {}),
        ({}, {"alpha": b"\0\0"}),
        ({"layout": "LA"}, {"alpha": b"\1not a PNG"}),
        ({}, {"tiles": []}),
        ({}, {"tiles": [[b"short"]]}),
        ({}, {"tiles": [[STATES, b""]]}),
        ({"depth": 7}, {}),
        ({"depth": 17}, {}),
        ({"thresholds": b"\4\4"}, {}),
        ({"thresholds": b"\0"}, {}),
        ({"thresholds": bytes(range(16, 0, -1))}, {}),
        ({"thresholds": b"\4"}, {"tiles": [[STATES]]}),
        ({}, {"map": b""}),
        ({}, {"map": bytes(2)}),
        ({}, {"map": b"\x21"}),
        ({}, {"preview": container.Preview("PNG", 3, 3, b"")}),
        ({}, {"preview": container.Preview("JPEG", 0, 3, b"")}),
        ({}, {"preview": container.Preview("WEBP", 3, 4097, b"")}),
    ],
)
def test_writer_refuses(changes, arguments):
    with pytest.raises(errors.LicBadOption):
        container.write(header(**changes), **({"tiles": [[STATES]]} | arguments))


def test_writer_limits():
    with pytest.raises(errors.LicLimitExceeded):
        container.write(header(width=2**20, height=2**11), [[STATES]])
    with pytest.raises(errors.LicLimitExceeded):
        container.write(header(), [[STATES]], icc=bytes(constants.LIC_METADATA_MAX + 1))


def test_metadata_bomb_costs_no_memory():
    import tracemalloc

    body = b"\1\2" + zlib.compress(bytes(1 << 25), 9)
    head = b"c" + container.fields.varint(len(body))
    data = header_bytes(GOOD_H) + head + body + struct.pack("<I", zlib.crc32(head + body)) + T
    tracemalloc.start()
    with pytest.raises(errors.LicCorruptChunk):
        container.read(data)
    assert tracemalloc.get_traced_memory()[1] < 4 * len(data) + (1 << 20)
    tracemalloc.stop()


def test_two_thousand_mutations():
    import fuzz_format

    tried, accepted = fuzz_format.loop(0, seed=1, least=2000)
    assert tried == 2000
    assert accepted > 10


def test_error_table_of_the_document():
    """Every error of appendix A exists, and every error that exists stands there."""
    document = (Path(__file__).parents[2] / "docs" / "FORMAT.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(Lic\w+)` \|", document, re.MULTILINE))
    there = {name for name in vars(errors) if name.startswith("Lic")} - {"LicError"}
    assert named == there
    assert all(issubclass(getattr(errors, name), errors.LicError) for name in there)
    assert issubclass(errors.LicBadOption, ValueError)
