"""Folders of many pictures: time and memory as the number of files grows, in one process and by Dask's workers.

    python bench/folders.py [--counts 10,100,1000] [--workers 1,2] [--size 384x256] [--out bench/results/folders.csv]

Needs the extra `dask`. Pictures are generated. Each run is `lic encode FOLDER -o OUT` in a fresh process: with one
thread, with as many as there are processors, and with `--scheduler` by fresh workers of one thread each, whose start
is not counted. Written for each: seconds, processor seconds of who does the work, peak memory of the largest process
among them, and how many times faster than one process of one thread it is. Every run's files are compared with the
first's, byte for byte.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import machine
from service import picture

COLUMNS = ["way", "files", "seconds", "cpu_s", "peak_mb", "files_per_second", "times_one_thread"]
DISTINCT = 20  # pictures; the others are copies of them


class Run(NamedTuple):
    """What a way took."""

    seconds: float
    cpu: float
    peak: float  # megabytes


def folder_of(count: int, size: tuple[int, int], folder: Path) -> Path:
    """So many pictures."""
    folder.mkdir()
    width, height = size
    for number in range(min(count, DISTINCT)):
        picture(number, max(size)).crop((0, 0, width, height)).save(folder / f"{number:05}.png")
    for number in range(DISTINCT, count):
        os.link(folder / f"{number % DISTINCT:05}.png", folder / f"{number:05}.png")
    return folder


def in_a_process(arguments: list[str], threads: int | None) -> Run:
    """`lic` with these arguments. Raises where it fails."""
    environment = dict(os.environ)
    environment.pop("PILLOW_LIC_THREADS", None)
    if threads is not None:
        environment["PILLOW_LIC_THREADS"] = str(threads)
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "pillow_lic.cli", *arguments], env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"lic {' '.join(arguments)} failed")
    return Run(time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3)


def used() -> tuple[float, float]:
    """Processor seconds and peak megabytes of a worker."""
    found = resource.getrusage(resource.RUSAGE_SELF)
    return found.ru_utime + found.ru_stime, found.ru_maxrss / 1e3


def on_workers(arguments: list[str], workers: int) -> Run:
    """The same by so many fresh workers."""
    import distributed

    silent = {"dashboard_address": None, "silence_logs": 50}
    with (
        distributed.LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, **silent) as cluster,
        distributed.Client(cluster) as client,
    ):
        before = sum(cpu for cpu, _ in client.run(used).values())
        run = in_a_process([*arguments, "--scheduler", cluster.scheduler_address], None)
        found = client.run(used).values()
    return Run(run.seconds, sum(cpu for cpu, _ in found) - before, max(peak for _, peak in found))


def same(folder: Path, first: Path) -> None:
    """Raises unless both have the same files."""
    names = sorted(path.name for path in first.iterdir())
    if names != sorted(path.name for path in folder.iterdir()):
        sys.exit(f"{folder}: other files than those of one process")
    for name in names:
        if (folder / name).read_bytes() != (first / name).read_bytes():
            sys.exit(f"{folder / name}: other bytes than those of one process")


def measured(count: int, workers: list[int], a: argparse.Namespace, folder: Path) -> list[list[str]]:
    """The rows of a number of files."""
    source = folder_of(count, a.size, folder / f"in-{count}")
    ways = {"one thread": lambda arguments: in_a_process(arguments, 1)}
    ways["all threads"] = lambda arguments: in_a_process(arguments, None)
    for number in workers:
        ways[f"dask, {number} workers"] = lambda arguments, number=number: on_workers(arguments, number)
    rows, first, base = [], None, 0.0
    for way, run in ways.items():
        out = folder / f"out-{count}-{len(rows)}"
        found = run(["encode", str(source), "-o", str(out), "-q", str(a.quality)])
        if first is None:
            first, base = out, found.seconds
        same(out, first)
        figures = [found.seconds, found.cpu, found.peak, count / found.seconds, base / found.seconds]
        rows.append([way, str(count), *(f"{figure:.2f}" for figure in figures)])
        print(*rows[-1], sep="\t", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = {"type": lambda text: [int(part) for part in text.split(",")]}
    parser.add_argument("--counts", default=[10, 100, 1000], **numbers)
    parser.add_argument("--workers", default=[1, 2], **numbers)
    parser.add_argument("--size", type=lambda text: tuple(map(int, text.split("x"))), default=(384, 256))
    parser.add_argument("--quality", type=float, default=60)
    parser.add_argument("--out", type=Path, default=machine.RESULTS / "folders.csv")
    a = parser.parse_args()
    a.out.parent.mkdir(parents=True, exist_ok=True)
    print(*COLUMNS, sep="\t")
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for count in a.counts for row in measured(count, a.workers, a, Path(folder))]
    with open(a.out, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    machine.write_description(a.out.with_suffix(".json"), size=a.size, quality=a.quality)


if __name__ == "__main__":
    main()
