"""A model's tables: what is refused, rows of z, what quality makes of them, the constants (FORMAT 7.1, 7.4, 9.2, 10).

Imports no torch: part of `make quick`.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_tables import Case, cases, random_arrays

from pillow_lic import _core, _core_test, constants
from pillow_lic.entropy import Tables, rate_point
from pillow_lic.errors import LicModelMissing

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parents[2]


# ---- tables ----------------------------------------------------------------------------------------------------------


def spoil(name: str, at, value):
    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays[name][at] = value

    return change


def replace(name: str, function):
    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays[name] = function(arrays[name])

    return change


WRONG_TABLES = {
    "no freq": lambda arrays: arrays.pop("freq"),
    "zero frequency": spoil("freq", 0, 0),
    "wrong sum": lambda arrays: arrays["freq"].__setitem__(0, arrays["freq"][0] ^ 1),
    "count below 2": spoil("count", 3, 1),
    "negative count": spoil("count", 3, -1),
    "count above 4096": spoil("count", 3, 4097),
    "count beyond the frequencies": spoil("count", -1, 4096),
    "frequencies left over": replace("freq", lambda x: np.append(x, x[:1])),
    "weight": spoil("weight", (3, 2), 1024),
    "negative weight": spoil("weight", (3, 2), -1024),
    "offset": spoil("offset", 5, 1 << 22),
    "bias": spoil("bias", (1, 0), -(1 << 22)),
    "z_step 0": spoil("z_step", (0, 0), 0),
    "dtype": replace("weight", lambda x: x.astype(np.int32)),
    "shape": replace("bias", lambda x: x[:, :-1]),
    "dimensions": replace("z_step", lambda x: x[0]),
    "no levels": lambda arrays: arrays.__setitem__("z_level", np.empty((2, 3, 0), np.uint16)),
    "too many levels": lambda arrays: arrays.__setitem__("z_level", np.zeros((2, 3, 16), np.uint16)),
    "levels of other channels": lambda arrays: arrays.__setitem__("z_level", np.zeros((2, 4, 1), np.uint16)),
    "levels without rows": lambda arrays: arrays.__setitem__("z_level", np.zeros((2, 3, 15), np.uint16)),
    "a row too few": replace("count", lambda x: x[:-1]),
    "classes without rows": lambda arrays: arrays.__setitem__("z_near", np.array([10], np.int32)),
    **{
        f"z_near {value!r}": lambda arrays, value=value: arrays.__setitem__("z_near", value)
        for value in (np.array([9], np.int32), np.array([10], np.int64), np.array([10, 10], np.int32))
    },
}


@pytest.mark.parametrize("what", WRONG_TABLES)
def test_wrong_tables(what: str):
    arrays = random_arrays(np.random.default_rng(5), 2, 3, 2, 4)
    Tables(arrays, 2, 3, 2, 4, 1)
    WRONG_TABLES[what](arrays)
    with pytest.raises(LicModelMissing, match=r"tables are not intact: .*; reinstall"):
        Tables(arrays, 2, 3, 2, 4, 1)


def test_too_many_rows():
    arrays = random_arrays(np.random.default_rng(1), 1, 256, 64, 1, most=3)
    arrays["z_level"] = np.zeros((64, 256, 4), np.uint16)
    with pytest.raises(LicModelMissing, match="the bank has 81921 rows, want at most 65536"):
        Tables(arrays, 1, 256, 64, 1, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"latent": 0},
        {"hyper": 257},
        {"points": 1},
        {"rows": 0},
        {"skip": 5},
        {"skip": -1},
        {"rows": 4.0},
        {"rows": True},
    ],
)
def test_wrong_manifest(change: dict):
    arrays = random_arrays(np.random.default_rng(5), 2, 3, 2, 4)
    good = {"latent": 2, "hyper": 3, "points": 2, "rows": 4, "skip": 1}
    Tables.from_model({**good, "name": "other keys do not matter"}, arrays)
    with pytest.raises(LicModelMissing):
        Tables.from_model({**good, **change}, arrays)
    with pytest.raises(LicModelMissing, match="lacks skip"):
        Tables.from_model({key: good[key] for key in good if key != "skip"}, arrays)


def mangled(rng: np.random.Generator, array: np.ndarray) -> object:
    """An array of another type, shape, layout or value, or no array at all; sometimes one that is as good as before."""
    kind = rng.integers(0, 9)
    if kind == 0:
        dtypes = (
            np.int8,
            np.uint8,
            np.int16,
            np.uint16,
            ">i2",
            np.int32,
            np.uint32,
            np.int64,
            np.float32,
            bool,
            "S3",
            "M8[s]",
            "V0",
            object,
        )
        return array.astype(np.dtype(dtypes[rng.integers(len(dtypes))])) if array.dtype.kind in "iu" else array
    if kind == 1:
        return array[tuple(slice(int(rng.integers(0, 2)), n - int(rng.integers(0, 2))) for n in array.shape)]
    if kind == 2:
        return array.reshape(rng.permutation(array.shape)) if rng.random() < 0.5 else array[None]
    if kind == 3:
        return np.asfortranarray(array)  # as good
    if kind == 4:
        return np.repeat(array, 2, -1)[..., ::2]  # as good
    if kind == 5:
        return (None, 3, 3.5, "text", b"bytes", [1, 2], {}, np.int32(3))[rng.integers(8)]
    if array.dtype.kind not in "iu":
        return array
    copy, info = array.copy(), np.iinfo(array.dtype)
    for _ in range(int(rng.integers(1, 4)) if copy.size else 0):
        at = tuple(int(rng.integers(n)) for n in copy.shape)
        near = int(copy[at]) + int(rng.integers(-2, 3))
        copy[at] = np.clip(
            (near, info.min, info.max, int(rng.integers(info.min, info.max)))[rng.integers(4)], info.min, info.max
        )
    return copy


@given(st.integers(0, 1 << 30))
@settings(max_examples=300, deadline=None)
def test_mangled_tables(seed: int):
    """Whatever arrays and integers are, a model is refused by its name, or codes: nothing else is raised, no crash."""
    rng = np.random.default_rng(seed)
    trellis = 3 if rng.random() < 0.3 else None
    levels, near = int(rng.integers(1, 4)), bool(rng.random() < 0.3)
    arrays: dict[str, object] = dict(random_arrays(rng, 2, 3, 2, 4, levels=levels, trellis=trellis, near=near))
    numbers: dict[str, object] = {"latent": 2, "hyper": 3, "points": 2, "rows": 4, "skip": 1}
    if rng.random() < 0.2:
        arrays["hidden1_weight"], arrays["hidden1_offset"] = np.ones((3, 3), np.int16), np.ones(3, np.int32)
    for _ in range(int(rng.integers(1, 3))):
        name = str(rng.choice(list(arrays)))
        if rng.random() < 0.1:
            del arrays[name]
        elif rng.random() < 0.1:
            arrays[
                str(rng.choice(["normal", "inverse", "trellis", "z_level", "z_near", "hidden1_weight", "other"]))
            ] = arrays[name]
        elif isinstance(arrays[name], np.ndarray):
            arrays[name] = mangled(rng, arrays[name])
    if rng.random() < 0.2:
        wrong = (0, -1, 1 << 70, -(1 << 70), 5, 257, True, 2.0, "4", None, np.int64(2))
        numbers[str(rng.choice(list(numbers)))] = wrong[rng.integers(len(wrong))]
    refused = None
    try:
        tables = Tables(arrays, **numbers)
    except LicModelMissing as error:
        refused = str(error)
    if refused is not None:
        assert re.match("the model's tables are not intact: .+; reinstall the model, or export it again$", refused)
        return
    z = rng.integers(-40, 41, (tables.hyper, 2, 2)).astype(np.int16)
    r = np.zeros((tables.latent, 7, 6), np.int16)
    back = _core_test.decode(tables.model, 5000, _core_test.encode(tables.model, 5000, z, r), (7, 6))
    assert np.array_equal(back[0], z)
    assert np.array_equal(back[1], r)


def test_tables_do_not_share_memory():
    """Writing to the arrays afterwards changes nothing."""
    case = Case(4, 8, 8)
    data = case.encode()
    for array in case.arrays.values():
        array[:] = 0
    assert case.encode() == data


# ---- rows of z (FORMAT 7.4) ------------------------------------------------------------------------------------------


@given(cases)
@settings(max_examples=60, deadline=None)
def test_rows_of_z(case: Case):
    """Those that export counts under, by the words of FORMAT 7.4; test_slow_and_fast's streams hold the core to it."""
    nearest, channels = rate_point(case.q, case.points)[2], np.arange(len(case.z))
    rows = case.tables.z_rows(case.q, case.z)
    counted = np.minimum(np.abs(case.z.astype(int)), 3)
    activity = counted.cumsum(0) - counted  # of the channels before
    plain = np.empty((case.points, len(case.z), 0), int)
    reach = case.arrays.get("z_level", plain)[nearest]  # (C, levels - 1)
    level = (activity[..., None] >= reach[:, None, None]).sum(-1)
    first = (nearest * len(case.z) + channels) * (reach.shape[1] + 1)
    assert np.array_equal(rows // case.tables.classes, first[:, None, None] + level)


@given(cases)
@settings(max_examples=60, deadline=None)
def test_classes_of_z(case: Case):
    """By the words of FORMAT 7.4: of the neighbours, those that are escaped counting as 0."""
    rows = case.tables.z_rows(case.q, case.z)
    classes = case.tables.classes
    assert classes == (10 if "z_near" in case.arrays else 1)
    k = rows.astype(int) + case.tables.scale_rows
    place = case.z.astype(int) - case.arrays["first"][k]
    seen = np.where((place >= 0) & (place < case.arrays["count"][k] - 1), case.z.astype(int), 0)
    above, left = np.zeros_like(seen), np.zeros_like(seen)
    above[:, 1:], left[:, :, 1:] = seen[:, :-1], seen[:, :, :-1]
    left[:, :, 0], above[:, 0] = above[:, :, 0], left[:, 0]  # at an edge the other one stands for both
    size, sign = np.minimum(np.abs(left) + np.abs(above), 3), np.sign(left + above)
    found = np.where(size == 0, 0, 3 * size - 1 + sign)
    found[:, 0, 0] = 0
    assert np.array_equal(rows % classes, found if classes > 1 else np.zeros_like(found))


# ---- quality (FORMAT 7.1) --------------------------------------------------------------------------------------------


def test_rate_point():
    for points in (2, 5, 64):
        assert rate_point(100, points) == (0, 0, 0)
        assert rate_point(10000, points) == (points - 2, 256, points - 1)
    assert rate_point(5050, 3) == (1, 0, 1)
    for q in (99, 10001):
        with pytest.raises(ValueError, match="100 to 10000"):
            rate_point(q, 4)


@pytest.mark.parametrize("q", [100, 3333, 10000])
def test_interpolation(q: int):
    """d, bias and v by the words of FORMAT 7.1 and 7.5, in Python's integers."""
    case = Case(9, 8, 8)
    arrays, tables = case.arrays, case.tables
    position = (q - 100) * (case.points - 1) * 256 // 9900
    p = min(position >> 8, case.points - 2)
    f = position - 256 * p

    def lerp(table: np.ndarray) -> list[int]:
        return [(int(x) * (256 - f) + int(y) * f + 128) >> 8 for x, y in zip(table[p], table[p + 1])]

    d = tables.z_steps(q)
    assert d.tolist() == lerp(arrays["z_step"])
    assert tables.bias(q).tolist() == lerp(arrays["bias"])
    assert rate_point(q, case.points) == (p, f, (position + 128) >> 8)
    v = tables.dequantised(q, case.z)
    assert v.dtype == np.int16
    assert v.shape == case.z.shape
    assert v[2].tolist() == [[min(max(int(x) * int(d[2]), -4096), 4095) for x in row] for row in case.z[2]]


# ---- constants (FORMAT 10) -------------------------------------------------------------------------------------------


def test_constants_agree():
    """The table of FORMAT 10, csrc/lic_constants.h, `_core` and pillow_lic.constants are one."""
    text = (ROOT / "docs" / "FORMAT.md").read_text("utf-8")
    section = text.split("\n## 10. ")[1].split("\n## ")[0]
    document = {name: int(value) for name, value in re.findall(r"^\| (LIC_\w+) \| (-?\d+) \|", section, re.M)}
    header = (ROOT / "csrc" / "lic_constants.h").read_text("utf-8")
    defined = re.findall(r"^ +X\((LIC_\w+), (-?\d+)\)", header, re.M)
    assert len(document) > 20
    assert document == {name: int(value) for name, value in defined} == _core.constants()
    assert document == {name: value for name, value in vars(constants).items() if name.startswith("LIC_")}
    assert "#include" not in header
