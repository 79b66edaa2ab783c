"""imageio v2 and v3 over the plugin: paths, bytes, file objects, options, metadata. A fake codec stands in for the
networks.
"""

from __future__ import annotations

import gc
import io
import pathlib

import numpy as np
import pytest
from PIL import Image

import pillow_lic
from pillow_lic import errors
from pillow_lic.signature import SIGNATURE

imageio = pytest.importorskip("imageio")
iio3 = pytest.importorskip("imageio.v3")
iio2 = pytest.importorskip("imageio.v2")

pytestmark = pytest.mark.usefixtures("fake_engine")
SHAPES = {"grey": 1, "RGB": 3, "RGBA": 4}


@pytest.fixture(params=SHAPES)
def array(request, make_picture):
    return make_picture(40, 70, SHAPES[request.param])


@pytest.mark.parametrize("iio", [iio2, iio3], ids=["v2", "v3"])
@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_path(iio, kind, array, tmp_path):
    path = kind(tmp_path / "a.lic")
    iio.imwrite(path, array, quality=33)
    assert (tmp_path / "a.lic").read_bytes().startswith(SIGNATURE)
    assert (np.asarray(iio.imread(path)) == array).all()
    assert iio3.immeta(path)["quality"] == 33


def test_top_level(array, tmp_path):
    imageio.v2.imwrite(tmp_path / "a.lic", array)
    assert (imageio.v2.imread(tmp_path / "a.lic") == array).all()


@pytest.mark.parametrize("options", [{"extension": ".lic"}, {"plugin": "pillow", "extension": ".lic"}])
def test_bytes_v3(array, options):
    data = iio3.imwrite("<bytes>", array, quality=20, **options)
    assert data.startswith(SIGNATURE)
    assert (iio3.imread(data) == array).all()
    assert (iio3.imread(data, extension=".lic") == array).all()
    assert (iio3.imread(io.BytesIO(data)) == array).all()


def test_bytes_v2(array):
    data = iio2.imwrite("<bytes>", array, format="lic", quality=20)
    assert data.startswith(SIGNATURE)
    assert (iio2.imread(data) == array).all()
    assert (iio2.imread(data, format="lic") == array).all()


def test_file_objects(array, tmp_path):
    buffer = io.BytesIO()
    iio3.imwrite(buffer, array, extension=".lic")
    assert buffer.getvalue().startswith(SIGNATURE)
    buffer.seek(0)
    assert (iio3.imread(buffer) == array).all()
    with open(tmp_path / "a.lic", "wb") as file:
        iio3.imwrite(file, array, extension=".lic")
    with open(tmp_path / "a.lic", "rb") as file:
        assert (iio3.imread(file) == array).all()


def test_properties_do_not_decode(array, fake_engine):
    data = iio3.imwrite("<bytes>", array, extension=".lic", quality=12.5)
    fake_engine.clear()
    properties = iio3.improps(data)
    assert properties.shape == array.shape
    assert properties.dtype == np.uint8
    meta = iio3.immeta(data)
    assert meta["quality"] == 12.5
    assert meta["bpp"] > 0
    assert meta["lic_version"] == "0.3"
    assert "model" in meta
    assert fake_engine == []


def test_exif_goes_through(make_picture):
    from PIL import Image

    exif = Image.Exif()
    exif[0x010E] = "made up"
    data = iio3.imwrite("<bytes>", make_picture(20, 20), extension=".lic", exif=exif)
    assert iio3.immeta(data)["ImageDescription"] == "made up"


def test_iteration(array):
    data = iio3.imwrite("<bytes>", array, extension=".lic")
    assert [frame.shape for frame in iio3.imiter(data)] == [array.shape]
    assert (iio3.imread(data, index=0) == array).all()
    with iio2.get_reader(data, format="lic") as reader:
        assert (reader.get_data(0) == array).all()
        assert len(reader) == 1


def test_result_is_writable(array):
    back = iio3.imread(iio3.imwrite("<bytes>", array, extension=".lic"))
    back[0, 0] = 0
    assert (back[0, 0] == 0).all()


@pytest.mark.parametrize("shape", [(9, 11), (9, 11, 3), (9, 11, 4), (9, 11, 2)])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_depth(shape, dtype, tmp_path):
    array = (np.arange(np.prod(shape)).reshape(shape) / np.prod(shape)).astype(np.float32)
    array = (array * 65535).astype(np.uint16) if dtype is np.uint16 else array
    if shape[2:] in ((2,), (4,)):
        array[..., -1] = array[..., -1].max()
    exact = dtype is np.uint16
    data = iio3.imwrite("<bytes>", array, extension=".lic", lossless=exact, quality=95)
    iio3.imwrite(tmp_path / "a.lic", array, lossless=exact, quality=95)
    sources = {"bytes": (data, {"extension": ".lic"}), "path": (tmp_path / "a.lic", {})}
    read = {name: iio3.imread(source, **options) for name, (source, options) in sources.items()}
    for found in (*read.values(), iio2.imread(tmp_path / "a.lic")):
        assert (found.dtype, found.shape) == (dtype, shape)
        assert np.array_equal(found, array) if exact else np.abs(found - array).max() < 0.3
    ways = {
        "batch": iio3.imread(tmp_path / "a.lic", index=...)[0],
        "iter": next(iter(iio3.imiter(tmp_path / "a.lic"))),
        "rotate": iio3.imread(tmp_path / "a.lic", rotate=True),
        "v2": iio2.mimread(tmp_path / "a.lic")[0],
    }
    for name, one in ways.items():
        assert one.dtype == dtype, name
        assert np.array_equal(one, found), name
    assert iio3.imread(tmp_path / "a.lic", mode="L").dtype == np.uint8
    assert iio3.improps(data, extension=".lic").dtype == dtype
    assert iio3.improps(data, extension=".lic", index=...).dtype == dtype


def test_deep_pixels_are_turned(tmp_path):
    array, exif = np.arange(6 * 9 * 3, dtype=np.uint16).reshape(6, 9, 3) * 300, Image.Exif()
    exif[0x0112] = 6
    data = pillow_lic.encode(array, lossless=True, exif=exif.tobytes())
    (tmp_path / "a.lic").write_bytes(data)
    assert np.array_equal(iio3.imread(tmp_path / "a.lic", rotate=True), np.rot90(array, -1))


def test_wrong_option(array, tmp_path):
    with pytest.raises(errors.LicBadOption):
        iio3.imwrite(tmp_path / "a.lic", array, quality=500)


def test_registered_once():
    from imageio.config import extension_list, known_extensions

    from pillow_lic.plugins.imageio import register

    register(__import__("imageio.config.extensions", fromlist=["x"]))
    assert len(known_extensions[".lic"]) == 1
    assert [entry.extension for entry in extension_list].count(".lic") == 1


@pytest.mark.parametrize("call", ["v3 path", "v3 batch", "v3 bytes", "v2 path", "v2 mimsave", "v2 bytes"])
def test_several_pictures_are_refused_and_leave_nothing(call, array, tmp_path, recwarn):
    path, several = tmp_path / "a.lic", [array] * 3
    calls = {
        "v3 path": lambda: iio3.imwrite(path, several),
        "v3 batch": lambda: iio3.imwrite(path, np.stack(several), is_batch=True),
        "v3 bytes": lambda: iio3.imwrite("<bytes>", several, extension=".lic"),
        "v2 path": lambda: iio2.mimwrite(path, several),
        "v2 mimsave": lambda: iio2.mimsave(str(path), several),
        "v2 bytes": lambda: iio2.mimwrite("<bytes>", several, format="lic"),
    }
    with pytest.raises(errors.LicBadOption, match="one picture, here are 3"):
        calls[call]()
    gc.collect()  # a destructor that tries once more would be an error here
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"precious")
    with pytest.raises(errors.LicBadOption):
        calls[call]()
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize("iio", [iio2, iio3], ids=["v2", "v3"])
@pytest.mark.parametrize("options", [{"quality": 500}, {"model": "nonesuch"}, {"exif": b"invalid"}])
def test_what_fails_leaves_nothing(iio, options, array, tmp_path):
    with pytest.raises(errors.LicError):
        iio.imwrite(tmp_path / "a.lic", array, **options)
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_one_picture_in_a_list(array, tmp_path):
    iio3.imwrite(tmp_path / "a.lic", [array])
    with iio3.imopen(tmp_path / "b.lic", "w") as file:
        file.write(array)
    assert (iio3.imread(tmp_path / "a.lic") == iio3.imread(tmp_path / "b.lic")).all()
