"""Threads in the core while the interpreter ends, and small stacks. Fresh processes."""

from __future__ import annotations

import pytest
from fresh import fresh
from hostile import forged

pytestmark = [pytest.mark.network, pytest.mark.install]


@pytest.mark.parametrize("engine", ["coder", "networks", "load"])
def test_daemon_threads_at_exit(engine, tmp_path):
    """Their process ended with SIGABRT: "terminate called without an active exception"."""
    (tmp_path / "a.lic").write_bytes(forged("photo-low", 256, 256))
    code = f"""
    import threading, time
    from PIL import Image
    import pillow_lic
    from pillow_lic.engines import native
    from pillow_lic.models import registry
    pillow_lic.preload(models=["photo-low"], saving=False)
    model = registry.by_name("photo-low")
    z, v = bytearray(2 * 64 * 64 * model.manifest.hyper), bytearray(2 * 64 * 64 * model.manifest.hyper)
    photo, r = native.networks(model).photo, bytearray(2 * model.manifest.latent * 16)
    out = bytearray(3 * 64 * 64)
    def coder():
        model.core.dequantise_into(300, z, (256, 256), v)
    def networks():
        photo.render(300, v[: 2 * model.manifest.hyper], r, (4, 4), (0, 0, 64, 64), out, 1)
    def load():
        Image.open({str(tmp_path / "a.lic")!r}).load()
    def for_ever():
        while True:
            {engine}()
    for _ in range(4):
        threading.Thread(target=for_ever, daemon=True).start()
    time.sleep(0.3)
    """
    for _ in range(3):
        assert fresh(code) == ""


def test_a_picture_is_loaded_while_the_interpreter_ends(tmp_path):
    """No thread can be started any more then; the caller does it all."""
    (tmp_path / "a.lic").write_bytes(forged("photo-low", 300, 300, tile_side=1))
    code = f"""
    import atexit, threading
    from PIL import Image
    import pillow_lic
    pillow_lic.set_threads(3)
    def load():
        im = Image.open({str(tmp_path / "a.lic")!r})
        im.load()
        print(im.size)
    threading._register_atexit(load)
    atexit.register(load)
    """
    assert fresh(code) == "(300, 300)\n" * 2


def test_the_size_of_stacks_stays_as_it_is():
    """Asking for threading.stack_size sets it to 0."""
    code = """
    import io, threading
    from PIL import Image
    import pillow_lic
    for size in (65536, 1 << 24):
        threading.stack_size(size)
        pillow_lic.set_threads(3)
        Image.new("RGB", (9, 9)).save(io.BytesIO(), "LIC")
        print(threading.stack_size() == size)
    """
    assert fresh(code) == "True\nTrue\n"


@pytest.mark.parametrize("model", ["photo-low", "gdn-mixture"])
def test_stacks_of_64_kilobytes(model, tmp_path):
    """Every way in a process that has done nothing yet, since what is loaded at first needs more; of the model in
    floats one, since its PyTorch takes long to import.
    """
    (tmp_path / "a.lic").write_bytes(forged(model, 300, 300))
    code = f"""
    import io, threading
    from PIL import Image
    import pillow_lic
    path = {str(tmp_path / "a.lic")!r}
    def load():
        Image.open(path).load()
    def decode():
        pillow_lic.decode(open(path, "rb").read())
    def save():
        Image.effect_noise((300, 300), 50).convert("RGBA").save(io.BytesIO(), "LIC")
    pillow_lic.set_limits(models="any")
    done = []
    threading.stack_size(65536)
    for way in {{ways}}:
        thread = threading.Thread(target=lambda: done.append(way()))
        thread.start()
        thread.join()
    print(len(done))
    """
    orders = {"photo-low": ("load, load, decode", "decode, load", "save, save"), "gdn-mixture": ("load, decode, load",)}
    for ways in orders[model]:
        assert fresh(code.replace("{ways}", f"({ways})")) == f"{len(ways.split(','))}\n"
