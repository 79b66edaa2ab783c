"""The registry and the loader: what is refused, and by which name, of a model directory that is not as its manifest
says.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

import pillow_lic
from pillow_lic import constants, container, errors
from pillow_lic.codec.decode import decode_symbols
from pillow_lic.engines import pieces
from pillow_lic.engines.torch import networks
from pillow_lic.models import choice, registry
from pillow_lic.models.store import read_model

pytestmark = [pytest.mark.network, pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")]
FILES = ("tables.npz", "decoder.pt", "encoder.pt")


@pytest.fixture(autouse=True)
def forget():
    """What a test registers is unknown to the next."""
    yield
    registry.forget_registered()


def copy_of_toy(folder: Path, name: str = "copy", files: dict[str, bytes] | None = None, **changes) -> Path:
    """The toy model under another name, with other files (and their digests) and other entries of the manifest."""
    toy = registry.by_name("toy").path
    manifest = {**json.loads((toy / "manifest.json").read_text()), "name": name, **changes}
    for file in FILES:
        data = (files or {}).get(file, (toy / file).read_bytes())
        part = "encoder" if file == "encoder.pt" else "decoder"
        manifest[part] = {**manifest[part], file: hashlib.sha256(data).hexdigest()}
        (folder / file).write_bytes(data)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def script(module: nn.Module) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module), buffer)
    return buffer.getvalue()


def toy_network(file: str) -> torch.jit.ScriptModule:
    return torch.jit.load(io.BytesIO((registry.by_name("toy").path / file).read_bytes()), map_location="cpu").float()


# ---- Files and manifest -------------------------------------------------------------------------------------------


def test_damaged_model_is_refused(tmp_path):
    copy_of_toy(tmp_path)
    (tmp_path / "tables.npz").write_bytes(b"garbage")
    model = read_model(0, tmp_path)
    with pytest.raises(errors.LicModelMissing, match="SHA-256"):
        _ = model.arrays


def test_a_registered_model_may_move(make_picture, tmp_path):
    for place in ("old", "new"):
        (tmp_path / place).mkdir()
        name = pillow_lic.register_model(copy_of_toy(tmp_path / place))
        shutil.rmtree(tmp_path / "old", ignore_errors=True)
    pillow_lic.decode(pillow_lic.encode(make_picture(8, 8), model=name))
    assert registry.describe(name)["path"] == str(tmp_path / "new")


def test_registering_again_loads_nothing_again(tmp_path):
    name = pillow_lic.register_model(copy_of_toy(tmp_path))
    loaded = registry.by_name(name)
    assert pillow_lic.register_model(tmp_path) == name
    assert registry.by_name(name) is loaded


def test_a_registered_model_may_get_another_encoder(make_picture, tmp_path):
    class Dark(nn.Module):
        """The toy's encoder of a picture half as bright."""

        def __init__(self):
            super().__init__()
            self.toy = toy_network("encoder.pt")

        @torch.jit.export
        def analysis(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return self.toy.analysis(0.5 * x, t)

        @torch.jit.export
        def hyper_analysis(self, y: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return self.toy.hyper_analysis(y, t)

    bright = make_picture(64, 64)
    for folder, files in (("a", {}), ("b", {"encoder.pt": script(Dark())})):
        (tmp_path / folder).mkdir()
        name = pillow_lic.register_model(copy_of_toy(tmp_path / folder, files=files))
        means = pillow_lic.decode(pillow_lic.encode(bright, model=name, effort=0)).mean() / bright.mean()
        assert abs(means - (0.5 if files else 1.0)) < 0.1
    (tmp_path / "toy").mkdir()
    with pytest.raises(errors.LicBadOption, match="already known"):
        pillow_lic.register_model(copy_of_toy(tmp_path / "toy", "toy", files))


@pytest.mark.parametrize("file", FILES)
def test_registering_checks_every_file(file, tmp_path):
    copy_of_toy(tmp_path)
    data = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(errors.LicModelMissing, match=f"{file}.*SHA-256"):
        pillow_lic.register_model(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(errors.LicModelMissing, match=f"{file} cannot be read"):
        pillow_lic.register_model(tmp_path)
    assert "copy" not in choice.names()


def test_every_quality_has_a_model():
    """What a tune takes is trained for the quality that it is taken for, from one end to the other."""
    for models in choice.TUNES.values():
        lowest = constants.LIC_QUALITY_MIN
        for highest, name in models:
            assert lowest <= highest
            assert registry.by_name(name).manifest.fits(lowest)
            assert registry.by_name(name).manifest.fits(highest)
            lowest = highest + 1
        assert lowest == constants.LIC_QUALITY_MAX + 1


def test_a_model_refuses_a_quality_that_is_not_its_own(make_picture, tmp_path):
    array = make_picture(20, 30)
    with pytest.raises(
        errors.LicBadOption, match=r"model 'photo-low' is for quality 1 to 57.57, found 75; leave model out"
    ):
        pillow_lic.encode(array, model="photo-low")
    with pytest.raises(errors.LicBadOption, match="found 60"):
        pillow_lic.encode_batch([array], model="photo-low", quality=60)
    with pytest.raises(errors.LicBadOption, match=r"found 57.58"):
        Image.fromarray(array).save(tmp_path / "a.lic", model="photo-low", quality=57.58)
    assert pillow_lic.decode(pillow_lic.encode(array, model="photo-low", quality=57.57)).shape == array.shape


@pytest.mark.parametrize("wrong", [{"halo": 65}, {"encoder_halo": -1}, {"encoder_halo": 65}, {"encoder_halo": "8"}, {"lambda": [0.1]},
                                   {"lambda": [0.2, 0.1]}, {"lambda": [0, 1]}, {"lambda": [0.1, True]}, {"lambda": "0.1"}, {"quality": [1, 100]}, {"quality": [300, 200]},
                                   {"quality": [100.0, 200]}, {"quality": 5000}])  # fmt: skip
def test_manifest_out_of_range(wrong, tmp_path):
    with pytest.raises(errors.LicModelMissing, match=next(iter(wrong))):
        pillow_lic.register_model(copy_of_toy(tmp_path, **wrong))


def test_limits_have_one_home():
    """constants.MODEL_LIMITS is what FORMAT 9.1 says; manifests and tables take theirs from it."""
    document = (Path(__file__).parents[2] / "docs" / "FORMAT.md").read_text("utf-8")
    found = {}
    for keys, meaning in re.findall(
        r"^\| (`\w+`(?:, `\w+`)*) \| (.*) \|$", document.split("### 9.1")[1].split("### 9.2")[0], re.M
    ):
        ranges = re.findall(r"(\d+) to (\d+)", meaning)
        found |= {key: (int(low), int(high)) for key, (low, high) in zip(re.findall(r"\w+", keys), ranges)}
    halo = found.pop("encoder_halo")
    assert halo == constants.MODEL_LIMITS["halo"]
    assert found == {key: limit for key, limit in constants.MODEL_LIMITS.items() if key != "skip"}  # "0 to R"
    assert constants.MODEL_LIMITS["skip"][1] == constants.MODEL_LIMITS["rows"][1]


def test_integers_of_the_manifest_are_part_of_the_hash():
    entry = registry.by_name("toy")
    other = dataclasses.replace(entry.manifest, skip=entry.manifest.skip + 1)
    assert other.hash != entry.hash


# ---- The encoder's halo -------------------------------------------------------------------------------------------


class WideEncoder(nn.Module):
    """An analysis that looks 12 latent positions far."""

    def __init__(self, toy: torch.jit.ScriptModule):
        super().__init__()
        self.toy = toy

    @torch.jit.export
    def analysis(self, x: Tensor, t: Tensor) -> Tensor:
        y = F.avg_pool2d(F.avg_pool2d(x, 16), 25, 1, 12)  # (N, 3, h, w)
        return torch.cat([y, y, y], 1)[:, :8] * 400.0

    @torch.jit.export
    def hyper_analysis(self, y: Tensor, t: Tensor) -> Tensor:
        return self.toy.hyper_analysis(y, t)


def test_encoder_halo_is_the_manifests(make_picture, monkeypatch, tmp_path):
    """Pieces with the margin that the manifest states give the integers of the whole; 8, as without it, is too little
    here.
    """
    monkeypatch.setenv("PILLOW_LIC_PRECISION", "float32")
    files = {"encoder.pt": script(WideEncoder(toy_network("encoder.pt")))}
    differing = {}
    for name, entries in (("stated", {"encoder_halo": 12}), ("unstated", {})):
        (tmp_path / name).mkdir()
        pillow_lic.register_model(copy_of_toy(tmp_path / name, name, files, **entries))
        found = []
        for side in (96, 4):
            monkeypatch.setattr(pieces, "PIECE", side)
            found.append(decode_symbols(container.read(pillow_lic.encode(make_picture(400, 560), model=name)))[1])
        differing[name] = (found[0] != found[1]).mean()
    assert differing["stated"] < 1e-3 < 1e-2 < differing["unstated"]


def test_encoder_halo_is_not_part_of_the_hash(tmp_path):
    entry = read_model(0, copy_of_toy(tmp_path, encoder_halo=30))
    assert entry.hash == registry.by_name("toy").hash
    assert entry.manifest.encoder_halo == 30
    del (stated := json.loads((entry.path / "manifest.json").read_text()))["encoder_halo"]
    (entry.path / "manifest.json").write_text(json.dumps(stated))
    assert read_model(0, entry.path).manifest.encoder_halo == 8


# ---- Networks that are not what the manifest says -----------------------------------------------------------------


class NineChannels(nn.Module):
    @torch.jit.export
    def analysis(self, x: Tensor, t: Tensor) -> Tensor:
        return F.avg_pool2d(x, 16).repeat(1, 3, 1, 1)

    @torch.jit.export
    def hyper_analysis(self, y: Tensor, t: Tensor) -> Tensor:
        return F.avg_pool2d(y, 4, ceil_mode=True)[:, :8]


class GreyDecoder(nn.Module):
    """A synthesis of one channel, which NumPy would spread over three without a word."""

    def __init__(self, toy: torch.jit.ScriptModule):
        super().__init__()
        self.toy = toy

    @torch.jit.export
    def prior(self, z_hat: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.toy.prior(z_hat, t)

    @torch.jit.export
    def refine(self, features: Tensor, known: Tensor, group: int) -> tuple[Tensor, Tensor]:
        return self.toy.refine(features, known, group)

    @torch.jit.export
    def synthesis(self, y_hat: Tensor, t: Tensor) -> Tensor:
        return self.toy.synthesis(y_hat, t)[:, :1]


class WholeGrid(GreyDecoder):
    """A refine that returns all positions, as if there were no groups."""

    @torch.jit.export
    def refine(self, features: Tensor, known: Tensor, group: int) -> tuple[Tensor, Tensor]:
        return known, known


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        (lambda: b"not TorchScript", "encoder.pt: .*"),
        (lambda: (registry.by_name("toy").path / "decoder.pt").read_bytes(), "encoder.pt: .*no attribute 'analysis'"),
        (
            lambda: script(NineChannels()),
            r"analysis yields torch.float32 \(1, 9, 7, 3\), want torch.float32 \(1, 8, 7, 3\)",
        ),
    ],
)
def test_wrong_encoder(make_picture, network, problem, tmp_path):
    name = pillow_lic.register_model(copy_of_toy(tmp_path, files={"encoder.pt": network()}))
    with pytest.raises(
        errors.LicModelMissing, match=f"(?s)does not do what its manifest says: .*{problem}.*export it again"
    ):
        pillow_lic.encode(make_picture(40, 40), model=name)


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        (lambda: (registry.by_name("photo").path / "decoder.pt").read_bytes(), "decoder.pt: RuntimeError: .* channels"),
        (lambda: script(GreyDecoder(toy_network("decoder.pt"))), r"synthesis yields torch.float32 \(1, 1, 112, 48\)"),
        (
            lambda: script(WholeGrid(toy_network("decoder.pt"))),
            r"refine yields torch.float32 \(1, 8, 7, 3\), want torch.float32 \(1, 8, 3, 1\)",
        ),
    ],
)
def test_wrong_decoder(make_picture, network, problem, tmp_path):
    pillow_lic.register_model(copy_of_toy(tmp_path, files={"decoder.pt": network()}))
    chunks = container.read(pillow_lic.encode(make_picture(40, 40), model="toy"))
    digest = registry.by_name("copy").hash[: constants.HASH_BYTES]
    data = container.write(dataclasses.replace(chunks.header, model=0, model_hash=digest), list(chunks.tiles))
    with pytest.raises(errors.LicModelMissing, match=f"does not do what its manifest says: .*{problem}"):
        pillow_lic.decode(data)


def test_tables_that_are_no_archive(make_picture, tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    for data in (b"", b"garbage", buffer.getvalue()):
        name = pillow_lic.register_model(copy_of_toy(tmp_path, files={"tables.npz": data}))
        with pytest.raises(errors.LicModelMissing, match=r"tables.npz cannot be read"):
            pillow_lic.encode(make_picture(8, 8), model=name)
        registry.forget_registered()


def test_loading_hides_no_warning_of_others(monkeypatch):
    """TorchScript's own announcement is hidden; what other threads warn of meanwhile is not."""
    load = torch.jit.load

    def busy(*arguments, **options):
        warnings.warn("as of another thread", UserWarning, stacklevel=1)
        return load(*arguments, **options)

    monkeypatch.setattr(torch.jit, "load", busy)
    monkeypatch.setattr(networks, "_loaded", {})
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        networks.load(registry.by_name("toy"), "encoder.pt")
    assert [str(w.message) for w in seen] == ["as of another thread"]
