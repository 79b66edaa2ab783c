"""`lic encode` and `lic decode`: many files and folders at once, each written whole or not at all.

Imports Pillow; the plugin imports the codec at the first image.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from PIL import ExifTags, Image, ImageFile, PngImagePlugin

from .. import register_lic_opener
from ..signature import EXTENSION, FORMAT, SIGNATURE
from . import UsageError, at_work

# The tags of a TIFF file that say something about the picture and not about how the file stores it.
_TAGS = ExifTags.Base
DESCRIBING = {
    _TAGS.ImageDescription, _TAGS.Make, _TAGS.Model, _TAGS.Orientation, _TAGS.XResolution, _TAGS.YResolution, _TAGS.ResolutionUnit,
    _TAGS.Software, _TAGS.DateTime, _TAGS.Artist, _TAGS.Copyright, _TAGS.Rating, ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo,
}  # fmt: skip

_serial = itertools.count()


class Job(NamedTuple):
    """One file to convert."""

    source: Path
    target: Path


def encode(options: argparse.Namespace) -> int:
    """Convert images to `.lic`; returns how many failed."""
    register_lic_opener()
    if options.output and _is_file_name(options) and Path(options.output).suffix.lower() != EXTENSION:
        msg = f"-o {options.output}: what `lic encode` writes must end in {EXTENSION}; for a folder, end it in {os.sep}"
        raise UsageError(msg)
    jobs = _plan(options, EXTENSION, _is_picture)

    def work(job: Job, temporary: Path) -> None:
        with Image.open(job.source) as im:
            if getattr(im, "n_frames", 1) > 1:
                _say(f"{job.source}: only the first of {im.n_frames} frames is kept")
            metadata = {"exif": _exif(im, job), "xmp": im.info.get("xmp")}  # the ICC profile goes along by itself
            im.save(
                temporary,
                FORMAT,
                quality=options.quality,
                model=options.model,
                tune=options.tune,
                effort=options.effort,
                **metadata,
            )

    return _run(options, jobs, work)


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
    jobs = _plan(options, suffix, _is_lic)
    quality = {} if options.quality is None else {"quality": options.quality}

    def work(job: Job, temporary: Path) -> None:
        with Image.open(job.source, formats=[FORMAT]) as im:
            im.save(temporary, format, **_metadata(im, job, format), **quality)

    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = before or options.truncated
    try:
        return _run(options, jobs, work)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _exif(im: Image.Image, job: Job) -> bytes | None:
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
        _say(f"{job.source}: its EXIF cannot be read ({error}); it is left out")
        return None


def _metadata(im: Image.Image, job: Job, format: str) -> dict[str, Any]:
    """Save options that carry ICC, EXIF and XMP into another format."""
    metadata = {key: im.info[key] for key in ("icc_profile", "exif", "xmp") if key in im.info}
    if format == "PNG" and "xmp" in metadata:
        metadata["pnginfo"] = PngImagePlugin.PngInfo()
        metadata["pnginfo"].add_itxt("XML:com.adobe.xmp", metadata.pop("xmp").decode("utf-8", "replace"))
    if "xmp" in metadata and format not in ("JPEG", "WEBP", "AVIF"):
        _say(f"{job.source}: Pillow cannot write XMP into {format}; it is left out")
    return metadata


# ---- Which files --------------------------------------------------------------------------------------------------


def _plan(options: argparse.Namespace, suffix: str, wanted: Callable[[Path], bool]) -> list[Job]:
    """Every file to read and where it goes. A folder's files keep their places below it."""
    found = list(_sources(options.paths, wanted))
    if not found:
        msg = "nothing to do: no such files there"
        raise UsageError(msg)
    if options.output and _is_file_name(options):
        return [Job(found[0][0], Path(options.output))]
    jobs = []
    for source, below in found:
        target = (Path(options.output) / below if options.output else source).with_suffix(suffix)
        jobs.append(Job(source, target))
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


def _run(options: argparse.Namespace, jobs: list[Job], work: Callable[[Job, Path], None]) -> int:
    """Do all jobs, options.jobs at a time, and say what failed. Returns the number of failures."""
    claimed: dict[Path, Path] = {}
    lock = threading.Lock()

    def attempt(job: Job) -> str | None:
        with lock:
            first = claimed.setdefault(job.target, job.source)
        if first != job.source:
            return f"{job.source}: {job.target} is already taken by {first}"
        at_work.source = job.source
        try:
            _convert(job, options.force, work)
        except Exception as error:  # one bad file must not stop the others
            return f"{job.source}: {error or type(error).__name__}"
        return None

    failures = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        try:
            for problem in _progress(pool.map(attempt, jobs), len(jobs)):
                if problem:
                    failures += 1
                    _say(problem)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if len(jobs) > 1:
        _say(f"{len(jobs) - failures} written, {failures} failed")
    return failures


def _convert(job: Job, force: bool, work: Callable[[Job, Path], None]) -> None:
    """Write beside the target and rename: whoever looks sees the old file or the new one, never a part."""
    if job.target.exists() and job.source.samefile(job.target):
        msg = "source and target are the same file"
        raise OSError(msg)
    _refuse_existing(job.target, force)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    temporary = job.target.with_name(f".{job.target.name}.{os.getpid()}.{next(_serial)}.part")
    try:
        work(job, temporary)
        _refuse_existing(job.target, force)
        os.replace(temporary, job.target)
    finally:
        temporary.unlink(missing_ok=True)


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
