"""How r is coded, as training and export know it: a kind of FORMAT 7.3, 7.8 or 7.9 each, with the rows of the bank that
it begins with, and what the bytes of the integer map mean.

A family says which kind is its own. The one place of training that lists them; the core's is csrc/residual/kinds.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from train.residuals.gaussian import Gaussian
from train.residuals.mixture import Mixture
from train.residuals.trellis import Trellis

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from train.residuals.kind import Residual

KINDS = (Mixture, Trellis, Gaussian)  # in the order in which arrays are asked; the last one holds any


def kind_of(arrays: Mapping[str, np.ndarray], latent: int) -> Residual:
    """That of an exported model's arrays and latent channels."""
    return next(kind for one in KINDS if (kind := one.of(arrays, latent)) is not None)
