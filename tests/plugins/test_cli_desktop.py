"""What desktops and shells look for: completion that completes, a page that man reads, files in the user's folders and
their removal.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree
from configparser import ConfigParser

import pytest
from commands import lic
from PIL import Image

from pillow_lic.cli import DONE, FAILED, USAGE, desktop, shell
from pillow_lic.signature import MIME, SIGNATURE

pytestmark = pytest.mark.usefixtures("fake_engine")
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="desktops of freedesktop.org")


def tool(name: str) -> str:
    return shutil.which(name) or pytest.skip(f"{name} is not installed")


def said(*command: str, **more) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **more)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


# ---- Completion ---------------------------------------------------------------------------------------------------


def bash(words: list[str]) -> list[str]:
    """What bash offers for the last of the words."""
    quoted = " ".join(f"'{word}'" for word in words)
    line = f"COMP_WORDS=({quoted})\nCOMP_CWORD={len(words) - 1}"
    code = f"{shell.made('bash')}\n{line}\n_lic\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
    return said(tool("bash"), "-c", code).split()


def test_bash():
    assert bash(["lic", "enc"]) == ["encode"]
    assert {"encode", "decode", "install-desktop"} <= set(bash(["lic", ""]))
    assert bash(["lic", "encode", "--qual"]) == ["--quality"]
    assert bash(["lic", "encode", "--tune", "vis"]) == ["visual"]
    assert bash(["lic", "encode", "-e", ""]) == list("0123456789")
    assert bash(["lic", "decode", "--tune"]) == []  # of encode alone
    assert bash(["lic", "encode", "photo"]) == []  # names of files, by bash itself


def test_zsh(tmp_path):
    (tmp_path / "_lic").write_text(shell.made("zsh"), encoding="utf-8")
    program = tool("zsh")
    said(program, "-n", str(tmp_path / "_lic"))
    # Completion in a terminal of its own, as zsh's own tests do it.
    code = f"""
zmodload zsh/zpty; zpty w zsh -f -i
zpty -w w 'PROMPT=; fpath=({tmp_path} $fpath); autoload -U compinit; compinit -u -d {tmp_path}/dump'
zpty -w w 'bindkey "^I" complete-word'
zpty -w w 'LISTMAX=1000; print -r READY$((1+1))'
zpty -r -m w out '*READY2*'
zpty -n -w w $'lic encode --tune vis\\t'; sleep 1; zpty -n -w w $'\\n'
zpty -r -m w out '*visual*' && print -r FOUND
"""
    done = subprocess.run([program, "-f", "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert "FOUND" in done.stdout, done.stdout + done.stderr


def test_fish(tmp_path):
    (tmp_path / "lic.fish").write_text(shell.made("fish"), encoding="utf-8")
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}

    def offered(line: str) -> list[str]:
        code = f"source {tmp_path}/lic.fish; complete -C '{line}'"
        return [one.split("\t")[0] for one in said(tool("fish"), "-N", "-c", code, env=home).splitlines()]

    assert offered("lic enc") == ["encode"]
    assert offered("lic encode --qual") == ["--quality"]
    assert offered("lic encode --tune vis") == ["visual"]


def test_every_command_and_option_is_there(capsys):
    for kind in shell.KINDS:
        assert lic("completion", kind) == DONE
        text = capsys.readouterr().out
        for name in ("encode", "compare", "plot", "thumbnail"):
            assert name in text
        assert "measures" in text
        assert "%%" not in text.replace("%%i", "")
    assert lic("completion", "tcsh") == USAGE


def test_text_of_any_kind_is_quoted():
    commands = [
        shell.Command("a", "it's: [so]", "", [shell.Option(["-x"], "don't \\ [1:2]", "N", [])], [("F", ".x 'y' -z")])
    ]
    page = shell.man(commands)
    assert "\\&.x \\(aqy\\(aq \\-z" in page
    assert "'a:it'\\''s\\: \\[so\\]'" in shell.zsh(commands)
    assert "'don\\'t \\\\ [1:2]'" in shell.fish(commands)


def test_manual_page():
    page = shell.made("man")
    text = said(tool("groff"), "-ww", "-z", "-man", "-Tutf8", input=page)
    assert text == ""
    assert "\\fB\\-q\\fR, \\fB\\-\\-quality\\fR \\fIQUALITY\\fR" in page


# ---- The user's folders -------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    return tmp_path / "share"


def there(folder) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@POSIX
def test_install_and_remove(home, capsys):
    assert lic("install-desktop") == DONE
    assert set(desktop.FILES) <= there(home)
    root = xml.etree.ElementTree.parse(home / "mime/packages/pillow-lic.xml").getroot()
    space = {"m": "http://www.freedesktop.org/standards/shared-mime-info"}
    assert root.find("m:mime-type", space).get("type") == MIME
    magic = root.find(".//m:match", space).get("value")
    assert magic.encode().decode("unicode_escape").encode("latin-1") == SIGNATURE
    entry = ConfigParser(interpolation=None)
    entry.read(home / "thumbnailers/pillow-lic.thumbnailer")
    assert entry["Thumbnailer Entry"]["MimeType"] == f"{MIME};"
    assert entry["Thumbnailer Entry"]["Exec"].endswith("thumbnail -f -s %s -o %o -- %i")
    assert lic("install-desktop") == DONE  # again: our own files are replaced
    capsys.readouterr()
    assert lic("install-desktop", "--remove") == DONE
    assert capsys.readouterr().out.count("removed") == len(desktop.FILES)
    assert not set(desktop.FILES) & there(home)
    assert not (home / "thumbnailers").exists()
    assert home.exists()
    assert lic("install-desktop", "--remove") == DONE  # nothing is left to be done


@POSIX
def test_media_type_is_known(home, tmp_path, make_picture):
    tool("update-mime-database")
    assert lic("install-desktop") == DONE
    assert f"{MIME}:*.lic" in (home / "mime/globs").read_text()
    Image.fromarray(make_picture(20, 30)).save(tmp_path / "nameless", "LIC")
    if shutil.which("gio"):
        named = said("gio", "info", "-a", "standard::content-type", str(tmp_path / "nameless"))
        assert MIME in named
    assert lic("install-desktop", "--remove") == DONE
    assert not (home / "mime/image/x-lic.xml").exists()


@POSIX
def test_files_of_others_stay(home, capsys):
    path = home / "bash-completion/completions/lic"
    path.parent.mkdir(parents=True)
    path.write_text("complete -W mine lic\n")
    assert lic("install-desktop") == FAILED
    assert f"{path} exists" in capsys.readouterr().err
    assert there(home) == {"bash-completion/completions/lic"}
    assert lic("install-desktop", "--remove") == DONE
    assert path.read_text() == "complete -W mine lic\n"
    path.unlink()
    path.symlink_to("/nowhere")
    assert lic("install-desktop") == FAILED


def test_relative_data_home_does_not_count(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", "here")
    assert desktop.data_home() == tmp_path / ".local" / "share"


def test_quotes_of_an_exec_line():
    assert desktop._quoted("/a b/lic") == '"/a b/lic"'
    assert desktop._quoted('/a"$`\\%/lic') == '"/a\\\\"\\\\$\\\\`\\\\\\\\%%/lic"'


# ---- Thumbnails ---------------------------------------------------------------------------------------------------


def test_thumbnail(make_picture, tmp_path):
    picture = Image.fromarray(make_picture(60, 120))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "-a.lic", exif=exif)
    out = tmp_path / "small"
    assert lic("thumbnail", "-s", "40", "-o", out, "--", tmp_path / "-a.lic") == DONE
    with Image.open(out) as small:
        assert (small.format, small.size) == ("PNG", (20, 40))
    assert lic("thumbnail", tmp_path / "-a.lic", "-o", out) == USAGE
    assert lic("thumbnail", tmp_path / "-a.lic", "-f", "-o", tmp_path / "small.jpg") == DONE
    assert Image.open(tmp_path / "small.jpg").format == "JPEG"
    picture.convert("CMYK").save(tmp_path / "c.jpg")
    assert lic("thumbnail", tmp_path / "c.jpg", "-f", "-o", out) == DONE
    (tmp_path / "bad.lic").write_bytes(SIGNATURE)
    assert lic("thumbnail", tmp_path / "bad.lic", "-o", tmp_path / "none.png") == FAILED
    assert not (tmp_path / "none.png").exists()
    for wrong in ("0", "5000", "x"):
        assert lic("thumbnail", tmp_path / "-a.lic", "-o", out, "-s", wrong) == USAGE
