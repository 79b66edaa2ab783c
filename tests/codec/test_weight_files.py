"""Weights as files hold them: planes of bytes beside plain files and the slow reader (FORMAT 9.2), encoders made
coarser, and files that lie in the package beside ours.
"""

from __future__ import annotations

import json
import re
import struct
import sys
import tomllib
import zlib
from pathlib import Path

import numpy as np
import pytest
import slow_model
from model_copies import tensor
from packages import left_out

from pillow_lic import _core, errors
from pillow_lic.constants import LIC_WEIGHT_SUM_MAX
from pillow_lic.models import choice, registry, store, weights
from pillow_lic.models.manifest import DECODER, ENCODER
from pillow_lic.models.store import read_model
from train import pack

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parents[2]


def file_of(described: object, body: bytes) -> bytes:
    header = json.dumps(described).encode()
    return struct.pack("<Q", len(header)) + header + body


def entry(begin: int, end: int) -> dict[str, object]:
    return {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}


# ---- Planes -------------------------------------------------------------------------------------------------------


def every_type(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """An array of each type that a file may hold, of odd sizes, with the ends of the type in it."""
    found = {}
    for number, kind in enumerate(weights.FORMATS):
        dtype = np.dtype({"I": "i", "U": "u", "F": "f"}[kind[0]] + str(weights.SIZES[kind]))
        data = rng.integers(0, 256, (7 + number) * 3 * dtype.itemsize, np.uint8)
        data[: 2 * dtype.itemsize] = np.repeat([0, 255], dtype.itemsize)
        data[3 * dtype.itemsize - 1] = 128
        found[f"of {kind}"] = data.view(dtype).reshape(7 + number, 3)
    return found


def test_planes_hold_what_a_plain_file_holds():
    """Of every type, beside the slow reader; and no byte of the description differs but the layout's."""
    arrays = every_type(np.random.default_rng(0))
    whole = weights.write({name: tensor(array) for name, array in arrays.items()})
    assert b"planes" in whole
    found, slow = weights.read(whole, "x"), slow_model.read_tensors(whole)
    assert set(found) == set(slow) == set(arrays)
    for name, array in arrays.items():
        assert f"of {found[name].kind}" == f"of {slow[name][0]}" == name
        assert bytes(found[name].view) == slow[name][1].tobytes() == array.tobytes()
        assert found[name].view.shape == array.shape
        assert found[name].view.readonly


def test_planes_are_smaller_where_numbers_are():
    """Packed as a wheel is, the toy's weights of layers take a twentieth less than in a plain file at least."""
    toy = {name: one for name, one in registry.by_name("toy").encoder_tensors.items() if name.endswith(".weight")}
    plain = b"".join(one.view.tobytes() for one in toy.values())
    assert len(zlib.compress(weights.write(toy))) < 0.95 * len(zlib.compress(plain))


def test_planes_of_no_element_and_unknown_layouts_are_refused():
    for layout in ("plane", "", 1, None, []):
        described = {"__metadata__": {"layout": layout}, "a": entry(0, 1)}
        if layout is None:
            assert set(weights.read(file_of(described, b"1"), "x")) == {"a"}
            continue
        with pytest.raises(errors.LicModelMissing, match=r"its layout is .*want 'planes'"):
            weights.read(file_of(described, b"1"), "x")
    for metadata in (None, [], "planes", {}):
        assert set(weights.read(file_of({"__metadata__": metadata, "a": entry(0, 1)}, b"1"), "x")) == {"a"}


@pytest.mark.parametrize(
    ("runs", "data", "out"),
    [
        ([(2, True, 2)], 3, 3),  # more than there is
        ([(2, True, 1)], 3, 3),  # less
        ([(3, True, 1)], 3, 3),  # no such width
        ([(0, False, 3)], 3, 3),
        ([(1, False, -3)], 3, 3),
        ([(8, True, 2**61 + 1), (1, False, 3)], 11, 11),  # 2^64 bytes and more
        ([(1, False, 3)], 3, 4),
    ],
)
def test_planes_keep_within_their_buffers(runs, data, out):
    for turn in (_core.join_planes, _core.split_planes):
        with pytest.raises(ValueError, match="argument"):
            turn(runs, bytes(data), bytearray(out))


# ---- An encoder's weights -----------------------------------------------------------------------------------------


def folder_of(name: str, path: Path) -> Path:
    """A copy of a shipped model's directory, its files as they lie there."""
    path.mkdir()
    for file in ("manifest.json", DECODER, ENCODER):
        (path / file).write_bytes((store.SHIPPED / name / file).read_bytes())
    return path


def test_packing_leaves_decoders_and_repeats_itself(tmp_path):
    """Whatever stood there, planes or not: the identity is the same, and a second time changes nothing."""
    path = folder_of("toy", tmp_path / "toy")
    before = read_model(0, path)
    decoder, encoder = before.arrays, before.encoder_arrays
    pack.pack(path)
    once, after = [(path / file).read_bytes() for file in (DECODER, ENCODER)], read_model(0, path)
    assert after.hash == before.hash
    for name, array in decoder.items():
        assert np.array_equal(after.arrays[name], array)
    coarser = [name for name, array in after.encoder_arrays.items() if not np.array_equal(array, encoder[name])]
    assert not any(name.startswith(("analysis.direct", "unit", "hyper.gain")) for name in coarser)
    pack.pack(path)
    assert [(path / file).read_bytes() for file in (DECODER, ENCODER)] == once


def test_coarse_weights_are_the_same_layer():
    """Weight times multiplier stays within half a step of the coarse weights, which are within the bound on sums."""
    rng = np.random.default_rng(3)
    for times in (2, 8, 32):
        fine = rng.laplace(0, 200, (40, 200))
        fine = (fine * (LIC_WEIGHT_SUM_MAX - 200) / np.abs(fine).sum(1, keepdims=True)).astype(np.int16)
        scale = rng.integers(-(2**20), 2**20, (5, 40)).astype(np.int32)
        scale[:, 0] = 2**30  # which leaves no room but for twice
        whole, multiplier = pack.coarse_layer(fine, scale, times)
        by = np.abs(multiplier.astype(float)).max(0) / np.abs(scale.astype(float)).max(0)
        assert np.allclose(by[1:], np.abs(fine.astype(int)).sum(1)[1:] * times / LIC_WEIGHT_SUM_MAX, rtol=1e-3)
        assert by[0] <= 2
        assert np.abs(whole * by[:, None] - fine).max() <= 0.51 * by.max()
        again = pack.coarse_layer(whole, multiplier, times)
        assert np.array_equal(again[0], whole)
        assert np.array_equal(again[1], multiplier)


def test_every_layer_of_an_encoder_but_the_linear_path_is_coarse():
    layers = [name.removesuffix(".weight") for name in registry.by_name("photo").encoder_arrays if ".weight" in name]
    assert [layer for layer in layers if pack.coarseness(layer) == 1] == ["analysis.direct"]


# ---- The package beside ours --------------------------------------------------------------------------------------


def test_the_two_packages_hold_each_file_once():
    text = (ROOT / "pillow_lic_models" / "CMakeLists.txt").read_text()
    brought = set(re.findall(r"^  (\S+\.safetensors)$", text, re.MULTILINE))
    assert {f"pillow_lic/models/{file}" for file in brought} == left_out()
    versions = [
        tomllib.loads((ROOT / part / "pyproject.toml").read_text())["project"] for part in (".", "pillow_lic_models")
    ]
    assert versions[0]["version"] == versions[1]["version"]
    assert versions[0]["optional-dependencies"]["models"] == [f"pillow-lic-models=={versions[1]['version']}"]


def test_every_decoder_of_our_own_engine_is_in_the_wheel():
    """Files open without the package beside it, but for those of models that nobody writes without it."""
    left = {file.split("/")[2] for file in left_out()}
    assert left == {"photo-ms-ssim", "gdn-mixture"}
    wheel = {name for models in choice.TUNES.values() for _, name in models} | {choice.TINY}
    assert wheel - left == {"photo-visual", "photo-low", "photo", "photo-tiny"}


def test_what_lies_in_the_package_beside_ours_is_found(tmp_path, monkeypatch):
    path = folder_of("toy", tmp_path / "toy")
    (path / ENCODER).unlink()
    model = store.Model(1, path, read_model(0, path).manifest)
    monkeypatch.setattr(store, "BESIDE", "beside_for_tests")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(
        errors.LicModelMissing, match=r"'toy' what saves with it is not installed.*pillow-lic\[models\]"
    ):
        _ = model.encoder_tensors
    beside = tmp_path / "beside_for_tests" / "toy"
    beside.mkdir(parents=True)
    (beside.parent / "__init__.py").write_text("")
    with pytest.raises(errors.LicModelMissing, match="is not installed"):
        _ = model.encoder_tensors
    (beside / ENCODER).write_bytes((store.SHIPPED / "toy" / ENCODER).read_bytes())
    assert set(model.encoder_tensors) == set(registry.by_name("toy").encoder_tensors)
    (path / DECODER).unlink()
    with pytest.raises(errors.LicModelMissing, match="what opens its files is not installed"):
        _ = model.tensors
