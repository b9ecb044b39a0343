"""Registry of promoted models: a domain's immutable numbered versions, and a pointer to the current one.

    <root>/<domain>/claims/000003.json    who may write version 3: {"identity"}
    <root>/<domain>/3/...                 its files: checkpoint/, config, lineage, evaluation
    <root>/<domain>/3/_VERSION.json       written last: what it is, and every file with size and checksum
    <root>/<domain>/pointer/000002.json   see `pointer`

A version exists once its `_VERSION.json` does. Files without one belong to a promotion that is under way or
was killed. The same promotion run again finds its claim and writes the same bytes to the same place.
Every decision creates an object under the condition that it does not exist (`If-None-Match: *`), so neither
locks nor renames are needed. A store that ignores the condition is refused.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.core.data.files import file_sha256
from components.core.data.hashing import sha256_hex
from components.core.data.manifest import file_entry
from components.core.objects import open_store
from components.core.objects.numbered import create, highest, numbered
from components.core.registry.pointer import Pointer, PointerLog, encode
from components.core.stage.errors import ConfigError, DataError, NoInputError, StageError

VERSION_MANIFEST = "_VERSION.json"
_GIVEN_UP = {"given_up": True}
_PROBE = "conditional-write-probe"


@dataclass(frozen=True)
class Version:
    """A registered version."""

    number: int
    uri: str
    manifest: dict[str, Any]

    @property
    def passed(self) -> bool:
        """Whether its verdict is a pass."""
        return bool(self.manifest["passed"])


class DomainRegistry:
    """The versions of one domain. Reading changes nothing and needs no lock."""

    def __init__(self, root: str, domain: str) -> None:
        self._store, prefix = open_store(root)
        self.domain, self.root = domain, root.rstrip("/")
        self.uri = f"{self.root}/{domain}"
        self._base = f"{prefix.strip('/')}/{domain}/".lstrip("/")
        self._claims = f"{self._base}claims/"
        self._pointers = PointerLog(self._store, f"{self._base}pointer/")

    def pointer(self) -> Pointer:
        """The current pointer."""
        return self._pointers.current()

    def pointers(self) -> list[Pointer]:
        """Every move of the pointer, oldest first."""
        return self._pointers.entries()

    def versions(self) -> list[Version]:
        """All versions, oldest first."""
        found = (self.find(number) for number in range(1, highest(self._store, self._claims) + 1))
        return [version for version in found if version is not None]

    def find(self, number: int) -> Version | None:
        """A version; None if this number is not published."""
        manifest = self._manifest(number)
        if manifest is None or manifest == _GIVEN_UP:
            return None
        return Version(number, f"{self.uri}/{number}", manifest)

    def version(self, number: int) -> Version:
        """A version.

        Raises:
            NoInputError: this number is not published.
        """
        found = self.find(number)
        if found is None:
            raise NoInputError(f"{self.uri}: there is no version {number}; `list` shows them")
        return found

    def read(self, version: Version, name: str) -> bytes:
        """One file of a version, checked against its checksum.

        Raises:
            DataError: the version has no such file, or the file is damaged.
        """
        entry = next((entry for entry in version.manifest["files"] if entry["name"] == name), None)
        if entry is None:
            raise DataError(f"{version.uri}: has no file {name}")
        data = self._store.get(self._key(version.number, name))
        _check(version, entry, sha256_hex(data))
        return data

    def fetch(self, version: Version, directory: Path, under: str = "") -> Path:
        """Copy a version's files whose names start with `under` below `directory`, which is returned.

        Files are checked. A file that is already whole there is not copied again.

        Raises:
            DataError: a file is damaged.
        """
        for entry in version.manifest["files"]:
            if not entry["name"].startswith(under):
                continue
            path = directory / entry["name"]
            if path.is_file() and file_sha256(path) == entry["sha256"]:
                continue
            self._store.download(self._key(version.number, entry["name"]), path)
            _check(version, entry, file_sha256(path))
        return directory

    def publish(
        self, identity: str, files: Mapping[str, Path | bytes], described: Mapping[str, Any]
    ) -> Version:
        """Register a version, or find the one that an earlier attempt at the same promotion registered.

        Args:
            identity: names the promotion; equal identities must come with equal files.
            files: name in the version -> local file, or content.
            described: further entries of the version's manifest: `passed`, `judged_at` and more. `judged_at`
                is the sequence number of the pointer's entry whose version this one was compared with.

        Raises:
            StageError: `prune` gave the version up while it was written; another attempt gets another number.
            ConfigError: the store ignores conditional writes.
        """
        number = self._claim(identity)
        found = self.find(number)
        if found is not None:
            return found
        listed = []
        for name, content in sorted(files.items()):
            key = self._key(number, name)
            if isinstance(content, bytes):
                listed.append({"name": name, "bytes": len(content), "sha256": sha256_hex(content)})
                self._store.put(key, content)
            else:
                listed.append(file_entry(content, name))
                self._store.upload(content, key)
        self._check_stored(number, listed)
        manifest = {"domain": self.domain, "version": number, "identity": identity, "files": listed}
        if not create(self._store, self._key(number, VERSION_MANIFEST), encode({**manifest, **described})):
            raise StageError(
                f"{self.uri}/{number}: given up by `prune`, or written by another attempt at the same "
                "promotion with other content, while it was uploaded; run promotion again"
            )
        return self.version(number)

    def point_to(self, version: Version) -> tuple[Pointer, str]:
        """Make `version` current, if the pointer has not moved since the version was judged (`judged_at`).

        A version that was current before is not made current again. So a promotion that is run twice undoes
        neither a later promotion nor a rollback.

        Returns:
            The pointer as it is now, and the reason why `version` is not current, "" if it is.
        """
        now = self.pointer()
        if now.version == version.number:
            return now, ""
        if version.number in now.history:
            return now, f"it was current before; version {now.version} is current now"
        if now.sequence == version.manifest["judged_at"]:
            moved = now.promoted(version.number)
            if self._pointers.append(moved):
                return moved, ""
            now = self.pointer()
        return now, f"another promotion made version {now.version} current meanwhile; run promotion again"

    def rollback(self, to: int | None = None) -> Pointer:
        """Make an earlier version current again: the previous one, or `to`.

        Raises:
            DataError: no version was current before, or `to` never was.
            StageError: the pointer moved meanwhile.
        """
        entries = self.pointers()
        now = entries[-1] if entries else Pointer()
        target = now.previous if to is None else to
        self._check_conditional_writes()
        if target is None:
            raise DataError(f"{self.uri}: there is no previous version to return to")
        if target not in now.history:
            never = f"version {target} was never current; only what passed the gate can be"
            raise DataError(f"{self.uri}: {never}")
        if target == now.version:
            return now
        self.version(target)
        before = next(e.previous for e in entries if e.action == "promote" and e.version == target)
        moved = replace(now, sequence=now.sequence + 1, version=target, previous=before, action="rollback")
        if not self._pointers.append(moved):
            raise StageError(f"{self.uri}: the pointer moved meanwhile; look again before rolling back")
        return moved

    def unfinished(self) -> list[int]:
        """Numbers that are claimed but not published: their promotions are under way, or were killed."""
        claimed = range(1, highest(self._store, self._claims) + 1)
        return [number for number in claimed if self._manifest(number) is None]

    def prune(self, number: int) -> int:
        """Give up an unfinished version and delete its files; returns how many.

        A process that still writes it finds that it was given up. Its next attempt gets another number.

        Raises:
            DataError: the version is published; published versions are never deleted.
        """
        if not create(self._store, self._key(number, VERSION_MANIFEST), encode(_GIVEN_UP)):
            raise DataError(f"{self.uri}/{number}: is published; versions are never deleted")
        kept = self._key(number, VERSION_MANIFEST)
        keys = [info.key for info in self._store.list(self._key(number, "")) if info.key != kept]
        for key in keys:
            self._store.delete(key)
        return len(keys)

    def _claim(self, identity: str) -> int:
        """The number of the version that `identity` may write, claimed before or now."""
        last = highest(self._store, self._claims)
        for number in range(last, 0, -1):
            if self._claimed_by(number) == identity and self._manifest(number) != _GIVEN_UP:
                return number
        self._check_conditional_writes()
        wanted = encode({"identity": identity})
        while True:
            last += 1
            if create(self._store, numbered(self._claims, last), wanted):
                return last

    def _claimed_by(self, number: int) -> str:
        key = numbered(self._claims, number)
        try:
            return str(json.loads(self._store.get(key))["identity"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{key}: not a claim ({error!r}); restore it") from error

    def _manifest(self, number: int) -> dict[str, Any] | None:
        key = self._key(number, VERSION_MANIFEST)
        try:
            manifest: dict[str, Any] = json.loads(self._store.get(key))
        except NoInputError:
            return None
        except ValueError as error:
            raise DataError(f"{key}: damaged ({error}); restore it") from error
        return manifest

    def _check_stored(self, number: int, listed: list[dict[str, Any]]) -> None:
        sizes = {info.key: info.size for info in self._store.list(self._key(number, ""))}
        for entry in listed:
            key = self._key(number, entry["name"])
            if key in sizes and sizes[key] != entry["bytes"]:
                arrived = f"{sizes[key]} bytes arrived of {entry['bytes']}"
                raise StageError(f"{key}: {arrived}; run promotion again")

    def _check_conditional_writes(self) -> None:
        """Refuse a server that ignores `If-None-Match`: of two promotions at once, both could win there."""
        key = f"{self._base}{_PROBE}-{uuid.uuid4().hex}"  # of this process alone: others remove theirs
        self._store.put(key, b"first")
        ignored = self._store.put(key, b"second", if_absent=True)
        self._store.delete(key)
        self._store.delete(f"{self._base}{_PROBE}")  # of earlier releases
        if ignored:
            raise ConfigError(
                f"{self.root}: the server ignores conditional writes (If-None-Match), so promotions would "
                "overwrite each other; use a server that has them (AWS S3, MinIO, SeaweedFS, Ceph) "
                "or a directory"
            )

    def _key(self, number: int, name: str) -> str:
        return f"{self._base}{number}/{name}"


def _check(version: Version, entry: Mapping[str, Any], sha256: str) -> None:
    if sha256 != entry["sha256"]:
        raise DataError(f"{version.uri}/{entry['name']}: checksum differs; the registry's copy is damaged")
