"""Pixels in browsers are those of pillow_lic.decode, to the bit: the core in WebAssembly, in node and in Chromium."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import http.server
import io
import json
import os
import struct
import threading
import zlib
from pathlib import Path

import chromium
import node
import numpy as np
import pytest
from pictures import picture
from PIL import Image
from shortcuts import mapped, written

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.codec import encode as encode_module
from pillow_lic.models import registry, weights

pytestmark = pytest.mark.network

GOLDEN = Path(__file__).parents[1] / "golden"
MODULE_MOST = 100_000  # bytes, gzipped


@pytest.fixture(autouse=True)
def _built():
    node.need_module()


@pytest.fixture
def toy():
    return functools.partial(pillow_lic.encode, model="toy", effort=0)


def test_goldens_and_other_pictures(tmp_path, monkeypatch, toy):
    node.need_node()
    files = [path.read_bytes() for path in sorted(GOLDEN.glob("*.lic"))]
    files += [toy(picture(*size), quality=q) for size, q in (((1, 1), 30), ((75, 211), 99), ((64, 17), 1))]
    files += [toy(picture(90, 61, bands), quality=50) for bands in (1, 2, 4)]
    files += [toy(picture(130, 140), progressive=True)]
    files += [pillow_lic.encode(picture(96, 160), quality=q, effort=0) for q in (30, 75)]  # of larger models
    files += [mapped("toy", np.array([[0, 6, -7], [-32, 20, 1]], np.int8), progressive=True)]
    monkeypatch.setattr(encode_module, "TILE_SIDE", 1)
    files += [toy(picture(150, 100, 4), progressive=progressive) for progressive in (False, True)]
    files += deep_files(toy)
    assert node.decoded(files, tmp_path, imageOrientation="none") == [node.of_8(data) for data in files]
    assert node.decoded(files, tmp_path, imageOrientation="none", depth=16) == [node.of_16(data) for data in files]


def deep_files(toy) -> list[bytes]:
    """Of more than 8 bits: alpha that is constant, a plane, or goes with a colour of invisible pixels."""
    files, rng = [], np.random.default_rng(3)
    for bands, depth in ((1, 9), (2, 12), (3, 16), (4, 10), (4, 16)):
        samples = (picture(70, 83, bands).reshape(70, 83, bands).astype(float) / 255 * ((1 << depth) - 1)).astype("u2")
        if bands in (2, 4):
            files.append(toy(np.where(np.arange(bands) == bands - 1, 300, samples).astype("u2"), depth=depth))
            samples[:, :, -1] = rng.integers(0, 1 << depth, (70, 83))
            files.append(toy(samples, depth=depth))
            samples[:30, :, -1] = 0
            files += [toy(samples, depth=depth, exact=exact) for exact in (False, True)]
        else:
            files.append(toy(samples, depth=depth))
    return files


PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # Adam7


def interlaced(plane: np.ndarray) -> bytes:
    """A grey PNG of uint8 (H, W), which Pillow reads and does not write."""
    parts = (plane[top::dy, left::dx] for left, top, dx, dy in PASSES)
    lines = b"".join(b"\0" + line.tobytes() for part in parts if part.size for line in part)
    head = struct.pack(">IIBBBBB", plane.shape[1], plane.shape[0], 8, 0, 0, 0, 1)
    chunks = [(b"IHDR", head), (b"gAMA", bytes(4)), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    packed = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize("size", [(33, 45), (1, 1), (3, 9), (9, 2)])
def test_interlaced_alpha(tmp_path, toy, size):
    node.need_node()
    chunks = container.read(toy(picture(*size, 4), screen="off"))
    plane = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    data = written(dataclasses.replace(chunks, alpha=bytes([container.ALPHA_PNG]) + interlaced(plane)))
    assert np.array_equal(pillow_lic.decode(data)[:, :, 3], plane)
    assert node.decoded([data], tmp_path) == [node.shown(pillow_lic.decode(data))]


def test_refusals_of_tiles(tmp_path):
    node.need_node()
    path = GOLDEN / "errors" / "LicCorruptTile-word.lic"
    good = (GOLDEN / "one-pixel.lic").read_bytes()
    bad, after = node.decoded([path.read_bytes(), good], tmp_path)
    assert bad["error"] == "LicCorruptTile"
    assert after == node.shown(pillow_lic.decode(good)), "a refusal leaves a mark"


def test_a_model_that_is_not_what_its_name_says_is_refused(tmp_path):
    node.need_node()
    (tmp_path / "models").mkdir()
    (tmp_path / "lic.wasm").write_bytes(node.MODULE.read_bytes())
    index = json.loads((node.BROWSER / "models" / "index.json").read_text())
    known = next(one for one in index.values() if one["name"] == "toy")
    packed = gzip.decompress((node.BROWSER / "models" / known["file"]).read_bytes())
    data = (GOLDEN / "one-pixel.lic").read_bytes()
    (tmp_path / "models" / "index.json").write_text(json.dumps(index))
    for changed in (packed[:-1] + bytes([packed[-1] ^ 1]), packed[:-9], packed[:5]):
        (tmp_path / "models" / known["file"]).write_bytes(gzip.compress(changed))
        (found,) = node.decoded([data], tmp_path, assets=str(tmp_path))
        assert found["error"] == "LicModelMissing"
        assert "not intact" in found["message"]
    (tmp_path / "models" / known["file"]).unlink()
    assert node.decoded([data], tmp_path, assets=str(tmp_path))[0]["error"] == "LicModelMissing"


def test_what_the_core_throws_is_told(tmp_path):
    """A trap ends the instance; its message survives."""
    node.need_node()
    own = registry.by_name("toy")
    integers = dict(own.manifest.integers) | {"skip": own.manifest.rows + 1}
    known = {"name": "toy", "file": "toy.gz", "integers": integers}
    known["identity"] = weights.identity(own.tensors, integers.values()).hex()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "index.json").write_text(json.dumps({own.hash[:8].hex(): known}))
    (tmp_path / "models" / "toy.gz").write_bytes(gzip.compress(weights.write(own.tensors)))
    (tmp_path / "lic.wasm").write_bytes(node.MODULE.read_bytes())
    data = (GOLDEN / "one-pixel.lic").read_bytes()
    for found in node.decoded([data, data], tmp_path, assets=str(tmp_path)):
        assert found["error"] == "LicModelMissing"
        assert f"skip is {integers['skip']}, want at most rows = {own.manifest.rows}" in found["message"]


def test_damaged_tiles_are_refused_alike(tmp_path, toy):
    """Checksums of chunks are right: whoever made these files meant harm."""
    node.need_node()
    rng = np.random.default_rng(3)
    files = []
    for chunks in (container.read(toy(picture(60, 90), progressive=progressive)) for progressive in (False, True)):
        for _ in range(40):
            parts = [bytearray(part) for part in chunks.tiles[0].stages]
            one = parts[rng.integers(0, len(parts))]
            if len(one):
                one[rng.integers(0, len(one))] ^= 1 << int(rng.integers(0, 8))
            if rng.integers(0, 2):
                del parts[-1][rng.integers(16, max(17, len(parts[-1]))) :]
            files.append(written(chunks, [[bytes(part) for part in parts]]))

    def outcome(data: bytes) -> str:
        try:
            pillow_lic.decode(data)
        except errors.LicError as error:
            return type(error).__name__
        return "shown"

    found = [one.get("error", "shown") for one in node.decoded(files, tmp_path)]
    assert found == [outcome(data) for data in files]
    assert found.count("LicCorruptTile") > len(files) // 2


def test_a_model_in_floating_point_is_named():
    index = json.loads((node.BROWSER / "models" / "index.json").read_text())
    assert [one["name"] for one in index.values() if "file" not in one] == ["gdn-mixture"]


def test_the_module_is_small():
    assert len(gzip.compress(node.MODULE.read_bytes())) <= MODULE_MOST


# ---- In Chromium --------------------------------------------------------------------------------------------------


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Says nothing of each request."""


@pytest.fixture(scope="module")
def site():
    """The address of browser/, pictures there by name, and what was asked for."""
    pictures: dict[str, bytes] = {}
    asked: list[str] = []

    class Handler(Quiet):
        def do_GET(self):
            asked.append(self.path)
            data = pictures.get(self.path)
            if data is None:
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            return self.wfile.write(data)

    handler = functools.partial(Handler, directory=str(node.BROWSER))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", pictures, asked
        server.shutdown()


@pytest.fixture(scope="module")
def tab(site):
    if why := chromium.reason():
        pytest.skip(why)
    with chromium.Browser() as browser:
        yield browser.open(f"{site[0]}/index.html")


CANVAS = """(() => { const c = document.querySelector('canvas');
    return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]; })()"""
DROP = """(async () => {{ window.shown = null;
    const bytes = await (await fetch('{path}')).arrayBuffer();
    const data = new DataTransfer();
    data.items.add(new File([bytes], '{name}'));
    document.dispatchEvent(new DragEvent('drop', {{ dataTransfer: data, cancelable: true }})); }})()"""


def dropped(tab, site, name, data):
    """What the page shows of a file that is dropped there."""
    site[1][f"/{name}"] = data
    tab.run(DROP.format(path=f"/{name}", name=name))
    tab.wait("window.shown")
    return tab.run("window.shown")


def test_the_page_shows_what_is_dropped(site, tab, toy):
    exif = Image.Exif()
    exif[0x112] = 6
    buffer = io.BytesIO()
    Image.fromarray(picture(40, 70)).save(buffer, "LIC", model="toy", effort=0, exif=exif)
    turned = np.rot90(pillow_lic.decode(buffer.getvalue()), -1)
    files = {"a": toy(picture(60, 100)), "photo": pillow_lic.encode(picture(64, 96), quality=60, effort=0)}
    for name, data, wanted in [
        *((name, data, pillow_lic.decode(data)) for name, data in files.items()),
        ("turned", buffer.getvalue(), turned),
    ]:
        shown = dropped(tab, site, name, data)
        assert (shown["width"], shown["height"]) == wanted.shape[1::-1], shown
        canvas = np.array(tab.run(CANVAS), np.uint8).reshape(node.rgba(wanted).shape)
        assert np.array_equal(canvas, node.rgba(wanted))
    broken = dropped(tab, site, "broken", files["a"][:-5])
    assert broken["error"]["name"] == "LicTruncated"
    assert "LicTruncated" in tab.run("document.querySelector('output').textContent")
    assert tab.problems() == []


def test_transparent_pixels_are_exact_in_chromium(site, tab, toy):
    """A canvas multiplies alpha in; decode does not."""
    data = toy(picture(50, 40, 4))
    site[1]["/alpha"] = data
    found = tab.run("""(async () => {
        const { decode, decodeToImageBitmap } = await import('/index.js');
        const bytes = await (await fetch('/alpha')).arrayBuffer();
        const image = await decode(bytes), bitmap = await decodeToImageBitmap(new Blob([bytes]));
        return [image instanceof ImageData, bitmap.width, bitmap.height, [...image.data]];
    })()""")
    assert found[:3] == [True, 40, 50]
    assert np.array_equal(np.array(found[3], np.uint8).reshape(50, 40, 4), pillow_lic.decode(data))


DIGESTS = """(async (paths, options) => {
    const { decode } = await import('/index.js');
    const found = [];
    for (const path of paths) {
        const { data, width, height, depth } = await decode(await fetch(path), options);
        const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', data));
        const sha256 = [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
        found.push({ width, height, depth, sha256 });
    }
    return found;
})"""


def test_goldens_and_deep_files_in_chromium(site, tab, toy):
    """8 bits as an ImageData, and all bits of a file as 16."""
    files = [path.read_bytes() for path in sorted(GOLDEN.glob("*.lic"))] + deep_files(toy)
    paths = [f"/digest-{number}" for number in range(len(files))]
    site[1].update(zip(paths, files, strict=True))
    for depth, wanted in ((8, node.of_8), (16, node.of_16)):
        given = json.dumps(paths), json.dumps({"imageOrientation": "none", "depth": depth})
        assert tab.run(f"{DIGESTS}({', '.join(given)})") == [wanted(data) for data in files]
    assert tab.problems() == []


def test_the_page_shows_a_deep_file(site, tab, toy):
    data = deep_files(toy)[0]
    shown = dropped(tab, site, "deep", data)
    wanted = node.rgba(pillow_lic.decode(data, dtype="uint8"))
    assert (shown["width"], shown["height"]) == wanted.shape[1::-1], shown
    assert np.array_equal(np.array(tab.run(CANVAS), np.uint8).reshape(wanted.shape), wanted)


def test_weights_are_fetched_once(site, tab, toy):
    (toys,) = (name for name in os.listdir(node.BROWSER / "models") if name.startswith("toy-"))
    again = tab.browser.open(f"{site[0]}/index.html")
    for page, name in ((tab, "first"), (again, "second")):
        again.ask("Network.clearBrowserCache")
        assert "width" in dropped(page, site, name, toy(picture(20, 20)))
    assert [path for path in site[2] if path.endswith(toys)] == [f"/models/{toys}"]
