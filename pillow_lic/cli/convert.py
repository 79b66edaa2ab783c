"""`lic encode` and `lic decode`: many files and folders at once, each written whole or not at all.

Stands on codec.pipeline: files are read and written on threads while the networks run. Imports Pillow; the codec comes
with the first image.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from PIL import ExifTags, Image, ImageFile, PngImagePlugin

from .. import container, threads
from ..container import exif as tiff
from ..errors import LicBadOption
from ..plugins import register_lic_opener
from ..signature import EXIF_PREFIX, EXTENSION, FORMAT, SIGNATURE
from . import STANDARD, UsageError, at_work, files, progress, show_warning

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


class File(NamedTuple):
    """One file to convert. None: standard input, standard output."""

    source: Path | None
    target: Path | None

    @property
    def name(self) -> str:
        """What messages call it."""
        return "standard input" if self.source is None else str(self.source)

    def opened(self, formats: list[str] | None = None) -> Image.Image:
        """Its picture, the header read."""
        return Image.open(io.BytesIO(sys.stdin.buffer.read()) if self.source is None else self.source, formats=formats)


class Failed(NamedTuple):
    """What is wrong with one."""

    problem: str


class Skipped(NamedTuple):
    """One whose target is there."""


def encode(options: argparse.Namespace) -> int:
    """Convert images to `.lic`; returns how many failed."""
    register_lic_opener()
    named = options.output not in (None, STANDARD) and _is_file_name(options)
    if named and Path(options.output).suffix.lower() != EXTENSION:
        msg = f"-o {options.output}: what `lic encode` writes must end in {EXTENSION}; for a folder, end it in {os.sep}"
        raise UsageError(msg)
    plan = _plan(options, EXTENSION, _is_picture)
    from ..codec.options import EncodeOptions

    given = {name: getattr(options, name) for name in EncodeOptions.__dataclass_fields__}
    given["roi"], given["importance"] = _region(options.roi), _importance(options.importance)
    return _Conversion(plan, options, _Encode(EncodeOptions(**given).checked())).run()


def _region(stated: list[str] | None) -> Any:
    """What --roi says: boxes, or one mask. Raises UsageError."""
    if stated is None:
        return None
    boxes = [_box(one) for one in stated]
    if all(box is not None for box in boxes):
        return boxes
    if len(stated) > 1:
        msg = "--roi takes boxes X,Y,W,H, as many as there are, or one mask"
        raise UsageError(msg)
    return _map("--roi", stated[0])


def _box(text: str) -> tuple[int, int, int, int] | None:
    found = re.fullmatch(r"(\d+),(\d+),(\d+),(\d+)", text)
    if found is None:
        return None
    x, y, w, h = (int(number) for number in found.groups())
    return x, y, x + w, y + h


def _importance(stated: str | None) -> Any:
    return stated if stated in (None, "auto") else _map("--importance", stated)


def _map(option: str, path: str | None) -> Image.Image:
    try:
        with Image.open(str(path)) as im:
            return im.convert("L")
    except (OSError, SyntaxError, ValueError) as error:
        msg = f"{option} {path}: {error}"
        raise UsageError(msg) from error


def decode(options: argparse.Namespace) -> int:
    """Convert `.lic` files to another format; returns how many failed."""
    register_lic_opener()
    suffix = "." + options.to.lower().lstrip(".")
    if options.output not in (None, STANDARD) and _is_file_name(options):
        suffix = Path(options.output).suffix.lower() or suffix
    format = Image.registered_extensions().get(suffix)
    if format not in Image.SAVE or format == FORMAT:
        msg = f"Pillow cannot write {suffix!r} files"
        raise UsageError(msg)
    plan = _plan(options, suffix, _is_lic)
    from ..plugins.pillow import decode_options

    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = before or options.truncated  # of damaged metadata, too
    try:
        chosen = replace(decode_options(options.device), box=options.crop)
        return _Conversion(plan, options, _Decode(chosen, format, options.quality)).run()
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

        with file.opened() as im:
            frames = getattr(im, "n_frames", 1)
            if frames > 1:
                progress.say(f"{file.name}: only the first of {frames} frames is kept")
            given = {"exif": _exif(im, file), "xmp": im.info.get("xmp")}  # a profile goes along by itself
            source = prepared(im, given | _stated(im, file, given["exif"]))
            for note in source.notes:
                show_warning(note)
            return Encoding(source.array, self.settings, source.metadata), {}

    def write(self, _file: File, target: IO[bytes], result: bytes, _info: dict[str, Any]) -> None:
        """The file."""
        target.write(result)

    def is_finished(self, target: Path) -> bool:
        """Whether a file is a result of an earlier run."""
        with open(target, "rb") as file:
            return container.read_head(file).complete


class _Decode:
    """From a file to Pillow's image, and from there to another format."""

    def __init__(self, options: DecodeOptions, format: str, quality: int | None):
        self.options, self.format = options, format
        self.quality = {} if quality is None else {"quality": quality}

    def job(self, file: File) -> tuple[Job, dict[str, Any]]:
        """The pipeline's job, and what `write` must know of its source."""
        from ..codec.decode import Decoding
        from ..plugins.pillow import LicImageFile

        with file.opened([FORMAT]) as im:  # a check of its size, and metadata
            assert isinstance(im, LicImageFile)
            return Decoding(im.chunks(self.options), self.options), {str(key): value for key, value in im.info.items()}

    def write(self, file: File, target: IO[bytes], result: Decoded, info: dict[str, Any]) -> None:
        """The image in the other format."""
        from ..plugins.pillow import image_of

        im = image_of(result)
        im.info.update(info)
        im.save(target, self.format, **_metadata(im, file, self.format), **self.quality)

    def is_finished(self, target: Path) -> bool:
        """Whether a file is a result of an earlier run."""
        with Image.open(target) as im:
            return im.format == self.format


def _exif(im: Image.Image, file: File) -> bytes | None:
    """The image's EXIF; of TIFF, which keeps it among the tags of the file itself, what is about the picture."""
    if im.format != "TIFF" or im.info.get("exif"):
        exif = im.info.get("exif")
        problem = tiff.problem(exif.removeprefix(EXIF_PREFIX)) if exif else None
        if problem:
            progress.say(f"{file.name}: its EXIF cannot be read ({problem.partition(';')[0]}); it is left out")
        return None if problem else exif
    im.load()  # turns the pixels as the orientation says, which is then no longer true
    try:
        exif = im.getexif()
        for tag in set(exif) - DESCRIBING:
            del exif[tag]
        return exif.tobytes() if len(exif) else None
    except Exception as error:  # Pillow raises this and that for damaged tags, of which the pixels know nothing
        progress.say(f"{file.name}: its EXIF cannot be read ({error}); it is left out")
        return None


def _stated(im: Image.Image, file: File, exif: bytes | None) -> dict[str, Any]:
    """Resolution and comment of an image whose EXIF does not state them, as far as EXIF can hold them."""
    from ..plugins import metadata

    found: dict[str, Any] = {}
    for key, stated in (("dpi", tiff.resolution), ("comment", tiff.comment)):
        value = im.info.get(key)
        if not value or (exif and stated(exif.removeprefix(EXIF_PREFIX))):
            continue
        try:
            metadata.given(im, {"exif": exif, "icc_profile": None, key: value})
            found[key] = value
        except LicBadOption as error:
            progress.say(f"{file.name}: its {key} is left out ({error})")
    return found


def _metadata(im: Image.Image, file: File, format: str) -> dict[str, Any]:
    """Save options that carry ICC, EXIF and XMP into another format."""
    keys = ("icc_profile", "exif", "xmp", "dpi", "comment")
    metadata: dict[str, Any] = {key: im.info[key] for key in keys if key in im.info}
    if format == "PNG" and "xmp" in metadata:
        metadata["pnginfo"] = PngImagePlugin.PngInfo()
        metadata["pnginfo"].add_itxt("XML:com.adobe.xmp", metadata.pop("xmp").decode("utf-8", "replace"))
    if "xmp" in metadata and format not in ("JPEG", "WEBP", "AVIF"):
        progress.say(f"{file.name}: Pillow cannot write XMP into {format}; it is left out")
    return metadata


# ---- Which files --------------------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """Every file to read and where it goes, and what could not be looked into."""

    files: list[File]
    problems: list[str]


def _plan(options: argparse.Namespace, suffix: str, wanted: Callable[[Path], bool]) -> Plan:
    """A folder's files keep their places below it."""
    if STANDARD in (options.output, *options.paths):
        return Plan([_standard(options)], [])
    problems: list[str] = []
    found = list(_sources([Path(path) for path in options.paths], wanted, problems))
    if not found and not problems:
        msg = "nothing to do: no such files there"
        raise UsageError(msg)
    if options.output and _is_file_name(options):
        return Plan([File(source, Path(options.output)) for source, _ in found], problems)
    jobs = []
    for source, below in found:
        target = (Path(options.output) / below if options.output else source).with_suffix(suffix)
        jobs.append(File(source, target))
    return Plan(jobs, problems)


def _standard(options: argparse.Namespace) -> File:
    """The one file of a command that reads standard input or writes standard output."""
    (source, *others), output = options.paths, options.output
    if others or (source != STANDARD and Path(source).is_dir()):
        msg = f"{STANDARD} goes with one file alone; for several, name a folder with -o"
        raise UsageError(msg)
    if output not in (None, STANDARD) and not _is_file_name(options):
        msg = f"what comes from standard input has no name: -o must name a file or be {STANDARD}"
        raise UsageError(msg)
    target = None if output in (None, STANDARD) else Path(output)
    if target is None and sys.stdout.isatty():
        msg = "a picture would be written to this terminal: send it into a file or a program, or name a file with -o"
        raise UsageError(msg)
    return File(None if source == STANDARD else Path(source), target)


def _is_file_name(options: argparse.Namespace) -> bool:
    """Whether -o names a file: one file is read, and the name is neither a folder's nor ends like one."""
    one = len(options.paths) == 1 and not Path(options.paths[0]).is_dir()
    return one and not options.output.endswith(("/", os.sep)) and not Path(options.output).is_dir()


def _sources(paths: list[Path], wanted: Callable[[Path], bool], problems: list[str]) -> Iterator[tuple[Path, Path]]:
    """(file, its place below the folder it was found in), named files as they are, folders by what is wanted."""
    for path in paths:
        if not path.is_dir():
            yield path, Path(path.name)
            continue
        for folder, folders, names in os.walk(path, onerror=lambda error: problems.append(str(error))):
            folders.sort()
            found = (Path(folder) / name for name in sorted(names))
            yield from ((file, file.relative_to(path)) for file in found if wanted(file))


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

    def __init__(self, plan: Plan, options: argparse.Namespace, direction: _Encode | _Decode):
        self.files, self.walked, self.direction = plan.files, plan.problems, direction
        self.force, self.skip, self.most = options.force, options.skip, options.jobs or 2 * threads.count()
        self.claimed: dict[Path, File] = {}
        self.failures = self.skipped = 0

    def run(self) -> int:
        """Convert all, and say what failed. Returns how many did."""
        files.begin(file.target.parent for file in self.files if file.target is not None)
        for outcome in itertools.chain(self.walked, progress.shown(self._outcomes(), len(self.files))):
            if isinstance(outcome, str):
                self.failures += 1
                progress.say(outcome)
            elif outcome is not None:
                self.skipped += 1
        if len(self.files) > 1:
            written = len(self.files) + len(self.walked) - self.failures - self.skipped
            said = f"{written} written, {self.failures} failed"
            if self.skipped:
                said += f", {self.skipped} skipped: they are there already (--force overwrites them)"
            progress.say(said)
        return self.failures

    def _outcomes(self) -> Iterator[str | Skipped | None]:
        """What is wrong with each file, None where nothing is; as they are done."""
        from ..codec.pipeline import outcomes

        unopened: list[str | Skipped] = []
        for problem in threads.ahead(self._finish, outcomes(self._opened(unopened)), self.most):
            yield from unopened
            unopened.clear()
            yield problem
        yield from unopened

    def _opened(self, unopened: list[str | Skipped]) -> Iterator[tuple[tuple[File, dict[str, Any]], Job]]:
        for opened in threads.ahead(self._open, self._claims(unopened), self.most):
            if isinstance(opened, Failed):
                unopened.append(opened.problem)
            elif isinstance(opened, Skipped):
                unopened.append(opened)
            else:
                yield opened

    def _claims(self, unopened: list[str | Skipped]) -> Iterator[File]:
        """The files, but for those whose target another has taken."""
        for file in self.files:
            first = self.claimed.setdefault(file.target, file) if file.target is not None else file
            if first == file:
                yield file
            else:
                unopened.append(f"{file.name}: {file.target} is already taken by {first.name}")

    def _open(self, file: File) -> tuple[tuple[File, dict[str, Any]], Job] | Failed | Skipped:
        at_work.source = file.name
        try:
            if file.target is not None and os.path.lexists(file.target):
                if file.source is not None and file.target.exists() and file.source.samefile(file.target):
                    msg = "source and target are the same file"
                    raise OSError(msg)
                if not self.force and (self.skip or (len(self.files) > 1 and self._is_finished(file))):
                    return Skipped()
                files.refuse_existing(file.target, self.force)
            job, info = self.direction.job(file)
            return (file, info), job
        except Exception as error:  # one bad file must not stop the others
            return Failed(_problem(file, error))

    def _is_finished(self, file: File) -> bool:
        """Whether an earlier run of the command, interrupted since, has made the target of the source as it is."""
        assert file.source is not None
        assert file.target is not None
        try:
            if file.target.stat().st_mtime < file.source.stat().st_mtime:
                return False
            return self.direction.is_finished(file.target)
        except Exception:  # whatever is there, it is none of ours
            return False

    def _finish(self, outcome: Outcome) -> str | None:
        file, info = outcome.key
        at_work.source = file.name
        try:
            if outcome.error is not None:
                raise outcome.error
            for note in outcome.notes:
                show_warning(note)
            if file.target is None:
                whole = io.BytesIO()
                self.direction.write(file, whole, outcome.result, info)
                sys.stdout.buffer.write(whole.getbuffer())
                sys.stdout.buffer.flush()
            else:
                with files.replacing(file.target, force=self.force, source=file.source) as target:
                    self.direction.write(file, target, outcome.result, info)
        except Exception as error:
            return _problem(file, error)
        return None


def _problem(file: File, error: Exception) -> str:
    return f"{file.name}: {error or type(error).__name__}"
