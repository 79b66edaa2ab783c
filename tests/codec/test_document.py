"""FORMAT names what models are made of: every tensor of their files, and every operator of their networks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pillow_lic.engines.torch.networks import stages
from pillow_lic.models import manifest as manifests
from pillow_lic.models import store
from train import exchange as training

pytestmark = pytest.mark.network

ROOT = Path(__file__).parents[2]
GOLDEN = sorted(path.parent for path in (ROOT / "tests" / "golden" / "models").glob("*/manifest.json"))
FOLDERS = [*sorted(path.parent for path in store.SHIPPED.glob("*/manifest.json")), *GOLDEN]
FILES = [path for folder in FOLDERS for path in sorted(folder.glob("*.safetensors"))]
ENDINGS = {"weight", "scale", "bias", "beta", "gamma"}  # of a layer

# What a module of PyTorch or of ours is called in FORMAT 8 and 9; None: made of others, or without arithmetic.
OPERATORS = {
    "Conv2d": "convolution",
    "ConvTranspose2d": "transposed",
    "LayerNorm": "layer norm",
    "LeakyReLU": "leaky",
    "Gdn": "IGDN",
    "GlobalContext": "attention",
    "Block": "block",
    "RefineGroup": "refine<n>",
    **dict.fromkeys(["Analysis", "HyperAnalysis", "NoHyperAnalysis", "Prior", "ZeroMean", "Refine", "NoRefine"]),
    **dict.fromkeys(["Synthesis", "Stages", "Sequential", "ModuleList", "ModuleDict", "Blocks"]),
}


def sections() -> str:
    """FORMAT 7 to 9."""
    text = (ROOT / "docs" / "FORMAT.md").read_text(encoding="utf-8")
    return text[text.index("## 7. ") : text.index("## 10. ")]


def plain(name: str) -> str:
    """Numbers of blocks, refinements and hidden layers as one sign: body0 and body1, refine<n>."""
    return re.sub(r"(?<=[a-z])\d+", "#", name.replace("<n>", "#"))


def named() -> set[str]:
    """All names that the sections have in code, of layers and of tensors."""
    pieces = re.split(r"^```.*$", sections(), flags=re.MULTILINE)
    code = [*pieces[1::2], *(span for text in pieces[::2] for span in re.findall(r"`([^`]+)`", text))]
    return {plain(word) for text in code for word in re.findall(r"[a-z_]\w*(?:<n>\w*)?(?:\.\w+)*", text)}


def is_named(tensor: str, names: set[str]) -> bool:
    """Whether a tensor's name follows from those: itself, a layer's, or one of a block's, of an attention's."""
    layer, _, ending = plain(tensor).rpartition(".")
    if plain(tensor) in names or (tensor.startswith("unit.") and "unit." in sections()):
        return True
    if ending not in ENDINGS:
        return False
    outer, _, inner = layer.rpartition(".")
    return layer in names or (outer in names and (f"b.{inner}" in names or inner in names))


def described(path: Path) -> list[str]:
    """The tensors of a safetensors file."""
    with path.open("rb") as file:
        names = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return [name for name in names if name != "__metadata__"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_tensor_is_named(path):
    tensors, names = described(path), named()
    assert tensors
    assert [tensor for tensor in tensors if not is_named(tensor, names)] == []


def test_names_that_the_document_does_not_have_are_found():
    names = named()
    for tensor in ("synthesis.upper.weight", "synthesis.other0.mix.weight", "prior.block.other.bias", "gain", "z_far"):
        assert not is_named(tensor, names)


def test_the_prior_of_z_is_named():
    """No shipped model has it; export writes it, and a further training reads it."""
    assert {training.PRIOR + name for name in training.PRIOR_TABLES} <= named()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_operator_is_named(folder):
    model, text = store.read_model(0, folder), sections()
    for file in (manifests.DECODER, manifests.ENCODER):
        kinds = {type(module).__name__ for module in stages(model, file).modules()}
        assert kinds <= OPERATORS.keys(), "say in FORMAT what it does, and here what it is called there"
        for kind in kinds:
            assert OPERATORS[kind] is None or OPERATORS[kind] in text, kind
