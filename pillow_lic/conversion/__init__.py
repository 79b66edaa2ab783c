"""Files to `.lic` and back: many of them, each written whole or not at all, on disks and wherever fsspec reaches.

The command line and Dask stand on it. Imports the standard library; Pillow and the codec come with the rooms' files.
"""

from __future__ import annotations

import threading

at_work = threading.local()  # `source`: the file that a thread is at, for warnings
