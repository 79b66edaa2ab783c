"""What damage to a tile's stream may come to."""

from __future__ import annotations

import pytest
from random_tables import Case

from pillow_lic.errors import LicCorruptTile


def same_or_corrupt(case: Case, data: bytes) -> bool:
    """Whether `data` is accepted. Both twins agree, and what is accepted is the one stream of its symbols."""
    try:
        z, r = case.decode(data)
    except LicCorruptTile as error:
        with pytest.raises(LicCorruptTile) as slow:
            case.decode_slow(data)
        # The same reason; the byte may be a few further on, as the fast twin reads the words of four symbols at once.
        assert str(slow.value).split("(byte")[0] == str(error).split("(byte")[0]
        return False
    assert case.tables.encode(case.q, z, r) == data
    return True
