"""The Pillow plugin: opening, loading, damage. A fake codec stands in for the networks; saving is in test_save.py."""

from __future__ import annotations

import copy
import io
import pickle
import threading
import warnings

import pytest
from PIL import Image, ImageFile, UnidentifiedImageError
from saved_images import MODES, XMP, exif, opened, same, saved

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.LicImagePlugin import LicImageFile

pytestmark = pytest.mark.usefixtures("fake_engine")


@pytest.mark.parametrize("mode", MODES)
def test_native_modes(image, mode, tmp_path):
    im = image(mode)
    im.save(tmp_path / "a.lic")
    with Image.open(tmp_path / "a.lic") as back:
        assert isinstance(back, LicImageFile)
        assert (back.format, back.get_format_mimetype()) == ("LIC", "image/x-lic")
        assert same(back, im)


def test_open_is_lazy(image, fake_engine):
    data = saved(image(), quality=60.5, model="toy")
    assert fake_engine == ["encode toy 60.5"]
    im = opened(data)
    assert (im.size, im.mode, im.format) == ((100, 70), "RGB", "LIC")
    assert im.info["quality"] == 60.5
    assert im.info["lic_version"] == "0.3"
    assert im.info["bpp"] == 8 * len(data) / 7000
    assert im.info["model"].isprintable()
    assert "decode" not in fake_engine
    im.load()
    im.load()
    assert fake_engine.count("decode") == 1


def test_file_is_closed_after_load_and_stays_usable(image, tmp_path):
    image().save(tmp_path / "a.lic")
    im = Image.open(tmp_path / "a.lic")
    fp = im.fp
    im.load()
    assert fp.closed
    im.putpixel((0, 0), (1, 2, 3))
    assert im.getpixel((0, 0)) == (1, 2, 3)


@pytest.mark.parametrize("mode", MODES)
def test_pixels_can_be_changed(image, mode):
    im = opened(saved(image(mode)))
    pixel = (7,) * len(im.getbands())
    im.load()[3, 4] = pixel if len(pixel) > 1 else 7
    assert im.getpixel((3, 4)) == (pixel if len(pixel) > 1 else 7)
    im.paste(0, (0, 0, 10, 10))
    assert im.crop((0, 0, 10, 10)).getextrema() == Image.new(mode, (10, 10), 0).getextrema()
    assert im.rotate(90, expand=True).size == (70, 100)


def test_load_after_close(image, tmp_path):
    image().save(tmp_path / "a.lic")
    with Image.open(tmp_path / "a.lic") as im:
        pass
    with pytest.raises(ValueError, match="closed"):
        im.load()


def test_stream_without_seek(image):
    class Pipe:
        def __init__(self, data):
            self.read = io.BytesIO(data).read

    im = image()
    assert same(Image.open(Pipe(saved(im))), im)


def test_parser(image):
    im = image()
    data = saved(im, xmp=XMP)
    parser = ImageFile.Parser()
    for start in range(0, len(data), 100):
        parser.feed(data[start : start + 100])
    assert same(parser.close(), im)
    parser = ImageFile.Parser()
    parser.feed(data[:300])  # as Django does, for the size alone
    assert parser.image.size == (100, 70)


def test_copies_pickles_and_resaves(image, tmp_path):
    im = image("RGBA")
    path = tmp_path / "a.lic"
    im.save(path)
    for loaded in (False, True):
        back = Image.open(path)
        if loaded:
            back.load()
        clone = pickle.loads(pickle.dumps(back))
        assert same(clone, im)
        assert clone.info["quality"] == 75
        assert same(back.copy(), im)
        assert same(copy.deepcopy(back), im)
    back = Image.open(path)
    back.save(path, quality=50)
    assert Image.open(path).info["quality"] == 50
    assert same(Image.open(path), im)


def test_threads_load_one_image(image, fake_engine):
    im = image("RGB", 300, 300)
    back = opened(saved(im))
    results = []
    threads = [threading.Thread(target=lambda: results.append(back.tobytes())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [im.tobytes()] * 8
    assert fake_engine.count("decode") == 1


def test_thumbnail_and_draft(image):
    im = opened(saved(image()))
    assert im.draft("L", (10, 10)) is None
    im.thumbnail((20, 20))
    assert im.size == (20, 14)


# ---- Files that are not right -------------------------------------------------------------------------------------


def test_licence_file_is_not_an_image(tmp_path):
    path = tmp_path / "product.lic"
    path.write_text("FEATURE product vendor 1.0 permanent uncounted HOSTID=ANY SIGN=ABCDEF\n")
    with pytest.raises(UnidentifiedImageError):
        Image.open(path)


def test_other_image_under_our_name(image, tmp_path):
    image().save(tmp_path / "a.lic", "PNG")
    assert Image.open(tmp_path / "a.lic").format == "PNG"


def test_our_image_under_another_name(image, tmp_path):
    image().save(tmp_path / "a.png", "LIC")
    assert Image.open(tmp_path / "a.png").format == "LIC"


def test_later_version_says_so(image):
    data = bytearray(saved(image()))
    data[4] = 9
    with pytest.raises(errors.LicUnsupportedVersion, match="newer"):
        opened(bytes(data))


def test_truncated(image):
    im = image()
    data = saved(im)
    cut = data[:-200]
    back = opened(cut)  # as for PNG, opening is possible
    with pytest.raises(errors.LicTruncated):
        back.load()
    assert back.size == (100, 70)


@pytest.mark.parametrize("behind", [b"\0", b"\n", bytes(64), b"\r\n--boundary--", b"\x8dLID\0\3T\5", "a longer file"])
@pytest.mark.parametrize("truncated", [False, True])
def test_bytes_behind_the_end_are_ignored(image, behind, truncated, monkeypatch, tmp_path):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", truncated)
    im, data = image("RGBA"), saved(image("RGBA"), exif=exif())
    if behind == "a longer file":  # of which a buffer that was used again holds the rest
        buffer = io.BytesIO()
        image("RGBA", 300, 300).save(buffer, "LIC")
        buffer.seek(0)
        im.save(buffer, "LIC", exif=exif())
        behind = buffer.getvalue()[len(data) :]
    (tmp_path / "a.lic").write_bytes(data + behind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(opened(data + behind), im)
        with Image.open(tmp_path / "a.lic") as back:
            assert same(back, im)
        assert (pillow_lic.decode(data + behind) == pillow_lic.decode(data)).all()
        parser = ImageFile.Parser()
        parser.feed(data + behind)
        assert same(parser.close(), im)
        assert opened(data + behind).info == opened(data).info
    with pytest.warns(UserWarning, match=rf"{len(behind)} bytes? follows? the end") as caught:
        opened(data + behind).verify()
    assert caught[0].filename == __file__
    assert "fetch" not in str(caught[0].message)


def test_load_truncated_images(image, monkeypatch):
    im = image()
    data = saved(im)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    back = opened(data[:-200])
    with pytest.warns(UserWarning, match="grey"):
        back.load()
    assert back.getpixel((99, 69)) == (128, 128, 128)
    assert back.crop((0, 0, 64, 64)).tobytes() == im.crop((0, 0, 64, 64)).tobytes()


def test_retry_after_failure(image, monkeypatch):
    back = opened(saved(image())[:-200])
    with pytest.raises(errors.LicTruncated):
        back.load()
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.warns(UserWarning, match="grey"):
        back.load()
    assert back.getpixel((0, 0)) != (128, 128, 128)


def test_verify(image, fake_engine, tmp_path):
    data = saved(image("RGBA"), exif=exif(), xmp=XMP)
    (tmp_path / "a.lic").write_bytes(data)
    im = Image.open(tmp_path / "a.lic")
    im.verify()
    assert im.fp is None
    assert "decode" not in fake_engine
    for position in range(40, len(data), 7):
        damaged = bytearray(data)
        damaged[position] ^= 4
        with pytest.raises(errors.LicError):
            opened(bytes(damaged)).verify()
    with pytest.raises(errors.LicTruncated):
        opened(data[:-1]).verify()


def test_decompression_bomb():
    header = container.Header(30000, 30000, "L", 1, bytes(8), 7500, 64)
    data = container.write(header, [[bytes(16)]] * header.tile_count)
    with pytest.raises(Image.DecompressionBombError):
        opened(data)


def test_thin_images_count_as_what_they_cost(image, monkeypatch):
    data = saved(image(height=1, width=1000), model="toy")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 7999)
    im = opened(data)
    with pytest.raises(errors.LicLimitExceeded, match=r"1000 x 1 pixels.*counts"):
        im.load()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    opened(data).load()


@pytest.mark.parametrize(("height", "mode"), [(60, "RGB"), (70, "RGBA")])
def test_file_that_changes_before_load(image, tmp_path, height, mode):
    path = tmp_path / "a.lic"
    image().save(path)
    with Image.open(path) as im:
        path.write_bytes(saved(image(mode, height=height)))
        with pytest.raises(errors.LicCorruptChunk, match="open it again"):
            im.load()


def test_file_object_whose_seek_returns_nothing(image):
    class Wrapper(io.BytesIO):
        def seek(self, *arguments):
            super().seek(*arguments)

    with Image.open(Wrapper(saved(image()))) as im:
        assert same(im, image())


def test_loading_unpacks_no_metadata(image, monkeypatch):
    im = opened(saved(image(), xmp=XMP))
    monkeypatch.setattr(container.reader, "unpack_metadata", None)
    im.load()
    assert im.info["xmp"] == XMP


def test_array_functions(make_picture):
    for channels in (1, 2, 3, 4):
        array = make_picture(33, 65, channels)
        data = pillow_lic.encode(array, quality=30, model="toy", xmp=XMP)
        assert isinstance(data, bytes)
        assert (pillow_lic.decode(data) == array).all()
        assert opened(data).info["xmp"] == XMP
    with pytest.raises(errors.LicBadMagic):
        pillow_lic.decode(b"nothing of ours")


def test_public_names():
    names = set(pillow_lic.__all__)
    assert len(names) <= 9
    assert names <= set(dir(pillow_lic))
    for name in names:
        assert getattr(pillow_lic, name).__doc__
    with pytest.raises(AttributeError, match="nonesuch"):
        _ = pillow_lic.nonesuch


def test_a_parser_unpacks_metadata_once(image, monkeypatch):
    data = saved(image(), icc_profile=b"of 16 bytes, for" + b"RGB " + b" pixels", exif=exif(), xmp=bytes(300_000))
    head = container.read_head(data)
    assert head.chunk("x").length > 200
    unpacked = []
    unpack = container.reader.unpack_metadata
    monkeypatch.setattr(container.reader, "unpack_metadata", lambda *given: unpacked.append(1) or unpack(*given))
    parser = ImageFile.Parser()
    for byte in data:
        parser.feed(bytes([byte]))
    assert same(parser.close(), image())
    assert len(unpacked) <= 3 * 6, "once for each chunk that comes whole, never at every piece"


def test_alpha_is_unpacked_after_the_tiles(image, monkeypatch):
    from pillow_lic.codec import alpha

    data = saved(image("RGBA"))
    chunks = container.read(data)
    bad = container.write(
        chunks.header, [[bytes(len(stage)) for stage in tile.stages] for tile in chunks.tiles], chunks.alpha
    )
    monkeypatch.setattr(alpha, "unpack", None)  # would raise a TypeError
    with pytest.raises(errors.LicCorruptTile):
        opened(bad).load()


def test_a_signal_handler_that_loads(image):
    signal = pytest.importorskip("signal")
    if not hasattr(signal, "setitimer"):
        pytest.skip("no timers that signal here")
    im, seen = opened(saved(image())), []
    chunks = im.chunks

    def interrupted(options):
        signal.raise_signal(signal.SIGALRM)
        return chunks(options)

    im.chunks = interrupted
    before = signal.signal(signal.SIGALRM, lambda *_: (setattr(im, "chunks", chunks), seen.append(im.tobytes())))
    try:
        im.load()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert seen == [image().tobytes()]
    assert same(im, image())
