"""The numbers that the bytes of a file depend on (FORMAT 10), as csrc/lic_constants.h states them.

Imports `_core` alone. There is no second copy: every LIC_ name of this module comes from the compiled one;
constants.pyi says that they are integers.
"""

from __future__ import annotations

from . import _core

globals().update(_core.constants())

GROUPS = ((0, 0), (1, 1), (0, 1), (1, 0))  # row and column modulo 2 of the latent positions of each group (FORMAT 8)
HASH_BYTES = 8  # bytes of a model's SHA-256 that stand in a file (FORMAT 3)

# The integers of a model and their ranges (FORMAT 9.1), in the order in which its hash takes them. `skip` is bounded by
# `rows` as well.
MODEL_LIMITS = _core.model_limits()
