"""What the container's reader refuses: one byte-literal file for each refusal, bit flips anywhere, garbage, bombs."""

from __future__ import annotations

import math
import re
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal_files import (
    GOOD,
    GOOD_H,
    RGBA_H,
    STAGED_H,
    STAGED_T,
    START,
    STATES,
    T,
    chunk,
    header_bytes,
    patched,
    sample,
)

import pillow_lic.container.cut  # noqa: F401  (its name: container.cut)
from pillow_lic import container, errors

pytestmark = pytest.mark.quick


REFUSED = {
    "empty": (b"", errors.LicBadMagic),
    "other file": (b"FEATURE vendor 1.0 permanent", errors.LicBadMagic),
    "signature only in part": (START[:3], errors.LicBadMagic),
    "signature alone": (START[:4], errors.LicTruncated),
    "no minor version": (START[:5], errors.LicTruncated),
    "no chunk": (START, errors.LicTruncated),
    "minor version 2": (header_bytes(GOOD_H).replace(START, START[:-1] + b"\2") + T, errors.LicUnsupportedVersion),
    "major version": (b"\x8dLID\x01\x00" + GOOD[6:], errors.LicUnsupportedVersion),
    "first chunk not H": (START + T, errors.LicCorruptChunk),
    "type not a letter": (header_bytes(GOOD_H) + chunk(b"5", b"") + T, errors.LicCorruptChunk),
    "type not ASCII": (header_bytes(GOOD_H) + chunk(b"\xe4", b"") + T, errors.LicCorruptChunk),
    "unknown critical chunk": (header_bytes(GOOD_H) + chunk(b"Q", b"") + T, errors.LicUnsupportedVersion),
    "progressive chunk": (header_bytes(GOOD_H) + chunk(b"P", b"") + T, errors.LicUnsupportedVersion),
    "header cut": (header_bytes(GOOD_H)[:12], errors.LicTruncated),
    "header checksum": (GOOD[:9] + b"\x05" + GOOD[10:], errors.LicCorruptChunk),
    "header too long": (header_bytes(GOOD_H + b"\0") + T, errors.LicCorruptChunk),
    "header much too long": (header_bytes(GOOD_H + bytes(60)) + T, errors.LicCorruptChunk),
    "header too short": (header_bytes(GOOD_H[:-1]) + T, errors.LicCorruptChunk),
    "width 0": (header_bytes(patched(0, b"\x00")) + T, errors.LicCorruptChunk),
    "height 0": (header_bytes(patched(1, b"\x00")) + T, errors.LicCorruptChunk),
    "width not shortest": (header_bytes(patched(0, b"\x83\x00")) + T, errors.LicCorruptChunk),
    "width 2^31": (header_bytes(patched(0, b"\x80\x80\x80\x80\x08")) + T, errors.LicCorruptChunk),
    "width of six bytes": (header_bytes(patched(0, b"\x80\x80\x80\x80\x80\x01")) + T, errors.LicCorruptChunk),
    "layout 0": (header_bytes(patched(2, b"\x00")) + T, errors.LicUnsupportedVersion),
    "layout 5": (header_bytes(patched(2, b"\x05")) + T, errors.LicUnsupportedVersion),
    "overlay alone with more behind": (header_bytes(patched(2, b"\x81")) + T, errors.LicCorruptChunk),
    "overlay alone of a depth, and a model": (header_bytes(patched(2, b"\x89")) + T, errors.LicCorruptChunk),
    "depth 16, and an overlay": (
        header_bytes(patched(2, b"\x43")) + chunk(b"O", b"\0\0abc") + T,
        errors.LicCorruptChunk,
    ),
    "colour coding points short": (header_bytes(GOOD_H) + chunk(b"n", b"\1\1\1") + T, errors.LicCorruptChunk),
    "colour coding points' range": (header_bytes(GOOD_H) + chunk(b"n", b"\1\1\1\2") + T, errors.LicCorruptChunk),
    "values empty": (header_bytes(GOOD_H) + chunk(b"v", b"") + T, errors.LicCorruptChunk),
    "values short": (header_bytes(GOOD_H) + chunk(b"v", b"\2" + bytes(15)) + T, errors.LicCorruptChunk),
    "values not a number": (
        header_bytes(GOOD_H) + chunk(b"v", struct.pack("<Bdd", 2, math.nan, 1.0)) + T,
        errors.LicCorruptChunk,
    ),
    "values without end": (
        header_bytes(GOOD_H) + chunk(b"v", struct.pack("<Bdd", 2, 0.0, math.inf)) + T,
        errors.LicCorruptChunk,
    ),
    "values that fall": (
        header_bytes(GOOD_H) + chunk(b"v", struct.pack("<Bdd", 2, 1.0, 0.0)) + T,
        errors.LicCorruptChunk,
    ),
    "integers that are none": (
        header_bytes(GOOD_H) + chunk(b"v", struct.pack("<Bdd", 1, 0.5, 1.0)) + T,
        errors.LicCorruptChunk,
    ),
    "integers of 33 bits": (
        header_bytes(GOOD_H) + chunk(b"v", struct.pack("<Bdd", 1, 0.0, 2.0**31)) + T,
        errors.LicCorruptChunk,
    ),
    "depth 17": (header_bytes(patched(2, b"\x49")) + T, errors.LicUnsupportedVersion),
    "quality 0.99": (header_bytes(GOOD_H[:12] + b"\x63\x00\x10\x00") + T, errors.LicCorruptChunk),
    "quality 100.01": (header_bytes(GOOD_H[:12] + b"\x11\x27\x10\x00") + T, errors.LicCorruptChunk),
    "tile side 0": (header_bytes(GOOD_H[:-2] + b"\x00\x00") + T, errors.LicCorruptChunk),
    "tile side 65": (header_bytes(GOOD_H[:-2] + b"\x41\x00") + T, errors.LicCorruptChunk),
    "stages, reserved bit": (header_bytes(GOOD_H[:-1] + b"\x20") + T, errors.LicUnsupportedVersion),
    "stages without thresholds": (header_bytes(GOOD_H[:-1] + b"\x02\x09") + T, errors.LicCorruptChunk),
    "threshold 0": (header_bytes(GOOD_H[:-1] + b"\x01\x00") + T, errors.LicCorruptChunk),
    "equal thresholds": (header_bytes(GOOD_H[:-1] + b"\x02\x09\x09") + T, errors.LicCorruptChunk),
    "rising thresholds": (header_bytes(GOOD_H[:-1] + b"\x02\x09\x0a") + T, errors.LicCorruptChunk),
    "check of a stage": (
        header_bytes(STAGED_H) + chunk(b"T", STAGED_T.replace(b"ab", b"ac")),
        errors.LicCorruptChunk,
    ),
    "stages that overlap their checks": (
        header_bytes(STAGED_H) + chunk(b"T", b"\x10\x03" + STAGED_T[2:]),
        errors.LicCorruptChunk,
    ),
    "fewer stages than said": (header_bytes(STAGED_H) + T, errors.LicCorruptChunk),
    "pixels": (header_bytes(b"\xff\xff\xff\xff\x07" * 2 + GOOD_H[2:]) + T, errors.LicLimitExceeded),
    "tiles": (header_bytes(b"\x80\x80\x80\x80\x04\x01" + GOOD_H[2:-2] + b"\x01\x00") + T, errors.LicLimitExceeded),
    "second header": (GOOD[: -len(T)] + chunk(b"H", GOOD_H) + T, errors.LicCorruptChunk),
    "second ICC": (header_bytes(GOOD_H) + 2 * chunk(b"c", b"\0\1a") + T, errors.LicCorruptChunk),
    "no tiles": (header_bytes(GOOD_H), errors.LicTruncated),
    "length cut": (header_bytes(GOOD_H) + b"T\x91", errors.LicTruncated),
    "length not shortest": (header_bytes(GOOD_H) + b"T\x91\x00" + T[2:], errors.LicCorruptChunk),
    "tiles checksum": (GOOD[:-5] + b"\1" + GOOD[-4:], errors.LicCorruptChunk),
    "ancillary checksum": (header_bytes(GOOD_H) + chunk(b"z", b"abc")[:-1] + b"\0" + T, errors.LicCorruptChunk),
    "metadata method": (header_bytes(GOOD_H) + chunk(b"c", b"\2\1a") + T, errors.LicUnsupportedVersion),
    "metadata empty": (header_bytes(GOOD_H) + chunk(b"c", b"") + T, errors.LicCorruptChunk),
    "metadata size": (header_bytes(GOOD_H) + chunk(b"e", b"\0\2a") + T, errors.LicCorruptChunk),
    "metadata limit": (header_bytes(GOOD_H) + chunk(b"x", b"\0\x81\x80\x80\x08a") + T, errors.LicLimitExceeded),
    "metadata not zlib": (header_bytes(GOOD_H) + chunk(b"c", b"\1\1abc") + T, errors.LicCorruptChunk),
    "metadata too long": (
        header_bytes(GOOD_H) + chunk(b"c", b"\1\1" + zlib.compress(b"ab")) + T,
        errors.LicCorruptChunk,
    ),
    "metadata too short": (
        header_bytes(GOOD_H) + chunk(b"c", b"\1\3" + zlib.compress(b"ab")) + T,
        errors.LicCorruptChunk,
    ),
    "metadata stream cut": (
        header_bytes(GOOD_H) + chunk(b"c", b"\1\2" + zlib.compress(b"ab")[:-1]) + T,
        errors.LicCorruptChunk,
    ),
    "metadata with a tail": (
        header_bytes(GOOD_H) + chunk(b"c", b"\1\2" + zlib.compress(b"ab") + b"!") + T,
        errors.LicCorruptChunk,
    ),
    "metadata bomb": (
        header_bytes(GOOD_H) + chunk(b"c", b"\1\2" + zlib.compress(bytes(30000))) + T,
        errors.LicCorruptChunk,
    ),
    "map not zlib": (header_bytes(GOOD_H) + chunk(b"G", b"\0") + T, errors.LicCorruptChunk),
    "map too long": (header_bytes(GOOD_H) + chunk(b"G", zlib.compress(bytes(2))) + T, errors.LicCorruptChunk),
    "map too short": (header_bytes(GOOD_H) + chunk(b"G", zlib.compress(b"")) + T, errors.LicCorruptChunk),
    "map with a tail": (header_bytes(GOOD_H) + chunk(b"G", zlib.compress(b"\0") + b"!") + T, errors.LicCorruptChunk),
    "map beyond 32": (header_bytes(GOOD_H) + chunk(b"G", zlib.compress(b"\x21")) + T, errors.LicCorruptChunk),
    "map below -32": (header_bytes(GOOD_H) + chunk(b"G", zlib.compress(b"\xdf")) + T, errors.LicCorruptChunk),
    "map bomb": (header_bytes(GOOD_H) + chunk(b"G", zlib.compress(bytes(30000))) + T, errors.LicCorruptChunk),
    "second map": (header_bytes(GOOD_H) + 2 * chunk(b"G", zlib.compress(b"\1")) + T, errors.LicCorruptChunk),
    "preview empty": (header_bytes(GOOD_H) + chunk(b"p", b"") + T, errors.LicCorruptChunk),
    "preview 0 wide": (header_bytes(GOOD_H) + chunk(b"p", b"\0\0\5abc") + T, errors.LicCorruptChunk),
    "preview 4097 high": (header_bytes(GOOD_H) + chunk(b"p", b"\0\5\x81\x20abc") + T, errors.LicCorruptChunk),
    "second preview": (header_bytes(GOOD_H) + 2 * chunk(b"p", b"\0\5\5abc") + T, errors.LicCorruptChunk),
    "alpha unasked": (header_bytes(GOOD_H) + chunk(b"A", b"\0\xff") + T, errors.LicCorruptChunk),
    "alpha missing": (header_bytes(RGBA_H) + T, errors.LicCorruptChunk),
    "alpha empty": (header_bytes(RGBA_H) + chunk(b"A", b"") + T, errors.LicCorruptChunk),
    "alpha method": (header_bytes(RGBA_H) + chunk(b"A", b"\3\xff") + T, errors.LicUnsupportedVersion),
    "alpha painted, no PNG": (header_bytes(RGBA_H) + chunk(b"A", b"\2\0\0\0\xff") + T, errors.LicCorruptChunk),
    "alpha constant length": (header_bytes(RGBA_H) + chunk(b"A", b"\0\xff\xff") + T, errors.LicCorruptChunk),
    "alpha not PNG": (header_bytes(RGBA_H) + chunk(b"A", b"\1\xff") + T, errors.LicCorruptChunk),
    "stream too short": (header_bytes(GOOD_H) + chunk(b"T", b"\x0f" + STATES), errors.LicCorruptChunk),
    "streams short of the end": (header_bytes(GOOD_H) + chunk(b"T", b"\x10" + STATES + b"!"), errors.LicCorruptChunk),
    "streams beyond the end": (header_bytes(GOOD_H) + chunk(b"T", b"\x11" + STATES), errors.LicCorruptChunk),
    "tile length huge": (header_bytes(GOOD_H) + chunk(b"T", b"\xff\xff\xff\xff\x0f" + STATES), errors.LicCorruptChunk),
    "tiles empty": (header_bytes(GOOD_H) + chunk(b"T", b""), errors.LicCorruptChunk),
    "many chunks": (header_bytes(GOOD_H) + 2000 * chunk(b"z", b"") + T, errors.LicLimitExceeded),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_is_named_and_says_where_and_what_to_do(name):
    data, kind = REFUSED[name]
    with pytest.raises(errors.LicError) as caught:
        container.read(data)
    assert type(caught.value) is kind
    assert re.search(r"at byte \d+; \w+", str(caught.value)) or kind is errors.LicLimitExceeded
    assert isinstance(caught.value, OSError)


def test_error_table_of_the_document():
    """Every error of appendix A exists, and every error that exists stands there."""
    document = (Path(__file__).parents[2] / "docs" / "FORMAT.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(Lic\w+)` \|", document, re.MULTILINE))
    there = {name for name in vars(errors) if name.startswith("Lic")} - {"LicError"}
    assert named == there
    assert all(issubclass(getattr(errors, name), errors.LicError) for name in there)
    assert issubclass(errors.LicBadOption, ValueError)


def test_every_bit_flip_is_refused():
    data = sample()
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(errors.LicError):
            container.read(bytes(flipped))
        try:
            container.read(bytes(flipped), truncated=True)
            container.read_head(bytes(flipped))
        except errors.LicError:
            pass


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_garbage_after_the_signature(data):
    for truncated in (False, True):
        try:
            said = container.read(START + data, truncated=truncated).header.width
        except errors.LicError as error:
            said = str(error)
        assert said


def test_hostile_previews():
    """What is ancillary is skipped where it is asked to be, or is not known."""
    unknown = header_bytes(GOOD_H) + chunk(b"p", b"\2\5\5abc") + T
    assert container.read_head(unknown).preview is None
    container.verify(unknown)
    for payload in (b"", b"\0", b"\0\0\5", b"\0\5\x81\x20", b"\0\x80", b"\0\xff\xff\xff\xff\xff\xff"):
        data = header_bytes(GOOD_H) + chunk(b"p", payload) + T
        with pytest.raises(errors.LicCorruptChunk):
            container.read_head(data)
        assert container.read_head(data, truncated=True).preview is None
        assert container.read(data, truncated=True) == container.read(GOOD)
    assert container.read_head(GOOD).preview is None


def test_metadata_bomb_costs_no_memory():
    import tracemalloc

    body = b"\1\2" + zlib.compress(bytes(1 << 25), 9)
    head = b"c" + container.fields.varint(len(body))
    data = header_bytes(GOOD_H) + head + body + struct.pack("<I", zlib.crc32(head + body)) + T
    tracemalloc.start()
    with pytest.raises(errors.LicCorruptChunk):
        container.read(data)
    assert tracemalloc.get_traced_memory()[1] < 4 * len(data) + (1 << 20)
    tracemalloc.stop()


def test_mutations():
    """Few, for `make quick`; test_fuzz.py has thousands from another seed."""
    import fuzz_format

    tried, accepted = fuzz_format.loop(0, seed=2, least=400)
    assert tried == 400
    assert accepted > 2
