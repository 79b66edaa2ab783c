"""Everything that a process's first file would otherwise import and read.

Imports ground; the rest when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..imports import imported

if TYPE_CHECKING:
    from collections.abc import Iterable


def preload(models: Iterable[str] | None = None, *, saving: bool = True) -> None:
    """Import what opening and saving need, read the models' files and pack their networks, now instead of at the first
    file: for servers, in each worker before its first request (gunicorn's `post_fork`).

    models: names; None: those of the default tune. saving=False leaves out what only encoders use. A model that the
    native engine does not run is read, and its engine imported. Raises LicUnknownModel, LicModelMissing,
    LicEngineMissing.
    """
    needed = ["pillow_lic.plugins.pillow", "pillow_lic.codec.decode", "pillow_lic.engines.native"]
    imported(*needed, *(["numpy", "pillow_lic.codec.encode", "pillow_lic.plugins.saving"] if saving else []))
    from ..engines import choice as engines
    from ..models import choice, registry

    default = [name for _, name in choice.TUNES[choice.DEFAULT_TUNE]]
    for name in default if models is None else list(models):
        model = registry.by_name(name)
        engines.prepare(model, saving=saving)
