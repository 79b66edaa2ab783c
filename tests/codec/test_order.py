"""Arrays with blue first, and tensors in the manner of torchvision.io."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
from pictures import picture

import pillow_lic
import pillow_lic.io as lic_io
from pillow_lic.errors import LicBadOption, LicPackageMissing

LOSSLESS = {"lossless": True}


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_blue_first(channels):
    rgb = picture(40, 50, channels)
    bgr = rgb[:, :, [2, 1, 0, 3][:channels]] if channels > 2 else rgb
    data = pillow_lic.encode(rgb, **LOSSLESS)
    assert pillow_lic.encode(bgr, order="bgr", **LOSSLESS) == data
    found = pillow_lic.decode(data, order="bgr")
    assert np.array_equal(found.reshape(bgr.shape), bgr)
    assert found.flags["C_CONTIGUOUS"]
    assert np.array_equal(pillow_lic.decode_batch([data], order="bgr")[0], found)
    (item,) = pillow_lic.decode_many([("a", data)], order="bgr")
    assert np.array_equal(item.array, found)


@pytest.mark.parametrize("order", ["BGR", "", None, 3, "grb"])
def test_other_orders_are_refused(order):
    with pytest.raises(LicBadOption, match="order must be one of 'rgb', 'bgr'"):
        pillow_lic.encode(picture(9, 9), order=order)
    with pytest.raises(LicBadOption, match="order must be one of 'rgb', 'bgr'"):
        pillow_lic.decode(b"", order=order)


# ---- Tensors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_tensors_there_and_back(channels, tmp_path):
    torch = pytest.importorskip("torch", reason="tensors need PyTorch")
    pixels = torch.from_numpy(picture(40, 50, channels).reshape(40, 50, channels)).permute(2, 0, 1)
    data = lic_io.encode_lic(pixels, **LOSSLESS)
    assert (data.dtype, data.ndim) == (torch.uint8, 1)
    assert torch.equal(lic_io.decode_lic(data), pixels)
    assert torch.equal(lic_io.decode_lic(bytes(data.numpy())), pixels)
    lic_io.write_lic(pixels, tmp_path / "a.lic", **LOSSLESS)
    assert (tmp_path / "a.lic").read_bytes() == bytes(data.numpy())
    found = lic_io.read_image(tmp_path / "a.lic")
    assert torch.equal(found, pixels)
    assert found.is_contiguous()
    assert torch.equal(lic_io.read_image(tmp_path / "a.lic", output="torch"), pixels)


def test_what_tensors_are_refused():
    torch = pytest.importorskip("torch", reason="tensors need PyTorch")
    with pytest.raises(LicBadOption, match=r"\(channels, height, width\), found torch.float32 \(3, 9, 9\)"):
        lic_io.encode_lic(torch.zeros(3, 9, 9))
    with pytest.raises(LicBadOption, match=r"found torch\.uint8"):
        lic_io.encode_lic(torch.zeros(9, 9, dtype=torch.uint8))
    with pytest.raises(LicBadOption, match="with one dimension"):
        lic_io.decode_lic(torch.zeros(3, 9, dtype=torch.uint8))


def test_without_torch(monkeypatch):
    plain = builtins.__import__

    def none(name, *given, **options):
        wanted = (given[2] if len(given) > 2 else options.get("fromlist")) or ()
        if name == "torch" or "tensors" in wanted:  # the latter may be there from before
            raise ImportError(name)
        return plain(name, *given, **options)

    data = pillow_lic.encode(picture(9, 9), **LOSSLESS)
    monkeypatch.setattr(builtins, "__import__", none)
    with pytest.raises(LicPackageMissing, match=r"pip install 'pillow-lic\[torch\]'"):
        lic_io.decode_lic(data)
