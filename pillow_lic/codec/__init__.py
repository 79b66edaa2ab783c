"""The codec: pictures to whole `.lic` files and back. The one place where container, models and engines meet.

options.py checks what is asked for; encode.py and decode.py do one picture; pipeline.py does many; alpha.py the alpha
plane. Imports neither numpy nor torch: an engine brings them when it is taken.
"""
