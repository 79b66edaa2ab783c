"""How much is decoded at once."""

from __future__ import annotations

import io
import os
import threading
import time

import pytest
from fresh import fresh
from saved_images import opened

from pillow_lic import errors, limits
from pillow_lic.codec import room as rooms


@pytest.fixture(autouse=True)
def _limits_stay(monkeypatch):
    monkeypatch.setattr(limits, "_set", None)


def together(count: int, pixels: float) -> int:
    """The most threads of `count` that were in a room at once."""
    room, inside, most = rooms.Room(), set(), []

    def work():
        with room.of(pixels):
            inside.add(threading.get_ident())
            most.append(len(inside))
            time.sleep(0.01)
            inside.discard(threading.get_ident())

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not room.inside
    assert not room.waiting
    return max(most)


def test_as_many_at_once_as_there_is_room_for():
    limits.set_limits(at_once=100)
    assert together(6, 1000) == 1, "a larger one is alone"
    assert together(6, 34) <= 2
    assert 1 < together(12, 1) <= 12


def test_loading_waits_for_its_turn(image, fake_engine, monkeypatch):
    """Threads that load: no more at once than there is room for, whatever becomes of each."""
    from pillow_lic.codec import decode

    inside, most = [], []

    class Watched(decode.Decoding):
        def begin(self):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            super().begin()

        def end(self, arrival):
            inside.pop()
            if self.chunks.header.width == 99:
                raise errors.LicCorruptTile("no")
            return super().end(arrival)

    monkeypatch.setattr(decode, "Decoding", Watched)
    files = []
    for width in (100, 99, 101, 99, 102, 103):
        buffer = io.BytesIO()
        image(width=width).save(buffer, "LIC")
        files.append(opened(buffer.getvalue()))
    limits.set_limits(at_once=100)
    failed = []

    def load(im):
        try:
            im.load()
        except errors.LicCorruptTile:
            failed.append(im)

    threads = [threading.Thread(target=load, args=(im,)) for im in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(failed) == 2
    assert not rooms.room.inside


def test_saving_waits_for_its_turn(image, fake_engine, monkeypatch):
    """Threads that save and load: no more at once than there is room for, and a save counts for several loads."""
    from pillow_lic.codec import encode

    inside, most, asked = [], [], []

    class Watched(encode.Encoding):
        def begin(self):
            inside.append(1)
            most.append(len(inside))
            asked.append(sum(rooms.room.inside.values()))
            time.sleep(0.02)
            super().begin()

        def end(self, arrival):
            inside.pop()
            return super().end(arrival)

    monkeypatch.setattr(encode, "Encoding", Watched)
    limits.set_limits(at_once=100)
    pictures, files = [image(width=width) for width in (64, 65, 66, 67)], [io.BytesIO() for _ in range(4)]
    threads = [threading.Thread(target=im.save, args=(file, "LIC")) for im, file in zip(pictures, files, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [opened(file.getvalue()).size for file in files] == [im.size for im in pictures]
    assert max(most) == 1
    assert min(asked) >= rooms.ENCODING * 64 * pictures[0].height
    assert not rooms.room.inside


def test_who_waits_in_vain_lets_go():
    """A signal's exception in the middle of the wait leaves nothing; a signal handler does not wait for itself."""
    signal = pytest.importorskip("signal")
    if not hasattr(signal, "setitimer"):
        pytest.skip("no timers that signal here")
    limits.set_limits(at_once=1)
    room, seen = rooms.Room(), []
    room.inside[-1] = 5.0  # of another thread

    def soft(*_):
        with room.of(1):
            seen.append(1)
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, soft)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(TimeoutError), room.of(1):
            raise AssertionError
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen
    assert not room.waiting
    assert room.inside == {-1: 5.0}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_child_waits_for_nobody_of_its_parent():
    code = """
    import os, threading, time
    from pillow_lic.codec import room
    def hold():
        with room.room.of(1e12):
            time.sleep(1)
    threading.Thread(target=hold).start()
    time.sleep(0.1)
    pid = os.fork()
    if pid == 0:
        begin = time.perf_counter()
        with room.room.of(1e12):
            os._exit(time.perf_counter() - begin > 0.5)
    print(os.waitpid(pid, 0)[1])
    """
    assert fresh(code) == "0\n"
