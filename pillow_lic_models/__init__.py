"""Weights that the wheel of pillow-lic leaves out; pillow_lic/models/store.py finds them here."""
