"""`lic install-desktop`: what a desktop and a shell look for, in the user's own folders: the media type, a thumbnailer,
completion, the manual page; and their removal.

Imports the standard library.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..signature import EXTENSION, MIME, SIGNATURE
from . import shell

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

DESCRIPTION = """Write into your own folders ($XDG_DATA_HOME, else ~/.local/share) what desktops and shells look for:
the media type of .lic files, a thumbnailer, completion for bash, zsh and fish, and the manual page. Only files that
this command wrote are replaced or removed."""
MEDIA_TYPE = """<?xml version="1.0" encoding="UTF-8"?>
<!-- {mark} install-desktop -->
<mime-info xmlns="http://www.freedesktop.org/standards/shared-mime-info">
  <mime-type type="{mime}">
    <comment>LIC image</comment>
    <generic-icon name="image-x-generic"/>
    <magic priority="80"><match type="string" offset="0" value="{magic}"/></magic>
    <glob pattern="*{extension}"/>
  </mime-type>
</mime-info>
"""
THUMBNAILER = """# {mark} install-desktop
[Thumbnailer Entry]
TryExec={program}
Exec={command} thumbnail -f -s %s -o %o -- %i
MimeType={mime};
"""


def add_to(commands: Any) -> None:
    """The command's arguments, to the `lic` command's parsers."""
    parser = commands.add_parser(
        "install-desktop", help="media type, thumbnails, completion and manual page for you", description=DESCRIPTION
    )
    parser.add_argument("--remove", action="store_true", help="take away what was written")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write or remove the files; the exit code."""
    from . import DONE

    home = data_home()
    if options.remove:
        removed = [home / name for name in FILES if _ours(home / name)]
        for path in removed:
            path.unlink()
            print(f"{path} removed")
        _refresh(home / "mime")
        for path in removed:
            _tidy(path.parent, home)
        return DONE
    for name in FILES:
        _check_ours(home / name)
    for name, make in FILES.items():
        _write(home / name, make())
    _refresh(home / "mime")
    print(f"zsh looks there once {home / 'zsh/site-functions'} is in fpath")
    return DONE


def data_home() -> Path:
    """The user's folder for data, as the XDG base directory specification says: relative paths do not count."""
    said = os.environ.get("XDG_DATA_HOME", "")
    return Path(said) if os.path.isabs(said) else Path.home() / ".local" / "share"


def media_type() -> str:
    """The media type for shared-mime-info: by the signature, else by the ending."""
    magic = "".join(chr(one) if chr(one).isalnum() and one < 128 else f"\\x{one:02x}" for one in SIGNATURE)
    return MEDIA_TYPE.format(mark=shell.MARK, mime=MIME, magic=magic, extension=EXTENSION)


def thumbnailer() -> str:
    """The entry for thumbnailers, with the command's own place: desktops do not know an environment's PATH."""
    beside = Path(sys.executable).with_name("lic")
    program = str(beside) if beside.exists() else shutil.which("lic") or "lic"
    return THUMBNAILER.format(mark=shell.MARK, program=program, command=_quoted(program), mime=MIME)


def _quoted(program: str) -> str:
    """As an Exec line takes it: the desktop entry specification's quotes, and the escapes of a string besides."""
    escaped = "".join(f"\\{one}" if one in '"`$\\' else one for one in program)
    return '"' + escaped.replace("\\", "\\\\").replace("%", "%%") + '"'


FILES: dict[str, Callable[[], str]] = {
    "mime/packages/pillow-lic.xml": media_type,
    "thumbnailers/pillow-lic.thumbnailer": thumbnailer,
    "bash-completion/completions/lic": lambda: shell.made("bash"),
    "zsh/site-functions/_lic": lambda: shell.made("zsh"),
    "fish/vendor_completions.d/lic.fish": lambda: shell.made("fish"),
    "man/man1/lic.1": lambda: shell.made("man"),
}


def _ours(path: Path) -> bool:
    try:
        return path.is_file() and shell.MARK in path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _check_ours(path: Path) -> None:
    """Raises FileExistsError for a file that somebody else put there, before anything is written."""
    if os.path.lexists(path) and not _ours(path):
        msg = f"{path} exists, and this command did not write it; move it away first"
        raise FileExistsError(msg)


def _write(path: Path, text: str) -> None:
    from ..conversion import files

    files.begin([path.parent])
    with files.replacing(path, force=True) as file:
        file.write(text.encode())
    print(path)


def _tidy(folder: Path, home: Path) -> None:
    """Remove a folder and those above it that are empty now, up to the user's folder for data."""
    with contextlib.suppress(OSError):
        while folder != home:
            folder.rmdir()
            folder = folder.parent


def _refresh(folder: Path) -> None:
    """The desktop's list of media types, made anew where its tool is there."""
    tool = shutil.which("update-mime-database")
    if tool and (folder / "packages").is_dir():
        done = subprocess.run([tool, str(folder)], capture_output=True, text=True)
        if done.returncode:
            msg = f"update-mime-database {folder}: {done.stderr.strip()}"
            raise OSError(msg)
    elif not tool:
        print("update-mime-database is not installed: the media type counts after the next login", file=sys.stderr)
