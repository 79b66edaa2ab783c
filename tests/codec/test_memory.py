"""Shortage of memory, and memory and open files over many operations. Fresh processes."""

from __future__ import annotations

import sys

import pytest
from fresh import fresh
from hostile import forged

pytestmark = [
    pytest.mark.network,
    pytest.mark.install,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, and wants RLIMIT_AS to be kept"),
]


def test_shortage_is_a_memory_error(tmp_path):
    """At any amount that is there, warm or cold; afterwards all is as it was."""
    (tmp_path / "big.lic").write_bytes(forged("photo-low", 768, 1024, "RGBA", tile_side=4))
    (tmp_path / "small.lic").write_bytes(forged("photo-low", 100, 100))
    code = f"""
    import os, resource
    from PIL import Image
    import pillow_lic
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    def load(name):
        im = Image.open({str(tmp_path)!r} + "/" + name)
        im.load()
        return im.getpixel((0, 0))
    def under(megabytes, warm):
        pid = os.fork()
        if pid:
            return os.waitpid(pid, 0)[1]
        first = load("small.lic") if warm else None
        taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + (megabytes << 20), hard))
        try:
            load("big.lic")
            became = 0
        except MemoryError:
            became = 1
        except BaseException as error:
            print(megabytes, warm, type(error).__name__, error)
            became = 2
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        if warm and load("small.lic") != first:
            became = 3
        load("big.lic")
        os._exit(became)
    pillow_lic.set_threads(2)
    import PIL.PngImagePlugin, concurrent.futures.thread  # importing may fail in ways of Python's own
    import pillow_lic.codec.decode, pillow_lic.engines.native
    found = [under(megabytes, warm) for warm in (True, False) for megabytes in (1, 6, 12, 20, 400)]
    print(sorted(set(found)), found[4], found[-1])
    """
    assert fresh(code) == "[0, 256] 0 0\n"


def test_memory_and_open_files_over_many_operations(tmp_path):
    """A shorter form of bench/operations.py."""
    code = f"""
    import sys
    sys.path[:0] = ["bench"]
    import operations
    operations.SIDE = 70
    before, after = (operations.run(count, {str(tmp_path)!r}, model="toy") for count in (20, 60))
    print(after.files - before.files, after.threads - before.threads, after.megabytes - before.megabytes < 12)
    """
    assert fresh(code) == "0 0 True\n"
