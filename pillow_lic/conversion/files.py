"""Where results go: whole or not at all, private until they are there, and under nobody's name but the target's.

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
from typing import IO, TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has none: what a killed run left is not told from what another is writing
    fcntl = None  # type: ignore[assignment]

NAME = re.compile(r"\.lic-[0-9a-f]{32}\.part")  # of what is not finished
ATTEMPTS = 100  # at a name that nobody else has taken
FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
FLAGS |= getattr(os, "O_BINARY", 0)

_lock = threading.Lock()
_unfinished: set[Path] = set()
_over = False  # whether nothing more may be begun
_mask = 0o077  # the process's umask, once `begin` knows it


@contextlib.contextmanager
def replacing(target: Path, *, force: bool, source: Path | None = None) -> Iterator[IO[bytes]]:
    """A file to write into. When the block is over without an error, it is the target; whoever looks meanwhile sees
    what was there before.

    force: replace what is there, a link itself and not what it points at; else FileExistsError. The file takes the mode
    of what it replaces, else that of the source as far as the umask allows. While it is written it has a name that
    nobody can guess, is not followed through links, and is its owner's alone.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    path, descriptor = _created(target.parent)
    try:
        with open(descriptor, "w+b") as file:
            yield file
            file.flush()
            if hasattr(os, "fchmod"):
                os.fchmod(descriptor, _mode(target, source))
            os.fsync(descriptor)
            if fcntl is not None:
                _put(path, target, force)  # while it is locked
        if fcntl is None:
            _put(path, target, force)
    finally:
        _forget(path)


def refuse_existing(target: Path, force: bool) -> None:
    """Raises FileExistsError, also for a link that points nowhere."""
    if os.path.lexists(target) and not force:
        refuse(str(target))


def refuse(target: str) -> NoReturn:
    """Raises FileExistsError."""
    msg = f"{target} exists; --force overwrites it, --skip passes over it"
    raise FileExistsError(msg)


def abandon() -> None:
    """Take away what is not finished, and begin with nothing more: the process is about to end."""
    global _over
    with _lock:
        _over = True
        for path in _unfinished:
            path.unlink(missing_ok=True)


def begin(folders: Iterable[Path]) -> None:
    """To be called before files are written: notes the umask, and sweeps the folders."""
    note_mask()
    sweep(folders)


def note_mask() -> None:
    """Before there are threads: a umask can be read by setting it alone."""
    global _mask
    _mask = os.umask(0o077)
    os.umask(_mask)


def sweep(folders: Iterable[Path]) -> None:
    """Take away what killed runs have left in the folders: files of ours that no process has locked."""
    if fcntl is None:
        return
    for folder in set(folders):
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if NAME.fullmatch(entry.name):
                    _remove_unless_locked(entry.path)


def _remove_unless_locked(path: str) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)
        finally:
            os.close(descriptor)


def _created(folder: Path) -> tuple[Path, int]:
    """A new file, open and locked. A lock ends with its process, however that ends."""
    for _ in range(ATTEMPTS):
        path = folder / f".lic-{os.urandom(16).hex()}.part"
        with _lock:
            if _over:
                msg = "interrupted"
                raise OSError(msg)
            descriptor = os.open(path, FLAGS, 0o600)
            _unfinished.add(path)
        if fcntl is None or _locked(path, descriptor):
            return path, descriptor
        os.close(descriptor)
        _forget(path)
    msg = f"{folder}: no file can be made there that stays: something removes it at once"
    raise OSError(msg)


def _locked(path: Path, descriptor: int) -> bool:
    """Whether it is locked now, and not taken away by another run's sweep just before."""
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _forget(path: Path) -> None:
    with _lock:
        path.unlink(missing_ok=True)
        _unfinished.discard(path)


def _mode(target: Path, source: Path | None) -> int:
    """The permissions of the result."""
    with contextlib.suppress(OSError):
        replaced = os.lstat(target)
        if stat.S_ISREG(replaced.st_mode):
            return stat.S_IMODE(replaced.st_mode) & 0o777
    allowed = 0o666 & ~_mask
    if source is not None:
        with contextlib.suppress(OSError):
            allowed &= stat.S_IMODE(os.stat(source).st_mode) | stat.S_IWUSR
    return allowed


def _put(path: Path, target: Path, force: bool) -> None:
    if force:
        os.replace(path, target)
        return
    try:
        os.link(path, target, follow_symlinks=False)  # unlike a check and a renaming, nobody can slip in between
    except FileExistsError:
        refuse_existing(target, force)
        raise
    except (OSError, NotImplementedError, AttributeError):  # a file system without links
        refuse_existing(target, force)
        os.replace(path, target)
