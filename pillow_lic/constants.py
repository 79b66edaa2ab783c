"""The numbers that the bytes of a file depend on (FORMAT 10), as csrc/lic_constants.h states them.

Imports `_core` alone. There is no second copy: each LIC_ name below is looked up in the compiled module.
"""

from __future__ import annotations

from . import _core

_table = _core.constants()

LIC_MAJOR: int = _table["LIC_MAJOR"]
LIC_MINOR: int = _table["LIC_MINOR"]
LIC_CHANNELS_MAX: int = _table["LIC_CHANNELS_MAX"]
LIC_LATENT_STRIDE: int = _table["LIC_LATENT_STRIDE"]
LIC_HYPER_STRIDE: int = _table["LIC_HYPER_STRIDE"]
LIC_TILE_UNIT: int = _table["LIC_TILE_UNIT"]
LIC_TILE_SIDE_MAX: int = _table["LIC_TILE_SIDE_MAX"]
LIC_PIXELS_MAX: int = _table["LIC_PIXELS_MAX"]
LIC_CHUNKS_MAX: int = _table["LIC_CHUNKS_MAX"]
LIC_METADATA_MAX: int = _table["LIC_METADATA_MAX"]
LIC_SIDE_MAX: int = _table["LIC_SIDE_MAX"]
LIC_QUALITY_SCALE: int = _table["LIC_QUALITY_SCALE"]
LIC_QUALITY_MIN: int = _table["LIC_QUALITY_MIN"]
LIC_QUALITY_MAX: int = _table["LIC_QUALITY_MAX"]
LIC_FRACTION_BITS: int = _table["LIC_FRACTION_BITS"]
LIC_PROB_BITS: int = _table["LIC_PROB_BITS"]
LIC_ROW_MAX: int = _table["LIC_ROW_MAX"]
LIC_BANK_ROWS_MAX: int = _table["LIC_BANK_ROWS_MAX"]
LIC_STATES: int = _table["LIC_STATES"]
LIC_STATE_MIN: int = _table["LIC_STATE_MIN"]
LIC_WORD_BITS: int = _table["LIC_WORD_BITS"]
LIC_ESCAPE_BITS: int = _table["LIC_ESCAPE_BITS"]
LIC_SYMBOL_MIN: int = _table["LIC_SYMBOL_MIN"]
LIC_SYMBOL_MAX: int = _table["LIC_SYMBOL_MAX"]
LIC_LEVELS_MAX: int = _table["LIC_LEVELS_MAX"]
LIC_ACTIVITY_MAX: int = _table["LIC_ACTIVITY_MAX"]
LIC_Z_STEP_BITS: int = _table["LIC_Z_STEP_BITS"]
LIC_Z_MIN: int = _table["LIC_Z_MIN"]
LIC_Z_MAX: int = _table["LIC_Z_MAX"]
LIC_WEIGHT_MAX: int = _table["LIC_WEIGHT_MAX"]
LIC_BIAS_MAX: int = _table["LIC_BIAS_MAX"]
LIC_MAP_SHIFT: int = _table["LIC_MAP_SHIFT"]
LIC_COMPONENTS_MAX: int = _table["LIC_COMPONENTS_MAX"]
LIC_NORMAL_STEPS: int = _table["LIC_NORMAL_STEPS"]
LIC_NORMAL_ARGUMENT_BITS: int = _table["LIC_NORMAL_ARGUMENT_BITS"]
LIC_INVERSE_MIN: int = _table["LIC_INVERSE_MIN"]
LIC_INVERSE_MAX: int = _table["LIC_INVERSE_MAX"]
LIC_OFFSET_ONE: int = _table["LIC_OFFSET_ONE"]
LIC_OFFSET_ZERO: int = _table["LIC_OFFSET_ZERO"]
LIC_RADIUS_MIN: int = _table["LIC_RADIUS_MIN"]
LIC_LEAK_SHIFT: int = _table["LIC_LEAK_SHIFT"]
LIC_TRELLIS_STATES: int = _table["LIC_TRELLIS_STATES"]
LIC_TRELLIS_CHECK: int = _table["LIC_TRELLIS_CHECK"]
LIC_TRELLIS_PATH: int = _table["LIC_TRELLIS_PATH"]
LIC_LEVEL_PLAIN: int = _table["LIC_LEVEL_PLAIN"]
LIC_LEVEL_TRELLIS: int = _table["LIC_LEVEL_TRELLIS"]
LIC_CHECKSUM_FACTOR: int = _table["LIC_CHECKSUM_FACTOR"]

GROUPS = ((0, 0), (1, 1), (0, 1), (1, 0))  # row and column modulo 2 of the latent positions of each group (FORMAT 8)
HASH_BYTES = 8  # bytes of a model's SHA-256 that stand in a file (FORMAT 3)

# The integers of a model and their ranges (FORMAT 9.1), in the order in which its hash takes them. `skip` is bounded by
# `rows` as well.
MODEL_LIMITS = {
    "latent": (1, 1024),
    "hyper": (1, LIC_CHANNELS_MAX),
    "points": (2, 64),
    "rows": (1, 256),
    "skip": (0, 256),
    "halo": (0, 64),
}
