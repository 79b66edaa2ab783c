"""LPIPS, DISTS and FID: against their packages on the same weights, which are random here, and what is said where
packages or files are missing.
"""

from __future__ import annotations

import importlib
import math
import pickle
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from commands import lic
from PIL import Image

from pillow_lic import metrics
from pillow_lic.cli import DONE, FAILED, USAGE
from pillow_lic.errors import LicBadOption, LicMeasureMissing
from pillow_lic.metrics import learned

SHAPE = (64, 80, 3)


def picture(seed, shape=SHAPE):
    """Gradients with noise: nothing flat, nothing saturated."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(40, 200, shape[1])[None, :, None] + np.linspace(0, 30, shape[0])[:, None, None]
    return np.clip(ramp + rng.normal(0, 12, shape), 0, 255).astype(np.uint8)


def tensor(x):
    import torch

    return torch.tensor(x).permute(2, 0, 1)[None].float() / 255


@pytest.fixture
def installed():
    """The packages; skips where one is missing or does not go with this torch."""
    for name in ("torchvision", "lpips", "DISTS_pytorch", "pytorch_fid"):
        try:
            importlib.import_module(name)
        except (ImportError, RuntimeError) as error:  # the latter: of another build than torch
            pytest.skip(f"needs a {name} that can be imported: pip install '.[learned-metrics]' ({error})")


@pytest.fixture
def anything_installed(monkeypatch):
    """As if the packages were there."""
    monkeypatch.setattr(learned.importlib.util, "find_spec", lambda name: SimpleNamespace(name=name))
    monkeypatch.delenv(learned.VARIABLE, raising=False)


def save_features(features, path):
    """As torchvision's files name them, with something of a head, which nobody reads."""
    import torch

    state = {f"features.{key}": value.clone() for key, value in features.state_dict().items()}
    torch.save(state | {"classifier.6.bias": torch.zeros(3)}, path)


# ---- Against the packages, on the same random weights --------------------------------------------------------------


def test_lpips_is_the_packages(installed, tmp_path, monkeypatch):
    import lpips
    import torch
    import torchvision

    torch.manual_seed(1)
    with torch.device("meta"):
        empty = torchvision.models.alexnet(weights=None).features
    features = empty.to_empty(device="cpu")
    for p in features.parameters():
        torch.nn.init.normal_(p, 0, 0.05)
    save_features(features, tmp_path / learned.NETWORKS["lpips"].file)
    with monkeypatch.context() as patch:
        patch.setattr("torchvision.models.alexnet", lambda pretrained: SimpleNamespace(features=features))
        theirs = lpips.LPIPS(net="alex", verbose=False)
    a, b = picture(1), picture(2)
    expected = float(theirs(tensor(a), tensor(b), normalize=True).detach())
    assert expected > 1e-4
    assert metrics.lpips(a, b, weights=tmp_path) == pytest.approx(expected, rel=1e-5)
    assert metrics.lpips(a, a, weights=tmp_path) == 0
    assert metrics.lpips(a[:31], b[:31], tmp_path) > 0
    assert math.isnan(metrics.lpips(a[:30], b[:30], tmp_path))
    grey = a[..., 0]
    assert metrics.lpips(grey, b, tmp_path) == metrics.lpips(np.stack([grey] * 3, 2), b, tmp_path)
    monkeypatch.setenv(learned.VARIABLE, str(tmp_path))
    assert "lpips" in metrics.available()
    assert "dists" not in metrics.available()  # its file is not there
    many = metrics.compare_many([(a, b), (a, a)], ("lpips", "psnr"), workers=2)
    assert [round(row["lpips"], 6) for row in many] == [round(expected, 6), 0]
    assert lpips.pretrained_networks.tv is torchvision.models  # as it was


def test_dists_is_the_packages(installed, tmp_path, monkeypatch):
    import torch
    from DISTS_pytorch import DISTS_pt
    from torchvision.models import vgg

    torch.manual_seed(2)
    features = vgg.make_layers(vgg.cfgs["D"])
    save_features(features, tmp_path / learned.NETWORKS["dists"].file)
    with monkeypatch.context() as patch:
        patch.setattr("torchvision.models.vgg16", lambda pretrained: SimpleNamespace(features=features))
        theirs = DISTS_pt.DISTS()
    a, b = picture(1), picture(2)
    expected = float(theirs(tensor(a), tensor(b)).detach())
    assert expected > 1e-3
    assert metrics.dists(a, b, weights=tmp_path) == pytest.approx(expected, rel=1e-4)
    assert metrics.dists(a, a, weights=tmp_path) == pytest.approx(0, abs=1e-6)
    assert math.isfinite(metrics.dists(a[:1, :1], b[:1, :1], tmp_path))


def inception_weights(path, monkeypatch):
    """Random ones of all parts, as a file; and the package's network with them."""
    import torch
    from pytorch_fid import inception
    from torchvision.models.inception import Inception3

    torch.manual_seed(3)

    def draw(self, state):
        for p in self.parameters():
            if p.ndim == 4:
                torch.nn.init.kaiming_normal_(p)  # else next to nothing would come through
        torch.save(self.state_dict(), path)

    with monkeypatch.context() as patch:
        patch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(Inception3, "load_state_dict", draw)
        return inception.InceptionV3().eval()


def test_fid_is_of_the_packages_features(installed, tmp_path, monkeypatch, capsys):
    import torch

    weights, file = tmp_path / "weights", learned.NETWORKS["fid"].file
    weights.mkdir()
    theirs = inception_weights(weights / file, monkeypatch)
    sets = [[picture(1), picture(2), picture(3, (40, 90, 3))], [picture(4), picture(5) // 2]]
    with torch.no_grad():
        features = [np.stack([theirs(tensor(x))[0].flatten().double().numpy() for x in one]) for one in sets]
    expected = learned.frechet(*features)
    assert expected > 1e-3
    assert metrics.fid(*sets, weights=weights) == pytest.approx(expected, rel=1e-3)
    assert metrics.fid(sets[0], sets[0], weights) == pytest.approx(0, abs=1e-6 * expected)
    with pytest.raises(LicBadOption, match="a set of 1 pictures"):
        metrics.fid(sets[0][:1], sets[1], weights)

    for folder, one in zip(("originals", "decoded"), sets):
        (tmp_path / folder).mkdir()
        for number, x in enumerate(one):
            Image.fromarray(x).save(tmp_path / folder / f"{number}.png")
    arguments = ("metrics", "--fid", tmp_path / "originals", tmp_path / "decoded", "--weights", weights)
    assert lic(*arguments) == DONE
    _, value, *counts = capsys.readouterr().out.split()
    assert float(value) == pytest.approx(expected, rel=1e-3)
    assert counts == ["of", "3", "and", "2", "pictures"]


# ---- What is missing, what is wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "package"), [("lpips", "lpips"), ("dists", "DISTS_pytorch"), ("fid", "torchvision")])
def test_missing_packages_are_named(name, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    measure = (lambda a, b: metrics.fid([a, a], [b, b])) if name == "fid" else getattr(metrics, name)
    with pytest.raises(LicMeasureMissing, match=rf"{package}.*pip install 'pillow-lic\[learned-metrics\]'"):
        measure(picture(1), picture(2))
    assert name not in metrics.available()


@pytest.mark.parametrize("name", learned.NETWORKS)
def test_missing_weights_are_named(name, anything_installed, tmp_path, monkeypatch):
    file = learned.NETWORKS[name].file
    assert file in metrics.missing(name)
    assert "LIC_METRIC_WEIGHTS" in metrics.missing(name)
    monkeypatch.setenv(learned.VARIABLE, str(tmp_path))
    assert metrics.missing(name).endswith(f"it is not in {tmp_path}")
    (tmp_path / file).touch()
    assert metrics.missing(name) is None
    elsewhere = tmp_path / "elsewhere"
    assert metrics.missing(name, elsewhere).endswith(f"it is not in {elsewhere}")  # what is given counts
    with pytest.raises(LicMeasureMissing, match=f"{name} needs the file {file}"):
        metrics.fid([], [], elsewhere) if name == "fid" else metrics.compare(picture(1), picture(2), name, elsewhere)


def test_packages_that_do_not_go_together(anything_installed, tmp_path, monkeypatch):
    def fails(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    (tmp_path / learned.NETWORKS["lpips"].file).touch()
    monkeypatch.setattr(learned.importlib, "import_module", fails)
    with pytest.raises(LicMeasureMissing, match=r"in versions that go together.*nms does not exist"):
        metrics.lpips(picture(1), picture(2), tmp_path)


class Code:
    """Runs when it is unpickled, if anything may."""

    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize("kind", ["empty", "no torch", "code", "a tensor", "no keys", "shapes", "whole numbers"])
@pytest.mark.parametrize("name", learned.NETWORKS)
def test_wrong_files_are_named(installed, name, kind, tmp_path, capsys):
    import torch

    path = tmp_path / learned.NETWORKS[name].file
    first = "Conv2d_1a_3x3.conv.weight" if name == "fid" else "features.0.weight"
    contents = {"a tensor": torch.zeros(3), "no keys": {}, "shapes": {first: torch.zeros(1, 2)}}
    contents["whole numbers"] = {first: torch.zeros(64, 3, 11, 11, dtype=torch.int32)}
    if kind in contents:
        torch.save(contents[kind], path)
    else:
        path.write_bytes({"empty": b"", "no torch": b"GIF89a" * 9, "code": pickle.dumps(Code())}[kind])
    pair = (picture(1), picture(2))
    with pytest.raises(LicMeasureMissing, match=f"{path.name} is not {path.name} as https://"):
        metrics.fid(pair, pair, tmp_path) if name == "fid" else getattr(metrics, name)(*pair, tmp_path)
    assert "run" not in capsys.readouterr().out


def test_what_is_available_is_known_without_torch(tmp_path):
    for network in learned.NETWORKS.values():
        (tmp_path / network.file).touch()
    code = f"metrics.available({str(tmp_path)!r}); print('torch' in sys.modules)"
    code = f"import sys; from pillow_lic import metrics; {code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ---- The command ---------------------------------------------------------------------------------------------------


def test_command_refuses(anything_installed, tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    a, b = tmp_path / "a", tmp_path / "b"
    assert lic("metrics", "--fid", a, b, tmp_path) == USAGE
    assert "--fid takes two folders" in capsys.readouterr().err
    assert lic("metrics", "--fid", a, b, "--csv", "-") == USAGE
    assert "without --measures and --csv" in capsys.readouterr().err
    assert lic("metrics", "--fid", a, b, "--weights", a) == FAILED
    assert learned.NETWORKS["fid"].file in capsys.readouterr().err
    Image.fromarray(picture(1)).save(a / "one.png")
    assert lic("metrics", a / "one.png", a / "one.png", "--measures", "psnr,lpips", "--weights", b) == FAILED
    assert f"it is not in {b}" in capsys.readouterr().err


# ---- The Frechet distance ------------------------------------------------------------------------------------------


def plain_frechet(a, b):
    """As it is written, with a square root of a matrix by its eigenvalues."""
    covariances = [np.cov(x, rowvar=False) for x in (a, b)]
    values, vectors = np.linalg.eigh(covariances[0])
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariances[1] @ root), 0)).sum()
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + sum(map(np.trace, covariances)) - 2 * shared


@pytest.mark.parametrize(("n", "m", "d"), [(200, 150, 12), (5, 9, 40), (300, 7, 20), (2, 2, 3)])
def test_frechet_is_what_it_is_defined_as(n, m, d):
    rng = np.random.default_rng(n)
    a, b = rng.normal(0, 1, (n, d)) @ rng.normal(0, 1, (d, d)), rng.normal(0.3, 1.5, (m, d))
    assert learned.frechet(a, b) == pytest.approx(plain_frechet(a, b), rel=1e-6)
    assert learned.frechet(a, b) == pytest.approx(learned.frechet(b, a))
    assert learned.frechet(a, a) == pytest.approx(0, abs=1e-9 * np.trace(np.cov(a, rowvar=False)))


def test_frechet_by_hand():
    """In one dimension, (m - n)^2 + (s - t)^2 of means and standard deviations."""
    a, b = np.array([[0.0], [2.0]]), np.array([[5.0], [11.0]])
    assert learned.frechet(a, b) == pytest.approx((8 - 1) ** 2 + (math.sqrt(18) - math.sqrt(2)) ** 2)
