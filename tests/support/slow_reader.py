"""What refuses, and bounded reads of bytes, for the slow decoder (FORMAT 1). Imports the standard library alone."""

import struct


class Refused(Exception):
    """The one error: the file or the model is not as FORMAT.md says, and the message says how."""


def demand(condition, message):
    """FORMAT 1, "refuse"."""
    if not condition:
        raise Refused(message)


# ---- FORMAT 1: conventions ------------------------------------------------------------------------------------------


class Reader:
    """Bytes with a position; every read is bounded."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        """Number of bytes not yet read."""
        return len(self.data) - self.at

    def take(self, count):
        """The next `count` bytes."""
        demand(count <= self.left(), f"data ends: {count} bytes wanted at {self.at}, {self.left()} left")
        self.at += count
        return self.data[self.at - count : self.at]

    def rest(self):
        """All bytes not yet read."""
        return self.take(self.left())

    def u8(self):
        """One unsigned byte."""
        return self.take(1)[0]

    def u16(self):
        """Two bytes, little-endian."""
        return struct.unpack("<H", self.take(2))[0]

    def u32(self):
        """Four bytes, little-endian."""
        return struct.unpack("<I", self.take(4))[0]

    def varint(self):
        """Unsigned LEB128 of at most 5 bytes, below 2^31, shortest form."""
        value = 0
        for n in range(5):
            byte = self.u8()
            value |= (byte & 127) << (7 * n)
            if byte < 128:
                demand(byte or n == 0, f"varint before {self.at} is not the shortest")
                demand(value < 2**31, f"varint before {self.at} is not below 2^31")
                return value
        raise Refused(f"varint before {self.at} has more than 5 bytes")


def ceil_div(a, b):
    """Division rounded up (FORMAT 6.1)."""
    return -(-a // b)
