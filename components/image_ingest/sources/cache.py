"""Fetched bytes, one file each, kept in the work directory: a restarted stage fetches nothing twice."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from components.core.data.hashing import sha256_hex


@dataclass(frozen=True)
class Cache:
    """Files by key; a file is there whole or not at all."""

    root: Path

    def path(self, key: str) -> Path:
        """Where the bytes of a key are, or would be."""
        digest = sha256_hex(key)
        return self.root / digest[:2] / digest[2:]

    def temporary(self, key: str) -> Path:
        """A place of this process for a file that is not whole yet."""
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.with_name(f"{path.name}.{os.getpid()}.tmp")

    def commit(self, key: str) -> None:
        """The temporary file is whole."""
        os.replace(self.temporary(key), self.path(key))
