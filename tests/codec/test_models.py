"""The registry and the loader: what is refused, and by which name, of a model directory that is not as its manifest
says.
"""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
from model_copies import copied, tensor
from PIL import Image
from shortcuts import written

import pillow_lic
from pillow_lic import constants, container, errors
from pillow_lic.models import choice, registry, weights
from pillow_lic.models.manifest import DECODER, ENCODER
from pillow_lic.models.store import read_model

pytestmark = [pytest.mark.network, pytest.mark.usefixtures("forget")]
FILES = (DECODER, ENCODER)


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
    assert pillow_lic.decode(written(container.read(data), model=0)).shape == array.shape


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
    for quality in (57.57, 57.574):  # what rounds to its highest Q is its own
        assert pillow_lic.decode(pillow_lic.encode(array, model="photo-low", quality=quality)).shape == array.shape


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
        "thumbnail": ["0" * 63, 5, "A" * 64],
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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("file", ["manifest.json", "model.safetensors", "encoder.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_file_that_is_none_is_refused_at_once(file, kind, tmp_path):
    """A named pipe would be waited for, a device never ends."""
    folder = tmp_path / "model"
    shutil.copytree(registry.by_name("toy").path, folder)
    (folder / file).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(folder / file)
    elif kind == "device":
        (folder / file).symlink_to("/dev/zero")
    else:
        (folder / file).mkdir()
    with pytest.raises(errors.LicModelMissing):
        registry.register(folder)


@pytest.mark.parametrize("name", ["junk", "synthesis.junk", "prior.block.mix.weights", "tanh.weight", "unit", "x.bias"])
def test_what_is_none_of_a_model_is_refused(name, tmp_path):
    """Before an identity is computed over it, and before it is kept."""
    for which in ("tensors", "encoder_tensors"):
        folder = copied(tmp_path / which, **{which: {name: np.zeros(1000, np.int16)}})
        with pytest.raises(errors.LicModelMissing, match=f"called '{name}'"):
            registry.register(folder)


def test_a_file_of_half_a_gigabyte_is_refused_unread(tmp_path, monkeypatch):
    folder = copied(tmp_path)
    os.truncate(folder / "model.safetensors", 400 << 20)
    monkeypatch.setattr(weights, "read", None)
    with pytest.raises(errors.LicModelMissing, match="419430400 bytes"):
        registry.register(folder)


def test_registering_in_a_loop_does_not_grow_without_end(tmp_path, forget, monkeypatch, make_picture):
    """The same name again and again: what was replaced goes, with its networks. Others: no more than there may be."""
    monkeypatch.setattr(registry, "REGISTERED_MAX", 3)
    folder, gone = copied(tmp_path / "0", name="again"), []
    for number in range(3):
        moved = tmp_path / f"moved{number}"
        shutil.copytree(folder, moved)
        pillow_lic.encode(make_picture(20, 20), model=registry.register(moved), effort=0)
        gone.append(weakref.ref(registry.by_name("again")))
    gc.collect()
    assert [one() is None for one in gone] == [True, True, False]
    for name in ("b", "c"):
        registry.register(copied(tmp_path / name, name=name))
    with pytest.raises(errors.LicBadOption, match="3 models are registered already, 'd'"):
        registry.register(copied(tmp_path / "d", name="d"))
    registry.register(copied(tmp_path / "e", name="c"))
