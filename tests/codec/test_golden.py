"""Golden files: what was decoded once is decoded for ever, what was refused once is refused by the same name, and files
stay as small as they were.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pillow_lic import container, errors
from pillow_lic.engines import choice

HERE = Path(__file__).parents[1]
GOLDEN = sorted((HERE / "golden").glob("*.lic"))  # all of photo-family models: pixels are integers (FORMAT 8)
ERRORS = sorted((HERE / "golden" / "errors").glob("*.lic"))


@pytest.mark.quick
def test_there_are_goldens():
    assert len(GOLDEN) >= 10
    assert len(ERRORS) >= 14


@pytest.mark.network
@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_network_golden_decodes_to_the_same(path):
    """Integers and pixels, exactly, whatever the machine."""
    from shortcuts import pixels_of

    from pillow_lic.codec.decode import decode_symbols

    expected = np.load(path.with_suffix(".npz"))
    chunks = container.read(path.read_bytes())
    if not chunks.header.alone:
        z, r, _ = decode_symbols(chunks)
        assert np.array_equal(z, expected["z"])
        assert np.array_equal(r, expected["r"])
    found, pixels = pixels_of(chunks), expected["pixels"]
    assert (found.dtype, found.shape) == (pixels.dtype, pixels.shape)
    assert found.tobytes() == pixels.tobytes()  # NaN as well


@pytest.mark.quick
@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_golden_container_is_written_again_byte_for_byte(path):
    from shortcuts import written

    data = path.read_bytes()
    assert written(container.read(data)) == data


@pytest.mark.quick
@pytest.mark.parametrize("path", ERRORS, ids=lambda p: p.stem)
def test_golden_error(path):
    """Structure and checksums are refused by `container.read`, the rest when the tiles are decoded."""
    from pillow_lic.codec.decode import decode_symbols

    expected = getattr(errors, path.stem.split("-")[0])
    with pytest.raises(errors.LicError) as caught:
        decode_symbols(container.read(path.read_bytes()))
    assert type(caught.value) is expected, caught.value
    assert len(str(caught.value)) > 20  # it says something


@pytest.mark.quick
@pytest.mark.parametrize("path", ERRORS, ids=lambda p: p.stem)
def test_golden_error_through_pillow(path):
    with pytest.raises((errors.LicError, Image.UnidentifiedImageError)) as caught:
        Image.open(io.BytesIO(path.read_bytes()), formats=["LIC"]).load()
    if not path.stem.startswith("LicBadMagic"):
        assert isinstance(caught.value, errors.LicError)


@pytest.mark.network
def test_network_encoded_sizes():
    """Within 1 %: rounding differs between machines. Smaller files are recorded by `python tests/support/make_golden.py
    --sizes`.
    """
    import make_golden

    with make_golden.SIZES.open(newline="") as file:
        recorded = {(row["picture"], int(row["quality"])): int(row["bytes"]) for row in csv.DictReader(file)}
    found = {(name, quality): size for name, quality, size in make_golden.sizes()}
    assert found == {key: pytest.approx(size, rel=0.01, abs=2) for key, size in recorded.items()}


@pytest.mark.network
def test_network_sizes_of_the_native_engine(monkeypatch):
    """Five qualities of each shipped model. Effort 0 is integers all through, so its sizes are those of any machine;
    the search of more effort is in floating point.
    """
    import make_golden

    monkeypatch.delenv(choice.ENGINE_VARIABLE, raising=False)
    with make_golden.NATIVE_SIZES.open(newline="") as file:
        kinds = {"model": str, "effort": int, "quality": float, "bytes": int}
        rows = [tuple(kind(row[name]) for name, kind in kinds.items()) for row in csv.DictReader(file)]
    assert {row[0] for row in rows} == set(make_golden.NATIVE)
    near = {0: 0, 2: 0.01}
    wanted = {row[:3]: pytest.approx(row[3], rel=near[row[1]], abs=0) for row in rows}
    assert {row[:3]: row[3] for row in make_golden.native_sizes()} == wanted


def _outcome(data: bytes):
    """The symbols, or the class of the error."""

    from pillow_lic.codec.decode import decode_symbols

    try:
        z, r, _ = decode_symbols(container.read(data))
    except errors.LicError as error:
        return type(error).__name__
    return z.tobytes() + r.tobytes()


@pytest.mark.network
@pytest.mark.parametrize("name", ["rgb-fraction", "grey-alpha", "metadata", "tiles"])
def test_network_every_byte_flipped_or_cut(name):
    """One bit of every byte flipped, and the file cut after every byte: a named error or the same symbols."""
    data = (HERE / "golden" / f"{name}.lic").read_bytes()
    right = _outcome(data)
    for place in range(len(data)):
        assert isinstance(_outcome(data[:place]), str)
        flipped = bytearray(data)
        flipped[place] ^= 1 << (place % 8)
        outcome = _outcome(bytes(flipped))
        assert isinstance(outcome, str) or outcome == right
