"""The Pillow plugin: `Image.open`, `load`, `verify` and `save` of `.lic` files.

Imports Pillow and format (for the header); numpy, the codec and torch only when pixels are decoded or encoded.
There is no `draft`: `thumbnail()` decodes the whole image and scales it down.
"""

from __future__ import annotations

import difflib
import threading
import warnings
from typing import IO, TYPE_CHECKING, Any

from PIL import Image, ImageFile

from .. import format as container
from ..errors import LicBadMagic, LicBadOption, LicCorruptChunk
from ..signature import FORMAT

if TYPE_CHECKING:
    import numpy as np

QUALITY = 75  # default of save()
OPTIONS = ("quality", "model", "tune", "effort", "exif", "icc_profile", "xmp", "device")

_EXIF_PREFIX = (
    b"Exif\0\0"  # of JPEG, and of Image.Exif.tobytes(); a .lic file holds the TIFF structure alone (FORMAT 4)
)
_NATIVE = ("L", "LA", "RGB", "RGBA")
_DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")  # grey modes of more than 8 bits


class LicImageFile(ImageFile.ImageFile):
    """A `.lic` file opened by Pillow: header at once, pixels at the first `load()`.

    `info` holds quality (float), model (name), bpp (bits per pixel of the whole file), lic_version, and icc_profile, exif
    (with the prefix that Pillow's other plugins give it) and xmp where the file has them.
    """

    format = FORMAT
    format_description = "Learned image codec"

    _load_lock: threading.Lock | None = None  # set by _open: an unpickled or closed image has nothing to load

    def _open(self) -> None:
        try:
            head = container.read_head(self.fp, truncated=ImageFile.LOAD_TRUNCATED_IMAGES)
        except LicBadMagic as error:
            raise SyntaxError(str(error)) from error  # "not mine" in Pillow's language
        self._size = (head.header.width, head.header.height)
        self._mode = head.header.layout
        self.info.update(_info(head))
        self.tile = [ImageFile._Tile("lic", (0, 0, *self._size), 0, None)]
        self._load_lock = threading.Lock()

    def load(self) -> Any:
        """Decode at the first call; several threads may call it.

        Raises LicError where the file is damaged or its model unknown. With ImageFile.LOAD_TRUNCATED_IMAGES, missing
        tiles are grey.
        """
        if self._load_lock is not None:
            with self._load_lock:
                if self.tile:
                    self._decode()
        return super().load()

    def _decode(self) -> None:
        if self.fp is None or self.fp.closed:
            msg = "operation on a closed image: load() it before its file is closed"
            raise ValueError(msg)
        from .. import codec

        truncated = ImageFile.LOAD_TRUNCATED_IMAGES
        bomb = (
            Image.MAX_IMAGE_PIXELS and 2 * Image.MAX_IMAGE_PIXELS
        )  # where Pillow refuses; it has not seen what thin images cost
        whole = container.read(self.fp, truncated=truncated, max_pixels=bomb, metadata=False)
        if (whole.header.width, whole.header.height, whole.header.layout) != (*self.size, self.mode):
            msg = f"the file changed after it was opened: {self.mode} of {self.width} x {self.height} pixels then; open it again"
            raise LicCorruptChunk(msg)
        self.im = _image(codec.decode_container(whole, truncated=truncated), self.mode, self.size).im
        self.readonly = 0
        self.tile = []
        if self._exclusive_fp:
            self.fp.close()
        self.fp = None

    def load_seek(self, pos: int) -> None:
        """Its presence makes ImageFile.Parser wait for the whole file."""

    def verify(self) -> None:
        """Check structure and checksums of the whole file without decoding it, then close it. Raises LicError."""
        if self.fp is None:
            msg = "verify must be called directly after open"
            raise RuntimeError(msg)  # as Pillow's PNG plugin says it
        container.verify(self.fp)
        super().verify()


def _info(head: container.Head) -> dict[str, Any]:
    from ..models import registry

    header = head.header
    info: dict[str, Any] = {
        "quality": header.quality,
        "model": registry.name_of(header.model, header.model_hash),
        "bpp": 8 * head.size / (header.width * header.height),
        "lic_version": f"{head.major}.{head.minor}",
    }
    # With the prefix, as of JPEG, PNG and AVIF: JPEG writes what it is given, and would lose it without.
    exif = _EXIF_PREFIX + head.exif if head.exif else None
    metadata = {"icc_profile": head.icc, "exif": exif, "xmp": head.xmp}
    return info | {key: value for key, value in metadata.items() if value}


def _image(array: np.ndarray, mode: str, size: tuple[int, int]) -> Image.Image:
    """A copy: of L and RGBA, frombuffer would borrow the array, and Pillow let nobody write into that."""
    image = Image.frombuffer(mode, size, array, "raw", mode, 0, 1)
    return image.copy() if image.readonly else image


# ---- Saving -------------------------------------------------------------------------------------------------------


def save(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    """Handler of `im.save("x.lic", quality=75, tune="psnr", effort=2, exif=, icc_profile=, xmp=, device=)`.

    quality: 1 to 100, int or float. effort: 0 to 9, smaller files for more time; with tune="ms-ssim" 0 alone.
    tune: "psnr" or "ms-ssim", what the file shall be good at; or model: a name that `lic models` lists, with the quality that it is for.
    exif: bytes or Image.Exif. xmp: bytes or str. device: as of `pillow_lic.encode`; opening has no options, there `pillow_lic.set_device` or PILLOW_LIC_DEVICE decides.
    icc_profile is taken from im.info unless given (None or b"" drops it), as Pillow's PNG and AVIF plugins do, but left out
    where it describes other colours than those stored; one that is given is written as it is. exif and xmp are written
    when given, as its WebP and AVIF plugins do. All is checked and encoded before one write.
    Raises LicBadOption (also a ValueError) and other LicErrors; warns of a misspelt option, a profile left out, lost depth.
    """
    options = _options(im)
    if min(im.size) < 1:
        msg = f"cannot write an empty image of {im.width} x {im.height} pixels"
        raise LicBadOption(msg)
    import numpy as np

    from .. import codec

    native = _to_native(im)
    if "icc_profile" not in im.encoderinfo:
        options["icc"] = _fitting_profile(options["icc"], native.mode)
    fp.write(codec.encode(np.asarray(native), **options))


def _options(im: Image.Image) -> dict[str, Any]:
    """The save options as arguments of codec.encode, which checks them."""
    given = im.encoderinfo
    if given.get("lossless"):
        msg = "lossless: the colours of a .lic file are lossy, at any quality; save as PNG, or as lossless WebP or JPEG XL"
        raise LicBadOption(msg)
    for name in given:
        _warn_of_misspelling(name)
    return {
        "quality": given.get("quality", QUALITY),
        "model": given.get("model"),
        "tune": given.get("tune"),
        "effort": given.get("effort"),
        "icc": _checked_bytes("icc_profile", given.get("icc_profile", im.info.get("icc_profile"))),
        "exif": _checked_exif(given.get("exif")),
        "xmp": _checked_bytes("xmp", given.get("xmp")),
        "device": given.get("device"),
    }


def _warn_of_misspelling(name: str) -> None:
    if name in OPTIONS:
        return
    for meant in difflib.get_close_matches(name.lower(), OPTIONS, n=1, cutoff=0.75):
        # stacklevel: the caller of Image.save
        warnings.warn(f"save option {name!r} is ignored; did you mean {meant!r}?", UserWarning, stacklevel=6)


def _checked_exif(exif: Any) -> bytes | None:
    exif = _checked_bytes("exif", exif.tobytes() if isinstance(exif, Image.Exif) else exif)
    return exif.removeprefix(_EXIF_PREFIX) or None if exif else None


def _checked_bytes(name: str, value: Any) -> bytes | None:
    """value as bytes, None if empty. Text is taken as UTF-8 for xmp."""
    if name == "xmp" and isinstance(value, str):
        value = value.encode("utf-8")
    if value is not None and not isinstance(value, (bytes, bytearray, memoryview)):
        msg = f"{name} must be bytes, found {type(value).__name__}"
        raise LicBadOption(msg)
    return bytes(value) if value else None


def _fitting_profile(icc: bytes | None, mode: str) -> bytes | None:
    """The profile that came along with the image, None if its colour space is not that of the pixels as they are stored."""
    space = b"GRAY" if mode in ("L", "LA") else b"RGB "
    if not icc or icc[16:20] == space:  # ICC.1, 7.2.6: the data colour space
        return icc
    what = f"the image's ICC profile is left out: it is for {icc[16:20]!r}, the pixels are stored as {space!r}"
    warnings.warn(
        f"{what}; ImageCms.profileToProfile converts with it", UserWarning, stacklevel=5
    )  # the caller of save
    return None


def _to_native(im: Image.Image) -> Image.Image:
    """The image in one of the four native modes: as Pillow's WebP and AVIF plugins convert, grey staying grey, a transparent colour as alpha."""
    if im.mode in _NATIVE:
        return (
            im.convert({"L": "LA", "RGB": "RGBA"}[im.mode])
            if im.mode in ("L", "RGB") and im.has_transparency_data
            else im
        )
    if im.mode in _DEEP:
        sixteen = im.mode.startswith("I;16")
        lost = "the upper 8 of 16 bits are kept" if sixteen else "values beyond 0 to 255 are clipped"
        warnings.warn(
            f"mode {im.mode} is saved with 8 bits per sample; depth is lost: {lost}", UserWarning, stacklevel=5
        )  # the caller of save
        return _upper_bits(im) if sixteen else im.convert("L")
    transparent = im.has_transparency_data
    if im.mode in ("1", "La"):
        return im.convert("LA" if transparent else "L")
    return im.convert("RGBA" if transparent else "RGB")


def _upper_bits(im: Image.Image) -> Image.Image:
    """A 16-bit grey image as L; Pillow's own conversion clips."""
    import numpy as np

    return Image.fromarray((np.asarray(im) >> 8).astype(np.uint8))
