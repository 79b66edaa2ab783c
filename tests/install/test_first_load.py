"""The first load and save of a process, cut short by a signal: later ones work as if nothing had been.

Soft time limits, Ctrl-C and a notebook's stop button raise in the main thread at any moment. Fresh processes, by the
real engines.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = [pytest.mark.install, pytest.mark.network]

GOLDEN = Path(__file__).parents[1] / "golden" / "one-pixel.lic"
START = f"""
import io, signal, sys, time
from PIL import Image
import pillow_lic
class Soft(Exception): pass
def soft(*_): raise Soft
signal.signal(signal.SIGALRM, soft)
im = Image.open({str(GOLDEN)!r})
"""
CUT = """
begin = time.perf_counter()
signal.setitimer(signal.ITIMER_REAL, float(sys.argv[1]))
try:
    first()
except Soft:
    print("cut", end=" ")
signal.setitimer(signal.ITIMER_REAL, 0)
print(f"{time.perf_counter() - begin:.4f}", end=" ")
first()
print("usable")
"""
WAYS = {
    "load": "first = im.load",
    "save": "im = Image.new('RGB', (9, 9)); first = lambda: im.save(io.BytesIO(), 'LIC', model='toy', effort=0)",
    "array": "data = open(im.filename, 'rb').read(); first = lambda: pillow_lic.decode(data)",
}


def run(code: str, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr[-2000:])
    return done.stdout


@pytest.mark.skipif(not hasattr(__import__("signal"), "setitimer"), reason="no timers that signal here")
@pytest.mark.parametrize("way", WAYS)
def test_interrupted_first_use(way):
    code = START + WAYS[way] + CUT
    whole = float(run(code, "100").split()[0])
    cut = 0
    for part in (0.05, 0.3, 0.6, 0.8):
        said = run(code, f"{part * whole:.4f}")
        assert said.endswith("usable\n")
        cut += said.startswith("cut")
    assert cut >= 2


def test_the_wait_is_over_at_once():
    """The import goes on by itself; who waited for it does not."""
    code = """
    import signal, sys, time, threading
    from pillow_lic import imports
    class Slow:
        def find_spec(self, name, path=None, target=None):
            if name == "slowly":
                time.sleep(3)
    sys.meta_path.insert(0, Slow())
    def soft(*_): raise KeyboardInterrupt
    signal.signal(signal.SIGALRM, soft)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    begin = time.perf_counter()
    try:
        imports.imported("slowly")
    except KeyboardInterrupt:
        print(time.perf_counter() - begin < 2)
    """
    assert run(code) == "True\n"


def test_preload():
    code = """
    import sys, pillow_lic
    pillow_lic.preload()
    before = set(sys.modules)
    from pillow_lic.models import choice, registry
    from pillow_lic.engines import native
    for _, name in choice.TUNES[choice.DEFAULT_TUNE]:
        made = vars(native.networks(registry.by_name(name)))
        assert {"photo", "analysis"} <= set(made), made
    pillow_lic.preload(models=["toy"], saving=False)
    made = vars(native.networks(registry.by_name("toy")))
    assert "photo" in made and "analysis" not in made
    from PIL import Image
    import io
    b = io.BytesIO()
    Image.new("RGB", (9, 9)).save(b, "LIC")
    Image.open(b).load()
    late = [name for name in set(sys.modules) - before if name.split(".")[0] in ("pillow_lic", "numpy")]
    print(late, "torch" in sys.modules)
    """
    assert run(code) == "[] False\n"
