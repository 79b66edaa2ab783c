"""TIFF files of colour of more than 8 bits, which Pillow does not write (TIFF 6.0; strips packed by zlib).

Imports Pillow; the arrays that come are NumPy's.
"""

from __future__ import annotations

import zlib
from itertools import accumulate
from typing import IO, TYPE_CHECKING, Any

from PIL import ExifTags, Image, TiffImagePlugin, TiffTags

from ..errors import LicBadOption

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The tags of a TIFF file that say something about the picture and not about how the file stores it.
_TAGS = ExifTags.Base
_BESIDE = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)  # directories of their own
DESCRIBING = {
    _TAGS.ImageDescription, _TAGS.Make, _TAGS.Model, _TAGS.Orientation,
    _TAGS.XResolution, _TAGS.YResolution, _TAGS.ResolutionUnit, _TAGS.Software, _TAGS.DateTime,
    _TAGS.Artist, _TAGS.Copyright, _TAGS.Rating, *_BESIDE,
}  # fmt: skip

_STRIP = 1 << 18  # bytes of a strip, about
_HEADER = b"II*\0\x08\0\0\0"  # little-endian; the directory is at 8
_END = 1 << 32  # bytes that offsets reach
_ZLIB, _DIFFERENCES, _PLAIN = 8, 2, 1  # values of Compression and Predictor
_FORMATS = {"u": 1, "i": 2, "f": 3}  # of SampleFormat, by the kind of dtype
_NOT_PREMULTIPLIED = 2  # of ExtraSamples


def write(target: IO[bytes], samples: NDArray[Any], **options: Any) -> None:
    """A file of uint16, int32 or float32 samples (H, W, 2 to 4). options: icc_profile, exif. Raises LicBadOption for
    more than 4 GiB.
    """
    if samples.nbytes + samples.nbytes // 1000 + _STRIP >= _END:
        msg = f"{samples.nbytes} bytes of samples are more than TIFF holds; name a .png file"
        raise LicBadOption(msg)
    height, width, bands = samples.shape
    rows = max(1, _STRIP // samples[0].nbytes)
    strips = [zlib.compress(_differences(samples[top : top + rows])) for top in range(0, height, rows)]
    directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    _describe(directory, options)
    described: dict[int, Any] = {
        _TAGS.ImageWidth: width,
        _TAGS.ImageLength: height,
        _TAGS.BitsPerSample: (8 * samples.itemsize,) * bands,
        _TAGS.Compression: _ZLIB,
        _TAGS.PhotometricInterpretation: 2 if bands > 2 else 1,
        _TAGS.SamplesPerPixel: bands,
        _TAGS.RowsPerStrip: rows,
        _TAGS.PlanarConfiguration: 1,
        _TAGS.Predictor: _PLAIN if samples.dtype.kind == "f" else _DIFFERENCES,
        _TAGS.SampleFormat: (_FORMATS[samples.dtype.kind],) * bands,
        _TAGS.StripByteCounts: tuple(map(len, strips)),
        # Counted from behind the directory: Pillow adds where that ends.
        _TAGS.StripOffsets: tuple(accumulate(map(len, strips[:-1]), initial=0)),
    }
    if bands in (2, 4):
        described[_TAGS.ExtraSamples] = (_NOT_PREMULTIPLIED,)
    directory.tagtype[_TAGS.StripByteCounts] = directory.tagtype[_TAGS.StripOffsets] = TiffTags.LONG
    for number, value in described.items():
        directory[number] = value
    target.write(_HEADER + directory.tobytes(len(_HEADER)))
    for strip in strips:
        target.write(strip)


def _describe(directory: TiffImagePlugin.ImageFileDirectory_v2, options: dict[str, Any]) -> None:
    """What is said of the picture."""
    exif = Image.Exif()
    exif.load(options.get("exif") or b"")
    for tag in DESCRIBING & set(exif):
        directory[tag] = exif.get_ifd(tag) if tag in _BESIDE else exif[tag]
    if options.get("icc_profile"):
        directory.tagtype[_TAGS.InterColorProfile] = TiffTags.UNDEFINED
        directory[_TAGS.InterColorProfile] = options["icc_profile"]


def _differences(rows: NDArray[Any]) -> bytes:
    """Integers as differences to the pixel on their left; all little-endian."""
    if rows.dtype.kind == "f":
        return rows.astype("<f4").tobytes()
    whole = rows.astype(f"<u{rows.itemsize}")
    found = whole.copy()
    found[:, 1:] -= whole[:, :-1]
    return found.tobytes()
