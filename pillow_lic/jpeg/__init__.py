"""Decoded JPEGs made better: `enhance` takes out what compression put in (docs/guide/old-jpegs.md), and brings back to
size what `compact` made (docs/guide/compact.md).
"""
