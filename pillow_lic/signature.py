"""What a `.lic` file is called from outside: signature (FORMAT 2), extension, format name, media type.

Imports nothing: Pillow asks every plugin about every image, and that question must cost nothing.
"""

SIGNATURE = b"\x8dLID"
EXTENSION = ".lic"
FORMAT = "LIC"
MIME = "image/x-lic"

# Before the TIFF structure in JPEG and in Pillow's info["exif"]; a .lic file holds the structure alone (FORMAT 4).
EXIF_PREFIX = b"Exif\0\0"
