"""Forked children have none of their parent's OpenMP threads, and PyTorch would wait for those for ever.

Imports os and sys only: the note must be taken at the fork, which may come long before the codec is imported in the child.
"""

from __future__ import annotations

import os
import sys

with_torch = False  # whether this process was forked from one that had imported torch


def _note() -> None:
    global with_torch
    with_torch = "torch" in sys.modules


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note)
