"""The interface of an object store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, order=True)
class ObjectInfo:
    """One stored object, as a listing names it."""

    key: str
    size: int
    """Bytes."""
    etag: str
    """Changes when the content does."""


class ObjectStore(Protocol):
    """Whole objects by key: an object is there entirely or not at all."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object whose key starts with `prefix`, sorted by key."""

    def get(self, key: str) -> bytes:
        """An object's content; NoInputError if there is none."""

    def exists(self, key: str) -> bool:
        """Whether there is an object of this key."""

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Store an object. With `if_absent` only if there is none yet; False if another writer was first."""

    def download(self, key: str, path: Path) -> None:
        """Copy an object to a file, which appears whole or not at all; NoInputError if there is none."""

    def upload(self, path: Path, key: str) -> None:
        """Copy a local file to an object; FileNotFoundError if there is no such file."""

    def delete(self, key: str) -> None:
        """Remove an object; no error if there is none."""
