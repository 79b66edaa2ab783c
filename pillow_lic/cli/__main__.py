"""`python -m pillow_lic.cli`: the `lic` command where no script is installed."""

from . import script

script()
