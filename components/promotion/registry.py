"""A registry of models in a directory: immutable numbered versions, and one pointer that says which is current.

    <root>/<domain>/<n>/checkpoint/ verdict.json summary.json _VERSION.json
    <root>/<domain>/current         {"version": n, "previous": m or null, "history": [versions in the order they became current]}

A version appears as a whole, by one rename, or not at all; the pointer moves by one rename. Whoever changes a domain
holds its lock, so what a killed process left half copied can be recognised and removed by the next. The lock is
`flock`, which needs a file system that supports it (local disks, NFSv4).
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.config import canonical_json, sha256_hex
from components.core.errors import DataError
from components.core.manifest import Checkpoint, file_sha256, open_checkpoint, write_json_atomic

VERSION_MANIFEST = "_VERSION.json"
POINTER = "current"
_STAGING = ".staging"
_LOCK = ".lock"


@dataclass(frozen=True)
class Pointer:
    """Which version is current. Version 0 means none yet."""

    version: int = 0
    previous: int | None = None
    history: tuple[int, ...] = ()

    def moved_to(self, version: int) -> Pointer:
        """The pointer after `version` became current."""
        return Pointer(version, self.version or None, (*self.history, version))


@dataclass(frozen=True)
class Version:
    """A registered version."""

    number: int
    path: Path
    manifest: dict[str, Any]


def identity(checkpoint_digest: str, verdict: Mapping[str, Any]) -> str:
    """What makes two promotions the same: the same weights and the same verdict on them."""
    return sha256_hex(canonical_json([checkpoint_digest, dict(verdict)]))


class DomainRegistry:
    """The versions of one domain. Reading needs no lock: every change is one rename."""

    def __init__(self, root: str | os.PathLike[str], domain: str) -> None:
        self.path = Path(root) / domain
        self.domain = domain

    def versions(self) -> list[Version]:
        """All versions, oldest first."""
        if not self.path.is_dir():
            return []
        numbers = sorted(int(entry.name) for entry in self.path.iterdir() if entry.name.isdecimal())
        return [self._version(number) for number in numbers]

    def pointer(self) -> Pointer:
        """The current pointer.

        Raises:
            DataError: the pointer file is damaged.
        """
        path = self.path / POINTER
        if not path.is_file():
            return Pointer()
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            return Pointer(int(stored["version"]), stored["previous"], tuple(stored["history"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}: not a pointer ({error!r}); restore it from one of the versions"
            ) from error

    def find(self, wanted: str) -> Version | None:
        """The version with this identity, if there is one."""
        return next((version for version in self.versions() if version.manifest["identity"] == wanted), None)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the domain's lock; it is released when the process ends, however it ends."""
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / _LOCK, "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def publish(
        self,
        checkpoint: Checkpoint,
        verdict: Mapping[str, Any],
        summary: Mapping[str, Any],
        provenance: Mapping[str, Any],
    ) -> tuple[Version, bool]:
        """Register a version, or find the one that an earlier attempt at the same promotion registered.

        The caller holds the lock.

        Returns:
            The version, and whether it is new.

        Raises:
            DataError: the copy of the checkpoint differs from the original.
        """
        wanted = identity(checkpoint.digest, verdict)
        found = self.find(wanted)
        if found is not None:
            return found, False
        staging = self.path / _STAGING
        if staging.exists():  # left by a process that was killed while it held the lock
            shutil.rmtree(staging)
        staging.mkdir()
        shutil.copytree(checkpoint.path, staging / "checkpoint")
        if open_checkpoint(staging / "checkpoint").digest != checkpoint.digest:
            raise DataError(
                f"{checkpoint.path}: changed while it was copied to the registry; run promotion again"
            )
        write_json_atomic(staging / "verdict.json", dict(verdict))
        write_json_atomic(staging / "summary.json", dict(summary))
        number = max((version.number for version in self.versions()), default=0) + 1
        manifest = {
            "domain": self.domain,
            "version": number,
            "identity": wanted,
            "checkpoint_digest": checkpoint.digest,
            "passed": verdict["passed"],
            "files": {name: file_sha256(staging / name) for name in ("verdict.json", "summary.json")},
            "provenance": dict(provenance),
        }
        write_json_atomic(staging / VERSION_MANIFEST, manifest)
        _sync_tree(staging)
        # Fails if the number exists, should somebody have written here without the lock: versions are never replaced.
        os.rename(staging, self.path / str(number))
        _sync(self.path)
        return self._version(number), True

    def point_to(self, version: int, expected: Pointer) -> tuple[Pointer, str]:
        """Make `version` current, if the pointer is still the `expected` one. The caller holds the lock.

        A version that was current before is not made current again: running a promotion twice must undo neither a
        later promotion nor a rollback.

        Returns:
            The pointer as it is now, and "" if it moved or else why not.
        """
        now = self.pointer()
        if now.version == version:
            return now, "it is current already"
        if version in now.history:
            return now, f"it was current before, and was followed by version {now.version}"
        if version < now.version:
            return now, f"version {now.version} was registered later and is current"
        if now != expected:
            return (
                now,
                f"another promotion made version {now.version} current meanwhile; promote again to follow it",
            )
        moved = now.moved_to(version)
        write_json_atomic(
            self.path / POINTER,
            {"version": moved.version, "previous": moved.previous, "history": list(moved.history)},
        )
        _sync(self.path)
        return moved, ""

    def _version(self, number: int) -> Version:
        path = self.path / str(number)
        try:
            return Version(number, path, json.loads((path / VERSION_MANIFEST).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: damaged version ({error}); remove or restore it") from error


def _sync_tree(directory: Path) -> None:
    """Force a new directory's files and names to disk, so that the rename that follows publishes nothing half there."""
    for path in [directory, *directory.rglob("*")]:
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
