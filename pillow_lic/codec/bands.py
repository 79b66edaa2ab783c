"""Pictures of many bands (docs/BANDS.md): decorrelated along the bands, three components a picture.

The components of the Karhunen-Loeve transform go into pictures as luma and chroma do, by a rotation, so that networks
that know photographs see something like one. Imports container and ground; numpy when arrays come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image

from .. import limits
from ..constants import LIC_DEPTH_MAX, LIC_DEPTH_MIN
from ..container import read_head
from ..container.bands import BANDS_MAX, BandsHeader, pack_bands, parse_bands
from ..errors import LicBadOption, LicCorruptChunk, LicLimitExceeded
from ..imports import imported
from ..models import choice as models
from ..values import whole
from .decode import decode
from .decode_options import check_pixels
from .encode import encode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FRACTION = 12  # bits behind the point of the map: a 255th of a sample is 2^-5 of it
FAINT = 0.25  # levels: components of a smaller standard deviation are left out, as rounding hides them
_ROWS = 1 << 20  # values that are transformed at once, in float64 or int64
_LEVELS = 255.0


def encode_bands(
    array: NDArray[np.uint8] | NDArray[np.uint16],
    quality: float | None = None,
    *,
    bits: int | None = None,
    tune: str | None = None,
    model: str | None = None,
    effort: int | None = None,
    device: str | None = None,
) -> bytes:
    """Encode (H, W, B) samples of 1 to 1024 bands to the bytes of a file of bands.

    array: uint8, or uint16 of `bits` bits. quality: as of `encode`; it is that of a picture in which the strongest
    component fills the range of 8 bits, and all bands share one squared error. bits: 8 to 16; None: of uint8 8, of
    uint16 as many as its largest sample needs. tune: None for "psnr", as components are measured rather than looked at.
    model, effort, device: as of `encode`.
    Raises LicBadOption, and what `encode` raises.
    """
    imported("numpy")
    samples, depth = _checked(array, bits)
    height, width, bands = samples.shape
    plan = _planned(samples)
    if tune is None and model is None:
        tune = models.SQUARES_TUNE
    options: dict[str, Any] = {"tune": tune, "model": model, "effort": effort, "device": device}
    pictures = [encode(one, quality=quality, screen="off", **options) for one in plan.pictures(samples)]
    matrix, offset = plan.map(FRACTION)
    header = BandsHeader(width, height, bands, depth, plan.components, FRACTION, matrix, offset)
    return pack_bands(header, pictures)


def decode_bands(
    data: bytes, *, max_pixels: float | None = None, device: str | None = None
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decode the bytes of a file of bands to (H, W, B): uint8 where its samples have 8 bits, else uint16.

    max_pixels: refuse more, width times height times bands over three, before memory is taken. None: what
    `set_limits` and Pillow's own limit allow. device: as of `decode`.
    Raises a LicError that says what is wrong with the file and where; LicBadOption for wrong types.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        msg = f"data must be the bytes of a file of bands, found {type(data).__name__}"
        raise LicBadOption(msg)
    header, files = parse_bands(bytes(data))
    _check_size(header, max_pixels)
    for number, file in enumerate(files):
        _check_picture(header, number, file)
    imported("numpy")
    import numpy as np

    pictures = [decode(file, device=device).reshape(header.height, header.width, -1) for file in files]
    matrix = np.frombuffer(header.matrix, "<i4").reshape(header.bands, header.components).astype(np.int64)
    offset = np.frombuffer(header.offset, "<i8").astype(np.int64) + (1 << header.fraction >> 1)
    out = np.empty(
        (header.height, header.width, header.bands), np.uint8 if header.depth == LIC_DEPTH_MIN else np.uint16
    )
    step = max(1, _ROWS // (header.width * max(header.bands, header.components)))
    for top in range(0, header.height, step):
        rows = slice(top, top + step)
        found = np.concatenate([picture[rows] for picture in pictures], 2).astype(np.int64)
        out[rows] = (found @ matrix.T + offset >> header.fraction).clip(0, (1 << header.depth) - 1)
    return out


def _checked(array: Any, bits: Any) -> tuple[NDArray[Any], int]:
    """The samples, and how many bits they have."""
    import numpy as np

    samples = np.asarray(array)
    samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)  # ENVI and FITS have the high byte first
    if samples.dtype not in (np.uint8, np.uint16) or samples.ndim != 3:
        found = f"{samples.dtype} {samples.shape}"
        msg = f"array must be uint8 or uint16 of shape (height, width, bands), found {found}"
        raise LicBadOption(msg)
    if 0 in samples.shape or samples.shape[2] > BANDS_MAX:
        msg = f"an image has at least one pixel and 1 to {BANDS_MAX} bands, found {samples.shape}"
        raise LicBadOption(msg)
    needed = max(LIC_DEPTH_MIN, int(samples.max()).bit_length())
    if bits is None:
        return samples, needed
    stated = whole(bits)
    if stated is None or not needed <= stated <= LIC_DEPTH_MAX:
        msg = f"bits must be a whole number from {needed}, which the samples need, to {LIC_DEPTH_MAX}, found {bits!r}"
        raise LicBadOption(msg)
    if samples.dtype == np.uint8 and bits != LIC_DEPTH_MIN:
        msg = f"samples of uint8 have 8 bits, found bits={bits!r}; give uint16"
        raise LicBadOption(msg)
    return samples, stated


class _Plan(NamedTuple):
    """How bands become pictures: p = middle + forward (x - mean)."""

    mean: NDArray[np.float64]  # (B,)
    forward: NDArray[np.float64]  # (K, B)
    backward: NDArray[np.float64]  # (B, K)
    middle: NDArray[np.float64]  # (K,)

    @property
    def components(self) -> int:
        return len(self.middle)

    def pictures(self, samples: NDArray[Any]) -> list[NDArray[np.uint8]]:
        """uint8 (H, W, 3), of the last one perhaps (H, W)."""
        import numpy as np

        out = np.empty((*samples.shape[:2], self.components), np.uint8)
        for rows in _strips(samples):
            out[rows] = ((samples[rows] - self.mean) @ self.forward.T + self.middle).round().clip(0, _LEVELS)
        parts = [np.ascontiguousarray(out[:, :, k : k + 3]) for k in range(0, self.components, 3)]
        return [part[:, :, 0] if part.shape[2] == 1 else part for part in parts]

    def map(self, fraction: int) -> tuple[bytes, bytes]:
        """The matrix and the offsets of docs/BANDS.md."""
        import numpy as np

        matrix = np.round(self.backward * (1 << fraction)).astype("<i4")
        offset = np.round(self.mean * (1 << fraction)) - matrix.astype(np.float64) @ self.middle
        return matrix.tobytes(), np.round(offset).astype("<i8").tobytes()


def _strips(samples: NDArray[Any]) -> list[slice]:
    height, width, bands = samples.shape
    step = max(1, _ROWS // (width * bands))
    return [slice(top, top + step) for top in range(0, height, step)]


def _rotation() -> NDArray[np.float64]:
    """(3, 3): red, green and blue of a component of luma and two of chroma; orthonormal."""
    import numpy as np

    columns = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.float64)
    rotation: NDArray[np.float64] = (columns / np.linalg.norm(columns, axis=1, keepdims=True)).T
    return rotation


def _planned(samples: NDArray[Any]) -> _Plan:
    import numpy as np

    bands = samples.shape[2]
    mean, basis, spread = _transform(samples)
    first = _spans(samples, mean, basis[:3] if bands > 1 else basis)
    gain = _LEVELS / max(float((first[1] - first[0]).max()), 1.0)
    kept = max(1, int((spread * gain > FAINT).sum()))
    kept += kept % 3 == 2  # pictures have three bands, but for the last one, which may have one
    used = basis[:kept]
    if len(used) < kept:
        used = np.concatenate([used, np.zeros((kept - len(used), bands))])
    parts = [_rotation() if k + 3 <= kept else np.eye(1) for k in range(0, kept, 3)]
    forward = np.concatenate([part @ used[k : k + len(part)] for k, part in zip(range(0, kept, 3), parts)])
    low, high = _spans(samples, mean, forward)
    gain = _LEVELS / max(float((high - low).max()), 1.0)
    middle = _LEVELS / 2 - (low + high) / 2 * gain
    return _Plan(mean, forward * gain, forward.T / gain, middle)


def _transform(samples: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The mean (B,), the basis (B, B) of falling variance, a component a row, and its standard deviations (B,)."""
    import numpy as np

    bands, count = samples.shape[2], samples.shape[0] * samples.shape[1]
    mean = samples.reshape(-1, bands).mean(0, dtype=np.float64)
    covariance = np.zeros((bands, bands))
    for rows in _strips(samples):
        centred = samples[rows].reshape(-1, bands) - mean
        covariance += centred.T @ centred
    variance, basis = np.linalg.eigh(covariance / count)
    basis = basis.T[::-1]
    basis = basis * np.where(basis.sum(1, keepdims=True) < 0, -1.0, 1.0)
    return mean, basis, np.sqrt(variance[::-1].clip(0))


def _spans(
    samples: NDArray[Any], mean: NDArray[np.float64], forward: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The least and the largest of every component."""
    import numpy as np

    bands = samples.shape[2]
    strips = [(samples[rows].reshape(-1, bands) - mean) @ forward.T for rows in _strips(samples)]
    return np.min([one.min(0) for one in strips], 0), np.max([one.max(0) for one in strips], 0)


def _check_size(header: BandsHeader, max_pixels: float | None) -> None:
    """Refuse what this process does not allow. Allocates nothing. Raises LicLimitExceeded, LicBadOption."""
    if max_pixels is not None:
        check_pixels(max_pixels)
    work = header.width * header.height * max(1.0, max(header.bands, header.components) / 3)
    ceiling = max_pixels if max_pixels is not None else limits.current().ceiling(Image.MAX_IMAGE_PIXELS)
    if ceiling is not None and work > ceiling:
        size = f"{header.width} x {header.height} pixels of {header.bands} bands count as {work:.0f}"
        advice = "decode_bands(max_pixels=...) or set_limits(pixels=...) allow more, or distrust the file"
        msg = f"{size}, more than {ceiling:.0f}; {advice}"
        raise LicLimitExceeded(msg)


def _check_picture(header: BandsHeader, number: int, file: bytes) -> None:
    """Refuse a picture that is not as the header says, before any is decoded."""
    found = read_head(file).header
    wanted = (header.width, header.height, header.layout(number))
    if (found.width, found.height, found.layout) != wanted:
        size = f"{found.width} x {found.height} {found.layout}, want {wanted[0]} x {wanted[1]} {wanted[2]}"
        msg = f"picture {number} is {size}; the file is damaged, fetch it again"
        raise LicCorruptChunk(msg)
