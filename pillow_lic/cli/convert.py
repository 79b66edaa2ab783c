"""`lic encode` and `lic decode`: many files and folders at once, each written whole or not at all.

Stands on codec.pipeline: files are read and written on threads while the networks run. Imports Pillow; the codec comes
with the first image.
"""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import ExifTags, Image, ImageFile, PngImagePlugin

from .. import threads
from ..plugins import register_lic_opener
from ..signature import EXTENSION, FORMAT, SIGNATURE
from . import UsageError, at_work, show_warning

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from ..codec.decode import Decoded
    from ..codec.options import DecodeOptions, EncodeSettings
    from ..codec.pipeline import Job, Outcome

# The tags of a TIFF file that say something about the picture and not about how the file stores it.
_TAGS = ExifTags.Base
DESCRIBING = {
    _TAGS.ImageDescription, _TAGS.Make, _TAGS.Model, _TAGS.Orientation,
    _TAGS.XResolution, _TAGS.YResolution, _TAGS.ResolutionUnit, _TAGS.Software, _TAGS.DateTime,
    _TAGS.Artist, _TAGS.Copyright, _TAGS.Rating, ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo,
}  # fmt: skip

_serial = itertools.count()


class File(NamedTuple):
    """One file to convert."""

    source: Path
    target: Path


class Failed(NamedTuple):
    """What is wrong with one."""

    file: File
    problem: str


def encode(options: argparse.Namespace) -> int:
    """Convert images to `.lic`; returns how many failed."""
    register_lic_opener()
    if options.output and _is_file_name(options) and Path(options.output).suffix.lower() != EXTENSION:
        msg = f"-o {options.output}: what `lic encode` writes must end in {EXTENSION}; for a folder, end it in {os.sep}"
        raise UsageError(msg)
    files = _plan(options, EXTENSION, _is_picture)
    from ..codec.options import EncodeOptions

    given = {name: getattr(options, name) for name in EncodeOptions.__dataclass_fields__}
    return _Conversion(files, options, _Encode(EncodeOptions(**given).checked())).run()


def decode(options: argparse.Namespace) -> int:
    """Convert `.lic` files to another format; returns how many failed."""
    register_lic_opener()
    suffix = "." + options.to.lower().lstrip(".")
    if options.output and len(options.paths) == 1 and _is_file_name(options):
        suffix = Path(options.output).suffix.lower() or suffix
    format = Image.registered_extensions().get(suffix)
    if format not in Image.SAVE or format == FORMAT:
        msg = f"Pillow cannot write {suffix!r} files"
        raise UsageError(msg)
    files = _plan(options, suffix, _is_lic)
    from ..plugins.pillow import decode_options

    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = before or options.truncated  # of damaged metadata, too
    try:
        return _Conversion(files, options, _Decode(decode_options(options.device), format, options.quality)).run()
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


# ---- The two directions -------------------------------------------------------------------------------------------


class _Encode:
    """From Pillow's image to a file's bytes."""

    def __init__(self, settings: EncodeSettings):
        self.settings = settings

    def job(self, file: File) -> tuple[Job, dict[str, Any]]:
        """The pipeline's job, and what `write` must know of its source."""
        from ..codec.encode import Encoding
        from ..plugins.pillow import prepared

        with Image.open(file.source) as im:
            frames = getattr(im, "n_frames", 1)
            if frames > 1:
                _say(f"{file.source}: only the first of {frames} frames is kept")
            source = prepared(
                im, {"exif": _exif(im, file), "xmp": im.info.get("xmp")}
            )  # a profile goes along by itself
            for note in source.notes:
                show_warning(note)
            return Encoding(source.array, self.settings, source.metadata), {}

    def write(self, file: File, temporary: Path, result: bytes, _info: dict[str, Any]) -> None:
        """The file."""
        temporary.write_bytes(result)


class _Decode:
    """From a file to Pillow's image, and from there to another format."""

    def __init__(self, options: DecodeOptions, format: str, quality: int | None):
        self.options, self.format = options, format
        self.quality = {} if quality is None else {"quality": quality}

    def job(self, file: File) -> tuple[Job, dict[str, Any]]:
        """The pipeline's job, and what `write` must know of its source."""
        from ..codec.decode import Decoding
        from ..plugins.pillow import LicImageFile

        with Image.open(file.source, formats=[FORMAT]) as im:  # a check of its size, and metadata
            assert isinstance(im, LicImageFile)
            return Decoding(im.chunks(self.options), self.options), {str(key): value for key, value in im.info.items()}

    def write(self, file: File, temporary: Path, result: Decoded, info: dict[str, Any]) -> None:
        """The image in the other format."""
        from ..plugins.pillow import image_of

        height, width = result.colour.shape[:2]
        im = image_of(result, (width, height))
        im.info.update(info)
        im.save(temporary, self.format, **_metadata(im, file, self.format), **self.quality)


def _exif(im: Image.Image, file: File) -> bytes | None:
    """The image's EXIF; of TIFF, which keeps it among the tags of the file itself, what is about the picture."""
    if im.format != "TIFF" or im.info.get("exif"):
        return im.info.get("exif")
    im.load()  # turns the pixels as the orientation says, which is then no longer true
    try:
        exif = im.getexif()
        for tag in set(exif) - DESCRIBING:
            del exif[tag]
        return exif.tobytes() if len(exif) else None
    except Exception as error:  # Pillow raises this and that for damaged tags, of which the pixels know nothing
        _say(f"{file.source}: its EXIF cannot be read ({error}); it is left out")
        return None


def _metadata(im: Image.Image, file: File, format: str) -> dict[str, Any]:
    """Save options that carry ICC, EXIF and XMP into another format."""
    metadata: dict[str, Any] = {key: im.info[key] for key in ("icc_profile", "exif", "xmp") if key in im.info}
    if format == "PNG" and "xmp" in metadata:
        metadata["pnginfo"] = PngImagePlugin.PngInfo()
        metadata["pnginfo"].add_itxt("XML:com.adobe.xmp", metadata.pop("xmp").decode("utf-8", "replace"))
    if "xmp" in metadata and format not in ("JPEG", "WEBP", "AVIF"):
        _say(f"{file.source}: Pillow cannot write XMP into {format}; it is left out")
    return metadata


# ---- Which files --------------------------------------------------------------------------------------------------


def _plan(options: argparse.Namespace, suffix: str, wanted: Callable[[Path], bool]) -> list[File]:
    """Every file to read and where it goes. A folder's files keep their places below it."""
    found = list(_sources(options.paths, wanted))
    if not found:
        msg = "nothing to do: no such files there"
        raise UsageError(msg)
    if options.output and _is_file_name(options):
        return [File(found[0][0], Path(options.output))]
    jobs = []
    for source, below in found:
        target = (Path(options.output) / below if options.output else source).with_suffix(suffix)
        jobs.append(File(source, target))
    return jobs


def _is_file_name(options: argparse.Namespace) -> bool:
    """Whether -o names a file: one file is read, and the name is neither a folder's nor ends like one."""
    one = len(options.paths) == 1 and not options.paths[0].is_dir()
    return one and not options.output.endswith(("/", os.sep)) and not Path(options.output).is_dir()


def _sources(paths: list[Path], wanted: Callable[[Path], bool]) -> Iterator[tuple[Path, Path]]:
    """(file, its place below the folder it was found in), named files as they are, folders by what is wanted."""
    for path in paths:
        if not path.is_dir():
            yield path, Path(path.name)
            continue
        for folder, folders, names in os.walk(path):
            folders.sort()
            files = (Path(folder) / name for name in sorted(names))
            yield from ((file, file.relative_to(path)) for file in files if wanted(file))


def _is_picture(path: Path) -> bool:
    format = Image.registered_extensions().get(path.suffix.lower())
    return format in Image.OPEN and format != FORMAT


def _is_lic(path: Path) -> bool:
    """Whether it is an image of ours: in a folder, licence files of the same extension are passed over."""
    if path.suffix.lower() != EXTENSION:
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return True  # to be reported as one failure among the others


# ---- Doing it -----------------------------------------------------------------------------------------------------


class _Conversion:
    """All files of a command, in one direction: opened on threads, through the pipeline, written on threads."""

    def __init__(self, files: list[File], options: argparse.Namespace, direction: _Encode | _Decode):
        self.files, self.direction = files, direction
        self.force, self.most = options.force, options.jobs or 2 * threads.count()
        self.claimed: dict[Path, Path] = {}
        self.failures = 0

    def run(self) -> int:
        """Convert all, and say what failed. Returns how many did."""
        for problem in _progress(self._problems(), len(self.files)):
            if problem:
                self.failures += 1
                _say(problem)
        if len(self.files) > 1:
            _say(f"{len(self.files) - self.failures} written, {self.failures} failed")
        return self.failures

    def _problems(self) -> Iterator[str | None]:
        """What is wrong with each file, None where nothing is; as they are done."""
        from ..codec.pipeline import outcomes

        unopened: list[str] = []
        for problem in threads.ahead(self._finish, outcomes(self._opened(unopened)), self.most):
            yield from unopened
            unopened.clear()
            yield problem
        yield from unopened

    def _opened(self, unopened: list[str]) -> Iterator[tuple[tuple[File, dict[str, Any]], Job]]:
        for opened in threads.ahead(self._open, self._claims(unopened), self.most):
            if isinstance(opened, Failed):
                unopened.append(opened.problem)
            else:
                yield opened

    def _claims(self, unopened: list[str]) -> Iterator[File]:
        """The files, but for those whose target another has taken."""
        for file in self.files:
            first = self.claimed.setdefault(file.target, file.source)
            if first == file.source:
                yield file
            else:
                unopened.append(f"{file.source}: {file.target} is already taken by {first}")

    def _open(self, file: File) -> tuple[tuple[File, dict[str, Any]], Job] | Failed:
        at_work.source = file.source
        try:
            if file.target.exists() and file.source.samefile(file.target):
                msg = "source and target are the same file"
                raise OSError(msg)
            _refuse_existing(file.target, self.force)
            job, info = self.direction.job(file)
            return (file, info), job
        except Exception as error:  # one bad file must not stop the others
            return Failed(file, _problem(file, error))

    def _finish(self, outcome: Outcome) -> str | None:
        file, info = outcome.key
        at_work.source = file.source
        try:
            if outcome.error is not None:
                raise outcome.error
            for note in outcome.notes:
                show_warning(note)
            self._write(file, outcome.result, info)
        except Exception as error:
            return _problem(file, error)
        return None

    def _write(self, file: File, result: Any, info: dict[str, Any]) -> None:
        """Write beside the target and rename: whoever looks sees the old file or the new one, never a part."""
        file.target.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.target.with_name(f".{file.target.name}.{os.getpid()}.{next(_serial)}.part")
        try:
            self.direction.write(file, temporary, result, info)
            _refuse_existing(file.target, self.force)
            os.replace(temporary, file.target)
        finally:
            temporary.unlink(missing_ok=True)


def _problem(file: File, error: Exception) -> str:
    return f"{file.source}: {error or type(error).__name__}"


def _refuse_existing(target: Path, force: bool) -> None:
    if target.exists() and not force:
        msg = f"{target} exists; --force overwrites it"
        raise FileExistsError(msg)


# ---- Telling about it ---------------------------------------------------------------------------------------------


def _say(message: str) -> None:
    try:
        from tqdm import tqdm

        tqdm.write(f"lic: {message}", file=sys.stderr)
    except ImportError:
        print(f"lic: {message}", file=sys.stderr)


def _progress(results: Iterator[str | None], total: int) -> Iterator[str | None]:
    """The results, with a bar on standard error if a person is looking and there are several."""
    if total == 1 or not sys.stderr.isatty():
        return results
    try:
        from tqdm import tqdm
    except ImportError:
        return _counter(results, total)
    return iter(tqdm(results, total=total, unit="file", file=sys.stderr))


def _counter(results: Iterator[str | None], total: int) -> Iterator[str | None]:
    for number, result in enumerate(results, 1):
        print(f"\rlic: {number}/{total}", end="\n" if number == total else "", file=sys.stderr, flush=True)
        yield result
