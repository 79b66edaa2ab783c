"""The slow decoder's models: a directory's manifest and tensors, and what a model is known by (FORMAT 9). Imports
nothing of pillow_lic.
"""

import hashlib
import json
import math
import pathlib
import struct

import numpy as np
import slow_photo
from slow_reader import demand
from slow_tables import Tables

# ---- FORMAT 9: model directory --------------------------------------------------------------------------------------

TYPES = {
    "U8": "<u1",
    "I8": "<i1",
    "U16": "<u2",
    "U32": "<u4",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
    "F16": "<f2",
    "F32": "<f4",
}
INTEGERS = ("latent", "hyper", "points", "rows", "skip", "halo")


def read_tensors(data):
    """{name: (type, array)} of a safetensors file (FORMAT 9.2)."""
    demand(len(data) >= 8, "no safetensors: under 8 bytes")
    (length,) = struct.unpack("<Q", data[:8])
    demand(length <= 2**20 and 8 + length <= len(data), "the description is too long")
    described = json.loads(data[8 : 8 + length])
    layout = described.pop("__metadata__", {}).get("layout")
    demand(layout in (None, "planes"), "unknown layout")
    body, tensors, at = data[8 + length :], {}, 0
    entries = sorted(described.items(), key=lambda item: item[1]["data_offsets"])
    if layout:
        body = out_of_planes(body, [(entry["dtype"], math.prod(entry["shape"])) for _, entry in entries])
    for name, entry in entries:
        begin, end = entry["data_offsets"]
        demand(entry["dtype"] in TYPES, f"{name}: unknown type")
        dtype = np.dtype(TYPES[entry["dtype"]])
        demand(begin == at, f"{name}: a gap before it")
        demand(end <= len(body), f"{name}: ends beyond the file")
        demand(end - begin == dtype.itemsize * math.prod(entry["shape"]), f"{name}: wrong number of bytes")
        tensors[name] = entry["dtype"], np.frombuffer(body[begin:end], dtype).reshape(entry["shape"])
        at = end
    demand(at == len(body), "bytes after the last tensor")
    return tensors


def out_of_planes(body, types):
    """The bytes of tensors of these types and sizes whose bytes stand in planes."""
    width = np.concatenate([np.full(count, int(kind[1:]) // 8) for kind, count in types])
    demand(width.sum() == len(body), "the planes are not as long as the tensors")
    element, at = np.zeros(len(width), np.uint64), 0
    for k in range(8):
        has = width > k
        plane = np.frombuffer(body, np.uint8, has.sum(), at).astype(np.uint64)
        element[has] |= plane << np.uint64(8 * k)
        at += has.sum()
    plain, at = b"", 0
    for kind, count in types:
        u = element[at : at + count]
        if kind[0] == "I":
            half = (u >> np.uint64(1)).astype(np.int64)
            u = np.where(u & np.uint64(1), -half - 1, half)
        plain += u.astype(TYPES[kind] if kind[0] != "F" else f"<u{int(kind[1:]) // 8}").tobytes()
        at += count
    return plain


def identity(tensors, integers):
    """What a model is known by (FORMAT 9.1)."""
    text = b""
    for name in sorted(tensors, key=str.encode):
        if not name.startswith("unit."):
            kind, array = tensors[name]
            text += f"{name} {kind} {','.join(str(side) for side in array.shape)}\n".encode() + array.tobytes()
    return hashlib.sha256(text + b"".join(value.to_bytes(4, "little") for value in integers)).digest()


def load_model(model_dir):
    """(manifest, tables, {name: array}, 32-byte identity), the identity and all limits verified."""
    folder = pathlib.Path(model_dir)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    demand(manifest.get("format") == 3, "unknown manifest format")
    tensors = read_tensors((folder / "model.safetensors").read_bytes())
    digest = identity(tensors, [manifest[key] for key in INTEGERS])
    demand(digest.hex() == manifest["identity"], "model.safetensors: not the model that the manifest names")
    arrays = {name: array for name, (_, array) in tensors.items()}
    latent, hyper, points = manifest["latent"], manifest["hyper"], manifest["points"]
    tables = Tables(arrays, latent, hyper, points, manifest["rows"], manifest["skip"])
    if manifest["network"]["family"] == "photo":
        slow_photo.check(arrays, latent, hyper, points)
    return manifest, tables, arrays, digest


def load_perceptual(model_dir, manifest, arrays):
    """The arrays of a model with those of its second synthesis in the place of the first one's (9.5)."""
    data = (pathlib.Path(model_dir) / "perceptual.safetensors").read_bytes()
    demand(hashlib.sha256(data).hexdigest() == manifest.get("perceptual"), "not the synthesis that the manifest names")
    second = arrays | {name: array for name, (_, array) in read_tensors(data).items()}
    slow_photo.check(second, manifest["latent"], manifest["hyper"], manifest["points"])
    return second


def load_for(header, model_dir):
    """(manifest, tables, {name: array}) of the model that the header asks for."""
    *model, digest = load_model(model_dir)
    demand(digest[:8] == header.model_hash, "the file was made with another model")
    return model
