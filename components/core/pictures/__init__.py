"""Pictures as everyone reads them: opened, turned upright and brought to 8-bit colour in one place."""

from __future__ import annotations

from components.core.pictures.decode import UnreadablePicture, check_whole, decode, header_size, sendable

__all__ = ["UnreadablePicture", "check_whole", "decode", "header_size", "sendable"]
