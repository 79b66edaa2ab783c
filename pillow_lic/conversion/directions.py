"""The two directions: images to `.lic`, and `.lic` to another format, with their metadata.

Imports Pillow; the codec comes with the first image.
"""

from __future__ import annotations

from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from PIL import ExifTags, Image, PngImagePlugin

from .. import container
from ..container import exif as tiff
from ..errors import LicBadOption
from ..signature import EXIF_PREFIX, EXTENSION, FORMAT

if TYPE_CHECKING:
    from ..codec.decode import Decoded
    from ..codec.options import DecodeOptions, EncodeOptions
    from ..codec.pipeline import Job
    from .places import Place

# The tags of a TIFF file that say something about the picture and not about how the file stores it.
_TAGS = ExifTags.Base
DESCRIBING = {
    _TAGS.ImageDescription, _TAGS.Make, _TAGS.Model, _TAGS.Orientation,
    _TAGS.XResolution, _TAGS.YResolution, _TAGS.ResolutionUnit, _TAGS.Software, _TAGS.DateTime,
    _TAGS.Artist, _TAGS.Copyright, _TAGS.Rating, ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo,
}  # fmt: skip


SIXTEEN = ("PNG", "TIFF", "JPEG2000", "PPM")  # formats into which Pillow writes mode I;16


class Made(NamedTuple):
    """A file's job for the pipeline, and what is kept of the source until its target is written."""

    job: Job
    size: tuple[int, int]
    info: dict[str, Any]
    notes: list[str]  # what there is to say of it, as far as is known


class Encode:
    """From Pillow's image to a file's bytes."""

    suffix = EXTENSION

    def __init__(self, options: EncodeOptions):
        """Raises what EncodeOptions.checked raises."""
        self.options, self.settings = options, options.checked()

    def __reduce__(self) -> tuple[Any, ...]:
        return Encode, (self.options,)  # models and engines are each process's own

    def made(self, image: Image.Image) -> Made:
        """Of an image whose header is read."""
        from ..codec.encode import Encoding
        from ..plugins.saving import prepared

        notes: list[str] = []
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            notes.append(f"only the first of {frames} frames is kept")
        given = {"exif": _exif(image, notes), "xmp": image.info.get("xmp")}  # a profile goes along by itself
        source = prepared(image, given | _stated(image, given["exif"], notes))
        notes += [f"warning: {note}" for note in source.notes]
        return Made(Encoding(source.array, self.settings, source.metadata), image.size, {}, notes)

    def write(self, target: IO[bytes], result: bytes, _made: Made) -> None:
        """The file."""
        target.write(result)

    def opened(self, source: Any) -> Image.Image:
        """The picture, its header read."""
        return Image.open(source)

    def is_finished(self, target: Place) -> bool:
        """Whether a file is a whole one of ours."""
        with target.opened() as file:
            return container.read_head(file).complete


class Decode:
    """From a file to Pillow's image, and from there to another format."""

    def __init__(self, options: DecodeOptions, suffix: str, quality: int | None = None):
        """suffix: of the format to write. Raises LicBadOption where Pillow cannot write it, and what
        DecodeOptions.checked raises.
        """
        self.given = options, suffix, quality
        self.options, self.suffix = options.checked(), suffix
        format = Image.registered_extensions().get(suffix)
        if format not in Image.SAVE or format == FORMAT:
            msg = f"Pillow cannot write {suffix!r} files"
            raise LicBadOption(msg)
        self.format = str(format)
        self.quality = {} if quality is None else {"quality": quality}

    def __reduce__(self) -> tuple[Any, ...]:
        return Decode, self.given

    def made(self, image: Image.Image) -> Made:
        """Of an image whose header is read: its size was checked."""
        from ..codec.decode import Decoding
        from ..plugins.pillow import LicImageFile

        assert isinstance(image, LicImageFile)
        info = {str(key): value for key, value in image.info.items()}
        options = replace(self.options, dtype=_dtype(image.mode, self.format))
        job = Decoding(image.chunks(options), options)
        return Made(job, (job.chunks.header.width, job.chunks.header.height), info, [])

    def write(self, target: IO[bytes], result: Decoded, made: Made) -> None:
        """The image in the other format."""
        from ..plugins.pixels import image_of

        image = image_of(result)
        image.info.update(made.info)
        image.save(target, self.format, **_metadata(image, self.format, made.notes), **self.quality)

    def opened(self, source: Any) -> Image.Image:
        """The picture, its header read."""
        return Image.open(source, formats=[FORMAT])

    def is_finished(self, target: Place) -> bool:
        """Whether a file is one of the format."""
        with Image.open(target.source()) as image:
            return image.format == self.format


def _dtype(mode: str, format: str) -> str | None:
    """As what pixels of a file of this mode are wanted: with as much depth as the format takes. Pillow has more than 8
    bits of grey alone.
    """
    if mode not in ("I;16", "I", "F"):
        return "uint8"
    if mode == "I;16" or format == "TIFF":
        return None if format in SIXTEEN else "uint8"
    return "uint16" if format in SIXTEEN else "uint8"


def _exif(image: Image.Image, notes: list[str]) -> bytes | None:
    """The image's EXIF; of TIFF, which keeps it among the tags of the file itself, what is about the picture."""
    if image.format != "TIFF" or image.info.get("exif"):
        exif = image.info.get("exif")
        problem = tiff.problem(exif.removeprefix(EXIF_PREFIX)) if exif else None
        if problem:
            notes.append(f"its EXIF cannot be read ({problem.partition(';')[0]}); it is left out")
        return None if problem else exif
    image.load()  # turns the pixels as the orientation says, which is then no longer true
    try:
        exif = image.getexif()
        for tag in set(exif) - DESCRIBING:
            del exif[tag]
        return exif.tobytes() if len(exif) else None
    except Exception as error:  # Pillow raises this and that for damaged tags, of which the pixels know nothing
        notes.append(f"its EXIF cannot be read ({error}); it is left out")
        return None


def _stated(image: Image.Image, exif: bytes | None, notes: list[str]) -> dict[str, Any]:
    """Resolution and comment of an image whose EXIF does not state them, as far as EXIF can hold them."""
    from ..plugins import metadata

    found: dict[str, Any] = {}
    for key, stated in (("dpi", tiff.resolution), ("comment", tiff.comment)):
        value = image.info.get(key)
        if not value or (exif and stated(exif.removeprefix(EXIF_PREFIX))):
            continue
        try:
            metadata.given(image, {"exif": exif, "icc_profile": None, key: value})
            found[key] = value
        except LicBadOption as error:
            notes.append(f"its {key} is left out ({error})")
    return found


def _metadata(image: Image.Image, format: str, notes: list[str]) -> dict[str, Any]:
    """Save options that carry ICC, EXIF and XMP into another format."""
    keys = ("icc_profile", "exif", "xmp", "dpi", "comment")
    metadata: dict[str, Any] = {key: image.info[key] for key in keys if key in image.info}
    if format == "PNG" and "xmp" in metadata:
        metadata["pnginfo"] = PngImagePlugin.PngInfo()
        metadata["pnginfo"].add_itxt("XML:com.adobe.xmp", metadata.pop("xmp").decode("utf-8", "replace"))
    if "xmp" in metadata and format not in ("JPEG", "WEBP", "AVIF"):
        notes.append(f"Pillow cannot write XMP into {format}; it is left out")
    return metadata
