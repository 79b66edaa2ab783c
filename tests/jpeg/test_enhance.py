"""Enhanced JPEGs: nearer to what was saved, consistent with their file, of any size; what is none is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
from pictures import picture
from PIL import Image

import pillow_lic
from pillow_lic import errors
from pillow_lic.cli import main
from pillow_lic.jpeg import blocks, network, source

pytestmark = pytest.mark.network


def photograph(mode: str = "RGB", width: int = 256, height: int = 192) -> Image.Image:
    from skimage.data import chelsea

    return Image.fromarray(chelsea()[40 : 40 + height, 100 : 100 + width]).convert(mode)


def jpeg(image: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def psnr(a, b) -> float:
    return 10 * np.log10(255**2 / np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2))


@pytest.mark.parametrize("quality", [5, 10, 20, 40, 75, 90])
@pytest.mark.parametrize("options", [{"subsampling": 2}, {"subsampling": 1}, {"subsampling": 0}, {"mode": "L"}])
def test_it_comes_nearer_to_what_was_saved(quality, options):
    options = dict(options)
    image = photograph(options.pop("mode", "RGB"))
    data = jpeg(image, quality=quality, **options)
    better = pillow_lic.enhance(data)
    assert (better.mode, better.size) == (image.mode, image.size)
    assert psnr(better, image) > psnr(Image.open(io.BytesIO(data)), image) + 0.15


@pytest.mark.parametrize("quality", [10, 50, 85])
def test_the_file_says_the_same_of_it(quality):
    """Luma's coefficients of blocks that are not clipped, whatever the network says."""
    found, _ = source.read(jpeg(photograph(), quality=quality))
    rng = np.random.default_rng(quality)
    change = rng.normal(0, 30, found.planes.shape[1:]).astype(np.float32)
    moved = blocks.projected(found.planes[0], change, found.tables[0])
    before, after = (blocks.to_blocks(one) for one in (found.planes[0], found.planes[0] + moved))
    known = ((before > 0) & (before < 255)).all(2)
    assert known.mean() > 0.5
    symbols = [np.round((one[known] - 128) @ blocks.TRANSFORM.T / found.tables[0]) for one in (before, after)]
    assert np.array_equal(*symbols)
    assert np.array_equal(
        moved[np.repeat(np.repeat(~known, 8, 0), 8, 1)], change[np.repeat(np.repeat(~known, 8, 0), 8, 1)]
    )


def test_saved_again_with_the_same_tables_it_is_nearly_the_same_file():
    data = jpeg(photograph("L"), quality=30)
    better = pillow_lic.enhance(data)
    again = jpeg(better, qtables=[list(Image.open(io.BytesIO(data)).quantization[0])])
    (one, _), (other, _) = source.read(data), source.read(again)
    a, b = (np.round((blocks.to_blocks(j.planes[0]) - 128) @ blocks.TRANSFORM.T / j.tables[0]) for j in (one, other))
    assert np.mean(a != b) < 0.002


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (8, 8), (9, 17), (131, 70)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_any_size(size, mode):
    image = Image.fromarray(picture(size[1], size[0], 3)).convert(mode)
    data = jpeg(image, quality=20)
    better = pillow_lic.enhance(data)
    assert (better.mode, better.size) == (mode, size)
    if min(size) > 16:  # of less the network has seen too little
        assert psnr(better, image) > psnr(Image.open(io.BytesIO(data)), image) - 0.1


def test_images_paths_and_files_are_taken(tmp_path):
    data = jpeg(photograph(), quality=20)
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    wanted = np.asarray(pillow_lic.enhance(data))
    for one in (path, str(path), io.BytesIO(data)):
        assert np.array_equal(np.asarray(pillow_lic.enhance(one)), wanted)
    opened = Image.open(path)
    assert psnr(pillow_lic.enhance(opened), wanted) > 45  # from RGB, which was rounded
    assert opened.mode == "RGB"
    assert opened.size == (256, 192)


def test_profiles_and_exif_go_along():
    exif = Image.Exif()
    exif[0x010E] = "a cat"
    better = pillow_lic.enhance(jpeg(photograph(), quality=20, exif=exif, icc_profile=b"some profile", dpi=(72, 72)))
    assert better.info["icc_profile"] == b"some profile"
    assert better.getexif()[0x010E] == "a cat"


@pytest.mark.parametrize(
    ("source", "match"),
    [
        (b"", "no JPEG"),
        (b"\xff\xd8\xfe\xe0 and so on", "no JPEG"),
        (3, "found int"),
        (Image.new("RGB", (8, 8)), "grid"),
    ],
)
def test_what_is_no_jpeg_is_refused(source, match):
    with pytest.raises(errors.LicBadOption, match=match):
        pillow_lic.enhance(source)


def test_other_jpegs_are_refused():
    png = io.BytesIO()
    photograph().save(png, "PNG")
    opened = Image.open(io.BytesIO(jpeg(photograph(), quality=20)))
    for one in (
        png.getvalue(),
        jpeg(photograph("CMYK"), quality=20),
        jpeg(photograph(), quality=20, keep_rgb=True, subsampling=0),
        opened.resize((100, 100)),
        opened.convert("L"),
    ):
        with pytest.raises(errors.LicBadOption):
            pillow_lic.enhance(one)


@pytest.mark.parametrize("seed", range(20))
def test_broken_files_are_enhanced_or_refused_by_name(seed):
    rng = np.random.default_rng(seed)
    data = bytearray(jpeg(photograph(), quality=20))
    if seed % 2:
        del data[int(rng.integers(0, len(data) - 2)) :]
    else:
        for _ in range(3):
            data[rng.integers(0, len(data))] ^= 1 << int(rng.integers(0, 8))
    try:
        assert pillow_lic.enhance(bytes(data)).size
    except errors.LicError:
        assert True
    else:
        assert seed % 2 == 0, "what breaks off is refused"


def test_strips_are_the_whole(monkeypatch):
    found, _ = source.read(jpeg(photograph(), quality=10))
    whole = network.shipped().change(found.planes, found.tables, found.flags)
    monkeypatch.setattr(network, "STRIP", 5 * found.planes.shape[2] // 8)
    strips = network.shipped().change(found.planes, found.tables, found.flags)
    assert np.abs(whole - strips).max() < 1e-3


def test_the_network_is_the_trained_one():
    """Beside PyTorch's, with weights of its own."""
    torch = pytest.importorskip("torch")
    from train.enhance import Config, Enhancer
    from train.enhance_export import tensors_of

    torch.manual_seed(1)
    net = Enhancer(Config(body=24, body_blocks=2, detail=12, detail_blocks=1, tone=6)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    ours = network.Network(tensors_of(net))
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.copy_(torch.from_numpy(ours.of[name].reshape(parameter.shape)))
    found, _ = source.read(jpeg(photograph(), quality=30))
    inputs = [torch.from_numpy(one)[None] for one in (found.planes, found.tables, found.flags)]
    with torch.no_grad():
        wanted = net(*inputs)[0].numpy()
    change = ours.change(found.planes, found.tables, found.flags)
    assert np.abs(wanted).max() > 1
    assert np.abs(change - wanted).max() < 2e-3 * np.abs(wanted).max()


def test_weights_that_are_missing_are_named(monkeypatch, tmp_path):
    network.shipped.cache_clear()
    monkeypatch.setattr(network, "WEIGHTS", tmp_path / "none")
    with pytest.raises(errors.LicModelMissing, match="reinstall"):
        pillow_lic.enhance(jpeg(photograph(), quality=20))


def test_the_command(tmp_path, capsys):
    path = tmp_path / "old.jpg"
    path.write_bytes(jpeg(photograph(), quality=15))
    assert main(["enhance", str(path)]) == 0
    assert "256 x 192, RGB" in capsys.readouterr().out
    made = Image.open(tmp_path / "old.enhanced.png")
    assert np.array_equal(np.asarray(made), np.asarray(pillow_lic.enhance(path)))
    assert main(["enhance", str(path), "-o", str(tmp_path / "b.webp")]) == 0
    assert main(["enhance", str(path)]) == 2  # it exists
    assert main(["enhance", str(path), "-f", "-o", str(path)]) == 2  # never in place
    assert main(["enhance", str(path), "-o", str(tmp_path / "b.what")]) == 2
    assert main(["enhance", str(tmp_path / "b.webp"), "-o", str(tmp_path / "c.png")]) == 2
    assert path.read_bytes() == jpeg(photograph(), quality=15)
