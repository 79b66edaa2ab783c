"""Decoded JPEGs made better: `enhance` takes out what compression put in (docs/guide/old-jpegs.md)."""
