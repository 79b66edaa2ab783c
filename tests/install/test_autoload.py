"""Registration: on import, at interpreter start, in applications that know nothing of us.

Everything runs in fresh processes. Those that need the start-up files installed are skipped where they are not.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from interpreters import AUTOLOAD, HOOK, OFF, run

pytestmark = pytest.mark.install


def start_up_files() -> Path | None:
    spec = importlib.util.find_spec("_pillow_lic_autoload")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    return folder if folder and (folder / "pillow_lic.pth").exists() else None


installed = pytest.mark.skipif(start_up_files() is None, reason="the start-up files are not installed: pip install .")


# ---- By import ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "import pillow_lic; from PIL import Image",
        "from PIL import Image; import pillow_lic",
        "import pillow_lic.LicImagePlugin; from PIL import Image",
        "from PIL import Image; from pillow_lic import LicImagePlugin",
        "from PIL import Image; from pillow_lic import register_lic_opener as twice; twice(); twice()",
    ],
)
def test_by_import(statement, tmp_path):
    code = f"""
    {statement}
    import mimetypes
    Image.new("RGB", (9, 9)).save("a.lic")
    im = Image.open("a.lic")
    assert im.format == "LIC" and im.load() is not None
    assert Image.ID.count("LIC") == 1 and Image.MIME["LIC"] == "image/x-lic"
    assert mimetypes.guess_type("a.lic")[0] == "image/x-lic"
    print("ok")
    """
    assert run(code, tmp_path, **OFF) == "ok"


def test_import_loads_nothing_heavy(tmp_path):
    code = """
    import sys, pillow_lic
    heavy = ("PIL.Image", "numpy", "torch", "cupy", "imageio", "pillow_lic.container")
    print([name for name in heavy if name in sys.modules])
    """
    assert run(code, tmp_path, fake=False, **OFF) == "[]"


def test_open_loads_no_codec(tmp_path):
    run("import pillow_lic; from PIL import Image; Image.new('L', (99, 99)).save('a.lic', exif=b'MM')", tmp_path)
    code = """
    import sys, pillow_lic
    from PIL import Image
    im = Image.open("a.lic")
    assert im.size == (99, 99) and im.info["exif"]
    im.verify()
    print([name for name in ("numpy", "torch", "cupy", "imageio", "pillow_lic.codec") if name in sys.modules])
    """
    assert run(code, tmp_path, **OFF) == "[]"


def test_mimetypes_after_its_database_is_read(tmp_path):
    code = """
    import mimetypes
    mimetypes.init()
    import pillow_lic
    print(mimetypes.guess_type("a.lic")[0], mimetypes.guess_extension("image/x-lic"))
    """
    assert run(code, tmp_path, fake=False, **OFF) == "image/x-lic .lic"


def test_watched_modules_keep_their_loaders(tmp_path):
    code = """
    import pillow_lic, importlib.util, sys
    assert importlib.util.find_spec("PIL.Image") is not None  # looked at, not imported
    import PIL.Image, mimetypes, inspect
    for module in (PIL.Image, mimetypes):
        for loader in (module.__loader__, module.__spec__.loader):
            assert type(loader).__module__ == "_frozen_importlib_external"
        assert inspect.getsource(module)
    print(PIL.Image.EXTENSION[".lic"])
    """
    assert run(code, tmp_path, fake=False, **OFF) == "LIC"


@pytest.mark.parametrize("start", [HOOK, "import pillow_lic"])
def test_loaders_are_copied_as_the_real_ones(start, tmp_path):
    code = """
    import copy, importlib.util, pickle
    loader = importlib.util.find_spec("PIL.Image").loader
    assert type(loader).__module__ in ("_pillow_lic_autoload", "pillow_lic.watch")
    for again in (copy.copy(loader), copy.deepcopy(loader), pickle.loads(pickle.dumps(loader))):
        assert type(again).__name__ == "SourceFileLoader"
        assert again.path == loader.path
    try:
        type(loader).__new__(type(loader)).anything
    except AttributeError:
        print("ok")
    """
    assert run(start + textwrap.dedent(code), tmp_path, fake=False, **OFF) == "ok"


def test_threads_import_at_once(tmp_path):
    code = """
    import threading
    def a(): import pillow_lic
    def b(): import PIL.Image
    def c(): import mimetypes
    threads = [threading.Thread(target=t) for t in (a, b, c, a, b, c)]
    for t in threads: t.start()
    for t in threads: t.join()
    import PIL.Image
    print(PIL.Image.EXTENSION[".lic"])
    """
    for _ in range(5):  # an import within a finder blocks about one run in fifty
        assert run(HOOK + textwrap.dedent(code), tmp_path, **OFF) == "LIC"


# ---- The hook, from the source tree -------------------------------------------------------------------------------


def test_hook_waits(tmp_path):
    code = """
    import sys
    assert not any(name.startswith("pillow_lic") for name in sys.modules)
    assert not any(name.startswith(("PIL", "numpy", "imageio")) for name in sys.modules)
    import PIL
    assert "pillow_lic" not in sys.modules
    from PIL import Image
    Image.new("RGB", (9, 9)).save("a.lic")
    assert Image.open("a.lic").format == "LIC"
    print("ok")
    """
    assert run(HOOK + textwrap.dedent(code), tmp_path, **OFF) == "ok"


def test_hook_with_imageio_first(tmp_path):
    pytest.importorskip("imageio")
    code = """
    import imageio.v3 as iio, numpy as np, sys
    data = iio.imwrite("<bytes>", np.zeros((9, 9, 3), np.uint8), extension=".lic")
    assert data[:1] == bytes([0x8D]) and iio.imread(data).shape == (9, 9, 3)
    print("ok")
    """
    assert run(HOOK + textwrap.dedent(code), tmp_path, **OFF) == "ok"


def test_hook_with_mimetypes_alone(tmp_path):
    code = "import mimetypes, sys; print(mimetypes.guess_type('a.lic')[0], 'PIL' in sys.modules)"
    assert run(HOOK + code, tmp_path, **OFF) == "image/x-lic False"


def test_hook_comes_too_late(tmp_path):
    assert run("from PIL import Image\n" + HOOK + "print(Image.EXTENSION['.lic'])", tmp_path, **OFF) == "LIC"


def test_hook_survives_a_broken_package(tmp_path):
    code = "sys.modules['pillow_lic'] = None\nfrom PIL import Image; import mimetypes; print('.lic' in Image.EXTENSION)"
    assert run(HOOK + code, tmp_path, fake=False, **OFF) == "False"


def test_hook_retires(tmp_path):
    pytest.importorskip("imageio")
    code = """
    from PIL import Image
    import mimetypes, imageio.config.extensions
    kinds = [f"{type(f).__module__}.{type(f).__name__}" for f in sys.meta_path]
    print([kind for kind in kinds if kind.startswith(("_pillow_lic_autoload", "pillow_lic"))])
    """  # the package's own finder stays: Pillow may be imported afresh
    stays = "['pillow_lic.watch.Finder']"
    assert run(HOOK + textwrap.dedent(code), tmp_path, fake=False, **OFF) == stays


@pytest.mark.parametrize("layout", ["wheel", "editable"])
def test_hook_takes_the_package_beside_itself(layout, tmp_path):
    """Not one of that name in the folder where a program runs."""
    site, here = tmp_path / "site", tmp_path / "here"
    for folder, said in ((site, "right"), (here, "wrong")):
        (folder / "pillow_lic").mkdir(parents=True)
        (folder / "pillow_lic" / "__init__.py").write_text(f"print({said!r})\n")
        (folder / "pillow_lic" / "plugins.py").write_text("def register_everywhere(): pass\n")
    if layout == "editable":  # the folder beside holds no package
        (site / "pillow_lic" / "__init__.py").unlink()
    (site / "_pillow_lic_autoload.py").write_bytes((AUTOLOAD / "_pillow_lic_autoload.py").read_bytes())
    code = f"""
    import sys
    sys.meta_path[:] = [
        finder for finder in sys.meta_path
        if "editable" not in type(finder).__module__ and not type(finder).__module__.startswith("_pillow_lic")
    ]
    sys.modules.pop("_pillow_lic_autoload", None)
    import importlib.util  # by its place: an installed copy may stand before it on the path
    spec = importlib.util.spec_from_file_location("_pillow_lic_autoload", {str(site / "_pillow_lic_autoload.py")!r})
    sys.modules["_pillow_lic_autoload"] = _pillow_lic_autoload = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(_pillow_lic_autoload)
    sys.path.append({str(site)!r})
    _pillow_lic_autoload.install()
    import mimetypes
    import pillow_lic
    assert _pillow_lic_autoload.Beside not in sys.meta_path
    """
    assert run(code, here, fake=False) == ("right" if layout == "wheel" else "wrong")


def test_start_up_lines_are_readable():
    assert (AUTOLOAD / "pillow_lic.pth").read_text() == "import _pillow_lic_autoload; _pillow_lic_autoload.install()\n"
    assert (AUTOLOAD / "pillow_lic.start").read_text() == "_pillow_lic_autoload:install\n"


# ---- Installed ----------------------------------------------------------------------------------------------------

SAVE_AND_OPEN = """
from PIL import Image
Image.new("RGB", (9, 9), (1, 2, 3)).save("a.lic", quality=50)
im = Image.open("a.lic")
print(im.format, im.getpixel((0, 0)))
"""


@installed
@pytest.mark.parametrize("flags", [(), ("-I",), ("-E", "-s"), ("-O",)])
def test_any_program(flags, tmp_path):
    assert run(SAVE_AND_OPEN, tmp_path, *flags) == "LIC (1, 2, 3)"


@installed
def test_opt_out(tmp_path):
    code = "import sys\nfrom PIL import Image\nprint('.lic' in Image.EXTENSION, 'pillow_lic' in sys.modules)"
    assert run(code, tmp_path, fake=False, **OFF) == "False False"


def has_toy() -> bool:
    from pillow_lic.models import choice

    return "toy" in choice.names()


@installed
@pytest.mark.skipif(not has_toy(), reason="the toy model is not there")
def test_any_program_with_a_real_model(tmp_path):
    code = """
    import sys
    from PIL import Image, ImageChops, ImageStat
    im = Image.radial_gradient("L").resize((200, 150)).convert("RGBA")
    im.putalpha(Image.linear_gradient("L").resize((200, 150)))
    im.save("a.lic", model="toy", quality=90)
    back = Image.open("a.lic")
    assert back.info["model"] == "toy"
    assert back.getchannel("A").tobytes() == im.getchannel("A").tobytes()
    print(max(ImageStat.Stat(ImageChops.difference(im, back)).rms) < 20)
    """
    pytest.importorskip("torch")
    assert run(code, tmp_path, fake=False) == "True"


@installed
def test_imageio(tmp_path):
    pytest.importorskip("imageio")
    code = """
    import imageio, numpy as np
    imageio.v2.imwrite("a.lic", np.zeros((9, 9, 3), np.uint8), quality=40, screen="off")
    print(open("a.lic", "rb").read(4).hex(), imageio.v3.imread("a.lic").shape, imageio.v3.immeta("a.lic")["quality"])
    """
    assert run(code, tmp_path) == "8d4c4944 (9, 9, 3) 40.0"


@installed
def test_scikit_image(tmp_path):
    pytest.importorskip("skimage")
    code = """
    import skimage.io, numpy as np
    a = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    skimage.io.imsave("a.lic", a, check_contrast=False)
    print(open("a.lic", "rb").read(4).hex(), (skimage.io.imread("a.lic") == a).all())
    """
    assert run(code, tmp_path) == "8d4c4944 True"


@installed
def test_matplotlib(tmp_path):
    pytest.importorskip("matplotlib")
    code = """
    import matplotlib.image, numpy as np
    a = np.full((10, 12, 4), 255, np.uint8)
    matplotlib.image.imsave("a.lic", a)
    print(open("a.lic", "rb").read(4).hex(), matplotlib.image.imread("a.lic").shape)
    """
    assert run(code, tmp_path, MPLCONFIGDIR=str(tmp_path)) == "8d4c4944 (10, 12, 4)"


@installed
def test_django_image_field(tmp_path):
    pytest.importorskip("django")
    code = """
    import django.conf
    django.conf.settings.configure()
    import django; django.setup()
    from django import forms
    from django.core.files.images import get_image_dimensions
    from django.core.files.uploadedfile import SimpleUploadedFile
    import os
    from PIL import Image
    Image.effect_noise((300, 200), 90).save("a.lic")
    data = open("a.lic", "rb").read()
    field = forms.ImageField()
    cleaned = field.clean(SimpleUploadedFile("a.lic", data))
    print(cleaned.content_type, cleaned.image.size, get_image_dimensions("a.lic"))
    for bad in (data[:-9], data[:100] + b"!!" + data[102:], b"FEATURE x y 1.0"):
        try:
            field.clean(SimpleUploadedFile("a.lic", bad))
            print("accepted")
        except forms.ValidationError:
            pass
    """
    assert run(code, tmp_path) == "image/x-lic (300, 200) (300, 200)"


@installed
def test_python_m_pil(tmp_path):
    result = subprocess.run([sys.executable, "-m", "PIL"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    entry = result.stdout.split("LIC ", 1)[1].split("-" * 20)[0]
    assert "image/x-lic" in entry
    assert ".lic" in entry
    assert "open, save" in entry


@installed
@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_multiprocessing(method, tmp_path):
    import multiprocessing

    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    (tmp_path / "worker.py").write_text(
        "def work(path):\n    from PIL import Image\n    im = Image.open(path)\n    return im.format, im.size\n"
    )
    (tmp_path / "main.py").write_text(
        textwrap.dedent(f"""
        import multiprocessing, worker
        if __name__ == "__main__":
            with multiprocessing.get_context({method!r}).Pool(2) as pool:
                print(pool.map(worker.work, ["a.lic"] * 4) == [("LIC", (9, 9))] * 4)
        """)
    )
    run(SAVE_AND_OPEN, tmp_path)
    result = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.stdout.strip() == "True", result.stderr


@installed
def test_uninstalling_removes_the_start_up_files():
    """pip removes what the distribution lists."""
    listed = {Path(str(file)).name for file in importlib.metadata.files("pillow-lic") or ()}
    assert {"pillow_lic.pth", "pillow_lic.start", "_pillow_lic_autoload.py"} <= listed


def test_the_hook_is_there_once(tmp_path):
    """In a virtual environment the start-up files run twice."""
    code = """
    import sys, _pillow_lic_autoload as autoload
    autoload.install()
    autoload.install()
    print(sum(isinstance(finder, autoload.Hook) for finder in sys.meta_path))
    """
    assert run(code, tmp_path, fake=False) == "1"
