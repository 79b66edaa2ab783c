"""Models that keep another's weights: what is trained, what their files leave out, and that they are models as any."""

from __future__ import annotations

import dataclasses
import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

import pillow_lic
from pillow_lic import errors
from pillow_lic.engines.native import networks
from pillow_lic.models import registry
from pillow_lic.models.store import read_model

pytest.importorskip("tqdm", reason="the train extra is not installed")
from toy_runs import CONFIG

from pillow_lic.quality import geometric
from train import derive, train
from train.export import export

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.network, pytest.mark.slow]
SETTINGS = ["steps=3", "settle=1", "batch=2", "crop=64", "final_crop=64", "validate_every=1000", 'base="toy"']
LOWER = [*SETTINGS, "lowest=0.0001", "highest=0.0016", "asked=[0.1, 1.0]", "network.points=3", 'name="lower"']


@pytest.fixture(scope="module")
def derived(photographs, tmp_path_factory) -> tuple[train.Trainer, Path]:
    """A trainer after three steps, and the folder of the model exported then."""
    folder = tmp_path_factory.mktemp("derived")
    torch.set_num_threads(1)
    trainer = train.Trainer(train.load_config(CONFIG, LOWER), photographs, folder / "run")
    trainer.run(None)
    export(trainer.checkpoint, photographs, folder / "model", None, batches=1, crop=128)
    return trainer, folder / "model"


def test_files_leave_out_what_the_base_has(derived):
    base, model = registry.by_name("toy"), read_model(0, derived[1])
    assert (model.manifest.base, model.manifest.asked) == ("toy", (0.1, 1.0))
    sizes = [sum(path.stat().st_size for path in folder.glob("*.safetensors")) for folder in (base.path, derived[1])]
    assert sizes[1] < sizes[0]
    held = [name for name in model.arrays if name.endswith(".weight") and "spatial" not in name]
    held = [name for name in held if not name.startswith(("synthesis.render", "synthesis.out"))]
    assert len(held) > 20
    assert all(np.array_equal(model.arrays[name], base.arrays[name]) for name in held)
    moved = [name for name in base.arrays if not np.array_equal(model.arrays[name], base.arrays[name])]
    assert any(name.endswith(".scale") for name in moved)
    assert any("spatial" in name for name in moved)


def test_it_is_a_model_as_any(derived, make_picture):
    name = pillow_lic.register_model(derived[1])
    array = make_picture(130, 90)
    try:
        saved = io.BytesIO()
        Image.fromarray(array).save(saved, "LIC", model=name, quality=0.5)
        with Image.open(saved) as im:
            assert im.info["quality"] == pytest.approx(0.5, abs=1e-3)
            assert im.info["model"] == name
            native = np.asarray(im)
        torch_engine = pillow_lic.decode(saved.getvalue(), output="torch").numpy()
        assert np.abs(native.astype(int) - torch_engine).max() <= 2
        sizes = [len(pillow_lic.encode(array, model=name, quality=quality)) for quality in (0.1, 0.5, 1)]
        assert sizes == sorted(sizes)
        assert pillow_lic.encode(array, model=name, quality=0) == pillow_lic.encode(array, model=name, quality=0.1)
        with pytest.raises(errors.LicBadOption, match=r"is for quality 0\.1 to 1, found 2"):
            pillow_lic.encode(array, model=name, quality=2)
    finally:
        registry.forget_registered()


@pytest.mark.parametrize("points", [4, 7])
def test_it_begins_where_its_base_is(photographs, tmp_path, points):
    """At rates that the base has, the same picture for the same bits."""
    at = geometric((0.0008, 0.25), torch.tensor([0.2, 0.8])).tolist()
    settings = [*SETTINGS, f"lowest={at[0]}", f"highest={at[1]}", f"network.points={points}"]
    trainer = train.Trainer(train.load_config(CONFIG, settings), photographs, tmp_path / "run")
    base = train.build(dataclasses.replace(trainer.config.network, points=4))
    train.start_from_model(base, registry.by_name("toy").path)
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        own = trainer.model(x, torch.tensor([0.0, 1.0]), hard=True)
        its = base(x, torch.tensor([0.2, 0.8]), hard=True)
    assert torch.allclose(own["x_hat"], its["x_hat"], atol=1e-4)
    assert torch.allclose(own["y_bits"], its["y_bits"], rtol=1e-3)


def test_what_learns(derived, photographs, tmp_path):
    trainer, _ = derived
    begun = train.Trainer(trainer.config, photographs, tmp_path)
    moved = {
        name
        for name, value in trainer.model.state_dict().items()
        if not torch.equal(value, begun.model.state_dict()[name])
    }
    assert moved
    assert all(derive.learns(name) for name in moved)
    assert {"prior.gain", "synthesis.tone", "scale_map.offset", "hyper_rate.gain"} <= moved


def test_another_network_than_the_base_is_refused(photographs, tmp_path):
    with pytest.raises(ValueError, match="other widths"):
        train.Trainer(train.load_config(CONFIG, [*SETTINGS, "network.body=24"]), photographs, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base": "no-such"}, "not a model directory"),
        ({"base": "../toy"}, "base must be the name of a model"),
        ({"base": "photo"}, "is not the file that its manifest names"),
        ({"base": 7}, "base must be the name of a model"),
        ({"asked": [1, 0.1]}, "asked must be two numbers"),
    ],
)
def test_a_wrong_base_is_refused(derived, tmp_path, changes, message):
    for path in derived[1].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((tmp_path / "manifest.json").read_text()) | changes
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(errors.LicModelMissing, match=message):
        pillow_lic.register_model(tmp_path)


def test_values_saturate_as_the_integers_do(derived):
    """In layers that keep their weights; and of a picture the exported encoder makes what the floats make."""
    trainer, folder = derived
    model = train.build(trainer.config.network).eval()
    model.load_state_dict(trainer.average)
    layer = model.analysis.low[0].contract
    free = layer(torch.full((1, layer.in_channels, 1, 1), 1e9))
    derive.saturate(model, "toy")
    clipped = layer(torch.full((1, layer.in_channels, 1, 1), 1e9))
    limit = 32767 * torch.from_numpy(registry.by_name("toy").encoder_arrays["unit.analysis.low0.expand"].copy())
    assert torch.allclose(clipped, layer(limit.view(1, -1, 1, 1)))
    assert clipped.abs().max() < free.abs().max() / 1000
    small = 0.5 * limit.view(1, -1, 1, 1)
    assert torch.equal(layer(small), torch.nn.functional.conv2d(small, layer.weight, layer.bias))
    x = torch.rand(1, 3, 64, 64)
    stored = read_model(0, folder)
    with torch.no_grad():
        y = model.analysis(x, torch.tensor([0.5]))[0]
    assert np.abs(integer_y(stored, x, 5050) - y.numpy()).max() < 0.05 * float(y.abs().max())


def integer_y(model, x: torch.Tensor, q: int) -> np.ndarray:
    """y (M, h, w) of a picture (1, 3, H, W) by the native engine, as floats."""
    analysis = networks(model).analysis
    pixels = np.ascontiguousarray((x[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))
    rows, columns = (side // 16 for side in pixels.shape[:2])
    y = bytearray(4 * rows * columns * model.manifest.latent)
    analysis.analyse(q, pixels.tobytes(), pixels.shape, y, 1)
    whole = np.frombuffer(y, np.int32).reshape(rows, columns, -1) * model.arrays["unit.y_hat"] / 16
    return whole.transpose(2, 0, 1)
