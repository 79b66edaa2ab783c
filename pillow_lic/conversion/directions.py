"""The two directions: images to `.lic`, and `.lic` to another format, with their metadata.

Imports Pillow; the codec comes with the first image.
"""

from __future__ import annotations

from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from PIL import ExifTags, Image, PngImagePlugin

from .. import container
from ..constants import LIC_DEPTH_MIN
from ..container import exif as exifs
from ..errors import LicBadOption
from ..plugins import metadata
from ..signature import EXIF_PREFIX, EXTENSION, FORMAT
from . import deep, png
from .tiff import DESCRIBING

if TYPE_CHECKING:
    from ..codec.decode import Decoding
    from ..codec.decode_options import DecodeOptions
    from ..codec.decoded import Decoded
    from ..codec.options import EncodeOptions
    from ..codec.pipeline import Job
    from .places import Place

SIXTEEN = ("PNG", "TIFF", "JPEG2000", "PPM")  # formats into which Pillow writes mode I;16
TAKEN = {  # modes beside L, LA, RGB and RGBA that Pillow writes as they are
    "TIFF": ("1", "RGBX", "CMYK", "YCbCr", "LAB"),
    "JPEG": ("1", "CMYK", "YCbCr"),
    "PNG": ("1",),
    "PPM": ("1",),
}
_JFIF_UNITS = (1, 2)  # of a density that is one: dots an inch, dots a centimetre
ADVICE = "as 16-bit RGB or RGBA without premultiplied alpha all is kept"


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
        given = {"cicp": _coding_points(image), "lossless": self.options.lossless}
        colour = deep.colour(image)
        if colour is None and deep.shown_in_8(image):
            notes.append(f"warning: depth is lost: Pillow reads such a {image.format} in 8 bits; {ADVICE}")
        given |= {"exif": _exif(image, notes), "xmp": image.info.get("xmp")}  # a profile goes along by itself
        source = prepared(image, given | _stated(image, given["exif"], notes), colour)
        notes += [f"warning: {note}" for note in source.notes]
        job = Encoding(source.array, self.settings, source.metadata, source.mode)
        return Made(job, image.size, {}, notes)

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
        options = replace(self.options, dtype=_dtype(image, self.format))
        job = Decoding(image.chunks(options), options)
        return Made(job, (job.chunks.header.width, job.chunks.header.height), info, _lost(job))

    def write(self, target: IO[bytes], result: Decoded, made: Made) -> None:
        """The image in the other format."""
        from ..plugins.pixels import image_of

        options = _metadata(made.info, self.format, made.notes)
        if result.depth > LIC_DEPTH_MIN and self.format in deep.FORMATS and result.bands > 1:
            deep.write(target, result.array(), self.format, **options)
            return
        image = _for_format(image_of(result), self.format, options, made.notes)
        image.info.update(made.info)
        if save_or_flatten(image, target, self.format, **options, **self.quality):
            made.notes.append(f"warning: {self.format} has no transparency: what shows through is white")

    def opened(self, source: Any) -> Image.Image:
        """The picture, its header read."""
        return Image.open(source, formats=[FORMAT])

    def is_finished(self, target: Place) -> bool:
        """Whether a file is one of the format."""
        with Image.open(target.source()) as image:
            return image.format == self.format


def save_or_flatten(image: Image.Image, target: IO[bytes], format: str, **options: Any) -> bool:
    """As Image.save, over white where the format has no alpha. Whether that was so."""
    try:
        image.save(target, format, **options)
    except OSError as error:
        if image.mode not in ("LA", "RGBA") or "cannot write mode" not in str(error):
            raise
        seen = Image.new("RGB", image.size, "white")
        seen.paste(image.convert("RGB"), mask=image.getchannel("A"))
        seen.save(target, format, **options)
        return True
    return False


def _for_format(image: Image.Image, format: str, options: dict[str, Any], notes: list[str]) -> Image.Image:
    """An image of a mode that only exact files have, as the format takes it; a profile of other colours is left out."""
    from ..codec import modes

    if image.mode not in modes.OTHERS or image.mode in TAKEN.get(format, ()):
        return image
    found = modes.seen(image)
    if image.mode != modes.BILEVEL:
        notes.append(f"warning: converted from {image.mode} to {found.mode}, as {format} cannot have it; TIFF may")
    if image.mode in ("CMYK", "YCbCr", "HSV", "LAB") and options.pop("icc_profile", None) is not None:
        notes.append(f"its ICC profile, which is for {image.mode}, is left out")
    return found


def _dtype(image: Image.Image, format: str) -> str | None:
    """As what a file's pixels are wanted: with as much depth as the format takes. None: their own."""
    mode = image.mode
    if mode not in ("I;16", "I", "F"):  # Pillow has more than 8 bits of grey alone
        wide = "depth" in image.info and format in deep.FORMATS
        return ("uint16" if format == "PNG" else None) if wide else "uint8"
    if mode == "I;16" or format == "TIFF":
        return None if format in SIXTEEN else "uint8"
    return "uint16" if format in SIXTEEN else "uint8"


def _lost(job: Decoding) -> list[str]:
    """What there is to say of samples that are not what the file holds, in depth or in value."""
    header, values = job.chunks.header, job.chunks.values
    own = values is None or (values.low, values.high) == (0, header.most)  # samples stand for themselves
    keeps = "PNG and TIFF keep" if own else "TIFF keeps"
    if not header.deep:
        return []
    if job.options.scale != 1:
        return [f"warning: depth is lost: smaller pictures have 8 of its {header.depth} bits; leave out the scale"]
    if job.dtype == "uint8":
        return [f"warning: depth is lost: 8 of its {header.depth} bits are kept; {keeps} them all"]
    if job.dtype == "uint16" and not own:
        assert values is not None
        kind = {container.INTEGERS: "integers", container.FLOATS: "floats"}[values.kind]
        shown = f"{kind} from {values.low:g} to {values.high:g} become 0 to {job.drawn.most}"
        return [f"warning: its values are not kept: {shown}; TIFF keeps them"]
    return []


def _coding_points(image: Any) -> Any:
    """What the file states of its colours, as far as Pillow or we can tell."""
    if image.format == "PNG" and image.fp is not None:
        return png.coding_points(image.fp)
    return metadata.coding_points(image.info)


def _exif(image: Image.Image, notes: list[str]) -> bytes | None:
    """The image's EXIF; of TIFF, which keeps it among the tags of the file itself, what is about the picture."""
    if image.format != "TIFF" or image.info.get("exif"):
        exif = image.info.get("exif")
        problem = exifs.problem(exif.removeprefix(EXIF_PREFIX)) if exif else None
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
    found: dict[str, Any] = {}
    for key, stated in (("dpi", exifs.resolution), ("comment", exifs.comment)):
        value = _dpi(image) if key == "dpi" else image.info.get(key)
        if not value or (exif and stated(exif.removeprefix(EXIF_PREFIX))):
            continue
        try:
            metadata.given(image, {"exif": exif, "icc_profile": None, key: value})
            found[key] = value
        except LicBadOption as error:
            notes.append(f"its {key} is left out ({error})")
    return found


def _dpi(image: Any) -> Any:
    """The resolution that a file states. Pillow tells one dot an inch of a TIFF that states none, and 72 of a JPEG that
    has EXIF.
    """
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else None
    if tags is not None and not {ExifTags.Base.XResolution, ExifTags.Base.YResolution} <= set(tags):
        return None
    if image.format in ("JPEG", "MPO") and image.info.get("jfif_unit") not in _JFIF_UNITS:
        return None
    return image.info.get("dpi")


def _metadata(info: dict[str, Any], format: str, notes: list[str]) -> dict[str, Any]:
    """Save options that carry ICC, EXIF, XMP and colour coding points into another format."""
    keys = ("icc_profile", "exif", "xmp", "dpi", "comment")
    options: dict[str, Any] = {key: info[key] for key in keys if key in info}
    if format == "PNG" and "xmp" in options:
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode("utf-8", "replace"))
    if "xmp" in options and format not in ("JPEG", "WEBP", "AVIF"):
        notes.append(f"Pillow cannot write XMP into {format}; it is left out")
    if "cicp" in info and format == "PNG":
        options["pnginfo"] = png.with_coding_points(options.get("pnginfo"), info["cicp"])
    elif "cicp" in info:
        notes.append(f"Pillow cannot write colour coding points into {format}; they are left out, PNG has them")
    return options
