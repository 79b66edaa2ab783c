"""Files that are cut or damaged: what is used of them all the same, and `container.cut`, which makes them shorter."""

from __future__ import annotations

import dataclasses

import pytest
from literal_files import sample

import pillow_lic.container.cut  # noqa: F401  (its name: container.cut)
from pillow_lic import container, errors

pytestmark = pytest.mark.quick


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
