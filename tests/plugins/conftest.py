"""The plugins' tests run on a stand-in for an engine."""

from fake_engine import fake_engine

__all__ = ["fake_engine"]
