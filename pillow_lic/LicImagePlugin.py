"""Importing this module registers the format with Pillow, under the name that plugin users expect."""

from .plugins import register_lic_opener
from .plugins.pillow import LicImageFile

__all__ = ["LicImageFile"]

register_lic_opener()
