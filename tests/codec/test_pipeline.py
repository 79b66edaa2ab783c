"""Batches: the same as one by one, in bounded memory."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from shortcuts import symbols, threads, written

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.codec import pipeline
from pillow_lic.codec.metadata import Metadata
from pillow_lic.engines.base import GREY, Arrival, at_once
from pillow_lic.engines.torch import place

pytestmark = pytest.mark.network


def same_symbols(a: bytes, b: bytes) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(symbols(a), symbols(b), strict=True))


# ---- On the CPU ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3])
def test_encoding_is_one_by_one(arrays, count):
    with threads(count):
        assert pillow_lic.encode_batch(iter(arrays), model="toy", quality=62.5) == [
            pillow_lic.encode(array, model="toy", quality=62.5) for array in arrays
        ]


def test_decoding_is_one_by_one(files, arrays):
    found = pillow_lic.decode_batch(iter(files))
    assert [array.shape for array in found] == [array.shape for array in arrays]
    for array, data in zip(found, files, strict=True):
        assert np.array_equal(array, pillow_lic.decode(data))


def test_nothing_at_all():
    assert pillow_lic.encode_batch([]) == pillow_lic.decode_batch([]) == []


def test_first_wrong_one_is_named(files, arrays):
    broken = [*files[:3], files[3][:-9], b"nothing of ours"]
    with pytest.raises(errors.LicTruncated) as caught:
        pillow_lic.decode_batch(broken)
    assert caught.value.__notes__ == ["image 3 of the batch, counted from 0"]
    with pytest.raises(errors.LicBadOption) as caught:
        pillow_lic.encode_batch([arrays[0], arrays[1].astype(float)], model="toy")
    assert caught.value.__notes__ == ["image 1 of the batch, counted from 0"]


def damaged(data: bytes) -> bytes:
    """With a tile stream that does not decode."""
    chunks = container.read(data)
    stream = bytearray(chunks.tiles[0].stages[0])
    stream[len(stream) // 2] ^= 4
    return written(chunks, [[bytes(stream)]])


def test_damage_found_on_a_thread_is_named(files):
    with pytest.raises(errors.LicCorruptTile, match="tile 0") as caught:
        pillow_lic.decode_batch([files[0], damaged(files[0]), files[2]])
    assert caught.value.__notes__ == ["image 1 of the batch, counted from 0"]
    with pytest.warns(UserWarning, match="grey"):
        found = pillow_lic.decode_batch([files[0], damaged(files[0])], truncated=True)
    assert np.all(found[1] == GREY)
    assert np.array_equal(found[0], pillow_lic.decode(files[0]))


def test_options_reach_each_file(files):
    with pytest.raises(errors.LicLimitExceeded, match="max_pixels"):
        pillow_lic.decode_batch(files, max_pixels=100)


def test_threads_are_one_pool(files):
    """However many batches there are, and whatever becomes of them."""
    with threads(3):
        pillow_lic.decode_batch(files)
        before = threading.active_count()
        for _ in range(3):
            pillow_lic.decode_batch(files)
            with pytest.raises(errors.LicError):
                pillow_lic.decode_batch([*files, b""])
        assert threading.active_count() == before


def test_many_with_keys_and_metadata(arrays):
    items = (pipeline.Item(f"n{n}", array, Metadata(xmp=b"<x/>")) for n, array in enumerate(arrays))
    found = list(pipeline.encode_many(items, model="toy", quality=30))
    assert [key for key, _ in found] == [f"n{n}" for n in range(len(arrays))]
    assert [data for _, data in found] == [
        pillow_lic.encode(array, model="toy", quality=30, xmp=b"<x/>") for array in arrays
    ]
    decoded = list(pillow_lic.decode_many(found))
    assert [item.key for item in decoded] == [key for key, _ in found]
    assert all(item.metadata == Metadata(xmp=b"<x/>") for item in decoded)
    assert all(np.array_equal(item.array, pillow_lic.decode(data)) for item, (_, data) in zip(decoded, found))
    again = pillow_lic.encode_many(decoded, lossless=True)
    assert all(item.metadata.xmp == b"<x/>" for item in pillow_lic.decode_many(again))


def test_many_from_tuples_and_to_paths(arrays, tmp_path):
    items = [("a", arrays[0]), ("b", arrays[1], {"icc": None, "xmp": b"<x/>"})]
    for key, data in pillow_lic.encode_many(items, model="toy", effort=0):
        (tmp_path / key).write_bytes(data)
    found = [item.metadata.xmp for item in pillow_lic.decode_many((key, tmp_path / key) for key in "ab")]
    assert found == [None, b"<x/>"]


@pytest.mark.parametrize("item", [("a",), 3, ("a", None, 5), ("a", None, {"iptc": b""}), ("a", None, None, None)])
def test_items_that_are_none(item):
    with pytest.raises(errors.LicBadOption, match="an item must be"):
        list(pillow_lic.encode_many([item], model="toy"))


def test_options_of_many_are_checked_at_once():
    with pytest.raises(errors.LicBadOption, match="effort"):
        pipeline.encode_many([], effort=99)


def test_who_stops_taking_leaves_nothing_running(arrays):
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield pipeline.Item(number, arrays[0])

    many = pipeline.encode_many(items(), model="toy", effort=0)
    assert next(many)[0] == 0
    many.close()
    assert len(taken) <= pipeline.FLIGHTS_MAX + 2


# ---- The line -----------------------------------------------------------------------------------------------------


class Counted:
    """Jobs that count what is in flight; each is (number of pixels, key)."""

    def __init__(self, group):
        self.lock = threading.Lock()
        self.group = group
        self.flying = self.most = self.taken = 0
        self.groups: list[int] = []

    def streams(self):
        return place.Place("cpu").streams()

    def jobs(self, jobs):
        for job in jobs:
            self.taken += 1
            yield job, CountedJob(self, *job)

    def run(self, jobs):
        found = []
        for outcome in pipeline.outcomes(self.jobs(jobs)):
            if outcome.error is not None:
                raise outcome.error
            assert outcome.key == outcome.result
            found.append(outcome.result)
        return found


class CountedJob:
    notes = ()

    def __init__(self, engine, pixels, key):
        self.engine, self.pixels, self.key = engine, pixels, key

    def begin(self):
        with self.engine.lock:
            self.engine.flying += self.pixels
            self.engine.most = max(self.engine.most, self.engine.flying)

    @staticmethod
    def run(jobs):
        assert len({job.key for job in jobs}) == 1
        jobs[0].engine.groups.append(len(jobs))
        return [Arrival((job.pixels, job.key), at_once) for job in jobs]

    def end(self, arrival):
        time.sleep(0.001)
        with self.engine.lock:
            self.engine.flying -= self.pixels
        return arrival.value


def test_window_bounds_what_is_in_flight(monkeypatch):
    monkeypatch.setattr(pipeline, "WINDOW", 1000)
    jobs = [(size, "a") for size in [400, 300, 200, 700, 5000, 10, 10, 990, 1000, 1] * 4]
    counted = Counted(600)
    assert counted.run(jobs) == jobs
    assert counted.most == 5000  # the one that is larger than the window flies alone
    counted = Counted(600)
    assert counted.run([(size % 1000, key) for size, key in jobs]) == [(size % 1000, key) for size, key in jobs]
    assert counted.most <= 1000
    assert counted.flying == 0


@pytest.mark.parametrize(("group", "most"), [(10, 8), (0, 3)])
def test_small_pictures_are_bounded_in_number(group, most, monkeypatch):
    """More tightly where each has a call of the engine to itself."""
    monkeypatch.setattr(pipeline, "FLIGHTS_MAX", 8)
    monkeypatch.setattr(pipeline, "FLIGHTS_ALONE", 3)
    counted = Counted(group)
    assert len(counted.run([(1, "a")] * 50)) == 50
    assert 1 < counted.most <= most


def test_jobs_are_taken_as_there_is_room(monkeypatch):
    """A generator of large pictures is not read to its end at once; what was handed over makes room."""
    monkeypatch.setattr(pipeline, "WINDOW", 1000)
    counted, ahead = Counted(0), []
    for number, _ in enumerate(pipeline.outcomes(counted.jobs([(500, n) for n in range(20)]))):
        ahead.append(counted.taken - number)
    assert max(ahead) <= 4


def test_results_come_in_order(monkeypatch):
    """Also where a group takes a later picture along."""
    jobs = [(100, "abbab"[n % 5]) for n in range(23)]
    counted = Counted(400)
    assert counted.run(jobs) == jobs


def test_groups_are_of_like_pictures(monkeypatch):
    monkeypatch.setattr(pipeline, "WINDOW", 1 << 13)
    monkeypatch.setattr(pipeline, "FLIGHTS_MAX", 1 << 13)
    jobs = [(100, "ab"[n % 2]) for n in range(12)]
    counted = Counted(400)
    assert counted.run(jobs) == jobs
    assert counted.groups == [4, 4, 2, 2]
    counted = Counted(1 << 30)
    counted.run([(1, "a")] * 100)
    assert max(counted.groups) == pipeline.GROUP_MAX
    counted = Counted(place.Place("cpu").group)
    counted.run(jobs)
    assert counted.groups == [1] * 12


def test_an_error_is_its_jobs_own(monkeypatch):
    """The others go on; who takes the outcomes may end it all."""
    monkeypatch.setattr(pipeline, "WINDOW", 300)

    def begin(job):
        if job.key == 5:
            raise ValueError("five")

    def end(job, arrival):
        return arrival.value

    monkeypatch.setattr(CountedJob, "begin", begin)
    monkeypatch.setattr(CountedJob, "end", end)
    counted = Counted(0)
    found = list(pipeline.outcomes(counted.jobs([(100, n) for n in range(9)])))
    assert [outcome.error is None for outcome in found] == [n != 5 for n in range(9)]
    counted = Counted(0)
    with pytest.raises(ValueError, match="five"):
        counted.run([(100, n) for n in range(1000)])
    assert counted.taken < 20
