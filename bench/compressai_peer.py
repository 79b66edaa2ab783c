"""CompressAI's mbt2018-mean (quality 4), or its bmshj2018-hyperprior, as a codec to time, without downloaded weights.

Its networks are the real ones with random weights, which cost what trained ones cost. Random weights would leave the
entropy coder nothing to do (all latents near zero), so y and the distribution parameters are replaced, after the
networks have run, by synthetic ones: Gaussian residuals around random means with exactly the scales that the coder is
told, spread over channels and places as in trained models (most channels nearly dead), and scaled until y takes the
bits per pixel published for this model on Kodak. The coder so gets the number of symbols, the rate and the matching
statistics of the trained model. z is left as it comes: 4 % of the symbols, though untrained tables spend about 0.17
bits per pixel on it, which the file's size shows. Pictures that come back are noise: only times mean something.
"""

import importlib.abc
import importlib.machinery
import pickle
import sys
import time
import unittest.mock

import numpy as np
import torch
from PIL import Image

QUALITY = 4
STRIDE = 64  # its images are padded to multiples of this


class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for what CompressAI imports and coding does not need; torchvision's operators are missing beside a CPU
    torch.
    """

    NAMES = (
        "torchvision",
        "torch_geometric",
        "pandas",
        "einops",
        "requests",
        "compressai.datasets",
        "compressai.transforms",
    )

    def find_spec(self, name, path=None, target=None):
        """Claims the packages of NAMES and everything below them."""
        if any(name == known or name.startswith(known + ".") for known in self.NAMES):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        """A module in which every name exists."""
        return unittest.mock.MagicMock(name=spec.name, __path__=[], __spec__=spec, __name__=spec.name)

    def exec_module(self, module):
        """Nothing to run."""


class Replaced(torch.nn.Module):
    """Runs a network and hands out something else."""

    def __init__(self, network):
        super().__init__()
        self.network, self.output = network, None

    def forward(self, x):
        """`output`, after the network has run."""
        found = self.network(x)
        if self.output is None:
            return found
        assert found.shape == self.output.shape
        return self.output


class Timed:
    """A method that adds its time to `seconds`."""

    def __init__(self, method):
        self.method, self.seconds = method, 0.0

    def __call__(self, *arguments, **named):
        start = time.perf_counter()
        try:
            return self.method(*arguments, **named)
        finally:
            self.seconds += time.perf_counter() - start


def synthetic(shape, shift, seed=1):
    """(y, scales, means) of shape (1, M, h, w): log scales with a channel part, a smooth part in space and noise."""
    make = torch.Generator().manual_seed(seed)
    _, channels, rows, columns = shape
    coarse = torch.randn(1, channels, -(-rows // 4), -(-columns // 4), generator=make)
    smooth = torch.nn.functional.interpolate(coarse, size=(rows, columns), mode="bilinear", align_corners=False)
    logs = shift + 1.5 * torch.randn(1, channels, 1, 1, generator=make) + 0.8 * smooth
    scales = torch.exp(logs + 0.3 * torch.randn(shape, generator=make)).clamp(0.11, 256)
    means = scales * torch.randn(shape, generator=make)
    return means + scales * torch.randn(shape, generator=make), scales, means


class MeanScale:
    """The codec: encode(image, quality) to bytes, decode(bytes) to an image."""

    name, label = "compressai", "CompressAI mbt2018-mean"
    model, has_means = "mbt2018_mean", True

    def __init__(self):
        sys.meta_path.insert(0, Absent())
        from compressai import zoo

        torch.manual_seed(0)
        self.net = getattr(zoo, self.model)(quality=QUALITY, metric="mse", pretrained=False).eval()
        self.net.update(force=True)
        self.net.g_a, self.net.h_s = Replaced(self.net.g_a), Replaced(self.net.h_s)
        for part in (self.net.entropy_bottleneck, self.net.gaussian_conditional):
            part.compress, part.decompress = Timed(part.compress), Timed(part.decompress)

    def fit(self, image, size):
        """Choose the synthetic latents so that y takes `size` bytes; returns (published quality, bytes)."""
        rows, columns = (4 * -(-side // STRIDE) for side in (image.height, image.width))
        low, high = -8.0, 3.0
        for _ in range(12):
            middle = (low + high) / 2
            y, scales, means = synthetic((1, self.net.M, rows, columns), middle)
            if not self.has_means:
                y, means = y - means, None
            self.net.g_a.output, self.net.h_s.output = y, torch.cat([scales, means], 1) if self.has_means else scales
            coded = self.net.gaussian_conditional.compress(
                y, self.net.gaussian_conditional.build_indexes(scales), means=means
            )
            low, high = (low, middle) if len(coded[0]) > size else (middle, high)
        return QUALITY, self.encode(image, QUALITY)

    def encode(self, image, quality):
        """8-bit pixels to strings."""
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
        bottom, right = -image.height % STRIDE, -image.width % STRIDE
        with torch.no_grad():
            coded = self.net.compress(torch.nn.functional.pad(pixels, (0, right, 0, bottom), mode="replicate"))
        return pickle.dumps((image.size, coded["strings"], tuple(coded["shape"])))

    def decode(self, data):
        """Strings to 8-bit pixels."""
        (width, height), strings, shape = pickle.loads(data)
        with torch.no_grad():
            pixels = self.net.decompress(strings, shape)["x_hat"][0, :, :height, :width]
        return Image.fromarray((pixels * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())

    def coder_seconds(self):
        """Time spent in the entropy coder since the last call."""
        total = 0.0
        for part in (self.net.entropy_bottleneck, self.net.gaussian_conditional):
            for method in (part.compress, part.decompress):
                total, method.seconds = total + method.seconds, 0.0
        return total


class Hyperprior(MeanScale):
    """The scale hyperprior of Balle et al. 2018, without means."""

    name, label = "compressai-hyperprior", "CompressAI bmshj2018-hyperprior"
    model, has_means = "bmshj2018_hyperprior", False
