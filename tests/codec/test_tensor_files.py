"""Files of tensors: what is none is refused by name, whatever its bytes are."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from model_copies import copied, tensor

import pillow_lic
from pillow_lic import container, errors
from pillow_lic.models import registry, weights
from pillow_lic.models.manifest import DECODER, ENCODER

pytestmark = [pytest.mark.network, pytest.mark.usefixtures("forget")]
FILES = (DECODER, ENCODER)


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
    described, body = {"unit.padding": entry(0, 1)}, b"\0"
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
    padded = {**toy.tensors, "unit.padding": tensor(np.zeros(1, np.uint8))}
    identity = weights.identity(padded, toy.manifest.integers.values()).hex()
    name = pillow_lic.register_model(copied(tmp_path, **changed, identity=identity))
    data, wanted = (pillow_lic.encode(array, model=model) for model in (name, "toy"))
    assert container.read(data).tiles == container.read(wanted).tiles
    assert np.array_equal(pillow_lic.decode(data), pillow_lic.decode(wanted))
