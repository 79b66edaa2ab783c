"""A service under load: a Flask view under gunicorn that makes thumbnails of uploads, good ones and bad ones, of `.lic`
beside AVIF and WebP in one run.

    python bench/service.py [--seconds 12] [--workers 2] [--connections 4] [--out bench/results/service.csv]

Needs flask and gunicorn (bench/requirements.txt). Each format is served by a gunicorn of its own, one after another,
cold start included. Pictures are generated, 1200 x 1200; a fifth of the uploads are bad: cut, damaged, noise, none.
Written for each format: answers a second, their median and 95th percentile, the largest worker's memory, uploads that
were refused with a named error, bad ones that were let through, other answers, workers that were lost.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import io
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import machine
import numpy as np
from PIL import Image

COLUMNS = ["format", "good", "per_second", "median_s", "p95_s", "worker_mb", "refused", "let_through", "other", "lost"]
FORMATS = {"LIC": {"quality": 60}, "AVIF": {"quality": 65}, "WEBP": {"quality": 75}}
APPLICATION = """
import io
import pillow_lic
from flask import Flask, request, send_file
from PIL import Image

pillow_lic.set_limits("service")
app = Flask(__name__)

@app.post("/thumbnail")
def thumbnail():
    try:
        image = Image.open(io.BytesIO(request.get_data()))
        image.thumbnail((256, 256))
        out = io.BytesIO()
        image.convert("RGB").save(out, "JPEG")
    except (OSError, MemoryError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        return f"{type(error).__name__}: {error}", 400
    return send_file(io.BytesIO(out.getvalue()), "image/jpeg")
"""
SETTINGS = """
def post_worker_init(worker):
    import pillow_lic
    pillow_lic.preload(saving=False)
"""


def picture(seed: int, side: int = 1200) -> Image.Image:
    """Gradients, edges and some noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:side, 0:side] / 90.0
    planes = [
        128 + 60 * np.sin(a * rows + c) + 40 * np.cos(b * columns) + np.where((rows * a + columns * b) % 3 < 1, 20, -9)
        for a, b, c in rng.uniform(0.3, 2.0, (3, 3))
    ]
    return Image.fromarray(np.clip(np.dstack(planes) + rng.normal(0, 3, (side, side, 1)), 0, 255).astype(np.uint8))


def uploads(format: str) -> tuple[list[bytes], list[bytes]]:
    """Good ones and bad ones."""
    good = []
    for seed in range(4):
        buffer = io.BytesIO()
        picture(seed).save(buffer, format, **FORMATS[format])
        good.append(buffer.getvalue())
    damaged = bytearray(good[0])
    for place in range(len(damaged) // 3, len(damaged), 997):
        damaged[place] ^= 0x55
    noise = good[1][:40] + random.Random(0).randbytes(20_000)
    return good, [good[0][: len(good[0]) // 2], bytes(damaged), noise, b"not a picture at all"]


class Results:
    """What came back, from all connections."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.kinds: Counter[str] = Counter()

    def add(self, bad: bool, status: int, body: bytes, seconds: float) -> None:
        if status == 200 and not bad:
            self.seconds.append(seconds)
        elif status == 200:
            self.kinds["let_through"] += 1
        elif status == 400 and bad and b": " in body[:80]:
            self.kinds["refused"] += 1
        else:
            self.kinds["other"] += 1


def connection(port: int, files: tuple[list[bytes], list[bytes]], end: float, seed: int, results: Results) -> None:
    """Uploads one after another until the time is over."""
    chance = random.Random(seed)
    while time.monotonic() < end:
        bad = chance.random() < 0.2
        begin = time.monotonic()
        try:
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            link.request("POST", "/thumbnail", chance.choice(files[bad]))
            answer = link.getresponse()
            results.add(bad, answer.status, answer.read(), time.monotonic() - begin)
        except OSError:
            results.kinds["lost"] += 1
        finally:
            link.close()


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def memory(pid: int) -> int:
    """Megabytes at a process's peak."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) >> 10


def served(format: str, seconds: float, workers: int, connections: int) -> dict[str, object]:
    """One format's run."""
    files, results = uploads(format), Results()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "application.py").write_text(APPLICATION)
        Path(folder, "settings.py").write_text(SETTINGS)
        command = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "-w", str(workers), "-c", "settings.py"]
        with subprocess.Popen([*command, "application:app"], cwd=folder, stderr=subprocess.PIPE, text=True) as server:
            begin = time.monotonic()
            while socket.socket().connect_ex(("127.0.0.1", port)):
                time.sleep(0.02)
            threads = [
                threading.Thread(target=connection, args=(port, files, begin + seconds, seed, results))
                for seed in range(connections)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            took, peak = time.monotonic() - begin, max(map(memory, children(server.pid)))
            server.terminate()
            log = server.stderr.read() if server.stderr else ""
    lost = results.kinds["lost"] + log.count("WORKER TIMEOUT") + log.count("was sent SIG")
    times = sorted(results.seconds) or [0.0]
    return {
        "format": format,
        "good": len(results.seconds),
        "per_second": f"{len(results.seconds) / took:.2f}",
        "median_s": f"{statistics.median(times):.3f}",
        "p95_s": f"{times[int(0.95 * (len(times) - 1))]:.3f}",
        "worker_mb": peak,
        "refused": results.kinds["refused"],
        "let_through": results.kinds["let_through"],
        "other": results.kinds["other"],
        "lost": lost,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=FORMATS)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "service.csv")
    a = parser.parse_args()
    rows = []
    for format in a.formats:
        rows.append(served(format, a.seconds, a.workers, a.connections))
        print(*(f"{key} {value}" for key, value in rows[-1].items()), sep=", ", flush=True)
    with a.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    machine.write_description(a.out.with_suffix(".json"), seconds=a.seconds, workers=a.workers)


if __name__ == "__main__":
    main()
