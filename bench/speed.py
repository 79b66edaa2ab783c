"""Encode and decode times of LIC against CompressAI and against codecs behind Pillow, all in one run.

    python bench/speed.py IMAGES [--limit 3] [--codecs lic,compressai,...] [--threads 1,2] [--repeats 9] [--cold 3]

Every codec lives in a process of its own, confined to as many processors as it has threads; the parent asks them in
turn, round after round, so that whatever else the machine does falls on all alike. All make files of about the same
size (the bits per pixel published for CompressAI's mbt2018-mean, quality 4), from pixels and back to pixels. The first
call of each is dropped; figures are medians. `cold` is a whole fresh Python process that opens one file (or saves one),
start included. Writes bench/results/speed-<set>.csv and a JSON that says what ran.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import curves
import machine
import peers
from PIL import Image
from rd import images_in, write

DEFAULT = "lic,compressai,heic-default,avif-default,jxl-default,webp,jpeg-default"
REFERENCE = "compressai"
COLUMNS = (
    "image",
    "threads",
    "codec",
    "quality",
    "bytes",
    "bpp",
    "encode_ms",
    "decode_ms",
    "coder_encode_ms",
    "coder_decode_ms",
    "cold_encode_ms",
    "cold_decode_ms",
    "encode_ratio",
    "decode_ratio",
)
COLD = {
    "decode": "import sys, PIL.Image; {register}; PIL.Image.open(sys.argv[1]).load()",
    "encode": "import sys, PIL.Image; {register}; image = PIL.Image.open(sys.argv[1]).convert('RGB'); "
    "image.save(sys.argv[2], {format!r}, **{options!r})",
}


# ---- the process of one codec ----------------------------------------------------------------------------------------


def find(name):
    """A codec of peers.py, or CompressAI's."""
    if name == REFERENCE:
        import compressai_peer

        return compressai_peer.MeanScale()
    return peers.find(name)


def target_bpp():
    """The common bits per pixel: that of mbt2018-mean at quality 4, its fourth published point."""
    return curves.published("kodak", "psnr")["cai-mbt2018-mean"][3][0]


def serve(name, threads, path):
    """Answer `encode` and `decode` lines with seconds: total, and the entropy coder's where it is known."""
    confine(threads)
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print must not be taken for an answer
    codec = find(name)
    with Image.open(path) as source:
        image = source.convert("RGB")
    quality, data = codec.fit(image, target_bpp() * image.width * image.height / 8)
    decoded = codec.decode(data)
    if decoded.size != image.size or decoded.mode != "RGB":
        msg = f"{name}: {decoded.mode} {decoded.size} came back"
        raise SystemExit(msg)
    print(quality, len(data), file=answers, flush=True)
    coder = getattr(codec, "coder_seconds", lambda: float("nan"))
    calls = {"encode": lambda: codec.encode(image, quality), "decode": lambda: codec.decode(data)}
    for request in sys.stdin:
        coder()
        start = time.perf_counter()
        calls[request.strip()]()
        print(time.perf_counter() - start, coder(), file=answers, flush=True)


def confine(threads):
    """Keep this process to the first processors that it has."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


class Worker:
    """The parent's end of such a process."""

    def __init__(self, name, threads, path):
        self.name, self.times = name, {"encode": [], "decode": []}
        command = [sys.executable, __file__, "--serve", name, "--threads", str(threads), path]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(threads)
        )

    def ready(self):
        """Wait until it has found its quality; False if it could not start."""
        words = self.process.stdout.readline().split()
        if len(words) != 2:
            print(f"  {self.name}: left out, its process ended (see above)", file=sys.stderr)
            return False
        self.quality, self.bytes = float(words[0]), int(words[1])
        return True

    def ask(self, request):
        """One call; remembers its times."""
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        self.times[request].append([float(word) for word in self.process.stdout.readline().split()])

    def median(self, request, which=0):
        """Milliseconds, the first call dropped; which: 0 all, 1 the entropy coder."""
        return 1000 * statistics.median(times[which] for times in self.times[request][1:])

    def close(self):
        """End it."""
        self.process.stdin.close()
        self.process.wait()


def environment(threads):
    """For thread pools that are read from the environment."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


# ---- the run ---------------------------------------------------------------------------------------------------------


def measure(path, names, threads, repeats, cold):
    """Rows of COLUMNS for one image."""
    from tqdm import tqdm

    workers = [Worker(name, threads, path) for name in names]
    workers = [worker for worker in workers if worker.ready()]
    for _ in tqdm(range(repeats + 1), desc=f"{pathlib.Path(path).name}, {threads} threads", unit="round"):
        for request in ("encode", "decode"):
            for worker in workers:
                worker.ask(request)
    with Image.open(path) as image:
        pixels = image.width * image.height
    rows = []
    for worker in workers:
        worker.close()
        rows.append(
            {
                "image": pathlib.Path(path).name,
                "threads": threads,
                "codec": worker.name,
                "quality": worker.quality,
                "bytes": worker.bytes,
                "bpp": 8 * worker.bytes / pixels,
                **{f"{r}_ms": worker.median(r) for r in ("encode", "decode")},
                **{f"coder_{r}_ms": worker.median(r, 1) for r in ("encode", "decode")},
                **cold_times(worker, threads, path, cold),
            }
        )
    return with_ratios(rows)


def cold_times(worker, threads, path, repeats):
    """Median milliseconds of fresh processes; nothing for CompressAI, which has no file."""
    if worker.name == REFERENCE or not repeats:
        return {}
    codec = peers.find(worker.name)
    with tempfile.TemporaryDirectory() as folder, Image.open(path) as image:
        file = pathlib.Path(folder, "image")
        file.write_bytes(codec.encode(image.convert("RGB"), worker.quality))
        words = {"register": register_line(codec), "format": codec.format, "options": codec.options(worker.quality)}
        return {
            "cold_decode_ms": cold(COLD["decode"].format(**words), [str(file)], threads, repeats),
            "cold_encode_ms": cold(COLD["encode"].format(**words), [path, str(file)], threads, repeats),
        }


def register_line(codec):
    """What a program writes to have the plugin."""
    if codec.module == "pillow_heif":
        return "import pillow_heif; pillow_heif.register_heif_opener()"
    return f"import {codec.module}" if codec.module else "pass"


def cold(program, arguments, threads, repeats):
    """Median milliseconds of a fresh process, the first dropped."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", program, *arguments],
            check=True,
            env=environment(threads),
            preexec_fn=lambda: confine(threads),
        )
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[1:])


def with_ratios(rows):
    """How many times faster than CompressAI's each is."""
    reference = next((row for row in rows if row["codec"] == REFERENCE), None)
    for row in rows if reference else ():
        for request in ("encode", "decode"):
            row[f"{request}_ratio"] = reference[f"{request}_ms"] / row[f"{request}_ms"]
    return rows


def show(rows):
    """Medians over the images."""

    def median(group, column):
        values = [row[column] for row in group if row.get(column) == row.get(column) and column in row]
        return f"{statistics.median(values):10.2f}" if values else " " * 9 + "-"

    columns = COLUMNS[5:]
    print(
        f"\n{'threads':7} {'codec':14}"
        + "".join(f"{c.replace('_ms', '').replace('coder_', 'coder '):>15}" for c in columns)
    )
    for key in dict.fromkeys((row["threads"], row["codec"]) for row in rows):
        group = [row for row in rows if (row["threads"], row["codec"]) == key]
        print(f"{key[0]:7} {key[1]:14}" + "".join(f"{median(group, c):>15}" for c in columns))
    print("milliseconds; ratio: CompressAI's time divided by this one's")


def options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", help="folder of images")
    parser.add_argument("--set", help="name of the set, default the folder's")
    parser.add_argument("--codecs", default=DEFAULT, help=f"of {REFERENCE}, {', '.join(peers.CODECS)}, lic@MODEL")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, each measured on its own")
    parser.add_argument("--repeats", type=int, default=9, help="calls per image after the first")
    parser.add_argument("--cold", type=int, default=3, help="fresh processes per image; 0 for none")
    parser.add_argument("--limit", type=int, default=3, help="only the first N images")
    parser.add_argument("--results", type=pathlib.Path, default=machine.RESULTS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    """Measure, print, write."""
    chosen = options()
    if chosen.serve:
        serve(chosen.serve, int(chosen.threads), chosen.images)
        return
    dataset = chosen.set or pathlib.Path(chosen.images).name
    machine.write_description(chosen.results / f"speed-{dataset}.json", codecs=chosen.codecs, repeats=chosen.repeats)
    rows = [
        row
        for threads in chosen.threads.split(",")
        for path in images_in(chosen.images, chosen.limit)
        for row in measure(path, chosen.codecs.split(","), int(threads), chosen.repeats, chosen.cold)
    ]
    write(chosen.results / f"speed-{dataset}.csv", COLUMNS, rows)
    show(rows)


if __name__ == "__main__":
    main()
