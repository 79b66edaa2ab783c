"""The families of networks that can be trained, each a module here with what training and export ask of it.

A module has `Config`, its widths, and `Model`, which is the networks under the interface below. A further family is a
file here, one in pillow_lic/engines/torch/ and its line in pillow_lic/models/manifest.py. Imports torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from pillow_lic.models.manifest import FAMILIES

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from train.layers import HyperRate
    from train.residuals.kind import Residual


class Model(Protocol):
    """The stages of a family under their names, as torch.nn.Module; further attributes are the family's own.

    `map` is the map from z, with `weight`, `offset`, `bias` and maybe `hidden` layers; `map_name` its attribute's name.
    `integer`: whether its networks are exported as integers, and so observed.
    """

    config: Any
    analysis: nn.Module
    hyper_analysis: nn.Module
    hyper_rate: HyperRate
    prior: nn.Module
    refine: nn.Module
    synthesis: nn.Module
    map_name: str
    integer: bool

    @property
    def map(self) -> nn.Module: ...

    @property
    def residual(self) -> Residual:
        """How r is coded once it is exported."""

    def __call__(self, x: Tensor, t: Tensor, hard: bool = False) -> dict[str, Tensor]:
        """x_hat, y_bits and z_bits of x (N, 3, H, W) in 0..1 at t (N,)."""

    def start(self, x: Tensor, lowest: float, highest: float) -> None:
        """The weights before the first step, from crops x (N, 3, H, W) in 0..1 and lambda at both ends."""

    def start_further(self, further: int, x: Tensor, lowest: float, highest: float) -> None:
        """Something to do for the last channels of y, which a model that it starts from has not."""

    def reach(self) -> tuple[int, int]:
        """How far the decoder sees, from pixels to r and z, and the encoder, from y to pixels and from z to y.

        In latent positions, summed from the layers.
        """

    def share(self, x: Tensor, t: Tensor) -> float:
        """Variance of what the analysis network adds to its linear path, against that of y; 1 without such a path."""

    def stored(self, units: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """What a decoder's and an encoder's file hold of the networks (FORMAT 9.3, 9.4)."""

    def widths(self) -> dict[str, object]:
        """`network` of the manifest."""


def network_config(table: dict) -> Any:
    """From a configuration's [network] or a checkpoint: without a `family`, that is `photo`."""
    return _module(table.get("family", "photo")).Config(**table)


def build(config: Any) -> Any:
    """A fresh network: a Model that is an nn.Module."""
    return _module(getattr(config, "family", "photo")).Model(config)


def _module(family: str) -> Any:
    if family not in FAMILIES:
        msg = f"network: there is no family {family!r}, want one of {', '.join(FAMILIES)}"
        raise ValueError(msg)
    return import_module(f"train.families.{FAMILIES[family]}")
