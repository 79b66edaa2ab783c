"""What files may cost: work and models."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from fresh import fresh
from hostile import forged
from PIL import Image
from saved_images import opened

import pillow_lic
from pillow_lic import container, errors, limits
from pillow_lic.codec.decode_options import DecodeOptions
from pillow_lic.engines import native
from pillow_lic.models import choice, cost, manifest, registry


@pytest.fixture(autouse=True)
def _limits_stay(monkeypatch):
    monkeypatch.setattr(limits, "_set", None)


# ---- Work -----------------------------------------------------------------------------------------------------------


@pytest.mark.network
def test_cost_is_what_networks_multiply(monkeypatch):
    from bench import macs

    monkeypatch.setattr(macs, "HEIGHT", 64)
    monkeypatch.setattr(macs, "WIDTH", 64)
    for name in ("photo", "gdn-mixture"):
        found = macs.stages(name)
        counted = sum(found[stage] for stage in ("scale map (integers)", "prior", "refine", "synthesis"))
        factor = 1.0 if name.startswith("photo") else cost.PYTORCH
        assert cost.cost(registry.by_name(name).manifest) == pytest.approx(factor * counted / cost.PHOTO, rel=0.02)


def test_every_family_has_a_cost():
    assert set(cost.COUNTED) == set(manifest.FAMILIES.values())
    assert manifest.NATIVE in manifest.FAMILIES


@pytest.mark.parametrize(
    ("given", "pillows", "careful", "most"),
    [
        ({}, limits.PILLOWS, False, 1 << 27),
        ({}, 1000, False, 2000),
        ({}, None, False, None),
        ({}, limits.PILLOWS, True, limits.PILLOWS),
        ({"pixels": 5e6}, None, False, 5e6),
        ({"pixels": 5e6}, 1000, True, 5e6),
        ({"name": "service"}, limits.PILLOWS, False, 3 << 22),
        ({"name": "service", "pixels": 4e6}, limits.PILLOWS, False, 4e6),
    ],
)
def test_most_work(given, pillows, careful, most):
    if given:
        limits.set_limits(**given)
    assert limits.current().ceiling(pillows, careful=careful) == most


def test_environment(monkeypatch):
    monkeypatch.setenv(limits.VARIABLE, "service, pixels=4e6,models=photo+photo-low")
    found = limits.current()
    assert (found.pixels, found.at_once, found.models) == (4e6, 3 << 22, {"photo", "photo-low"})
    pillow_lic.set_limits("default")
    assert limits.current().pixels is None
    pillow_lic.set_limits()
    assert limits.current().pixels == 4e6


@pytest.mark.parametrize("text", ["servic", "pixels=", "pixels=none", "at_once=0", "pixels=nan", "service,mp=4"])
def test_environment_that_says_nothing(text, monkeypatch, image):
    im = opened(forged("photo-low", 64, 64))
    monkeypatch.setenv(limits.VARIABLE, text)
    with pytest.raises(errors.LicBadOption, match=limits.VARIABLE):
        im.load()


@pytest.mark.parametrize(
    "given",
    [{"name": "none"}, {"name": 3}, {"pixels": -1}, {"pixels": "many"}, {"pixels": True}, {"at_once": 0.5},
     {"models": 3}, {"models": [3]}],
)  # fmt: skip
def test_limits_that_are_none(given):
    with pytest.raises(errors.LicBadOption):
        limits.set_limits(**given)


def test_a_dearer_model_has_fewer_pixels(monkeypatch):
    """Pictures of the same size: one is let through, the other is refused before an engine is asked for."""
    cheap, dear = (opened(forged(name, 128, 128)) for name in ("photo-low", "gdn-mixture"))
    limits.set_limits(pixels=2 * 128 * 128)
    cheap.load()
    monkeypatch.setattr(DecodeOptions, "engine", None)
    with pytest.raises(errors.LicLimitExceeded, match=r"128 x 128 pixels of the model 'gdn-mixture'.*set_limits"):
        dear.load()
    with pytest.raises(errors.LicLimitExceeded, match="set_limits"):
        pillow_lic.decode(forged("gdn-mixture", 128, 128))


def test_max_pixels_goes_first(make_picture):
    data = pillow_lic.encode(make_picture(40, 50), quality=30)
    limits.set_limits(pixels=1)
    assert pillow_lic.decode(data, max_pixels=2000).shape == (40, 50, 3)
    with pytest.raises(errors.LicLimitExceeded):
        pillow_lic.decode(data, max_pixels=1999)


def test_warning_as_pillows(image, monkeypatch):
    """Above MAX_IMAGE_PIXELS there is a warning before a pixel is decoded, above twice that an error."""
    data = forged("photo-low", 1, 1000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50_000)
    monkeypatch.setattr(native, "networks", None)
    with pytest.raises(Image.DecompressionBombWarning, match="1000 x 1 pixels, which counts as"):
        opened(data).load()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)
    with pytest.raises(errors.LicLimitExceeded, match="1000 x 1 pixels, which counts as"):
        opened(data).load()


def test_overlays_count_as_their_pixels(monkeypatch):
    data = pillow_lic.encode(np.zeros((100, 100, 3), np.uint8), lossless=True)
    limits.set_limits(pixels=9999)
    with pytest.raises(errors.LicLimitExceeded, match="100 x 100"):
        opened(data).load()


def test_more_than_8_bits_count_as_their_memory():
    """A file of floats decoded to float32 has fewer pixels than the same in 8 bits, and an exact one of 16 bits."""
    floats = container.Values(container.FLOATS, 0.0, 1.0)
    data = forged("photo", 128, 128, "RGBA", depth=16, values=floats)
    exact = pillow_lic.encode(np.full((128, 128, 4), 40000, np.uint16), lossless=True)
    limits.set_limits(pixels=128 * 128 * 3)
    opened(data).load()
    assert pillow_lic.decode(data, dtype="uint16").dtype == np.uint16
    assert pillow_lic.decode(exact).dtype == np.uint16
    with pytest.raises(errors.LicLimitExceeded, match=r"128 x 128 pixels of 16 bits, which counts as 7489"):
        pillow_lic.decode(data)
    limits.set_limits(pixels=128 * 128)
    with pytest.raises(errors.LicLimitExceeded, match="128 x 128 pixels of 16 bits, which counts as"):
        pillow_lic.decode(exact)


# ---- Models ---------------------------------------------------------------------------------------------------------


@pytest.mark.install
def test_the_model_of_tests_is_opened_when_asked_for(tmp_path):
    (tmp_path / "a.lic").write_bytes(forged("toy", 64, 64))
    code = f"""
    import pillow_lic
    from PIL import Image
    im = Image.open({str(tmp_path / "a.lic")!r})
    print(im.info["model"], end=" ")
    try:
        im.load()
    except pillow_lic.LicError as error:
        print(type(error).__name__, "toy" in str(error) and "set_limits" in str(error), end=" ")
    try:
        pillow_lic.decode(open(im.filename, "rb").read())
    except pillow_lic.LicError as error:
        print(type(error).__name__, end=" ")
    %s
    im.load()
    print(im.getpixel((0, 0)) is not None)
    """
    refused = "toy LicLimitExceeded True LicLimitExceeded True\n"
    assert fresh(code % 'pillow_lic.preload(models=["toy"], saving=False)') == refused
    assert fresh(code % 'pillow_lic.set_limits(models=["toy"])') == refused
    assert fresh(code % "", **{limits.VARIABLE: "models=any"}) == "toy True\n"


def test_services_take_no_model_that_needs_pytorch(monkeypatch):
    data = forged("gdn-mixture", 64, 64)
    monkeypatch.setattr(registry, "named", set())
    limits.set_limits("service")
    opened(forged("photo", 64, 64)).load()
    monkeypatch.setattr(registry, "named", set())
    with pytest.raises(errors.LicLimitExceeded, match="'gdn-mixture', which files may not use"):
        opened(data).load()
    limits.set_limits("service", models=["photo"])
    with pytest.raises(errors.LicLimitExceeded, match="'photo-low', which files may not use"):
        opened(without_naming("photo-low")).load()


def without_naming(model: str) -> bytes:
    data = forged(model, 64, 64)
    registry.named.discard(model)
    return data


def test_limits_that_are_shown_take_files_as_they_are_made():
    """Whoever copies a list of models from the guide or a docstring opens what encoders make by default."""
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "services.md").read_text(encoding="utf-8")
    shown = [set(re.findall(r"[a-z-]+", names)) for names in re.findall(r"models ?= ?\[([^]]*)\]", guide)]
    shown += [
        set(names.split("+")) for names in re.findall(r"models=(photo[a-z+-]+)", guide + limits.set_limits.__doc__)
    ]
    made = {name for _, name in (*choice.TUNES[choice.DEFAULT_TUNE], *choice.BELOW)}
    assert len(shown) == 3
    assert all(made <= names for names in shown)
