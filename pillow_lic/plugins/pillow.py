"""The Pillow plugin: `Image.open`, `load`, `thumbnail` and `verify` of `.lic` files; `saving` writes them.

Imports Pillow and container (for the header), models' registry when a file is opened; the codec and an engine only when
pixels are decoded.
"""

from __future__ import annotations

import dataclasses
import io
import math
import threading
import weakref
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageFile

from .. import container, style
from ..constants import LIC_METADATA_MAX
from ..errors import LicBadMagic, LicCorruptChunk, LicTruncated
from ..imports import imported
from ..signature import FORMAT
from ..threads import cramped, with_large_stack
from . import feed, metadata
from .notes import warn
from .pixels import NATIVE, dtype_of, image_of, mode_of

if TYPE_CHECKING:
    from ..codec.decode_options import DecodeOptions
    from ..codec.decoded import Decoded

# What the first file of a process imports, and no signal may cut short.
FOR_LOADING = ("pillow_lic.codec.decode", "pillow_lic.engines.native")
FOR_PREVIEWS = ("pillow_lic.codec.preview",)

_THUMBNAIL_GAP = 0.55  # of the reducing_gap that is given: what is decoded small is a mean already


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
        self._mode, self._file_size = mode_of(head.header, head.values), head.size
        self.info.update(_info(head))
        found, notes = metadata.shown(head)
        self.info.update(found)
        warn(notes)
        self._preview, self._header = head.preview, head.header
        self.dtype = dtype_of(head.header, head.values)
        self.tile = [ImageFile._Tile(feed.NAME, (0, 0, *self._size), 0, (weakref.ref(self),))]
        self._load_lock = threading.RLock()  # a signal handler may load it meanwhile
        self._begin = self.fp.getvalue() if type(self.fp) is io.BytesIO else b""  # shared, not copied

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> tuple[str, tuple[int, int, float, float]] | None:
        """Take the file's preview in the place of its picture, or decode it 4, 8 or 16 times smaller, whichever is
        smallest and not smaller than `size`. The mode stays. `thumbnail()` calls this.
        """
        if size is None or not self.tile or self._small is not None or self._scale != 1 or self.mode not in NATIVE:
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
        if self.fp is None or getattr(self.fp, "closed", False):
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
        return decode_options(scale=self._scale, dtype="uint8" if self.mode in NATIVE else None)

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
        "quality": header.quality if header.alone else registry.quality_of(*header.coding),
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


def decode_options(device: str | None = None, scale: int = 1, dtype: str | None = None) -> DecodeOptions:
    """As Pillow's settings are now."""
    from ..codec.decode_options import DecodeOptions

    truncated = ImageFile.LOAD_TRUNCATED_IMAGES
    return DecodeOptions(truncated=truncated, device=device, scale=scale, dtype=dtype).checked()
