"""Pages are about what files hold: a stand-in for an engine does where a test asks for it."""

from fake_engine import fake_engine

__all__ = ["fake_engine"]
