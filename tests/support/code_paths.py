"""What damage to a tile's stream may come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pillow_lic import _core_test
from pillow_lic.errors import LicCorruptTile

if TYPE_CHECKING:
    from random_tables import Tile


def same_or_corrupt(case: Tile, stages: bytes | list[bytes]) -> bool:
    """Whether a tile's stages are accepted; bytes stand for one of one stage. Both twins agree, and what is
    accepted is the one stream of its symbols.
    """
    data = [stages] if isinstance(stages, bytes) else stages
    try:
        z, r = case.decode(data)
    except LicCorruptTile as error:
        reason = str(error).split("(byte")[0]
        with pytest.raises(LicCorruptTile) as slow:
            case.decode_slow(data)
        # The same reason; the byte may be a few further on, as the fast twin reads the words of four symbols at once.
        assert str(slow.value).split("(byte")[0] == reason
        return False
    assert _core_test.encode(case.model, case.coding, z, r) == data
    return True
