"""Engines: what runs a model's networks. base.py says what one does, choice.py which one is taken; each is a file or a
folder.

Imports models, container, entropy and ground. torch and cupy are imported within engines/torch/ alone, when that one is
taken.
"""
