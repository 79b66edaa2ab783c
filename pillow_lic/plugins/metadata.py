"""What goes along with a picture: ICC, EXIF, XMP, resolution and comment between Pillow's names and the codec's.

Imports Pillow and container.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PIL import Image

from ..container import exif as tiff
from ..errors import LicBadOption
from ..signature import EXIF_PREFIX

if TYPE_CHECKING:
    from ..codec.metadata import Metadata
    from ..container import Head

NAMES = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp", "cicp": "cicp"}  # the codec's names and Pillow's
BESIDE = ("dpi", "comment")  # stated in EXIF

_UNKNOWN = 2  # ITU-T H.273: "unspecified"
_EMPTY_EXIF = 14  # bytes of a TIFF structure without entries: its header, no entries, no next directory
_DPI = (0.01, 100_000.0)  # pixels an inch that a rational of EXIF can state well


def shown(head: Head) -> tuple[dict[str, Any], list[str]]:
    """What of a file's metadata `info` holds, and what there is to warn of."""
    found: dict[str, Any] = {"icc_profile": head.icc, "xmp": head.xmp, "cicp": head.cicp and tuple(head.cicp)}
    notes: list[str] = []
    if head.exif and tiff.overlaps(head.exif):
        what = f"its values claim more than {tiff.OVERLAP_MAX} times the {len(head.exif)} bytes that there are"
        notes.append(f"the file's EXIF is left out: {what}; distrust the file")
    elif head.exif:
        found |= {"exif": EXIF_PREFIX + head.exif, "dpi": tiff.resolution(head.exif)}
        found["comment"] = tiff.comment(head.exif)
    return {key: value for key, value in found.items() if value}, notes


def given(im: Any, options: dict[str, Any]) -> Metadata:
    """What a call of save() gives, as bytes; XMP may be text, EXIF an object of Pillow's. Raises LicBadOption."""
    from ..codec.metadata import Metadata

    exif, xmp = options.get("exif"), options.get("xmp")
    if isinstance(exif, Image.Exif):
        exif = exif.tobytes()
    if isinstance(exif, (bytes, bytearray, memoryview)):
        exif = bytes(exif).removeprefix(EXIF_PREFIX)
        exif = None if len(exif) == _EMPTY_EXIF and not tiff.states_anything(exif) else exif
    if isinstance(xmp, str):
        try:
            xmp = xmp.encode("utf-8")
        except UnicodeEncodeError as error:
            msg = f"xmp must be text that UTF-8 can hold, or bytes ({error})"
            raise LicBadOption(msg) from error
    profile = options.get("icc_profile", im.info.get("icc_profile"))
    cicp = options.get("cicp", coding_points(im.info))
    metadata = Metadata(profile, exif, xmp, cicp).checked()
    try:
        stated = tiff.stating(metadata.exif, _resolution(options.get("dpi")), _comment(options.get("comment")))
    except ValueError as error:
        raise LicBadOption(str(error)) from error
    return metadata._replace(exif=stated)


def coding_points(info: dict[str, Any]) -> Any:
    """What is said of an image's colours: "cicp", or what pillow_heif tells of HEIC and AVIF as "nclx_profile", whose
    pixels Pillow has in full range.
    """
    if "cicp" in info:
        return info["cicp"]
    nclx = info.get("nclx_profile")
    names = ("color_primaries", "transfer_characteristics", "matrix_coefficients")
    stated = [nclx.get(name) for name in names] if isinstance(nclx, dict) else []
    known = all(isinstance(one, int) and 0 <= one <= 255 for one in stated) and stated[:2] != [_UNKNOWN] * 2
    return (*stated, True) if stated and known else None


def _resolution(dpi: Any) -> tuple[float, float] | None:
    """Pixels an inch; (0, 0) states none, as for JPEG."""
    if dpi is None:
        return None
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError):
        x, y = -1.0, -1.0
    if x == y == 0:
        return None
    low, high = _DPI
    if not (low <= x <= high and low <= y <= high):
        msg = f"dpi must be two numbers from {low:g} to {high:g}, horizontally and vertically, found {dpi!r}"
        raise LicBadOption(msg)
    return x, y


def _comment(comment: Any) -> bytes | None:
    if comment is not None and not isinstance(comment, (str, bytes, bytearray, memoryview)):
        msg = f"comment must be text or bytes, found {type(comment).__name__}"
        raise LicBadOption(msg)
    if isinstance(comment, str):
        return comment.encode() or None
    return bytes(comment) if comment else None
