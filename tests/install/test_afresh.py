"""Pillow that is imported again in a process: reloaders, patched `sys.modules`. In fresh processes."""

from __future__ import annotations

import textwrap

import pytest
from interpreters import HOOK, OFF, run

pytestmark = pytest.mark.install

AFRESH = {
    "patched": """
    with mock.patch.dict(sys.modules):
        for name in [name for name in sys.modules if name.split(".")[0] == "PIL"]:
            del sys.modules[name]
        check()
    check()
    """,
    "patched with the package": """
    with mock.patch.dict(sys.modules):
        for name in [name for name in sys.modules if name.split(".")[0] in ("PIL", "pillow_lic")]:
            del sys.modules[name]
        check()
    check()
    """,
    "emptied": """
    with mock.patch.dict(sys.modules):
        for name in set(sys.modules) - before:
            del sys.modules[name]
        check()
    check()
    """,
    "popped for good": """
    for name in [name for name in sys.modules if name.split(".")[0] == "PIL"]:
        del sys.modules[name]
    check()
    """,
    "reloaded": """
    import importlib, PIL.Image
    importlib.reload(PIL.Image)
    check()
    """,
    "again and again": """
    for _ in range(3):
        for name in [name for name in sys.modules if name.split(".")[0] in ("PIL", "pillow_lic")]:
            del sys.modules[name]
        check()
    """,
}


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("way", AFRESH)
def test_pillow_imported_afresh(way, used, tmp_path):
    start = HOOK if used else "import pillow_lic"
    code = """
    import io, sys
    from unittest import mock
    if with_package:
        import numpy  # which cannot be imported twice in a process
    before = set(sys.modules)
    def check():
        from PIL import Image, ImageFile
        for mode in ("RGB", "LA"):
            im = Image.new(mode, (9, 9), 7 if mode == "RGB" else (7, 9))
            im.save("a.lic")
            back = Image.open("a.lic")
            assert isinstance(back, ImageFile.ImageFile), "of another Pillow"
            assert back.tobytes() == im.tobytes()
            back.save(io.BytesIO(), "LIC")
            varying = Image.linear_gradient("L").resize((40, 30))
            cut_out = Image.merge("LA", (varying.transpose(Image.Transpose.ROTATE_180), varying))
            for given in ({}, {"lossless": True}):
                cut_out.save("b.lic", **given)
                other = Image.open("b.lic")
                assert other.getchannel("A").tobytes() == varying.tobytes()
            assert back.convert("RGB").size == (9, 9)
        assert Image.ID.count("LIC") == 1
        ours = [finder for finder in sys.meta_path if type(finder).__module__.startswith("pillow_lic")]
        assert len(ours) == 1, ours
    import PIL.Image
    """
    code = f"with_package = {'pillow_lic' in AFRESH[way] or 'before' in AFRESH[way]}\n" + textwrap.dedent(code)
    code += ("check()\n" if used else "") + textwrap.dedent(AFRESH[way])
    run(start + "\n" + code, tmp_path, **OFF)
