"""Launches the kernels of kernels/ through CuPy: compile.py for all of them, then a file for each source. Imported when
a tensor on a GPU first arrives.

Imports cupy when a kernel is first launched, and not torch: kernels get the addresses of arrays and the handle of a
stream.
"""
