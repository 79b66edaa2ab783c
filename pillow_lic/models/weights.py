"""Tensors in a file, and what they are known by: safetensors (FORMAT 9.2), read without NumPy.

A tensor is a memoryview with its type and shape over the file's bytes. Copied is what is not aligned there, and a file
whose bytes stand in planes. Imports the standard library, `_core` and errors.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeGuard

from .. import _core
from ..errors import LicModelMissing

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Mapping, Sequence

HEADER_MAX = 1 << 20  # bytes of the description
RANK_MAX = 4
FORMATS: dict[str, Literal["B", "b", "H", "h", "I", "i", "q", "f"]] = {
    "U8": "B",
    "I8": "b",
    "U16": "H",
    "I16": "h",
    "U32": "I",
    "I32": "i",
    "I64": "q",
    "F32": "f",
    "F16": "H",
}  # of memoryviews; they have none of float16
SIZES = {name: int(name[1:]) // 8 for name in FORMATS}

LAYOUT, PLANES = "layout", "planes"  # what a file's description says where bytes stand in planes
BESIDE = "unit."  # names of what turns integers into floats, and decides nothing


class Tensor(NamedTuple):
    """Its type as the file names it, and its elements with their shape."""

    kind: str
    view: memoryview[Any]  # of int or float


Tensors = dict[str, Tensor]


def read(data: bytes, what: str, names: re.Pattern[str] | None = None) -> Tensors:
    """The tensors of a file. what: its name, for messages; names: those that it may have. Raises LicModelMissing for
    what is no such file.
    """
    if len(data) < 8:
        raise _bad(what, "it has less than 8 bytes")
    (length,) = struct.unpack_from("<Q", data)
    if length > min(HEADER_MAX, len(data) - 8):
        raise _bad(what, f"its description would be {length} bytes long")
    try:
        described = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise _bad(what, f"its description is no JSON ({error})") from error
    if not isinstance(described, dict):
        raise _bad(what, "its description is no object")
    if any("\ud800" <= character <= "\udfff" for name in described for character in name):
        raise _bad(what, "the name of a tensor is no text")
    layout = _layout(what, described.pop("__metadata__", None))
    for name in described:
        if names is not None and not names.fullmatch(name):
            raise _bad(what, f"nothing of a model is called {name[:80]!r}")
    body = memoryview(data)[8 + length :]
    places: list[Place] = []
    end = 0
    for name, entry in sorted(described.items(), key=_begin):
        place = _place(what, name, entry, len(body))
        if place.begin != end:
            raise _bad(what, f"the tensor {name} begins at byte {place.begin}, want {end}")
        places.append(place)
        end = place.end
    if end != len(body):
        raise _bad(what, f"{len(body) - end} bytes belong to no tensor")
    if layout == PLANES:
        joined = bytearray(end)
        _core.join_planes(_runs((place.kind, place.end - place.begin) for place in places), body, joined)
        return {place.name: _tensor(place, memoryview(joined).toreadonly(), 0) for place in places}
    return {place.name: _tensor(place, body, 8 + length) for place in places}


def _layout(what: str, metadata: object) -> object:
    """What a description says of how bytes stand: PLANES or None."""
    layout = metadata.get(LAYOUT) if isinstance(metadata, dict) else None
    if layout not in (None, PLANES):
        raise _bad(what, f"its layout is {layout!r}, want {PLANES!r} or none; a newer pillow_lic may read it")
    return layout


def _runs(sizes: Iterable[tuple[str, int]]) -> Sequence[tuple[int, bool, int]]:
    """Types and bytes of tensors in their order, as `_core.join_planes` takes them."""
    return [(SIZES[kind], kind[0] == "I", size // SIZES[kind]) for kind, size in sizes]


def _begin(item: tuple[str, object]) -> int:
    entry = item[1]
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    return offsets[0] if isinstance(offsets, list) and offsets and type(offsets[0]) is int else -1


class Place(NamedTuple):
    """Where a tensor lies in a file's body."""

    name: str
    kind: str
    shape: list[int]
    begin: int
    end: int


def _place(what: str, name: str, entry: object, size: int) -> Place:
    """Where a tensor lies in a body of `size` bytes."""
    if not isinstance(entry, dict):
        raise _bad(what, f"the tensor {name} is not described")
    kind, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(kind, str) or kind not in FORMATS:
        raise _bad(what, f"the tensor {name} is of type {kind!r}, want one of {', '.join(FORMATS)}")
    if not _are_integers(shape) or not 1 <= len(shape) <= RANK_MAX or min(shape) < 1:
        raise _bad(what, f"the tensor {name} has the shape {shape!r}")
    count = 1
    for side in shape:
        count *= side
        if count > size:
            raise _bad(what, f"the tensor {name} is larger than the file")
    if not _are_integers(offsets) or len(offsets) != 2 or offsets[1] - offsets[0] != count * SIZES[kind]:
        raise _bad(what, f"the tensor {name} lies at {offsets!r}, which its shape does not fit")
    begin, end = offsets
    if not 0 <= begin <= end <= size:
        raise _bad(what, f"the tensor {name} ends beyond the file")
    return Place(name, kind, shape, begin, end)


def _tensor(place: Place, body: memoryview, at: int) -> Tensor:
    """The tensor of a place. at: where the body begins in memory that is aligned."""
    part = body[place.begin : place.end]
    if (at + place.begin) % SIZES[place.kind]:
        part = memoryview(bytes(part))
    return Tensor(place.kind, part.cast(FORMATS[place.kind], place.shape))


def _are_integers(values: object) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int for value in values)


def _bad(what: str, problem: str) -> LicModelMissing:
    return LicModelMissing(f"{what} is not intact: {problem}; reinstall pillow_lic or the model, or export it again")


def identity(tensors: Mapping[str, Tensor], integers: Iterable[int]) -> bytes:
    """What a model is known by (FORMAT 9.1): SHA-256 of all tensors that decide symbols and samples, in a canonical
    order, and of its integers.
    """
    import hashlib

    sha = hashlib.sha256()
    for name in sorted(tensors):
        if name.startswith(BESIDE):
            continue
        kind, view = tensors[name]
        sides = ",".join(map(str, view.shape or ()))
        sha.update(f"{name} {kind} {sides}\n".encode())
        sha.update(view)
    sha.update(b"".join(struct.pack("<I", value) for value in integers))
    return sha.digest()


def write(tensors: Mapping[str, Tensor]) -> bytes:
    """The bytes of a file that `read` gives back: in planes, widest elements first."""
    described: dict[str, dict[str, object]] = {"__metadata__": {LAYOUT: PLANES}}
    parts: list[bytes] = []
    sizes: list[tuple[str, int]] = []
    end = 0
    for name in sorted(tensors, key=lambda name: (-SIZES[tensors[name].kind], name)):
        kind, view = tensors[name]
        parts.append(view.tobytes())
        sizes.append((kind, view.nbytes))
        described[name] = {"dtype": kind, "shape": list(view.shape or ()), "data_offsets": [end, end + view.nbytes]}
        end += view.nbytes
    header = json.dumps(described, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    planes = bytearray(end)
    _core.split_planes(_runs(sizes), b"".join(parts), planes)
    return struct.pack("<Q", len(header)) + header + planes
