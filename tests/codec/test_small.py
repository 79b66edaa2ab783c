"""Pictures at a part of their size: near the means of the whole by a model's thumbnail layer, equal to them without."""

from __future__ import annotations

import io

import numpy as np
import pytest
from model_copies import copied
from pictures import picture
from PIL import Image

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.codec.decode import scales
from pillow_lic.codec.decode_options import DecodeOptions
from pillow_lic.container import read
from pillow_lic.models import registry

pytestmark = pytest.mark.network
FAST = {"model": "photo-low", "quality": 30, "effort": 0, "screen": "off"}
SCALES = (2, 4, 8, 16)


@pytest.fixture(autouse=True)
def _nothing_stays_registered():
    yield
    registry.forget_registered()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape
    return 10 * np.log10(255**2 / max(((a.astype(float) - b) ** 2).mean(), 1e-6))


def means(whole: np.ndarray, scale: int) -> np.ndarray:
    return np.asarray(Image.fromarray(whole).reduce(scale))


@pytest.fixture(scope="module")
def smooth() -> np.ndarray:
    return np.asarray(Image.fromarray(picture(160, 200)).resize((403, 322), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    ("name", "quality"), [("photo", 75), ("photo-low", 40), ("photo-visual", 50), ("photo-ms-ssim", 50)]
)
def test_models_with_the_layer(name, quality, smooth):
    data = pillow_lic.encode(smooth, model=name, quality=quality, effort=0, screen="off")
    assert scales(read(data).header, DecodeOptions().checked()) == (4, 8, 16)
    whole = pillow_lic.decode(data)
    for scale in SCALES:
        found = pillow_lic.decode(data, scale=scale)
        assert psnr(found, means(whole, scale)) > 34
        assert (scale == 2) == np.array_equal(found, means(whole, scale))


def test_the_layer_is_no_part_of_the_identity():
    model = registry.by_name("photo-low")
    assert model.thumbnail_tensors
    assert not [name for name in model.tensors if name.startswith("thumbnail")]


def layer(latent: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(latent)
    return {
        "thumbnail.direct.weight": rng.integers(-200, 200, (48, latent)).astype(np.int16),
        "thumbnail.direct.scale": np.full((1, 48), 1 << 24, np.int32),
        "thumbnail.direct.bias": np.full((1, 48), 2000 << 32, np.int64),
    }


def test_a_registered_model_may_have_it(make_picture, tmp_path):
    toy, array = registry.by_name("toy"), make_picture(70, 90)
    name = pillow_lic.register_model(copied(tmp_path, "small", halo=20, thumbnail_tensors=layer(toy.manifest.latent)))
    data = pillow_lic.encode(array, model=name, effort=0, screen="off")
    found = pillow_lic.decode(data, scale=8)
    assert found.shape == (9, 12, 3)
    assert not np.array_equal(found, means(pillow_lic.decode(data), 8))


def test_another_file_than_the_manifest_names(tmp_path):
    folder = copied(tmp_path, "other", halo=22, thumbnail="0" * 64)
    for data, problem in ((None, "cannot be read"), (b"none", "is not the file that its manifest names")):
        if data is not None:
            (folder / "thumbnail.safetensors").write_bytes(data)
        with pytest.raises(errors.LicModelMissing, match=problem):
            pillow_lic.register_model(folder)


def test_a_layer_of_another_width(make_picture, tmp_path):
    latent = registry.by_name("toy").manifest.latent
    name = pillow_lic.register_model(copied(tmp_path, "wide", halo=21, thumbnail_tensors=layer(latent + 1)))
    data = pillow_lic.encode(make_picture(20, 30), model=name, effort=0, screen="off")
    with pytest.raises(errors.LicModelMissing, match=r"is for \d+ latent channels"):
        pillow_lic.decode(data, scale=8)


@pytest.mark.parametrize("shape", [(131, 330), (131, 330, 2), (131, 330, 3), (131, 330, 4)])
@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"progressive": True}])
def test_models_without_it_are_reduced(make_picture, shape, options):
    array = make_picture(*shape[:2], shape[2] if len(shape) == 3 else 1)
    data = pillow_lic.encode(array, **({"model": "toy"} | options if "lossless" not in options else options))
    whole = pillow_lic.decode(data)
    for scale in SCALES:
        assert np.array_equal(pillow_lic.decode(data, scale=scale), means(whole, scale))


def test_exact_rectangles_weigh_as_much_as_they_cover(smooth):
    array = smooth.copy()
    array[37:290:2, 51:403] = (0, 20, 250)
    array[38:290:2, 51:403] = (250, 250, 250)
    array[10:30, 5:11] = (255, 0, 0)
    data = pillow_lic.encode(array, **(FAST | {"screen": "auto"}))
    overlay, whole = read(data).overlay, pillow_lic.decode(data)
    assert overlay
    for scale in (4, 8, 16):
        found, wanted = pillow_lic.decode(data, scale=scale).astype(int), means(whole, scale)
        assert psnr(found, wanted) > 34
        for one in overlay:  # where they are all there is, so is what they make
            rows = slice(-(-one.top // scale), (one.top + one.height) // scale)
            right, end = one.left + one.width, found.shape[1]
            columns = slice(-(-one.left // scale), end if right == whole.shape[1] else right // scale)
            assert np.abs(found[rows, columns] - wanted[rows, columns]).max(initial=0) <= 1


def test_invisible_pixels_have_their_colour(smooth):
    array = np.dstack([smooth, np.full(smooth.shape[:2], 255, np.uint8)])
    array[64:200, 96:260] = (9, 8, 7, 0)
    data = pillow_lic.encode(array, **FAST)
    found, whole = pillow_lic.decode(data, scale=8), pillow_lic.decode(data)
    assert np.array_equal(found[..., 3], means(whole, 8)[..., 3])
    assert (found[10:20, 14:30] == (9, 8, 7, 0)).all()


def test_grey_and_missing_tiles(make_picture):
    data = pillow_lic.encode(make_picture(1040, 1100, 1), **FAST)
    whole = pillow_lic.decode(data)
    found = pillow_lic.decode(data, scale=8)
    assert found.shape == (130, 138)
    assert psnr(found, means(whole, 8)) > 34
    chunks = read(data)
    streams = [tile.stages for tile in chunks.tiles]
    wrong = container.write(chunks.header, [*streams[:-1], [bytes(len(stage)) for stage in streams[-1]]])
    with pytest.warns(UserWarning, match="1 of 4 tiles"):
        part = pillow_lic.decode(wrong, scale=8, truncated=True)
    assert (part[128:, 128:] == 128).all()
    assert np.array_equal(part[:120, :120], found[:120, :120])


@pytest.mark.parametrize("wrong", [0, 3, 32, -8, 8.0, "8", True, None])
def test_refused_scales(wrong, smooth):
    data = pillow_lic.encode(smooth[:64, :64], **FAST)
    with pytest.raises(errors.LicBadOption, match="scale must be one of 1, 2, 4, 8, 16"):
        pillow_lic.decode(data, scale=wrong)


def test_no_boxes_of_small_pictures(smooth):
    data = pillow_lic.encode(smooth[:64, :64], **FAST)
    with pytest.raises(errors.LicBadOption, match="leave out box"):
        pillow_lic.decode(data, scale=8, box=(0, 0, 8, 8))


# ---- Pillow's rules -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large() -> bytes:
    array = np.asarray(Image.fromarray(picture(150, 200)).resize((1203, 902), Image.Resampling.BICUBIC))
    return pillow_lic.encode(array, **FAST)


def test_draft_is_never_smaller_than_asked(large):
    for asked, size in (
        ((300, 225), (301, 226)),
        ((301, 225), (1203, 902)),
        ((150, 100), (151, 113)),
        ((151, 100), (301, 226)),
        ((10, 10), (76, 57)),
        ((1203, 902), (1203, 902)),
        ((0, 0), (76, 57)),
    ):
        image = Image.open(io.BytesIO(large))
        found = image.draft(None, asked)
        assert image.size == size
        assert (found is None) == (size == (1203, 902))
        image.load()
        assert np.asarray(image).shape[:2] == size[::-1]


def test_a_small_picture_is_drafted_once(large):
    image = Image.open(io.BytesIO(large))
    assert image.draft("RGB", (300, 200)) == ("RGB", (0, 0, 1203 / 4, 902 / 4))
    assert image.draft("RGB", (100, 100)) is None
    assert image.size == (301, 226)
    with pytest.raises(errors.LicBadOption, match="keep"):
        image.save(io.BytesIO(), "LIC", quality="keep")


@pytest.mark.parametrize("side", [16, 70, 190, 256, 600])
def test_thumbnails(large, side, monkeypatch):
    whole = Image.open(io.BytesIO(large))
    whole.load()
    whole.thumbnail((side, side))
    small = Image.open(io.BytesIO(large))
    drawn = []
    from pillow_lic.engines.native import NativeEngine

    render = NativeEngine._rendered
    monkeypatch.setattr(NativeEngine, "_rendered", lambda *given: drawn.append(1) or render(*given))
    small.thumbnail((side, side))
    assert bool(drawn) == (side > 1203 / 4 / 1.1)
    assert psnr(np.asarray(small), np.asarray(whole)) > 34


def test_the_command(large, tmp_path, capsys):
    from pillow_lic.cli import main

    (tmp_path / "a.lic").write_bytes(large)
    assert main(["decode", str(tmp_path / "a.lic"), "--scale", "8", "-o", str(tmp_path / "a.png")]) == 0
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), pillow_lic.decode(large, scale=8))
    wrong = ["--scale", "8", "--crop", "8x8+0+0", "-o", str(tmp_path / "b.png")]
    assert main(["decode", str(tmp_path / "a.lic"), *wrong]) != 0
    assert "leave out box" in capsys.readouterr().err
