"""Which engine the codec's tests run on, where they say so; else it is what a user gets."""

from shortcuts import engine, on_torch

__all__ = ["engine", "on_torch"]
