"""Times on a GPU, and tables of them, for bench/gpu.py."""

import csv
import statistics

import machine

FLUSH = 1 << 29  # bytes, several times any L2 cache


class Clock:
    """Medians of what a function takes on the GPU, with a cold L2 cache."""

    def __init__(self, repeats):
        import torch

        self.torch, self.repeats = torch, repeats
        self.flush = torch.empty(FLUSH, dtype=torch.uint8, device="cuda")

    def ms(self, function):
        """Milliseconds; the first three runs are dropped. Overwriting the cache keeps the GPU busy while the launch is
        prepared.
        """
        cuda = self.torch.cuda
        pairs = []
        for _ in range(self.repeats + 3):
            self.flush.zero_()
            pair = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
            pair[0].record()
            function()
            pair[1].record()
            pairs.append(pair)
        cuda.synchronize()
        return statistics.median(a.elapsed_time(b) for a, b in pairs[3:])


def write(name, fields, rows):
    """A CSV in bench/results."""
    machine.RESULTS.mkdir(parents=True, exist_ok=True)
    with (machine.RESULTS / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fields, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)


def rounded(rows):
    """Figures with as many places as they deserve."""
    return [{key: f"{value:.5g}" if isinstance(value, float) else value for key, value in row.items()} for row in rows]
