"""The pixels of a file whose overlay stands alone (FORMAT 5.2): of 8 bits, of more, and numbers of 32.

Imports Pillow, container, engines and ground; numpy when an array is asked for, or made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from PIL import Image

from ..constants import LIC_DEPTH_WHOLE
from ..container import Numbers, Planes
from ..container.overlay import bands_of
from ..engines import choice as engines
from ..engines.base import GREY
from ..errors import LicCorruptChunk
from ..imports import imported
from . import depth as depths
from . import numbers, overlay, planes
from .decoded import Decoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..container import Header
    from .decode import Decoding

Picture = TypeVar("Picture")


def picture(job: Decoding) -> Decoded:
    """What a job wants of it."""
    if job.chunks.header.whole:
        return _numbers(job)
    return _deep(job) if job.drawn.deep or job.chunks.header.deep else _eight(job)


def _eight(job: Decoding) -> Decoded:
    header = job.chunks.header
    grey = (GREY,) * bands_of(header)
    image = _or_grey(
        job,
        lambda: _image(job),
        lambda: Image.new(overlay.MODES[len(grey)], (header.width, header.height), grey if len(grey) > 1 else GREY),
    )
    if job.options.output == "torch":
        import numpy as np

        return _tensor(job, np.array(image))
    return Decoded(None, None, job.notes, image, mode=_mode(header))


def _deep(job: Decoding) -> Decoded:
    """The same of more than 8 bits, in the file or as they are drawn."""
    imported("numpy")
    import numpy as np

    header = job.chunks.header
    shape = header.height, header.width, bands_of(header)
    samples = _or_grey(job, lambda: _samples(job), lambda: np.full(shape, header.most // 2 + 1, np.uint16))
    return _drawn(job, depths.scaled(samples, header.most, job.drawn.most))


def _numbers(job: Decoding) -> Decoded:
    """Numbers of 32 bits, or samples made of them."""
    imported("numpy")
    import numpy as np

    values = job.chunks.values
    assert values is not None  # the container has seen to it
    bits = _or_grey(job, lambda: _bits(job), lambda: numbers.grey(job.chunks.header, values))
    if not job.drawn.whole:
        return _drawn(job, numbers.drawn(bits, values, job.drawn.most))
    found = numbers.told(bits[:, :, 0] if bits.shape[2] == 1 else bits, values)
    found = found if job.dtype is None else found.astype(np.float32, copy=False)
    if job.options.output == "torch":
        return _tensor(job, found)
    return Decoded(found, None, job.notes, None, LIC_DEPTH_WHOLE)


def _drawn(job: Decoding, samples: Any) -> Decoded:
    """uint8 or uint16 (H, W, bands)."""
    samples = samples[:, :, 0] if samples.shape[2] == 1 else samples
    mode = _mode(job.chunks.header)
    if job.options.output == "torch":
        return _tensor(job, samples)
    if not job.drawn.deep:
        return Decoded(None, None, job.notes, Image.fromarray(samples), mode=mode)
    told = None if job.chunks.header.whole else job.chunks.values
    return Decoded(samples, None, job.notes, None, job.drawn.depth, (told, job.dtype), mode)


def _tensor(job: Decoding, array: Any) -> Decoded:
    return Decoded(engines.tensor(array, str(job.options.device)), None, job.notes)


def _mode(header: Header) -> str | None:
    return header.layout if header.other else None


def _or_grey(job: Decoding, unpack: Callable[[], Picture], grey: Callable[[], Picture]) -> Picture:
    """What is unpacked; where that is damaged and may be, grey."""
    try:
        return unpack()
    except LicCorruptChunk:
        if not job.options.truncated:
            raise
    job.notes.append("the picture is missing or damaged; it is painted grey")
    return grey()


def _image(job: Decoding) -> Image.Image:
    if job.chunks.overlay is None:
        _missing()
    return overlay.whole(job.chunks.overlay, job.chunks.header)


def _samples(job: Decoding) -> Any:
    """(H, W, bands) of what is wanted."""
    import numpy as np

    header = job.chunks.header
    if header.deep:
        if not isinstance(job.chunks.planes, Planes):
            _missing()
        return _cropped(job, planes.unpack(job.chunks.planes, _whole(job)))
    return np.asarray(_image(job)).reshape(header.height, header.width, bands_of(header))


def _bits(job: Decoding) -> Any:
    if not isinstance(job.chunks.planes, Numbers):
        _missing()
    return _cropped(job, numbers.unpack(job.chunks.planes, _whole(job)))


def _whole(job: Decoding) -> Header:
    """The header of the picture that is unpacked."""
    part = job.chunks.part
    return part.whole if part else job.chunks.header


def _cropped(job: Decoding, samples: Any) -> Any:
    import numpy as np

    if job.chunks.part is None:
        return samples
    left, top, right, bottom = job.chunks.part.box
    return np.ascontiguousarray(samples[top:bottom, left:right])


def _missing() -> NoReturn:
    msg = "the overlay, which is the whole picture, is missing or damaged; fetch the file again"
    raise LicCorruptChunk(msg)
