"""`im.save("x.lic")`: an image and its options as the codec takes them, and the file as Pillow wants it written.

Imports Pillow; the codec and NumPy when a picture is saved.
"""

from __future__ import annotations

import difflib
import io
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from PIL import Image

from ..constants import LIC_DEPTH_MAX, LIC_DEPTH_WHOLE
from ..errors import LicBadOption
from ..imports import imported
from ..threads import cramped, with_large_stack
from . import keep, metadata
from .notes import warn
from .pixels import NATIVE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..codec.metadata import Metadata
    from ..codec.options import EncodeOptions

# What the first file of a process imports, and no signal may cut short.
FOR_SAVING = ("numpy", "pillow_lic.codec.encode", "pillow_lic.engines.native")

_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")  # grey modes of more than 8 bits
# What an ICC profile calls the colours of a mode (ICC.1, 7.2.6: the data colour space).
_GREY, _RGB = b"GRAY", b"RGB "
_SPACES = {"1": _GREY, "La": _GREY, "CMYK": b"CMYK", "YCbCr": b"YCbr", "LAB": b"Lab ", "HSV": b"HSV "}


def save(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    """Handler of `im.save("x.lic", quality=75, tune="visual", effort=2, exif=, icc_profile=, xmp=, dpi=, comment=)`.

    quality, tune, model, effort, device: as of `pillow_lic.encode`; opening has no options, there
    `pillow_lic.set_device` or PILLOW_LIC_DEVICE decides the device. exif: bytes or Image.Exif. xmp: bytes or str.
    icc_profile and cicp are taken from im.info unless given (None or b"" drops it), as Pillow's PNG and AVIF plugins
    do, but a profile is left out where it describes other colours than those stored; one that is given is written as it
    is. exif and xmp are written when given, as its WebP and AVIF plugins do; so are dpi (two numbers) and comment
    (bytes or str), into EXIF. All is checked and encoded before one write.
    quality="keep": the streams of a .lic file that was opened and not changed, bit for bit; of its metadata all that is
    not given.
    Raises LicBadOption (also a ValueError) and other LicErrors; warns of a misspelt option, a profile left out, lost
    depth.
    """
    if cramped():
        return with_large_stack(save, im, fp, filename)
    imported(*FOR_SAVING)
    from ..codec.encode import encoded

    if im.encoderinfo.get("quality") == keep.KEEP:
        _write(fp, keep.kept(im, im.encoderinfo))
        return
    source = prepared(im, im.encoderinfo)
    warn(source.notes)
    data, notes = encoded(source.array, source.options.checked(), source.metadata, source.mode)
    warn(notes)
    _write(fp, data)


def _write(fp: IO[bytes], data: bytes) -> None:
    """All of it, on its way before this returns. What a full disk does not take must not stay in a buffer: Pillow's
    close() would fail over it, before it takes the half file away.
    """
    if isinstance(fp, (io.BufferedWriter, io.BufferedRandom)):
        fp.flush()
        begin = fp.tell() if fp.seekable() else None
        if begin is not None:
            fp.raw.seek(begin)
        _write_raw(fp.raw, data)
        if begin is not None:
            fp.seek(begin + len(data))
    elif isinstance(fp, io.RawIOBase):
        _write_raw(fp, data)
    else:
        fp.write(data)
        flush = getattr(fp, "flush", None)
        if flush is not None:
            flush()


def _write_raw(raw: io.RawIOBase, data: bytes) -> None:
    """A file without a buffer takes what it can at a time."""
    rest = memoryview(data)
    while rest:
        written = raw.write(rest)
        if not written:
            msg = f"the target takes no more after {len(data) - len(rest)} of {len(data)} bytes"
            raise OSError(msg)
        rest = rest[written:]


def save_all(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    """Handler of `im.save("x.lic", save_all=True)`: as `save`, of one picture. Raises LicBadOption for several."""
    only_one(getattr(im, "n_frames", 1))
    save(im, fp, filename)


def only_one(frames: int) -> None:
    """Raises LicBadOption where there are more."""
    if frames > 1:
        msg = f"a .lic file holds one picture, here are {frames}: save each to a file of its own"
        raise LicBadOption(msg)


class Source(NamedTuple):
    """An image as the codec takes it."""

    array: Any
    options: EncodeOptions
    metadata: Metadata
    notes: list[str]  # what there is to warn of
    mode: str | None = None  # as of codec.encode.Encoding


def prepared(im: Image.Image, given: dict[str, Any], deep: Any = None) -> Source:
    """An image with the options that save() was given. deep: its pixels, where Pillow has not all of their bits. Raises
    LicBadOption.
    """
    from ..codec.options import EncodeOptions

    names, known = EncodeOptions.__dataclass_fields__, (*metadata.NAMES.values(), *metadata.BESIDE)
    others = given.get("append_images") or ()
    only_one(1 + len(list(others)) if hasattr(others, "__iter__") else 2)
    notes = [note for name in given if (note := _misspelling(name, (*names, *known)))]
    source = metadata.given(im, given)
    if min(im.size) < 1:
        msg = f"cannot write an empty image of {im.width} x {im.height} pixels"
        raise LicBadOption(msg)
    import numpy as np

    options = EncodeOptions(**{name: given[name] for name in names if name in given})
    mode = _own_mode(im) if options.lossless and deep is None else None
    if deep is not None:
        array = deep
    elif mode is not None:
        array = np.asarray(im.convert("L") if mode == "1" else im)
    else:
        array = _deep(im, options.depth, notes) if im.mode in _DEEP else np.asarray(_to_native(im))
    if "icc_profile" not in given:
        grey = array.ndim == 2 or array.shape[2] == 2
        space = _SPACES.get(mode or "", _GREY if grey else _RGB)
        source = source._replace(icc=_fitting_profile(source.icc, space, notes))
    return Source(array, options, source, notes, mode)


def _own_mode(im: Image.Image) -> str | None:
    """The mode of an image that an exact file keeps as it is; None where it is one of those of other files, or becomes
    one with alpha.
    """
    from ..codec import modes

    return im.mode if im.mode in modes.OTHERS and "transparency" not in im.info else None


def _misspelling(name: str, options: Iterable[str]) -> str | None:
    if name in options:
        return None
    for meant in difflib.get_close_matches(name.lower(), options, n=1, cutoff=0.75):
        return f"save option {name!r} is ignored; did you mean {meant!r}?"
    return None


def _fitting_profile(icc: bytes | None, space: bytes, notes: list[str]) -> bytes | None:
    """The profile that came along with the image, None if its colour space is not that of the pixels as they are
    stored.
    """
    if not icc or icc[16:20] == space:
        return icc
    what = f"the image's ICC profile is left out: it is for {icc[16:20]!r}, the pixels are stored as {space!r}"
    notes.append(f"{what}; ImageCms.profileToProfile converts with it")
    return None


def _to_native(im: Image.Image) -> Image.Image:
    """The image in one of the four native modes: as Pillow's WebP and AVIF plugins convert, grey staying grey, a
    transparent colour as alpha.
    """
    if im.mode in NATIVE:
        keyed = im.mode in ("L", "RGB") and im.has_transparency_data
        return im.convert({"L": "LA", "RGB": "RGBA"}[im.mode]) if keyed else im
    transparent = im.has_transparency_data
    if im.mode in ("1", "La"):
        return im.convert("LA" if transparent else "L")
    return im.convert("RGBA" if transparent else "RGB")


def in_eight(im: Image.Image) -> Image.Image:
    """A grey image of more than 8 bits as L, or LA where a value is transparent, by the range that an exact file of it
    states (codec/depth.py); others as they are.
    """
    if im.mode not in _DEEP:
        return im
    import numpy as np

    from ..codec import depth as depths
    from ..codec import numbers

    depth = _stated_depth(im)
    samples = _deep(im, depth, [])
    found = depths.sampled(samples.reshape(*samples.shape[:2], -1), depth, exact=True)
    if found.depth == LIC_DEPTH_WHOLE:
        assert found.values is not None
        eight = numbers.drawn(found.samples, found.values, depths.EIGHT)
    else:
        eight = depths.scaled(found.samples, (1 << found.depth) - 1, depths.EIGHT)
    shown = Image.fromarray(eight[:, :, 0])
    if eight.shape[2] > 1:
        shown.putalpha(Image.fromarray(np.ascontiguousarray(eight[:, :, 1])))
    return shown


def _stated_depth(im: Image.Image) -> int | None:
    """The bits that an image's file stated, where they still hold its integers."""
    import numpy as np

    depth = im.info.get("depth")
    if im.mode == "F" or not isinstance(depth, int) or not 0 < depth <= LIC_DEPTH_MAX:
        return None
    grey = np.asarray(im)
    span = int(grey.max()) - min(0, int(grey.min()))
    return depth if span >> depth == 0 else None


def _deep(im: Image.Image, depth: int | None, notes: list[str]) -> Any:
    """A grey image of more than 8 bits as an array; what is transparent (as PNG has it) by its alpha. Raises
    LicBadOption.
    """
    import numpy as np

    from ..codec import depth as depths

    grey, key = np.asarray(im), im.info.get("transparency")
    if not isinstance(key, (int, float)):
        return grey
    if im.mode == "F" or not 0 <= int(grey.min()) <= int(grey.max()) < 1 << 16:
        notes.append(f"the transparent value {key} is left out: mode {im.mode} with such values has no alpha")
        return grey
    grey = grey.astype(np.uint16)
    opaque = (1 << depths.bits_for(int(grey.max()), depth)) - 1
    return np.dstack([grey, np.where(grey == key, 0, opaque).astype(np.uint16)])
