"""`python -m pillow_lic.cli`: the `lic` command where no script is installed."""

import sys

from . import main

sys.exit(main())
