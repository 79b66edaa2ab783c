"""Standard streams of a command that runs in the tests' own process."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


class Standard(io.TextIOWrapper):
    """A standard stream with bytes beneath."""

    def __init__(self, data: bytes = b""):
        super().__init__(io.BytesIO(data), write_through=True)

    @property
    def bytes(self) -> bytes:
        return self.buffer.getvalue()


def replaced(monkeypatch: pytest.MonkeyPatch, data: bytes = b"") -> Standard:
    """Standard input has the data; standard output is what is returned."""
    out = Standard()
    monkeypatch.setattr(sys, "stdin", Standard(data))
    monkeypatch.setattr(sys, "stdout", out)
    return out
