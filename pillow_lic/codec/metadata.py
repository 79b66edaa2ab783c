"""What goes along with a picture.

Imports the standard library, container and ground.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

from ..container import Cicp
from ..container import exif as tiff
from ..errors import LicBadOption
from ..signature import EXIF_PREFIX


class Metadata(NamedTuple):
    """What goes along with a picture: an ICC profile, a TIFF structure of EXIF, a packet of XMP, colour coding
    points.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    cicp: Any = None  # four numbers (FORMAT 4.1)

    def checked(self) -> Metadata:
        """As bytes, None if empty; EXIF without the prefix of JPEG. Raises LicBadOption, also for EXIF that no reader
        would take.
        """
        icc, exif, xmp = (_bytes(name, value) for name, value in self._asdict().items() if name != "cicp")
        exif = exif.removeprefix(EXIF_PREFIX) or None if exif else None
        if exif and (problem := tiff.problem(exif)):
            raise LicBadOption(problem)
        return Metadata(icc, exif, xmp, _cicp(self.cicp))


NO_METADATA = Metadata()


def _bytes(name: str, value: Any) -> bytes | None:
    if value is not None and not isinstance(value, (bytes, bytearray, memoryview)):
        msg = f"{name} must be bytes, found {type(value).__name__}"
        raise LicBadOption(msg)
    return bytes(value) if value else None


def _cicp(value: Any) -> Cicp | None:
    """Four numbers, or three of full range. Raises LicBadOption."""
    if value is None:
        return None
    try:
        found = Cicp(*(operator.index(one) for one in (*value, True)[:4]))
    except TypeError:
        found = Cicp(-1, 0, 0, 0)
    if not all(0 <= one <= 255 for one in found) or found.full_range > 1:
        what = "primaries, transfer and matrix, 0 to 255, and whether samples are of full range (True if unsaid)"
        msg = f"cicp must be {what}, found {value!r}"
        raise LicBadOption(msg)
    return found
