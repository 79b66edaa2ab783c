"""Quantisation tables of compact JPEGs. Imports nothing."""

from __future__ import annotations

STANDARD = (  # of JPEG, annex K, by rows of frequencies: luma, chroma
    (
        *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
        *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
        *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
        *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
    ),
    (
        *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99),
        *(24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99),
        *(99,) * 32,
    ),
)
FLAT = 0.7  # how far steps are moved to the mean of the low frequencies', in logarithms
CHROMA = 0.4  # steps of chroma, of those of the standard
LOW = 10  # coefficients that this mean is of
UNKNOWN = 16  # steps that stand for a codec without such tables


def tables_of(quality: int, flat: float = FLAT, chroma: float = CHROMA) -> list[list[int]]:
    """Two tables of 64 steps, by rows of frequencies, for a quality of libjpeg's from 1 to 100."""
    scale = (5000 / quality if quality < 50 else 200 - 2 * quality) / 100
    made = []
    for table, share in zip(STANDARD, (1.0, chroma), strict=True):
        mean = sum(table[:LOW]) / LOW
        steps = (scale * share * step ** (1 - flat) * mean**flat for step in table)
        made.append([min(max(round(step), 1), 255) for step in steps])
    return made
