"""The registry of promoted models: numbered versions of each domain, and a pointer to the current one."""

from __future__ import annotations

from components.core.registry.domain import DomainRegistry, Version
from components.core.registry.pointer import Pointer, PointerLog, encode

SEEN_IMAGES = "seen_images.txt"
"""File of a version: ids of the pictures that its model and its ancestors have seen, one a line."""

__all__ = ["SEEN_IMAGES", "DomainRegistry", "Pointer", "PointerLog", "Version", "encode"]
