"""Where the records of a lease are: in the work directory itself, or beside its snapshots in a bucket.

<folder>/000003.json      the third holder's record
<folder>/waiting-<id>     some process waits for the holder to end
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from components.core.objects import open_store
from components.core.objects.numbered import create, highest, numbered

_RECORD_BYTES = 1024
_WAITING = "waiting-"


class LeasePlace(Protocol):
    """Numbered records without gaps, and marks of those who wait."""

    def highest(self) -> int:
        """The highest number, 0 if there is none."""

    def create(self, number: int, record: bytes) -> bool:
        """Create a record; False if another process was first."""

    def read(self, number: int) -> bytes:
        """A record, maybe one that is just being written."""

    def write(self, number: int, record: bytes) -> None:
        """Rewrite a record. Only who created it does."""

    def announce(self, waiting: str) -> None:
        """Leave a mark of one who waits."""

    def withdraw(self, waiting: str = "") -> None:
        """Remove one mark, or all. Who still waits announces itself again when the holder changes."""

    def awaited(self) -> bool:
        """Whether anyone waits."""


class FolderPlace(LeasePlace):
    """A folder on a disk or a claim.

    Only exclusive creation is needed, which network file systems have, too. Records are rewritten in place,
    because a client of NFS may keep the name of a replaced file for a minute.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder.parent)

    def highest(self) -> int:
        names = (name.removesuffix(".json") for name in self._names())
        return max((int(name) for name in names if name.isdecimal()), default=0)

    def create(self, number: int, record: bytes) -> bool:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._put(number, record, os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return False
        return True

    def read(self, number: int) -> bytes:
        try:
            return self._path(number).read_bytes().rstrip()
        except FileNotFoundError:  # the directory has been deleted
            return b""

    def write(self, number: int, record: bytes) -> None:
        self._put(number, record, 0)

    def announce(self, waiting: str) -> None:
        (self._folder / f"{_WAITING}{waiting}").touch()

    def withdraw(self, waiting: str = "") -> None:
        for name in self._names():
            if name.startswith(f"{_WAITING}{waiting}"):
                (self._folder / name).unlink(missing_ok=True)

    def awaited(self) -> bool:
        return any(name.startswith(_WAITING) for name in self._names())

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._folder)
        except FileNotFoundError:
            return []

    def _put(self, number: int, record: bytes, flags: int) -> None:
        """Records have one size, so that a shorter one leaves nothing of a longer one."""
        file = os.open(self._path(number), os.O_WRONLY | flags, 0o664)
        try:
            os.pwrite(file, record.ljust(_RECORD_BYTES), 0)
            os.fsync(file)
        finally:
            os.close(file)

    def _path(self, number: int) -> Path:
        return self._folder / numbered("", number)


class BucketPlace(LeasePlace):
    """A prefix of a bucket.

    Args:
        uri: of the prefix.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri.rstrip("/")
        self._store, prefix = open_store(self._uri)
        self._prefix = f"{prefix}/"

    def __str__(self) -> str:
        return self._uri.rpartition("/")[0]

    def highest(self) -> int:
        return highest(self._store, self._prefix)

    def create(self, number: int, record: bytes) -> bool:
        return create(self._store, numbered(self._prefix, number), record)

    def read(self, number: int) -> bytes:
        return self._store.get(numbered(self._prefix, number))

    def write(self, number: int, record: bytes) -> None:
        self._store.put(numbered(self._prefix, number), record)

    def announce(self, waiting: str) -> None:
        self._store.put(f"{self._prefix}{_WAITING}{waiting}", b"")

    def withdraw(self, waiting: str = "") -> None:
        for info in [*self._store.list(f"{self._prefix}{_WAITING}{waiting}")]:
            self._store.delete(info.key)

    def awaited(self) -> bool:
        return next(iter(self._store.list(f"{self._prefix}{_WAITING}")), None) is not None
