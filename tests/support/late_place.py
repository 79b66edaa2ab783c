"""A place that behaves as a GPU does, on the CPU: groups share network calls, copies to the host arrive when they are
waited for and not before, kernels come through a stand-in for CuPy. So tests without a GPU take the path of one.
"""

from __future__ import annotations

from contextlib import contextmanager

import torch

from pillow_lic.engines.torch import place as places
from pillow_lic.engines.torch.place import Place


class LatePlace(Place):
    """Its name is another than the CPU's, so its networks are made and run as a GPU's: in float16, with stated
    settings, not fused.

    `log`: what happened, in order: "stream K", "end K", "mark", "wait".
    """

    def __init__(self, side: int = 64, group: int = 1 << 20):
        super().__init__("cpu:0")
        self.side, self.group = side, group
        self.copies: list = []  # since the last mark
        self.log: list[str] = []

    def host(self, *shape, dtype):
        return torch.full(shape, 85, dtype=dtype)  # what was not written shows

    def down(self, tensor):
        host = self.host(*tensor.shape, dtype=tensor.dtype)
        self.copies.append((host, tensor))
        return host

    def mark(self):
        copies, self.copies = self.copies, []
        self.log.append("mark")

        def wait() -> None:
            self.log.append("wait")
            with torch.inference_mode():
                for host, tensor in copies:
                    host.copy_(tensor)

        return wait

    def streams(self):
        return [self._stream(number) for number in range(2)]

    def _stream(self, number: int):
        log = self.log

        class Stream:
            def __enter__(self):
                log.append(f"stream {number}")

            def __exit__(self, *error):
                log.append(f"end {number}")

        return Stream()

    def hand_over(self, tensors):
        assert all(isinstance(tensor, torch.Tensor) for tensor in tensors)


@contextmanager
def installed(place: Place, monkeypatch):
    """`device="cuda"` means this place."""
    existing, at = places.existing, places.at
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "synchronize", lambda name: None)
        patch.setattr(places, "existing", lambda name: place.name if name == "cuda" else existing(name))
        patch.setattr(places, "at", lambda name: place if name == place.name else at(name))
        yield place
