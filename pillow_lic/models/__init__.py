"""Models: what a directory says of itself (manifest), its files (store), which there are (registry), which to take
(choice).

What runs a model's networks is an engine's business. Imports entropy and ground.
"""
