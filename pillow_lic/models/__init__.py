"""Models: which there are (registry.py) and how their networks are loaded (loader.py)."""
