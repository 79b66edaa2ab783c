"""Types of constants.py. A LIC_ name is an integer; one that does not exist is an ImportError where imported."""

GROUPS: tuple[tuple[int, int], ...]
HASH_BYTES: int
MODEL_LIMITS: dict[str, tuple[int, int]]

def __getattr__(name: str) -> int: ...
