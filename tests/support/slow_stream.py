"""The slow decoder's bitstream: range-ANS with four states, escapes, the checksum in the end (FORMAT 7.3, 7.7). Imports
nothing of pillow_lic.
"""

import bisect
import itertools
import struct

from slow_reader import demand

# ---- FORMAT 7.3: range-ANS ------------------------------------------------------------------------------------------


class Ended(Exception):
    """The words end before the symbols do (FORMAT 6.4)."""


class TileStream:
    """The segments of one tile, read as one stream with four states."""

    def __init__(self, segments):
        self.ends = list(itertools.accumulate(map(len, segments)))
        self.data, self.front, self.back = b"".join(segments), 16, self.ends[0]
        demand(self.back >= 16, "stream under 16 bytes")
        self.x = list(struct.unpack("<4I", self.data[:16]))
        demand(min(self.x) >= 65536, "an initial state is below 65536")

    def symbol(self, i, first, freq, cumulative):
        """Symbol number i of a run, from the row (first value, frequencies, cumulative frequencies); None for an
        escape.
        """
        s = i % 4
        slot = self.x[s] & 65535
        j = bisect.bisect_right(cumulative, slot) - 1
        state = freq[j] * (self.x[s] >> 16) + slot - cumulative[j]
        self.x[s] = state << 16 | self.word() if state < 65536 else state
        demand(j == len(freq) - 1 or first + j <= 32767, f"symbol {first + j} outside i16")
        return None if j == len(freq) - 1 else first + j

    def run(self, n, row):
        """The n symbols of a run; row(i, symbols) is the row of the next, given those before. Where words end, what
        they tell, the others being 0, and whether they ended.
        """
        symbols, escaped = [0] * n, []
        try:
            for i in range(n):
                first, freq, cumulative = row(i, symbols)
                value = self.symbol(i, first, freq, cumulative)
                if value is None:
                    escaped.append((i, first, len(freq)))
                else:
                    symbols[i] = value
            for i, first, count in escaped:
                symbols[i] = self.escape(first, count)
        except Ended:
            return symbols, True
        return symbols, False

    def word(self):
        """The next u16 at the front."""
        if self.front + 2 > self.back:
            raise Ended
        self.front += 2
        return struct.unpack_from("<H", self.data, self.front - 2)[0]

    def escape(self, first, n):
        """A value outside the row."""
        start, v = self.front, self.word()
        if v >= 32768:
            try:
                high = self.word()
            except Ended:
                self.front = start
                raise
            demand(1 <= high <= 3, "escape is not the shortest or too long")
            v += 32768 * high - 32768
        value = first - 1 - (v >> 1) if v & 1 else first + n - 1 + (v >> 1)
        demand(-32768 <= value <= 32767, f"symbol {value} outside i16")
        return value

    def finish(self, checksum):
        """What must hold after the last run."""
        demand(self.front == len(self.data), f"{len(self.data) - self.front} bytes left over")
        end = [65536 + (checksum & 65535), 65536 + (checksum >> 16), 65536, 65536]
        demand(self.x == end, "the checksum in the states is not that of the symbols")


def checksum(symbols):
    """K of FORMAT 7.7 over all integers of a tile, skipped ones included."""
    a = b = 0
    for n, s in enumerate(symbols, start=1):
        t = s % 65536
        a = (a + t) % 2**32
        b = (b + n * t) % 2**32
    return (a * 2654435761 + b) % 2**32
