"""Processes that are forked, before, during and after their parent's first load."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING

import pytest
from pictures import picture

import pillow_lic
from pillow_lic.engines import choice as engines

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.network


def test_forked_child_decodes_after_its_parent(make_picture, engine):
    """A child has none of the parent's threads; it must not wait for them."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    data = pillow_lic.encode(make_picture(256, 256), model="toy")
    pillow_lic.decode(data)
    context = multiprocessing.get_context("fork")
    child = context.Process(target=pillow_lic.decode, args=(data,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on warns of fork beside threads
        child.start()
    child.join(60)
    alive = child.is_alive()
    child.kill()
    assert not alive
    assert child.exitcode == 0


def in_forked_child(setup: str, tmp_path: Path) -> str:
    """What a child prints that decodes x.lic with PyTorch, forked by a fresh process after `setup`, which has not
    imported the codec yet.
    """
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    (tmp_path / "x.lic").write_bytes(pillow_lic.encode(picture(256, 256), model="toy"))
    code = f"""
import os, sys, threading, time
import torch
from PIL import Image
{setup}
child = os.fork()
if child == 0:
    with Image.open("x.lic") as im:
        im.load()
        print(im.size, torch.get_num_threads(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    environment = os.environ | {"OMP_NUM_THREADS": "2", engines.ENGINE_VARIABLE: "torch"}
    run = [sys.executable, "-W", "ignore", "-c", "import pillow_lic" + code]
    try:
        return subprocess.run(
            run, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        ).stdout.strip()
    except subprocess.TimeoutExpired:
        return "it hangs"


def test_forked_child_decodes_where_its_parent_used_torch_alone(tmp_path):
    setup = """
assert torch.rand(900, 900).mm(torch.rand(900, 900)).sum() > 0
assert 'pillow_lic.engines.torch.engine' not in sys.modules
"""
    assert in_forked_child(setup, tmp_path) == "(256, 256) 1"


def test_fork_while_another_thread_loads_a_model(tmp_path):
    setup = """
from pillow_lic.engines.torch import networks
real, begun = networks.stages, threading.Event()
def slow(*arguments):
    begun.set()
    time.sleep(0.5)
    return real(*arguments)
networks.stages = slow
threading.Thread(target=lambda: Image.open("x.lic").load()).start()
begun.wait(30)
"""
    assert in_forked_child(setup, tmp_path) == "(256, 256) 1"


FORKS = """
import os, signal, sys, threading, time
from PIL import Image
import pillow_lic
from pillow_lic.engines import native
from pillow_lic.models import registry, store, weights

places = [(weights, "read"), (weights, "identity"), (native, "buffers"), (store.Model, "_read"), (store, "buffers")]
def load():
    with Image.open("x.lic") as im:
        im.load()
    return im.size

for round in range(10):
    registry._shipped.clear(), registry._by_hash.clear(), native._loaded.clear()
    (place, name), begun = places[round % len(places)], threading.Event()
    real = getattr(place, name)
    def slow(*arguments):
        if not begun.is_set():
            begun.set()
            time.sleep(0.1)
        return real(*arguments)
    setattr(place, name, slow)
    thread = threading.Thread(target=load)
    thread.start()
    begun.wait(30)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if load() == (256, 256) else 1)
    print(os.waitpid(child, 0)[1], end=" ", flush=True)
    thread.join()
    setattr(place, name, real)
print({"torch", "numpy"} & set(sys.modules))
"""


def test_fork_while_another_thread_is_in_its_first_load(tmp_path):
    """Of the native engine, in whatever step: the child waits for no lock that its parent's thread had."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    (tmp_path / "x.lic").write_bytes(pillow_lic.encode(picture(256, 256), model="toy"))
    run = [sys.executable, "-W", "ignore", "-c", FORKS]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=250)
    assert done.stdout.split() == ["0"] * 10 + ["set()"], done.stderr
