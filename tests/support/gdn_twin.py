"""GDN in NumPy float64, from the equations of kernels/README.md alone: what every other implementation is compared
with.

Arrays are (N, C, H, W), beta (C,), gamma (C, C).
"""

from __future__ import annotations

import numpy as np


def sums(x, beta, gamma):
    """v of (1): beta_i + sum_j gamma_ij x_j^2."""
    return beta[:, None, None] + np.einsum("ij,njhw->nihw", gamma, x**2)


def forward(x, beta, gamma, inverse: bool):
    """(1), or (2)."""
    root = np.sqrt(sums(x, beta, gamma))
    return x * root if inverse else x / root


def backward(grad, x, beta, gamma, inverse: bool):
    """dL/dx (6), dL/dbeta and dL/dgamma (7), and for each the sum of the magnitudes that it is made of, which errors
    scale with.
    """
    v = sums(x, beta, gamma)
    t = 0.5 * grad * x * v**-0.5 if inverse else -0.5 * grad * x * v**-1.5  # (3), (4)
    d = grad * v**0.5 if inverse else grad * v**-0.5  # (5)
    across = lambda t: np.einsum("ij,nihw->njhw", gamma, t)  # noqa: E731
    pairs = lambda t: np.einsum("nihw,njhw->ij", t, x**2)  # noqa: E731
    exact = d + 2 * x * across(t), t.sum((0, 2, 3)), pairs(t)
    size = abs(t)
    return exact, (abs(d) + 2 * abs(x) * across(size), size.sum((0, 2, 3)), pairs(size))


def inputs(shape, seed: int = 0, scale: float = 1.0):
    """x, grad (N, C, H, W), beta (C,), gamma (C, C), as trained models have them: gamma has a strong diagonal and
    zeros.
    """
    rng = np.random.default_rng(seed)
    channels = shape[1]
    x, grad = rng.normal(0, scale, shape), rng.normal(0, 1, shape)
    beta = rng.uniform(0.05, 1.5, channels)
    gamma = np.maximum(rng.normal(0, 0.3 / channels**0.5, (channels, channels)), 0) + 0.1 * np.eye(channels)
    return x, grad, beta, gamma
