"""Measured files as rows of a CSV which is also the cache: appended to as results arrive, so that a crash loses nothing
that is done.

Knows the standard library only. A row is known by codec, quality and image; `settings` says what else it depends on.
"""

import csv
import io
import os

KEY = ("codec", "quality", "image")


def key(row):
    """What makes two rows of the same file of the same codec."""
    return row["codec"], float(row["quality"]), row["image"]


def text(value):
    """A value as it stands in the file."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def read(path):
    """The rows as text, {} where there is no file. Of rows with the same key the last; half a row, where a run broke
    off, is dropped.
    """
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if None not in row.values() and None not in row]
    return {key(row): row for row in rows}


def write(path, columns, rows):
    """The whole file, sorted; it is replaced at once, so that a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        file.write(lines([columns]))
        file.write(lines([[text(row.get(name, "")) for name in columns] for row in sorted(rows, key=key)]))
    os.replace(part, path)


def append(path, columns, rows):
    """Further rows, whole and on the disk when it returns."""
    with path.open("a", newline="", encoding="utf-8") as file:
        file.write(lines([[text(row.get(name, "")) for name in columns] for row in rows]))
        file.flush()
        os.fsync(file.fileno())


def lines(rows):
    """Rows as CSV."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
