"""The files of the `lic` command: standard input and output, runs that were interrupted, signals, permissions, links.

A fake codec stands in for the networks, but for the tests of processes.
"""

from __future__ import annotations

import functools
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import lic
from PIL import Image
from streams import replaced

from pillow_lic import cli, container
from pillow_lic.cli import DONE, FAILED, USAGE, progress
from pillow_lic.conversion import files, places

pytestmark = pytest.mark.usefixtures("fake_engine")
posix = pytest.mark.skipif(os.name != "posix", reason="permissions, locks and signals of POSIX")


def names(folder) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


@pytest.fixture
def photos(make_picture, tmp_path):
    """A folder of three pictures."""
    (tmp_path / "in").mkdir()
    for n in range(3):
        Image.fromarray(make_picture(40, 60, seed=n)).save(tmp_path / "in" / f"{n}.png")
    return tmp_path / "in"


@pytest.fixture
def streams(monkeypatch):
    return functools.partial(replaced, monkeypatch)


# ---- Standard input and output ------------------------------------------------------------------------------------


def test_through_pipes(photos, streams):
    source = (photos / "0.png").read_bytes()
    out = streams(source)
    assert lic("encode", "-", "-q", "40") == DONE
    data = out.bytes
    assert container.read_head(data).header.quality == 40
    out = streams(data)
    assert lic("decode", "-", "-t", "png") == DONE
    with Image.open(io.BytesIO(out.bytes)) as back, Image.open(io.BytesIO(source)) as im:
        assert (np.asarray(back) == np.asarray(im)).all()
    out = streams(data)
    assert lic("info", "-") == DONE
    out.flush()
    assert b"width         60" in out.bytes


def test_a_file_to_standard_output_and_back(photos, streams, tmp_path):
    out = streams()
    assert lic("encode", photos / "1.png", "-o", "-") == DONE
    assert container.read(out.bytes).header.width == 60
    streams(out.bytes)
    assert lic("decode", "-", "-o", tmp_path / "back.jpg") == DONE
    assert Image.open(tmp_path / "back.jpg").format == "JPEG"
    streams((photos / "1.png").read_bytes())
    assert lic("encode", "-", "-o", tmp_path / "b.lic") == DONE
    assert names(tmp_path) == ["b.lic", "back.jpg", "in/0.png", "in/1.png", "in/2.png"]


def test_standard_output_has_all_or_nothing(streams, capsys):
    out = streams(b"no picture")
    assert lic("encode", "-") == FAILED
    assert out.bytes == b""
    assert "standard input: cannot identify" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [("-", "x.png"), ("in", "-o", "-"), ("x.png", "y.png", "-o", "-"), ("-", "-o", "in")]
)
def test_standard_streams_are_for_one_file(arguments, photos, streams, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    streams()
    assert lic("encode", *arguments) == USAGE
    assert "-o" in capsys.readouterr().err


def test_no_picture_goes_to_a_terminal(photos, streams, monkeypatch, capsys):
    out = streams()
    monkeypatch.setattr(out.__class__, "isatty", lambda self: True)
    assert lic("encode", photos / "0.png", "-o", "-") == USAGE
    assert "terminal" in capsys.readouterr().err
    assert out.bytes == b""


# ---- A second run -------------------------------------------------------------------------------------------------


def test_a_second_run_goes_on_where_the_first_was_interrupted(photos, tmp_path, capsys, fake_engine):
    out = tmp_path / "out"
    assert lic("encode", photos / "0.png", "-o", str(out) + "/") == DONE
    before = (out / "0.lic").stat().st_mtime_ns
    fake_engine.clear()
    assert lic("encode", photos, "-o", out) == DONE
    said = capsys.readouterr().err
    assert "2 written, 0 failed, 1 skipped" in said
    assert "--force" in said
    assert len(fake_engine) == 2
    assert (out / "0.lic").stat().st_mtime_ns == before
    assert lic("encode", photos, "-o", out) == DONE
    assert "0 written, 0 failed, 3 skipped" in capsys.readouterr().err
    assert lic("encode", photos, "-o", out, "--force") == DONE
    assert "3 written, 0 failed\n" in capsys.readouterr().err
    for _ in range(2):
        assert lic("decode", out, "-o", tmp_path / "back") == DONE
    assert "0 written, 0 failed, 3 skipped" in capsys.readouterr().err


@pytest.mark.parametrize("there", ["none of ours", "cut", "older", "of another format"])
def test_only_what_is_finished_is_passed_over(there, photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert lic("encode", photos, "-o", out) == DONE
    whole = (out / "1.lic").read_bytes()
    content = {"none of ours": b"precious", "cut": whole[:-9], "of another format": (photos / "1.png").read_bytes()}
    (out / "1.lic").write_bytes(content.get(there, whole))
    if there == "older":
        os.utime(out / "1.lic", (1, 1))
    before = (out / "1.lic").read_bytes()
    assert lic("encode", photos, "-o", out) == FAILED
    said = capsys.readouterr().err
    assert "1.lic exists; --force overwrites it, --skip passes over it" in said
    assert "0 written, 1 failed, 2 skipped" in said
    assert (out / "1.lic").read_bytes() == before
    assert lic("encode", photos, "-o", out, "--skip") == DONE
    assert (out / "1.lic").read_bytes() == before


def test_skip_of_one_file(photos, capsys):
    assert lic("encode", photos / "0.png") == DONE
    assert lic("encode", photos / "0.png") == FAILED
    assert "--skip" in capsys.readouterr().err
    assert lic("encode", photos / "0.png", "--skip") == DONE
    assert lic("encode", photos / "0.png", "--skip", "--force") == USAGE


# ---- Failures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["bytes", "folder", "absent", "cut"])
def test_one_failure_does_not_hide_the_others(how, photos, tmp_path, capsys):
    bad = photos / "1.png"
    data = bad.read_bytes()
    bad.unlink()
    if how == "folder":
        bad.mkdir()
        (bad / "broken.png").write_bytes(b"broken")
    elif how == "absent":
        bad.symlink_to("nowhere.png")
    else:
        bad.write_bytes(b"broken" if how == "bytes" else data[: len(data) // 2])
    assert lic("encode", photos, "-o", tmp_path / "out") == FAILED
    said = capsys.readouterr().err
    assert "1.png" in said
    assert "2 written, 1 failed" in said
    assert names(tmp_path / "out") == ["0.lic", "2.lic"]


@posix
def test_a_folder_that_cannot_be_read_is_a_failure(photos, tmp_path, capsys, monkeypatch):
    walk = os.walk

    def refusing(top, **options):
        options["onerror"](PermissionError(13, "Permission denied", str(top / "locked")))
        return walk(top, **options)

    monkeypatch.setattr(places.os, "walk", refusing)
    assert lic("encode", photos, "-o", tmp_path / "out") == FAILED
    said = capsys.readouterr().err
    assert "Permission denied" in said
    assert "3 written, 1 failed" in said


def test_broken_exif_of_a_source_costs_the_exif_alone(photos, tmp_path, capsys):
    with Image.open(photos / "0.png") as im:
        im.save(tmp_path / "a.webp", exif=b"Exif\0\0broken thing")
    assert lic("encode", tmp_path / "a.webp") == DONE
    assert "a.webp: its EXIF cannot be read" in capsys.readouterr().err
    assert "exif" not in Image.open(tmp_path / "a.lic").info


def test_resolution_and_comment_go_along(photos, tmp_path):
    with Image.open(photos / "0.png") as im:
        im.save(tmp_path / "a.jpg", dpi=(200, 100), comment=b"words")
        im.save(tmp_path / "b.png", dpi=(300, 300))
    assert lic("encode", tmp_path / "a.jpg", tmp_path / "b.png") == DONE
    found = Image.open(tmp_path / "a.lic").info
    assert (found["dpi"], found["comment"]) == ((200, 100), b"words")
    assert Image.open(tmp_path / "b.lic").info["dpi"] == pytest.approx((300, 300), abs=0.01)
    assert lic("decode", tmp_path / "a.lic", "-o", tmp_path / "c.jpg") == DONE
    assert Image.open(tmp_path / "c.jpg").info["comment"] == b"words"
    assert Image.open(tmp_path / "c.jpg").info["dpi"] == (200, 100)


def test_estimate_of_what_is_left(capsys, monkeypatch):
    now = iter((100.0, 102.0, 103.0, 109.0))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    assert list(progress.counted(iter("abc"), 3)) == ["a", "b", "c"]
    assert [part.strip() for part in capsys.readouterr().err.split("\r")[1:]] == [
        "lic: 1/3, 4 s left",
        "lic: 2/3, 2 s left",
        "lic: 3/3, 0 s left",
    ]


# ---- Names, permissions, links ------------------------------------------------------------------------------------


def seen_while_written(monkeypatch, look):
    """look(path of the unfinished file) before it is put in its place."""
    put = files._put

    def looking(path, target, force):
        look(path)
        put(path, target, force)

    monkeypatch.setattr(files, "_put", looking)


@posix
def test_unfinished_files_are_private_and_cannot_be_guessed(photos, tmp_path, monkeypatch):
    seen = []
    created = files._created

    def looking(folder):
        path, descriptor = created(folder)
        seen.append((path.name, os.fstat(descriptor).st_mode & 0o777))
        return path, descriptor

    monkeypatch.setattr(files, "_created", looking)
    assert lic("encode", photos, "-o", tmp_path / "out") == DONE
    assert len({name for name, _ in seen}) == 3
    assert all(files.NAME.fullmatch(name) and mode == 0o600 for name, mode in seen)


@posix
def test_no_link_is_followed(tmp_path, monkeypatch):
    (tmp_path / "victim").write_bytes(b"precious")
    values = iter((b"a" * 16, b"b" * 16))
    monkeypatch.setattr(files.os, "urandom", lambda count: next(values))
    (tmp_path / f".lic-{(b'a' * 16).hex()}.part").symlink_to("victim")
    with pytest.raises(FileExistsError), files.replacing(tmp_path / "a.lic", force=True) as file:
        file.write(b"ours")
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert not (tmp_path / "a.lic").exists()


@posix
@pytest.mark.parametrize(
    ("source", "replaced", "umask", "wanted"),
    [
        (0o600, None, 0o022, 0o600),
        (0o644, None, 0o022, 0o644),
        (0o664, None, 0o002, 0o664),
        (0o666, None, 0o077, 0o600),
        (0o444, None, 0o022, 0o644),
        (0o755, None, 0o022, 0o644),
        (0o644, 0o600, 0o022, 0o600),
        (0o600, 0o644, 0o022, 0o644),
        (0o600, 0o640, 0o077, 0o640),
    ],
)
def test_permissions(source, replaced, umask, wanted, photos):
    before = os.umask(umask)
    try:
        os.chmod(photos / "0.png", source)
        if replaced is not None:
            (photos / "0.lic").write_bytes(b"old")
            os.chmod(photos / "0.lic", replaced)
        assert lic("encode", photos / "0.png", *(["--force"] if replaced is not None else [])) == DONE
        assert (photos / "0.lic").stat().st_mode & 0o777 == wanted
        assert lic("decode", photos / "0.lic", "-o", photos / "back.png") == DONE
        assert (photos / "back.png").stat().st_mode & 0o777 & ~wanted == 0
    finally:
        os.umask(before)


@posix
@pytest.mark.parametrize("points_at", ["nothere", "victim"])
def test_links_are_respected(points_at, photos, tmp_path):
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "x.lic").symlink_to(points_at)
    assert lic("encode", photos / "0.png", "-o", tmp_path / "x.lic") == FAILED
    assert os.readlink(tmp_path / "x.lic") == points_at
    assert lic("encode", photos / "0.png", "-o", tmp_path / "x.lic", "--force") == DONE
    assert not (tmp_path / "x.lic").is_symlink()
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert not (tmp_path / "nothere").exists()


def test_nobody_slips_in_between(photos, monkeypatch, capsys):
    target = photos / "0.lic"
    seen_while_written(monkeypatch, lambda _: target.write_bytes(b"another's"))
    assert lic("encode", photos / "0.png") == FAILED
    assert target.read_bytes() == b"another's"
    assert names(photos) == ["0.lic", "0.png", "1.png", "2.png"]
    assert "exists" in capsys.readouterr().err


def test_a_file_system_without_links(photos, monkeypatch):
    def none(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(files.os, "link", none)
    assert lic("encode", photos / "0.png") == DONE
    assert lic("encode", photos / "0.png") == FAILED
    assert names(photos) == ["0.lic", "0.png", "1.png", "2.png"]


@posix
def test_leftovers_are_swept(photos, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    left, kept = out / f".lic-{'0' * 32}.part", [out / ".lic-0.part", out / f".lic-{'2' * 32}.part"]
    left.write_bytes(b"half")
    kept[0].write_bytes(b"of somebody else")
    kept[1].symlink_to("nowhere")
    with files.replacing(out / "another.lic", force=False) as another:  # of a run that is not over
        another.write(b"whole")
        assert lic("encode", photos, "-o", out) == DONE
    assert names(out) == sorted(["0.lic", "1.lic", "2.lic", "another.lic", *(path.name for path in kept)])
    assert (out / "another.lic").read_bytes() == b"whole"


# ---- Signals ------------------------------------------------------------------------------------------------------

SLOW = """
import sys, time
from pillow_lic import cli
from pillow_lic.conversion.directions import Encode
def slowly(self, target, result, made):
    target.write(result[:50])
    print("writing", flush=True)
    end = time.monotonic() + 60
    while time.monotonic() < end:  # as a network that nothing stops
        pass
Encode.write = slowly
cli.script()
"""


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_signals_end_it_at_once_and_leave_nothing(number, tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    arguments = [sys.executable, "-c", SLOW, "encode", "a.png", "-m", "toy", "-e", "0"]
    process = subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    assert len(names(tmp_path)) == 2
    begin = time.monotonic()
    process.send_signal(number)
    said = process.communicate(timeout=30)[1]
    took = time.monotonic() - begin
    assert took < 5, "a busy machine; by itself it takes a fraction of a second"
    if number == signal.SIGKILL:
        assert len(names(tmp_path)) == 2
        lic("encode", tmp_path / "a.png", "-o", str(tmp_path / "b.lic"))
        assert names(tmp_path) == ["a.png", "b.lic"]
        return
    assert process.returncode == 128 + number
    assert f"interrupted by {signal.Signals(number).name}" in said
    assert names(tmp_path) == ["a.png"]


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["encode"], 2), (["info", "absent.lic"], 1)])
def test_exit_codes_of_the_process(arguments, code, tmp_path):
    command = [sys.executable, "-m", "pillow_lic.cli", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    assert Path(cli.__file__).exists()
