"""The Pillow plugin: `Image.open`, `load`, `verify` and `save` of `.lic` files. What there is to warn of is warned of
here.

Imports Pillow and container (for the header), models' registry when a file is opened; the codec, numpy and an engine
only when pixels are decoded or encoded.
"""

from __future__ import annotations

import dataclasses
import difflib
import io
import math
import sys
import threading
import warnings
import weakref
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from PIL import Image, ImageFile

from .. import container, style
from ..constants import LIC_DEPTH_MIN, LIC_METADATA_MAX
from ..errors import LicBadMagic, LicBadOption, LicCorruptChunk, LicTruncated
from ..imports import imported
from ..signature import FORMAT
from ..threads import cramped, with_large_stack
from . import feed, keep, metadata

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..codec.decode import Decoded
    from ..codec.options import DecodeOptions, EncodeOptions, Metadata

# What the first file of a process imports, and no signal may cut short.
FOR_LOADING = ("pillow_lic.codec.decode", "pillow_lic.engines.native")
FOR_PREVIEWS = ("pillow_lic.codec.preview",)
FOR_SAVING = ("numpy", "pillow_lic.codec.encode", "pillow_lic.engines.native")

_THUMBNAIL_GAP = 0.55  # of the reducing_gap that is given: what is decoded small is a mean already

_LARGE = 1 << 22  # bytes of samples that may be in memory twice

_NATIVE = ("L", "LA", "RGB", "RGBA")
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")  # grey modes of more than 8 bits
_EXACT = (*_NATIVE, "1", "P", "PA", "RGBX", *_DEEP[:-1])  # modes whose colours are those of a native one, or whole
_VALUED = {container.INTEGERS: "I", container.FLOATS: "F"}  # by what samples stand for


class LicImageFile(ImageFile.ImageFile):
    """A `.lic` file opened by Pillow: header at once, pixels at the first `load()`.

    `info` holds quality (float; 100 where the overlay is the whole picture), model (name, or None then), lossless (True
    then: nothing was lost), bpp (bits per pixel of the whole file), lic_version, style (such as "perceptual:0.7", where
    the writer prefers one), and icc_profile, exif (with the prefix that Pillow's other plugins give it), xmp, and what
    EXIF says of dpi (two floats) and comment (bytes), where the file has them; cicp, four numbers, and depth, bits of a
    sample, where there are more than 8. Grey is then of mode I;16, I or F; other layouts are shown in 8 bits, as Pillow
    has no more: `pillow_lic.decode` gives all of them.
    """

    format = FORMAT
    format_description = "Learned image codec"
    n_frames = 1
    is_animated = False

    dtype = "uint8"  # that pillow_lic.decode gives its pixels
    _preview: container.Preview | None = None
    _small: Image.Image | None = None  # the preview's picture, where `draft` took it
    _scale = 1  # by which it will be decoded smaller, where `draft` said so
    _header: container.Header | None = None
    # What thumbnail() wants of a preview, and of a picture that is decoded smaller.
    _wanted: tuple[tuple[int, int], tuple[int, int]] | None = None
    _begin = b""  # what a Parser opened it with
    _fed: bytes | None = None  # what ImageFile.Parser has of the file
    _stale = False  # whether more of it is there than is shown
    source: bytes | None = None  # of what is loaded, the file, for save(quality="keep"); None for one of odd size
    _file_size = 0  # bytes
    _load_lock: threading.RLock | None = None  # set by _open: an unpickled or closed image has nothing to load

    def _open(self) -> None:
        try:
            assert self.fp is not None
            head = container.read_head(self.fp, truncated=ImageFile.LOAD_TRUNCATED_IMAGES)
        except LicBadMagic as error:
            raise SyntaxError(str(error)) from error  # "not mine" in Pillow's language
        self._size = (head.header.width, head.header.height)
        self._mode, self._file_size = _mode_of(head.header, head.values), head.size
        self.info.update(_info(head))
        found, notes = metadata.shown(head)
        self.info.update(found)
        warn(notes)
        self._preview, self._header = head.preview, head.header
        self.dtype = _dtype_of(head.header, head.values)
        self.tile = [ImageFile._Tile(feed.NAME, (0, 0, *self._size), 0, (weakref.ref(self),))]
        self._load_lock = threading.RLock()  # a signal handler may load it meanwhile
        self._begin = self.fp.getvalue() if type(self.fp) is io.BytesIO else b""  # shared, not copied

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> tuple[str, tuple[int, int, float, float]] | None:
        """Take the file's preview in the place of its picture, or decode it 4, 8 or 16 times smaller, whichever is
        smallest and not smaller than `size`. The mode stays. `thumbnail()` calls this.
        """
        if size is None or not self.tile or self._small is not None or self._scale != 1 or self.mode not in _NATIVE:
            return None
        of_preview, of_decode = self._wanted or (size, size)
        small = self._preview
        if small is not None and all(
            have >= min(wanted, side) for have, wanted, side in zip(small[1:3], of_preview, self.size, strict=True)
        ):
            imported(*FOR_PREVIEWS)
            from ..codec.preview import shown

            self._small = shown(small, self.mode)
            if self._small is not None:
                self._size = self._small.size
                return self.mode, (0, 0, *self.size)
        return self._smaller(*of_decode)

    def _smaller(self, width: int, height: int) -> tuple[str, tuple[int, int, float, float]] | None:
        """Decode it so many times smaller that it is at least as large as that, where its model can."""
        imported(*FOR_LOADING)
        from ..codec.decode import scales

        assert self._header is not None
        most = min(self.width // max(width, 1), self.height // max(height, 1))
        scale = max((one for one in scales(self._header, decode_options()) if one <= most), default=1)
        if scale == 1:
            return None
        self._scale, box = scale, (0, 0, self.width / scale, self.height / scale)
        self._size = (-(-self.width // scale), -(-self.height // scale))
        return self.mode, box

    def thumbnail(
        self,
        size: tuple[float, float],
        resample: Image.Resampling = Image.Resampling.BICUBIC,
        reducing_gap: float | None = 2.0,
    ) -> None:
        """As of Pillow's images. A preview will do that is as large as the thumbnail."""
        fit, gap = min(size[0] / self.width, size[1] / self.height, 1.0), (reducing_gap or 0.0) * _THUMBNAIL_GAP
        final = [max(1, round(fit * side)) for side in self.size]
        spare = [math.ceil(max(gap, 1.0) * side) for side in final]
        self._wanted = (final[0], final[1]), (spare[0], spare[1])
        try:
            super().thumbnail(size, resample, reducing_gap)
        finally:
            self._wanted = None

    def load(self) -> Any:
        """Decode at the first call; several threads may call it.

        Raises LicError where the file is damaged or its model unknown. With ImageFile.LOAD_TRUNCATED_IMAGES, missing
        tiles are grey.
        """
        if (self.tile or self._stale) and cramped():
            return with_large_stack(self.load)
        if self._load_lock is not None:
            with self._load_lock:
                if self.tile and self._small is not None:
                    self._done(self._small)
                    self._small = None
                elif self._fed is not None:
                    if self._stale:
                        imported(*FOR_LOADING)
                        self._load_fed()
                elif self.tile:
                    imported(*FOR_LOADING)
                    from ..codec.decode import bomb, decoded

                    options = self._options()
                    try:
                        chunks = self.chunks(options)
                        warn(bomb(chunks.header), Image.DecompressionBombWarning)
                        self.source = self._bytes() if self._scale == 1 else None
                        decoded(chunks, options, self._take)
                    except ValueError:  # a signal handler has loaded it meanwhile, and closed its file
                        if self.tile:
                            raise
        return super().load()

    def chunks(self, options: DecodeOptions) -> container.Container:
        """Of the open file, without metadata. Raises LicError, ValueError for a file that is closed."""
        if self.fp is None or self.fp.closed:
            msg = "operation on a closed image: load() it before its file is closed"
            raise ValueError(msg)
        from ..codec.decode import read

        chunks = read(self.fp, options)
        header = chunks.part.whole if chunks.part else chunks.header
        then = self._header
        assert then is not None
        if (header.width, header.height, header.layout) != (then.width, then.height, then.layout):
            was = f"{then.layout} of {then.width} x {then.height} pixels then"
            msg = f"the file changed after it was opened: {was}; open it again"
            raise LicCorruptChunk(msg)
        return chunks

    def _options(self) -> DecodeOptions:
        """How it is decoded."""
        return decode_options(scale=self._scale, dtype="uint8" if self.mode in _NATIVE else None)

    def encoded(self) -> bytes | None:
        """The file, of an image that was not loaded or of usual size."""
        return self.source if self.source is not None else self._bytes()

    def _bytes(self) -> bytes | None:
        """The file, unless it takes more than its samples and metadata could."""
        most = self.width * self.height * max(len(self.mode), 4) + LIC_METADATA_MAX
        if self.fp is None or self._file_size > most:
            return None
        self.fp.seek(0)
        data: bytes = self.fp.read(self._file_size)
        return data

    def _take(self, found: Decoded) -> None:
        if not self.tile:  # a signal handler has loaded it meanwhile
            return
        warn(found.notes)
        self._done(image_of(found))

    def _done(self, image: Image.Image) -> None:
        self.im, self._begin = image.im, b""
        self.readonly = 0
        self.tile = []
        if self._exclusive_fp and self.fp is not None:
            self.fp.close()
        self.fp = None

    def load_prepare(self) -> None:
        """ImageFile.Parser is about to feed it."""
        self.im = Image.new(self.mode, (1, 1)).im  # until it is asked for
        self._fed, self._stale = self._begin, True

    def fed(self, data: bytes) -> bool:
        """All that a Parser has. Returns whether that is the whole file, which is found out when the same comes twice,
        as it does when a Parser is closed. Raises LicError for a whole file that is damaged.
        """
        if self._fed is None or len(data) > len(self._fed):
            self._fed, self._stale = data, True
            return False
        whole, self._fed = self._fed, None
        self.fp = io.BytesIO(whole)
        try:
            self._open()  # there may be more metadata than there was
            self.load()
        except LicTruncated:
            self.fp, self.tile, self._fed = None, [], whole
            return False
        return True

    def _load_fed(self) -> None:
        """What the bytes so far show."""
        from ..codec.decode import decoded, read

        assert self._fed is not None
        options = dataclasses.replace(self._options(), truncated=True)
        self._stale = False
        self._done(image_of(decoded(read(self._fed, options), options)))

    def verify(self) -> None:
        """Check structure and checksums of the whole file without decoding it, then close it. Warns of bytes behind
        its end. Raises LicError.
        """
        if self.fp is None:
            msg = "verify must be called directly after open"
            raise RuntimeError(msg)  # as Pillow's PNG plugin says it
        warn(container.verify(self.fp))
        super().verify()


Image.register_decoder(feed.NAME, feed.Decoder)


def _info(head: container.Head) -> dict[str, Any]:
    from ..models import registry

    header = head.header
    info: dict[str, Any] = {
        "quality": header.quality,
        "model": None if header.alone else registry.name_of(header.model, header.model_hash),
        "bpp": 8 * head.size / (header.width * header.height),
        "lic_version": f"{head.major}.{head.minor}",
    }
    if header.alone:
        info["lossless"] = True
    if head.style is not None and head.style[0] < len(style.NAMES):
        info["style"] = str(style.Style(style.NAMES[head.style[0]], head.style[1]))
    if header.deep:
        info["depth"] = header.depth
    return info


def _mode_of(header: container.Header, values: container.Values | None) -> str:
    """Pillow's mode for a file. It has none of more than 8 bits but for grey."""
    if not header.deep or header.layout != "L":
        return header.layout
    return "I;16" if values is None else _VALUED[values.kind]


def _dtype_of(header: container.Header, values: container.Values | None) -> str:
    if not header.deep:
        return "uint8"
    return "uint16" if values is None else {container.INTEGERS: "int32", container.FLOATS: "float32"}[values.kind]


def decode_options(device: str | None = None, scale: int = 1, dtype: str | None = None) -> DecodeOptions:
    """As Pillow's settings are now."""
    from ..codec.options import DecodeOptions

    truncated = ImageFile.LOAD_TRUNCATED_IMAGES
    return DecodeOptions(truncated=truncated, device=device, scale=scale, dtype=dtype).checked()


def image_of(found: Decoded) -> Image.Image:
    """The pixels as an image of its own. The memory of a large picture goes over bit by bit: `found` is of no use
    afterwards.
    """
    image = found.image
    if image is not None:
        own = isinstance(image, Image.Image)  # not where Pillow was imported afresh and the codec was not
        return image if own else Image.frombytes(image.mode, image.size, image.tobytes())
    if found.depth > LIC_DEPTH_MIN and found.told[0] is not None:
        return Image.fromarray(found.array())  # I or F
    size, mode = found.size, "L" if len(found.colour.shape) == 2 else "RGB"
    mode = "I;16" if found.depth > LIC_DEPTH_MIN else mode
    memory = found.colour.obj if isinstance(found.colour, memoryview) else None
    if isinstance(memory, bytearray) and len(memory) > _LARGE:
        found.colour.release()
        image = _moved(memory, mode, size)
    else:
        image = Image.frombuffer(mode, size, found.colour, "raw", _raw(mode), 0, 1)
    plane = found.alpha
    if plane is not None:
        own = isinstance(plane, Image.Image)
        image.putalpha(plane if own else Image.frombytes("L", size, plane.tobytes()))
    return image.copy() if image.readonly else image


def _raw(mode: str) -> str:
    """What Pillow calls samples as they lie in memory."""
    return "I;16B" if mode == "I;16" and sys.byteorder == "big" else mode


def _moved(memory: bytearray, mode: str, size: tuple[int, int]) -> Image.Image:
    """Samples as an image, from the last row on; what has been taken over is given back each time it is half of it."""
    width, row = size[0], len(memory) // size[1]
    image, end = Image.new(mode, size, None), size[1]  # not filled
    while end:
        half = max(0, end // 2 - 1)
        while end > half:
            begin = max(half, end - max(1, _LARGE // row))
            with memoryview(memory)[begin * row : end * row] as samples:
                image.paste(Image.frombytes(mode, (width, end - begin), samples, "raw", _raw(mode)), (0, begin))
            end = begin
        del memory[end * row :]
    return image


def warn(notes: Iterable[str], kind: type[Warning] = UserWarning) -> None:
    """Warn of each, at the place in the user's program from which Pillow was called."""
    for note in notes:
        depth, frame = 1, sys._getframe()
        while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in ("PIL", "pillow_lic"):
            depth, frame = depth + 1, frame.f_back
        warnings.warn(note, kind, stacklevel=depth)


# ---- Saving -------------------------------------------------------------------------------------------------------


def save(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    """Handler of `im.save("x.lic", quality=75, tune="psnr", effort=2, exif=, icc_profile=, xmp=, dpi=, comment=)`.

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
    data, notes = encoded(source.array, source.options.checked(), source.metadata)
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


def prepared(im: Image.Image, given: dict[str, Any]) -> Source:
    """An image with the options that save() was given. Raises LicBadOption."""
    from ..codec.options import EncodeOptions

    names, known = EncodeOptions.__dataclass_fields__, (*metadata.NAMES.values(), *metadata.BESIDE)
    only_one(1 + len(list(given.get("append_images") or ())))
    notes = [note for name in given if (note := _misspelling(name, (*names, *known)))]
    source = metadata.given(im, given)
    if min(im.size) < 1:
        msg = f"cannot write an empty image of {im.width} x {im.height} pixels"
        raise LicBadOption(msg)
    import numpy as np

    if given.get("lossless"):
        _check_exact(im)
    options = EncodeOptions(**{name: given[name] for name in names if name in given})
    array = _deep(im, options.depth, notes) if im.mode in _DEEP else np.asarray(_to_native(im))
    if "icc_profile" not in given:
        source = source._replace(icc=_fitting_profile(source.icc, array.ndim == 2 or array.shape[2] == 2, notes))
    return Source(array, options, source, notes)


def _misspelling(name: str, options: Iterable[str]) -> str | None:
    if name in options:
        return None
    for meant in difflib.get_close_matches(name.lower(), options, n=1, cutoff=0.75):
        return f"save option {name!r} is ignored; did you mean {meant!r}?"
    return None


def _fitting_profile(icc: bytes | None, grey: bool, notes: list[str]) -> bytes | None:
    """The profile that came along with the image, None if its colour space is not that of the pixels as they are
    stored.
    """
    space = b"GRAY" if grey else b"RGB "
    if not icc or icc[16:20] == space:  # ICC.1, 7.2.6: the data colour space
        return icc
    what = f"the image's ICC profile is left out: it is for {icc[16:20]!r}, the pixels are stored as {space!r}"
    notes.append(f"{what}; ImageCms.profileToProfile converts with it")
    return None


def _check_exact(im: Image.Image) -> None:
    if im.mode not in _EXACT:
        problem = f"lossless: mode {im.mode} cannot be kept exactly, its samples would have to be converted"
        msg = f"{problem}; convert the image to one of {', '.join(_EXACT)} first, or save without lossless"
        raise LicBadOption(msg)


def _to_native(im: Image.Image) -> Image.Image:
    """The image in one of the four native modes: as Pillow's WebP and AVIF plugins convert, grey staying grey, a
    transparent colour as alpha.
    """
    if im.mode in _NATIVE:
        keyed = im.mode in ("L", "RGB") and im.has_transparency_data
        return im.convert({"L": "LA", "RGB": "RGBA"}[im.mode]) if keyed else im
    transparent = im.has_transparency_data
    if im.mode in ("1", "La"):
        return im.convert("LA" if transparent else "L")
    return im.convert("RGBA" if transparent else "RGB")


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
