"""The registry and the loader: what is refused, and by which name, of a model directory that is not as its manifest
says.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from model_copies import compare_layers, copied, tensor
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

import pillow_lic
from pillow_lic import constants, container, errors
from pillow_lic.codec.decode import decode_symbols
from pillow_lic.engines import choice as engines
from pillow_lic.engines import pieces
from pillow_lic.engines.torch import exchange, networks
from pillow_lic.models import choice, registry, weights
from pillow_lic.models.manifest import DECODER, ENCODER
from pillow_lic.models.store import read_model

pytestmark = pytest.mark.network
FILES = (DECODER, ENCODER)


@pytest.fixture(autouse=True)
def forget():
    """What a test registers is unknown to the next."""
    yield
    registry.forget_registered()


# ---- Files and manifest -------------------------------------------------------------------------------------------


def test_damaged_model_is_refused(tmp_path):
    copied(tmp_path)
    (tmp_path / DECODER).write_bytes(b"garbage")
    with pytest.raises(errors.LicModelMissing, match="less than 8 bytes"):
        _ = read_model(0, tmp_path).arrays


def test_a_registered_model_may_move(make_picture, tmp_path):
    for place in ("old", "new"):
        name = pillow_lic.register_model(copied(tmp_path / place))
        shutil.rmtree(tmp_path / "old", ignore_errors=True)
    pillow_lic.decode(pillow_lic.encode(make_picture(8, 8), model=name))
    assert registry.describe(name)["path"] == str(tmp_path / "new")


def test_registering_again_loads_nothing_again(tmp_path):
    name = pillow_lic.register_model(copied(tmp_path))
    loaded = registry.by_name(name)
    assert pillow_lic.register_model(tmp_path) == name
    assert registry.by_name(name) is loaded


def test_a_registered_model_may_get_another_encoder(make_picture, tmp_path, engine):
    """One that sees pictures with half their contrast; the hash, and so the files' model, is the same."""
    tensors = registry.by_name("toy").encoder_arrays
    flat = {name: tensors[name] // 2 for name in ("analysis.patch.scale", "analysis.direct.scale")}
    picture, spread = make_picture(64, 64), []
    for folder, changes in (("a", {}), ("b", flat)):
        name = pillow_lic.register_model(copied(tmp_path / folder, encoder_tensors=changes))
        assert registry.by_name(name).hash == registry.by_name("toy").hash
        spread.append(pillow_lic.decode(pillow_lic.encode(picture, model=name, effort=0)).std() / picture.std())
    assert spread[1] < 0.7 * spread[0]
    with pytest.raises(errors.LicBadOption, match="already known"):
        pillow_lic.register_model(copied(tmp_path / "toy", "toy", encoder_tensors=flat))


@pytest.mark.parametrize("file", FILES)
def test_registering_checks_every_file(file, tmp_path):
    copied(tmp_path)
    data = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(errors.LicModelMissing, match=f"{file}.*SHA-256"):
        pillow_lic.register_model(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(errors.LicModelMissing, match=f"{file} cannot be read"):
        pillow_lic.register_model(tmp_path)
    assert "copy" not in choice.names()


def test_a_model_without_its_encoder(make_picture, tmp_path, engine):
    """Files open; saving is refused by name."""
    array = make_picture(40, 40)
    copied(tmp_path, encoder=None)
    (tmp_path / ENCODER).unlink()
    name = pillow_lic.register_model(tmp_path)
    for effort in (0, 2):
        with pytest.raises(errors.LicModelMissing, match=r"'copy' was installed without its encoder.*cannot save"):
            pillow_lic.encode(array, model=name, effort=effort)
    data = pillow_lic.encode(array, model="toy")
    header = dataclasses.replace(container.read(data).header, model=0)
    assert pillow_lic.decode(container.write(header, list(container.read(data).tiles))).shape == array.shape


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


@pytest.mark.parametrize(
    ("key", "values"),
    {
        "halo": [65],
        "encoder_halo": [-1, 65, "8"],
        "lambda": [[0.1], [0.2, 0.1], [0, 1], [0.1, True], "0.1"],
        "quality": [[1, 100], [300, 200], [100.0, 200], 5000],
        "format": [2],
        "name": ["A"],
        "latent": [None],
        "encoder": ["0" * 63, 5, "A" * 64],
        "network": [None, [], {"family": "other"}, *({"family": "photo", "body": b} for b in ("wide", 4097, -1, 2.0))],
    }.items(),
)
def test_manifest_out_of_range(key, values, tmp_path):
    for value in values:
        with pytest.raises(errors.LicModelMissing, match=key):
            pillow_lic.register_model(copied(tmp_path, **{key: value}))


@pytest.mark.parametrize("text", ["", "{", "[" * 200_000, '{"format": 3, "name": ' + "[" * 200_000, "[]", "3", "\xff"])
def test_manifest_that_is_none(text, tmp_path):
    copied(tmp_path)
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(errors.LicModelMissing, match="no manifest of ours"):
        pillow_lic.register_model(tmp_path)


@pytest.mark.parametrize("identity", [None, "0" * 63, "G" * 64, 7, "0" * 64])
def test_identity_is_checked(identity, tmp_path):
    """It is stated, and that of the tensors."""
    copied(tmp_path)
    stated = json.loads((tmp_path / "manifest.json").read_text()) | {"identity": identity}
    (tmp_path / "manifest.json").write_text(json.dumps(stated))
    with pytest.raises(errors.LicModelMissing, match=r"identity must be|SHA-256 differs"):
        pillow_lic.register_model(tmp_path)


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


# ---- The identity -------------------------------------------------------------------------------------------------


def test_what_the_identity_is_of():
    """All tensors but units, and the integers; neither their order in the file nor the encoder (FORMAT 9.1)."""
    model = registry.by_name("toy")
    tensors, integers = dict(model.tensors), list(model.manifest.integers.values())
    assert weights.identity(tensors, integers) == model.hash
    assert weights.identity(dict(reversed(tensors.items())), integers) == model.hash
    others = {name: one for name, one in tensors.items() if not name.startswith("unit.")}
    assert weights.identity(others, integers) == model.hash
    for place in range(len(integers)):
        changed = [value + (place == k) for k, value in enumerate(integers)]
        assert weights.identity(tensors, changed) != model.hash
    array = np.array(model.arrays["synthesis.out.bias"])
    for other in (array + 1, array.reshape(-1, 1), array.view(np.uint8).reshape(-1)):
        assert weights.identity(tensors | {"synthesis.out.bias": tensor(other)}, integers) != model.hash
    renamed = {name.replace("tanh", "tahn"): one for name, one in tensors.items()}
    assert weights.identity(renamed, integers) != model.hash


def test_the_shipped_models_are_what_their_manifests_name():
    for _, name in registry.SHIPPED.values():
        registry.by_name(name).check_files()


def test_encoder_halo_is_not_part_of_the_hash(tmp_path):
    entry = read_model(0, copied(tmp_path, encoder_halo=30))
    assert entry.hash == registry.by_name("toy").hash
    assert entry.manifest.encoder_halo == 30
    del (stated := json.loads((entry.path / "manifest.json").read_text()))["encoder_halo"]
    (entry.path / "manifest.json").write_text(json.dumps(stated))
    assert read_model(0, entry.path).manifest.encoder_halo == 8


# ---- Files of tensors ---------------------------------------------------------------------------------------------


def file_of(described: object, body: bytes = b"", length: int | None = None) -> bytes:
    header = described if isinstance(described, bytes) else json.dumps(described).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + body


def entry(begin: int, end: int, shape: object = None, dtype: object = "U8") -> dict[str, object]:
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "less than 8 bytes"),
        (b"PK\x03\x04", "less than 8 bytes"),
        (b"PK\x03\x04" * 100, "description would be"),
        (file_of({}, length=3), "description would be"),
        (file_of({}, b" " * (1 << 20), length=(1 << 20) + 1), "description would be 1048577 bytes"),
        (file_of({}, length=2**64 - 1), "description would be"),
        (file_of(b"nothing of ours"), "description is no JSON"),
        (file_of(b"[" * 900_000), "description is no JSON"),
        (file_of(b'{"a":' * 150_000), "description is no JSON"),
        (file_of(b"\xff\xfe"), "description is no JSON"),
        (file_of([1]), "description is no object"),
        (file_of({"a": 1}), "a is not described"),
        (file_of({"a": {}}), "type None"),
        (file_of({"a": entry(0, 1, dtype="BF16")}, b"1"), "type 'BF16'"),
        (file_of({"a": entry(0, 1, dtype=["U8"])}, b"1"), "type"),
        (file_of({"a": entry(0, 1, [])}, b"1"), "shape"),
        (file_of({"a": entry(0, 1, [1] * 5)}, b"1"), "shape"),
        (file_of({"a": entry(0, 0, [0])}), "shape"),
        (file_of({"a": entry(0, 1, [True])}, b"1"), "shape"),
        (file_of({"a": entry(0, 1, [1.0])}, b"1"), "shape"),
        (file_of({"a": entry(0, 1, [-1])}, b"1"), "shape"),
        (file_of({"a": entry(0, 1, [2**40, 2**40])}, b"1"), "larger than the file"),
        (file_of({"a": entry(0, 3, [1], "I16")}, b"123"), "does not fit"),
        (file_of({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0]}}, b"1"), "does not fit"),
        (file_of({"a": {"dtype": "U8", "shape": [1], "data_offsets": "01"}}, b"1"), "does not fit"),
        (file_of({"a": entry(0, 2)}, b"1"), "larger than the file"),
        (file_of({"a": entry(1, 3)}, b"12"), "ends beyond the file"),
        (file_of({"a": entry(-1, 0)}, b"1"), "ends beyond the file"),
        (file_of({"a": entry(0, 2), "b": entry(1, 3)}, b"123"), "b begins at byte 1, want 2"),
        (file_of({"a": entry(0, 2), "b": entry(0, 2)}, b"12"), "begins at byte 0, want 2"),
        (file_of({"a": entry(0, 1), "b": entry(2, 3)}, b"123"), "b begins at byte 2, want 1"),
        (file_of({"a": entry(0, 1)}, b"12"), "1 bytes belong to no tensor"),
        (file_of({"\ud800": entry(0, 1)}, b"1"), "no text"),
    ],
)
def test_files_that_hold_no_tensors(data, problem, make_picture, tmp_path):
    with pytest.raises(errors.LicModelMissing, match=f"x is not intact: .*{problem}.*reinstall pillow_lic"):
        weights.read(data, "x")
    for part in ({"tensors": data}, {"encoder_tensors": data}):
        with pytest.raises(errors.LicModelMissing, match="is not intact"):
            pillow_lic.register_model(copied(tmp_path, **part))


def test_every_cut_of_a_file_is_refused():
    """Never another error, and never a tensor that is not there."""
    whole = weights.write({"a": tensor(np.arange(9, dtype=np.int32)), "b": tensor(np.ones((2, 2), np.uint8))})
    assert set(weights.read(whole, "x")) == {"a", "b"}
    for length in range(len(whole)):
        with pytest.raises(errors.LicModelMissing, match="not intact"):
            weights.read(whole[:length], "x")


def test_damaged_descriptions_raise_nothing_else():
    """Damage is refused by that one name or lies in the data: what is read is never more than the file."""
    whole = weights.write({"a": tensor(np.arange(9, dtype=np.int32)), "b": tensor(np.ones((2, 2), np.uint8))})
    rng = np.random.default_rng(1)
    refused, taken = 0, 0
    for _ in range(3000):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), rng.integers(1, 4)):
            damaged[place] = rng.integers(0, 256)
        try:
            found = weights.read(bytes(damaged), "x")
        except errors.LicModelMissing:
            refused += 1
            continue
        taken += 1
        assert sum(one.view.nbytes for one in found.values()) <= len(whole)
    assert refused
    assert taken


def shifted(tensors: weights.Tensors) -> bytes:
    """As weights.write, but every tensor at an odd byte, behind a description of an odd length."""
    names = sorted(tensors, key=lambda name: tensors[name].view.nbytes)
    described, body = {"padding": entry(0, 1)}, b"\0"
    for name in names:
        kind, view = tensors[name]
        described[name] = entry(len(body), len(body) + view.nbytes, list(view.shape), kind)
        body += view.tobytes()
    header = json.dumps(described).encode()
    return file_of(header + b" " * (len(header) % 2), body)


def test_tensors_need_not_be_aligned(make_picture, tmp_path, engine):
    """Nothing in FORMAT 9.2 says so."""
    toy, array = registry.by_name("toy"), make_picture(70, 50)
    changed = {"tensors": shifted(toy.tensors), "encoder_tensors": shifted(toy.encoder_tensors)}
    padded = {**toy.tensors, "padding": tensor(np.zeros(1, np.uint8))}
    identity = weights.identity(padded, toy.manifest.integers.values()).hex()
    name = pillow_lic.register_model(copied(tmp_path, **changed, identity=identity))
    data, wanted = (pillow_lic.encode(array, model=model) for model in (name, "toy"))
    assert container.read(data).tiles == container.read(wanted).tiles
    assert np.array_equal(pillow_lic.decode(data), pillow_lic.decode(wanted))


# ---- Networks that are not what the manifest says -----------------------------------------------------------------


def of_copy(array: np.ndarray) -> bytes:
    """A file of the toy, as if the registered copy had made it."""
    chunks = container.read(pillow_lic.encode(array, model="toy"))
    digest = registry.by_name("copy").hash[: constants.HASH_BYTES]
    return container.write(dataclasses.replace(chunks.header, model=0, model_hash=digest), list(chunks.tiles))


def network_of(name: str) -> dict[str, np.ndarray]:
    """The decoder's layers without tables."""
    return {key: array for key, array in registry.by_name(name).arrays.items() if "." in key}


WRONG = {
    "missing": lambda t: {"prior.up.weight": None},
    "narrow": lambda t: {"prior.up.weight": t["prior.up.weight"][:, :-1]},
    "no matrix": lambda t: {"prior.up.weight": t["prior.up.weight"].ravel()},
    "other type": lambda t: {"prior.up.scale": t["prior.up.scale"].astype(np.float32)[:, :5]},
    "short table": lambda t: {"synthesis.enter.scale": t["synthesis.enter.scale"][:-1]},
    "no gain": lambda t: {"prior.gain": None},
    "of another model": lambda t: {**dict.fromkeys(network_of("toy")), **network_of("photo")},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_decoder(make_picture, wrong, tmp_path, engine):
    changes = WRONG[wrong](registry.by_name("toy").arrays)
    pillow_lic.register_model(copied(tmp_path, tensors=changes))
    data = of_copy(make_picture(40, 40))
    with pytest.raises(
        errors.LicModelMissing, match=r"(not intact|does not do what its manifest says).*export it again"
    ):
        pillow_lic.decode(data)


@pytest.mark.parametrize("wrong", ["missing", "narrow", "of another model", "no gain"])
def test_wrong_encoder(make_picture, wrong, tmp_path, engine):
    own, other = (registry.by_name(name).encoder_arrays for name in ("toy", "photo"))
    changes = {
        "missing": {"analysis.patch.weight": None},
        "narrow": {"hyper.enter.weight": own["hyper.enter.weight"][:, :-1]},
        "no gain": {"hyper.gain": None},
        "of another model": {**dict.fromkeys(own), **other},
    }[wrong]
    name = pillow_lic.register_model(copied(tmp_path, encoder_tensors=changes))
    with pytest.raises(
        errors.LicModelMissing, match=r"(not intact|does not do what its manifest says).*export it again"
    ):
        pillow_lic.encode(make_picture(40, 40), model=name, effort=0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"body": 24},
        {"latent": 16},
        {"hyper": 4},
        {"detail_blocks": 2},
        {"body_blocks": 0},
        {"encoder": 8},
        {"points": 3},
        {"breadth": 3},
    ],
    ids=str,
)
def test_wrong_widths(make_picture, wrong, tmp_path, monkeypatch):
    """The native engine takes widths from the tensors; PyTorch's, which builds networks first, refuses others."""
    network = registry.by_name("toy").manifest.stated["network"]
    name = pillow_lic.register_model(copied(tmp_path, network=network | wrong))
    array = make_picture(40, 40)
    data = pillow_lic.encode(array, model=name)
    assert np.array_equal(pillow_lic.decode(data), pillow_lic.decode(pillow_lic.encode(array, model="toy")))
    monkeypatch.setenv(engines.ENGINE_VARIABLE, "torch")
    with pytest.raises(errors.LicModelMissing, match=r"does not do what its manifest says: .*export it again"):
        pillow_lic.decode(pillow_lic.encode(array, model=name))


def test_without_units_there_are_no_floats(make_picture, tmp_path, monkeypatch):
    """They decide nothing, so the hash and the native engine do without."""
    toy, array = registry.by_name("toy"), make_picture(40, 40)
    parts = [
        {name: None for name in tensors if name.startswith("unit.")} for tensors in (toy.tensors, toy.encoder_tensors)
    ]
    name = pillow_lic.register_model(copied(tmp_path, tensors=parts[0], encoder_tensors=parts[1]))
    assert registry.by_name(name).hash == toy.hash
    data = pillow_lic.encode(array, model=name)
    assert pillow_lic.decode(data).shape == array.shape
    monkeypatch.setenv(engines.ENGINE_VARIABLE, "torch")
    with pytest.raises(errors.LicModelMissing, match="does not do what its manifest says"):
        pillow_lic.decode(data)


TABLES = {
    "missing": {"freq": None},
    "other type": {"count": np.zeros(192, np.int64)},
    "short": {"first": np.zeros(5, np.int16)},
    "no step": {"z_step": np.zeros((4, 8), np.uint8)},
}


@pytest.mark.parametrize("wrong", TABLES)
def test_wrong_tables(make_picture, wrong, tmp_path, engine):
    name = pillow_lic.register_model(copied(tmp_path, tensors=TABLES[wrong]))
    with pytest.raises(errors.LicModelMissing, match=r"tables are not intact"):
        pillow_lic.encode(make_picture(8, 8), model=name)
    with pytest.raises(errors.LicModelMissing, match=r"tables are not intact"):
        pillow_lic.decode(of_copy(make_picture(8, 8)))


# ---- The encoder's halo, in PyTorch --------------------------------------------------------------------------------


class WideAnalysis(nn.Module):
    """An analysis that looks 12 latent positions far."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        y = F.avg_pool2d(F.avg_pool2d(x, 16), 25, 1, 12)  # (N, 3, h, w)
        return torch.cat([y, y, y], 1)[:, :8] * 400.0


def test_encoder_halo_is_the_manifests(make_picture, monkeypatch, tmp_path):
    """Pieces with the margin that the manifest states give the integers of the whole; 8, as without it, is too little
    here.
    """
    monkeypatch.setenv(engines.ENGINE_VARIABLE, "torch")
    monkeypatch.setenv("PILLOW_LIC_PRECISION", "float32")
    stages = networks.stages

    def wide(model, file):
        made = stages(model, file)
        if file == ENCODER:
            made.analysis = WideAnalysis()
        return made

    monkeypatch.setattr(networks, "stages", wide)
    differing = {}
    for name, encoder_halo in (("stated", 12), ("unstated", None)):
        pillow_lic.register_model(copied(tmp_path / name, name, encoder_halo=encoder_halo))
        found = []
        for side in (96, 4):
            monkeypatch.setattr(pieces, "PIECE", side)
            data = pillow_lic.encode(make_picture(400, 560), model=name, effort=0)
            found.append(decode_symbols(container.read(data))[1])
        differing[name] = (found[0] != found[1]).mean()
    assert differing["stated"] < 1e-3 < 1e-2 < differing["unstated"]


# ---- Floats and integers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["toy", "photo", "photo-low", "photo-ms-ssim"])
def test_floats_and_integers_are_one_network(name):
    """Integers to floats and back within 1 % of each layer's largest value, in both directions."""
    model = registry.by_name(name)
    units = exchange.units_of(model.arrays | model.encoder_arrays)
    shapes = {
        file: {key: tuple(value.shape) for key, value in networks.stages(model, file).state_dict().items()}
        for file in FILES
    }
    widths = model.manifest.widths
    floats = exchange.float_decoder(model.arrays, units, shapes[DECODER])
    again = exchange.integer_decoder(floats, units, widths["body_blocks"], widths["detail_blocks"])
    compare_layers(again, model.arrays)
    compare_layers(exchange.float_decoder(again, units, shapes[DECODER]), floats)
    floats = exchange.float_encoder(model.encoder_arrays, units, shapes[ENCODER])
    assert set(floats) == set(shapes[ENCODER])
    again = exchange.integer_encoder(floats, units, widths["encoder_blocks"], widths["encoder_low_blocks"])
    compare_layers(again, model.encoder_arrays)
    compare_layers(exchange.float_encoder(again, units, shapes[ENCODER]), floats)
