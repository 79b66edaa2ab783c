"""Where files are: on a disk, or at a URL that fsspec knows (`s3://bucket/photo.png`, `memory://photo.png`).

Imports the standard library and ground; fsspec comes with the first URL. A place holds its name alone, so it can be
sent to another process.
"""

from __future__ import annotations

import contextlib
import glob
import io
import os
import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from ..errors import LicBadOption, LicPackageMissing
from ..signature import SIGNATURE
from . import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::[A-Za-z][A-Za-z0-9+.-]+)*://")  # two letters at least: C:// is a disk
STORES = {"abfs", "abfss", "adl", "az", "gcs", "gs", "memory", "oci", "oss", "r2", "s3", "s3a"}
State = tuple[Any, ...] | None  # what tells whether a file is the one that was there; None: there is none


@dataclass(frozen=True)
class Local:
    """A path."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def source(self) -> Path:
        """What Pillow opens."""
        return self.path

    def opened(self) -> IO[bytes]:
        """Its bytes, to be read where they are wanted."""
        return open(self.path, "rb")

    def head(self, count: int) -> bytes:
        """The first bytes."""
        with self.opened() as file:
            return file.read(count)

    def exists(self) -> bool:
        """Whether anything has this name, a link that points nowhere among it."""
        return os.path.lexists(self.path)

    def is_same(self, other: Place) -> bool:
        """Whether both names are of one file."""
        if not isinstance(other, Local) or not (self.path.exists() and other.path.exists()):
            return False
        return other.path.samefile(self.path)

    def state(self) -> State:
        """What changes when the file is written anew."""
        try:
            found = os.lstat(self.path)
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def changed(self) -> float | None:
        """When it was last written, in seconds."""
        return self.path.stat().st_mtime

    def is_folder(self) -> bool:
        return self.path.is_dir()

    def below(self, part: PurePosixPath | Path) -> Local:
        return Local(self.path / part)

    def with_suffix(self, suffix: str) -> Local:
        return Local(self.path.with_suffix(suffix))

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def suffix(self) -> str:
        return self.path.suffix

    def absolute(self) -> Local:
        """The same for a process that works in another folder."""
        return Local(Path(os.path.abspath(self.path)))

    def walk(self, problem: Callable[[str], object]) -> Iterator[tuple[Place, Path]]:
        """(file, its place below this folder), sorted. Pipes, sockets and devices, which may never end, are none."""
        for folder, folders, names in os.walk(self.path, onerror=lambda error: problem(str(error))):
            folders.sort()
            for path in (Path(folder) / name for name in sorted(names)):
                if _may_be_read(path):
                    yield Local(path), path.relative_to(self.path)

    def matching(self) -> list[Place]:
        """The files that a name with wildcards means, sorted."""
        return [Local(Path(path)) for path in sorted(glob.glob(str(self.path), recursive=True))]

    def writing(self, *, force: bool, source: Place | None = None) -> contextlib.AbstractContextManager[IO[bytes]]:
        """As files.replacing."""
        return files.replacing(self.path, force=force, source=source.path if isinstance(source, Local) else None)


@dataclass(frozen=True)
class Remote:
    """A URL."""

    url: str

    def __str__(self) -> str:
        return self.url

    def _there(self) -> tuple[Any, str]:
        """The file system, which fsspec keeps, and the path in it. Raises LicPackageMissing, LicBadOption."""
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            msg = f"{self.url}: a URL needs fsspec, which is not installed: pip install 'pillow-lic[dask]'"
            raise LicPackageMissing(msg) from error
        try:
            system, path = url_to_fs(self.url)
        except ImportError as error:  # fsspec names the package
            msg = f"{self.url}: {error}"
            raise LicPackageMissing(msg) from error
        except ValueError as error:
            msg = f"{self.url}: {error}; `fsspec.available_protocols()` lists what it knows"
            raise LicBadOption(msg) from error
        return system, path

    def source(self) -> IO[bytes]:
        """What Pillow opens: its bytes in memory."""
        system, path = self._there()
        return io.BytesIO(system.cat_file(path))

    def opened(self) -> IO[bytes]:
        """Its bytes."""
        return self.source()

    def head(self, count: int) -> bytes:
        """The first bytes."""
        system, path = self._there()
        return bytes(system.cat_file(path, start=0, end=count))

    def exists(self) -> bool:
        system, path = self._there()
        return bool(system.exists(path))

    def is_same(self, other: Place) -> bool:
        return isinstance(other, Remote) and self.url == other.url

    def state(self) -> State:
        """What changes when the file is written anew, as far as the file system says."""
        system, path = self._there()
        try:
            found = system.info(path)
        except FileNotFoundError:
            return None
        return tuple(
            str(found.get(key)) for key in ("size", "ETag", "etag", "LastModified", "mtime", "updated", "created")
        )

    def changed(self) -> float | None:
        """When it was last written, in seconds; None where that is not known."""
        system, path = self._there()
        try:
            return float(system.modified(path).timestamp())
        except (NotImplementedError, AttributeError, KeyError, TypeError):
            return None

    def is_folder(self) -> bool:
        system, path = self._there()
        return bool(system.isdir(path))

    def below(self, part: PurePosixPath | Path) -> Remote:
        return Remote(f"{self.url.rstrip('/')}/{part.as_posix()}")

    def with_suffix(self, suffix: str) -> Remote:
        folder, slash, name = self.url.rpartition("/")
        return Remote(folder + slash + str(PurePosixPath(name).with_suffix(suffix)))

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    def absolute(self) -> Remote:
        return self

    def walk(self, problem: Callable[[str], object]) -> Iterator[tuple[Place, PurePosixPath]]:
        """(file, its place below this folder), sorted."""
        system, path = self._there()
        try:
            found = sorted(system.find(path))
        except OSError as error:
            problem(f"{self}: {error}")
            return
        for file in found:
            below = PurePosixPath(file.removeprefix(path).lstrip("/"))
            yield self.below(below), below

    def matching(self) -> list[Place]:
        """The files that a name with wildcards means, sorted."""
        system, path = self._there()
        return [Remote(system.unstrip_protocol(found)) for found in sorted(system.glob(path))]

    @contextlib.contextmanager
    def writing(self, *, force: bool, source: Place | None = None) -> Iterator[IO[bytes]]:
        """A file in memory. When the block is over without an error, it is put to its place in one go."""
        whole = io.BytesIO()
        yield whole
        system, path = self._there()
        if not force and system.exists(path):
            files.refuse(str(self))
        if _protocols(system) & STORES:  # an object is there when all of it is there
            system.pipe_file(path, whole.getvalue())
            return
        folder = system._parent(path)
        system.makedirs(folder, exist_ok=True)
        unfinished = f"{folder}/.lic-{os.urandom(16).hex()}.part"
        try:
            system.pipe_file(unfinished, whole.getvalue())
            system.mv(unfinished, path)
        except BaseException:
            with contextlib.suppress(Exception):
                system.rm_file(unfinished)
            raise


Place = Local | Remote


def place_of(name: str | os.PathLike[str] | Place) -> Place:
    """What a name means: a URL, or a path. `file://` is a path."""
    if isinstance(name, (Local, Remote)):
        return name
    text = os.fspath(name)
    if not isinstance(text, str) or not URL.match(text):
        return Local(Path(text))
    if text.startswith("file://"):
        return Local(Path(text.removeprefix("file://")))
    return Remote(text)


@contextlib.contextmanager
def standard_output() -> Iterator[IO[bytes]]:
    """A file in memory. When the block is over without an error, all of it goes to standard output."""
    whole = io.BytesIO()
    yield whole
    sys.stdout.buffer.write(whole.getbuffer())
    sys.stdout.buffer.flush()


def standard_input() -> IO[bytes]:
    """All of standard input, in memory."""
    return io.BytesIO(sys.stdin.buffer.read())


def begins_as_ours(place: Place) -> bool:
    """Whether a file begins with our signature; True for one that cannot be read, to be reported among the others."""
    try:
        return place.head(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return True


def local_folders(places: Sequence[Place]) -> set[Path]:
    """The folders on disks that the places are in."""
    return {place.path.parent for place in places if isinstance(place, Local)}


def _may_be_read(path: Path) -> bool:
    """Whether it is a regular file, or a link that points nowhere, to be reported among the others."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return True


def _protocols(system: Any) -> set[str]:
    named = system.protocol
    return {named} if isinstance(named, str) else set(named)
