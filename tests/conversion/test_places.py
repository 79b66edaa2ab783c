"""Places: what a name means, URLs of fsspec as sources and targets, each file whole or not there."""

from __future__ import annotations

import builtins
import io
import pickle
from pathlib import Path

import pytest
from commands import lic
from PIL import Image

from pillow_lic.cli import DONE, FAILED, USAGE
from pillow_lic.conversion.places import Local, Remote, place_of
from pillow_lic.errors import LicBadOption, LicPackageMissing

TOY = ("-m", "toy", "-e", "0")


@pytest.mark.quick
@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("a/b.png", Local(Path("a/b.png"))),
        (Path("a"), Local(Path("a"))),
        ("C:\\a.png", Local(Path("C:\\a.png"))),
        ("C://a.png", Local(Path("C://a.png"))),
        ("file:///a/b", Local(Path("/a/b"))),
        ("s3://bucket/a.png", Remote("s3://bucket/a.png")),
        ("simplecache::s3://bucket/a", Remote("simplecache::s3://bucket/a")),
        (Remote("memory://a"), Remote("memory://a")),
    ],
)
def test_what_a_name_means(name, place):
    assert place_of(name) == place
    assert pickle.loads(pickle.dumps(place)) == place


@pytest.mark.quick
def test_parts_of_a_url():
    place = Remote("s3://bucket/a.b/photo.x.png")
    assert (place.name, place.suffix) == ("photo.x.png", ".png")
    assert str(place.with_suffix(".lic")) == "s3://bucket/a.b/photo.x.lic"
    assert str(Remote("memory://out/").below(Path("deep/a.lic"))) == "memory://out/deep/a.lic"
    assert Remote("memory://a").is_same(Remote("memory://a"))
    assert not Remote("memory://a").is_same(Local(Path("a")))


def test_a_url_without_fsspec(monkeypatch, capsys):
    plain = builtins.__import__

    def none(name, *given, **options):
        if name.startswith("fsspec"):
            raise ImportError(name)
        return plain(name, *given, **options)

    monkeypatch.setattr(builtins, "__import__", none)
    with pytest.raises(LicPackageMissing, match=r"pip install 'pillow-lic\[dask\]'"):
        Remote("memory://a").exists()
    assert lic("encode", "memory://in", "-o", "memory://out") == FAILED
    assert "fsspec" in capsys.readouterr().err


@pytest.fixture
def memory():
    """The file system of memory://, empty."""
    fsspec = pytest.importorskip("fsspec", reason="needs the extra `dask`")
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()


@pytest.fixture
def stored(memory, photos):
    """memory://in with the pictures of a folder."""
    for path in photos.rglob("*.png"):
        memory.pipe_file(f"/in/{path.relative_to(photos).as_posix()}", path.read_bytes())
    return photos


NAMES = ["0.lic", "1.lic", "2.lic", "deep/3.lic", "deep/4.lic"]


def test_from_urls_to_urls_and_back(stored, memory, tmp_path, capsys):
    assert lic("encode", stored, "-o", tmp_path / "out", *TOY) == DONE
    assert lic("encode", "memory://in", "-o", "memory://out", *TOY) == DONE
    assert sorted(memory.find("/out")) == [f"/out/{name}" for name in NAMES]
    assert all(memory.cat_file(f"/out/{name}") == (tmp_path / "out" / name).read_bytes() for name in NAMES)
    capsys.readouterr()
    assert lic("encode", "memory://in", "-o", "memory://out", *TOY) == DONE
    assert "0 written, 0 failed, 5 skipped" in capsys.readouterr().err
    assert lic("decode", "memory://out", "-o", tmp_path / "back") == DONE
    assert lic("decode", "memory://out/0.lic", "-o", "memory://one.png") == DONE
    assert memory.cat_file("/one.png") == (tmp_path / "back" / "0.png").read_bytes()
    assert lic("encode", f"file://{stored}/0.png", "-o", "memory://0.lic", *TOY) == DONE
    assert memory.cat_file("/0.lic") == memory.cat_file("/out/0.lic")


def test_what_is_there_is_respected(stored, memory, capsys):
    memory.pipe_file("/out/1.lic", b"precious")
    assert lic("encode", "memory://in", "-o", "memory://out", *TOY) == FAILED
    said = capsys.readouterr().err
    assert "memory://out/1.lic exists; --force" in said
    assert "4 written, 1 failed" in said
    assert memory.cat_file("/out/1.lic") == b"precious"
    assert lic("encode", "memory://in/1.png", "-o", "memory://out/1.lic", "--force", *TOY) == DONE
    assert memory.cat_file("/out/1.lic")[:4] != b"prec"
    assert lic("encode", "memory://out/1.lic", "-o", "memory://out/1.lic", *TOY) == FAILED
    assert "same file" in capsys.readouterr().err


def test_licence_files_are_passed_over(stored, memory, tmp_path, capsys):
    assert lic("encode", "memory://in/0.png", *TOY) == DONE
    memory.pipe_file("/in/licence.lic", b"of other software")
    assert lic("decode", "memory://in", "-o", tmp_path / "back") == DONE
    assert [path.name for path in (tmp_path / "back").iterdir()] == ["0.png"]


def test_failures_of_a_store(stored, memory, capsys, monkeypatch):
    memory.pipe_file("/in/1.png", b"broken")
    assert lic("encode", "memory://in", "-o", "memory://out", *TOY) == FAILED
    assert "4 written, 1 failed" in capsys.readouterr().err
    assert lic("encode", "memory://nowhere.png", *TOY) == FAILED
    assert lic("encode", "nonesuch://a.png", *TOY) == USAGE
    assert "nonesuch" in capsys.readouterr().err

    def full(*_, **__):
        raise OSError(28, "No space left")

    monkeypatch.setattr(type(memory), "pipe_file", full)
    assert lic("encode", "memory://in/0.png", "-o", "memory://late.lic", *TOY) == FAILED
    assert not memory.exists("/late.lic")


@pytest.fixture
def plain(tmp_path):
    """A file system whose writes are seen as they go: plain://, over a folder."""
    fsspec = pytest.importorskip("fsspec", reason="needs the extra `dask`")
    local = pytest.importorskip("fsspec.implementations.local")

    class Plain(local.LocalFileSystem):
        protocol = ("plain",)
        steps: list[str] = []  # noqa: RUF012

        @classmethod
        def _strip_protocol(cls, path):
            return super()._strip_protocol(str(path).removeprefix("plain://"))

        def pipe_file(self, path, value, **options):
            self.steps.append(Path(path).name)
            super().pipe_file(path, value[:50], **options)  # as one sees it who looks too early
            super().pipe_file(path, value, **options)

        def mv(self, path1, path2, **options):
            self.steps.append(Path(path2).name)
            super().mv(path1, path2, **options)

    fsspec.register_implementation("plain", Plain, clobber=True)
    Plain.steps.clear()
    return Plain


def test_where_writes_are_seen_a_file_is_put_in_place_when_it_is_whole(photos, plain, tmp_path):
    target = tmp_path / "out" / "a.lic"
    assert lic("encode", photos / "0.png", "-o", f"plain://{target}", *TOY) == DONE
    unfinished, last = plain.steps
    assert unfinished.startswith(".lic-")
    assert last == "a.lic"
    assert [path.name for path in target.parent.iterdir()] == ["a.lic"]
    Image.open(io.BytesIO(target.read_bytes())).load()


def test_a_failed_write_leaves_nothing(photos, plain, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise OSError(5, "connection lost")

    monkeypatch.setattr(plain, "mv", broken)
    assert lic("encode", photos / "0.png", "-o", f"plain://{tmp_path}/out/a.lic", *TOY) == FAILED
    assert list((tmp_path / "out").iterdir()) == []


def test_wrong_options_are_named():
    with pytest.raises(LicBadOption, match="nonesuch"):
        Remote("nonesuch://a").exists()
