"""Files and bytes as tensors, in the manner of `torchvision.io`: uint8, (channels, height, width), 1 to 4 channels.

Stands on codec, and on engines/torch with the first call: `pip install 'pillow-lic[torch]'`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from .codec.decode import decode
from .codec.decode_options import DecodeKeywords, DecodeOptions
from .codec.encode import EncodePicture, encode
from .codec.keywords import keywords
from .codec.options import EncodeOptions
from .errors import LicBadOption, LicPackageMissing

if TYPE_CHECKING:
    import os

    from torch import Tensor


@keywords(DecodeOptions)
def read_image(path: str | os.PathLike[str], **options: Unpack[DecodeKeywords]) -> Tensor:
    """A file's pixels. Options as of `pillow_lic.decode`; with output="torch" they stay on the device."""
    return _channels_first(decode(path, **options))


@keywords(DecodeOptions)
def decode_lic(input: Any, **options: Unpack[DecodeKeywords]) -> Tensor:
    """The pixels of a file's bytes: of a tensor, uint8 with one dimension, as `torchvision.io.read_file` gives it, or
    bytes. Options as of `read_image`.
    """
    return _channels_first(decode(_bytes(input), **options))


@keywords(EncodeOptions)
def encode_lic(input: Tensor, **options: Unpack[EncodePicture]) -> Tensor:
    """The bytes of a file of pixels (C, H, W), as a tensor, uint8 with one dimension. Options as of
    `pillow_lic.encode`.
    """
    data: Tensor = _tensors().of_bytes(encode(_channels_last(input), **options))
    return data


@keywords(EncodeOptions)
def write_lic(input: Tensor, filename: str | os.PathLike[str], **options: Unpack[EncodePicture]) -> None:
    """A file of pixels (C, H, W). Options as of `pillow_lic.encode`."""
    data = encode(_channels_last(input), **options)
    with open(filename, "wb") as file:
        file.write(data)


def _bytes(input: Any) -> Any:
    if not hasattr(input, "numpy"):
        return input
    if input.ndim != 1 or str(input.dtype) != "torch.uint8":
        msg = f"a file's bytes must be a tensor of uint8 with one dimension, found {input.dtype} {tuple(input.shape)}"
        raise LicBadOption(msg)
    return input.cpu().numpy().tobytes()


def _channels_first(pixels: Any) -> Tensor:
    tensor: Tensor = _tensors().channels_first(pixels)
    return tensor


def _channels_last(input: Tensor) -> Any:
    if input.ndim != 3 or str(input.dtype) != "torch.uint8":
        msg = f"pixels must be a tensor of uint8, (channels, height, width), found {input.dtype} {tuple(input.shape)}"
        raise LicBadOption(msg)
    return input.cpu().permute(1, 2, 0).numpy()


def _tensors() -> Any:
    """Raises LicPackageMissing."""
    try:
        from .engines.torch import tensors
    except ImportError as error:
        msg = "pillow_lic.io gives tensors, which need PyTorch: pip install 'pillow-lic[torch]'"
        raise LicPackageMissing(msg) from error
    return tensors
