"""What a pixel of a model costs to decode, from its manifest's widths: the unit is a pixel of `photo`.

Imports the manifest alone. `python bench/macs.py` counts the same while networks run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .manifest import FAMILIES, NATIVE

if TYPE_CHECKING:
    from .manifest import Manifest

PHOTO = 13950.0  # multiply-adds a pixel of `photo`; the default, `photo-visual`, has 4 % fewer
PYTORCH = 12.0  # times a multiply-add of the native engine: 2.4 times its time on one core, the rest for its memory
_LATENT = 256  # pixels of a latent position
_LEAST = 0.25  # what pixels cost beside networks: entropy coding, memory


def cost(manifest: Manifest) -> float:
    """Of a pixel of the model's files, in pixels of `photo`."""
    counted = COUNTED[FAMILIES[manifest.family]](manifest) / PHOTO
    return max(_LEAST, counted if manifest.family == NATIVE else PYTORCH * counted)


def _photo(manifest: Manifest) -> float:
    """Multiply-adds a pixel of the decoder (FORMAT 9.3)."""
    w, M = manifest.widths, manifest.latent
    body, detail, render = (w.get(key, 0) for key in ("body", "detail", "render"))
    spread = w.get("spread", 0)
    prior = manifest.hyper * (spread + M) + spread * body + _block(body) + 2 * body * M
    refine = 3 * body * (body + M) + 3 * (5 * body**2 + 2 * body * M) / 4  # three groups of a quarter each
    eighth = 4 * body * detail + 4 * w.get("detail_blocks", 0) * _block(detail)
    quarter = 16 * detail * render + 16 * _block(render) + 16 * 48 * render
    return (prior + refine + body * M + w.get("body_blocks", 0) * _block(body) + eighth + quarter + 768 * M) / _LATENT


def _block(width: int) -> int:
    """A residual block: two layers between equal widths, two between it and its double, 3x3 taps of each channel."""
    return 6 * width**2 + 9 * width


def _gdn(manifest: Manifest) -> float:
    """Likewise of FORMAT 9.4: transposed 5x5 convolutions of stride 2, which cost 25/4 an output."""
    w, M = manifest.widths, manifest.latent
    n, hidden, components = w.get("filters", 0), w.get("hidden", 0), w.get("components", 0)
    synthesis = 6.25 * (M * n / 64 + n * n / 16 + n * n / 4 + 3 * n) + n * n * (1 / 64 + 1 / 16 + 1 / 4)
    prior = 6.25 * (manifest.hyper * n / 1024 + n * n / 256) + 9 * n * M / 256
    return synthesis + prior + hidden * (manifest.hyper + hidden + 3 * max(components, 1) * M) / _LATENT


COUNTED = {"photo": _photo, "gdn": _gdn}  # by a family's file: its multiply-adds a pixel
